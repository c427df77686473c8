"""`python -m nanoemox` is the command `nanoemox`."""

from nanoemox.cli.main import main

main()

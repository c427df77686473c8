"""`python -m nanoemox` is the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nanoemox import __version__

SRC = Path(__file__).parents[1] / "src"


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nanoemox", "--version"],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"nanoemox {__version__}\n", "")

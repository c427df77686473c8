"""`nanoemox recipes`: the training recipes that come with the package, to look at and to copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nanoemox.cli.console import JsonOption, check_json, console, note, write_result

recipes = typer.Typer(
    help="List the training recipes that come with the package, and copy one to change it.",
    invoke_without_command=True,
)


@recipes.callback()
def list_(context: typer.Context, json_file: JsonOption = None) -> None:
    """List the training recipes that come with the package, and copy one to change it."""
    if context.invoked_subcommand is not None:
        return
    check_json(json_file)

    from nanoemox.training.recipe import about_recipe, shipped_recipes

    known = {name: about_recipe(name) for name in shipped_recipes()}
    if write_result(known, json_file):
        return

    from rich.markup import escape
    from rich.table import Table

    table = Table(show_lines=True)
    table.add_column("Name", style="bold", no_wrap=True)
    for heading in ("Kind", "Phases", "What it is"):
        table.add_column(heading, overflow="fold")
    for name, about in known.items():
        table.add_row(
            *(escape(cell) for cell in (name, about["kind"], ", ".join(about["phases"]), about["about"]))
        )
    console().print(table)
    note("copy one to change it: nanoemox recipes copy NAME")


@recipes.command()
def copy(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The recipe, named as `nanoemox recipes` does.")
    ],
    to: Annotated[
        Path | None,
        typer.Argument(
            metavar="TO",
            help="The file to write, or the folder to write it into. Without it, NAME.yaml in this folder.",
        ),
    ] = None,
) -> None:
    """Copy a recipe, to change the copy and train with it. A file that is there is never overwritten."""
    from nanoemox.training.recipe import copy_recipe

    written = copy_recipe(name, to)
    note(f"wrote {written}")
    note(f"change it, then train with it: nanoemox train {written}")

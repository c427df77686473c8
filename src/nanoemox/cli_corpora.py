"""`nanoemox corpora`: what a downloaded corpus needs before it can be trained or measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

corpora = typer.Typer(help="Public corpora: list, prepare, examine.", no_args_is_help=True)

JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the whole report as JSON.")
]


@corpora.command("list")
def list_() -> None:
    """The corpora that can be prepared, their terms, and where to ask for them."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nanoemox.corpora import list_corpora

    table = Table(show_lines=True)
    table.add_column("Name", style="bold", no_wrap=True)
    for heading in ("Corpus", "Tasks", "Language", "Terms", "Where"):
        table.add_column(heading, overflow="fold")
    for corpus in list_corpora():
        title = f"{corpus.title}, {corpus.size}" if corpus.size else corpus.title
        cells = (corpus.name, title, ", ".join(corpus.tasks), corpus.language, corpus.licence, corpus.where)
        table.add_row(*(escape(cell) for cell in cells))
    Console().print(table)


@corpora.command()
def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `nanoemox corpora list` tells.")],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Where the corpus was unpacked.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="The manifest to write.")],
    json_file: JsonOption = None,
) -> None:
    """Turn a downloaded corpus into a manifest; what could not be used is named."""
    from nanoemox.corpora import prepare as run

    _tell(run(name, root, out), json_file)


@corpora.command()
def doctor(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSONL, one clip a line.")],
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Processes; else one a core.")
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Decode every clip of a manifest and list what training should leave out; exit status 1 if there is any."""
    from nanoemox.corpora.doctor import doctor as run

    report = run(manifest, workers)
    _tell(report, json_file)
    if not report.ok:
        raise typer.Exit(1)


def _tell(report: Any, json_file: Path | None) -> None:
    """The report in words, and the whole of it in a file if one is named."""
    from nanoemox.outputs import write_all

    if json_file is not None:
        write_all({json_file: json.dumps(report.to_dict(), ensure_ascii=False, indent=2) + "\n"})
    typer.echo(report.summary())

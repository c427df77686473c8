"""`nanoemox corpora`: what a downloaded corpus, or your own clips, need before training or measuring."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

corpora = typer.Typer(help="Public corpora and your own clips: prepare, examine.", no_args_is_help=True)


class Split(StrEnum):
    """The three parts of a corpus."""

    train = "train"
    val = "val"
    test = "test"


JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the whole report as JSON.")
]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="The manifest to write.")]
SplitOption = Annotated[
    list[Split] | None, typer.Option("--split", help="Write only this split; may be repeated.")
]


@corpora.command("list")
def list_() -> None:
    """The corpora that can be prepared, their terms, and where to ask for them."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nanoemox.corpora.prepare import list_corpora

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
    out: OutArgument,
    split: SplitOption = None,
    json_file: JsonOption = None,
) -> None:
    """Turn a downloaded corpus into a manifest; exit status 1 if anything of it was skipped."""
    from nanoemox.corpora.prepare import prepare as run

    _tell(run(name, root, out, split or ()), json_file)


@corpora.command()
def own(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="CSV, TSV, XLSX or JSONL beside your clips.")
    ],
    out: OutArgument,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="Read `emotion` from `label`: emotion=label; repeatable."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Only such rows, or != for all but such; repeatable."),
    ] = None,
    split: SplitOption = None,
    json_file: JsonOption = None,
) -> None:
    """Turn your own clips and a table of their labels into a manifest; exit status 1 if anything was skipped."""
    from nanoemox.corpora.prepare import prepare_own as run

    _tell(run(table, out, column or (), where or (), split or ()), json_file)


@corpora.command()
def schema(
    predictions: Annotated[bool, typer.Option("--predictions", help="Of predictions instead.")] = False,
) -> None:
    """Print the JSON Schema of a manifest's lines."""
    from nanoemox.data.schema import Prediction, Record, json_schema

    sys.stdout.write(json.dumps(json_schema(Prediction if predictions else Record), indent=2) + "\n")


@corpora.command()
def doctor(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSONL, one clip a line.")],
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Processes; else one a core.")
    ] = None,
    longest: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.0, help="What lasts longer is too long.")
    ] = 120.0,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="What takes longer to decode is given up.")
    ] = 60.0,
    black: Annotated[
        int, typer.Option(metavar="0-255", min=0, max=255, help="No picture brighter than this: black.")
    ] = 24,
    silent: Annotated[
        float, typer.Option(metavar="0-1", min=0.0, max=1.0, help="No sample louder than this: silent.")
    ] = 1e-4,
    quarantine: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The list; else beside the manifest.")
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Decode every clip of a manifest and list what training should leave out; exit status 1 if there is any."""
    from nanoemox.corpora.doctor import doctor as run
    from nanoemox.corpora.examine import Limits

    limits = Limits(longest_s=longest, timeout_s=timeout, black=black, silent=silent)
    _tell(run(manifest, workers, limits=limits, quarantine=quarantine), json_file)


def _tell(report: Any, json_file: Path | None) -> None:
    """The report in words, and the whole of it in a file if one is named; status 1 unless all is well."""
    from nanoemox.files.atomic import write_json

    if json_file is not None:
        write_json(json_file, report.to_dict())
    typer.echo(report.summary())
    if not report.ok:
        raise typer.Exit(1)

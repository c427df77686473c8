"""`nanoemox corpora`: what a downloaded corpus, or your own clips, need before training or scoring."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nanoemox.cli.console import JsonOption, check_json, console, write_result

if TYPE_CHECKING:
    from nanoemox.corpora.doctor import DoctorReport
    from nanoemox.corpora.prepare import PrepareReport

corpora = typer.Typer(
    help="Prepare public corpora and your own clips, and find the clips that are broken.",
    no_args_is_help=True,
)


class Split(StrEnum):
    """The three parts of a corpus."""

    train = "train"
    val = "val"
    test = "test"


OutArgument = Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="The manifest to write.")]
SplitOption = Annotated[
    list[Split] | None,
    typer.Option("--split", help="Write only the clips of this split; repeat the option for several."),
]


@corpora.command("list")
def list_(json_file: JsonOption = None) -> None:
    """List the corpora that can be prepared, with their terms and where to ask for them."""
    check_json(json_file)

    from nanoemox.corpora.prepare import list_corpora

    names = ("title", "tasks", "language", "size", "licence", "where", "open")
    known = {corpus.name: {name: getattr(corpus, name) for name in names} for corpus in list_corpora()}
    if write_result(known, json_file):
        return

    from rich.markup import escape

    out = console()
    for corpus in list_corpora():
        title = f"{corpus.title}, {corpus.size}" if corpus.size else corpus.title
        out.print(f"[bold]{escape(corpus.name)}[/]  {escape(title)}", highlight=False, soft_wrap=True)
        rows = {"tasks": ", ".join(corpus.tasks), "language": corpus.language, "terms": corpus.licence}
        for name, text in {
            **rows,
            "where": corpus.where,
        }.items():  # one line each: an address is never broken
            if text:
                out.print(f"  {name:<8}  {escape(text)}", highlight=False, soft_wrap=True)


@corpora.command()
def prepare(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The corpus, named as `nanoemox corpora list` does.")
    ],
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="The folder that the corpus was unpacked into.")
    ],
    out: OutArgument,
    split: SplitOption = None,
    json_file: JsonOption = None,
) -> None:
    """Turn a downloaded corpus into a manifest. The exit status is 1 if any of its rows was skipped."""
    _check_manifest(out)
    check_json(json_file, out)

    from nanoemox.corpora.prepare import prepare as run

    _show(run(name, root, out, split or ()), json_file)


@corpora.command()
def own(
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE", help="A CSV, TSV, XLSX or JSONL table in the folder of your clips."),
    ],
    out: OutArgument,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS",
            help="Read our column from one of another name, such as emotion=label; repeat the option for several.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Take only rows with this value (or, with !=, without it); repeat the option for several.",
        ),
    ] = None,
    split: SplitOption = None,
    json_file: JsonOption = None,
) -> None:
    """Turn your own clips and a table of their labels into a manifest. The exit status is 1 if a row was skipped."""
    _check_manifest(out)
    check_json(json_file, source=str(table))

    from nanoemox.corpora.prepare import prepare_own as run

    _show(run(table, out, column or (), where or (), split or ()), json_file)


@corpora.command()
def schema(
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Print the schema of predictions instead.")
    ] = False,
) -> None:
    """Print the JSON Schema of a manifest's lines."""
    from nanoemox.data.schema import Prediction, Record, json_schema

    sys.stdout.write(json.dumps(json_schema(Prediction if predictions else Record), indent=2) + "\n")


@corpora.command()
def doctor(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A JSONL file with one clip per line.")
    ],
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="How many processes decode clips. Without it, one per core; 0 decodes in this process.",
        ),
    ] = None,
    longest: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.0, help="A clip that lasts longer is too long.")
    ] = 120.0,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.001, help="A clip that takes longer to decode is given up."),
    ] = 60.0,
    black: Annotated[
        int,
        typer.Option(
            metavar="0-255", min=0, max=255, help="A video is black if no pixel of it is brighter than this."
        ),
    ] = 24,
    silent: Annotated[
        float,
        typer.Option(
            metavar="0-1", min=0.0, max=1.0, help="Audio is silent if no sample is louder than this."
        ),
    ] = 1e-4,
    quarantine: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the quarantine list here instead of beside the manifest."),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Decode every clip of a manifest, and list those that training should leave out.

    The exit status is 1 if there are any.
    """
    check_json(json_file, quarantine, source=str(manifest))

    from nanoemox.corpora.doctor import doctor as run
    from nanoemox.corpora.examine import Limits

    limits = Limits(longest_s=longest, timeout_s=timeout, black=black, silent=silent)
    _show(run(manifest, workers, limits=limits, quarantine=quarantine), json_file)


def _check_manifest(out: Path) -> None:
    """Before any work: a manifest is a JSONL file, and a name that says otherwise would mislead."""
    from nanoemox.files.report import check_ending

    check_ending(out, {".jsonl": None})


def _show(report: PrepareReport | DoctorReport, json_file: str | None) -> None:
    """Show a report in words, or write all of it as --json says. The exit status is 1 unless all is well."""
    if not write_result(report.to_dict(), json_file):
        typer.echo(report.summary())
    if not report.ok:
        raise typer.Exit(1)

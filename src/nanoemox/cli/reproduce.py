"""`reproduce`: a published benchmark, measured again with a model, beside the published figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nanoemox.cli.console import JsonOption, check_json, check_table, console, note, write_report
from nanoemox.cli.options import (
    CheckOption,
    DeviceOption,
    LimitOption,
    OptionalModelOption,
    TableOption,
    UntrainedOption,
)
from nanoemox.files.errors import ArgumentError

# As evaluation/benchmarks.yaml has them, written out: reading it would slow every --help down.
BENCHMARK_NAMES = "merunibench, mintrec, mintrec2, avamerg, emer"


def reproduce(
    benchmark: Annotated[
        str, typer.Argument(metavar="BENCHMARK", help=f"What to measure: {BENCHMARK_NAMES}.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="The folder that gets report.json, report.md, report.csv, and the answers of each corpus.",
        ),
    ],
    model: OptionalModelOption = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder that holds one folder for each corpus, as it was unpacked, such as meld or MELD.Raw.",
        ),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR",
            help="Where one corpus lies, if its folder has another name; repeat the option for several.",
        ),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder with the word lists of the official scorer. Without it, most figures of the official "
            "scorer stay empty.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Ask only the first N test clips of each corpus.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many clips the model reads at once.")
    ] = 8,
    dtype: Annotated[
        str, typer.Option(metavar="NAME", help="The type of the weights: float32, bfloat16 or float16.")
    ] = "float32",
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The seed of the intervals.")] = 0,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many threads read clips while the model answers.")
    ] = 2,
    max_new_tokens: LimitOption = None,
    untrained: UntrainedOption = False,
    check: CheckOption = True,
    device: DeviceOption = "cpu",
    json_file: JsonOption = None,
    table: TableOption = None,
) -> None:
    """Measure a published benchmark with a model: one table, cell by cell beside the published figures.

    A run that was stopped goes on where it was. A corpus that is not there is named, and its cells stay empty.
    """
    check_table(table)
    check_json(json_file, table)
    places = {}
    for each in corpus or ():
        name, equals, folder = each.partition("=")
        if not (name and equals and folder):
            raise ArgumentError(f"--corpus: expected NAME=DIR, such as meld=downloads/MELD.Raw, got {each!r}")
        places[name] = folder
    if data is None and not places:
        raise ArgumentError("expected the corpora: give --data DIR, or --corpus NAME=DIR")

    from nanoemox.checkpoints.load import default_model
    from nanoemox.evaluation.reproduce import reproduce as run

    report = run(
        benchmark,
        default_model() if model is None else model,
        data,
        out,
        corpora=places,
        tables=tables,
        limit=limit,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        seed=seed,
        workers=workers,
        max_new_tokens=max_new_tokens,
        untrained=untrained,
        check=check,
    )
    if not write_report(report, json_file, table):
        from nanoemox.cli.terminal import show_reproduction

        show_reproduction(console(), report)
    note(f"wrote {out / 'report.json'}, report.md and report.csv")

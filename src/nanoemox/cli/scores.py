"""`score`, `compare`: predictions of any system, scored and set side by side; `calibrate`: a model's probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nanoemox.cli.console import (
    JsonOption,
    check_json,
    check_table,
    console,
    note,
    write_report,
    write_result,
)
from nanoemox.cli.options import TASK_NAMES, DeviceOption, TableOption
from nanoemox.files.errors import ArgumentError

if TYPE_CHECKING:
    from nanoemox.scoring.judge import Judge


def score(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS", help="The answers of any system, as a csv, tsv, jsonl, json or npz file."
        ),
    ],
    task: Annotated[
        str,
        typer.Option("--task", "-t", metavar="NAME", help=f"The task that they answer: {TASK_NAMES}."),
    ],
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            help="The true labels. Without it, a column `truth` of the predictions holds them.",
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS",
            help="Read id, text, label or truth from a column of another name, such as text=model_output; repeat the "
            "option for several.",
        ),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder with the word lists of the official scorer."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="Which figures to compute: standard, official (as the authors' code does), or both.",
        ),
    ] = "standard",
    json_file: JsonOption = None,
    table: TableOption = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The seed of the intervals.")] = 0,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="An OpenAI-compatible server, such as http://localhost:8000/v1. It judges reasons, and reads labels "
            "from running text. Nothing is sent anywhere without this option.",
        ),
    ] = None,
    server_model: Annotated[
        str, typer.Option(metavar="NAME", help="The model that the server is to use.")
    ] = "",
    cache: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="The folder that keeps the server's replies, so that no question is asked twice.",
        ),
    ] = Path("server_replies"),
    prices: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="IN OUT", help="What a million tokens cost, sent and received, to estimate the cost."
        ),
    ] = (0.0, 0.0),
    only_estimate: Annotated[
        bool, typer.Option("--only-estimate", help="Ask nothing; report what asking the server would cost.")
    ] = False,
) -> None:
    """Score the predictions of any system, by our figures, by those of the official scorer, or by both."""
    check_table(table)
    check_json(json_file, table, source=str(predictions))
    helper = _server(server, server_model, cache, prices, only_estimate)

    from nanoemox.scoring.external import score_file

    report = score_file(predictions, task, manifest, tables, mode, seed, helper, column or ())
    if only_estimate:
        return
    if not write_report(report, json_file, table):
        from nanoemox.cli.terminal import show_file_scores

        show_file_scores(console(), report)


def compare(
    a: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="The predictions of one system, or a folder that `nanoemox evaluate` wrote."
        ),
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="The predictions of the other system.")],
    manifest: Annotated[Path, typer.Option(metavar="MANIFEST", help="The true labels.")],
    task: Annotated[
        str | None,
        typer.Option("--task", "-t", metavar="NAME", help=f"Compare only this task: {TASK_NAMES}."),
    ] = None,
    json_file: JsonOption = None,
    table: TableOption = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The seed of the permutations.")] = 0,
) -> None:
    """Test whether B is better than A, clip by clip, and show the clips on which they differ most."""
    check_table(table)
    check_json(json_file, table)

    from nanoemox.scoring.compare import compare as run

    report = run(a, b, manifest, task, seed)
    if not write_report(report, json_file, table):
        from nanoemox.cli.terminal import show_comparison

        show_comparison(console(), report)


def _server(
    url: str | None, model: str, cache: Path, prices: tuple[float, float], only_estimate: bool
) -> Judge | None:
    if url is None:
        if only_estimate:
            raise ArgumentError("--only-estimate: expected --server URL, whose questions are to be counted")
        return None
    if not model:
        raise ArgumentError("--server: expected --server-model NAME, the model to ask there")
    from nanoemox.scoring.judge import Judge

    return Judge(url, model, cache, prices, only_estimate)


def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model folder, or a model that `nanoemox get` has fetched; it is changed."
        ),
    ],
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A JSONL file with one labelled clip per line.")
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            "-t",
            metavar="NAME",
            help="Calibrate only this task; repeat the option for several. They are sentiment, emotion and intent.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Use the clips of this split: val, or train.")
    ] = "val",
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many clips the model reads at once.")
    ] = 8,
    device: DeviceOption = "cpu",
    json_file: JsonOption = None,
) -> None:
    """Make probabilities say how often a label is right: fit a temperature on validation clips, store it in MODEL."""
    check_json(json_file)

    from nanoemox.evaluation.calibrate import calibrate as run

    report = run(model, manifest, task, split, batch_size, device)
    if not write_result(report.to_dict(), json_file):
        for name, found in report.tasks.items():
            typer.echo(
                f"{name}: temperature {found.temperature:g}, loss {found.loss_before:.3f} -> {found.loss:.3f} "
                f"({found.n} clips)"
            )
    for clip in report.left_out:
        note(f"{clip}: left out, it cannot be read")

"""`nanoemox score` and `compare`: predictions of any system, scored and set side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nanoemox.files.atomic import check_outputs, write_all
from nanoemox.files.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console

    from nanoemox.scoring.compare import ComparisonReport
    from nanoemox.scoring.external import FileReport
    from nanoemox.scoring.verdicts import Server

# As `tasks.TASKS` has them, written out: reading the tasks' files would slow every --help down.
TASK_NAMES = "sentiment, emotion, open_vocabulary, intent, reasoning, empathy"


def score(
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="csv, tsv, jsonl, json or npz of any system.")
    ],
    task: Annotated[
        str, typer.Option("--task", "-t", metavar="NAME", help=f"Which task they answer: {TASK_NAMES}.")
    ],
    manifest: Annotated[
        Path | None, typer.Option(metavar="JSONL", help="The truth; else a column `truth`.")
    ] = None,
    tables: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Word lists of the official scorer.")
    ] = None,
    mode: Annotated[str, typer.Option(metavar="MODE", help="standard, official or both.")] = "standard",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write it all.")] = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the intervals.")] = 0,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="OpenAI-compatible, such as http://localhost:8000/v1: judges reasons, or reads labels from prose.",
        ),
    ] = None,
    server_model: Annotated[str, typer.Option(metavar="NAME", help="Which model to ask there.")] = "",
    cache: Annotated[
        Path, typer.Option(metavar="DIR", help="Where its replies are kept; the same question is asked once.")
    ] = Path("server_replies"),
    prices: Annotated[
        tuple[float, float], typer.Option(metavar="IN OUT", help="Of a million tokens, for the estimate.")
    ] = (0.0, 0.0),
    only_estimate: Annotated[
        bool, typer.Option("--only-estimate", help="Tell what asking would cost, and ask nothing.")
    ] = False,
) -> None:
    """Score any system's predictions: sound figures, the official scorer's, and where they differ."""
    from nanoemox.cli.terminal import show_file_scores
    from nanoemox.scoring.external import score_file

    check_outputs([json_file] if json_file else [], str(predictions))
    console = _console()
    helper = _server(server, server_model, cache, prices, only_estimate, console)
    report = score_file(predictions, task, manifest, tables, mode, seed, helper)
    if only_estimate:
        return
    show_file_scores(console, report)
    if json_file:
        write_all({json_file: _as_json(report)})


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Predictions, or a folder of evaluate.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The other system's.")],
    manifest: Annotated[Path, typer.Option(metavar="JSONL", help="The truth.")],
    task: Annotated[
        str | None, typer.Option("--task", "-t", metavar="NAME", help=f"Only this: {TASK_NAMES}.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write it all.")] = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the permutations.")] = 0,
) -> None:
    """Is B better than A? A paired test over the same clips, and the clips where they differ."""
    from nanoemox.cli.terminal import show_comparison
    from nanoemox.scoring.compare import compare as run

    check_outputs([json_file] if json_file else [], None)
    report = run(a, b, manifest, task, seed)
    show_comparison(_console(), report)
    if json_file:
        write_all({json_file: _as_json(report)})


def _as_json(report: FileReport | ComparisonReport) -> str:
    return json.dumps(report.to_dict(), ensure_ascii=False, indent=2) + "\n"


def _server(
    url: str | None,
    model: str,
    cache: Path,
    prices: tuple[float, float],
    only_estimate: bool,
    console: Console,
) -> Server | None:
    if url is None:
        if only_estimate:
            raise ArgumentError("--only-estimate: expected --server URL, whose questions are to be counted")
        return None
    if not model:
        raise ArgumentError("--server: expected --server-model NAME, the model to ask there")
    from nanoemox.scoring.judge import Judge
    from nanoemox.scoring.verdicts import Server

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    return Server(Judge(url, model, cache), *prices, only_estimate, say)


def _console() -> Console:
    from rich.console import Console

    return Console()

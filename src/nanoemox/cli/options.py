"""Options that several commands share, each with one name and one meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# As `tasks.task.TASKS` has them, written out: reading the tasks' files would slow every --help down.
TASK_NAMES = "sentiment, emotion, open_vocabulary, intent, reasoning, empathy"

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME_OR_PATH",
        help="The model: pico (it comes with the package), one that `nanoemox get` has fetched, a model folder, or a "
        "Hub id.",
    ),
]
OptionalModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME_OR_PATH",
        help="The model: pico (it comes with the package), one that `nanoemox get` has fetched, a model folder, or a "
        "Hub id. Without it, light-mer if it has been fetched, else pico.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option(metavar="NAME", help="Where the model computes: cpu, cuda, or another device of torch.")
]
TrainingDeviceOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where to train: cpu or cuda. Without it, a GPU where there is one."),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The type of the weights: float32, bfloat16 or float16. Without it, the best one of this machine, and "
        "that is told: on a CPU the type of the files, and float32 in place of one that the CPU would only imitate.",
    ),
]
CheckOption = Annotated[
    bool,
    typer.Option(
        "--check/--no-check",
        help="Look at every weight of the model first; a damaged file is told then. A large model takes seconds more.",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens",
        metavar="N",
        min=1,
        help="Cut every answer at N tokens. Without it, the model and the tasks set the limits.",
    ),
]
UntrainedOption = Annotated[
    bool,
    typer.Option(
        "--untrained",
        help="Ask the tasks that the model was not trained on, too; its answers to them may mean nothing.",
    ),
]
TableOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the figures as a table, too: FILE.csv for programs, FILE.md for notes, FILE.tex for a paper.",
    ),
]
QuarantineOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Leave out the clips on this list, too. The list beside a manifest always counts.",
    ),
]

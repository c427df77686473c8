"""`nanoemox study`: many trainings that differ in one thing each, and what comes of them."""

from __future__ import annotations

from typing import Annotated

import typer

from nanoemox.cli.console import note
from nanoemox.cli.options import TrainingDeviceOption


def study(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A YAML file of kind study, or the name of one that comes with the package.",
        ),
    ],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ARM", help="Run only this arm; repeat the option for several."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N,N", help="Run only these seeds of the study, with commas between them."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="A few arms for a few steps, into a folder of their own: less than 30 minutes."
        ),
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Train nothing; write the page and the picture from the results.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing; list all runs and say which have a result.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the study, such as results=DIR; repeat the option.",
        ),
    ] = None,
    device: TrainingDeviceOption = None,
) -> None:
    """Train every arm of a study with every seed, measure it, and compare it with the whole method.

    A run that has its result is not repeated, and one that was stopped goes on. The same command in a second window
    takes other runs. The exit status is 1 while runs are missing.
    """
    from nanoemox.files.errors import ArgumentError
    from nanoemox.training.study.arms import chosen, load_study
    from nanoemox.training.study.report import write_report
    from nanoemox.training.study.results import read_results
    from nanoemox.training.study.run import run_study

    try:
        numbers = None if seeds is None else [int(seed) for seed in seeds.split(",")]
    except ValueError as error:
        raise ArgumentError(
            f"--seeds: expected whole numbers with commas between them, got {seeds!r}"
        ) from error
    loaded = load_study(recipe, settings or (), quick)
    asked = chosen(loaded, only, numbers)
    if dry_run:
        missing = set(read_results(loaded).missing)
        for run in asked:
            phases = ", ".join(f"{phase.name}: {phase.steps} steps" for phase in loaded.runs[run].phases)
            typer.echo(f"{run.name}\t{'missing' if run in missing else 'has a result'}\t{phases}")
        return
    if not report:
        outcome = run_study(loaded, only, numbers, device)
        note(
            f"wrote {len(outcome.written)} results to {loaded.recipe.results}; {len(outcome.missing)} are missing"
        )
    found = read_results(loaded)
    for name, why in found.left_out.items():
        note(f"left out: {name} {why}")
    if report or loaded.recipe.page:
        for path in write_report(loaded):
            note(f"wrote {path}")
    if found.missing:
        note(f"missing: {', '.join(run.name for run in found.missing)}")
        raise typer.Exit(1)

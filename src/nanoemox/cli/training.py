"""`nanoemox train` and `features`: what takes hours, and what is computed once so that it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nanoemox.cli.console import console, note
from nanoemox.cli.options import CheckOption, DeviceOption, QuarantineOption, TrainingDeviceOption


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="A YAML file, or the name of a recipe that comes with the package."
        ),
    ],
    phase: Annotated[str | None, typer.Option(metavar="NAME", help="Run only this phase.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep finished phases and go on from the last checkpoint.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe, such as phases.1a.steps=100; repeat the option for several.",
        ),
    ] = None,
    device: TrainingDeviceOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="How many processes decode files, instead of the recipe's `workers`."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Train nothing; report what is there, what is missing, and how much time, memory and disk it takes.",
        ),
    ] = False,
) -> None:
    """Train by a recipe: the backbones, or the three phases from perception to empathy.

    The exit status is 1 if clips could not be used that no quarantine list names, and 2 if a dry run finds
    that the recipe cannot run.
    """
    overrides = [*(settings or ()), *([] if workers is None else [f"workers={workers}"])]
    if dry_run:
        from nanoemox.cli.terminal import show_dry_run
        from nanoemox.training.dry_run import dry_run as look

        report = look(recipe, phase, overrides, device)
        show_dry_run(console(), report)
        if not report.ok:
            raise typer.Exit(2)
        return

    from nanoemox.training.run import train as run

    result = run(recipe, phase=phase, resume=resume, overrides=overrides, device=device)
    note(f"wrote {result.folder}")
    if not result.left_out.ok:
        raise typer.Exit(1)


def curves(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="The folder of a run: what its recipe calls `output`, or the folder of a phase.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="The picture to write. Without it, curves.svg in the folder."),
    ] = None,
) -> None:
    """Draw the loss and the learning rate of a training run as a picture, also while the run goes on."""
    from nanoemox.training.curves import write_curves

    note(f"wrote {write_curves(run, out)}")


def features(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST...", help="JSONL files with one clip per line.")
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="The feature store to write. A store that is there is added to."),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME_OR_PATH",
            help="The model whose frozen encoders compute: pico, a model folder, or a Hub id.",
        ),
    ] = "pico",
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Store float32 or bfloat16. Without it, as the store that is there, or float32.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="How many processes decode files; 0 decodes in this process."),
    ] = 2,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many clips are encoded at once.")
    ] = 16,
    quarantine: QuarantineOption = None,
    device: DeviceOption = "cpu",
    check: CheckOption = True,
) -> None:
    """Compute the outputs of every frozen encoder once, for train and evaluate to read.

    The exit status is 1 if clips could not be used that no quarantine list names.
    """
    from nanoemox.data.extract_features import extract_features
    from nanoemox.data.filtering import LeftOut, read_usable_manifests
    from nanoemox.inference.analyzer import EmotionAnalyzer

    groups, left_out = read_usable_manifests(manifests, quarantine)
    records = list({record.id: record for rows in groups.values() for record in rows}.values())
    analyzer = EmotionAnalyzer.from_pretrained(model, device, check=check)
    store = extract_features(
        records, analyzer.model, analyzer.processor, out, workers, batch_size, dtype=dtype
    )
    left_out |= LeftOut(
        faults={
            manifest: {r.id: store.unreadable[r.id] for r in rows if r.id in store.unreadable}
            for manifest, rows in groups.items()
        }
    )
    for line in left_out.summary():
        note(line)
    size = sum(path.stat().st_size for path in out.glob("shard-*.safetensors"))
    kept = sum(record.id in store for record in records)
    note(f"wrote {out}: {kept} of {len(records)} clips, {store.header['dtype']}, {size / 1e6:.1f} MB in all")
    if not left_out.ok:
        raise typer.Exit(1)

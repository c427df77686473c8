"""`nanoemox train` and `features`: what takes hours, and what is computed once so that it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name or a YAML file.")],
    phase: Annotated[str | None, typer.Option(metavar="NAME", help="Only this phase.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key; may be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only look: what is there, what it takes, how long.")
    ] = False,
) -> None:
    """Train by a recipe: the backbones, or the three phases from perception to empathy.

    Exit status 1 if clips could not be used that no quarantine list names; of a dry run 2 if it cannot run.
    """
    if dry_run:
        _dry_run(recipe, phase, settings or [])
        return
    from nanoemox.data.filtering import LeftOut
    from nanoemox.training.run import run_recipe

    say, left_out = _sayer(), LeftOut()
    folder = run_recipe(
        recipe, phase=phase, resume=resume, overrides=settings or [], say=say, left_out=left_out
    )
    say(f"wrote {folder}")
    if not left_out.ok:
        raise typer.Exit(1)


def features(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST...", help="JSONL, one clip a line; one or more.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The feature store; an earlier run is gone on with.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME_OR_PATH", help="Whose frozen encoders compute.")
    ] = "pico",
    dtype: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Store float32 or bfloat16; else as the store, or float32."),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Processes that decode files.")] = 2,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Clips at a time.")] = 16,
    quarantine: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Leave these out too, beside the manifests' own lists."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="Where torch computes, such as cuda.")] = "cpu",
) -> None:
    """Compute every frozen encoder's outputs once, for train and evaluate to read.

    Exit status 1 if clips could not be used that no quarantine list names.
    """
    from nanoemox.data.extract_features import extract_features
    from nanoemox.data.filtering import LeftOut, distinct, read_usable
    from nanoemox.inference.analyzer import EmotionAnalyzer

    say, left_out = _sayer(), LeftOut()
    groups = distinct({str(path): read_usable(path, left_out, quarantine) for path in manifests})
    records = list({record.id: record for rows in groups.values() for record in rows}.values())
    analyzer = EmotionAnalyzer.from_pretrained(model, device)
    store = extract_features(
        records, analyzer.model, analyzer.processor, out, workers, batch_size, dtype=dtype
    )
    for manifest, rows in groups.items():
        lost = {r.id: store.unreadable[r.id] for r in rows if r.id in store.unreadable}
        left_out.add_faults(manifest, lost)
    for line in left_out.summary():
        say(line)
    size = sum(path.stat().st_size for path in out.glob("shard-*.safetensors"))
    kept = sum(record.id in store for record in records)
    say(f"wrote {out}: {kept} of {len(records)} clips, {store.header['dtype']}, {size / 1e6:.1f} MB in all")
    if not left_out.ok:
        raise typer.Exit(1)


def _dry_run(recipe: str, phase: str | None, settings: list[str]) -> None:
    from rich.console import Console

    from nanoemox.cli.terminal import show_dry_run
    from nanoemox.training.dry_run import dry_run

    report = dry_run(recipe, phase, settings)
    show_dry_run(Console(), report)
    if not report.ok:
        raise typer.Exit(2)


def _sayer() -> Callable[[str], None]:
    from rich.console import Console

    console = Console()
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)

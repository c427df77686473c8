"""`nanoemox assemble`, `convert` and `classify`: model folders from others' weights; small encoders from nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

_CLIP, _HUBERT = "openai/clip-vit-large-patch14", "TencentGameMate/chinese-hubert-large"
_FACEXFORMER = "kartiknarayan/facexformer"
_QWEN = {"nano": "Qwen/Qwen2.5-1.5B-Instruct", "affectgpt": "Qwen/Qwen2.5-7B-Instruct"}


def assemble(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The model folder to write; must not exist.")],
    vision: Annotated[
        str, typer.Option(metavar="ID_OR_FOLDER", help="CLIP, with or without its text tower.")
    ] = _CLIP,
    audio: Annotated[str, typer.Option(metavar="ID_OR_FOLDER", help="HuBERT.")] = _HUBERT,
    face: Annotated[str, typer.Option(metavar="FILE_OR_ID", help="FaceXFormer's checkpoint.")] = _FACEXFORMER,
    lm: Annotated[
        str | None, typer.Option(metavar="ID_OR_FOLDER", help="Qwen2.5; else the preset's own.")
    ] = None,
    preset: Annotated[str, typer.Option(metavar="NAME", help="nano, or affectgpt (no face).")] = "nano",
    random: Annotated[
        str | None, typer.Option(metavar="PRESET", help="Random weights at this preset's size instead.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(metavar="NAME", help="bfloat16, float16, or float32 to train.")
    ] = "bfloat16",
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the parts that are not pretrained.")] = 0,
    revision: Annotated[
        list[str] | None,
        typer.Option(metavar="PART=NAME", help="Branch, tag or commit of vision, audio, lm or face."),
    ] = None,
) -> None:
    """Build a full-size model folder from pretrained backbones, or with random weights."""
    from nanoemox import assemble as assembling

    if dtype not in assembling.TORCH_DTYPES:
        raise ValueError(f"--dtype {dtype}: expected one of {', '.join(assembling.TORCH_DTYPES)}")
    say = _sayer()
    if random is not None:
        assembling.assemble_random(random, out, dtype=dtype, seed=seed, say=say)
    else:
        if preset not in _QWEN:
            raise ValueError(f"--preset {preset}: expected one of {', '.join(_QWEN)}")
        assembling.assemble(
            out,
            vision=vision,
            audio=audio,
            lm=lm or _QWEN[preset],
            face=face if preset == "nano" else None,
            preset=preset,
            dtype=dtype,
            seed=seed,
            revisions=_pairs("--revision", revision, ("vision", "audio", "lm", "face")),
            say=say,
        )
    say(f"wrote {out}")


def convert(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT...", help="Published .pth files in the order of loading."),
    ],
    base: Annotated[str, typer.Option(metavar="FOLDER_OR_ID", help="The backbones: what assemble wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model folder to write; must not exist.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=NUMBER", help="A number no tensor tells, such as video_tokens."),
    ] = None,
) -> None:
    """Lay published checkpoints of Nano-EmoX or AffectGPT over their backbones."""
    from nanoemox.convert import convert as run

    pairs = _pairs("--set", settings)
    wrong = [f"{key}={value}" for key, value in pairs.items() if not value.isdigit()]
    if wrong:
        raise ValueError(f"--set {wrong[0]}: expected a whole number")
    numbers = {key: int(value) for key, value in pairs.items()}
    say = _sayer()
    report = run(checkpoints, base, out, settings=numbers, say=say)
    for part, count in report.filled.items():
        say(f"{part}: {count} tensors from the checkpoints")
    untouched = [part for part in report.kept if part not in report.filled]
    say(f"as in the base: {', '.join(untouched) or 'nothing'}")
    say(f"dropped, since nothing reads them: {', '.join(report.dropped) or 'nothing'}")
    say(f"wrote {out}")


def _pairs(option: str, values: Sequence[str] | None, known: Sequence[str] | None = None) -> dict[str, str]:
    """KEY=VALUE options as a dictionary."""
    pairs = {}
    for value in values or ():
        key, equals, rest = value.partition("=")
        if not (key and equals and rest) or (known and key not in known):
            raise ValueError(f"{option} {value}: expected {'|'.join(known or ('KEY',))}=VALUE")
        pairs[key] = rest
    return pairs


def classify(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSONL, one labelled clip a line.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for report.json and predictions.jsonl.")],
    sense: Annotated[str, typer.Option(metavar="NAME", help="voice, face or words.")],
    task: Annotated[
        str, typer.Option("--task", "-t", metavar="NAME", help="emotion, sentiment or intent.")
    ] = "emotion",
    test: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="Test on this one; else on folds of speakers.")
    ] = None,
    folds: Annotated[int, typer.Option(metavar="N", min=2, help="How many folds.")] = 4,
    steps: Annotated[int | None, typer.Option(metavar="N", min=2, help="Else the sense's own.")] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", min=1, help="Else one a core.")] = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of folds, network and views.")] = 0,
) -> None:
    """Train a small encoder from nothing on a manifest, beside scikit-learn on the same people."""
    from rich.console import Console

    from nanoemox import fitting
    from nanoemox.classify import classify as run
    from nanoemox.terminal import show_systems

    with fitting.threads(threads):
        report = run(manifest, sense, task, out, test, folds, seed, steps, _sayer())
    show_systems(Console(), report)
    if report["skipped"]:
        raise typer.Exit(1)


def _sayer() -> Callable[[str], None]:
    """Prints one plain line."""
    from rich.console import Console

    console = Console()
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)

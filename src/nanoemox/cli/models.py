"""`assemble`, `convert`, `export`: model folders in and out; `classify`: small encoders from nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
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
        str,
        typer.Option(metavar="NAME", help="bfloat16, float16 or float32; what is trained is float32 anyway."),
    ] = "bfloat16",
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the parts that are not pretrained.")] = 0,
    revision: Annotated[
        list[str] | None,
        typer.Option(metavar="PART=NAME", help="Branch, tag or commit of vision, audio, lm or face."),
    ] = None,
) -> None:
    """Build a full-size model folder from pretrained backbones, or with random weights."""
    from nanoemox.checkpoints import assemble as assembling
    from nanoemox.checkpoints.weight_files import TORCH_DTYPES

    if dtype not in TORCH_DTYPES:
        raise ValueError(f"--dtype {dtype}: expected one of {', '.join(TORCH_DTYPES)}")
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


class Target(StrEnum):
    """What `convert` writes."""

    folder = "folder"
    official = "official"


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Published .pth files in the order of loading; with --to official, one model folder.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="PATH", help="Folder (or .pth) to write; must not exist.")],
    base: Annotated[
        str | None, typer.Option(metavar="FOLDER_OR_ID", help="The backbones: what assemble wrote.")
    ] = None,
    to: Annotated[
        Target, typer.Option(help="A model folder, or the way back: a .pth with the official code's names.")
    ] = Target.folder,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=NUMBER", help="A number no tensor tells, such as video_tokens."),
    ] = None,
) -> None:
    """Lay official checkpoints of Nano-EmoX or AffectGPT over their backbones; or back, with --to official."""
    from nanoemox.checkpoints import convert as converting

    say = _sayer()
    if to is Target.official:
        if len(sources) != 1 or base is not None or settings:
            raise ValueError("--to official: expected one model folder and --out FILE.pth, and nothing else")
        for part, count in converting.write_official(sources[0], out).items():
            say(f"{part}: {count} tensors")
        say(f"wrote {out}")
        return
    if base is None:
        raise ValueError("--base is missing: name the folder that assemble wrote for these checkpoints")
    pairs = _pairs("--set", settings)
    wrong = [f"{key}={value}" for key, value in pairs.items() if not value.isdigit()]
    if wrong:
        raise ValueError(f"--set {wrong[0]}: expected a whole number")
    numbers = {key: int(value) for key, value in pairs.items()}
    report = converting.convert(sources, base, out, settings=numbers, say=say)
    lora = report.filled.pop("lora", 0)
    for part, count in report.filled.items():
        left = f", {report.kept[part]} as in the base" if part in report.kept else ""
        say(f"{part}: {count} tensors from the checkpoints{left}")
    if lora:
        say(f"lm: LoRA merged into {lora // 2} tensors, the rest as in the base; LoRA itself is in lora/")
    untouched = [p for p in report.kept if p not in report.filled and not (lora and p == "lm")]
    say(f"as in the base: {', '.join(untouched) or 'nothing'}")
    say(f"dropped, since nothing reads them: {', '.join(report.dropped) or 'nothing'}")
    if report.ignored:
        say(f"beside the weights, and left out: {', '.join(report.ignored)}")
    say(f"wrote {out}")


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A folder that training wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; must not exist.")],
    dtype: Annotated[str, typer.Option(metavar="NAME", help="bfloat16, float16 or float32.")] = "bfloat16",
    figures: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The report.json of evaluate; its figures go on the card."),
    ] = None,
) -> None:
    """Write a trained model in another float type, with a card, as others get it."""
    from nanoemox.checkpoints.export import export as run
    from nanoemox.checkpoints.weight_files import TORCH_DTYPES

    if dtype not in TORCH_DTYPES:
        raise ValueError(f"--dtype {dtype}: expected one of {', '.join(TORCH_DTYPES)}")
    _sayer()(f"wrote {run(model, out, dtype, figures)}")


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

    from nanoemox.baselines.classify import classify as run
    from nanoemox.cli.terminal import show_systems
    from nanoemox.training import trainer

    with trainer.threads(threads):
        report = run(manifest, sense, task, out, test, folds, seed, steps, _sayer())
    show_systems(Console(), report)
    if report["skipped"]:
        raise typer.Exit(1)


def _sayer() -> Callable[[str], None]:
    """Prints one plain line."""
    from rich.console import Console

    console = Console()
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)

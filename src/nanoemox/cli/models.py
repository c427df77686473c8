"""`assemble`, `convert`, `export`: model folders in and out; `classify`: small networks from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nanoemox.cli.console import JsonOption, check_json, console, note, write_result
from nanoemox.files.errors import ArgumentError

if TYPE_CHECKING:
    from nanoemox.checkpoints.convert import Conversion

_LARGE = ("openai/clip-vit-large-patch14", "TencentGameMate/chinese-hubert-large")
_BASE = ("openai/clip-vit-base-patch16", "TencentGameMate/chinese-hubert-base", "Qwen/Qwen3-0.6B")
_FACEXFORMER = "kartiknarayan/facexformer"
# Preset -> its encoders of the scene and the voice, and its language model.
_BACKBONES = {
    "nano": (*_LARGE, "Qwen/Qwen2.5-1.5B-Instruct"),
    "affectgpt": (*_LARGE, "Qwen/Qwen2.5-7B-Instruct"),
    "nano-s": _BASE,
    "light-mer": _BASE,
}


def assemble(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The model folder to write; it must not exist yet.")
    ],
    lm: Annotated[
        str | None,
        typer.Option(
            metavar="ID_OR_FOLDER",
            help="The language model: any decoder, such as Qwen, SmolLM, Llama or Gemma. Without it, the preset's.",
        ),
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(
            metavar="ID_OR_FOLDER",
            help="The encoder of the scene: CLIP, SigLIP, DINOv2, DINOv3 or ViT. Without it, the preset's.",
        ),
    ] = None,
    audio: Annotated[
        str | None,
        typer.Option(
            metavar="ID_OR_FOLDER",
            help="The encoder of the voice: HuBERT, wav2vec 2.0, WavLM or Whisper. Without it, the preset's.",
        ),
    ] = None,
    face: Annotated[
        str,
        typer.Option(
            metavar="ID_OR_FILE",
            help="The encoder of the face: the checkpoint of FaceXFormer, any picture encoder, or none.",
        ),
    ] = _FACEXFORMER,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What stands between them: nano, nano-s, affectgpt or light-mer, these two without a face encoder.",
        ),
    ] = "nano",
    random: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET", help="Fetch nothing; write random weights in the size of this preset."
        ),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The type of the weights: bfloat16, float16 or float32. Training uses float32 for what it trains.",
        ),
    ] = "bfloat16",
    seed: Annotated[
        int, typer.Option(metavar="S", min=0, help="The seed of the parts that are not pretrained.")
    ] = 0,
    revision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART=NAME",
            help="Take this branch, tag or commit of video, audio, lm or face; repeat the option for several.",
        ),
    ] = None,
) -> None:
    """Build a full-size model folder from pretrained backbones, or with random weights."""
    from nanoemox.checkpoints.assemble import assemble as run
    from nanoemox.checkpoints.assemble import assemble_random

    if random is not None:
        assemble_random(random, out, dtype=dtype, seed=seed)
    else:
        if preset not in _BACKBONES:
            raise ArgumentError(f"--preset {preset}: expected one of {', '.join(_BACKBONES)}")
        of_scene, of_voice, of_words = _BACKBONES[preset]
        run(
            out,
            video=video or of_scene,
            audio=audio or of_voice,
            lm=lm or of_words,
            face=face,
            preset=preset,
            dtype=dtype,
            seed=seed,
            revisions=_pairs("--revision", revision, ("video", "audio", "lm", "face")),
        )
    note(f"wrote {out}")


class Target(StrEnum):
    """What `convert` writes."""

    folder = "folder"
    official = "official"


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Official .pth files in the order of loading. With --to official, one model folder.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="PATH", help="The folder (or .pth file) to write; it must not exist yet."),
    ],
    base: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER_OR_ID",
            help="The model folder with the backbones, as `nanoemox assemble` writes it.",
        ),
    ] = None,
    to: Annotated[
        Target,
        typer.Option(
            help="What to write: a model folder, or the way back, a .pth with the names of the official code."
        ),
    ] = Target.folder,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=NUMBER",
            help="Set a number that no tensor tells, such as video_tokens; repeat the option for several.",
        ),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Lay official checkpoints of Nano-EmoX or AffectGPT over their backbones. --to official goes the way back."""
    check_json(json_file)
    if to is Target.official:
        if len(sources) != 1 or base is not None or settings:
            raise ArgumentError(
                "--to official: expected one model folder and --out FILE.pth, and nothing else"
            )
        from nanoemox.checkpoints.official_checkpoint import write_official

        counts = write_official(sources[0], out)
        if not write_result({"tensors": counts}, json_file):
            for part, count in counts.items():
                typer.echo(f"{part}: {count} tensors")
        note(f"wrote {out}")
        return
    if base is None:
        raise ArgumentError("--base is missing: name the folder that assemble wrote for these checkpoints")
    pairs = _pairs("--set", settings)
    wrong = [f"{key}={value}" for key, value in pairs.items() if not value.isdigit()]
    if wrong:
        raise ArgumentError(f"--set {wrong[0]}: expected a whole number")

    from nanoemox.checkpoints.convert import convert as run

    report = run(sources, base, out, settings={key: int(value) for key, value in pairs.items()})
    if not write_result(report.to_dict(), json_file):
        _show_conversion(report)
    note(f"wrote {out}")


def _show_conversion(report: Conversion) -> None:
    """What became of every tensor, in lines that a person reads."""
    filled = {part: count for part, count in report.filled.items() if part != "lora"}
    lora = report.filled.get("lora", 0)
    for part, count in filled.items():
        left = f", {report.kept[part]} as in the base" if part in report.kept else ""
        typer.echo(f"{part}: {count} tensors from the checkpoints{left}")
    if lora:
        typer.echo(
            f"lm: LoRA merged into {lora // 2} tensors, the rest as in the base; LoRA itself is in lora/"
        )
    untouched = [p for p in report.kept if p not in filled and not (lora and p == "lm")]
    typer.echo(f"as in the base: {', '.join(untouched) or 'nothing'}")
    typer.echo(f"dropped, since nothing reads them: {', '.join(report.dropped) or 'nothing'}")
    if report.ignored:
        typer.echo(f"beside the weights, and left out: {', '.join(report.ignored)}")


class Form(StrEnum):
    """What `export` writes."""

    folder = "folder"
    openvino = "openvino"


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model folder that training wrote, or pico, the bundled model."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; it must not exist yet.")],
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The type of the weights: bfloat16, float16 or float32. Without it, bfloat16.",
        ),
    ] = None,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="What to write: a folder for everything, or one for CPUs that can only answer (extra `openvino`).",
        ),
    ] = Form.folder,
    bits: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="With --format openvino: the bits of a weight, 8, 4, 16 or 32. Without it, 8."
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A report.json of `nanoemox evaluate`; its figures go on the model card."
        ),
    ] = None,
) -> None:
    """Write a trained model as others get it: in one type of weights, with a model card."""
    if form is Form.openvino:
        if dtype is not None:
            raise ArgumentError("--dtype: weights for OpenVINO are given in bits; take --bits 8, 4, 16 or 32")
        from nanoemox.checkpoints.openvino_export import export_openvino

        note(f"wrote {export_openvino(model, out, 8 if bits is None else bits, figures)}")
        return
    if bits is not None:
        raise ArgumentError(
            "--bits: belongs to --format openvino; without it, --dtype says how weights are stored"
        )
    from nanoemox.checkpoints.export import export as run

    note(f"wrote {run(model, out, dtype or 'bfloat16', figures)}")


def _pairs(option: str, values: Sequence[str] | None, known: Sequence[str] | None = None) -> dict[str, str]:
    """KEY=VALUE options as a dictionary."""
    pairs = {}
    for value in values or ():
        key, equals, rest = value.partition("=")
        if not (key and equals and rest) or (known and key not in known):
            raise ArgumentError(f"{option} {value}: expected {'|'.join(known or ('KEY',))}=VALUE")
        pairs[key] = rest
    return pairs


def classify(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A JSONL file with one labelled clip per line.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that gets report.json and predictions.jsonl.")
    ],
    modality: Annotated[
        str, typer.Option(metavar="NAME", help="What the network reads: audio, video (one frame) or text.")
    ],
    task: Annotated[
        str,
        typer.Option("--task", "-t", metavar="NAME", help="What it answers: emotion, sentiment or intent."),
    ] = "emotion",
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST", help="Test on the clips of this manifest. Without it, on folds of speakers."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(metavar="N", min=2, help="The number of folds.")] = 4,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="The number of training steps. Without it, the network's own."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="How many threads compute. Without it, one per core."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="S", min=0, help="The seed of the folds, of the network's weights and of its training."
        ),
    ] = 0,
    json_file: JsonOption = None,
) -> None:
    """Train a small network from nothing on a manifest, and compare it with scikit-learn on the same people.

    The exit status is 1 if a clip was left out.
    """
    check_json(json_file)

    from nanoemox.baselines.classify import classify as run
    from nanoemox.training.trainer import threads as using

    with using(threads):
        report = run(manifest, modality, task, out, test, folds, seed, steps)
    if not write_result(report.to_dict(), json_file):
        from nanoemox.cli.terminal import show_systems

        show_systems(console(), report)
    if report.left_out:
        raise typer.Exit(1)

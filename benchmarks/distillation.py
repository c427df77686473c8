"""Whether a small student's loss falls faster beside a teacher (SWD-H) than without one, over some seeds.

    python benchmarks/distillation.py [--seeds 3] [--steps 200] [--batch-size 8] [--clips 160] [--weight 1.0] [--cut]

Makes clips of Affect Theatre. The teacher is the bundled model. The student has its frozen encoders, random adapters,
and a language model of half its width and a third of its layers with random weights; with `--cut`, the first and the
last layer of the teacher's own, so that it knows the language from the start, as Light-MER's student did. Each seed
trains it twice by one recipe, on the same examples in the same order, with `distillation` and without. Prints one line
of JSON: the cross-entropy over the answers' tokens, averaged over each quarter of the training, and on clips that were
not trained on.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml

from nanoemox import __version__
from nanoemox.checkpoints.load import load_model
from nanoemox.data.extract_features import extract_features
from nanoemox.data.manifest import read_manifest
from nanoemox.model.configuration_nanoemox import ENCODERS, NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.theatre.make import make_theatre
from nanoemox.training.mixture import Examples, schedule
from nanoemox.training.recipe import Phase
from nanoemox.training.run import train

TEACHER = "pico"
TASKS = {"emotion": 1, "open_vocabulary": 1, "intent": 1, "reasoning": 1, "empathy": 1}
PARTS = ["audio_adapter", "video_adapter", "face_adapter", "fusion", "lm"]
SMALLER = {
    "hidden_size": 96,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "layer_types": None,
}
CUT = {"num_hidden_layers": 2, "layer_types": None}


def make_student(folder: Path, seed: int, cut: bool) -> None:
    """The teacher's encoders and processor, random adapters, a small language model: random, or cut out of its."""
    teacher, processor = load_model(TEACHER, dtype=torch.float32)
    settings = teacher.config.to_dict()
    settings["text_config"] = {**settings["text_config"], **(CUT if cut else SMALLER)}
    settings["dtype"] = "float32"
    torch.manual_seed(seed)
    student = NanoEmoXForConditionalGeneration(NanoEmoXConfig.from_dict(settings))
    for part in ENCODERS:
        student.parts()[part].load_state_dict(teacher.parts()[part].state_dict())
    if cut:
        lm, layers = teacher.language_model.model, student.language_model.model.layers
        student.language_model.model.embed_tokens.load_state_dict(lm.embed_tokens.state_dict())
        student.language_model.model.norm.load_state_dict(lm.norm.state_dict())
        for own, its in zip(layers, (lm.layers[0], lm.layers[-1]), strict=True):
            own.load_state_dict(its.state_dict())
    student.save_pretrained(folder)
    processor.save_pretrained(folder)


def phase_of(arguments: argparse.Namespace, taught: bool) -> dict[str, Any]:
    """The one phase of the recipe."""
    about = {"teacher": TEACHER, "weight": arguments.weight, "ramp_steps": max(1, arguments.steps // 10)}
    return {
        "name": "student",
        "train": PARTS,
        "tasks": TASKS,
        "steps": arguments.steps,
        "batch_size": arguments.batch_size,
        "learning_rate": 2.0e-3,
        "warmup_steps": max(1, arguments.steps // 10),
        "log_every": 1,
        "save_every": arguments.steps,
        "threads": 1,
        **({"distillation": about} if taught else {}),
    }


@torch.no_grad()
def held_out(folder: Path, manifest: Path, store: Path) -> float:
    """Cross-entropy over the answers' tokens on other clips, each asked one task in turn."""
    model, processor = load_model(folder, dtype=torch.float32)
    records = read_manifest(manifest)
    features = extract_features(records, model, processor, store, 0)
    phase = Phase(
        name="held out", train=PARTS, tasks=TASKS, steps=len(records), batch_size=1, learning_rate=1
    )
    examples = Examples(records, schedule(records, phase, 1), features, processor)
    total, tokens = 0.0, 0
    for start in range(0, len(examples), 8):
        rows = range(start, min(start + 8, len(examples)))
        batch = examples.collate([examples[i] for i in rows])
        number = int((batch["labels"] != -100).sum())
        total, tokens = total + float(model(**batch).loss) * number, tokens + number
    return total / tokens


def run(arguments: argparse.Namespace, folder: Path, seed: int, taught: bool) -> dict[str, Any]:
    """Train the student of one seed; its figures."""
    name = f"{'taught' if taught else 'alone'}-{seed}"
    recipe = {
        "kind": "p2e",
        "name": name,
        "model": str(folder / f"student-{seed}"),
        "output": str(folder / name),
        "manifests": [str(folder / "train" / "manifest.jsonl")],
        "features": str(folder / "features"),
        "workers": 1,
        "seed": seed,
        "phases": [phase_of(arguments, taught)],
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    started = time.perf_counter()
    trained = train(path, device="cpu").folder
    seconds = time.perf_counter() - started
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [line.get("cross_entropy", line["loss"]) for line in lines if "loss" in line]
    quarter = max(1, len(losses) // 4)
    found = {
        "quarters": [round(statistics.fmean(losses[i * quarter : (i + 1) * quarter]), 4) for i in range(4)],
        "held_out": round(held_out(trained, folder / "val" / "manifest.jsonl", folder / "features-val"), 4),
        "seconds": round(seconds, 1),
    }
    if taught:
        distances = [line["distillation"] for line in lines if "distillation" in line]
        found["distance"] = [round(distances[0], 4), round(statistics.fmean(distances[-quarter:]), 4)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--steps", type=int, default=200, help="of each training")
    parser.add_argument("--batch-size", type=int, default=8, help="examples a step")
    parser.add_argument("--clips", type=int, default=160, help="to train on; a quarter as many are held out")
    parser.add_argument("--weight", type=float, default=1.0, help="of the distance")
    parser.add_argument(
        "--cut", action="store_true", help="begin with two layers of the teacher's language model"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_theatre(folder / "train", arguments.clips, 5, "train", 1, quiet=True)
        make_theatre(folder / "val", max(1, arguments.clips // 4), 6, "val", 1, quiet=True)
        runs = {}
        for seed in range(1, arguments.seeds + 1):
            make_student(folder / f"student-{seed}", seed, arguments.cut)
            runs[seed] = {
                kind: run(arguments, folder, seed, kind == "taught") for kind in ("alone", "taught")
            }
    gains = {
        figure: [
            round(_last(both["alone"][figure]) - _last(both["taught"][figure]), 4) for both in runs.values()
        ]
        for figure in ("quarters", "held_out")
    }
    result = {
        "benchmark": "distillation",
        "settings": vars(arguments),
        "seeds": runs,
        "lower_with_a_teacher_by": {"last quarter": gains["quarters"], "held out": gains["held_out"]},
        "versions": {
            "nanoemox": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "machine": f"{platform.machine()}, {platform.system()}, {torch.get_num_threads()} thread",
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


def _last(figures: Any) -> float:
    return float(figures[-1] if isinstance(figures, list) else figures)


if __name__ == "__main__":
    raise SystemExit(main())

"""Steps a second with and without stored features, and how far a store moves the loss.

    python benchmarks/training.py [--nano] [--steps 4] [--batch-size N] [--clips 24]

Makes its own clips (Affect Theatre) and models with random weights, and prints one line of JSON. Phases 1a and 3 of the
recipes are taken as they are. "without" decodes the files and runs the frozen encoders at every step. `--nano` adds the
paper's size: bfloat16 weights, 5 GB on disk and about 10 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from nanoemox import __version__
from nanoemox.checkpoints.assemble import assemble_random
from nanoemox.data.decoded_clips import LiveMedia
from nanoemox.data.extract_features import extract_features
from nanoemox.data.feature_store import clip_bytes
from nanoemox.data.manifest import read_manifest
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import trainable_parts
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.theatre.make import make_theatre
from nanoemox.training.mixture import Examples, schedule
from nanoemox.training.p2e import plan_phase, start_model, with_lora
from nanoemox.training.recipe import P2ERecipe, Phase, load_recipe
from nanoemox.training.trainer import time_steps


def one_size(size: str, folder: Path, manifest: Path, steps: int, batch_size: int | None) -> dict[str, Any]:
    """Figures of one model size."""
    dtype = "bfloat16" if size == "nano" else "float32"
    assemble_random(size, folder / size, dtype=dtype)
    recipe = load_recipe(f"p2e_{size}", [f"model={folder / size}"])
    assert isinstance(recipe, P2ERecipe)
    records = read_manifest(manifest)
    processor = NanoEmoXProcessor.from_pretrained(recipe.model)
    phases, scheduled = {}, {}
    for phase in recipe.phases:
        if phase.name in ("1a", "3"):
            size_of = {
                "batch_size": batch_size or phase.batch_size,
                "steps": steps,
                "after": [],
                "diversity": 0.0,  # this penalty reads stored features, so that "without" would lack it
                "threads": 1,
                "log_every": 1,  # so that the loss of the first step is known
            }
            phases[phase.name] = phase.model_copy(update=size_of)
            scheduled[phase.name] = schedule(records, phases[phase.name], recipe.seed)
    used = sorted({example.record for order in scheduled.values() for example in order})
    needed = [records[row] for row in used]
    model = NanoEmoXForConditionalGeneration.from_pretrained(recipe.model).eval()
    sources: dict[str, Any] = {"without": LiveMedia(records, processor)}
    for kind in ("float32", "bfloat16"):
        store = folder / f"{size}-{kind}"
        most = max(phase.batch_size for phase in phases.values())
        sources[kind] = extract_features(needed, model, processor, store, 0, most, dtype=kind)
    result: dict[str, Any] = {"clip_kb_bfloat16": clip_bytes(model.config, "bfloat16") / 1000}
    losses = {kind: loss_in_the_folders_precision(model, phases["3"], scheduled["3"], records, processor, source)
              for kind, source in sources.items()}  # fmt: skip
    result["loss_without_autocast"] = losses["without"]
    for kind in ("float32", "bfloat16"):
        result[f"moved_by_{kind}_store"] = abs(losses[kind] - losses["without"])
    del model
    for name, phase in phases.items():
        figures: dict[str, Any] = {"batch_size": phase.batch_size, "steps": steps}
        losses = {}
        for kind, source in sources.items():
            examples = Examples(records, scheduled[name], source, processor)
            timed = time_steps(plan_phase(trained_model(recipe, phase), examples, phase, recipe.seed))
            step_s = statistics.median_high(timed.seconds[1:] or timed.seconds)  # the first one warms up
            figures[f"{'with_' * (kind != 'without')}{kind}_steps_per_s"] = round(1 / step_s, 4)
            losses[kind] = timed.losses[0]
        figures["ratio"] = round(figures["with_float32_steps_per_s"] / figures["without_steps_per_s"], 1)
        for kind in ("float32", "bfloat16"):
            figures[f"loss_moved_by_{kind}_store"] = abs(losses[kind] - losses["without"])
        result[f"phase_{name}"] = figures | {"loss": round(losses["without"], 6)}
    return result


@torch.no_grad()
def loss_in_the_folders_precision(
    model: Any, phase: Phase, scheduled: Any, records: Any, processor: Any, source: Any
) -> float:
    """Loss of the phase's first batch."""
    examples = Examples(records, scheduled, source, processor)
    return float(model(**examples.collate([examples[i] for i in range(phase.batch_size)])).loss)


def trained_model(recipe: P2ERecipe, phase: Phase) -> Any:
    """The phase's model at its start."""
    model: Any = start_model(recipe, phase)
    model = with_lora(model, phase) if phase.lora else model
    trainable_parts(model, phase.train)
    return model


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nano", action="store_true", help="also the paper's size")
    parser.add_argument("--steps", type=int, default=4, help="the first is not counted")
    parser.add_argument("--nano-steps", type=int, default=2, help="the same for nano")
    parser.add_argument("--batch-size", type=int, help="instead of the recipe's")
    parser.add_argument("--nano-batch-size", type=int, help="the same for nano")
    parser.add_argument("--clips", type=int, default=24, help="how many clips to make")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_theatre(folder / "theatre", arguments.clips, 5, "train", 1, quiet=True)
        result: dict[str, Any] = {"benchmark": "training"}
        for size in ("pico", *(["nano"] * arguments.nano)):
            steps, batch_size = arguments.steps, arguments.batch_size
            if size == "nano":
                steps, batch_size = arguments.nano_steps, arguments.nano_batch_size
            manifest = folder / "theatre" / "manifest.jsonl"
            result[size] = one_size(size, folder, manifest, steps, batch_size)
    result["versions"] = {
        "nanoemox": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    result["machine"] = f"{platform.machine()}, {platform.system()}, {torch.get_num_threads()} thread"
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

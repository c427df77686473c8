"""A model folder as a checkpoint of the official code: `convert` the other way, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nanoemox.checkpoints.check_folder import check_folder
from nanoemox.checkpoints.load import load_config
from nanoemox.checkpoints.official_names import official_name
from nanoemox.checkpoints.weight_files import WeightsError, open_weights, raise_problems
from nanoemox.files.atomic import whole_file
from nanoemox.files.errors import ArgumentError
from nanoemox.files.listed import one_or_more
from nanoemox.model.configuration_nanoemox import PARTS
from nanoemox.model.parts import part_of

_ENDINGS = (".pth", ".pt")


def _is_ours(name: str) -> bool:
    """Whether one of the model's parts holds a tensor of this name."""
    return ".lora_" in name or any(name.startswith(f"{prefix}.") for prefix in PARTS.values())


def official_state(
    folder: str | Path, parts: Sequence[str] = ("video_adapter", "audio_adapter", "face_adapter", "fusion")
) -> dict[str, Tensor]:
    """Parts of a model folder under the names of its official code, and its LoRA if there is a `lora/` beside them."""
    folder, parts = Path(folder), one_or_more(parts)
    # AffectGPT and Light-MER call the projection of the face or the frames by another name, and would not find ours.
    dialect = {} if load_config(folder).fusion_type == "experts" else {"video_proj.": "affectgpt_proj."}
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ArgumentError(f"unknown part {', '.join(sorted(unknown))}: expected some of {', '.join(PARTS)}")
    state: dict[str, Tensor] = {}
    thirds: dict[str, dict[int, Tensor]] = {}
    with open_weights(folder) as weights:
        foreign = [f"{name} belongs to no part of the model" for name in weights if not _is_ours(name)]
        raise_problems(folder, foreign, "expected the weights of a Nano-EmoX model")
        for name, stored in weights.items():
            if part_of(name) in parts:
                theirs, third = official_name(name)
                for ours, other in dialect.items():
                    theirs = theirs.replace(ours, other)
                if third is None:
                    state[theirs] = stored.read().clone()
                else:
                    thirds.setdefault(theirs, {})[third] = stored.read()
    state |= {name: torch.cat([pieces[i] for i in range(3)]) for name, pieces in thirds.items()}
    adapter = folder / "lora" / "adapter_model.safetensors"
    if adapter.is_file():
        with open_weights(adapter) as weights:
            for name, stored in weights.items():  # after training, other parts lie there too
                module, lora, letter = name.removeprefix("base_model.model.").rpartition(".lora_")
                if lora:
                    theirs = official_name(f"{module}.weight")[0].removesuffix(".weight")
                    state[f"{theirs}.lora_{letter[0]}.default.weight"] = stored.read().clone()
    return state


def write_official(folder: str | Path, path: str | Path) -> dict[str, int]:
    """A `.pth` as the official code writes one, for its code to load; returns the tensors of each part in it."""
    path = Path(path)
    if path.suffix.lower() not in _ENDINGS:
        raise ArgumentError(
            f"{path}: expected a file name that ends in {' or '.join(_ENDINGS)}; correct --out"
        )
    if path.exists():
        raise WeightsError(f"{path}: exists already; name a new file, or remove it")
    if not path.absolute().parent.is_dir():
        raise WeightsError(f"{path}: the folder {path.parent} does not exist; make it first")
    check_folder(Path(folder))
    state = official_state(folder)
    if not state:
        raise WeightsError(
            f"{folder}: expected adapters, fusion or LoRA, found none; name a whole model folder"
        )
    with whole_file(path) as temporary:
        torch.save({"model": state}, temporary)
    lora = sum(".lora_" in name for name in state)
    return {"adapters and fusion": len(state) - lora, "LoRA": lora}

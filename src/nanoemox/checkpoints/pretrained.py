"""Pretrained backbones on disk: found, checked to be of the right kind, and every tensor given its place.

A tensor of a source is used, dropped by name because the model has no use for it (CLIP's text tower, FaceXFormer's
decoder), or an error; a parameter of ours that a source lacks is an error too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPVisionConfig,
    HubertConfig,
    PreTrainedConfig,
    Qwen2Config,
)
from transformers.models.swin.modeling_swin import SwinRelativePositionBias

from nanoemox.checkpoints.check_folder import check_no_code
from nanoemox.checkpoints.hub import find_part, public_name
from nanoemox.checkpoints.official_names import official_name
from nanoemox.checkpoints.weight_files import Weights, WeightsError, raise_problems, read_object

FACE_KEY = "state_dict_backbone"  # where FaceXFormer's checkpoint keeps its weights
_FACE_PREFIX = "facial_encoder.facexformer."
_KINDS: dict[str, tuple[str, ...]] = {
    "vision_encoder": ("clip", "clip_vision_model"),
    "audio_encoder": ("hubert",),
    "lm": ("qwen2",),
}
# What a source holds beside what the model uses, by part.
UNUSED = {
    "vision_encoder": r"text_model\..*|text_projection\.weight|visual_projection\.weight|logit_scale|.*\.position_ids",
    "audio_encoder": r"(hubert\.)?masked_spec_embed",
    "face_encoder": r"face_decoder\..*|pe_layer\..*|backbone\..*\.relative_position_index",
    "lm": r"lm_head\.weight|.*\.rotary_emb\.inv_freq",
}


@dataclass
class Source:
    """Where one part came from and what became of its tensors."""

    name: str
    revision: str | None = None
    used: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # first component of the name -> tensors


@dataclass
class Part:
    """A part that is read from disk."""

    part: str
    source: Source
    place: Path
    key: str | None = None
    config: PreTrainedConfig | None = None


def hub_part(part: str, name: str, revision: str | None) -> Part:
    """Find a backbone and read its configuration, which has to be of the right kind.

    Args:
        part: "vision_encoder", "audio_encoder" or "lm".
        name: A Hub id, or a folder in the Hub's layout.
        revision: Branch, tag or commit of a Hub id.

    Returns:
        The part, with its place and its configuration.

    Raises:
        WeightsError: If it is not there, or of another kind.
    """
    place = find_part(name, revision)
    path = place / "config.json"
    if not path.is_file():
        raise WeightsError(
            f"{place}: expected config.json, found none; name a model folder in the Hub's layout"
        )
    fields = read_object(path)
    kind = fields.get("model_type")
    if kind not in _KINDS[part]:
        raise WeightsError(
            f"{path}: expected a model of type {' or '.join(_KINDS[part])} as {part}, found {kind}; "
            "name the right folder"
        )
    config: Any
    forms = {"clip_vision_model": CLIPVisionConfig, "hubert": HubertConfig, "qwen2": Qwen2Config}
    try:
        if kind == "clip":
            whole = CLIPConfig.from_dict(fields)
            config = whole.vision_config
            config.projection_dim = whole.projection_dim
        else:
            config = forms[kind].from_dict(fields)
    except Exception as error:  # a wrong value makes transformers raise anything
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path}: is no configuration of {part} ({reason}); copy it again") from error
    return Part(part, Source(public_name(name), revision), place, config=config)


def load_tokenizer(place: Path) -> Any:
    """The tokenizer of a backbone; none of its code is run. Raises WeightsError if there is none that can be used."""
    for name in ("tokenizer_config.json", "tokenizer.json"):
        if (place / name).is_file():
            check_no_code(place / name, read_object(place / name), own=False)
    try:
        return AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False)
    except BaseException as error:  # its library raises anything, even what is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise WeightsError(
            f"{place}: expected a tokenizer beside the weights, but loading it failed "
            f"({' '.join(str(error).split())[:200]}); copy tokenizer.json and tokenizer_config.json too"
        ) from error


def _candidates(part: str, ours: str) -> tuple[list[str], int | None]:
    """Names that one of our parameters may have in its source, and which third of it ours is."""
    if part == "face_encoder":
        theirs, third = official_name(ours)
        return [theirs.removeprefix(_FACE_PREFIX)], third
    if part == "lm":
        return [ours.removeprefix("language_model.")], None
    rest = ours.removeprefix(f"{part}.").removeprefix("model.")
    if part == "vision_encoder":
        return (
            ["visual_projection.weight"] if rest == "projection.weight" else [f"vision_model.{rest}", rest]
        ), None
    old = rest.replace("parametrizations.weight.original0", "weight_g")
    old = old.replace("parametrizations.weight.original1", "weight_v")
    return [prefix + name for prefix in ("", "hubert.") for name in dict.fromkeys((rest, old))], None


def plan_part(
    part: Part, shapes: Mapping[str, tuple[int, ...]], weights: Weights
) -> dict[str, tuple[str, int | None]]:
    """Give every tensor of a source its place in the model.

    Args:
        part: The part; its source gets the counts of tensors that are used and dropped.
        shapes: Our names -> shapes.
        weights: The tensors of the source.

    Returns:
        Our name -> name in the source, and which third of that tensor is ours.

    Raises:
        WeightsError: Unless every name on both sides is accounted for.
    """
    plan: dict[str, tuple[str, int | None]] = {}
    problems = []
    for ours, shape in shapes.items():
        names, third = _candidates(part.part, ours)
        theirs = next((name for name in names if name in weights), None)
        if theirs is None:
            problems.append(f"{names[0]} is missing")
            continue
        expected = shape if third is None else (3 * shape[0], *shape[1:])
        stored = weights[theirs]
        if stored.shape != expected:
            problems.append(f"{theirs} has shape {list(stored.shape)}, expected {list(expected)}")
        elif stored.dtype is None:
            problems.append(f"{theirs} holds no floating-point numbers")
        plan[ours] = (theirs, third)
    used = {theirs for theirs, _ in plan.values()}
    left = [name for name in weights if name not in used]
    dropped = [name for name in left if re.fullmatch(UNUSED[part.part], name)]
    problems += [f"{name} has no place in the model" for name in left if name not in set(dropped)]
    raise_problems(part.place, problems, f"expected the weights of {part.part} ({_described(part.part)})")
    for name in dropped:
        if name.endswith("relative_position_index"):
            _check_position_index(part.place, name, weights)
    part.source.used = len(used)
    part.source.dropped = {}
    for name in dropped:
        root = name.split(".")[0]
        part.source.dropped[root] = part.source.dropped.get(root, 0) + 1
    return plan


def _described(part: str) -> str:
    kinds = {
        "vision_encoder": "CLIP",
        "audio_encoder": "HuBERT",
        "face_encoder": "FaceXFormer",
        "lm": "Qwen2.5",
    }
    return kinds[part]


def _check_position_index(place: Path, name: str, weights: Weights) -> None:
    """A Swin whose windows were numbered otherwise would read its table of biases in another order."""
    index = weights[name].read().flatten()
    side = round(len(index) ** 0.25)
    expected = SwinRelativePositionBias(1, (side, side)).relative_position_index
    if not torch.equal(index, expected.to(index.dtype)):
        raise WeightsError(
            f"{place}: {name} numbers the positions of a window in another order than expected"
        )

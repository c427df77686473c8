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
from transformers import AutoTokenizer, PreTrainedConfig
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.swin.modeling_swin import SwinRelativePositionBias

from nanoemox.checkpoints.check_folder import check_no_code
from nanoemox.checkpoints.hub import find_part, public_name
from nanoemox.checkpoints.official_names import official_name
from nanoemox.checkpoints.pattern_trial import check_patterns
from nanoemox.checkpoints.weight_files import Weights, WeightsError, raise_problems, read_object
from nanoemox.model.configuration_nanoemox import KINDS

FACE_KEY = "state_dict_backbone"  # where FaceXFormer's checkpoint keeps its weights
_FACE_PREFIX = "facial_encoder.facexformer."
# Which configuration of ours describes each part.
_CONFIGS = {
    "vision_encoder": "vision_config",
    "audio_encoder": "audio_config",
    "face_encoder": "face_config",
    "lm": "text_config",
}
_WITH_WORDS = ("clip", "siglip", "siglip2")  # beside a tower for pictures, these have one for words
_HEADS = (
    r"(\w+\.)?(pooler|head|classifier|decoder|lm_head|fc_norm|cls_classifier|distillation_classifier)\..*"
)
_OF_PICTURES = (
    r"text_model\..*|text_projection\.weight|visual_projection\.weight|logit_scale|logit_bias|.*\.position_ids|"
    r".*\.mask_token|.*\.relative_position_index|.*num_batches_tracked|vision_model\.head\..*|" + _HEADS
)
_OF_SOUND = (
    r"(\w+\.)?masked_spec_embed|(quantizer|project_hid|project_q|projector|classifier|lm_head|proj_out)\..*|"
    r"(model\.)?decoder\..*|layer_weights|label_embs_concat|final_proj\..*"
)
# What a source holds beside what the model uses, by part.
UNUSED = {
    "vision_encoder": _OF_PICTURES,
    "audio_encoder": _OF_SOUND,
    "face_encoder": _OF_PICTURES + r"|face_decoder\..*|pe_layer\..*",
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
    rows: int | None = None  # of the language model's own table, if it has fewer than the model needs


def is_backbone(place: Path, part: str) -> bool:
    """Whether a folder holds a backbone in the Hub's layout, of a kind that this part may be."""
    path = place / "config.json"
    if not place.is_dir() or not path.is_file():
        return False
    kind = read_object(path).get("model_type")
    return kind in KINDS[_CONFIGS[part]] or kind in _WITH_WORDS


def hub_part(part: str, name: str, revision: str | None) -> Part:
    """Find a backbone and read its configuration, which has to be of a kind that the part may be.

    Args:
        part: "vision_encoder", "audio_encoder", "face_encoder" or "lm".
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
    check_no_code(path, fields, own=False)
    kind, kinds = fields.get("model_type"), KINDS[_CONFIGS[part]]
    pictures = part in ("vision_encoder", "face_encoder")
    if kind not in kinds and not (pictures and kind in _WITH_WORDS):
        known = ", ".join((*_WITH_WORDS, *kinds) if pictures else kinds)
        if part == "lm":
            known = "a decoder of text alone, such as qwen2, qwen3, llama, smollm3 or gemma3_text"
        raise WeightsError(
            f"{path}: expected a model of type {known} as {part}, found {kind}; name the right folder"
        )
    config: Any
    try:
        config = CONFIG_MAPPING[kind].from_dict(fields)
        if kind in _WITH_WORDS:
            whole, config = config, config.vision_config
            if hasattr(config, "projection_dim"):
                config.projection_dim = whole.projection_dim
    except Exception as error:  # a wrong value makes transformers raise anything
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path}: is no configuration of {part} ({reason}); copy it again") from error
    return Part(part, Source(public_name(name), revision), place, config=config)


def load_tokenizer(place: Path) -> Any:
    """The tokenizer of a backbone; none of its code is run. Raises WeightsError if there is none that can be used."""
    for name in ("tokenizer_config.json", "tokenizer.json"):
        if (place / name).is_file():
            held = read_object(place / name)
            check_no_code(place / name, held, own=False)
            check_patterns(place / name, held)
    try:
        return AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False)
    except BaseException as error:  # its library raises anything, even what is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise WeightsError(
            f"{place}: expected a tokenizer beside the weights, but loading it failed "
            f"({' '.join(str(error).split())[:200]}); copy tokenizer.json and tokenizer_config.json too"
        ) from error


def _candidates(part: Part, ours: str) -> tuple[list[str], int | None]:
    """Names that one of our parameters may have in its source, and which third of it ours is."""
    if part.key is not None:  # FaceXFormer
        theirs, third = official_name(ours)
        return [theirs.removeprefix(_FACE_PREFIX)], third
    if part.part == "lm":
        return [ours.removeprefix("language_model.")], None
    rest = ours.removeprefix(f"{part.part}.")
    if rest == "projection.weight":
        return ["visual_projection.weight"], None
    rest = rest.removeprefix("model.")
    if part.part in ("vision_encoder", "face_encoder"):
        return [f"vision_model.{rest}", rest], None
    old = rest.replace("parametrizations.weight.original0", "weight_g")
    old = old.replace("parametrizations.weight.original1", "weight_v")
    prefixes = ("", f"{part.config.model_type}." if part.config else "", "encoder.", "model.encoder.")
    return [prefix + name for prefix in prefixes for name in dict.fromkeys((rest, old))], None


def _current_names(model: Any, weights: Weights) -> dict[str, str]:
    """Names as transformers has them today -> names in the source, which may be those of any version."""
    transforms = get_model_conversion_mapping(model) or []
    renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
    others = [each for each in transforms if not isinstance(each, WeightRenaming)]
    state, names = model.state_dict(), {name: name for name in weights}
    for name in weights:
        new, joined = rename_source_key(name, renamings, others, model.base_model_prefix, state)
        if joined is None:  # else it is joined of several, which is not done here
            names.setdefault(new, name)
    return names


def plan_part(
    part: Part, shapes: Mapping[str, tuple[int, ...]], weights: Weights, model: Any = None
) -> dict[str, tuple[str, int | None]]:
    """Give every tensor of a source its place in the model.

    Args:
        part: The part; its source gets the counts of tensors that are used and dropped.
        shapes: Our names -> shapes.
        weights: The tensors of the source.
        model: The class of transformers that the weights are for, as it stands in the model; None for FaceXFormer.

    Returns:
        Our name -> name in the source, and which third of that tensor is ours.

    Raises:
        WeightsError: Unless every name on both sides is accounted for.
    """
    plan: dict[str, tuple[str, int | None]] = {}
    problems = []
    known = {name: name for name in weights} if model is None else _current_names(model, weights)
    for ours, shape in shapes.items():
        names, third = _candidates(part, ours)
        theirs = next((known[name] for name in names if name in known), None)
        if theirs is None:
            problems.append(f"{names[0]} is missing")
            continue
        expected = shape if third is None else (3 * shape[0], *shape[1:])
        stored = weights[theirs]
        grows = part.part == "lm" and len(shape) == 2 and stored.shape[1:] == shape[1:]
        if stored.shape != expected and not (grows and stored.shape[0] == part.rows):
            problems.append(f"{theirs} has shape {list(stored.shape)}, expected {list(expected)}")
        elif stored.dtype is None:
            problems.append(f"{theirs} holds no floating-point numbers")
        plan[ours] = (theirs, third)
    used = {theirs for theirs, _ in plan.values()}
    left = [name for name in weights if name not in used]
    dropped = [name for name in left if re.fullmatch(UNUSED[part.part], name)]
    problems += [f"{name} has no place in the model" for name in left if name not in set(dropped)]
    raise_problems(part.place, problems, f"expected the weights of {part.part} ({_described(part)})")
    for name in dropped:
        if name.endswith("relative_position_index") and part.key is not None:
            _check_position_index(part.place, name, weights)
    part.source.used = len(used)
    part.source.dropped = {}
    for name in dropped:
        root = name.split(".")[0]
        part.source.dropped[root] = part.source.dropped.get(root, 0) + 1
    return plan


def _described(part: Part) -> str:
    return "FaceXFormer" if part.config is None else str(part.config.model_type)


def _check_position_index(place: Path, name: str, weights: Weights) -> None:
    """A Swin whose windows were numbered otherwise would read its table of biases in another order."""
    index = weights[name].read().flatten()
    side = round(len(index) ** 0.25)
    expected = SwinRelativePositionBias(1, (side, side)).relative_position_index
    if not torch.equal(index, expected.to(index.dtype)):
        raise WeightsError(
            f"{place}: {name} numbers the positions of a window in another order than expected"
        )

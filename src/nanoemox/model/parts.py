"""The parts of the model by name: their parameters, their sizes, and what each phase trains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.pytorch_utils import Conv1D

from nanoemox.model.configuration_nanoemox import PARTS, NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration

ADAPTERS = ("video_adapter", "audio_adapter", "face_adapter")

# What each phase of the P2E curriculum trains (paper, sec. 3.4); peft adds "lora".
PHASES: dict[str, list[str]] = {
    "1a": ["audio_adapter"],
    "1b": ["video_adapter", "face_adapter"],
    "2": [*ADAPTERS, "fusion"],
    "3": [*ADAPTERS, "fusion", "lora"],
}

_PROJECTIONS = (nn.Linear, Conv1D)  # the second is GPT-2's
LORA_RANK = 16
# What the official checkpoints adapt: Qwen's attention and feed-forward, and none of the encoders' (same names).
LORA_TARGETS = r".*language_model\.model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"
LORA_ALPHA = 32
LORA_DROPOUT = 0.05

# Parameters that the official code builds and trains (waHAHJIAHAO/Nano-EmoX, b08f985), to set beside ours. More than
# ours, since it holds what no clip ever reads: CLIP's text tower, a projector for single images, two more, a norm.
OFFICIAL_NANO: dict[str, dict[str, int]] = {
    "parameters": {
        "vision_encoder": 303_179_776,
        "audio_encoder": 315_438_720,
        "face_encoder": 87_497_912,
        "video_adapter": 20_930_048,
        "audio_adapter": 20_905_472,
        "face_adapter": 1_642_752,
        "fusion": 7_356_931,
        "lm": 1_543_714_304,
        "lora": 18_464_768,
        "never read": 128_110_849,
        "total": 2_447_241_532,
    },
    "trainable": {"1a": 24_843_776, "1b": 26_246_912, "2": 54_509_315, "3": 72_974_083},
}

_ATTRIBUTE_TO_PART = {attribute: part for part, attribute in PARTS.items()}


def skeleton_of(config: NanoEmoXConfig) -> NanoEmoXForConditionalGeneration:
    """The model without memory: names and shapes."""
    with torch.device("meta"), init.no_init_weights():
        return NanoEmoXForConditionalGeneration(config)


def parameter_shapes(skeleton: NanoEmoXForConditionalGeneration) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters that are stored; a tied output table is not."""
    left_out: set[str] = set()
    if skeleton.config.text_config.tie_word_embeddings:
        tables = [name for name, each in skeleton.named_modules() if each is skeleton.get_output_embeddings()]
        left_out = {f"{name}.weight" for name in tables}
    return {
        name: tuple(parameter.shape)
        for name, parameter in skeleton.named_parameters()
        if name not in left_out
    }


def part_of(parameter_name: str) -> str:
    """The part that a parameter belongs to, by its name in a plain or a peft-wrapped model."""
    if ".lora_" in parameter_name:
        return "lora"
    for component in parameter_name.split("."):
        if component in _ATTRIBUTE_TO_PART:
            return _ATTRIBUTE_TO_PART[component]
    raise ValueError(f"{parameter_name} belongs to none of the parts {', '.join(PARTS)}")


def lora_targets(model: nn.Module) -> str:
    """A pattern of the projections that LoRA adapts: all in the layers of the language model, and no encoder's.

    Of Qwen2 these are the seven of attention and feed-forward, as in the paper.
    """
    found: dict[str, None] = {}
    for name, module in model.named_modules():
        _, inside, within = name.partition("language_model.")
        # Only in a numbered layer, so that the table that writes words is left alone.
        if inside and isinstance(module, _PROJECTIONS) and re.search(r"\.\d+\.", within):
            found[re.sub(r"\\\.\d+\\\.", r"\\.\\d+\\.", re.escape(within))] = None
    return rf".*language_model\.({'|'.join(sorted(found))})"


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, str]]:
    """Name, parameter and part, without the frozen copies that peft keeps beside the modules it saves."""
    for name, parameter in model.named_parameters():
        if ".original_module." not in name:
            yield name, parameter, part_of(name)


def trainable_parts(model: nn.Module, parts: Iterable[str], frozen: Sequence[str] = ()) -> dict[str, int]:
    """Let the parameters of some parts have gradients and freeze all others.

    Args:
        model: The model, plain or wrapped by peft.
        parts: The names of the parts that train.
        frozen: Beginnings of the names of parameters in them that stay as they are, such as "fusion.gate".

    Returns:
        How many parameters train, by part.

    Raises:
        ValueError: For an unknown part, one without parameters, and a name in `frozen` that begins none.
    """
    wanted, kept = set(parts), set(frozen)
    unknown = wanted - {*PARTS, "lora"}
    if unknown:
        raise ValueError(
            f"unknown part {', '.join(sorted(unknown))}: expected some of {', '.join(PARTS)}, lora"
        )
    counts = dict.fromkeys(sorted(wanted), 0)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name, parameter, part in _parameters(model):
        if part not in wanted:
            continue
        plain = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
        if holding := {beginning for beginning in frozen if f"{plain}.".startswith(f"{beginning}.")}:
            kept -= holding
            continue
        parameter.requires_grad_(True)
        counts[part] += parameter.numel()
    if kept:
        raise ValueError(
            f"frozen: no parameter of {', '.join(sorted(wanted))} begins with {', '.join(sorted(kept))}"
        )
    empty = [part for part, count in counts.items() if not count]
    if empty:
        raise ValueError(
            f"this model has no parameters in {', '.join(empty)}; for lora, wrap it with peft first"
        )
    return counts


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Parameters of every part, LoRA's (at the published rank) included whether or not it has been added."""
    counts = dict.fromkeys((*PARTS, "lora"), 0)
    for _, parameter, part in _parameters(model):
        counts[part] += parameter.numel()
    if not counts["lora"]:
        targets = lora_targets(model)
        counts["lora"] = sum(
            LORA_RANK * sum(module.weight.shape)
            for name, module in model.named_modules()
            if isinstance(module, _PROJECTIONS) and re.fullmatch(targets, name)
        )
    return counts


def parameter_report(model: nn.Module | NanoEmoXConfig) -> dict[str, Any]:
    """Sizes of a model, or of the one a configuration describes (built on the meta device, without memory).

    Returns {"parameters": {"total", "parts": {name: count}}, "trainable": {phase: count}}, LoRA included.
    """
    if isinstance(model, NanoEmoXConfig):
        model = skeleton_of(model)
        model.tie_weights()
    parts = parameter_counts(model)
    trainable = {phase: sum(parts[part] for part in names) for phase, names in PHASES.items()}
    return {"parameters": {"total": sum(parts.values()), "parts": parts}, "trainable": trainable}

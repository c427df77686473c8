"""Where a model's weights come from: kept in its configuration, added to by every step, read by every surface.

`config.provenance` is a list of steps, oldest first. A step that put weights into parts names them under `parts`;
what no step names still holds the random numbers that it began with. Whether a loaded model is random is read from
its weights themselves, so a model that was made or trained by another program is told truly, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from nanoemox.checkpoints.openvino_parts import GraphPart
from nanoemox.media.clip import CodedWarning
from nanoemox.model.configuration_nanoemox import PARTS, NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration

Step = Mapping[str, Any]
THEATRE = "affect_theatre"  # the source of generated clips in a manifest
WORLDS = {THEATRE: "Affect Theatre, a generated world"}
ORIGIN_CODES = ("random_weights", "training_domain")  # of the warnings about where a model comes from
RANDOM: Step = {"step": "random"}


def assembled(sources: Mapping[str, str]) -> Step:
    """Parts were filled from pretrained backbones: part -> the name of its source."""
    return {"step": "assembled", "parts": list(sources), "sources": dict(sources)}


def converted(checkpoints: Sequence[str], parts: Collection[str]) -> Step:
    """Parts were filled from official checkpoints."""
    return {"step": "converted", "parts": _with_lm(parts), "checkpoints": list(checkpoints)}


def tuned(
    recipe: str, phase: str, parts: Collection[str], corpora: Mapping[str, int], teacher: str | None = None
) -> Step:
    """Parts were trained on clips.

    Args:
        recipe: The name of the recipe.
        phase: The phase of it.
        parts: What was trained.
        corpora: Source of the clips -> how many different clips of it.
        teacher: The model whose hidden states were learned, where there was one.

    Returns:
        The step.
    """
    counts = {name: corpora[name] for name in sorted(corpora)}
    return {
        "step": "tuned",
        "recipe": recipe,
        "phase": phase,
        "parts": _with_lm(parts),
        "clips": sum(counts.values()),
        "corpora": counts,
        **({"teacher": teacher} if teacher else {}),
    }


def _with_lm(parts: Collection[str]) -> list[str]:
    """LoRA is merged into the language model."""
    return list(dict.fromkeys("lm" if part == "lora" else part for part in parts))


def add_steps(config: NanoEmoXConfig, steps: Sequence[Step]) -> None:
    """Write steps into a configuration, those that it has left out. Clips of another world end the old world's note."""
    known = list(config.provenance or [])
    config.provenance = [*known, *(dict(step) for step in steps if dict(step) not in known)]
    if config.training_domain and any(
        set(step.get("corpora") or ()) - {config.training_domain} for step in steps
    ):
        config.training_domain = None


def history(provenance: Sequence[Step] | None) -> tuple[str, ...]:
    """One line a step, oldest first; phases of one recipe on the same clips share a line."""
    lines: list[str] = []
    phases: list[str] = []
    before: Step = {}
    for step in provenance or ():
        same = ("step", "recipe", "corpora", "teacher")
        if step.get("recipe") and all(step.get(key) == before.get(key) for key in same):
            phases.append(str(step.get("phase")))
            lines.pop()
        else:
            phases = [str(step.get("phase"))]
        lines.append(_line(step, phases))
        before = step
    return tuple(lines)


def _line(step: Step, phases: Sequence[str]) -> str:
    kind = str(step.get("step"))
    if kind == "assembled":
        return f"assembled from {', '.join(dict.fromkeys(step['sources'].values()))}"
    if kind == "converted":
        return f"converted from {', '.join(step['checkpoints'])}"
    if kind == "tuned":
        taught = f", taught by {step['teacher']}" if step.get("teacher") else ""
        return f"tuned on {clips_of(step['corpora'])} ({step['recipe']}: {', '.join(phases)}){taught}"
    return kind


def clips_of(corpora: Mapping[str, int]) -> str:
    """How many clips of what, in words."""
    number = sum(corpora.values())
    return f"{number} {'clip' if number == 1 else 'clips'} of {', '.join(corpora)}"


def random_by_record(config: Mapping[str, Any]) -> list[str] | None:
    """The parts that no step filled, as config.json has it; None where the configuration says nothing."""
    if not config.get("provenance"):
        return None
    filled = {part for step in config["provenance"] for part in step.get("parts", ())}
    absent = set() if config.get("face_tokens", 1) else {"face_encoder", "face_adapter"}
    return [part for part in PARTS if part not in filled | absent]


# ---------------------------------------------------------------- a loaded model


def random_parts(model: NanoEmoXForConditionalGeneration) -> list[str]:
    """The parts whose normalisations are as they were made, which no training leaves them.

    A part without biases in them (RMSNorm), or without any, is told by the biases of its linear maps.
    """
    return [
        name
        for name, part in model.parts().items()
        if (part.random if isinstance(part, GraphPart) else _as_made(part))
    ]


@torch.no_grad()
def _as_made(part: nn.Module) -> bool:
    norms = [
        module
        for module in part.modules()
        if isinstance(module, (nn.LayerNorm, nn.GroupNorm)) or "Norm" in type(module).__name__
    ]
    named = [dict(norm.named_parameters(recurse=False)) for norm in norms]
    scales = [parameters["weight"] for parameters in named if "weight" in parameters]
    biases = [parameters["bias"] for parameters in named if "bias" in parameters]
    if not biases:
        linear = (m for m in part.modules() if isinstance(m, nn.Linear))
        biases = [m.bias for m in linear if m.bias is not None]
    if not biases:
        return False  # nothing tells
    return all(bool((scale == 1).all()) for scale in scales) and not any(bool(bias.any()) for bias in biases)


def origin_warnings(model: NanoEmoXForConditionalGeneration) -> tuple[CodedWarning, ...]:
    """What everyone who reads an answer has to know about where this model comes from.

    Their codes are ORIGIN_CODES.
    """
    warnings = []
    if parts := random_parts(model):
        whole = len(parts) == len(model.parts())
        what = "the weights of this model" if whole else f"the weights of {', '.join(parts)}"
        text = f"{what} are random, they were never trained: its answers mean nothing"
        warnings.append(CodedWarning("random_weights", text))
    if note := domain_note(model.config.training_domain, model.config.provenance):
        warnings.append(CodedWarning("training_domain", note))
    return tuple(warnings)


def domain_note(world: str | None, provenance: Sequence[Step] | None) -> str | None:
    """What a model of a generated world knows, and what it was tuned on since; None for a model of the real one.

    `world` and `provenance` are as the configuration has them.
    """
    if world:
        return f"this model knows only {WORLDS.get(world, world)}; of real people its answers mean nothing"
    seen = [step.get("corpora") or {} for step in provenance or ()]
    generated = [name for corpora in seen for name in corpora if name in WORLDS]
    other = {name: number for corpora in seen for name, number in corpora.items() if name not in WORLDS}
    sources = any(step.get("step") in ("assembled", "converted") for step in provenance or ())
    if not generated or not other or sources:
        return None
    return (
        f"this model was made with {WORLDS[generated[0]]}, and then tuned on {clips_of(other)}; of the real world it "
        "has seen only these"
    )

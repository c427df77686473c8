"""Official checkpoints into a model folder, and back.

Nano-EmoX's phase checkpoints and AffectGPT's are PyTorch files `{"model": {name: tensor}}` that hold only what was
trained, so they are laid over a base that `assemble` made; of several, later ones win (the official code's `ckpt`, then
`ckpt_2`). Every tensor is used, dropped by name because nothing ever reads it, or an error. LoRA is merged into the
language model and kept beside it in `lora/`. The way back is in official_checkpoint.py.
"""

from __future__ import annotations

import copy
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import peft
import torch
from safetensors.torch import save_file
from torch import Tensor

from nanoemox.checkpoints.check_folder import check_folder
from nanoemox.checkpoints.hub import complete, find_checkpoint, find_part, public_name
from nanoemox.checkpoints.load import load_answer_limits, load_config, load_processor
from nanoemox.checkpoints.official_names import NEVER_REACHED, official_name
from nanoemox.checkpoints.official_processor import (
    MAX_NEW_TOKENS,
    PUBLISHED_SAMPLING,
    official_processor,
    stated_counts,
)
from nanoemox.checkpoints.provenance import add_steps, converted
from nanoemox.checkpoints.weight_files import (
    FLOATS,
    ShardWriter,
    Stored,
    WeightsError,
    open_weights,
    raise_problems,
    read_object,
)
from nanoemox.files.atomic import check_new_folder, whole_folder, write_json
from nanoemox.files.errors import ArgumentError
from nanoemox.files.short_repr import ShortRepr
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import (
    LORA_ALPHA,
    LORA_DROPOUT,
    LORA_TARGETS,
    parameter_shapes,
    part_of,
    skeleton_of,
)
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor

logger = logging.getLogger(__name__)

# Buffers, and what the official code loads but never uses.
UNUSED = re.compile(
    r".*\.(position_ids|relative_position_index|num_batches_tracked|inv_freq)"
    r"|visual_encoder\.model\.(text_model\..*|(text|visual)_projection\.weight|logit_scale)"
    r"|acoustic_encoder\.model\.masked_spec_embed"
    r"|ot_hidden_proj\..*"  # of Light-MER's distillation
)
# A tied table has two names, and the official savers know one of them: they write what is no trained parameter, too.
_TIED = re.compile(r"llama_model\.(base_model\.model\.)?lm_head\.weight")
_EMBEDDING = "language_model.model.embed_tokens.weight"
_ALIASES = (("affectgpt_proj.", "video_proj."), (".base_layer.", "."))  # AffectGPT's spelling; peft's
_LORA = re.compile(r"llama_model\.base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")
_FORMS = {  # a name that only this form has -> the configuration it means
    "video_query_tokens": ("video_adapter_type", "qformer"),
    "video_attention_mlp.weight": ("video_adapter_type", "attention"),
    "audio_query_tokens": ("audio_adapter_type", "qformer"),
    "audio_attention_mlp.weight": ("audio_adapter_type", "attention"),
    "multi_multiscale_fusion.gate_mlp.0.weight": ("fusion_type", "experts"),
    "attention_mlp.weight": ("fusion_type", "attention"),
    "multi_query_tokens": ("fusion_type", "qformer"),
}
_COUNTS = {  # learned queries -> how many tokens there are of a kind
    "video_query_tokens": ("video_tokens", 1),
    "audio_query_tokens": ("audio_tokens", 1),
    "multi_query_tokens": ("fusion_tokens", 1),
    "facial_encoder.query": ("face_tokens", 0),
}


@dataclass(frozen=True, repr=False)
class Conversion(ShortRepr):
    """What became of every tensor.

    Attributes:
        checkpoints: Names of the files, in the order of loading.
        base: The model folder with the backbones.
        filled: Part -> tensors taken from the checkpoints; "lora" counts those of LoRA.
        kept: Part -> tensors left as in the base.
        dropped: Tensors that nothing reads.
        ignored: What the files held beside "model".
        forms: Fields of the configuration that the tensors changed.
    """

    checkpoints: list[str]
    base: str
    filled: dict[str, int]
    kept: dict[str, int]
    dropped: list[str]
    ignored: list[str]
    forms: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """All of it for a JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class CheckpointPlan:
    """What becomes of every tensor of checkpoints, and of every parameter of the model."""

    config: NanoEmoXConfig
    shapes: dict[str, tuple[int, ...]]
    taken: dict[str, tuple[Stored, int | None]]  # our name -> tensor of a checkpoint, and which third of it
    lora: dict[str, dict[str, Stored]]  # our module -> {"A", "B"}
    tied: dict[str, Stored]  # the language model's table under its other name
    dropped: list[str]  # tensors of the checkpoints that nothing reads

    def filled(self) -> dict[str, int]:
        """Part -> tensors taken from the checkpoints."""
        counts = Counter(part_of(name) for name in self.shapes if name in self.taken)
        return dict(counts) | ({"lora": 2 * len(self.lora)} if self.lora else {})

    def kept(self) -> dict[str, int]:
        """Part -> tensors left as in the base."""
        return dict(Counter(part_of(name) for name in self.shapes if name not in self.taken))


@dataclass(frozen=True)
class Base:
    """What checkpoints are laid over.

    Attributes:
        name: What it is called in the folder that others may get.
        place: Where it is, for errors.
        config: Its configuration.
        processor: Its processor.
        weights: Its tensors under our names.
        limits: Its answer limits by task, if it has any.
        assembly: Where its parts come from, for assembly.json.
        top_k: From how many tokens its official code draws when it samples.
    """

    name: str
    place: Path
    config: NanoEmoXConfig
    processor: NanoEmoXProcessor
    weights: Mapping[str, Stored]
    limits: dict[str, int] | None = None
    assembly: Mapping[str, Any] | None = None
    top_k: int = 20  # as Qwen2.5 and Qwen3 have it


def convert(
    checkpoints: str | Path | Sequence[str | Path],
    base: str | Path,
    out: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    lora_alpha: int = LORA_ALPHA,
) -> Conversion:
    """Lay official checkpoints over the model folder `base` and write `out`.

    Args:
        checkpoints: `.pth` files in the order of loading; a later tensor replaces an earlier one of its name. One that
            is not on this disk may be a file of the Hub, "owner/name/path/to/file.pth".
        base: A model folder or Hub id with the backbones, as `assemble` writes it.
        out: The folder to write; it must not exist yet.
        settings: Fields of the configuration that no tensor tells, such as AffectGPT's `video_tokens`; what the
            checkpoints themselves say counts less.
        lora_alpha: LoRA's scale times its rank (32 in all releases).

    Returns:
        What became of every tensor; the same is in `out`/conversion.json.

    Raises:
        WeightsError: If a tensor has no place, a part is missing, or the folder cannot be written.
        ArgumentError: If `settings` names an unknown field.
    """
    # Look at the output and at the base, which gives what the checkpoints lack.
    check_new_folder(out)
    checkpoints = [checkpoints] if isinstance(checkpoints, str | Path) else list(checkpoints)
    folder = find_part(str(base))
    check_folder(folder)
    processor, limits = load_processor(folder), load_answer_limits(folder)
    assembly = folder / "assembly.json"
    with open_weights(folder) as weights:
        whole = Base(
            public_name(str(base)),
            folder,
            load_config(folder),
            processor,
            weights,
            limits,
            read_object(assembly) if assembly.is_file() else None,
        )
        files = [find_checkpoint(str(path)) for path in checkpoints]
        return lay_over(files, whole, out, settings=settings, lora_alpha=lora_alpha)


def lay_over(
    checkpoints: Sequence[Path],
    base: Base,
    out: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    lora_alpha: int = LORA_ALPHA,
    dtype: torch.dtype | None = None,
    pieces: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> Conversion:
    """Lay checkpoints over a base that is open.

    Args:
        checkpoints: The files, in the order of loading.
        base: The base.
        out: The folder to write.
        settings: As in `convert`.
        lora_alpha: As in `convert`.
        dtype: Of all weights; None keeps the types of checkpoints and base.
        pieces: The prompts of AffectGPT's family as ids of another vocabulary than Qwen's.
        extra: More JSON files of the folder: name -> value.
        replace: Whether the folder may take the place of one that is there, and folders on the way are made.

    Returns:
        What became of every tensor.

    Raises:
        WeightsError: If a tensor has no place, a part is missing, or the folder cannot be written.
        ArgumentError: If `settings` names an unknown field.
    """
    with ExitStack() as stack:
        # Open the checkpoints, and give every tensor its place or refuse all of them.
        state: dict[str, Stored] = {}
        ignored: list[str] = []
        told: dict[str, Any] = {}
        for path in checkpoints:
            weights = stack.enter_context(open_weights(path, "model"))
            ignored += weights.others
            state |= {common_name(name): stored for name, stored in weights.items()}
            told |= stated_counts(path, weights.extra.get("config"))
        config, forms = _configuration(base.config, state, told, dict(settings or {}))
        plan = plan_checkpoint(checkpoints[-1], config, state)
        _check_base(base.place, plan, base.weights)
        _check_tied(checkpoints[-1], plan, base)
        report = Conversion(
            checkpoints=[path.name for path in checkpoints],
            base=base.name,
            filled=plan.filled(),
            kept=plan.kept(),
            dropped=[*plan.dropped, *plan.tied],
            ignored=ignored,
            forms=forms,
        )
        processor = official_processor(base.processor, config, base.name, pieces)
        limits = base.limits
        if limits is None and processor.own_tasks:
            limits = {name: MAX_NEW_TOKENS for name, task in processor.own_tasks.items() if task["trained"]}

        # Write the folder tensor by tensor.
        size = sum(torch.Size(shape).numel() for shape in plan.shapes.values()) * 4
        if dtype is not None:
            needed_bytes = size // 4 * dtype.itemsize
        else:
            needed_bytes = min(size, 2 * sum(_bytes(t) for t in base.weights.values()))
        with whole_folder(out, replace=replace, needed_bytes=needed_bytes) as new:
            logger.info("writing %s", out)
            writer = ShardWriter(new)
            for name in plan.shapes:
                writer.add(name, _tensor(name, plan, base.weights, lora_alpha, dtype), dtype)
            writer.close()
            if plan.lora:
                _save_lora(new / "lora", plan.lora, lora_alpha)
            for each in (config, *(getattr(config, name) for name in config.sub_configs)):
                each.dtype = each.dtype if dtype is None else dtype
            add_steps(config, [converted(report.checkpoints, report.filled)])
            config.save_pretrained(new)
            generation = skeleton_of(config).generation_config
            if limits is not None:
                generation.task_max_new_tokens = limits
            if processor.own_tasks:
                generation.published_sampling = {**PUBLISHED_SAMPLING, "top_k": base.top_k}
            generation.eos_token_id = processor.end_ids
            generation.save_pretrained(new)
            processor.save_pretrained(new)
            if base.assembly is not None:
                write_json(new / "assembly.json", base.assembly)
            write_json(new / "conversion.json", report.to_dict())
            for name, value in (extra or {}).items():
                write_json(new / name, value)
            complete(new)
    return report


def common_name(name: str) -> str:
    """A released name without what only a wrapper or a dialect adds to it."""
    name = name.removeprefix("module.")
    for theirs, common in _ALIASES:
        name = name.replace(theirs, common)
    return name


def _configuration(
    before: NanoEmoXConfig, state: Mapping[str, Stored], told: Mapping[str, int], settings: Mapping[str, Any]
) -> tuple[NanoEmoXConfig, dict[str, str]]:
    """The base's configuration with the forms and token counts that checkpoints, names and shapes tell."""
    changes: dict[str, Any] = dict(told)
    forms: dict[str, str] = {}
    for name, (key, form) in _FORMS.items():
        if name in state:
            forms[key] = form
    for name, (key, axis) in _COUNTS.items():
        if name in state:
            changes[key] = state[name].shape[axis]
    config = copy.deepcopy(before)
    for key, value in {**changes, **forms, **settings}.items():
        if not hasattr(config, key):
            raise ArgumentError(f"{key}: unknown field of the configuration")
        setattr(config, key, value)
    config.auto_map = None
    config.architectures = [NanoEmoXForConditionalGeneration.__name__]
    return config, {key: form for key, form in forms.items() if getattr(before, key) != form}


def plan_checkpoint(place: Path, config: NanoEmoXConfig, state: Mapping[str, Stored]) -> CheckpointPlan:
    """Find the place of every tensor.

    Args:
        place: The checkpoint, for errors.
        config: Of the model.
        state: The tensors of the checkpoints, by the names that `common_name` gives them.

    Returns:
        Which tensor goes where.

    Raises:
        WeightsError: Unless every tensor of the checkpoints is accounted for.
    """
    shapes = parameter_shapes(skeleton_of(config))
    plan, problems, used = CheckpointPlan(config, shapes, {}, {}, {}, []), [], set()
    for ours, shape in shapes.items():
        theirs, third = official_name(ours)
        stored = state.get(theirs)
        if stored is None:
            continue
        used.add(theirs)
        expected = shape if third is None else (3 * shape[0], *shape[1:])
        if stored.shape != expected:
            problems.append(f"{theirs} has shape {list(stored.shape)}, expected {list(expected)}")
        elif stored.dtype not in FLOATS:
            problems.append(
                f"{theirs} is {stored.dtype or 'no floating type'}, expected float32, float16 or bfloat16"
            )
        plan.taken[ours] = (stored, third)
    for name, stored in state.items():
        if name in used:
            continue
        if match := _LORA.fullmatch(name):
            ours = f"language_model.{match[1]}"
            if f"{ours}.weight" in shapes and re.fullmatch(LORA_TARGETS, ours):
                plan.lora.setdefault(ours, {})[match[2]] = stored
                continue
        if config.text_config.tie_word_embeddings and _TIED.fullmatch(name):
            plan.tied[name] = stored
        elif UNUSED.fullmatch(name) or name.startswith(NEVER_REACHED):
            plan.dropped.append(name)
        else:
            problems.append(f"{name} has no place in the model")
    problems += _lora_problems(plan)
    if not plan.taken and not plan.lora and not problems:
        problems.append("no tensor of the model is in it")
    raise_problems(
        place, problems, "expected a checkpoint of Nano-EmoX, AffectGPT or Light-MER that fits the base"
    )
    return plan


def _lora_problems(plan: CheckpointPlan) -> list[str]:
    problems = []
    for module, pair in plan.lora.items():
        rows, columns = plan.shapes[f"{module}.weight"]
        if set(pair) != {"A", "B"}:
            problems.append(f"{module}: LoRA's {' and '.join(sorted(pair))} without its counterpart")
        elif pair["A"].shape[1:] != (columns,) or pair["B"].shape != (rows, pair["A"].shape[0]):
            shapes = f"{list(pair['A'].shape)} and {list(pair['B'].shape)}"
            problems.append(f"{module}: LoRA of shapes {shapes} for a weight of {rows} x {columns}")
        elif pair["A"].dtype not in FLOATS or pair["B"].dtype not in FLOATS:
            problems.append(f"{module}: LoRA is of no floating type")
    ranks = {pair["A"].shape[0] for pair in plan.lora.values() if "A" in pair}
    return [*problems, f"LoRA of ranks {sorted(ranks)}, expected one"] if len(ranks) > 1 else problems


def _check_base(place: Path, plan: CheckpointPlan, base: Mapping[str, Stored]) -> None:
    """What the checkpoints do not bring has to be in the base, in shape."""
    problems = []
    for name, shape in plan.shapes.items():
        if name not in plan.taken and (name not in base or base[name].shape != shape):
            found = f"has shape {list(base[name].shape)}" if name in base else "is missing"
            problems.append(f"{name} {found}, expected {list(shape)}")
    raise_problems(
        place, problems, "neither the base nor the checkpoints hold these; take the base they belong to"
    )


def _check_tied(place: Path, plan: CheckpointPlan, base: Base) -> None:
    """The table under its other name is dropped only if the base has the same one, whatever type it is stored in."""
    for name, stored in plan.tied.items():
        theirs, ours = stored.read(), base.weights[_EMBEDDING].read()
        same = theirs.shape == ours.shape and (
            torch.equal(ours.to(theirs.dtype), theirs) or torch.equal(ours, theirs.to(ours.dtype))
        )
        if not same:
            raise WeightsError(
                f"{place}: {name} is the table of another language model (expected that of {base.name}, "
                f"{list(ours.shape)}, got {list(theirs.shape)}); take the backbone that it was trained on"
            )


def _bytes(stored: Stored) -> int:
    return torch.Size(stored.shape).numel() * (stored.dtype or torch.float32).itemsize


@torch.no_grad()
def _tensor(
    name: str, plan: CheckpointPlan, base: Mapping[str, Stored], alpha: int, dtype: torch.dtype | None
) -> Tensor:
    """The checkpoint's tensor as it is, else the base's with LoRA merged in."""
    if name in plan.taken:
        stored, third = plan.taken[name]
        tensor = stored.read()
        return tensor if third is None else tensor.chunk(3)[third]
    tensor = base[name].read()
    pair = plan.lora.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
    if pair is None:
        return tensor
    a, b = pair["A"].read().float(), pair["B"].read().float()
    return (tensor.float() + (b @ a) * (alpha / len(a))).to(dtype or tensor.dtype)


def _save_lora(folder: Path, lora: Mapping[str, Mapping[str, Stored]], alpha: int) -> None:
    """The untouched adapter as peft keeps one."""
    folder.mkdir()
    tensors, rank = {}, 0
    for module, pair in lora.items():
        for letter, stored in pair.items():
            tensors[f"base_model.model.{module}.lora_{letter}.weight"] = stored.read().clone()
        rank = pair["A"].shape[0]
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=LORA_DROPOUT, target_modules=LORA_TARGETS, inference_mode=True
    ).save_pretrained(folder)

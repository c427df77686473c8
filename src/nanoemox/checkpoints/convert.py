"""Official checkpoints into a model folder, and back.

Nano-EmoX's phase checkpoints and AffectGPT's are PyTorch files `{"model": {name: tensor}}` that hold only what was
trained, so they are laid over a base that `assemble` made; of several, later ones win (the official code's `ckpt`, then
`ckpt_2`). Every tensor is used, dropped by name because nothing ever reads it, or an error. LoRA is merged into the
language model and kept beside it in `lora/`. `write_official` is the way back, bit for bit.
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
from nanoemox.checkpoints.hub import complete, find_part, public_name
from nanoemox.checkpoints.load import load_answer_limits, load_config, load_processor
from nanoemox.checkpoints.official_names import NEVER_REACHED, official_name
from nanoemox.checkpoints.provenance import add_steps, converted
from nanoemox.checkpoints.template_trial import OFFICIAL_TEMPLATE
from nanoemox.checkpoints.weight_files import (
    FLOATS,
    ShardWriter,
    Stored,
    Weights,
    WeightsError,
    open_weights,
    raise_problems,
)
from nanoemox.files.atomic import check_new_folder, whole_file, whole_folder, write_json
from nanoemox.files.errors import ArgumentError
from nanoemox.files.listed import one_or_more
from nanoemox.files.short_repr import ShortRepr
from nanoemox.model.configuration_nanoemox import PARTS, NanoEmoXConfig
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

END_OF_TURN = "###"  # what ends an answer in the official code
# Buffers, and what the official code loads but never uses.
UNUSED = re.compile(
    r".*\.(position_ids|relative_position_index|num_batches_tracked|inv_freq)"
    r"|visual_encoder\.model\.(text_model\..*|(text|visual)_projection\.weight|logit_scale)"
    r"|acoustic_encoder\.model\.masked_spec_embed"
)
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
class _Plan:
    config: NanoEmoXConfig
    shapes: dict[str, tuple[int, ...]]
    taken: dict[str, tuple[Stored, int | None]]  # our name -> tensor of a checkpoint, and which third of it
    lora: dict[str, dict[str, Stored]]  # our module -> {"A", "B"}
    dropped: list[str]  # tensors of the checkpoints that nothing reads

    def filled(self) -> dict[str, int]:
        """Part -> tensors taken from the checkpoints."""
        counts = Counter(part_of(name) for name in self.shapes if name in self.taken)
        return dict(counts) | ({"lora": 2 * len(self.lora)} if self.lora else {})

    def kept(self) -> dict[str, int]:
        """Part -> tensors left as in the base."""
        return dict(Counter(part_of(name) for name in self.shapes if name not in self.taken))


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
        checkpoints: `.pth` files in the order of loading; a later tensor replaces an earlier one of its name.
        base: A model folder or Hub id with the backbones, as `assemble` writes it.
        out: The folder to write; it must not exist yet.
        settings: Fields of the configuration that no tensor tells, such as AffectGPT's `video_tokens`.
        lora_alpha: LoRA's scale times its rank (32 in both releases).

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
    with ExitStack() as stack:
        # Open the checkpoints, and give every tensor its place or refuse all of them.
        state: dict[str, Stored] = {}
        ignored: list[str] = []
        for path in checkpoints:
            weights = stack.enter_context(open_weights(Path(path), "model"))
            ignored += weights.others
            state |= {_common_name(name): stored for name, stored in weights.items()}
        before = load_config(folder)
        config, forms = _configuration(before, state, dict(settings or {}))
        plan = _plan(Path(checkpoints[-1]), config, state)
        stored_base = stack.enter_context(open_weights(folder))
        _check_base(folder, plan, stored_base, before)
        report = Conversion(
            checkpoints=[Path(path).name for path in checkpoints],
            base=public_name(str(base)),
            filled=plan.filled(),
            kept=plan.kept(),
            dropped=plan.dropped,
            ignored=ignored,
            forms=forms,
        )

        # Write the folder tensor by tensor.
        size = sum(torch.Size(shape).numel() for shape in plan.shapes.values()) * 4
        needed_bytes = min(size, 2 * sum(_bytes(t) for t in stored_base.values()))
        with whole_folder(out, needed_bytes=needed_bytes) as new:
            logger.info("writing %s", out)
            writer = ShardWriter(new)
            for name in plan.shapes:
                writer.add(name, _tensor(name, plan, stored_base, lora_alpha))
            writer.close()
            if plan.lora:
                _save_lora(new / "lora", plan.lora, lora_alpha)
            add_steps(config, [converted(report.checkpoints, report.filled)])
            config.save_pretrained(new)
            generation = skeleton_of(config).generation_config
            if limits is not None:
                generation.task_max_new_tokens = limits
            official = _official_processor(processor, config)
            generation.eos_token_id = official.end_ids
            generation.save_pretrained(new)
            official.save_pretrained(new)
            if (folder / "assembly.json").is_file():
                (new / "assembly.json").write_bytes((folder / "assembly.json").read_bytes())
            write_json(new / "conversion.json", report.to_dict())
            complete(new)
    return report


def _common_name(name: str) -> str:
    """A released name without what only a wrapper or a dialect adds to it."""
    name = name.removeprefix("module.")
    for theirs, common in _ALIASES:
        name = name.replace(theirs, common)
    return name


def _configuration(
    before: NanoEmoXConfig, state: Mapping[str, Stored], settings: Mapping[str, Any]
) -> tuple[NanoEmoXConfig, dict[str, str]]:
    """The base's configuration with the forms and token counts that the tensors' names and shapes tell."""
    changes: dict[str, Any] = {}
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
    return config, {key: form for key, form in forms.items() if getattr(before, key) != form}


def _plan(place: Path, config: NanoEmoXConfig, state: Mapping[str, Stored]) -> _Plan:
    """Which tensor goes where; raises unless every tensor of the checkpoints is accounted for."""
    shapes = parameter_shapes(skeleton_of(config))
    plan, problems, used = _Plan(config, shapes, {}, {}, []), [], set()
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
        if UNUSED.fullmatch(name) or name.startswith(NEVER_REACHED):
            plan.dropped.append(name)
        else:
            problems.append(f"{name} has no place in the model")
    problems += _lora_problems(plan)
    if not plan.taken and not plan.lora and not problems:
        problems.append("no tensor of the model is in it")
    raise_problems(place, problems, "expected a checkpoint of Nano-EmoX or AffectGPT that fits the base")
    return plan


def _lora_problems(plan: _Plan) -> list[str]:
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


def _check_base(folder: Path, plan: _Plan, base: Weights, before: NanoEmoXConfig) -> None:
    """What the checkpoints do not bring has to be in the base, in shape."""
    problems = []
    for name, shape in plan.shapes.items():
        if name not in plan.taken and (name not in base or base[name].shape != shape):
            found = f"has shape {list(base[name].shape)}" if name in base else "is missing"
            problems.append(f"{name} {found}, expected {list(shape)}")
    raise_problems(
        folder, problems, "neither the base nor the checkpoints hold these; take the base they belong to"
    )


def _bytes(stored: Stored) -> int:
    return torch.Size(stored.shape).numel() * (stored.dtype or torch.float32).itemsize


@torch.no_grad()
def _tensor(name: str, plan: _Plan, base: Weights, alpha: int) -> Tensor:
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
    return (tensor.float() + (b @ a) * (alpha / len(a))).to(tensor.dtype)


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


def _official_processor(processor: NanoEmoXProcessor, config: NanoEmoXConfig) -> NanoEmoXProcessor:
    """The release's container, end of an answer and preparation of media."""
    processor.chat_template = OFFICIAL_TEMPLATE.read_text(encoding="utf-8")
    processor.end_of_turn = END_OF_TURN
    processor.compat = "official"
    processor.placeholder_counts = config.placeholder_counts
    return processor


# ---------------------------------------------------------------------- the way back
def _is_ours(name: str) -> bool:
    """Whether one of the model's parts holds a tensor of this name."""
    return ".lora_" in name or any(name.startswith(f"{prefix}.") for prefix in PARTS.values())


def official_state(
    folder: str | Path, parts: Sequence[str] = ("video_adapter", "audio_adapter", "face_adapter", "fusion")
) -> dict[str, Tensor]:
    """Parts of a model folder under the official code's names, and its LoRA if there is a `lora/` beside them."""
    folder, parts = Path(folder), one_or_more(parts)
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

"""A model folder out of pretrained backbones as on the Hub: a language model, encoders of the scene, voice and face.

Any of the kinds that the configuration knows will do; widths, layers and the preparation of media follow from theirs.
Adapters and fusion start untrained; the three phases train them. Every tensor of every source is accounted for:
used, dropped by name because the model has no use for it, or an error. Parts are read and written tensor by
tensor, so memory holds the pages of one part and one shard. The placeholders of the prompt take spare rows of the
language model's table (Qwen2.5: 151,936 rows, the tokenizer ends at 151,664); a table without spare rows grows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from nanoemox.checkpoints.check_folder import check_tokenizer
from nanoemox.checkpoints.check_shapes import check_shapes
from nanoemox.checkpoints.hub import complete, find_part, public_name
from nanoemox.checkpoints.preparation import picture_settings, sound_settings
from nanoemox.checkpoints.pretrained import (
    FACE_KEY,
    Part,
    Source,
    hub_part,
    is_backbone,
    load_tokenizer,
    plan_part,
)
from nanoemox.checkpoints.provenance import RANDOM, add_steps, assembled
from nanoemox.checkpoints.turns import Turns, take_turns, template_of, turns_of
from nanoemox.checkpoints.weight_files import (
    TORCH_DTYPES,
    ShardWriter,
    WeightsError,
    check_dtype,
    check_values,
    open_weights,
)
from nanoemox.files.atomic import check_new_folder, whole_folder, write_json
from nanoemox.files.errors import ArgumentError
from nanoemox.model.clip_processor import END_OF_TURN, prepare_tokenizer
from nanoemox.model.configuration_nanoemox import PARTS, PRESETS, NanoEmoXConfig, preset_fields
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import parameter_shapes, part_of, skeleton_of
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.theatre.texts import theatre_texts

logger = logging.getLogger(__name__)


def assemble(
    out: str | Path,
    *,
    video: str,
    audio: str,
    lm: str,
    face: str | None = None,
    preset: str = "nano",
    dtype: str = "bfloat16",
    seed: int = 0,
    revisions: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Build a model folder from pretrained backbones.

    Args:
        out: The folder to write; it must not exist yet.
        video: A picture encoder, with or without a text tower: a Hub id, or a folder in the Hub's layout.
        audio: An audio encoder, named in the same way.
        lm: A decoder of text, named in the same way.
        face: FaceXFormer's checkpoint (a file, a folder that holds it, or a Hub id), a picture encoder, named as
            `video`, or "none" for a model without a face branch.
        preset: What stands between the backbones: one of PRESETS.
        dtype: Of all weights: "bfloat16", "float16" or "float32".
        seed: Of the untrained parts.
        revisions: Part -> branch, tag or commit.
        settings: Fields of the configuration to change.

    Returns:
        The folder `out`.

    Raises:
        ArgumentError: For an unknown preset or dtype.
        WeightsError: Before anything is written, where that is possible.
    """
    # Find the backbones, and make the configuration from theirs. They may be gigabytes: look at the output first.
    check_dtype(dtype)
    check_new_folder(out)
    revisions, sizes = dict(revisions or {}), _sizes(preset, settings)
    parts = [
        hub_part("vision_encoder", video, revisions.get("video")),
        hub_part("audio_encoder", audio, revisions.get("audio")),
        hub_part("lm", lm, revisions.get("lm")),
    ]
    vision, voice, language = parts
    own = {"vision_config": vision.config, "audio_config": voice.config, "text_config": language.config}
    if sizes.get("face_tokens", 1) and face != "none":
        if face is None:
            raise WeightsError(
                f"{out}: expected FaceXFormer's checkpoint or another picture encoder, got none; name it with --face, "
                "or --face none for a model without a face branch"
            )
        parts.insert(2, _face_part(face, revisions.get("face")))
        if parts[2].config is not None:
            own |= {"face_config": parts[2].config, "face_fused": False}
    else:
        own["face_tokens"] = 0
    pictures, own["video_side_px"] = picture_settings(vision.place)
    face_pictures: dict[str, Any] = {}
    if "face_config" in own:
        face_pictures, own["face_side_px"] = picture_settings(parts[2].place)

    # The tokenizer of the language model gets the placeholders.
    tokenizer = load_tokenizer(language.place)
    turns = turns_of(tokenizer, lm)
    try:
        config = NanoEmoXConfig(**sizes | own)
        language.rows = fit_placeholders(config, tokenizer, turns)
        check_shapes(config)
    except ValueError as error:
        names = ", ".join(str(part.place / "config.json") for part in parts if part.config is not None)
        raise WeightsError(
            f"{names}: do not fit preset {preset} ({error}); take other backbones, or change the field"
        ) from error
    check_tokenizer(
        language.place / "tokenizer.json", tokenizer, config, END_OF_TURN if turns is None else turns.end
    )

    # Find a place for every tensor: all parts are looked at before anything is written.
    skeleton = skeleton_of(config)
    for part in parts:
        with open_weights(part.place, part.key) as weights:
            plan_part(part, _shapes(skeleton, part.part), weights, _backbone(skeleton, part))
            check_values(weights)
    sound = sound_settings(voice.place, config.audio_config.model_type == "whisper")
    processor = NanoEmoXProcessor.from_config(config, tokenizer, pictures, face_pictures, sound)
    if turns is not None:
        processor.end_of_turn, processor.chat_template = turns.end, template_of(turns)
        skeleton.generation_config.eos_token_id = processor.end_ids

    # Write part by part, so that no more than one shard is in memory; then the untrained parts.
    def write(writer: ShardWriter) -> None:
        for part in parts:
            logger.info("%s: %s", part.part, part.source.name)
            with open_weights(part.place, part.key) as weights:
                shapes = _shapes(skeleton, part.part)
                plan = plan_part(part, shapes, weights, _backbone(skeleton, part))
                for ours, (theirs, third) in plan.items():
                    tensor = weights[theirs].read()
                    tensor = tensor if third is None else tensor.chunk(3)[third]
                    writer.add(ours, _grown(tensor, shapes[ours]), TORCH_DTYPES[dtype])
        _write_fresh(
            skeleton, [p for p in skeleton.parts() if p not in {x.part for x in parts}], writer, dtype, seed
        )

    sources = {part.part: part.source for part in parts}
    return _write_model(Path(out), skeleton, processor, dtype, write, sources)


def assemble_random(
    preset: str,
    out: str | Path,
    *,
    dtype: str = "bfloat16",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """A model folder at full size with random weights and a tokenizer trained here, to try the machinery with.

    Args:
        preset: As in `assemble`.
        out: The folder to write; it must not exist yet.
        dtype: Of all weights.
        seed: Of the weights and of the texts that the tokenizer is trained on.
        settings: Fields of the configuration to change.

    Returns:
        The folder `out`.

    Raises:
        ArgumentError: For an unknown preset or dtype.
        WeightsError: If the folder cannot be written.
    """
    check_dtype(dtype)
    check_new_folder(out)
    from nanoemox.model.tokenizer import train_tokenizer

    config = NanoEmoXConfig(**{**preset_fields(_known(preset)), **(settings or {})})
    logger.info("tokenizer: training")
    tokenizer = train_tokenizer(theatre_texts(200, seed), vocabulary=2048)
    fit_placeholders(config, tokenizer)
    skeleton = skeleton_of(config)

    def write(writer: ShardWriter) -> None:
        for part in skeleton.parts():
            logger.info("%s: random", part)
            _write_fresh(skeleton, [part], writer, dtype, seed)

    processor = NanoEmoXProcessor.from_config(config, tokenizer)
    return _write_model(Path(out), skeleton, processor, dtype, write, {})


# ---------------------------------------------------------------------- the model
def _known(preset: str) -> str:
    if preset not in PRESETS:
        raise ArgumentError(f"unknown preset {preset!r}: expected one of {', '.join(PRESETS)}")
    return preset


def _sizes(preset: str, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a preset, without the layers that belong to its own encoders: they follow from those that come."""
    fields = preset_fields(_known(preset))
    for name in ("vision_fusion_layers", "audio_fusion_layers", "audio_feature_layers"):
        fields.pop(name, None)
    return fields | dict(settings or {})


def _face_part(name: str, revision: str | None) -> Part:
    """The face encoder: a backbone in the Hub's layout, or FaceXFormer's single file."""
    if is_backbone(find_part(name, revision, weights=False), "face_encoder"):
        return hub_part("face_encoder", name, revision)
    place = find_part(name, revision, single_file=True)
    return Part("face_encoder", Source(public_name(name), revision), place, FACE_KEY)


def _backbone(skeleton: NanoEmoXForConditionalGeneration, part: Part) -> Any:
    """The class of transformers that a part's weights are for; None for FaceXFormer."""
    if part.key is not None:
        return None
    module = skeleton.parts()[part.part]
    return module if part.part == "lm" else module.model


def _grown(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """A table with as many rows as the model needs; new ones are the mean of all, and only placeholders have them."""
    missing = shape[0] - tensor.shape[0] if tensor.dim() else 0
    if missing <= 0:
        return tensor
    mean = tensor.float().mean(dim=0, keepdim=True).to(tensor.dtype)
    return torch.cat([tensor, mean.expand(missing, *tensor.shape[1:])])


def fit_placeholders(config: NanoEmoXConfig, tokenizer: Any, turns: Turns | None = None) -> int | None:
    """Add our special tokens in spare rows of the language model's table; it grows if there are too few.

    Args:
        config: Gets the ids of the tokens.
        tokenizer: Gets the tokens.
        turns: The marks of the language model, if it does not know ChatML.

    Returns:
        The rows that the table had before it grew; None if it keeps its size.
    """
    rows: int = config.text_config.vocab_size
    if turns is None:
        prepare_tokenizer(tokenizer)
    else:
        take_turns(tokenizer, turns)
    config.fit_tokenizer(tokenizer)
    return rows if config.text_config.vocab_size > rows else None


def _shapes(skeleton: NanoEmoXForConditionalGeneration, part: str) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in parameter_shapes(skeleton).items() if part_of(name) == part}


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def _write_fresh(
    skeleton: NanoEmoXForConditionalGeneration, parts: list[str], writer: ShardWriter, dtype: str, seed: int
) -> None:
    """Initialise parts as the model does, one at a time, and write them."""
    for part in parts:
        module: nn.Module = skeleton.parts()[part]
        torch.manual_seed(seed + 1 + list(PARTS).index(part))
        large = part in ("lm", "vision_encoder", "audio_encoder")
        module.to(TORCH_DTYPES[dtype] if large else torch.float32).to_empty(device="cpu")
        for child in module.modules():
            child._is_hf_initialized = False  # type: ignore[assignment]
        skeleton.initialize_weights()
        parameters = dict(module.named_parameters(PARTS[part]))
        for name, value in parameters.items():  # weight norm hides its parts from the initialiser
            if name.endswith("parametrizations.weight.original1"):
                value.normal_(std=value[0].numel() ** -0.5)
                scale = parameters[name.removesuffix("1") + "0"]
                ones = [axis for axis, size in enumerate(scale.shape) if size == 1]
                scale.copy_(torch.linalg.vector_norm(value.float(), dim=ones, keepdim=True))
        for name in _shapes(skeleton, part):
            writer.add(name, parameters.get(name, torch.empty(0)), TORCH_DTYPES[dtype])
        module.to("meta")


def _write_model(
    out: Path,
    skeleton: NanoEmoXForConditionalGeneration,
    processor: NanoEmoXProcessor,
    dtype: str,
    write: Callable[[ShardWriter], None],
    sources: Mapping[str, Source],
) -> Path:
    """Everything a model folder holds, whole or not at all."""
    config = skeleton.config
    config.architectures = [type(skeleton).__name__]
    for each in (config, *(getattr(config, name) for name in config.sub_configs)):
        each.dtype = dtype
    names = {part: source.name for part, source in sources.items()}
    config.provenance = None
    add_steps(config, [RANDOM, *([assembled(names)] if names else [])])
    count = sum(math.prod(shape) for shape in parameter_shapes(skeleton).values())
    with whole_folder(out, needed_bytes=count * TORCH_DTYPES[dtype].itemsize) as new:
        writer = ShardWriter(new)
        write(writer)
        writer.close()
        config.save_pretrained(new)
        skeleton.generation_config.save_pretrained(new)
        processor.save_pretrained(new)
        assembly = {
            "sources": {part: asdict(source) for part, source in sources.items()},
            "bytes": writer.total_bytes,
            "dtype": dtype,
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        }
        write_json(new / "assembly.json", assembly)
        complete(new)
    return out

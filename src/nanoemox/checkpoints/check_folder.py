"""Is this a model folder that can be loaded? Every file is looked over before anything is built from it.

A folder may come from anyone. None of its code is run, no file of it names a place outside it, and every number fits
the configuration. What does not is one error: the file, what was expected, what came, and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from transformers import GenerationConfig, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from nanoemox.checkpoints.folder_forms import (
    FileForm,
    GenerationForm,
    LogMelProcessorForm,
    ProcessorForm,
    SizeForm,
    TokenizerForm,
    TokenizerSettingsForm,
)
from nanoemox.checkpoints.json_files import keys_within, shown
from nanoemox.checkpoints.openvino_folder import is_openvino
from nanoemox.checkpoints.pattern_trial import check_patterns
from nanoemox.checkpoints.weight_files import WeightsError, check_values, listed, open_weights, read_object
from nanoemox.files.validation import first_wrong
from nanoemox.model.configuration_nanoemox import KINDS, PART_CONFIGS, PLACEHOLDERS, NanoEmoXConfig
from nanoemox.model.parts import parameter_shapes, skeleton_of
from nanoemox.model.remote_code import AUTO_MAP

AGAIN = "copy the folder again, or assemble the model anew"
_WHOLE = ("config.json", "processor_config.json", "tokenizer.json")
# All files beside the weights that transformers reads.
_READ = (
    *_WHOLE,
    "tokenizer_config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "vocab.json",
)
_OWN_CODE = {name.rpartition(".")[2] for name in AUTO_MAP.values()}  # as a copy may name another place of it
_MOST_TEMPLATE_BYTES = 200_000
# Keys with which a configuration has transformers read another file, or fetch code, instead of what lies here.
_NOT_HERE = (
    "quantization_config",
    "transformers_weights",
    "per_layer_config",
    "custom_generate",
    "watermarking_config",
)
_COUNTERS = ("position_ids", "relative_position_index", "num_batches_tracked")  # what may be whole numbers
_SENTENCE = "What does the person feel? I am 12 years old, really!"


# ---------------------------------------------------------------------- the folder
def check_folder(folder: Path) -> None:
    """Raise WeightsError unless this is a whole model folder of ours whose files can be read and run no code."""
    if not folder.is_dir():
        raise WeightsError(f"{folder}: no such file or folder; expected a model folder, check the path")
    path, adapter = folder / "config.json", folder / "adapter_config.json"
    if adapter.is_file() and not path.is_file():
        merged = (folder.parent / "config.json").is_file()
        remedy = (
            "it is merged already in the folder above; name that"
            if merged
            else "merge it into its model first"
        )
        raise WeightsError(f"{folder}: is a LoRA adapter (expected a whole model folder); {remedy}")
    if path.is_file():
        check_kind(path)
    missing = [name for name in _WHOLE if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder}: expected a model folder with {', '.join(_WHOLE)}, found no {listed(missing)}; "
            "name another, or save or assemble it again"
        )
    if adapter.exists():
        raise WeightsError(
            f"{adapter}: expected no adapter beside a whole model, since it would change its weights; "
            "merge it, or move it away"
        )
    for name in _READ:
        if (folder / name).exists():
            check_no_code(folder / name, read_object(folder / name))
    if not is_openvino(folder):
        with open_weights(folder):
            pass


def check_kind(path: Path) -> None:
    """Raise WeightsError unless this config.json is one of ours."""
    kind = read_object(path).get("model_type")
    if kind != NanoEmoXConfig.model_type:
        found = kind if isinstance(kind, str) else shown(kind)
        raise WeightsError(
            f"{path}: expected a model of type {NanoEmoXConfig.model_type}, found {found}; name another folder, or "
            "make one with `nanoemox assemble`"
        )


def check_no_code(path: Path, fields: dict[str, Any], own: bool = True) -> None:
    """Refuse what would have transformers run code that comes with a folder, or read what lies elsewhere.

    Args:
        path: The file that holds the fields.
        fields: What it holds.
        own: Whether the classes of this package may be named; they are, in a model folder of ours.

    Raises:
        WeightsError: If there is such a field.
    """
    for place, key, value in keys_within(fields):
        if key == "auto_map":
            named = list(value.values()) if isinstance(value, dict) else [value]
            foreign = [
                n for n in named if not (own and isinstance(n, str) and n.rpartition(".")[2] in _OWN_CODE)
            ]
            if foreign:
                raise WeightsError(
                    f"{path}: {place} names code that comes with the model ({shown(foreign[0])}), and no such code is "
                    "run; expected no auto_map; remove it if the model does without"
                )
        elif value is None:
            continue
        elif key in _NOT_HERE:
            raise WeightsError(
                f"{path}: expected no {place}, got {shown(value)}; this package cannot load such a model; {AGAIN}"
            )
        elif key.endswith(("attn_implementation", "experts_implementation")) and value not in (
            "eager",
            "sdpa",
        ):
            raise WeightsError(
                f"{path}: {place}: expected eager or sdpa, got {shown(value)}, perhaps code from elsewhere; remove "
                "the field"
            )


def check_config(path: Path) -> None:
    """Refuse keys of config.json that would take the place of what the configuration itself does."""
    fields = read_object(path)
    parts: list[tuple[str, Any, type]] = [("", fields, NanoEmoXConfig)]
    parts += [(f"{name}.", fields[name], form) for name, form in PART_CONFIGS.items() if name in fields]
    for at, values, default in parts:
        if not isinstance(values, dict):
            raise WeightsError(
                f"{path}: {at[:-1]}: expected an object in braces, got {shown(values)}; {AGAIN}"
            )
        kind = values.get("model_type")
        form = CONFIG_MAPPING[kind] if at and kind in KINDS[at[:-1]] else default
        labels = values.get("num_labels")
        if labels is not None and not (
            isinstance(labels, int) and 0 <= labels <= 1000
        ):  # each would get a name
            raise WeightsError(f"{path}: {at}num_labels: expected no labels, got {shown(labels)}; {AGAIN}")
        own = {one.name for one in fields_of(form)} | {"model_type"}
        _check_names(path, at, {key: value for key, value in values.items() if key not in own}, form)


def _check_names(path: Path, at: str, values: Mapping[str, Any], form: type) -> None:
    """Refuse keys that are no settings but methods and other parts of the class that they would be set on."""
    for key, value in values.items():
        here = getattr(form, key, None)
        settable = isinstance(here, property) and here.fset is not None
        harmless = not hasattr(form, key) or settable or (value == here and not callable(here))
        if key.startswith("__") or not harmless:
            raise WeightsError(f"{path}: expected no {at}{key}, got {shown(value)}; {AGAIN}")


def check_files(folder: Path, config: NanoEmoXConfig) -> None:
    """Refuse files of processor, tokenizer and generation that do not fit the configuration. Errors: WeightsError."""
    _check_language_model(folder / "config.json", config)
    _check_processor(folder / "processor_config.json", config)
    rows = config.text_config.vocab_size
    tokenizer = _filled(folder / "tokenizer.json", TokenizerForm)
    check_patterns(folder / "tokenizer.json", read_object(folder / "tokenizer.json"))
    ids = {**tokenizer.model.vocab, **{token.content: token.id for token in tokenizer.added_tokens}}
    token, highest = max(ids.items(), key=lambda item: item[1])
    if highest >= rows:
        raise WeightsError(
            f"{folder / 'tokenizer.json'}: expected ids below {rows}, the rows of the language model's table, got "
            f"{highest} ({shown(token)}); {AGAIN}"
        )
    if len(set(tokenizer.model.vocab.values())) < len(tokenizer.model.vocab):
        raise WeightsError(f"{folder / 'tokenizer.json'}: expected an id of its own for each token; {AGAIN}")
    if (folder / "tokenizer_config.json").is_file():
        _filled(folder / "tokenizer_config.json", TokenizerSettingsForm)
    if (folder / "generation_config.json").is_file():
        _check_generation(folder / "generation_config.json", rows)
    template = folder / "chat_template.jinja"
    is_text = template.is_file() and 0 < template.stat().st_size <= _MOST_TEMPLATE_BYTES
    if template.exists() and not is_text:
        raise WeightsError(f"{template}: expected a text of 1 to {_MOST_TEMPLATE_BYTES:,} bytes; {AGAIN}")
    if (folder / "additional_chat_templates").exists():
        raise WeightsError(
            f"{folder / 'additional_chat_templates'}: expected one chat template, chat_template.jinja; move it away"
        )


Form = TypeVar("Form", bound=FileForm)


def _filled(path: Path, form: type[Form]) -> Form:
    """The form, filled with what a file holds."""
    try:
        return form.model_validate(read_object(path))
    except ValidationError as error:
        raise WeightsError(f"{path}: {first_wrong(error, form)}; {AGAIN}") from error


def _check_language_model(path: Path, config: NanoEmoXConfig) -> None:
    """Refuse ids beyond its table, and heads that cannot be shared."""
    text = config.text_config
    ends = text.eos_token_id if isinstance(text.eos_token_id, list) else [text.eos_token_id]
    named = {f"{kind}_token_id": number for kind, number in config.placeholder_ids.items()}
    if len(set(named.values())) < len(named):
        raise WeightsError(f"{path}: expected an id of its own for each placeholder, got {named}; {AGAIN}")
    shared = getattr(text, "num_key_value_heads", None) or 1
    if text.num_attention_heads % shared:
        raise WeightsError(
            f"{path}: text_config.num_attention_heads: expected a multiple of num_key_value_heads, {shared}, got "
            f"{text.num_attention_heads}; {AGAIN}"
        )
    named |= {"text_config.pad_token_id": text.pad_token_id, "text_config.bos_token_id": text.bos_token_id}
    named |= {f"text_config.eos_token_id {number}": number for number in ends}
    for name, number in named.items():
        if number is not None and not 0 <= number < text.vocab_size:
            raise WeightsError(
                f"{path}: {name}: expected an id from 0 to {text.vocab_size - 1}, the last row of the language "
                f"model's table, got {number}; {AGAIN}"
            )


def _check_processor(path: Path, config: NanoEmoXConfig) -> None:
    of_whisper = config.audio_config.model_type == "whisper"
    processor = _filled(path, LogMelProcessorForm if of_whisper else ProcessorForm)
    values = read_object(path)
    if of_whisper:
        bands, wanted = processor.feature_extractor.feature_size, config.audio_config.num_mel_bins
        if bands != wanted:
            raise WeightsError(
                f"{path}: feature_extractor.feature_size: expected {wanted}, as in config.json, got {bands}; {AGAIN}"
            )
    for name, kind in (
        ("image_processor", CLIPImageProcessorPil),
        ("face_image_processor", CLIPImageProcessorPil),
        ("feature_extractor", WhisperFeatureExtractor if of_whisper else Wav2Vec2FeatureExtractor),
    ):
        methods = {key: value for key, value in values[name].items() if callable(getattr(kind, key, None))}
        _check_names(path, f"{name}.", methods, kind)
    for name, images, side in (
        ("image_processor", processor.image_processor, config.video_side_px),
        ("face_image_processor", processor.face_image_processor, config.face_side_px),
    ):
        crop, size = images.crop_size, images.size
        if (crop.height, crop.width) != (side, side):
            raise WeightsError(
                f"{path}: {name}.crop_size: expected {side} x {side}, as in config.json, got {crop.height} x "
                f"{crop.width}; {AGAIN}"
            )
        shortest = size.shortest_edge if isinstance(size, SizeForm) else min(size.height, size.width)
        if not side <= shortest <= 2 * side:  # of a larger image, only a small piece would be left
            raise WeightsError(
                f"{path}: {name}.size: expected from crop_size, {side}, to twice as much, got {shortest}; {AGAIN}"
            )
    if processor.placeholder_counts != config.placeholder_counts:
        raise WeightsError(
            f"{path}: placeholder_counts: expected {config.placeholder_counts}, as in config.json, got "
            f"{processor.placeholder_counts}; {AGAIN}"
        )


def _check_generation(path: Path, rows: int) -> None:
    settings = _filled(path, GenerationForm)
    _check_names(path, "", read_object(path), GenerationConfig)
    try:
        GenerationConfig.from_dict(read_object(path))
    except Exception as error:  # a wrong value makes transformers raise anything
        raise WeightsError(f"{path}: {' '.join(str(error).split())[:200]}; {AGAIN}") from error
    ends = settings.eos_token_id
    for name, ids in (
        ("eos_token_id", ends if isinstance(ends, list) else [ends]),
        ("pad_token_id", [settings.pad_token_id]),
        ("bos_token_id", [settings.bos_token_id]),
        ("suppress_tokens", settings.suppress_tokens or []),
        ("begin_suppress_tokens", settings.begin_suppress_tokens or []),
    ):
        outside = [number for number in ids if number is not None and number >= rows]
        if outside:
            raise WeightsError(
                f"{path}: {name}: expected ids below {rows}, the rows of the language model's table, got "
                f"{outside[0]}; {AGAIN}"
            )


# ---------------------------------------------------------------------- tokenizer and weights
def check_tokenizer(path: Path, tokenizer: Any, config: NanoEmoXConfig, end_of_turn: str) -> None:
    """Refuse a tokenizer with which a prompt would mean something else than it says.

    Args:
        path: Its file, for the error.
        tokenizer: As it was loaded.
        config: Of the model.
        end_of_turn: What ends an answer.

    Raises:
        WeightsError: If it does not fit.
    """
    ids = tokenizer.get_vocab()
    rows = config.text_config.vocab_size
    problem = None
    if ids and max(ids.values()) >= rows:
        problem = (
            f"expected ids below {rows}, the rows of the language model's table, got {max(ids.values())}"
        )
    elif tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
        problem = "expected tokens for padding and for the end of a text, found no " + (
            "pad_token" if tokenizer.pad_token_id is None else "eos_token"
        )
    else:
        for kind, token in PLACEHOLDERS.items():
            wanted = config.placeholder_ids[kind]
            found = tokenizer(token, add_special_tokens=False)["input_ids"]
            if token not in tokenizer.all_special_tokens:  # else a text could hold it
                problem = f"expected {token} to be a special token"
                break
            if found != [wanted]:
                problem = f"expected {token} to be the one id {wanted}, as in config.json, got {shown(found)}"
                break
        else:
            sentence = _SENTENCE + end_of_turn
            back = tokenizer.decode(tokenizer(sentence, add_special_tokens=False)["input_ids"])
            if back != sentence:
                problem = (
                    f"expected that a text comes back as it was, but {shown(sentence)} became {shown(back)}"
                )
    if problem:
        raise WeightsError(f"{path}: {problem}; {AGAIN}")


def check_weights(folder: Path, config: NanoEmoXConfig, values: bool = True) -> None:
    """Refuse weights that do not fit the configuration, or that no training makes.

    Args:
        folder: The model folder.
        config: Its configuration.
        values: Whether every weight is looked at, one tensor in memory at a time; it takes seconds for billions.

    Raises:
        WeightsError: If there are far fewer weights than the model has, or they are of another type or not finite.
    """
    expected = sum(math.prod(shape) for shape in parameter_shapes(skeleton_of(config)).values())
    with open_weights(folder) as weights:
        # Names and shapes are compared when the model is loaded; before that, it must not take more memory than it may.
        stored = sum(math.prod(tensor.shape) for tensor in weights.values())
        if expected > 2 * stored:
            raise WeightsError(
                f"{folder}: the weights do not fit the configuration (expected {expected:,} numbers, got {stored:,}); "
                f"{AGAIN}"
            )
        for name, tensor in weights.items():
            if tensor.dtype is None and not name.endswith(_COUNTERS):
                raise WeightsError(
                    f"{folder}: expected floating-point numbers as {name}, got another type; {AGAIN}"
                )
        if values:
            check_values(weights)

"""Backbones of every kind on disk as `save_pretrained` writes them: a head that nobody reads, a tokenizer beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING

from tests.model.small_backbones import AUDIO, FACE, LM, SCENE
from tests.tiny import LINES

_WORDS = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 99,
}
# What a model of each family writes around turns, its start and its end; None: ChatML.
_LLAMA = (
    "<|begin_of_text|>",
    "<|eot_id|>",
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content "
    "+ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    ("<|start_header_id|>", "<|end_header_id|>"),
)
_GEMMA = (
    "<bos>",
    "<eos>",
    "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) "
    "+ '\n' "
    "+ m.content + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}"
    "{% endif %}",
    ("<start_of_turn>", "<end_of_turn>"),
)
_MISTRAL = (
    "<s>",
    "</s>",
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}"
    "{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}",
    (),
)
MARKS: dict[str, Any] = {
    "llama": _LLAMA,
    "gemma": _GEMMA,
    "gemma2": _GEMMA,
    "gemma3": _GEMMA,
    "mistral": _MISTRAL,
    "phi3": ("<s>", "</s>", None, ()),  # a base model without a template
}


def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    """A small tokenizer with the marks of a family."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    start, end, template, marks = MARKS.get(kind) or (
        None,
        "<|im_end|>",
        None,
        ("<|endoftext|>", "<|im_start|>"),
    )
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=start, eos_token=end)
    made.add_tokens(list(marks), special_tokens=True)
    made.chat_template = template
    return made


def write_lm(folder: Path, kind: str, rows: int = 400, seed: int = 3) -> None:
    tokenizer = tokenizer_of(kind)
    fields = dict(LM[kind]) | {"vocab_size": max(rows, len(tokenizer)), "pad_token_id": None}
    config = CONFIG_MAPPING[fields.pop("model_type")](**fields | {"bos_token_id": 0, "eos_token_id": 0})
    torch.manual_seed(seed)
    MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_pictures(folder: Path, kind: str, seed: int = 1) -> None:
    fields = dict((SCENE | FACE)[kind])
    torch.manual_seed(seed)
    if kind == "clip":
        model: Any = CLIPModel(CLIPConfig(text_config=_WORDS, vision_config=fields, projection_dim=12))
    elif kind == "siglip":
        model = SiglipModel(SiglipConfig(text_config=_WORDS, vision_config=fields))
    else:
        config = CONFIG_MAPPING[fields.pop("model_type")](**fields)
        model = MODEL_MAPPING[type(config)](config)
    model.save_pretrained(folder)
    side = fields.get("image_size", 24)
    settings = {
        "size": {"height": side, "width": side},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2] * 3,
    }
    if kind != "clip":  # which comes without, as some do
        (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")


def write_audio(folder: Path, kind: str, seed: int = 2) -> None:
    fields = dict(AUDIO[kind])
    config = CONFIG_MAPPING[fields.pop("model_type")](**fields)
    torch.manual_seed(seed)
    MODEL_MAPPING[type(config)](config).save_pretrained(folder)
    if kind == "wavlm":
        (folder / "preprocessor_config.json").write_text('{"do_normalize": false}', encoding="utf-8")


def write_all(root: Path, lm: str, video: str, audio: str, face: str) -> dict[str, str]:
    """Four folders, as arguments of `assemble`."""
    writers = (
        ("lm", lm, write_lm),
        ("video", video, write_pictures),
        ("audio", audio, write_audio),
        ("face", face, write_pictures),
    )
    for part, kind, write in writers:
        write(root / part, kind)
    return {part: str(root / part) for part, _, _ in writers}

"""Light-MER as it is published, with every size cut down: its checkpoint and its backbones in the Hub's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from nanoemox.checkpoints.releases import LIGHT_MER
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig, preset_fields
from nanoemox.model.parts import LORA_TARGETS, skeleton_of
from tests.backbones_on_disk import official_state, write_clip, write_hubert
from tests.tiny import LINES, tiny_config

CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TIED = "llama_model.base_model.model.lm_head.weight"
CONFIG = {
    "model": {
        "llama_model": "Qwen3_0.6B",
        "visual_encoder": "CLIP_VIT_BASE",
        "acoustic_encoder": "HUBERT_BASE",
        "num_video_query_token": 1,
        "num_audio_query_token": 1,
        "num_multi_query_token": 1,
    },
    "datasets": {"mercaptionplus": {"face_or_frame": "multiface_audio_face_text"}},
}


def tokenizer(tokens: tuple[str, ...] = CHAT_TOKENS) -> PreTrainedTokenizerFast:
    """A small tokenizer in Qwen's manner, with the tokens that were added to it."""
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    bare.train_from_iterator([*LINES, "###Human: ###Assistant: ###"] * 2, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=bare)
    if tokens:
        special = {"eos_token": tokens[-1], "pad_token": tokens[0], "additional_special_tokens": list(tokens)}
        made.add_special_tokens(special)
    return made


def write_qwen3(folder: Path, layers: int = 2, width: int = 32) -> dict[str, Tensor]:
    """Qwen/Qwen3-0.6B: heads wider than the hidden size says, a tied table in bfloat16 with spare rows."""
    folder.mkdir(parents=True)
    config = Qwen3Config(
        vocab_size=320,
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=0.2,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=0,
    )
    config.save_pretrained(folder)
    torch.manual_seed(5)
    made = Qwen3ForCausalLM(config)
    state = {name: tensor.bfloat16().clone() for name, tensor in made.state_dict().items()}
    del state["lm_head.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "generation_config.json").write_text(
        json.dumps({"top_k": 20, "top_p": 0.95, "do_sample": True})
    )
    tokenizer().save_pretrained(folder)
    return state


def checkpoint_state(table: Tensor, layers: int = 2, width: int = 32) -> dict[str, Tensor]:
    """What their runner saves: LoRA, heads, the distillation's head, and the table under its other name."""
    tiny = tiny_config()
    text = {
        "model_type": "qwen3",
        "vocab_size": 320,
        "hidden_size": width,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    vision = tiny.vision_config.to_dict() | {"projection_dim": 12}
    ids = {f"{kind}_token_id": 310 + i for i, kind in enumerate(("fusion", "audio", "face", "video"))}
    config = NanoEmoXConfig(
        **preset_fields("light-mer")
        | {"vision_config": vision, "audio_config": tiny.audio_config.to_dict(), "text_config": text}
        | ids
    )
    import re

    torch.manual_seed(6)
    state: dict[str, Tensor] = {}
    skeleton = skeleton_of(config)
    parts = type(skeleton)(config).parts()
    for part in ("video_adapter", "audio_adapter", "fusion"):
        state |= official_state(parts[part], part)
    state = {name.replace("video_proj.", "affectgpt_proj."): tensor for name, tensor in state.items()}
    for name, module in skeleton.named_modules():
        if re.fullmatch(LORA_TARGETS, name):
            prefix = f"llama_model.base_model.model.{name.removeprefix('language_model.')}"
            state[f"{prefix}.lora_A.default.weight"] = torch.randn(4, module.in_features) * 0.1
            state[f"{prefix}.lora_B.default.weight"] = torch.randn(module.out_features, 4) * 0.1
    state |= {"image_llama_proj.weight": torch.randn(width, 12), "image_llama_proj.bias": torch.randn(width)}
    state |= {"ot_hidden_proj.student_proj.0.weight": torch.eye(width)}
    return state | {TIED: table.clone()}


def write_release(root: Path) -> dict[str, Any]:
    """Copies of all four repositories below one folder; returns the state of the checkpoint."""
    places = {part: root / repository for part, repository in LIGHT_MER.backbones.items()}
    write_clip(places["vision_encoder"])
    write_hubert(places["audio_encoder"])
    table = write_qwen3(places["lm"])["model.embed_tokens.weight"]
    state = checkpoint_state(table)
    path = root / LIGHT_MER.repository / LIGHT_MER.file
    path.parent.mkdir(parents=True)
    save_checkpoint(path, state)
    return state


def save_checkpoint(path: Path, state: dict[str, Tensor], config: dict[str, Any] | None = None) -> None:
    """As their runner writes it."""
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 8e-5}]}
    torch.save(
        {
            "model": state,
            "optimizer": optimizer,
            "config": CONFIG if config is None else config,
            "scaler": None,
            "epoch": 60,
        },
        path,
    )

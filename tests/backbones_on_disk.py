"""Small backbones in exactly the layouts of the real ones, and small official checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    HubertConfig,
    HubertModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.swin.modeling_swin import SwinRelativePositionBias

from nanoemox.checkpoints.official_names import official_name
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.model.encoders import FaceEncoder
from tests.tiny import tiny_config, tiny_tokenizer

PARTS = ("vision_config", "audio_config", "text_config")


def settings(**changes: Any) -> dict[str, Any]:
    """What `assemble` has to know beyond the backbones, at toy size."""
    fields = tiny_config().to_dict()
    sizes = {
        name: fields[name] for name in fields if name.endswith(("_tokens", "_layers", "_width", "_heads"))
    }
    for name in ("face_config", "qformer_config"):
        sizes[name] = getattr(tiny_config(), name).to_dict()
    return sizes | changes


def write_clip(folder: Path, text_tower: bool = True) -> dict[str, Tensor]:
    """openai/clip-vit-large-patch14: config of both towers, one safetensors file, buffers of older versions."""
    folder.mkdir(parents=True)
    vision = tiny_config().vision_config
    vision.projection_dim = 12
    text = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 99,
    }
    config = CLIPConfig(text_config=text, vision_config=vision.to_dict(), projection_dim=12)
    torch.manual_seed(1)
    state = {name: tensor.clone() for name, tensor in CLIPModel(config).state_dict().items()}
    state["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    if text_tower:
        state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        fields = config.to_dict()
    else:
        state = {name: tensor for name, tensor in state.items() if name.startswith("vision_model.")}
        fields = CLIPVisionConfig(**vision.to_dict()).to_dict()
    (folder / "config.json").write_text(json.dumps(fields, default=str))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return state


def write_hubert(folder: Path) -> dict[str, Tensor]:
    """TencentGameMate/chinese-hubert-large: PyTorch's zip file, weight norm in the old spelling."""
    folder.mkdir(parents=True)
    config = HubertConfig(**tiny_config().audio_config.to_dict())
    config.save_pretrained(folder)
    torch.manual_seed(2)
    state = {}
    for name, tensor in HubertModel(config).state_dict().items():
        old = name.replace("parametrizations.weight.original0", "weight_g")
        state[old.replace("parametrizations.weight.original1", "weight_v")] = tensor
    torch.save(state, folder / "pytorch_model.bin")
    return state


def write_qwen(
    folder: Path, tokenizer: Any = None, vocabulary: int = 320, tied: bool = True
) -> dict[str, Tensor]:
    """Qwen/Qwen2.5: shards with an index, bfloat16, a tokenizer that ends before the table does."""
    folder.mkdir(parents=True)
    fields = tiny_config().text_config.to_dict() | {"vocab_size": vocabulary, "tie_word_embeddings": tied}
    config = Qwen2Config(**fields)
    config.save_pretrained(folder)
    torch.manual_seed(3)
    state = {
        name: tensor.bfloat16().clone() for name, tensor in Qwen2ForCausalLM(config).state_dict().items()
    }
    if tied:
        del state["lm_head.weight"]
    names, files = sorted(state), ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    index = {name: files[i % 2] for i, name in enumerate(names)}
    for file in files:
        save_file({n: state[n] for n in names if index[n] == file}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (tokenizer or tiny_tokenizer()).save_pretrained(folder)
    return state


def write_facexformer(path: Path, **extra: Tensor) -> dict[str, Tensor]:
    """FaceXFormer's ckpts/model.pt: everything under one key, torchvision's names, its decoder beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(4)
    config = tiny_config()
    state = official_state(FaceEncoder(config), "face_encoder", "facial_encoder.facexformer.")
    window = config.face_config.window_size
    index = SwinRelativePositionBias(1, (window, window)).relative_position_index
    for name in list(state):
        if name.endswith("relative_position_bias_table"):
            state[name.replace("bias_table", "index")] = index.clone()
    state["face_decoder.landmarks_token.weight"] = torch.zeros(1, 8)
    state["pe_layer.positional_encoding_gaussian_matrix"] = torch.zeros(2, 4)
    torch.save({"epoch": 11, "state_dict_backbone": state | extra}, path)
    return state


def official_state(module: torch.nn.Module, prefix: str, strip: str = "") -> dict[str, Tensor]:
    """A module of ours under the released names, query, key and value joined."""
    state: dict[str, Tensor] = {}
    thirds: dict[str, dict[int, Tensor]] = {}
    for name, parameter in module.named_parameters(prefix):
        theirs, third = official_name(name)
        value = torch.randn_like(parameter) * 0.1
        if third is None:
            state[theirs.removeprefix(strip)] = value
        else:
            thirds.setdefault(theirs.removeprefix(strip), {})[third] = value
    return state | {name: torch.cat([rows[i] for i in range(3)]) for name, rows in thirds.items()}


def write_backbones(root: Path) -> dict[str, str]:
    """All four sources, as arguments of `assemble`."""
    write_clip(root / "clip")
    write_hubert(root / "hubert")
    write_qwen(root / "qwen")
    write_facexformer(root / "facexformer" / "ckpts" / "model.pt")
    names = {"video": "clip", "audio": "hubert", "lm": "qwen", "face": "facexformer"}
    return {part: str(root / name) for part, name in names.items()}


def lora_state(config: NanoEmoXConfig, rank: int = 4) -> dict[str, Tensor]:
    """LoRA of layer 0's query projection and of layer 1's down projection, in the released names."""
    text, state = config.text_config, {}
    width = text.hidden_size // text.num_attention_heads * text.num_attention_heads
    for module, rows, columns in (
        ("layers.0.self_attn.q_proj", width, text.hidden_size),
        ("layers.1.mlp.down_proj", text.hidden_size, text.intermediate_size),
    ):
        prefix = f"llama_model.base_model.model.model.{module}"
        state[f"{prefix}.lora_A.default.weight"] = torch.randn(rank, columns)
        state[f"{prefix}.lora_B.default.weight"] = torch.randn(rows, rank)
    return state

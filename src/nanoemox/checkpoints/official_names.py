"""Our parameters' names in a checkpoint of the official code (waHAHJIAHAO/Nano-EmoX, b08f985)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from nanoemox.checkpoints.weight_files import WeightsError

# Prefixes of what the official code holds but no loss or output ever reaches: ours has no place for it.
NEVER_REACHED = ("image_llama_proj.", "multi_audio_embs.", "multi_video_embs.", "facial_encoder.lynorm.")

_FACE = "facial_encoder.facexformer"
_SWIN_BLOCK = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
    "attention.o_proj": "attn.proj",
    "attention.q_proj": "attn.qkv",
    "attention.k_proj": "attn.qkv",
    "attention.v_proj": "attn.qkv",
}
_PREFIXES = {  # ours -> official, the longest that fits counts
    "vision_encoder.model.": "visual_encoder.model.vision_model.",
    "audio_encoder.model.": "acoustic_encoder.model.",
    "face_encoder.model.embeddings.patch_embeddings.projection.": f"{_FACE}.backbone.0.0.0.",
    "face_encoder.model.embeddings.norm.": f"{_FACE}.backbone.0.0.2.",
    "face_encoder.model.layernorm.": f"{_FACE}.backbone.1.",
    "face_encoder.fuse_projection.": f"{_FACE}.linear_fuse.",
    "face_adapter.query_tokens": "facial_encoder.query",
    "face_adapter.attention.": "facial_encoder.attn.",
    "face_adapter.projection.": "facial_encoder.face_proj.",
    "video_adapter.query_tokens": "video_query_tokens",
    "video_adapter.position_embedding.": "video_frame_position_embedding.",
    "video_adapter.projection.": "video_proj.",
    "video_adapter.qformer.layernorm.": "video_Qformer.bert.embeddings.LayerNorm.",
    "video_adapter.qformer.": "video_Qformer.bert.",
    "audio_adapter.query_tokens": "audio_query_tokens",
    "audio_adapter.position_embedding.": "audio_position_embedding.",
    "audio_adapter.projection.": "audio_llama_proj.",
    "audio_adapter.qformer.layernorm.": "audio_Qformer.bert.embeddings.LayerNorm.",
    "audio_adapter.qformer.": "audio_Qformer.bert.",
    "fusion.audio_projection.": "multi_multiscale_fusion.audio_proj.",
    "fusion.video_projection.": "multi_multiscale_fusion.visual_proj.",
    "fusion.gate.": "multi_multiscale_fusion.gate_mlp.",
    "fusion.projection.": "multi_llama_proj.",
    "language_model.": "llama_model.base_model.model.",
    # AffectGPT's forms
    "vision_encoder.projection.": "visual_encoder.model.visual_projection.",
    "video_adapter.weigh.": "video_attention_mlp.",
    "audio_adapter.weigh.": "audio_attention_mlp.",
    "fusion.video_embedding.": "multi_video_embs.",
    "fusion.audio_embedding.": "multi_audio_embs.",
    "fusion.compare.": "attention_mlp.",
    "fusion.weigh.": "fc_att.",
    "fusion.query_tokens": "multi_query_tokens",
    "fusion.position_embedding.": "multi_position_embedding.",
    "fusion.qformer.layernorm.": "multi_Qformer.bert.embeddings.LayerNorm.",
    "fusion.qformer.": "multi_Qformer.bert.",
}


def official_name(name: str) -> tuple[str, int | None]:
    """Our name -> the official one, and which third of it ours is (Swin's joint query, key, value)."""
    if match := re.fullmatch(r"face_encoder\.model\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.(.+)", name):
        stage, block, rest = match.groups()
        prefix = f"{_FACE}.backbone.0.{2 * int(stage) + 1}.{block}."
        if rest.endswith("relative_position_bias_table"):
            return f"{prefix}attn.relative_position_bias_table", None
        module, _, kind = rest.rpartition(".")
        third = "qkv".index(module[-6]) if _SWIN_BLOCK[module] == "attn.qkv" else None
        return f"{prefix}{_SWIN_BLOCK[module]}.{kind}", third
    if match := re.fullmatch(r"face_encoder\.model\.encoder\.layers\.(\d+)\.downsample\.(.+)", name):
        return f"{_FACE}.backbone.0.{2 * int(match[1]) + 2}.{match[2]}", None
    if match := re.fullmatch(r"face_encoder\.level_projections\.(\d+)\.(.+)", name):
        return f"{_FACE}.linear_c.{match[1]}.proj.{match[2]}", None
    if match := re.fullmatch(r"fusion\.experts\.(\d+)\.(attention|feed_forward)\.(.+)", name):
        module = "cross_attns" if match[2] == "attention" else "ffns"
        return f"multi_multiscale_fusion.{module}.{match[1]}.{match[3]}", None
    for ours in sorted(_PREFIXES, key=len, reverse=True):
        if name.startswith(ours):
            official = _PREFIXES[ours] + name.removeprefix(ours)
            return re.sub(r"attention\.attention\.(query|key|value)", r"attention.self.\1", official), None
    raise WeightsError(f"{name} has no counterpart in the official code")


def from_official(names: Iterable[str], official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our parameters `names` out of a state dict with official names; KeyError names a missing one."""
    state = {}
    for name in names:
        source, third = official_name(name)
        if source not in official:  # weight norm was spelled so before torch 2
            source = source.replace("parametrizations.weight.original0", "weight_g")
            source = source.replace("parametrizations.weight.original1", "weight_v")
        tensor = official[source]
        state[name] = tensor if third is None else tensor.chunk(3)[third]
    return state

"""Every kind of backbone at toy size, as fields of a configuration: KIND -> fields, `model_type` included."""

from __future__ import annotations

from typing import Any

_PICTURES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 12,
}
_NO_SIZE = {name: value for name, value in _PICTURES.items() if name != "image_size"}
_SWIN: dict[str, Any] = {
    "image_size": 24,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 3,
}
_CONVOLUTIONS: dict[str, Any] = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1], "image_size": 64}
_SOUND: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
_WORDS: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
}

SCENE: dict[str, dict[str, Any]] = {
    "clip": {"model_type": "clip_vision_model", **_PICTURES},
    "siglip": {"model_type": "siglip_vision_model", **_PICTURES},
    "siglip2": {"model_type": "siglip2_vision_model", **_NO_SIZE, "num_patches": 4},
    "dinov2": {"model_type": "dinov2", **_PICTURES, "mlp_ratio": 2},
    "dinov2_with_registers": {"model_type": "dinov2_with_registers", **_PICTURES, "mlp_ratio": 2},
    "dinov3": {"model_type": "dinov3_vit", **_PICTURES, "num_register_tokens": 4},
    "vit": {"model_type": "vit", **_PICTURES},
    "deit": {"model_type": "deit", **_PICTURES},
    "beit": {"model_type": "beit", **_PICTURES},
}
FACE: dict[str, dict[str, Any]] = {
    "swin": {"model_type": "swin", **_SWIN},
    "swinv2": {"model_type": "swinv2", **_SWIN},
    "convnext": {"model_type": "convnext", **_CONVOLUTIONS},
    "convnextv2": {"model_type": "convnextv2", **_CONVOLUTIONS},
    "dinov3_convnext": {"model_type": "dinov3_convnext", **_CONVOLUTIONS},
    **SCENE,
}
AUDIO: dict[str, dict[str, Any]] = {
    "hubert_base": {"model_type": "hubert", **_SOUND},
    "hubert_large": {
        "model_type": "hubert",
        **_SOUND,
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
    },
    "wav2vec2": {"model_type": "wav2vec2", **_SOUND},
    "wavlm": {"model_type": "wavlm", **_SOUND, "num_buckets": 32},
    "whisper": {
        "model_type": "whisper",
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 24,
        "num_mel_bins": 20,
        "max_source_positions": 150,
        "vocab_size": 100,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "decoder_start_token_id": 1,
    },
}
LM: dict[str, dict[str, Any]] = {
    "qwen2": {"model_type": "qwen2", **_WORDS, "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", **_WORDS, "head_dim": 16, "tie_word_embeddings": True},
    "llama": {"model_type": "llama", **_WORDS, "tie_word_embeddings": False},
    "smollm3": {"model_type": "smollm3", **_WORDS, "tie_word_embeddings": True},
    "gemma": {"model_type": "gemma", **_WORDS, "head_dim": 8},
    "gemma2": {"model_type": "gemma2", **_WORDS, "head_dim": 8, "sliding_window": 64},
    "gemma3": {"model_type": "gemma3_text", **_WORDS, "head_dim": 8, "sliding_window": 64},
    "mistral": {"model_type": "mistral", **_WORDS},
    "phi3": {"model_type": "phi3", **_WORDS, "pad_token_id": 0},
    "olmo2": {"model_type": "olmo2", **_WORDS},
}

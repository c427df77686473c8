"""Every size of the model in one object, and the two presets that fill it.

`nano` is the 2.2 B model of the paper (Nano-EmoX, arXiv 2603.02123; sizes as in its released repository):
CLIP ViT-L/14, chinese-hubert-large, FaceXFormer's Swin-B and Qwen2.5-1.5B-Instruct. `pico` has the same parts
in the same order at about eleven million parameters, small enough to train and run on a laptop.
"""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import (
    AutoConfig,
    Blip2QFormerConfig,
    CLIPVisionConfig,
    HubertConfig,
    PreTrainedConfig,
    Qwen2Config,
    SwinConfig,
)

# The four kinds of placeholder in prompt order, each with its special token.
PLACEHOLDERS: dict[str, str] = {
    "fusion": "<|fusion_pad|>",
    "audio": "<|audio_pad|>",
    "face": "<|face_pad|>",
    "video": "<|frame_pad|>",
}

# The parts that have a configuration of their own.
PART_CONFIGS: dict[str, type[PreTrainedConfig]] = {
    "vision_config": CLIPVisionConfig,
    "audio_config": HubertConfig,
    "face_config": SwinConfig,
    "qformer_config": Blip2QFormerConfig,
    "text_config": Qwen2Config,
}

# What each branch may be; the first is the paper's, the others are AffectGPT's (affectgpt.py).
TYPES: dict[str, tuple[str, ...]] = {
    "video_adapter_type": ("qformer", "attention"),
    "audio_adapter_type": ("qformer", "attention"),
    "fusion_type": ("experts", "attention", "qformer"),
}


class NanoEmoXConfig(PreTrainedConfig):
    """Sizes of encoders, adapters, fusion and language model.

    Attributes:
        vision_config: The video encoder (CLIP).
        audio_config: The audio encoder (HuBERT).
        face_config: The face encoder (Swin).
        qformer_config: Both Q-Former adapters.
        text_config: The language model (Qwen2).
        max_frames: Rows of the position embedding for frames (32 in the official code).
        max_audio_windows: Rows of the position embedding for audio windows (8 in the official code).
        video_tokens: Placeholders of the video in a prompt.
        audio_tokens: Placeholders of the audio in a prompt.
        face_tokens: Placeholders of the face in a prompt; 0 means that there is no face branch.
        fusion_tokens: Placeholders of the fusion in a prompt.
        vision_feature_layer: The CLIP hidden state whose CLS is the video feature (-2 in the paper).
        audio_feature_layers: How many of HuBERT's last hidden states are averaged into the audio feature.
        vision_fusion_layers: The hidden states of the video encoder that the fusion experts read (0 is the embedding).
        audio_fusion_layers: The hidden states of the audio encoder that they read, likewise.
        fusion_width: Width of the fusion experts.
        fusion_heads: Attention heads of each fusion expert.
        fusion_experts: How many fusion experts there are, one for each depth.
        fusion_dropout: Dropout of the fusion experts and their gate.
        face_feature_width: Width of the face features.
        face_heads: Attention heads of the face adapter.
        face_hidden_width: Width between the two linear layers of the face adapter.
        face_dropout: Dropout between them.
        fusion_token_id: Id of the placeholder for the fusion.
        audio_token_id: Id of the placeholder for the audio.
        face_token_id: Id of the placeholder for the face.
        video_token_id: Id of the placeholder for the video.
        video_adapter_type: "qformer", or AffectGPT's "attention".
        audio_adapter_type: "qformer", or AffectGPT's "attention".
        fusion_type: "experts", or AffectGPT's "attention" or "qformer" (over features instead of fusion features).
        vision_projected: Whether the video feature is CLIP's projected image feature, as in AffectGPT.
        tie_word_embeddings: Whether the language model reads and writes with one table, as `text_config` says.
        training_domain: What the weights have seen, if that is not the real world ("affect_theatre").
    """

    model_type = "nanoemox"
    sub_configs_defaults: ClassVar[dict[str, Any]] = PART_CONFIGS  # transformers from 5.20
    sub_configs: ClassVar[dict[str, Any]] = PART_CONFIGS  # and before
    has_no_defaults_at_init = True  # before 5.20; the defaults of the parts are too small for the taps

    # Each may be given as a dict or left out; after construction it is the class named here.
    vision_config: CLIPVisionConfig = None
    audio_config: HubertConfig = None
    face_config: SwinConfig = None
    qformer_config: Blip2QFormerConfig = None
    text_config: Qwen2Config = None
    max_frames: int = 32
    max_audio_windows: int = 8
    video_tokens: int = 32
    audio_tokens: int = 32
    face_tokens: int = 4
    fusion_tokens: int = 1
    vision_feature_layer: int = -2
    audio_feature_layers: int = 4
    vision_fusion_layers: list[int] | tuple[int, ...] = (12, 16, 22)
    audio_fusion_layers: list[int] | tuple[int, ...] = (16, 18, 22)
    fusion_width: int = 512
    fusion_heads: int = 8
    fusion_experts: int = 3
    fusion_dropout: float = 0.1
    face_feature_width: int = 256
    face_heads: int = 4
    face_hidden_width: int = 768
    face_dropout: float = 0.1
    fusion_token_id: int = 151_665
    audio_token_id: int = 151_666
    face_token_id: int = 151_667
    video_token_id: int = 151_668
    video_adapter_type: str = "qformer"
    audio_adapter_type: str = "qformer"
    fusion_type: str = "experts"
    vision_projected: bool = False
    tie_word_embeddings: bool = True
    training_domain: str | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        for name, part in PART_CONFIGS.items():  # transformers does it by itself only from 5.20
            given = getattr(self, name)
            if given is None or isinstance(given, dict):
                setattr(self, name, part(**(given or {})))
        super().__post_init__(**kwargs)
        self.tie_word_embeddings = self.text_config.tie_word_embeddings
        for name, read, encoder in (
            ("vision_fusion_layers", self.vision_fusion_layers, self.vision_config),
            ("audio_fusion_layers", self.audio_fusion_layers, self.audio_config),
        ):
            layers = encoder.num_hidden_layers
            if len(read) != self.fusion_experts or not all(0 <= layer <= layers for layer in read):
                raise ValueError(
                    f"{name}: expected {self.fusion_experts} hidden states from 0 to {layers}, one per "
                    f"expert, got {list(read)}; change {name} or fusion_experts"
                )
        for name, types in TYPES.items():
            if getattr(self, name) not in types:
                raise ValueError(f"{name}: expected one of {', '.join(types)}, got {getattr(self, name)!r}")

    @property
    def video_width(self) -> int:
        """Width of the scene features, one per frame."""
        vision = self.vision_config
        return vision.projection_dim if self.vision_projected else vision.hidden_size

    @property
    def placeholder_ids(self) -> dict[str, int]:
        """Token id of each kind of placeholder, in prompt order."""
        return {kind: getattr(self, f"{kind}_token_id") for kind in PLACEHOLDERS}

    @property
    def placeholder_counts(self) -> dict[str, int]:
        """How many placeholders of each kind stand for one clip, in prompt order."""
        return {kind: getattr(self, f"{kind}_tokens") for kind in PLACEHOLDERS}

    @classmethod
    def preset(cls, name: str, tokenizer: Any = None) -> NanoEmoXConfig:
        """The configuration called `name` ("pico", "nano", "affectgpt"), fitted to `tokenizer` when one is given."""
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}: expected one of {', '.join(PRESETS)}")
        config = cls(**PRESETS[name])
        if tokenizer is not None:
            config.fit_tokenizer(tokenizer, exact=name == "pico")
        return config

    def fit_tokenizer(self, tokenizer: Any, *, exact: bool = False) -> None:
        """Take placeholder, end and padding ids from `tokenizer`, and a vocabulary large enough for it.

        `exact` also shrinks the vocabulary to the tokenizer's; without it spare rows stay (Qwen2.5 has 271).
        """
        ids = tokenizer.get_vocab()
        missing = [token for token in PLACEHOLDERS.values() if token not in ids]
        if missing:
            raise ValueError(
                f"expected a tokenizer with {', '.join(PLACEHOLDERS.values())}, but it lacks "
                f"{', '.join(missing)}; add them with processing_nanoemox.prepare_tokenizer"
            )
        for kind, token in PLACEHOLDERS.items():
            setattr(self, f"{kind}_token_id", ids[token])
        needed = max(ids.values()) + 1
        self.text_config.vocab_size = needed if exact else max(needed, self.text_config.vocab_size)
        self.text_config.bos_token_id = tokenizer.bos_token_id
        self.text_config.eos_token_id = tokenizer.eos_token_id
        self.text_config.pad_token_id = tokenizer.pad_token_id


PRESETS: dict[str, dict[str, Any]] = {
    "nano": {
        "vision_config": {  # openai/clip-vit-large-patch14, vision tower
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "image_size": 224,
            "patch_size": 14,
            "projection_dim": 768,
        },
        "audio_config": {  # TencentGameMate/chinese-hubert-large
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "feat_extract_norm": "layer",
            "conv_bias": True,
            "do_stable_layer_norm": True,
        },
        "face_config": {  # Swin-B, the backbone of FaceXFormer (arXiv 2403.12960)
            "image_size": 224,
            "patch_size": 4,
            "embed_dim": 128,
            "depths": [2, 2, 18, 2],
            "num_heads": [4, 8, 16, 32],
            "window_size": 7,
        },
        "qformer_config": {  # BLIP-2's Q-Former cut to two layers, cross-attention in both
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 2,
            "num_attention_heads": 12,
            "cross_attention_frequency": 1,
        },
        "text_config": {  # Qwen/Qwen2.5-1.5B-Instruct
            "vocab_size": 151_936,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32_768,
            "rope_parameters": {"rope_theta": 1_000_000.0, "rope_type": "default"},
            "tie_word_embeddings": True,
            "bos_token_id": 151_643,
            "eos_token_id": 151_645,
            "pad_token_id": 151_643,
        },
    },
    "pico": {
        "vision_config": {
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "image_size": 96,
            "patch_size": 12,
            "projection_dim": 192,
        },
        "audio_config": {
            "hidden_size": 160,
            "intermediate_size": 480,
            "num_hidden_layers": 6,
            "num_attention_heads": 5,
            "feat_extract_norm": "layer",
            "conv_bias": True,
            "do_stable_layer_norm": True,
            "conv_dim": [
                32,
                64,
                64,
                64,
                96,
                96,
                128,
            ],  # stride 320, as in the original: 99 steps in 2 s
            "num_conv_pos_embeddings": 32,
            "num_conv_pos_embedding_groups": 8,
            "initializer_range": 0.05,
        },
        "face_config": {
            "image_size": 96,
            "patch_size": 4,
            "embed_dim": 32,
            "depths": [2, 2, 2, 2],
            "num_heads": [2, 4, 8, 8],
            "window_size": 3,
            "mlp_ratio": 2.0,
            "drop_path_rate": 0.0,
            "initializer_range": 0.05,
        },
        "qformer_config": {
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 2,
            "num_attention_heads": 6,
            "cross_attention_frequency": 1,
            "initializer_range": 0.07,  # 1 / sqrt(192): at 0.02 the tokens of every clip come out alike
        },
        "text_config": {
            "vocab_size": 2_048,  # a stand-in until a tokenizer is fitted
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2_048,
            "rope_parameters": {"rope_theta": 10_000.0, "rope_type": "default"},
            "tie_word_embeddings": True,
            "initializer_range": 0.05,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 0,
        },
        "max_frames": 32,
        "video_tokens": 8,
        "audio_tokens": 8,
        "audio_feature_layers": 2,
        "vision_fusion_layers": [3, 4, 5],
        "audio_fusion_layers": [4, 5, 6],
        "fusion_width": 192,
        "face_feature_width": 96,
        "face_hidden_width": 192,
        "fusion_token_id": 2_044,
        "audio_token_id": 2_045,
        "face_token_id": 2_046,
        "video_token_id": 2_047,
    },
}
# AffectGPT (arXiv 2501.16566) in its released best setup: the same scene and voice encoders, no face branch, a 7 B
# language model, attention in place of Q-Formers, one token for each stream.
PRESETS["affectgpt"] = {
    **{part: PRESETS["nano"][part] for part in ("vision_config", "audio_config", "qformer_config")},
    "face_config": PRESETS["nano"]["face_config"],  # without face tokens it is never built
    "text_config": {  # Qwen/Qwen2.5-7B-Instruct
        **PRESETS["nano"]["text_config"],
        "vocab_size": 152_064,
        "hidden_size": 3584,
        "intermediate_size": 18_944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
    "video_tokens": 1,
    "audio_tokens": 1,
    "face_tokens": 0,
    "fusion_tokens": 1,
    "video_adapter_type": "attention",
    "audio_adapter_type": "attention",
    "fusion_type": "attention",
    "vision_projected": True,
}

AutoConfig.register(NanoEmoXConfig.model_type, NanoEmoXConfig, exist_ok=True)

"""Every size of the model in one object, and the three presets that fill it (presets/*.json).

`nano` is the 2.2 B model of the paper (Nano-EmoX, arXiv 2603.02123; sizes as in the official code):
CLIP ViT-L/14, chinese-hubert-large, FaceXFormer's Swin-B and Qwen2.5-1.5B-Instruct. `pico` has the same parts
in the same order at about eleven million parameters, small enough to train and run on a laptop. `affectgpt` is
AffectGPT (arXiv 2501.16566), whose official weights can be converted.
"""

from __future__ import annotations

import json
from dataclasses import field
from pathlib import Path
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
from transformers.activations import ACT2FN
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

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
# The sizes that lie beside this file in presets/, one JSON file each.
PRESETS = ("nano", "pico", "affectgpt")

# Part name (as everywhere: recipes, `nanoemox info`, docs) -> attribute of NanoEmoXForConditionalGeneration.
PARTS: dict[str, str] = {
    "vision_encoder": "vision_encoder",
    "audio_encoder": "audio_encoder",
    "face_encoder": "face_encoder",
    "video_adapter": "video_adapter",
    "audio_adapter": "audio_adapter",
    "face_adapter": "face_adapter",
    "fusion": "fusion",
    "lm": "language_model",
}
ENCODERS = ("vision_encoder", "audio_encoder", "face_encoder")

# What each branch may be; the first is the paper's, the others are AffectGPT's (affectgpt.py).
TYPES: dict[str, tuple[str, ...]] = {
    "video_adapter_type": ("qformer", "attention"),
    "audio_adapter_type": ("qformer", "attention"),
    "fusion_type": ("experts", "attention", "qformer"),
}

# What each number may be. A configuration may come from anyone: with the sizes of a typing error, building the model
# would take all memory, or answers would be nonsense without a word.
LARGEST_SIDE_PX = 4096
_WIDTH, _LAYERS, _HEADS, _SHARE, _SMALL = (1, 65_536), (1, 256), (1, 1024), (0.0, 0.99), (1e-30, 0.1)
_TOKENS, _STEPS, _SIDE = (0, 4096), (1, 4096), (1, LARGEST_SIDE_PX)
_TRANSFORMER = {
    "hidden_size": _WIDTH,
    "intermediate_size": (1, 1_048_576),
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": _HEADS,
    "initializer_range": (0.0, 100.0),
}
BOUNDS: dict[str, dict[str, tuple[float, float]]] = {
    "": {
        "max_frames": _STEPS,
        "max_audio_windows": _STEPS,
        "video_tokens": _TOKENS,
        "audio_tokens": _TOKENS,
        "audio_feature_layers": (1, 257),
        "vision_feature_layer": (-257, 256),
        "face_tokens": _TOKENS,
        "fusion_tokens": _TOKENS,
        "fusion_width": _WIDTH,
        "fusion_heads": _HEADS,
        "fusion_experts": (1, 64),
        "fusion_dropout": _SHARE,
        "face_feature_width": _WIDTH,
        "face_heads": _HEADS,
        "face_hidden_width": _WIDTH,
        "face_dropout": _SHARE,
    },
    "vision_config": {
        **_TRANSFORMER,
        "image_size": _SIDE,
        "patch_size": _SIDE,
        "num_channels": (3, 3),
        "projection_dim": _WIDTH,
        "layer_norm_eps": _SMALL,
    },
    "audio_config": {
        **_TRANSFORMER,
        "conv_dim": _WIDTH,
        "conv_kernel": (1, 1000),
        "conv_stride": (1, 1000),
        "num_conv_pos_embeddings": (1, 10_000),
        "num_conv_pos_embedding_groups": _HEADS,
        "layer_norm_eps": _SMALL,
    },
    "face_config": {
        "image_size": _SIDE,
        "patch_size": _SIDE,
        "num_channels": (3, 3),
        "embed_dim": (1, 8192),
        "depths": _LAYERS,
        "num_heads": _HEADS,
        "window_size": (1, 64),
        "mlp_ratio": (0.01, 100.0),
        "layer_norm_eps": _SMALL,
    },
    "qformer_config": {
        **_TRANSFORMER,
        "cross_attention_frequency": _LAYERS,
        "vocab_size": (1, 4_194_304),
        "max_position_embeddings": (1, 4_194_304),
        "layer_norm_eps": _SMALL,
    },
    "text_config": {
        **_TRANSFORMER,
        "num_key_value_heads": _HEADS,
        "vocab_size": (1, 4_194_304),
        "max_position_embeddings": (1, 4_194_304),
        "rms_norm_eps": _SMALL,
    },
}
_SHORTEST_WINDOW = 8000  # samples
_LISTS = (
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "depths",
    "num_heads",
)  # one number for each layer or stage
_DTYPES = ("bfloat16", "float16", "float32", "float64")


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
        provenance: The steps by which the weights came about, oldest first (nanoemox/checkpoints/provenance.py).
    """

    model_type = "nanoemox"
    sub_configs_defaults: ClassVar[dict[str, Any]] = PART_CONFIGS  # transformers from 5.20
    sub_configs: ClassVar[dict[str, Any]] = PART_CONFIGS  # and before
    has_no_defaults_at_init = (
        True  # before 5.20; the defaults of the parts are too small for the fusion layers
    )

    # Each may also be given as a dict; after construction it is the class named here.
    vision_config: CLIPVisionConfig = field(default_factory=CLIPVisionConfig)
    audio_config: HubertConfig = field(default_factory=HubertConfig)
    face_config: SwinConfig = field(default_factory=SwinConfig)
    qformer_config: Blip2QFormerConfig = field(default_factory=Blip2QFormerConfig)
    text_config: Qwen2Config = field(default_factory=Qwen2Config)
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
    provenance: list[dict[str, Any]] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        for name, part in PART_CONFIGS.items():  # transformers does it by itself only from 5.20
            given = getattr(self, name)
            if given is None or isinstance(given, dict):
                try:
                    setattr(self, name, part(**(given or {})))
                except Exception as error:  # transformers checks types; its errors do not say in which part
                    raise ValueError(f"{name}: {' '.join(str(error).split())}") from error
        super().__post_init__(**kwargs)
        self.tie_word_embeddings = self.text_config.tie_word_embeddings
        self._check_bounds()
        self._check_layers()

    def _check_bounds(self) -> None:
        """Every number within `BOUNDS`, every type and function a known one. Errors: ValueError with the field."""
        for part, bounds in BOUNDS.items():
            config = getattr(self, part) if part else self
            for name, (low, high) in bounds.items():
                given, at = getattr(config, name), f"{part}.{name}" if part else name
                for value in given if isinstance(given, (list, tuple)) and name in _LISTS else [given]:
                    kinds = int if isinstance(high, int) else (int, float)
                    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
                        raise ValueError(f"{at}: expected a number from {low:g} to {high:g}, got {value!r}")
            for name, value in vars(config).items():
                share = "drop" in name or name.endswith("_prob")
                if (
                    share
                    and not isinstance(value, bool)
                    and isinstance(value, (int, float))
                    and not 0 <= value < 1
                ):
                    at = f"{part}.{name}" if part else name
                    raise ValueError(f"{at}: expected a share from 0 to below 1, got {value!r}")
            for name in ("hidden_act", "feat_extract_activation"):
                if part and getattr(config, name, "gelu") not in ACT2FN:
                    raise ValueError(
                        f"{part}.{name}: expected a known function, got {getattr(config, name)!r}"
                    )
            dtype = getattr(config, "dtype", None)
            if dtype is not None and str(dtype).removeprefix("torch.") not in _DTYPES:
                raise ValueError(
                    f"{part or 'the model'}: dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}"
                )
        for name, types in TYPES.items():
            if getattr(self, name) not in types:
                raise ValueError(f"{name}: expected one of {', '.join(types)}, got {getattr(self, name)!r}")

    def _check_layers(self) -> None:
        """The hidden states that are read exist. Errors: ValueError with the field."""
        vision, audio = self.vision_config, self.audio_config
        layers = vision.num_hidden_layers
        if not -layers - 1 <= self.vision_feature_layer <= layers:
            raise ValueError(
                f"vision_feature_layer: expected a hidden state from {-layers - 1} to {layers}, got "
                f"{self.vision_feature_layer}"
            )
        if not 1 <= self.audio_feature_layers <= audio.num_hidden_layers + 1:
            raise ValueError(
                f"audio_feature_layers: expected from 1 to {audio.num_hidden_layers + 1} hidden states, got "
                f"{self.audio_feature_layers}"
            )
        for name, read, encoder in (
            ("vision_fusion_layers", self.vision_fusion_layers, self.vision_config),
            ("audio_fusion_layers", self.audio_fusion_layers, self.audio_config),
        ):
            layers = encoder.num_hidden_layers
            if len(read) != self.fusion_experts or not all(
                type(layer) is int and 0 <= layer <= layers for layer in read
            ):
                raise ValueError(
                    f"{name}: expected {self.fusion_experts} hidden states from 0 to {layers}, one per "
                    f"expert, got {list(read)}; change {name} or fusion_experts"
                )

    def check_shapes(self) -> None:
        """Heads divide widths, lists have the right length. Raises ValueError with the field.

        It is asked of what comes from a file; whoever builds only one part may leave the other parts as they are.
        """
        vision, audio, face, text = self.vision_config, self.audio_config, self.face_config, self.text_config
        divisions = [
            (
                f"{part}.hidden_size",
                config.hidden_size,
                f"{part}.num_attention_heads",
                config.num_attention_heads,
            )
            for part, config in (
                ("vision_config", vision),
                ("audio_config", audio),
                ("qformer_config", self.qformer_config),
                ("text_config", text),
            )
        ]
        divisions += [
            (
                "audio_config.hidden_size",
                audio.hidden_size,
                "audio_config.num_conv_pos_embedding_groups",
                audio.num_conv_pos_embedding_groups,
            ),
            ("fusion_width", self.fusion_width, "fusion_heads", self.fusion_heads),
            ("face_feature_width", self.face_feature_width, "face_heads", self.face_heads),
        ]
        if len(face.num_heads) != len(face.depths) or not 1 <= len(face.depths) <= 8:
            raise ValueError(
                "face_config: expected as many num_heads as depths, one for each of 1 to 8 stages, got "
                f"{list(face.num_heads)} and {list(face.depths)}"
            )
        divisions += [
            (f"the width of stage {stage} of face_config", face.embed_dim * 2**stage, "its num_heads", heads)
            for stage, heads in enumerate(face.num_heads)
        ]
        for wide, width, narrow, parts in divisions:
            if width % parts:
                raise ValueError(f"{wide}: expected a multiple of {narrow}, {parts}, got {width}")
        for part, config in (("vision_config", vision), ("face_config", face)):
            if config.patch_size > config.image_size:
                raise ValueError(
                    f"{part}.patch_size: expected at most image_size, {config.image_size}, got {config.patch_size}"
                )
        if audio.feat_extract_norm not in ("group", "layer"):
            raise ValueError(
                f"audio_config.feat_extract_norm: expected group or layer, got {audio.feat_extract_norm!r}"
            )
        head = getattr(text, "head_dim", None)
        head = text.hidden_size // text.num_attention_heads if head is None else head
        if not isinstance(head, int) or head % 2 or not 2 <= head <= text.hidden_size:
            raise ValueError(
                f"text_config.head_dim: expected an even width, since positions turn pairs of numbers, got {head!r}"
            )
        rope = dict(text.rope_parameters or {})
        kind, theta, factor = rope.get("rope_type"), rope.get("rope_theta"), rope.get("factor", 1.0)
        if kind not in ("default", *ROPE_INIT_FUNCTIONS):
            raise ValueError(f"text_config.rope_parameters.rope_type: expected a known one, got {kind!r}")
        for name, number in (("rope_theta", theta), ("factor", factor)):
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 1 <= number <= 1e12:
                raise ValueError(
                    f"text_config.rope_parameters.{name}: expected a number from 1 to 1e12, got {number!r}"
                )
        if "sliding_attention" in (text.layer_types or ()) and not (text.sliding_window or 0) > 0:
            raise ValueError(
                f"text_config.sliding_window: expected a number above 0, as layer_types asks for, got "
                f"{text.sliding_window!r}"
            )
        steps = _SHORTEST_WINDOW
        for kernel, stride in zip(audio.conv_kernel, audio.conv_stride, strict=True):
            steps = (steps - kernel) // stride + 1
        if steps < 1:
            raise ValueError(
                "audio_config: expected conv_kernel and conv_stride that leave some of half a second of audio, got "
                f"{list(audio.conv_kernel)} and {list(audio.conv_stride)}"
            )

    @property
    def video_width(self) -> int:
        """Width of the scene features, one per frame."""
        vision = self.vision_config
        width: int = vision.projection_dim if self.vision_projected else vision.hidden_size
        return width

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
        config = cls(**preset_fields(name))
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
                f"{', '.join(missing)}; add them with clip_processor.prepare_tokenizer"
            )
        for kind, token in PLACEHOLDERS.items():
            setattr(self, f"{kind}_token_id", ids[token])
        needed = max(ids.values()) + 1
        self.text_config.vocab_size = needed if exact else max(needed, self.text_config.vocab_size)
        self.text_config.bos_token_id = tokenizer.bos_token_id
        self.text_config.eos_token_id = tokenizer.eos_token_id
        self.text_config.pad_token_id = tokenizer.pad_token_id


def preset_fields(name: str) -> dict[str, Any]:
    """The fields of the configuration called `name`, as presets/NAME.json has them.

    Args:
        name: One of PRESETS.

    Returns:
        Fresh values; whoever changes them changes no other preset.

    Raises:
        ValueError: If there is no such preset, or this file is the copy that a saved model brings.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: expected one of {', '.join(PRESETS)}")
    path = Path(__file__).parent / "presets" / f"{name}.json"
    if not path.is_file():
        raise ValueError(
            f"preset {name}: expected {path}, but the code that comes with a saved model brings no presets; read the "
            "model's own config.json, or install nanoemox"
        )
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {key: value for key, value in fields.items() if not key.startswith("_")}  # comments


AutoConfig.register(NanoEmoXConfig.model_type, NanoEmoXConfig, exist_ok=True)

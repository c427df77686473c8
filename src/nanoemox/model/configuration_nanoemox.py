"""Every size of the model in one object, and the presets that fill it (presets/*.json).

Encoders and language model may be of any kind that `KINDS` names; what the other parts have to know of them (widths,
layers to read, the side of pictures) follows from their own configurations.

`nano` is the 2.2 B model of the paper (Nano-EmoX, arXiv 2603.02123; sizes as in the official code):
CLIP ViT-L/14, chinese-hubert-large, FaceXFormer's Swin-B and Qwen2.5-1.5B-Instruct. `pico` has the same parts
in the same order at about eleven million parameters, small enough to train and run on a laptop. `affectgpt` is
AffectGPT (arXiv 2501.16566), whose official weights can be converted. `nano-s` is `nano` over smaller backbones.
"""

from __future__ import annotations

import json
import math
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
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

# The four kinds of placeholder in prompt order, each with its special token.
PLACEHOLDERS: dict[str, str] = {
    "fusion": "<|fusion_pad|>",
    "audio": "<|audio_pad|>",
    "face": "<|face_pad|>",
    "video": "<|frame_pad|>",
}

# The parts that have a configuration of their own, with the kind they are of unless it says another `model_type`.
PART_CONFIGS: dict[str, type[PreTrainedConfig]] = {
    "vision_config": CLIPVisionConfig,
    "audio_config": HubertConfig,
    "face_config": SwinConfig,
    "qformer_config": Blip2QFormerConfig,
    "text_config": Qwen2Config,
}
# Picture encoders whose pictures may be of any side, and those that have one fixed by their positions.
_ANY_SIDE = ("dinov2", "dinov2_with_registers", "dinov3_vit", "siglip2_vision_model")
_FLAT = ("clip_vision_model", "siglip_vision_model", "vit", "deit", "beit", *_ANY_SIDE)
_STAGED = ("swin", "swinv2", "convnext", "convnextv2", "dinov3_convnext")  # maps get smaller and wider
# Which kinds each part may be, by their `model_type`.
KINDS: dict[str, tuple[str, ...]] = {
    "vision_config": _FLAT,
    "audio_config": ("hubert", "wav2vec2", "wavlm", "whisper"),
    "face_config": (*_STAGED, *_FLAT),
    "qformer_config": ("blip_2_qformer",),
    "text_config": tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
}
# The hidden states that nano's experts and adapters read, of encoders with 24 layers.
_LAYERS_OF_NANO = 24
_VISION_FUSION_LAYERS, _AUDIO_FUSION_LAYERS, _AUDIO_FEATURE_LAYERS = (12, 16, 22), (16, 18, 22), 4
LOG_MEL_STEPS_PER_S = 50  # of Whisper's encoder, which reads log-mel in place of a waveform
# The sizes that lie beside this file in presets/, one JSON file each.
PRESETS = ("nano", "pico", "affectgpt", "light-mer", "nano-s")

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
_BOUNDS: dict[tuple[float, float], str] = {  # of the fields of the whole
    (0, 4096): "video_tokens audio_tokens face_tokens fusion_tokens",
    (1, 4096): "max_frames max_audio_windows",
    (1, 257): "audio_feature_layers",
    (-257, 256): "vision_feature_layer",
    (1, LARGEST_SIDE_PX): "video_side_px face_side_px",
    (1, 65_536): "fusion_width face_feature_width face_hidden_width",
    (1, 1024): "fusion_heads face_heads",
    (1, 64): "fusion_experts",
    (0.0, 0.99): "fusion_dropout face_dropout",
}
_PART_BOUNDS: dict[tuple[float, float], str] = {  # of the fields of each part, as far as its kind has them
    (1, 65_536): "hidden_size hidden_sizes head_dim projection_dim conv_dim",
    (1, 100_000): "max_source_positions",
    (1, 1_048_576): "intermediate_size encoder_ffn_dim",
    (1, 256): "num_hidden_layers cross_attention_frequency depths",
    (1, 1024): "num_attention_heads num_key_value_heads num_heads num_conv_pos_embedding_groups num_mel_bins",
    (1, 4_194_304): "vocab_size max_position_embeddings",
    (1, LARGEST_SIDE_PX): "image_size patch_size",
    (1, LARGEST_SIDE_PX**2): "num_patches",
    (3, 3): "num_channels",
    (0, 1024): "num_register_tokens",
    (1, 8192): "embed_dim",
    (1, 64): "window_size",
    (1, 1000): "conv_kernel conv_stride",
    (1, 10_000): "num_conv_pos_embeddings",
    (0.0, 100.0): "initializer_range",
    (0.01, 100.0): "mlp_ratio",
    (1e-30, 0.1): "layer_norm_eps rms_norm_eps",
}
# Fields that some kinds leave open, for transformers to fill in.
_OPEN = ("head_dim", "num_key_value_heads", "vocab_size")
_LISTS = (
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "depths",
    "num_heads",
    "hidden_sizes",
)  # one for each layer
_DTYPES = ("bfloat16", "float16", "float32", "float64")


class NanoEmoXConfig(PreTrainedConfig):
    """Sizes of encoders, adapters, fusion and language model.

    Attributes:
        vision_config: The video encoder, CLIP unless it says another `model_type`; KINDS has all.
        audio_config: The audio encoder, HuBERT unless it says another.
        face_config: The face encoder, Swin unless it says another.
        qformer_config: Both Q-Former adapters.
        text_config: The language model, Qwen2 unless it says another decoder.
        max_frames: Rows of the position embedding for frames (32 in the official code).
        max_audio_windows: Rows of the position embedding for audio windows (8 in the official code).
        video_tokens: Placeholders of the video in a prompt.
        audio_tokens: Placeholders of the audio in a prompt.
        face_tokens: Placeholders of the face in a prompt; 0 means that there is no face branch.
        fusion_tokens: Placeholders of the fusion in a prompt.
        vision_feature_layer: The hidden state of the video encoder that is the video feature (-2 in the paper).
        audio_feature_layers: How many of the last hidden states of the audio encoder are averaged into the audio
            feature; None for the paper's four, or all where there are fewer.
        vision_fusion_layers: The hidden states of the video encoder that the fusion experts read (0 is the embedding);
            None for the paper's, at the same share of the depth.
        audio_fusion_layers: The hidden states of the audio encoder that they read, likewise.
        video_side_px: Side of the pictures that the video encoder gets; None for that of its configuration.
        face_side_px: Side of those that the face encoder gets, likewise.
        fusion_width: Width of the fusion experts.
        fusion_heads: Attention heads of each fusion expert.
        fusion_experts: How many fusion experts there are, one for each depth.
        fusion_dropout: Dropout of the fusion experts and their gate.
        face_fused: Whether the stages of the face encoder become one map of `face_feature_width`, as in FaceXFormer;
            otherwise the face feature is the means of its stages side by side. None for True with Swin alone.
        face_feature_width: Width of the fused map.
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

    # Each may also be given as a dict; after construction it is a configuration of the kind that the dict says.
    vision_config: PreTrainedConfig = field(default_factory=CLIPVisionConfig)
    audio_config: PreTrainedConfig = field(default_factory=HubertConfig)
    face_config: PreTrainedConfig = field(default_factory=SwinConfig)
    qformer_config: PreTrainedConfig = field(default_factory=Blip2QFormerConfig)
    text_config: PreTrainedConfig = field(default_factory=Qwen2Config)
    max_frames: int = 32
    max_audio_windows: int = 8
    video_tokens: int = 32
    audio_tokens: int = 32
    face_tokens: int = 4
    fusion_tokens: int = 1
    vision_feature_layer: int = -2
    audio_feature_layers: int = None  # type: ignore[assignment]  # after construction no field is None
    vision_fusion_layers: list[int] | tuple[int, ...] = None  # type: ignore[assignment]
    audio_fusion_layers: list[int] | tuple[int, ...] = None  # type: ignore[assignment]
    video_side_px: int = None  # type: ignore[assignment]
    face_side_px: int = None  # type: ignore[assignment]
    fusion_width: int = 512
    fusion_heads: int = 8
    fusion_experts: int = 3
    fusion_dropout: float = 0.1
    face_fused: bool = None  # type: ignore[assignment]
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
        for name in PART_CONFIGS:
            setattr(self, name, _part_config(name, getattr(self, name)))
        super().__post_init__(**kwargs)
        self.tie_word_embeddings = self.text_config.tie_word_embeddings
        self._check_parts()
        self._follow_parts()
        self._check_bounds()
        self._check_sides()
        self._check_layers()

    def _follow_parts(self) -> None:
        """Give every field that is left open what the configurations of the parts say."""
        vision, audio, face = self.vision_config, self.audio_config, self.face_config
        if self.vision_fusion_layers is None:
            self.vision_fusion_layers = _at_depth(_VISION_FUSION_LAYERS, vision.num_hidden_layers)
        if self.audio_fusion_layers is None:
            self.audio_fusion_layers = _at_depth(_AUDIO_FUSION_LAYERS, audio.num_hidden_layers)
        if self.audio_feature_layers is None:
            self.audio_feature_layers = min(_AUDIO_FEATURE_LAYERS, audio.num_hidden_layers + 1)
        if self.video_side_px is None:
            self.video_side_px = _side_px(vision)
        if self.face_side_px is None:
            self.face_side_px = _side_px(face)
        if self.face_fused is None:
            self.face_fused = face.model_type == "swin"

    def _check_parts(self) -> None:
        """Every number of a part within `_PART_BOUNDS`, functions known ones. Errors: ValueError with the field."""
        for part in PART_CONFIGS:
            config = getattr(self, part)
            for name, bounds in _by_name(_PART_BOUNDS):
                given = getattr(config, name, None)
                if not hasattr(config, name) or (given is None and name in _OPEN):
                    continue
                if config.attribute_map.get(name) in _LISTS:  # the other name of a list
                    continue
                for value in given if isinstance(given, (list, tuple)) and name in _LISTS else [given]:
                    _check_number(f"{part}.{name}", value, bounds)
            _check_shares(f"{part}.", config)
            for name in ("hidden_act", "hidden_activation", "activation_function", "feat_extract_activation"):
                if (getattr(config, name, None) or "gelu") not in ACT2FN:
                    raise ValueError(
                        f"{part}.{name}: expected a known function, got {getattr(config, name)!r}"
                    )
            _check_dtype(part, config)
        for name in ("vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings"):
            if getattr(self.text_config, name, None) is None:
                raise ValueError(f"text_config.{name}: expected a number, found none")

    def _check_bounds(self) -> None:
        """Every number within `_BOUNDS`, every type a known one. Errors: ValueError with the field."""
        for name, bounds in _by_name(_BOUNDS):
            _check_number(name, getattr(self, name), bounds)
        _check_shares("", self)
        _check_dtype("the model", self)
        if not isinstance(self.face_fused, bool):
            raise ValueError(f"face_fused: expected true or false, got {self.face_fused!r}")
        for name, types in TYPES.items():
            if getattr(self, name) not in types:
                raise ValueError(f"{name}: expected one of {', '.join(types)}, got {getattr(self, name)!r}")

    def _check_sides(self) -> None:
        """Pictures have the side that the positions of their encoder are for. Errors: ValueError with the field."""
        if self.vision_projected and not hasattr(self.vision_config, "projection_dim"):
            raise ValueError(
                "vision_projected: expected CLIP as the video encoder, which alone has a projection, got "
                f"{self.vision_config.model_type}"
            )
        for name, part in (("video_side_px", "vision_config"), ("face_side_px", "face_config")):
            config, side = getattr(self, part), getattr(self, name)
            if config.model_type in _FLAT and config.model_type not in _ANY_SIDE and side != _side_px(config):
                raise ValueError(f"{name}: expected {_side_px(config)}, as in {part}, got {side}")

    def _check_layers(self) -> None:
        """Hidden states that are read exist. Errors: ValueError with the field."""
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
            ("vision_fusion_layers", self.vision_fusion_layers, vision),
            ("audio_fusion_layers", self.audio_fusion_layers, audio),
        ):
            layers = encoder.num_hidden_layers
            if self.fusion_type != "experts":
                continue  # nothing reads them
            if len(read) != self.fusion_experts or not all(
                type(layer) is int and 0 <= layer <= layers for layer in read
            ):
                raise ValueError(
                    f"{name}: expected {self.fusion_experts} hidden states from 0 to {layers}, one per "
                    f"expert, got {list(read)}; change {name} or fusion_experts"
                )

    @property
    def read_fusion_layers(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The hidden states of video and audio encoder that the fusion reads; only its experts read any."""
        if self.fusion_type != "experts":
            return (), ()
        return tuple(self.vision_fusion_layers), tuple(self.audio_fusion_layers)

    @property
    def video_width(self) -> int:
        """Width of the scene features, one per frame."""
        vision = self.vision_config
        width: int = vision.projection_dim if self.vision_projected else vision.hidden_size
        return width

    @property
    def stage_widths(self) -> list[int]:
        """Widths of the maps of the face encoder, finest first; a flat one has a single map."""
        face = self.face_config
        if hasattr(face, "embed_dim"):
            stages, merged = (
                len(face.depths),
                face.model_type == "swinv2",
            )  # which gives its maps after merging
            return [face.embed_dim * 2 ** min(stage + merged, stages - 1) for stage in range(stages)]
        return list(getattr(face, "hidden_sizes", None) or [face.hidden_size])

    @property
    def face_width(self) -> int:
        """Width of the face features, one per frame."""
        return self.face_feature_width if self.face_fused else sum(self.stage_widths)

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


def _part_config(name: str, given: Any) -> Any:
    """The configuration of a part: an object as it is, a dict as the kind that it says. Errors: ValueError."""
    if isinstance(given, dict) or given is None:
        fields = dict(given or {})
        kind = fields.pop("model_type", None) or PART_CONFIGS[name].model_type
        _check_kind(name, kind)
        try:
            given = CONFIG_MAPPING[kind](**fields)
        except Exception as error:  # transformers checks types; its errors do not say in which part
            raise ValueError(f"{name}: {' '.join(str(error).split())}") from error
    _check_kind(name, getattr(given, "model_type", type(given).__name__))
    return given


def _check_kind(name: str, kind: Any) -> None:
    if kind not in KINDS[name]:
        known = (
            ", ".join(KINDS[name]) if len(KINDS[name]) < 20 else "a decoder, such as qwen2, llama or gemma"
        )
        raise ValueError(f"{name}.model_type: expected {known}, got {kind!r}")


def _by_name(bounds: dict[tuple[float, float], str]) -> list[tuple[str, tuple[float, float]]]:
    return [(name, numbers) for numbers, names in bounds.items() for name in names.split()]


def _check_number(at: str, value: Any, bounds: tuple[float, float]) -> None:
    low, high = bounds
    kinds = int if isinstance(high, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise ValueError(f"{at}: expected a number from {low:g} to {high:g}, got {value!r}")


def _check_shares(at: str, config: Any) -> None:
    for name, value in vars(config).items():
        share = ("drop" in name or name.endswith("_prob")) and type(value) in (int, float)
        if share and not 0 <= value < 1:
            raise ValueError(f"{at}{name}: expected a share from 0 to below 1, got {value!r}")


def _check_dtype(at: str, config: Any) -> None:
    dtype = getattr(config, "dtype", None)
    if dtype is not None and str(dtype).removeprefix("torch.") not in _DTYPES:
        raise ValueError(f"{at}: dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}")


def _at_depth(layers: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Layers of nano's encoders at the same share of another depth, halves rounded up."""
    return tuple((2 * layer * depth + _LAYERS_OF_NANO) // (2 * _LAYERS_OF_NANO) for layer in layers)


def _side_px(config: Any) -> int:
    """Side of the pictures that an encoder was trained with."""
    if hasattr(config, "image_size"):
        side: int = config.image_size
        return side
    return math.isqrt(config.num_patches) * int(config.patch_size)


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

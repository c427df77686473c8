"""Nano-EmoX: four modality branches become tokens of one small language model, which writes every answer.

    video --VisionEncoder--> features --QFormerAdapter--> 32 tokens --.
    sound --AudioEncoder---> features --QFormerAdapter--> 32 tokens --|
    faces --FaceEncoder----> features --FaceAdapter----->  4 tokens --+--> placeholders --> LM --> text
    fusion features of both ----------> FusionEncoder --->  1 token --'

(arXiv 2603.02123, fig. 2.) A row of a batch has a modality exactly if its `input_ids` hold that modality's
placeholders. Letters: B batch, T frames, C audio windows, N tokens, S text, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForMultimodalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from nanoemox.model.adapters import FaceAdapter, QFormerAdapter
from nanoemox.model.affectgpt import AttentionAdapter, AttentionFusion, QFormerFusion
from nanoemox.model.configuration_nanoemox import ENCODERS, PARTS, NanoEmoXConfig
from nanoemox.model.encoders import FEATURE_NAMES, AudioEncoder, FaceEncoder, VisionEncoder
from nanoemox.model.fusion import FusionEncoder

MAX_NEW_TOKENS = 384  # of `generate` where nothing else is said: enough for the longest kind of answer
MEDIA_NAMES = ("pixel_values_videos", "face_pixel_values", "input_values")
# The paper's forms, and AffectGPT's where a configuration asks for them (NanoEmoXConfig, `…_type`).
Adapter: TypeAlias = QFormerAdapter | AttentionAdapter
Fusion: TypeAlias = FusionEncoder | AttentionFusion | QFormerFusion
ADAPTER_TYPES: dict[str, type[Adapter]] = {"qformer": QFormerAdapter, "attention": AttentionAdapter}
FUSION_TYPES: dict[str, type[Fusion]] = {
    "experts": FusionEncoder,
    "attention": AttentionFusion,
    "qformer": QFormerFusion,
}
NEEDED_FEATURES = {
    "fusion": ("video_fusion_features", "audio_fusion_features"),
    "audio": ("audio_features",),
    "face": ("face_features",),
    "video": ("video_features",),
}


@dataclass
class NanoEmoXOutput(CausalLMOutputWithPast):
    """What a causal language model returns, and the weights of the three fusion experts.

    Args:
        gate: [B, 3], a row of zeros where the clip lacks sound or video; None if no media came with the call.
    """

    gate: Tensor | None = None


class NanoEmoXForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """The whole model: frozen encoders, adapters, fusion, language model."""

    config_class = NanoEmoXConfig
    main_input_name = "input_ids"
    input_modalities = ("video", "image", "audio", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = [
        "Qwen2DecoderLayer",
        "Qwen3DecoderLayer",
        "CLIPEncoderLayer",
        "SwinStage",
    ]

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__(config)
        self.vision_encoder = VisionEncoder(config)
        self.audio_encoder = AudioEncoder(config)
        # Both before the other adapters: with one seed, untrained weights depend on the order of building.
        face_encoder = FaceEncoder(config) if config.face_tokens else None
        face_adapter = FaceAdapter(config) if config.face_tokens else None
        self.face_encoder: FaceEncoder | None = face_encoder
        self.video_adapter: Adapter = ADAPTER_TYPES[config.video_adapter_type](
            config, config.video_width, config.max_frames, config.video_tokens
        )
        self.audio_adapter: Adapter = ADAPTER_TYPES[config.audio_adapter_type](
            config, config.audio_config.hidden_size, config.max_audio_windows, config.audio_tokens
        )
        self.face_adapter: FaceAdapter | None = face_adapter
        self.fusion: Fusion = FUSION_TYPES[config.fusion_type](config)
        self.language_model = build_language_model(config.text_config)
        self.generation_config.suppress_tokens = list(config.placeholder_ids.values())
        self.generation_config.max_new_tokens = MAX_NEW_TOKENS
        # Else transformers drops keys of our own (task_max_new_tokens) when the file is read again.
        self.generation_config._from_model_config = None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        face_pixel_values: Tensor | None = None,
        input_values: Tensor | None = None,
        video_features: Tensor | None = None,
        video_fusion_features: Tensor | None = None,
        audio_features: Tensor | None = None,
        audio_fusion_features: Tensor | None = None,
        face_features: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> NanoEmoXOutput:
        """One pass over text with placeholders and its media.

        Args:
            input_ids: [B, S].
            attention_mask: [B, S].
            labels: [B, S], -100 outside the answer.
            inputs_embeds: [B, S, D], in place of `input_ids`.
            pixel_values_videos: [B, T, 3, H, W].
            face_pixel_values: [B, T, 3, H, W].
            input_values: [B, C, L], or the log-mel of a Whisper [B, C, M, S].
            video_features: [B, T, D], as `encode` returns it; frozen features win over media.
            video_fusion_features: [B, T, 3 D], likewise.
            audio_features: [B, C, D], likewise.
            audio_fusion_features: [B, C, 3 D], likewise.
            face_features: [B, T, D], likewise.
            logits_to_keep: how many of the last positions get logits; 0, all.
            **kwargs: whatever else the language model takes (past_key_values, position_ids, use_cache, …).

        Returns:
            Loss, logits [B, S, vocabulary], cache, and the gate of the fusion experts [B, 3].
        """
        features = self.encode(
            pixel_values_videos if video_features is None else None,
            face_pixel_values if face_features is None else None,
            input_values if audio_features is None else None,
        )
        given = (video_features, video_fusion_features, audio_features, audio_fusion_features, face_features)
        features |= {name: x for name, x in zip(FEATURE_NAMES, given, strict=True) if x is not None}
        gate = None
        if input_ids is not None:
            inputs_embeds, gate = self.merge(input_ids, features)
        output = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            labels=labels,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )
        return NanoEmoXOutput(**output, gate=gate)

    @torch.no_grad()
    def encode(
        self,
        pixel_values_videos: Tensor | None = None,
        face_pixel_values: Tensor | None = None,
        input_values: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The frozen encoders.

        Args:
            pixel_values_videos: [B, T, 3, H, W].
            face_pixel_values: [B, T, 3, H, W].
            input_values: [B, C, L].

        Returns:
            Features [B, T or C, D] by name; those of absent media are missing.
        """
        features: dict[str, Tensor] = {}
        if pixel_values_videos is not None:
            features["video_features"], fusion = self.vision_encoder(pixel_values_videos)
            if fusion is not None:
                features["video_fusion_features"] = fusion
        if input_values is not None:
            features["audio_features"], fusion = self.audio_encoder(input_values)
            if fusion is not None:
                features["audio_fusion_features"] = fusion
        if face_pixel_values is not None and self.face_encoder is not None:
            features["face_features"] = self.face_encoder(face_pixel_values)
        return features

    def get_video_features(self, video_features: Tensor) -> Tensor:
        """Scene features [B, T, D] -> tokens [B, N, D of the language model]."""
        tokens: Tensor = self.video_adapter(_as_read(video_features, self.video_adapter))
        return tokens

    def get_audio_features(self, audio_features: Tensor) -> Tensor:
        """Voice features [B, C, D] -> tokens [B, N, D of the language model]."""
        tokens: Tensor = self.audio_adapter(_as_read(audio_features, self.audio_adapter))
        return tokens

    def get_face_features(self, face_features: Tensor) -> Tensor:
        """Face features [B, T, D] -> tokens [B, N, D of the language model]."""
        if self.face_adapter is None:
            raise ValueError("expected no face features: this model has no face branch (face_tokens is 0)")
        tokens: Tensor = self.face_adapter(_as_read(face_features, self.face_adapter))
        return tokens

    def get_fusion_features(
        self, video_fusion_features: Tensor, audio_fusion_features: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Feature layers [B, T, 3 D] and [B, C, 3 D] -> tokens [B, N, D of the language model], gate [B, 3].

        AffectGPT's forms take features [B, T, D] and [B, C, D] instead, and have no gate (None).
        """
        fused: tuple[Tensor, Tensor | None] = self.fusion(
            _as_read(video_fusion_features, self.fusion), _as_read(audio_fusion_features, self.fusion)
        )
        return fused

    def merge(self, input_ids: Tensor, features: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Ids [B, S] -> embeddings [B, S, D] with the modalities' tokens in place, gate [B, 3] or None."""
        embeddings, gate = self.get_input_embeddings()(input_ids), None  # [B, S, D]
        for kind, placeholder_id in self.config.placeholder_ids.items():
            where = input_ids == placeholder_id  # [B, S]
            rows = where.any(dim=1)  # [B], who has this modality
            if not rows.any():
                continue
            self._check_placeholders(kind, where, features)
            inputs = [features[name][rows] for name in self.needed_features(kind)]  # [rows, T or C, D] each
            if kind == "fusion":
                tokens, row_gate = self.get_fusion_features(*inputs)  # [rows, N, D], [rows, 3]
                if row_gate is not None:  # laid out over all rows: [B, 3], zeros where a modality is absent
                    gate = row_gate.new_zeros(len(rows), row_gate.shape[1]).masked_scatter(
                        rows[:, None], row_gate
                    )
            elif kind == "audio":
                tokens = self.get_audio_features(*inputs)
            elif kind == "face":
                tokens = self.get_face_features(*inputs)
            else:
                tokens = self.get_video_features(*inputs)
            # Row by row and from left to right, the tokens fill the places of their placeholders.
            embeddings = embeddings.masked_scatter(where[..., None], tokens.to(embeddings.dtype))
        return embeddings, gate

    def needed_features(self, kind: str) -> tuple[str, ...]:
        """Names of the features that make the tokens of this kind."""
        if kind == "fusion" and self.config.fusion_type != "experts":
            return ("video_features", "audio_features")
        return NEEDED_FEATURES[kind]

    def _check_placeholders(self, kind: str, where: Tensor, features: dict[str, Tensor]) -> None:
        """Raise unless each row with placeholders has exactly as many as there are tokens to put there."""
        given = all(name in features for name in self.needed_features(kind))
        expected = self.config.placeholder_counts[kind] if given else 0
        for row, count in enumerate(where.sum(dim=1).tolist()):
            if count not in (0, expected):
                raise ValueError(
                    f"{kind}: row {row} of input_ids has {count} placeholders, but the media given make "
                    f"{expected} tokens; let the processor write the prompt, or pass the media it names"
                )

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, is_first_iteration: bool | None = False, **kwargs: Any
    ) -> dict[str, Any]:
        """As usual, but the media go in at the first step only: after it they are in the cache."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            inputs = {name: x for name, x in inputs.items() if name not in (*MEDIA_NAMES, *FEATURE_NAMES)}
        return inputs

    def parts(self) -> dict[str, nn.Module]:
        """The eight parts by name (those of the face are missing where there is no face branch)."""
        parts = {part: getattr(self, attribute) for part, attribute in PARTS.items()}
        return {part: module for part, module in parts.items() if module is not None}

    def train(self, mode: bool = True) -> NanoEmoXForConditionalGeneration:
        """Switch to training mode, except for the encoders: they are frozen, and dropout would blur them."""
        super().train(mode)
        for part, module in self.parts().items():
            if part in ENCODERS:
                module.eval()
        return self

    def enable_input_require_grads(self) -> None:
        """Let gradients flow through the embeddings of the language model, as checkpoints of activations need it.

        transformers would ask it of the encoders as well, which are frozen, and whose embeddings are no single tensor.
        """
        self.language_model.enable_input_require_grads()

    def disable_input_require_grads(self) -> None:
        self.language_model.disable_input_require_grads()

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        super().save_pretrained(save_directory, *args, **kwargs)
        if __name__.startswith("nanoemox."):  # for a copy of this file, transformers brings the code itself
            import_module("nanoemox.model.remote_code").bring_code(save_directory)

    def get_input_embeddings(self) -> nn.Embedding:
        table: nn.Embedding = self.language_model.get_input_embeddings()
        return table

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Linear:
        table: nn.Linear = self.language_model.get_output_embeddings()
        return table

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_output_embeddings(value)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Unit-variance signals through the new parts, whatever their width: std = 1 / sqrt(fan in)."""
        super()._init_weights(module)
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        elif isinstance(module, (QFormerAdapter, FaceAdapter)):
            # Of unit size, so that the first optimiser steps cannot push all queries onto one direction.
            init.normal_(module.query_tokens, std=1.0)
            if isinstance(module, QFormerAdapter):
                init.normal_(module.position_embedding.weight, std=0.2)


def build_language_model(config: PreTrainedConfig) -> PreTrainedModel:
    """The decoder of a configuration, with random weights. Errors: ValueError for one that keeps no keys and values."""
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if kind._is_stateful:  # its state cannot be copied for each of many questions
        raise ValueError(
            f"text_config.model_type: expected a decoder that keeps keys and values, got {config.model_type}"
        )
    return kind(config)


def _as_read(features: Tensor, part: nn.Module) -> Tensor:
    """Features in the precision of the part that reads them: what is trained is more precise than what is frozen."""
    return features.to(next(part.parameters()).dtype)


AutoModelForMultimodalLM.register(NanoEmoXConfig, NanoEmoXForConditionalGeneration, exist_ok=True)

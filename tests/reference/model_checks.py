"""Parity of the model's parts: each check gives our module the official weights and inputs of one file."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2FeatureExtractor

from nanoemox.model.adapters import FaceAdapter, QFormerAdapter
from nanoemox.model.affectgpt import AttentionAdapter, AttentionFusion
from nanoemox.model.clip_processor import normalised_sound, picture_processor
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig, preset_fields
from nanoemox.model.encoders import AudioEncoder, FaceEncoder, VisionEncoder
from nanoemox.model.fusion import FusionEncoder
from tests.reference.common import Reference, Result, load, official_shapes, rule_state


def _config(**changes: Any) -> NanoEmoXConfig:
    """The nano configuration with some sizes changed; a dict changes a part's own configuration."""
    fields = preset_fields("nano")
    for name, value in changes.items():
        fields[name] = {**fields[name], **value} if isinstance(value, dict) else value
    return NanoEmoXConfig(**fields)


def _width(size: int) -> dict[str, int]:
    """A part of which only the width matters."""
    one = ("num_attention_heads", "num_key_value_heads", "num_conv_pos_embedding_groups")
    return {"hidden_size": size, **dict.fromkeys(one, 1)}


class Trace:
    """Records what modules return (and were given), by label."""

    def __init__(self) -> None:
        self.outputs: dict[str, Tensor] = {}
        self.inputs: dict[str, tuple[Tensor, ...]] = {}

    def __call__(self, label: str, module: nn.Module) -> None:
        module.register_forward_hook(partial(self._record, label))

    def _record(self, label: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        self.inputs[label] = inputs
        self.outputs[label] = output[0] if isinstance(output, tuple) else output


def _attention_weights(attention: nn.MultiheadAttention, query: Tensor, memory: Tensor) -> Tensor:
    # Ours makes no weights; torch's own forward makes them from the same parameters.
    return nn.MultiheadAttention.forward(attention, query, memory, memory, average_attn_weights=True)[1]


def check_fusion(path: Path) -> Result:
    reference, result, trace = Reference.read(path), Result(), Trace()
    config = _config(
        audio_config=_width(reference.number("audio_dim")),
        vision_config=_width(reference.number("visual_dim")),
        text_config=_width(reference.number("llm_dim")),
        fusion_width=reference.number("hidden_dim"),
        fusion_heads=reference.number("heads"),
        fusion_tokens=reference.number("num_multi_query_token"),
    )
    fusion = FusionEncoder(config)
    state = reference.state or rule_state(official_shapes("fusion", fusion), reference.number("rule_salt"))
    load("fusion", fusion, state)
    for index, expert in enumerate(fusion.experts):
        trace(f"expert{index}.cross_attn", expert.attention)
        trace(f"expert{index}.ffn", expert.feed_forward)
        trace(f"expert{index}.fused", expert)
    trace("gate", fusion.gate)
    video, audio = reference.inputs["visual_multi"], reference.inputs["audio_multi"]
    tokens, gate = fusion(video, audio)
    ours = {
        **trace.outputs,
        "multi_tokens": tokens,
        "gate_weights": gate,
        "gate_input": trace.inputs["gate"][0],
        "multi_hidden": fusion.mix(video, audio)[0],
    }
    for index, expert in enumerate(fusion.experts):
        query, memory, _ = trace.inputs[f"expert{index}.cross_attn"]
        ours[f"expert{index}.after_residual"] = trace.inputs[f"expert{index}.ffn"][0]
        ours[f"expert{index}.attn_weights_headmean"] = _attention_weights(expert.attention, query, memory)
    result.compare_all(ours, reference.outputs)
    return result


def check_qformer(path: Path) -> Result:
    reference, result, trace = Reference.read(path), Result(), Trace()
    config = _config(
        qformer_config={
            "hidden_size": reference.number("hidden"),
            "intermediate_size": reference.number("intermediate"),
            "num_attention_heads": reference.number("heads"),
            "num_hidden_layers": reference.number("layers"),
            "layer_norm_eps": float(reference.metadata["layer_norm_eps"]),
        },
        text_config=_width(reference.number("llm_dim")),
    )
    prefix = f"{reference.metadata['kind']}_adapter"
    adapter = QFormerAdapter(
        config,
        reference.number("encoder_width"),
        reference.number("num_positions"),
        reference.number("num_query"),
    )
    state = reference.state or rule_state(official_shapes(prefix, adapter), reference.number("rule_salt"))
    load(prefix, adapter, state)
    qformer = adapter.qformer
    trace("trace.emb.LayerNorm", qformer.layernorm)
    trace("trace.emb", qformer.dropout)
    for index, layer in enumerate(qformer.encoder.layer):
        name = f"trace.layer{index}"
        trace(name, layer)
        trace(f"{name}.attention.self", layer.attention.attention)
        trace(f"{name}.attention.output", layer.attention.output)
        trace(f"{name}.crossattention.self", layer.crossattention.attention)
        trace(f"{name}.crossattention.output", layer.crossattention.output)
        trace(f"{name}.output_query", layer.output_query)
    trace("qformer_hidden", layer)
    tokens = adapter(reference.inputs["features"])
    result.compare_all({**trace.outputs, "tokens": tokens}, reference.outputs)
    return result


def _face_modules(llm_width: int, tokens: int) -> tuple[FaceEncoder, FaceAdapter]:
    config = _config(text_config=_width(llm_width), face_tokens=tokens)
    return FaceEncoder(config), FaceAdapter(config)


def _face_rule_state(encoder: FaceEncoder, adapter: FaceAdapter, salt: int) -> dict[str, Tensor]:
    """All facial parameters by the rule; `lynorm` is never called but has its place in the order."""
    width = encoder.fuse_projection.out_channels
    shapes = official_shapes("face_encoder", encoder) | official_shapes("face_adapter", adapter)
    shapes |= {f"facial_encoder.lynorm.{kind}": [width] for kind in ("weight", "bias")}
    return rule_state(shapes, salt)


def _face_head(adapter: FaceAdapter, features: Tensor) -> dict[str, Tensor]:
    trace = Trace()
    trace("attn_pooled", adapter.attention)
    tokens = adapter(features)
    queries = trace.inputs["attn_pooled"][0]
    weights = _attention_weights(adapter.attention, queries, features)
    return {**trace.outputs, "tokens": tokens, "attn_weights_headmean": weights, "frame_features": features}


def check_facial_head(path: Path) -> Result:
    reference, result = Reference.read(path), Result()
    width = reference.state["facial_encoder.query"].shape[1]
    config = _config(
        text_config=_width(reference.number("llm_dim")),
        face_tokens=reference.number("num_tokens"),
        face_feature_width=width,
        face_hidden_width=reference.state["facial_encoder.face_proj.0.weight"].shape[0],
    )
    adapter = load("face_adapter", FaceAdapter(config), reference.state)
    result.compare_all(_face_head(adapter, reference.inputs["frame_features"]), reference.outputs)
    return result


def check_facial_fuse(path: Path) -> Result:
    reference, result = Reference.read(path), Result()
    encoder, adapter = _face_modules(llm_width=1536, tokens=4)
    state = reference.state or _face_rule_state(encoder, adapter, reference.number("rule_salt"))
    load("face_encoder", encoder, state)
    maps = tuple(reference.inputs[f"stage{stage}"] for stage in range(len(encoder.level_projections)))
    result.compare("frame_features", encoder.fuse(maps), reference.outputs["frame_features"])
    return result


def check_facial_full(path: Path) -> Result:
    reference, result = Reference.read(path), Result()
    encoder, adapter = _face_modules(reference.number("llm_dim"), reference.number("num_tokens"))
    state = reference.state or _face_rule_state(encoder, adapter, reference.number("rule_salt"))
    load("face_encoder", encoder, state)
    load("face_adapter", adapter, state)
    pixels = reference.inputs["frames_u8"].float()  # 0 … 255, as the official code feeds them
    ours: dict[str, Any] = {}
    maps = encoder.stage_maps(pixels.flatten(0, 1))
    for stage, value in enumerate(maps):
        ours |= {
            f"stage{stage}.shape": torch.tensor(value.shape),
            f"stage{stage}.mean": value.mean(dim=(1, 2, 3)),
            f"stage{stage}.std": value.std(dim=(1, 2, 3)),
            f"stage{stage}.channel_means": value.mean(dim=(2, 3)),
            f"stage{stage}.slice_first8ch_4x4": value[:, :8, :4, :4],
            f"stage{stage}.slice_last8ch_4x4": value[:, -8:, -4:, -4:],
            f"stage{stage}.frame0_map_fp16": value[:1],
            f"stage{stage}.frame0_map_stride4": value[:1, :, ::4, ::4],
        }
    ours |= _face_head(adapter, encoder(pixels))
    result.compare_all(ours, reference.outputs)
    return result


def check_clip_encoder(path: Path) -> Result:
    reference, result = Reference.read(path), Result()
    config = _config(
        vision_config={
            "hidden_size": reference.number("hidden"),
            "intermediate_size": reference.number("intermediate"),
            "num_hidden_layers": reference.number("layers"),
            "num_attention_heads": reference.number("heads"),
            "image_size": reference.number("image_size"),
            "patch_size": reference.number("patch"),
            "hidden_act": reference.metadata["hidden_act"],
            "layer_norm_eps": float(reference.metadata["layer_norm_eps"]),
        },
    )
    encoder = load("vision_encoder", VisionEncoder(config), reference.state)
    settings = json.loads(reference.metadata["processor"])
    pictures = picture_processor(settings["crop"], settings["image_mean"], settings["image_std"])
    frames = reference.inputs["raw_frames_u8"].permute(0, 2, 3, 4, 1)  # [B, T, H, W, 3]
    pixels = pictures(
        list(frames.flatten(0, 1).numpy()), input_data_format="channels_last", return_tensors="pt"
    )
    pixel_values = pixels["pixel_values"]
    main, multi = encoder(pixel_values.unflatten(0, frames.shape[:2]))
    states = encoder.model(pixel_values, output_hidden_states=True).hidden_states
    ours = {
        "pixel_values": pixel_values,
        "main": main,
        "multi": multi,
        "hidden_states_cls": torch.stack([state[:, 0] for state in states]),
    }
    result.compare_all(ours, reference.outputs)
    return result


def check_hubert_encoder(path: Path) -> Result:
    reference, result = Reference.read(path), Result()
    config = _config(
        audio_config={
            "hidden_size": reference.number("hidden"),
            "intermediate_size": reference.number("intermediate"),
            "num_hidden_layers": reference.number("layers"),
            "num_attention_heads": reference.number("heads"),
            "conv_dim": [reference.number("conv_dim")] * 7,
            "conv_bias": reference.metadata["conv_bias"] == "True",
            "do_stable_layer_norm": reference.metadata["do_stable_layer_norm"] == "True",
            "feat_extract_norm": reference.metadata["feat_extract_norm"],
            "layer_norm_eps": float(reference.metadata["layer_norm_eps"]),
            "num_conv_pos_embeddings": reference.number("num_conv_pos_embeddings"),
            "num_conv_pos_embedding_groups": reference.number("num_conv_pos_embedding_groups"),
        },
    )
    encoder = load("audio_encoder", AudioEncoder(config), reference.state)
    sound = reference.inputs["raw_audio"].squeeze(2)  # [B, C, L]
    # The release normalises over its whole batch; for us that batch is one file.
    values = normalised_sound(sound.numpy(), Wav2Vec2FeatureExtractor(do_normalize=True))
    main, multi = encoder(values)
    clips = values.flatten(0, 1)
    output = encoder.model(clips, output_hidden_states=True)
    states = [*output.hidden_states[:-1], output.last_hidden_state]
    expected_stats = reference.outputs.get("normalised_stats")
    ours = {
        "main": main,
        "multi": multi,
        "T": torch.tensor(output.last_hidden_state.shape[1]),
        "hidden_states_timemean": torch.stack([state.mean(dim=1) for state in states]),
        "normalised_head": clips[:, :64],
        "normalised_stats": torch.stack([clips.mean(dim=1), clips.std(dim=1)], dim=1),
    }
    if expected_stats is not None:
        ours["normalised_stats"] = ours["normalised_stats"].reshape(expected_stats.shape)
    result.compare_all(ours, reference.outputs)
    return result


def check_affectgpt_attention(path: Path) -> Result:
    reference, result = Reference.read(path), Result()
    video_width, audio_width = reference.number("visual_dim"), reference.number("audio_dim")
    config = _config(
        audio_config=_width(audio_width),
        vision_config={"projection_dim": video_width},
        text_config=_width(reference.number("llm_dim")),
        fusion_tokens=reference.number("num_multi_query_token"),
        vision_projected=True,
    )
    video_tokens, audio_tokens = (reference.number(f"num_{kind}_query_token") for kind in ("video", "audio"))
    video_adapter = AttentionAdapter(config, video_width, config.max_frames, video_tokens)
    audio_adapter = AttentionAdapter(config, audio_width, config.max_audio_windows, audio_tokens)
    fusion = AttentionFusion(config)
    for prefix, module in (
        ("video_adapter", video_adapter),
        ("audio_adapter", audio_adapter),
        ("fusion", fusion),
    ):
        load(prefix, module, reference.state)
    video, audio = reference.inputs["video_features"], reference.inputs["audio_features"]
    ours = {
        "video_tokens": video_adapter(video),
        "audio_tokens": audio_adapter(audio),
        "multi_hidden": fusion.mix(video, audio),
        "multi_tokens": fusion(video, audio)[0],
    }
    result.compare_all(ours, reference.outputs)
    return result

"""Do the numbers of a configuration fit each other? It is asked of what comes from a file.

Whoever builds only one part may leave the other parts as they are, so the configuration does not ask by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import initialization as init
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from nanoemox.model.configuration_nanoemox import PART_CONFIGS, NanoEmoXConfig
from nanoemox.model.encoders import build_encoder
from nanoemox.model.modeling_nanoemox import build_language_model

_SHORTEST_WINDOW = 8000  # samples
_LEAST_LOG_MEL_STEPS = 100  # of Whisper's encoder: one audio window, 2 s


def check_shapes(config: NanoEmoXConfig) -> None:
    """Heads divide widths, lists have the right length, positions are known. Raises ValueError with the field."""
    _check_face(config)
    for wide, width, narrow, parts in _divisions(config):
        if width % parts:
            raise ValueError(f"{wide}: expected a multiple of {narrow}, {parts}, got {width}")
    for part, side in (("vision_config", config.video_side_px), ("face_config", config.face_side_px)):
        patch = getattr(getattr(config, part), "patch_size", 1)
        if patch > side:
            raise ValueError(f"{part}.patch_size: expected at most image_size, {side}, got {patch}")
    _check_audio(config.audio_config)
    _check_positions(config.text_config)
    _check_buildable(config)


def _check_buildable(config: NanoEmoXConfig) -> None:
    """Refuse what transformers cannot build; the kinds of the paper are known well enough to be sure of them."""
    for part, build in (
        ("vision_config", build_encoder),
        ("audio_config", build_encoder),
        ("face_config", build_encoder),
        ("text_config", build_language_model),
    ):
        one = getattr(config, part)
        if isinstance(one, PART_CONFIGS[part]):
            continue
        try:
            with torch.device("meta"), init.no_init_weights():
                build(one)
        except Exception as error:  # numbers that fit no model of this kind make transformers raise anything
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{part}: no {one.model_type} can be built of it ({reason})") from error


def _divisions(config: NanoEmoXConfig) -> Iterator[tuple[str, int, str, int]]:
    """What is divided, its size, what it is divided into, and into how many."""
    yield "fusion_width", config.fusion_width, "fusion_heads", config.fusion_heads
    wide = "face_feature_width" if config.face_fused else "the width of the stages of face_config together"
    yield wide, config.face_width, "face_heads", config.face_heads
    for part in PART_CONFIGS:
        one = getattr(config, part)
        heads = getattr(one, "num_attention_heads", None)
        if isinstance(heads, int) and getattr(one, "head_dim", None) is None:
            yield f"{part}.hidden_size", one.hidden_size, f"{part}.num_attention_heads", heads
    audio, face = config.audio_config, config.face_config
    groups = getattr(audio, "num_conv_pos_embedding_groups", None)
    if groups is not None:
        yield (
            "audio_config.hidden_size",
            audio.hidden_size,
            "audio_config.num_conv_pos_embedding_groups",
            groups,
        )
    for stage, heads in enumerate(face.num_heads if hasattr(face, "embed_dim") else ()):
        yield f"the width of stage {stage} of face_config", face.embed_dim * 2**stage, "its num_heads", heads


def _check_face(config: NanoEmoXConfig) -> None:
    face = config.face_config
    for beside in ("num_heads", "hidden_sizes"):
        given = getattr(face, beside, None)
        if given is not None and (len(given) != len(face.depths) or not 1 <= len(face.depths) <= 8):
            raise ValueError(
                f"face_config: expected as many {beside} as depths, one for each of 1 to 8 stages, got "
                f"{list(given)} and {list(face.depths)}"
            )


def _check_audio(audio: Any) -> None:
    if getattr(audio, "add_adapter", False):
        raise ValueError(
            "audio_config.add_adapter: expected an encoder without an adapter of its own, got one"
        )
    if audio.model_type == "whisper":
        if audio.max_source_positions < _LEAST_LOG_MEL_STEPS:
            raise ValueError(
                f"audio_config.max_source_positions: expected at least {_LEAST_LOG_MEL_STEPS}, 2 s of audio, got "
                f"{audio.max_source_positions}"
            )
        return
    if audio.feat_extract_norm not in ("group", "layer"):
        raise ValueError(
            f"audio_config.feat_extract_norm: expected group or layer, got {audio.feat_extract_norm!r}"
        )
    steps = _SHORTEST_WINDOW
    for kernel, stride in zip(audio.conv_kernel, audio.conv_stride, strict=True):
        steps = (steps - kernel) // stride + 1
    if steps < 1:
        raise ValueError(
            "audio_config: expected conv_kernel and conv_stride that leave some of half a second of audio, got "
            f"{list(audio.conv_kernel)} and {list(audio.conv_stride)}"
        )


def _check_positions(text: Any) -> None:
    head = getattr(text, "head_dim", None)
    head = text.hidden_size // text.num_attention_heads if head is None else head
    if not isinstance(head, int) or head % 2 or not 2 <= head <= text.hidden_size:
        raise ValueError(
            f"text_config.head_dim: expected an even width, since positions turn pairs of numbers, got {head!r}"
        )
    given = dict(getattr(text, "rope_parameters", None) or {})
    # Where layers differ, each kind of layer has its own.
    for rope in [one for one in given.values() if isinstance(one, dict)] or ([given] if given else []):
        kind, theta, factor = rope.get("rope_type"), rope.get("rope_theta"), rope.get("factor", 1.0)
        if kind not in ("default", *ROPE_INIT_FUNCTIONS):
            raise ValueError(f"text_config.rope_parameters.rope_type: expected a known one, got {kind!r}")
        for name, number in (("rope_theta", theta), ("factor", factor)):
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 1 <= number <= 1e12:
                raise ValueError(
                    f"text_config.rope_parameters.{name}: expected a number from 1 to 1e12, got {number!r}"
                )
    window = getattr(text, "sliding_window", None)
    if "sliding_attention" in (getattr(text, "layer_types", None) or ()) and not (window or 0) > 0:
        raise ValueError(
            f"text_config.sliding_window: expected a number above 0, as layer_types asks for, got {window!r}"
        )

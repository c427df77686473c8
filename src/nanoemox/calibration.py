"""Start fresh adapters and fusion from the statistics of the features they are going to read.

Frozen features come with a large common mean and uneven scales, and a fresh Q-Former then gives every clip
nearly the same tokens. Standardising the features first would cure that; as they are read through linear
maps, folding mean and scale into those maps once, before training, has the same effect and leaves the
architecture and the form of checkpoints alone (data-dependent initialisation, as in arXiv 1511.06422). The
tokens are brought to the size of the language model's own embeddings in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from nanoemox.adapters import FaceAdapter, QFormerAdapter
from nanoemox.fusion import FusionEncoder
from nanoemox.modeling_nanoemox import NanoEmoXForConditionalGeneration


@torch.no_grad()
def calibrate(model: NanoEmoXForConditionalGeneration, features: Mapping[str, Tensor]) -> list[str]:
    """Fold the statistics of `features` (some hundred clips, [B, T or C, D] by name) into what reads them.

    For fresh parts, once; parts whose features are not given stay as they are. Returns the parts calibrated.
    """
    size = model.get_input_embeddings().weight.float().std().item()
    done = []
    for part, name in (("video_adapter", "video_features"), ("audio_adapter", "audio_features")):
        if name in features:
            adapter = cast(QFormerAdapter, getattr(model, part))
            mean, std = _statistics(features[name])
            adapter.position_embedding.weight.mul_(std)  # as large beside the features as before
            for layer in adapter.qformer.encoder.layer:
                for linear in (layer.crossattention.attention.key, layer.crossattention.attention.value):
                    _fold(linear.weight, linear.bias, mean, std)
            _resize(adapter.projection, size)
            done.append(part)
    if "face_features" in features:
        face: FaceAdapter = model.face_adapter
        width = face.attention.embed_dim  # rows of the joint projection: query, then key and value
        _fold(
            face.attention.in_proj_weight[width:],
            face.attention.in_proj_bias[width:],
            *_statistics(features["face_features"]),
        )
        _resize(cast(nn.Linear, face.projection[-1]), size)
        done.append("face_adapter")
    if "video_taps" in features and "audio_taps" in features:
        fusion: FusionEncoder = model.fusion
        for linear, taps in (
            (fusion.video_projection, features["video_taps"]),
            (fusion.audio_projection, features["audio_taps"]),
        ):  # one projection for all depths, so their statistics are taken together
            _fold(linear.weight, linear.bias, *_statistics(taps.unflatten(-1, (fusion.num_experts, -1))))
        _resize(fusion.projection, size)
        done.append("fusion")
    return done


def _statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Features [..., D] -> mean [D], standard deviation [D] (of a constant dimension: small, not zero)."""
    flat = features.float().flatten(0, -2)
    std = flat.std(dim=0)
    return flat.mean(dim=0), std.clamp(min=0.01 * std.mean().item())


def _fold(weight: Tensor, bias: Tensor, mean: Tensor, std: Tensor) -> None:
    """Make a linear map of x do what it did for (x - mean) / std."""
    weight.div_(std.to(weight))
    bias.sub_(weight @ mean.to(weight))


def _resize(linear: nn.Linear, size: float) -> None:
    """Make a map whose outputs are of unit size give outputs of `size`."""
    linear.weight.mul_(size)
    linear.bias.mul_(size)

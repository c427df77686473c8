"""Start fresh adapters and fusion from the statistics of the features they are going to read.

Frozen features come with a large common mean and uneven scales, and a fresh Q-Former then gives every clip
nearly the same tokens: what all clips share drowns what tells them apart. Standardising the features first would
cure that; as they are read through linear maps, folding mean and scale into those maps once, before training, has
the same effect and leaves the architecture and the form of checkpoints alone (data-dependent initialisation, as in
arXiv 1511.06422).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nanoemox.model.adapters import QFormerAdapter
from nanoemox.model.fusion import FusionEncoder
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration

Statistics = dict[str, tuple[Tensor, Tensor]]  # name of a feature -> mean and spread [D]


@torch.no_grad()
def calibrate(model: NanoEmoXForConditionalGeneration, media: Sequence[Mapping[str, Tensor]]) -> None:
    """Let the untrained adapters and fusion read the features of these clips (processor.media of each) standardised."""
    clips: list[dict[str, Tensor]] = []
    for start in range(0, len(media), 16):
        part = media[start : start + 16]
        names = set.intersection(*(set(tensors) for tensors in part))
        stacked = {name: torch.stack([tensors[name] for tensors in part]) for name in names}
        encoded = model.encode(**stacked)
        clips += [{name: value[row] for name, value in encoded.items()} for row in range(len(part))]
    standardise(model, statistics_of(clips))


def statistics_of(clips: Sequence[Mapping[str, Tensor]]) -> Statistics:
    """Mean and spread of each feature over all time steps of some clips, [T or C, D] by name each."""
    found = {}
    for name in dict.fromkeys(name for clip in clips for name in clip):
        values = torch.cat([clip[name].double() for clip in clips if name in clip])
        found[name] = (values.mean(dim=0).float(), (values.std(dim=0) + 1e-4).float())
    return found


@torch.no_grad()
def standardise(model: NanoEmoXForConditionalGeneration, statistics: Statistics) -> None:
    """Let the untrained adapters and fusion read features with these statistics standardised.

    W x becomes W (x - mean) / std, with the mean in a bias, or for a Q-Former in its position embedding.
    """
    mean = {name: of_name for name, (of_name, _) in statistics.items()}
    std = {name: of_name for name, (_, of_name) in statistics.items()}
    for adapter, name in ((model.video_adapter, "video_features"), (model.audio_adapter, "audio_features")):
        assert isinstance(adapter, QFormerAdapter)  # phase 0 makes the paper's adapters and fusion
        adapter.position_embedding.weight.mul_(std[name]).sub_(mean[name])
        for layer in adapter.qformer.encoder.layer:
            for projection in (layer.crossattention.attention.key, layer.crossattention.attention.value):
                projection.weight.div_(std[name])
    if model.face_adapter is not None:
        attention, width = model.face_adapter.attention, model.config.face_feature_width
        weight, bias = attention.in_proj_weight[width:], attention.in_proj_bias[width:]
        weight.div_(std["face_features"])
        bias.sub_(weight @ mean["face_features"])
    fusion = model.fusion
    assert isinstance(fusion, FusionEncoder)
    for projection, name in (
        (fusion.video_projection, "video_fusion_features"),
        (fusion.audio_projection, "audio_fusion_features"),
    ):
        depths = model.config.fusion_experts  # one projection for all depths: their mean statistics
        shift, scale = mean[name].view(depths, -1).mean(dim=0), std[name].view(depths, -1).mean(dim=0)
        projection.weight.div_(scale)
        projection.bias.sub_(projection.weight @ shift)

"""The model that a run starts from, and the stored features as that model reads them.

All arms of one seed start from the same adapters and the same fusion, drawn from the seed: an arm without a branch
lacks it, and the others are the same to the last bit. What only one arm has is drawn from the seed too.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import set_seed

from nanoemox.checkpoints.load import load_model
from nanoemox.data.decoded_clips import Tensors
from nanoemox.files.atomic import whole_folder
from nanoemox.model.affectgpt import AttentionFusion
from nanoemox.model.configuration_nanoemox import ENCODERS, NanoEmoXConfig
from nanoemox.model.fusion import FusionEncoder
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.training.phase0.adapter_init import Statistics, standardise, statistics_of
from nanoemox.training.recipe import Arm, RecipeError
from nanoemox.training.study.arms import fusion_layers

FUSION_FEATURES = ("video_fusion_features", "audio_fusion_features")
CALIBRATION_CLIPS = 256
GATE = "fusion.gate"


class ArmFeatures:
    """Stored features without what an arm's model lacks, and of the depths that it keeps.

    Args:
        store: The features of the base model.
        arm: The arm.
        experts: How many experts the base model has.
    """

    def __init__(self, store: Tensors, arm: Arm, experts: int) -> None:
        self.store, self.experts, self.kept = store, experts, arm.experts
        self.left_out = set()
        if arm.config.get("face_tokens") == 0:
            self.left_out.add("face_features")
        if arm.config.get("fusion_type", "experts") != "experts" or arm.config.get("fusion_tokens") == 0:
            self.left_out.update(FUSION_FEATURES)

    def __contains__(self, record_id: str) -> bool:
        return record_id in self.store

    def __getitem__(self, record_id: str) -> Mapping[str, Tensor]:
        found = {n: v for n, v in self.store[record_id].items() if n not in self.left_out}
        if self.kept is not None:
            for name in FUSION_FEATURES:
                if name in found:  # [T or C, E D] -> those of the experts that stay
                    found[name] = found[name].unflatten(-1, (self.experts, -1))[:, self.kept].flatten(1)
        return found


def write_start(base: str, arm: Arm, seed: int, store: Tensors, clips: Sequence[str], out: Path) -> Path:
    """Write the model folder that one run starts from.

    Args:
        base: The folder of the base model, whose encoders and language model every arm has.
        arm: What differs.
        seed: Of the adapters and the fusion.
        store: Features of the base model's encoders.
        clips: Ids of clips whose features the new parts are fitted to.
        out: The folder to write; one that is there is replaced.

    Returns:
        The folder.

    Raises:
        RecipeError: If the arm's model cannot be built.
    """
    model, processor = load_model(base, "cpu", torch.float32)
    found = statistics_of([store[clip] for clip in clips[:CALIBRATION_CLIPS]])

    # The parts that all arms of this seed share.
    set_seed(seed)
    fresh = NanoEmoXForConditionalGeneration(copy.deepcopy(model.config))
    for name, part in model.parts().items():
        if name not in (*ENCODERS, "lm"):
            part.load_state_dict(fresh.parts()[name].state_dict())
    standardise(model, found)

    # The arm's own model, with all that it shares with the base.
    try:
        config = arm_config(model.config, arm)
    except (ValueError, IndexError) as error:
        raise RecipeError(
            f"{base}: cannot be changed to {arm.about!r} ({' '.join(str(error).split())})"
        ) from error
    set_seed(seed)
    changed = NanoEmoXForConditionalGeneration(config)
    for name, part in changed.parts().items():
        if name == "fusion":
            _start_fusion(changed, model, arm, found)
        else:
            part.load_state_dict(model.parts()[name].state_dict())
    changed.generation_config = model.generation_config
    processor.placeholder_counts = config.placeholder_counts
    with whole_folder(out, replace=True) as new:
        changed.eval().save_pretrained(new)
        processor.save_pretrained(new)
    return out


def arm_config(base: NanoEmoXConfig, arm: Arm) -> NanoEmoXConfig:
    """The configuration of an arm's model. Errors: ValueError for a wrong field, IndexError for an expert."""
    fields = {**base.to_dict(), **arm.config, **fusion_layers(base, arm)}
    config = NanoEmoXConfig.from_dict(fields)
    assert isinstance(config, NanoEmoXConfig)
    return config


@torch.no_grad()
def _start_fusion(
    changed: NanoEmoXForConditionalGeneration,
    base: NanoEmoXForConditionalGeneration,
    arm: Arm,
    found: Statistics,
) -> None:
    """The fusion of an arm: the base's, some experts of it, or another kind, all reading standardised features."""
    fusion, whole = changed.fusion, base.fusion
    if isinstance(fusion, AttentionFusion):
        for embedding, name in (
            (fusion.video_embedding, "video_features"),
            (fusion.audio_embedding, "audio_features"),
        ):
            mean, std = found[name]
            embedding.weight.div_(std)
            embedding.bias.sub_(embedding.weight @ mean)
    elif isinstance(fusion, FusionEncoder) and isinstance(whole, FusionEncoder):
        kept = arm.experts or range(whole.num_experts)
        for name in ("audio_projection", "video_projection", "projection"):
            getattr(fusion, name).load_state_dict(getattr(whole, name).state_dict())
        for mine, number in zip(fusion.experts, kept, strict=True):
            mine.load_state_dict(whole.experts[number].state_dict())
        if len(kept) == whole.num_experts:
            fusion.gate.load_state_dict(whole.gate.state_dict())
        if arm.gate == "mean":  # of equal numbers, softmax makes equal weights; `frozen` keeps them so
            for value in fusion.gate[-1].parameters():
                value.zero_()

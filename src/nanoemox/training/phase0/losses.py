"""What the three small encoders learn in phase 0, each in the spirit of the model whose place it takes.

Face: action units of every frame, as FaceXFormer's backbone learns faces from many labelled tasks (arXiv 2403.12960).
Voice: masked prediction of cluster ids, as HuBERT (arXiv 2106.07447), with pitch, energy and manner beside it.
Scene: pictures and captions that belong together, as CLIP (arXiv 2103.00020), with place and prop beside it.
The extra targets sit on the very layers that adapters will read. They are read through a standardisation, so that
what differs between clips is learned early, however large the part that all clips share; `backbones.assemble` folds
the same standardisation into the adapters, since a large common part makes every token of a Q-Former alike.
Letters: B batch, T frames, C audio windows, L samples, U time steps of an audio window, D width, S text.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.model.encoders import AudioEncoder, FaceEncoder, VisionEncoder

Losses = dict[str, Any]


class Standardised(nn.Module):
    """A linear layer that reads its input with mean 0 and variance 1 in every direction."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.linear = nn.Linear(width, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """[..., D] -> [..., outputs]."""
        flat = self.norm(features.float().flatten(0, -2))  # [rows, D]
        return self.linear(flat).unflatten(0, features.shape[:-1])


def weighted(parts: dict[str, Tensor], weights: dict[str, float]) -> Losses:
    """Parts of a loss -> {"loss", "parts"}; a part without a weight counts once."""
    loss = torch.stack([weights.get(name, 1.0) * value for name, value in parts.items()]).sum()
    return {"loss": loss, "parts": {name: value.detach() for name, value in parts.items()}}


def strength_loss(logits: Tensor, kind: Tensor, strength: Tensor) -> Tensor:
    """Mild or strong, against others of the same kind.

    Args:
        logits: [B, kinds].
        kind: [B], which of the kinds a clip shows.
        strength: [B], 1 strong, 0 mild, NaN unknown.

    Returns:
        The mean cross-entropy over the clips whose strength is known.
    """
    known = ~strength.isnan()
    if not known.any():
        return logits.sum() * 0.0
    mine = logits[known].gather(1, kind[known][:, None])[:, 0]  # [clips whose strength is known]
    return functional.binary_cross_entropy_with_logits(mine, strength[known])


class FaceObjective(nn.Module):
    """Action units of each frame, and which face group and cues the clip shows, from the fused feature."""

    def __init__(
        self, config: NanoEmoXConfig, units: int, cues: int, groups: int, weights: dict[str, float]
    ) -> None:
        """Action units of each frame, and which face group and cues the clip shows, from the fused feature.

        Args:
            config: sizes of the encoder.
            units: how many action units and pose values (K).
            cues: how many cues (Q).
            groups: how many face groups.
            weights: name of a loss -> its share.
        """
        super().__init__()
        self.encoder = FaceEncoder(config)
        self.heads = nn.ModuleList(
            nn.Linear(config.face_feature_width, outputs) for outputs in (units, cues, groups, groups)
        )
        self.weights = weights

    def forward(self, pixels: Tensor, units: Tensor, cues: Tensor, group: Tensor, strength: Tensor) -> Losses:
        """The losses of one batch of faces.

        Args:
            pixels: [B, T, 3, H, W].
            units: [B, T, K], action units of variance 1.
            cues: [B, Q], 0 to 1.
            group: [B], the face group.
            strength: [B], 1 strong, 0 mild, NaN where the face does not show it.

        Returns:
            The weighted sum, and each loss by name.
        """
        features = self.encoder(pixels)  # [B, T, D]
        pooled = features.mean(dim=1)  # [B, D]
        parts = {
            "units": functional.smooth_l1_loss(self.heads[0](features), units),
            "cues": functional.binary_cross_entropy_with_logits(self.heads[1](pooled), cues),
            "group": functional.cross_entropy(self.heads[2](pooled), group),
            "strength": strength_loss(self.heads[3](pooled), group, strength),
        }
        return weighted(parts, self.weights)


class VoiceObjective(nn.Module):
    """Cluster ids of masked steps; loudness and pitch of every step; the manner of the clip from pooled features."""

    def __init__(
        self,
        config: NanoEmoXConfig,
        clusters: int,
        tracks: int,
        cues: int,
        styles: int,
        weights: dict[str, float],
    ) -> None:
        """Cluster ids of masked steps, loudness and pitch of every step, and the clip's manner from pooled features.

        Args:
            config: sizes of the encoder.
            clusters: how many clusters a step may belong to.
            tracks: how many values a step has (K): loudness, pitch.
            cues: how many cues (Q).
            styles: how many voice styles.
            weights: name of a loss -> its share.
        """
        super().__init__()
        self.encoder = AudioEncoder(config)
        width = config.audio_config.hidden_size
        self.clusters = nn.Linear(width, clusters)
        self.tracks = nn.Linear(width, tracks)
        self.cues = nn.ModuleList(Standardised(width, cues) for _ in range(3))
        self.strength = Standardised(width, styles)
        self.weights = weights

    def forward(
        self,
        input_values: Tensor,
        masked: Tensor,
        clusters: Tensor,
        tracks: Tensor,
        cues: Tensor,
        style: Tensor,
        strength: Tensor,
    ) -> Losses:
        """The losses of one batch of voices.

        Args:
            input_values: [B, C, L], C - 1 whole windows and then one with masked stretches.
            masked: [B, U], which steps of the last window are masked.
            clusters: [B, U], the cluster of each step of the last window.
            tracks: [B, C, U, K], loudness and pitch of every step.
            cues: [B, Q], 0 or 1.
            style: [B], the voice style.
            strength: [B], 1 strong, 0 mild, NaN where it cannot be heard.

        Returns:
            The weighted sum, and each loss by name.
        """
        batch, windows = input_values.shape[:2]
        model = self.encoder.model
        where = torch.zeros(batch, windows, masked.shape[1], dtype=torch.bool, device=masked.device)
        where[:, -1] = masked  # [B, C, U]
        output = model(
            input_values.flatten(0, 1), mask_time_indices=where.flatten(0, 1), output_hidden_states=True
        )
        states = [*output.hidden_states[:-1], output.last_hidden_state]  # [B C, U, D] each
        mean = torch.stack(states[-self.encoder.feature_layers :]).mean(dim=0)  # [B C, U, D]
        steps = mean.unflatten(0, (batch, windows))  # [B, C, U, D]
        whole = steps[:, :-1].mean(dim=2)  # [B, C - 1, D], as the encoder gives them
        first, last = whole[:, 0], whole[:, -1]  # [B, D]; a sigh comes first, a rise last
        pooled = self.cues[0](whole.mean(dim=1)) + self.cues[1](first) + self.cues[2](last)  # [B, Q]
        parts = {
            "clusters": functional.cross_entropy(self.clusters(steps[:, -1][masked]), clusters[masked]),
            "tracks": functional.smooth_l1_loss(self.tracks(steps), tracks),
            "cues": functional.binary_cross_entropy_with_logits(pooled, cues),
            "strength": strength_loss(self.strength(whole.mean(dim=1)), style, strength),
        }
        return weighted(parts, self.weights)


class SceneObjective(nn.Module):
    """VideoFrames and captions find each other; the tapped layer names place, prop and light.

    The prop, which is small, is also named by the patches, whichever shows it best: without this term the tapped
    token takes far longer to find it.
    """

    def __init__(
        self,
        config: NanoEmoXConfig,
        vocabulary: int,
        end_token: int,
        classes: list[int],
        weights: dict[str, float],
    ) -> None:
        """Frames and captions find each other; the fusion layers name place, prop and light.

        The prop, which is small, is also named by the patches, whichever shows it best: without this term the token
        that the fusion reads takes far longer to find it.

        Args:
            config: sizes of the encoder.
            vocabulary: size of the tokenizer, for the captions.
            end_token: the token at which a caption is read.
            classes: how many places, props and lights there are.
            weights: name of a loss -> its share.
        """
        super().__init__()
        self.encoder = VisionEncoder(config)
        width, shared = config.vision_config.hidden_size, config.vision_config.projection_dim
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary,
                hidden_size=128,
                intermediate_size=256,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=48,
                eos_token_id=end_token,
                pad_token_id=0,
                bos_token_id=0,
            )
        )
        self.text_projection = nn.Linear(128, shared, bias=False)
        self.projections = nn.ModuleList(nn.Linear(width, shared, bias=False) for _ in range(2))
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.heads = nn.ModuleList(nn.Linear(width, count) for count in classes)
        self.patch_head = nn.Linear(width, classes[1])
        self.weights = weights

    def forward(
        self, pixels: Tensor, input_ids: Tensor, attention_mask: Tensor, classes: Tensor, same: Tensor
    ) -> Losses:
        """The losses of one batch of scenes.

        Args:
            pixels: [B, 3, H, W].
            input_ids: [B, S], captions.
            attention_mask: [B, S].
            classes: [B, K], place, prop and light of each.
            same: [B, B], which captions mean the same.

        Returns:
            The weighted sum, and each loss by name.
        """
        encoder = self.encoder
        output = encoder.model(pixels, output_hidden_states=True)
        # [B, 1 + patches, D], [B, D]
        states, last = output.hidden_states[encoder.feature_layer], output.pooler_output
        tapped = states[:, 0]  # [B, D], the CLS
        read = self.text(input_ids=input_ids, attention_mask=attention_mask).pooler_output  # [B, 128]
        texts = functional.normalize(self.text_projection(read), dim=-1)  # [B, shared D]
        # [B, B], rows of sum 1: captions that mean the same are all right, each to the same share.
        wanted = same / same.sum(dim=1, keepdim=True)
        contrast = torch.zeros((), device=pixels.device)
        for projection, view in zip(self.projections, (tapped, last), strict=True):
            seen = functional.normalize(projection(view), dim=-1)  # [B, shared D]
            logits = seen @ texts.T * self.scale.exp().clamp(max=50)  # [B, B], frames by captions
            contrast = (
                contrast
                + functional.cross_entropy(logits, wanted)
                + functional.cross_entropy(logits.T, wanted)
            )
        parts = {"contrast": contrast / 4}
        for k, (name, head) in enumerate(zip(("place", "prop", "light"), self.heads, strict=True)):
            parts[name] = functional.cross_entropy(head(tapped), classes[:, k])
        parts["prop_patches"] = functional.cross_entropy(
            self.patch_head(states[:, 1:]).logsumexp(dim=1), classes[:, 1]
        )
        return weighted(parts, self.weights)

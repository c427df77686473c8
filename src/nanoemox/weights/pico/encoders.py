"""The three frozen encoders: CLIP for the scene, HuBERT for the voice, a multi-scale Swin for the face.

None of the three phases trains them (paper, sec. 3.2), so each output is computed once per clip and kept.
Letters: B batch, T frames, C audio windows, D width of the encoder, L samples of one audio window, H, W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModel, HubertModel, SwinModel

from .configuration_nanoemox import NanoEmoXConfig

# What the encoders of one clip give, by the names that the model's forward takes them.
FEATURE_NAMES = (
    "video_features",
    "video_fusion_features",
    "audio_features",
    "audio_fusion_features",
    "face_features",
)


class VisionEncoder(nn.Module):
    """CLIP's view of the scene: the CLS of one late hidden state per frame, and of the three tapped ones."""

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__()
        self.feature_layer = config.vision_feature_layer % (config.vision_config.num_hidden_layers + 1)
        self.fusion_layers = config.read_fusion_layers[0]
        self.model = CLIPVisionModel(config.vision_config)
        self.projection = None  # CLIP's own, to the width it shares with text
        if config.vision_projected:
            self.projection = nn.Linear(config.vision_config.hidden_size, config.video_width, bias=False)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pixels [B, T, 3, H, W] -> features [B, T, D], fusion features [B, T, 3 D] if any expert reads them."""
        batch, frames = pixel_values.shape[:2]
        wanted = [self.feature_layer, *self.fusion_layers]
        frame_rows = pixel_values.flatten(0, 1).to(self.model.dtype)  # [B T, 3, H, W]
        output = self.model(frame_rows, output_hidden_states=wanted)
        # [B T, 1 + patches, D] each. 0: after the pre-norm; l: output of layer l; None: not wanted.
        states = output.hidden_states
        cls = {
            layer: states[layer][:, 0].unflatten(0, (batch, frames)) for layer in set(wanted)
        }  # [B, T, D] each
        main = cls[self.feature_layer]
        if self.projection is not None:
            main = self.projection(output.pooler_output).unflatten(0, (batch, frames))
        fusion = [cls[layer] for layer in self.fusion_layers]
        return main, torch.cat(fusion, dim=-1) if fusion else None


class AudioEncoder(nn.Module):
    """HuBERT's hearing of the voice: the mean of its last hidden states, and over the time of each clip."""

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__()
        self.feature_layers = config.audio_feature_layers
        self.fusion_layers = config.read_fusion_layers[1]
        self.model = HubertModel(config.audio_config)

    def forward(self, input_values: Tensor) -> tuple[Tensor, Tensor | None]:
        """Normalised sound [B, C, L] -> features [B, C, D], fusion features [B, C, 3 D] if any expert reads them."""
        batch, windows = input_values.shape[:2]
        window_rows = input_values.flatten(0, 1).to(self.model.dtype)  # [B C, L]
        # Before 5.23 transformers draws a random number for each layer in evaluation too: what follows must not notice.
        with torch.random.fork_rng(devices=[], enabled=not self.model.training):
            output = self.model(window_rows, output_hidden_states=True)
        # Only the last state has passed the final norm, as in the official code; transformers 5 lists it without.
        states = [*output.hidden_states[:-1], output.last_hidden_state]  # [B C, time steps, D] each
        means = [state.mean(dim=1).unflatten(0, (batch, windows)) for state in states]  # [B, C, D] each
        features = torch.stack(means[-self.feature_layers :]).mean(dim=0)  # [B, C, D]
        fusion = [means[layer] for layer in self.fusion_layers]
        return features, torch.cat(fusion, dim=-1) if fusion else None


class FaceEncoder(nn.Module):
    """FaceXFormer's encoder (arXiv 2403.12960): Swin's four stage maps at one width and size, fused."""

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__()
        width = config.face_feature_width
        stages = len(config.face_config.depths)
        self.model = SwinModel(config.face_config, add_pooling_layer=False)
        self.level_projections = nn.ModuleList(
            nn.Linear(config.face_config.embed_dim * 2**stage, width) for stage in range(stages)
        )
        self.fuse_projection = nn.Conv2d(stages * width, width, kernel_size=1, bias=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Pixels [B, T, 3, H, W] -> features [B, T, D]."""
        maps = self.stage_maps(pixel_values.flatten(0, 1).to(self.model.dtype))  # [B T, D_s, H_s, W_s] each
        features: Tensor = self.fuse(maps).unflatten(0, pixel_values.shape[:2])
        return features

    def stage_maps(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """Pixels [B, 3, H, W] -> the output of every stage before its patch merging, [B, D_s, H_s, W_s]."""
        output = self.model(
            pixel_values, output_hidden_states=True, output_hidden_states_before_downsampling=True
        )
        maps: tuple[Tensor, ...] = output.reshaped_hidden_states
        return maps[1:]  # the first is the patch embedding

    def fuse(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Stage maps, finest first -> [B, D], the mean of the fused map."""
        size = maps[0].shape[-2:]  # of the finest map, to which all others are enlarged
        levels = []
        for stage, projection in zip(maps, self.level_projections, strict=True):
            level = projection(stage.movedim(1, -1)).movedim(-1, 1)  # [B, D, H_s, W_s]
            levels.append(functional.interpolate(level, size=size, mode="bilinear", align_corners=False))
        # Coarsest level first, as the weights of FaceXFormer expect it.
        stacked = torch.cat(levels[::-1], dim=1)  # [B, stages D, H_1, W_1]
        fused: Tensor = self.fuse_projection(stacked)  # [B, D, H_1, W_1]
        return fused.mean(dim=(-2, -1))

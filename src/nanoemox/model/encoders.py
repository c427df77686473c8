"""The three frozen encoders: one of the scene, one of the voice, one of the face.

Each is any of transformers that `KINDS` of the configuration names; in the paper CLIP, HuBERT and a multi-scale Swin.
None of the three phases trains them (paper, sec. 3.2), so each output is computed once per clip and kept.
Letters: B batch, T frames, C audio windows, D width of the encoder, L samples of one audio window, M mel bands,
S steps of log-mel, H, W pixels.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from nanoemox.model.configuration_nanoemox import NanoEmoXConfig

# What the encoders of one clip give, by the names that the model's forward takes them.
FEATURE_NAMES = (
    "video_features",
    "video_fusion_features",
    "audio_features",
    "audio_fusion_features",
    "face_features",
)


def build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """The encoder of a configuration, with random weights, and without the pooling heads that nothing here reads."""
    if config.model_type == "whisper":
        return WhisperEncoder(config)
    kind: Any = MODEL_MAPPING[type(config)]
    if "add_pooling_layer" in inspect.signature(kind.__init__).parameters:
        return kind(config, add_pooling_layer=False)
    if hasattr(config, "vision_use_head"):  # of SigLIP
        config = copy.deepcopy(config)
        config.vision_use_head = False
    return kind(config)


class PictureEncoder(nn.Module):
    """A picture encoder of any kind, asked for hidden states."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.model = build_encoder(config)

    def read(self, pixel_values: Tensor, layers: list[int] | bool) -> Any:
        """Pixels [B, 3, H, W] -> what the encoder returns, with the hidden states of these layers (or all of them)."""
        pixel_values = pixel_values.to(self.model.dtype)
        config = self.model.config
        if config.model_type != "siglip2_vision_model":
            return self.model(pixel_values, output_hidden_states=layers)
        # SigLIP 2 in its form for pictures of any shape takes patches, and how many there are in each direction.
        side = config.patch_size
        patches = pixel_values.unfold(2, side, side).unfold(
            3, side, side
        )  # [B, 3, rows, columns, side, side]
        count, _, rows, columns = patches.shape[:4]
        shapes = torch.tensor([[rows, columns]] * count, device=pixel_values.device)
        flat = patches.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)  # [B, patches, side side 3]
        mask = torch.ones(flat.shape[:2], dtype=torch.long, device=flat.device)
        return self.model(flat, mask, shapes, output_hidden_states=layers)

    def patches(self, height: int, width: int) -> int:
        """How many patches a picture of this size in pixels has."""
        side = int(self.model.config.patch_size)
        return (height // side) * (width // side)


class VisionEncoder(PictureEncoder):
    """The view of the scene, one vector per frame: of one late hidden state, and of those that the fusion reads.

    Where an encoder has a token of its own for the whole picture (CLS), the vector is that token, else the mean.
    """

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__(config.vision_config)
        self.feature_layer = config.vision_feature_layer % (config.vision_config.num_hidden_layers + 1)
        self.fusion_layers = config.read_fusion_layers[0]
        self.projection = None  # CLIP's own, to the width it shares with text
        if config.vision_projected:
            self.projection = nn.Linear(config.vision_config.hidden_size, config.video_width, bias=False)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pixels [B, T, 3, H, W] -> features [B, T, D], fusion features [B, T, 3 D] if any expert reads them."""
        batch, frames = pixel_values.shape[:2]
        wanted = [self.feature_layer, *self.fusion_layers]
        output = self.read(pixel_values.flatten(0, 1), wanted)
        # [B T, tokens, D] each. 0: after the pre-norm; l: output of layer l; None: not wanted.
        states = output.hidden_states
        patches = self.patches(*pixel_values.shape[-2:])
        views = {
            layer: _whole_picture(states[layer], patches).unflatten(0, (batch, frames))
            for layer in set(wanted)
        }  # [B, T, D] each
        main = views[self.feature_layer]
        if self.projection is not None:
            main = self.projection(output.pooler_output).unflatten(0, (batch, frames))
        fusion = [views[layer] for layer in self.fusion_layers]
        return main, torch.cat(fusion, dim=-1) if fusion else None


def _whole_picture(state: Tensor, patches: int) -> Tensor:
    """A hidden state [B, tokens, D] -> [B, D]."""
    return state[:, 0] if state.shape[1] > patches else state.mean(dim=1)


class AudioEncoder(nn.Module):
    """The hearing of the voice: the mean of the last hidden states, and over the time of each audio window."""

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__()
        self.feature_layers = config.audio_feature_layers
        self.fusion_layers = config.read_fusion_layers[1]
        self.model = build_encoder(config.audio_config)

    def forward(self, input_values: Tensor) -> tuple[Tensor, Tensor | None]:
        """Normalised sound [B, C, L], or log-mel [B, C, M, S] -> features [B, C, D], fusion features [B, C, 3 D].

        The second are None where no expert reads them.
        """
        batch, windows = input_values.shape[:2]
        window_rows = input_values.flatten(0, 1).to(self.model.dtype)  # [B C, L] or [B C, M, S]
        steps = None  # of the encoder that hear something; None, all
        if self.model.config.model_type == "whisper":
            window_rows, steps = self._filled_up(window_rows)
        # Before 5.23 transformers draws a random number for each layer in evaluation too: what follows must not notice.
        with torch.random.fork_rng(devices=[], enabled=not self.model.training):
            output = self.model(window_rows, output_hidden_states=True)
        # Only the last state has passed the final norm, as in the official code; transformers 5 lists it without.
        states = [*output.hidden_states[:-1], output.last_hidden_state]  # [B C, time steps, D] each
        means = [
            state[:, :steps].mean(dim=1).unflatten(0, (batch, windows)) for state in states
        ]  # [B, C, D] each
        features = torch.stack(means[-self.feature_layers :]).mean(dim=0)  # [B, C, D]
        fusion = [means[layer] for layer in self.fusion_layers]
        return features, torch.cat(fusion, dim=-1) if fusion else None

    def _filled_up(self, log_mel: Tensor) -> tuple[Tensor, int]:
        """Log-mel [B, M, S] -> the same with silence up to Whisper's length, and the steps of the encoder it lasts.

        The last two of S steps hear the end of the window and the beginning of the silence.
        """
        whole = 2 * self.model.config.max_source_positions
        given = log_mel.shape[-1]
        # Silence as the feature extractor writes it: (log10(1e-10) + 4) / 4, at most 8 / 4 below the loudest.
        silence = (log_mel.amax(dim=(1, 2), keepdim=True) - 2).clamp(min=-1.5)
        filler = silence.expand(-1, log_mel.shape[1], max(0, whole - given))
        return torch.cat([log_mel, filler], dim=-1)[..., :whole], max(1, (min(given, whole) - 2) // 2)


class FaceEncoder(PictureEncoder):
    """The look of the face, one vector per frame, from the maps of all stages of the encoder.

    FaceXFormer's encoder (arXiv 2403.12960) is Swin, with its four stage maps brought to one width and size and fused.
    Of any other encoder, the means of its stages stand side by side: it needs no weights that nobody has trained.
    """

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__(config.face_config)
        self.level_projections = self.fuse_projection = None
        if config.face_fused:
            width, widths = config.face_feature_width, config.stage_widths
            self.level_projections = nn.ModuleList(nn.Linear(stage, width) for stage in widths)
            self.fuse_projection = nn.Conv2d(len(widths) * width, width, kernel_size=1, bias=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Pixels [B, T, 3, H, W] -> features [B, T, D]."""
        maps = self.stage_maps(pixel_values.flatten(0, 1))  # [B T, D_s, H_s, W_s] each
        if self.level_projections is None:
            features = torch.cat([stage.mean(dim=(-2, -1)) for stage in maps], dim=-1)
        else:
            features = self.fuse(maps)
        by_frame: Tensor = features.unflatten(0, pixel_values.shape[:2])
        return by_frame

    def stage_maps(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """Pixels [B, 3, H, W] -> the output of every stage before its patch merging, [B, D_s, H_s, W_s]."""
        config = self.model.config
        if hasattr(config, "embed_dim"):  # Swin; its second version gives no maps before merging
            before = {"output_hidden_states_before_downsampling": True} if config.model_type == "swin" else {}
            output = self.model(pixel_values.to(self.model.dtype), output_hidden_states=True, **before)
            maps: tuple[Tensor, ...] = output.reshaped_hidden_states
            return maps[1:]  # the first is the patch embedding
        if hasattr(config, "hidden_sizes"):
            return tuple(self.read(pixel_values, True).hidden_states[1:])
        last = self.read(pixel_values, False).last_hidden_state  # [B, tokens, D]
        patches = self.patches(*pixel_values.shape[-2:])
        rows = pixel_values.shape[-2] // config.patch_size
        return (last[:, -patches:].movedim(1, -1).unflatten(-1, (rows, -1)),)

    def fuse(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Stage maps, finest first -> [B, D], the mean of the fused map."""
        assert self.level_projections is not None and self.fuse_projection is not None
        size = maps[0].shape[-2:]  # of the finest map, to which all others are enlarged
        levels = []
        for stage, projection in zip(maps, self.level_projections, strict=True):
            level = projection(stage.movedim(1, -1)).movedim(-1, 1)  # [B, D, H_s, W_s]
            levels.append(functional.interpolate(level, size=size, mode="bilinear", align_corners=False))
        # Coarsest level first, as the weights of FaceXFormer expect it.
        stacked = torch.cat(levels[::-1], dim=1)  # [B, stages D, H_1, W_1]
        fused: Tensor = self.fuse_projection(stacked)  # [B, D, H_1, W_1]
        return fused.mean(dim=(-2, -1))

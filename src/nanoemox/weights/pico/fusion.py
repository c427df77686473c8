"""Hierarchical expert fusion: three cross-modal experts, one per depth of the encoders, and a gate.

Paper, sec. 3.3; order of operations as in the official code. The voice asks and the scene answers, at three
levels from concrete to abstract, and the gate says for each clip how much each level counts.
Letters: B batch, C audio windows, T frames, N tokens, D width, E experts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .adapters import CrossAttention
from .configuration_nanoemox import NanoEmoXConfig


class CrossModalExpert(nn.Module):
    """Attention with audio as query and video as key and value, then a feed-forward, each with a residual around it.

    Args:
        width: width of the projected features (D).
        heads: how many heads the attention has.
        dropout: share of values that training sets to zero.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = CrossAttention(width, heads, dropout=dropout, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Voice [B, C, D] and scene [B, T, D] -> [B, C, D]."""
        hidden = audio + self.attention(audio, video, video, need_weights=False)[0]  # [B, C, D]
        mixed: Tensor = hidden + self.feed_forward(hidden)
        return mixed


class FusionEncoder(nn.Module):
    """One expert per tapped depth, mixed by an input-dependent gate into `fusion_tokens` tokens."""

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__()
        width, dropout = config.fusion_width, config.fusion_dropout
        self.num_experts, self.num_tokens = config.fusion_experts, config.fusion_tokens
        self.audio_projection = nn.Linear(config.audio_config.hidden_size, width)  # shared by the depths
        self.video_projection = nn.Linear(config.vision_config.hidden_size, width)
        self.experts = nn.ModuleList(
            CrossModalExpert(width, config.fusion_heads, dropout) for _ in range(self.num_experts)
        )
        self.gate = nn.Sequential(
            nn.Linear(self.num_experts * width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, self.num_experts),
        )
        self.projection = nn.Linear(width, config.text_config.hidden_size)

    def forward(self, video_fusion_features: Tensor, audio_fusion_features: Tensor) -> tuple[Tensor, Tensor]:
        """Feature layers [B, T, E D] and [B, C, E D] -> tokens [B, N, D of the language model], gate [B, E]."""
        hidden, gate = self.mix(video_fusion_features, audio_fusion_features)
        token = self.projection(hidden.mean(dim=1, keepdim=True))  # [B, 1, D of the language model]
        return token.expand(-1, self.num_tokens, -1), gate

    def mix(self, video_fusion_features: Tensor, audio_fusion_features: Tensor) -> tuple[Tensor, Tensor]:
        """Feature layers [B, T, E D] and [B, C, E D] -> gated sum of the experts [B, C, D], gate [B, E]."""
        audio = self.audio_projection(
            audio_fusion_features.unflatten(-1, (self.num_experts, -1))
        )  # [B, C, E, D]
        video = self.video_projection(
            video_fusion_features.unflatten(-1, (self.num_experts, -1))
        )  # [B, T, E, D]
        fused = [
            expert(audio[:, :, e], video[:, :, e]) for e, expert in enumerate(self.experts)
        ]  # E x [B, C, D]
        gate = self.gate(torch.cat(fused, dim=-1).mean(dim=1)).softmax(dim=-1)  # [B, E]
        hidden = torch.stack(fused, dim=-1) @ gate[:, None, :, None]  # [B, C, D, E] x [B, 1, E, 1]
        return hidden.squeeze(-1), gate  # [B, C, D], [B, E]

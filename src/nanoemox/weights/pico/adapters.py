"""Heterogeneous adapters: a Q-Former for the scene, another for the voice, temporal queries for the face.

Each takes the features of one modality and returns that modality's tokens at the language model's width
(paper, sec. 3.2; order of operations as in the official code).
Letters: B batch, T time steps (frames or audio windows), N tokens, D width.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Blip2QFormerModel

from .configuration_nanoemox import NanoEmoXConfig


class QFormerAdapter(nn.Module):
    """Learned queries read the time steps of one stream; position embeddings tell the steps apart.

    Args:
        config: sizes of the Q-Former and of the language model.
        feature_width: width of the features that are read (D).
        max_steps: rows of the position embedding: the most frames (T) or audio windows (C).
        num_tokens: how many tokens come out (N).
    """

    def __init__(self, config: NanoEmoXConfig, feature_width: int, max_steps: int, num_tokens: int) -> None:
        super().__init__()
        qformer_config = copy.deepcopy(config.qformer_config)
        qformer_config.encoder_hidden_size = feature_width
        self.position_embedding = nn.Embedding(max_steps, feature_width)
        self.query_tokens = nn.Parameter(torch.empty(1, num_tokens, qformer_config.hidden_size))
        self.qformer = Blip2QFormerModel(qformer_config)
        self.projection = nn.Linear(qformer_config.hidden_size, config.text_config.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, T, D] -> tokens [B, N, D of the language model]."""
        steps, max_steps = features.shape[1], self.position_embedding.num_embeddings
        if steps > max_steps:
            raise ValueError(
                f"expected at most {max_steps} time steps, got {steps}; sample fewer of them, or raise "
                "max_frames or max_audio_windows in the configuration"
            )
        memory = features + self.position_embedding.weight[:steps]  # [B, T, D]
        queries = self.query_tokens.expand(features.shape[0], -1, -1)  # [B, N, D of the Q-Former]
        hidden = self.qformer(queries, encoder_hidden_states=memory).last_hidden_state
        tokens: Tensor = self.projection(hidden)
        return tokens


class CrossAttention(nn.MultiheadAttention):
    """torch's attention, whose last projection is called as a module.

    torch itself reads the weight of `out_proj` past that module. LoRA on it, as `all-linear` of peft puts it there,
    would then be idle in training and change the answers once it is merged.
    """

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = True, **options: Any
    ) -> tuple[Tensor, Tensor | None]:
        """As in torch, in the layout and order of torch, so that every bit is the same.

        Args:
            query: [B, N, D].
            key: [B, T, D].
            value: [B, T, D].
            need_weights: Whether the weights of the attention are returned, too.
            **options: More arguments of torch's attention.

        Returns:
            [B, N, D], and the weights or None.
        """
        if need_weights or options or key is not value:  # not how the model calls it
            return super().forward(query, key, value, need_weights=need_weights, **options)
        width, heads = self.embed_dim, self.num_heads
        batch, tokens, _ = query.shape
        of_query, of_memory = self.in_proj_weight.split([width, 2 * width])
        bias_of_query, bias_of_memory = self.in_proj_bias.split([width, 2 * width])
        asked = functional.linear(query.transpose(0, 1), of_query, bias_of_query)  # [N, B, D]
        both = functional.linear(key.transpose(0, 1), of_memory, bias_of_memory)  # [T, B, 2 D]
        keys, values = both.unflatten(-1, (2, width)).movedim(-2, 0).contiguous()  # [T, B, D] each
        attended = functional.scaled_dot_product_attention(
            _by_head(asked, heads),
            _by_head(keys, heads),
            _by_head(values, heads),
            dropout_p=self.dropout if self.training else 0.0,
        )  # [B, heads, N, D of a head]
        rows = attended.permute(2, 0, 1, 3).reshape(tokens * batch, width)  # [N B, D]
        return self.out_proj(rows).view(tokens, batch, width).transpose(0, 1), None


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """[N, B, D] -> [B, heads, N, D of a head]."""
    length, batch, width = rows.shape
    return rows.view(length, batch * heads, width // heads).transpose(0, 1).view(batch, heads, length, -1)


class FaceAdapter(nn.Module):
    """Temporal modelling of the face: learned queries attend over the frames, then two linear layers."""

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__()
        width = config.face_width
        self.query_tokens = nn.Parameter(torch.empty(config.face_tokens, width))
        self.attention = CrossAttention(width, config.face_heads, batch_first=True)
        self.projection = nn.Sequential(
            nn.Linear(width, config.face_hidden_width),
            nn.GELU(),
            nn.Dropout(config.face_dropout),
            nn.Linear(config.face_hidden_width, config.text_config.hidden_size),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, T, D] -> tokens [B, N, D of the language model]."""
        queries = self.query_tokens.expand(features.shape[0], -1, -1)  # [B, N, D]
        pooled, _ = self.attention(queries, features, features, need_weights=False)  # [B, N, D]
        tokens: Tensor = self.projection(pooled)
        return tokens

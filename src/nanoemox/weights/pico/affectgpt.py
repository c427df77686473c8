"""AffectGPT's adapters, fusion and pictures (arXiv 2501.16566), for models converted from its official weights.

Light-MER (arXiv 2607.12787) has the same.

They stand apart from adapters.py and fusion.py, and a configuration asks for them by name (`…_type`), so that
whoever reads or trains the paper's model never meets them. Order of operations as in its official code.
Letters: B batch, T time steps (frames or audio windows), C audio windows, N tokens, D width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .adapters import QFormerAdapter
from .configuration_nanoemox import NanoEmoXConfig

MAX_FUSION_STEPS = 264  # rows of the position embedding over both streams
_PIXEL_WEIGHT = 1 << 11  # OpenCV weighs pixels in 2048ths


class AttentionAdapter(nn.Module):
    """One linear map weighs each time step (no softmax); the weighted sum is projected and repeated.

    Args:
        config: sizes of the language model.
        feature_width: width of the features that are read (D).
        max_steps: not used here; the Q-Former's adapter needs it.
        num_tokens: how often the one token is repeated (N).
    """

    def __init__(self, config: NanoEmoXConfig, feature_width: int, max_steps: int, num_tokens: int) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.weigh = nn.Linear(feature_width, 1)
        self.projection = nn.Linear(feature_width, config.text_config.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, T, D] -> tokens [B, N, D of the language model], all alike."""
        pooled = (features * self.weigh(features)).sum(dim=1)  # [B, D]
        token: Tensor = self.projection(pooled)  # [B, D of the language model]
        return token[:, None].expand(-1, self.num_tokens, -1)


class AttentionFusion(nn.Module):
    """Both streams' means at one width, mixed by two weights (no softmax) that depend on both."""

    def __init__(self, config: NanoEmoXConfig) -> None:
        super().__init__()
        width = max(config.video_width, config.audio_config.hidden_size)
        self.num_tokens = config.fusion_tokens
        self.video_embedding = nn.Linear(config.video_width, width)
        self.audio_embedding = nn.Linear(config.audio_config.hidden_size, width)
        self.compare = nn.Linear(2 * width, width)
        self.weigh = nn.Linear(width, 2)
        self.projection = nn.Linear(width, config.text_config.hidden_size)

    def forward(self, video_features: Tensor, audio_features: Tensor) -> tuple[Tensor, None]:
        """Features [B, T, D] and [B, C, D] -> tokens [B, N, D of the language model], no gate."""
        token = self.projection(self.mix(video_features, audio_features))  # [B, D of the language model]
        return token[:, None].expand(-1, self.num_tokens, -1), None

    def mix(self, video_features: Tensor, audio_features: Tensor) -> Tensor:
        """Features [B, T, D] and [B, C, D] -> [B, D]."""
        video = self.video_embedding(video_features.mean(dim=1))  # [B, D]
        audio = self.audio_embedding(audio_features.mean(dim=1))  # [B, D]
        weights = self.weigh(self.compare(torch.cat([video, audio], dim=-1)))  # [B, 2], video first
        mixed: Tensor = video * weights[:, :1] + audio * weights[:, 1:]
        return mixed


class QFormerFusion(QFormerAdapter):
    """Both streams at one width, one after the other in time, read by one Q-Former."""

    def __init__(self, config: NanoEmoXConfig) -> None:
        width = max(config.video_width, config.audio_config.hidden_size)
        super().__init__(config, width, MAX_FUSION_STEPS, config.fusion_tokens)
        self.video_embedding = nn.Linear(config.video_width, width)
        self.audio_embedding = nn.Linear(config.audio_config.hidden_size, width)

    def forward(self, video_features: Tensor, audio_features: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """Features [B, T, D] and [B, C, D] -> tokens [B, N, D of the language model], no gate."""
        streams = [self.video_embedding(video_features), self.audio_embedding(audio_features)]
        joined = torch.cat(streams, dim=1)  # [B, T + C, D]
        return super().forward(joined), None


# ---------------------------------------------------------------------- pictures
def opencv_resized(frames: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Frames [T, H, W, 3] -> [T, side, side, 3], as OpenCV resizes bytes (bilinear), whatever shape a frame has."""
    if frames.shape[1:3] == (side, side):
        return frames
    rows, below, of_rows = _neighbours(frames.shape[1], side)
    columns, right, of_columns = _neighbours(frames.shape[2], side)
    enlarged = []
    for frame in frames.astype(np.int32):  # [H, W, 3]
        wide = frame[:, columns] * of_columns[0][:, None] + frame[:, right] * of_columns[1][:, None]
        upper, lower = (
            ((part >> 4) * weight[:, None, None]) >> 16
            for part, weight in ((wide[rows], of_rows[0]), (wide[below], of_rows[1]))
        )
        enlarged.append((upper + lower + 2) >> 2)
    return np.stack(enlarged).astype(np.uint8)


def _neighbours(length: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """For each new pixel of a line: the two old ones it lies between, and their weights [2, side]."""
    at = ((np.arange(side) + 0.5) * (length / side) - 0.5).astype(np.float32)
    first = np.floor(at).astype(np.int64)
    share = at - first.astype(np.float32)
    share[first < 0] = 0
    share[first >= length - 1] = 0
    first = first.clip(0, length - 1)
    weights = np.rint(np.stack([1 - share, share]) * _PIXEL_WEIGHT).astype(np.int32)
    return first, (first + 1).clip(max=length - 1), weights

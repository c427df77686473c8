"""Small networks for audio, a frame of the video, or text, trained from nothing on a few hundred clips.

What makes so few clips enough is augmentation: every time that a clip is seen, another view of it is drawn. Letters in
shapes: B batch, M mel bands, S time steps, H, W pixels, N n-grams, K classes, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nanoemox.baselines.classical import FRAME_SIDE_PX, letter_tfidf, word_tfidf

BANDS = 48  # M
DROPPED = (0.2, 0.3, 0.5)  # the share of n-grams that a view leaves out: words, letters, earlier words


def _block(wide: int, out: int, pool: int = 2) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(wide, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(pool)
    )


class AudioNet(nn.Module):
    """Four convolutions over the mel bands; a linear head reads the mean and the deviation over time."""

    def __init__(self, classes: int, width: int = 96) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            _block(16, 32),
            _block(32, 64),
            _block(64, width),
        )
        self.dropout = nn.Dropout(0.4)
        self.head = nn.Linear(2 * width * (BANDS // 16), classes)

    def forward(self, energy_db: Tensor) -> Tensor:
        """[B, M, S] -> [B, K]."""
        maps = self.features(energy_db[:, None]).flatten(1, 2)  # [B, D * M / 16, S / 16]
        pooled = torch.cat([maps.mean(dim=2), maps.std(dim=2, unbiased=False)], dim=1)
        return self.head(self.dropout(pooled))


class FrameNet(nn.Module):
    """Four convolutions over a grey frame, and a linear head."""

    def __init__(self, classes: int, width: int = 96) -> None:
        super().__init__()
        self.features = nn.Sequential(_block(1, 16), _block(16, 32), _block(32, 64), _block(64, width))
        self.dropout = nn.Dropout(0.4)
        self.head = nn.Linear(width * 16, classes)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, 64, 64] -> [B, K]."""
        centred = frames - frames.mean(dim=(1, 2), keepdim=True)
        scaled = centred / (centred.std(dim=(1, 2), keepdim=True) + 1e-3)
        return self.head(self.dropout(self.features(scaled[:, None]).flatten(1)))


class TextNet(nn.Module):
    """Every n-gram votes for classes, and a hidden layer reads all n-grams together.

    Args:
        classes: The number of classes, K.
        sizes: How many n-grams of each kind there are.
        width: What the hidden layer keeps of each kind, D.
    """

    def __init__(self, classes: int, sizes: Sequence[int], width: int = 48) -> None:
        super().__init__()
        votes = [nn.EmbeddingBag(size, classes, mode="sum") for size in sizes]
        bags = [nn.EmbeddingBag(size, width, mode="sum") for size in sizes]
        for vote, bag in zip(votes, bags, strict=True):
            nn.init.zeros_(vote.weight)
            nn.init.normal_(bag.weight, std=0.1)
        self.votes, self.bags = nn.ModuleList(votes), nn.ModuleList(bags)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(len(sizes) * width, classes)
        nn.init.zeros_(self.head.weight)

    def forward(self, *bags: Tensor) -> Tensor:
        """Of each kind of n-gram: columns [N], where each row begins [B], and weights [N] -> [B, K]."""
        kinds = list(zip(bags[::3], bags[1::3], bags[2::3], strict=True))
        hidden, votes = (
            [
                table(at, first, per_sample_weights=by)
                for table, (at, first, by) in zip(some, kinds, strict=True)
            ]
            for some in (self.bags, self.votes)
        )
        return self.head(functional.relu(self.dropout(torch.cat(hidden, dim=1)))) + torch.stack(votes).sum(0)


# ---------------------------------------------------------------- text as rows of TF-IDF


class TextRows:
    """TF-IDF of a line's words, of its letters, and of the words of the turns before it, fitted on training lines.

    Earlier turns are left out where the training lines have none, or none with a word that two lines share.
    """

    def __init__(self, lines: Sequence[tuple[str, str]]) -> None:
        self._kinds: list[tuple[int, Any, float]] = []  # which text of a line, the vectorizer, DROPPED
        kinds = ((0, word_tfidf()), (0, letter_tfidf()), (1, word_tfidf(least=2)))
        for (column, vectorizer), drop in zip(kinds, DROPPED, strict=True):
            try:
                vectorizer.fit([line[column] for line in lines])
            except ValueError:  # how scikit-learn says that no n-gram is left
                continue
            self._kinds.append((column, vectorizer, drop))
        self.sizes = [len(vectorizer.vocabulary_) for _, vectorizer, _ in self._kinds]

    def rows(self, lines: Sequence[tuple[str, str]]) -> list[Any]:
        """One sparse matrix [lines, N] of each kind of n-gram."""
        return [
            vectorizer.transform([line[column] for line in lines]).astype(np.float32)
            for column, vectorizer, _ in self._kinds
        ]

    def views(self, rows: Sequence[Any], random: torch.Generator | None) -> list[Tensor]:
        """What `TextNet` reads of some rows; with `random`, some n-grams are dropped and the others count more."""
        return [
            tensor
            for matrix, (_, _, drop) in zip(rows, self._kinds, strict=True)
            for tensor in bag_views(matrix, drop, random)
        ]


def bag_views(rows: Any, drop: float, random: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
    """Turn rows of TF-IDF into what an `EmbeddingBag` reads.

    Args:
        rows: A sparse matrix, [B, N], row by row.
        drop: The share of n-grams that a view leaves out.
        random: Draws the view; None leaves nothing out.

    Returns:
        The columns of all rows one after another, where each row begins [B], and the weight of each column.
    """
    columns, begins, weights = (
        torch.from_numpy(part)
        for part in (rows.indices.astype(np.int64), rows.indptr[:-1].astype(np.int64), rows.data)
    )
    if random is not None:
        weights = weights * (torch.rand(weights.shape, generator=random) >= drop) / (1 - drop)
    return columns, begins, weights


# ---------------------------------------------------------------- views of audio and frames


def audio_view(energy_db: Tensor, steps: int, random: torch.Generator | None) -> Tensor:
    """Cut a view out of a clip's log-mel energies, all views of the same length.

    With `random` it is louder or softer, faster or slower, higher or lower, in noise, and some bands and stretches
    of time are masked (SpecAugment, arXiv 1904.08779).

    Args:
        energy_db: The energies of a whole clip, [M, S].
        steps: How many time steps the view has.
        random: Draws the view; None takes the middle as it is.

    Returns:
        The view, [M, steps], with mean 0 and deviation 1.
    """
    bands = energy_db.shape[0]
    view = energy_db
    if random is not None:
        # Another speed and another pitch are another size of the image; then noise and loudness.
        slow, high, noise, gain = torch.rand(4, generator=random).tolist()
        size = (round(bands * (0.94 + 0.12 * high)), max(16, round(view.shape[1] * (0.9 + 0.2 * slow))))
        view = functional.interpolate(view[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        view = (
            view[:bands]
            if size[0] >= bands
            else functional.pad(view, (0, 0, 0, bands - size[0]), value=float(view.min()))
        )
        floor = view.max() - 35 - 50 * noise
        hiss = floor + 4 * torch.randn(view.shape, generator=random)
        view = torch.logaddexp(view * 0.2303, hiss * 0.2303) / 0.2303 + 12 * (gain - 0.5)
    view = (view - view.mean()) / (view.std() + 1e-3)
    # Cut out `steps`, or fill up with silence.
    extra = view.shape[1] - steps
    if extra > 0:
        start = _below(extra + 1, random) if random is not None else extra // 2
        view = view[:, start : start + steps]
    elif extra < 0:
        before = _below(1 - extra, random) if random is not None else -extra // 2
        view = functional.pad(view, (before, -extra - before), value=float(view.min()))
    if random is not None:
        view = view.clone()
        for _ in range(2):
            wide, long = _below(bands // 8, random), _below(steps // 8, random)
            band, step = _below(bands - wide, random), _below(steps - long, random)
            view[band : band + wide] = 0
            view[:, step : step + long] = 0
    return view


def frame_views(frames: Tensor, random: torch.Generator | None) -> Tensor:
    """Frames [B, H, W] -> [B, 64, 64]: the middle; with `random`, mirrored, turned, moved, zoomed, brighter or
    darker, and with a part erased."""
    side = FRAME_SIDE_PX
    count, height = frames.shape[:2]
    if random is None:
        first = (height - side) // 2
        return frames[:, first : first + side, first : first + side]
    # One affine map a frame turns, mirrors, moves and zooms at once.
    draws = torch.rand(8, count, generator=random)
    turn, zoom = (draws[0] - 0.5) * math.radians(30), 0.78 + 0.24 * draws[1]
    mirror = torch.where(draws[2] < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    shift = (draws[3:5] - 0.5) * 0.2
    rows = torch.stack([cos * mirror, -sin, shift[0], sin * mirror, cos, shift[1]], dim=1).view(count, 2, 3)
    grid = functional.affine_grid(rows, [count, 1, side, side], align_corners=False)
    views = functional.grid_sample(frames[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    # Brightness, noise, and in every second frame an erased rectangle.
    views = views.clamp(1e-3, 1) ** torch.exp(draws[5] - 0.5)[:, None, None]
    views = views + 0.04 * torch.randn(views.shape, generator=random) * draws[6][:, None, None]
    for i in range(count):
        if draws[7, i] < 0.5:
            tall, wide = 8 + _below(16, random), 8 + _below(16, random)
            top, left = _below(side - tall, random), _below(side - wide, random)
            views[i, top : top + tall, left : left + wide] = views[i].mean()
    return views


def _below(high: int, random: torch.Generator) -> int:
    return int(torch.randint(max(1, high), (1,), generator=random))

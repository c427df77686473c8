"""Small encoders for a face, a voice or words, trained from nothing on a few hundred clips: each with a linear head.

What makes so few clips enough is augmentation, drawn anew every time a clip is seen. Letters: B batch, M mel bands,
S steps of time, H, W pixels, N n-grams, K classes, D width.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn import functional

BANDS = 48  # M


def _block(wide: int, out: int, pool: int = 2) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(wide, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(pool)
    )


class VoiceNet(nn.Module):
    """Loudness of mel bands over time -> mean and spread over time of what four convolutions make of it."""

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

    def forward(self, loudness: Tensor) -> Tensor:
        """[B, M, S] -> [B, K]."""
        maps = self.features(loudness[:, None]).flatten(1, 2)  # [B, D * M / 16, S / 16]
        pooled = torch.cat([maps.mean(dim=2), maps.std(dim=2, unbiased=False)], dim=1)
        return self.head(self.dropout(pooled))


class FaceNet(nn.Module):
    """A grey picture -> the mean over its places of what four convolutions make of it."""

    def __init__(self, classes: int, width: int = 96) -> None:
        super().__init__()
        self.features = nn.Sequential(_block(1, 16), _block(16, 32), _block(32, 64), _block(64, width))
        self.dropout = nn.Dropout(0.4)
        self.head = nn.Linear(width * 16, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, 64, 64] -> [B, K]."""
        centred = pictures - pictures.mean(dim=(1, 2), keepdim=True)
        scaled = centred / (centred.std(dim=(1, 2), keepdim=True) + 1e-3)
        return self.head(self.dropout(self.features(scaled[:, None]).flatten(1)))


class Terms:
    """Which n-grams count, and how much (TF-IDF): those that `least` of the texts have, more the fewer have them."""

    def __init__(self, texts: Sequence[Sequence[int]], least: int) -> None:
        having = Counter(gram for text in texts for gram in set(text))
        known = sorted(gram for gram, number in having.items() if number >= least)
        self._place = {gram: i for i, gram in enumerate(known, 1)}  # 0 is nothing
        self._rarity = [1 + math.log((1 + len(texts)) / (1 + having[gram])) for gram in known]

    def row(self, text: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Hashed n-grams -> their places and what each counts, both [N], the latter of length 1."""
        said = Counter(self._place[gram] for gram in text if gram in self._place)
        counts = [(1 + math.log(number)) * self._rarity[place - 1] for place, number in said.items()]
        return torch.tensor(list(said) or [0]), functional.normalize(torch.tensor(counts or [0.0]), dim=0)


class WordsNet(nn.Module):
    """Words, pieces of words, and words said before -> a vote of each for each class, and a hidden layer over all."""

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

    def forward(self, *rows: Tensor) -> Tensor:
        """Places and weights of words, of pieces and of words before, each [B, N] -> [B, K]."""
        pairs = list(zip(rows[::2], rows[1::2], strict=True))
        hidden = [bag(at, per_sample_weights=by) for bag, (at, by) in zip(self.bags, pairs, strict=True)]
        votes = [vote(at, per_sample_weights=by) for vote, (at, by) in zip(self.votes, pairs, strict=True)]
        return self.head(functional.relu(self.dropout(torch.cat(hidden, dim=1)))) + torch.stack(votes).sum(0)


# ---------------------------------------------------------------- views


def voice_view(loudness: Tensor, steps: int, random: torch.Generator | None) -> Tensor:
    """Loudness [M, S] -> [M, steps]: with `random`, louder or softer, faster or slower, higher or lower, in noise,
    with bands and stretches masked (SpecAugment, arXiv 1904.08779)."""
    bands = loudness.shape[0]
    view = loudness
    if random is not None:
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


def face_views(pictures: Tensor, random: torch.Generator | None, side: int = 64) -> Tensor:
    """VideoFrames [B, H, W] -> [B, 64, 64]: the middle; with `random`, mirrored, turned, moved, zoomed, brighter or
    darker, with a part erased."""
    count, height = pictures.shape[:2]
    if random is None:
        first = (height - side) // 2
        return pictures[:, first : first + side, first : first + side]
    draws = torch.rand(8, count, generator=random)
    turn, zoom = (draws[0] - 0.5) * math.radians(30), (0.78 + 0.24 * draws[1]) * side / height * height / side
    mirror = torch.where(draws[2] < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    shift = (draws[3:5] - 0.5) * 0.2
    rows = torch.stack([cos * mirror, -sin, shift[0], sin * mirror, cos, shift[1]], dim=1).view(count, 2, 3)
    grid = functional.affine_grid(rows * 1.0, [count, 1, side, side], align_corners=False)
    views = functional.grid_sample(pictures[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    views = views.clamp(1e-3, 1) ** torch.exp((draws[5] - 0.5) * 1.0)[:, None, None]
    views = views + 0.04 * torch.randn(views.shape, generator=random) * draws[6][:, None, None]
    for i in range(count):
        if draws[7, i] < 0.5:
            tall, wide = 8 + _below(16, random), 8 + _below(16, random)
            top, left = _below(side - tall, random), _below(side - wide, random)
            views[i, top : top + tall, left : left + wide] = views[i].mean()
    return views


def word_grams(text: str) -> list[int]:
    """The hashed words and pairs of words of a text."""
    words = _words(text)
    return _hashed([*words, *(f"{a} {b}" for a, b in zip(["^", *words], [*words, "$"], strict=True))])


def letter_grams(text: str) -> list[int]:
    """The hashed pieces of 2 to 5 letters of its words."""
    framed = [f"<{word}>" for word in _words(text)]
    return _hashed(
        [word[i : i + n] for word in framed for n in (2, 3, 4, 5) for i in range(len(word) - n + 1)]
    )


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else f" {c} " for c in text.lower()).split()


def _hashed(grams: Sequence[str]) -> list[int]:
    return [crc32(gram.encode()) for gram in grams]


def bag_views(
    rows: Sequence[tuple[Tensor, Tensor]], drop: float, random: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Places and weights [B, N], the shorter rows filled up; with `random`, some are dropped and the others grow."""
    places, weights = (
        nn.utils.rnn.pad_sequence(list(column), batch_first=True) for column in zip(*rows, strict=True)
    )
    if random is not None:
        weights = weights * (torch.rand(weights.shape, generator=random) >= drop) / (1 - drop)
    return places, weights


def _below(high: int, random: torch.Generator) -> int:
    return int(torch.randint(max(1, high), (1,), generator=random))

"""Classical classifiers that a small network has to beat: a few fixed numbers of each clip, and scikit-learn.

Voice: mean, spread and spread of the slope of twenty mel-frequency cepstra (60 numbers). Face: histograms of oriented
gradients of a grey 64 x 64 picture. Words: TF-IDF of words (1 to 2) and letters (2 to 5).
Letters: L samples, M mel bands, S steps of time, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

Array = NDArray[np.float32]
FACE_SIDE = 64


# ---------------------------------------------------------------- numbers of a clip


@cache
def mel_bands(bands: int, window: int, rate_hz: int = 16_000) -> Array:
    """Triangular filters over a spectrum, [M, window / 2 + 1], of equal area (Slaney's scale)."""
    step, knee, log_step = 200 / 3, 1000.0, np.log(6.4) / 27

    def to_mel(hz: float) -> float:
        return hz / step if hz < knee else knee / step + float(np.log(hz / knee)) / log_step

    mels = np.linspace(to_mel(0), to_mel(rate_hz / 2), bands + 2)
    hz = np.where(mels < knee / step, mels * step, knee * np.exp(log_step * (mels - knee / step)))
    at = np.linspace(0, rate_hz / 2, window // 2 + 1)
    rising = (at - hz[:-2, None]) / np.diff(hz)[:-1, None]
    falling = (hz[2:, None] - at) / np.diff(hz)[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (hz[2:] - hz[:-2]))[:, None]
    return filters.astype(np.float32)


def log_mel(sound: Array, bands: int, window: int, hop: int) -> Array:
    """Sound [L] -> loudness of each band in decibels, [M, S]."""
    padded = np.pad(sound, window // 2)
    steps = 1 + (len(padded) - window) // hop
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][:steps]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(window + 1)[:-1], axis=1)) ** 2
    return (10 * np.log10(np.maximum(mel_bands(bands, window) @ spectrum.T, 1e-10))).astype(np.float32)


def voice_numbers(sound: Array) -> Array:
    """Sound [L] at 16 kHz -> 60 numbers."""
    loudness = log_mel(sound, 128, 2048, 512)
    loudness = np.maximum(loudness, loudness.max() - 80)
    cepstra = dct(loudness, axis=0, norm="ortho")[:20]
    slope = np.gradient(cepstra, axis=1) if cepstra.shape[1] > 1 else np.zeros_like(cepstra)
    return np.concatenate([cepstra.mean(1), cepstra.std(1), slope.std(1)]).astype(np.float32)


def face_numbers(picture: Array) -> Array:
    """Grey picture [64, 64] in 0..1 -> gradients by direction: cells of 8 x 8, 9 directions, blocks of 2 x 2 cells."""
    down, across = np.gradient(np.sqrt(picture))
    strength = np.hypot(across, down)
    angle = np.rad2deg(np.arctan2(down, across)) % 180
    place = (angle / 20).astype(int) % 9
    cells = FACE_SIDE // 8
    histogram = np.zeros((cells, cells, 9), dtype=np.float32)
    for direction in range(9):
        part = np.where(place == direction, strength, 0).reshape(cells, 8, cells, 8)
        histogram[..., direction] = part.mean(axis=(1, 3))
    blocks = np.lib.stride_tricks.sliding_window_view(histogram, (2, 2), axis=(0, 1))
    blocks = np.moveaxis(blocks, 2, -1).reshape(-1, 36)
    blocks = blocks / np.sqrt((blocks**2).sum(1, keepdims=True) + 1e-10)
    blocks = np.minimum(blocks, 0.2)
    return (blocks / np.sqrt((blocks**2).sum(1, keepdims=True) + 1e-10)).reshape(-1).astype(np.float32)


# ---------------------------------------------------------------- classifiers


def baselines(sense: str) -> dict[str, tuple[Any, Any, tuple[float, ...]]]:
    """By name: what turns numbers or texts into rows, what labels rows, and the values of C to choose from."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_union
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    linear = LogisticRegression(max_iter=500, tol=1e-3, class_weight=None if sense == "words" else "balanced")
    if sense == "words":
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[?!]")
        letters = TfidfVectorizer(ngram_range=(2, 5), analyzer="char_wb", sublinear_tf=True, min_df=2)
        return {"TF-IDF, logistic regression": (make_union(words, letters), linear, (1.0, 5.0, 25.0))}
    if sense == "face":
        return {"HOG, logistic regression": (StandardScaler(), linear, (1e-4, 1e-3, 1e-2))}
    return {
        "MFCC, logistic regression": (StandardScaler(), linear, (0.01, 0.1, 1.0, 10.0)),
        "MFCC, SVM": (StandardScaler(), SVC(class_weight="balanced"), (0.1, 1.0, 10.0, 100.0)),
    }


def fit_and_say(
    baseline: tuple[Any, Any, tuple[float, ...]],
    clips: Sequence[Any],
    labels: Sequence[str],
    groups: Sequence[str],
    tested: Sequence[Any],
    seed: int,
) -> list[str]:
    """Fit with the C that is best on held-out groups of the training part, and label the tested clips."""
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

    prepare, classifier, strengths = baseline
    rows = prepare.fit_transform(clips)
    inner = StratifiedGroupKFold(3, shuffle=True, random_state=seed)
    search = GridSearchCV(classifier, {"C": strengths}, scoring="accuracy", cv=inner)
    search.fit(rows, list(labels), groups=list(groups))
    return [str(label) for label in search.predict(prepare.transform(tested))]

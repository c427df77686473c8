"""Classical classifiers that a small network has to beat: a few fixed numbers of each clip, and scikit-learn.

Audio: the mean, the standard deviation and the deviation of the slope of twenty mel-frequency cepstral coefficients
(60 numbers). Video: histograms of oriented gradients (HOG) of one grey frame of 64 x 64 pixels. Text: TF-IDF of words
and of letters. Letters in shapes: L samples, M mel bands, S time steps.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from nanoemox.media.clip import SAMPLE_RATE_HZ

Array = NDArray[np.float32]
FRAME_SIDE_PX = 64  # of the grey frame that HOG and the network read


# ---------------------------------------------------------------- numbers of a clip


@cache
def _mel_filters(bands: int, window: int) -> NDArray[np.float64]:
    """Triangular filters of equal area on Slaney's mel scale, from 0 Hz to 8 kHz, [window / 2 + 1, M]."""
    highest_hz = SAMPLE_RATE_HZ / 2
    return mel_filter_bank(
        window // 2 + 1, bands, 0.0, highest_hz, SAMPLE_RATE_HZ, norm="slaney", mel_scale="slaney"
    )


def log_mel(audio: Array, bands: int, window: int, hop: int) -> Array:
    """Compute the energy of each mel band over time, in decibels.

    Args:
        audio: The samples at 16 kHz, [L].
        bands: The number of mel bands, M.
        window: The length of the Hann window of each step, in samples.
        hop: How many samples lie between two steps.

    Returns:
        The energies, [M, S].
    """
    return spectrogram(
        audio,
        window_function(window, "hann"),
        frame_length=window,
        hop_length=hop,
        power=2.0,
        pad_mode="constant",
        mel_filters=_mel_filters(bands, window),
        log_mel="dB",
    )


def mfcc_statistics(audio: Array) -> Array:
    """Audio [L] at 16 kHz -> 60 numbers: mean, deviation and deviation of the slope of 20 coefficients."""
    energy_db = log_mel(audio, 128, 2048, 512)
    energy_db = np.maximum(energy_db, energy_db.max() - 80)
    cepstra = dct(energy_db, axis=0, norm="ortho")[:20]
    slope = np.gradient(cepstra, axis=1) if cepstra.shape[1] > 1 else np.zeros_like(cepstra)
    return np.concatenate([cepstra.mean(1), cepstra.std(1), slope.std(1)]).astype(np.float32)


def gradient_histograms(frame: Array) -> Array:
    """Grey frame [64, 64] in 0..1 -> HOG: cells of 8 x 8 pixels, 9 directions, blocks of 2 x 2 cells."""
    down, across = np.gradient(np.sqrt(frame))
    strength = np.hypot(across, down)
    angle = np.rad2deg(np.arctan2(down, across)) % 180
    place = (angle / 20).astype(int) % 9
    cells = FRAME_SIDE_PX // 8
    histogram = np.zeros((cells, cells, 9), dtype=np.float32)
    for direction in range(9):
        part = np.where(place == direction, strength, 0).reshape(cells, 8, cells, 8)
        histogram[..., direction] = part.mean(axis=(1, 3))
    blocks = np.lib.stride_tricks.sliding_window_view(histogram, (2, 2), axis=(0, 1))
    blocks = np.moveaxis(blocks, 2, -1).reshape(-1, 36)
    blocks = blocks / np.sqrt((blocks**2).sum(1, keepdims=True) + 1e-10)
    blocks = np.minimum(blocks, 0.2)
    return (blocks / np.sqrt((blocks**2).sum(1, keepdims=True) + 1e-10)).reshape(-1).astype(np.float32)


def word_tfidf(least: int = 1) -> Any:
    """TF-IDF of words and of pairs of words that at least `least` texts have, not fitted yet."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[?!]", min_df=least
    )


def letter_tfidf(least: int = 2) -> Any:
    """TF-IDF of two to five letters of a word that at least `least` texts have, not fitted yet."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(2, 5), analyzer="char_wb", sublinear_tf=True, min_df=least)


# ---------------------------------------------------------------- classifiers


class Baseline(NamedTuple):
    """A classifier of scikit-learn. features: what turns clips into rows; strengths: the values of C to choose from."""

    features: Any
    classifier: Any
    strengths: tuple[float, ...]


def baselines(modality: str) -> dict[str, Baseline]:
    """The classifiers of a modality (audio, video or text) by name, not fitted yet."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_union
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    linear = LogisticRegression(
        max_iter=500, tol=1e-3, class_weight=None if modality == "text" else "balanced"
    )
    if modality == "text":
        features = make_union(word_tfidf(), letter_tfidf())
        return {"TF-IDF, logistic regression": Baseline(features, linear, (1.0, 5.0, 25.0))}
    if modality == "video":
        return {"HOG, logistic regression": Baseline(StandardScaler(), linear, (1e-4, 1e-3, 1e-2))}
    svm = SVC(class_weight="balanced")
    return {
        "MFCC, logistic regression": Baseline(StandardScaler(), linear, (0.01, 0.1, 1.0, 10.0)),
        "MFCC, SVM": Baseline(StandardScaler(), svm, (0.1, 1.0, 10.0, 100.0)),
    }


def fit_and_predict(
    baseline: Baseline,
    clips: Sequence[Any],
    labels: Sequence[str],
    groups: Sequence[str],
    tested: Sequence[Any],
    seed: int,
) -> list[str]:
    """Fit a classifier, with the C that is best on held-out groups of the training part, and label other clips.

    Args:
        baseline: What to fit.
        clips: What the classifier reads of each training clip.
        labels: The label of each training clip.
        groups: Who speaks in each training clip: a speaker is never on both sides when C is chosen.
        tested: What the classifier reads of each clip to label.
        seed: The seed of the inner folds.

    Returns:
        One label for each of `tested`.
    """
    from sklearn.model_selection import GridSearchCV

    try:
        rows = baseline.features.fit_transform(clips)
    except ValueError:  # how scikit-learn says that no two texts share an n-gram: words alone, then
        baseline = baseline._replace(features=word_tfidf())
        rows = baseline.features.fit_transform(clips)
    chosen = baseline.classifier.set_params(C=baseline.strengths[len(baseline.strengths) // 2])
    if inner := _inner_folds(labels, groups, seed):
        search = GridSearchCV(baseline.classifier, {"C": baseline.strengths}, scoring="accuracy", cv=inner)
        chosen = search
    chosen.fit(rows, list(labels))
    return [str(label) for label in chosen.predict(baseline.features.transform(tested))]


def _inner_folds(labels: Sequence[str], groups: Sequence[str], seed: int) -> list[tuple[Any, Any]]:
    """Three folds of groups, or two, to choose C on; none where a fold would be empty or trained on one label."""
    from sklearn.model_selection import StratifiedGroupKFold

    number = min(3, len(set(groups)), max(Counter(labels).values()))
    if number < 2:
        return []
    dealt = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # that a label has fewer clips than there are folds
        warnings.simplefilter("ignore", UserWarning)
        found = list(dealt.split(list(labels), list(labels), list(groups)))
    usable = all(len(held) and len({labels[row] for row in rows}) > 1 for rows, held in found)
    return found if usable else []

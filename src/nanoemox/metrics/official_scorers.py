"""The figures of the official scorers, digit for digit, with their quirks.

Every function takes a mapping of clip names to the truth and one to the predictions, and gives plain floats in
the scale of the official code: fractions for hit rates, set scores and sentiment, percent rounded to two digits for
intents and AvaMERG. NaN stands where the official code gives NaN. Sources: `evaluation-scoreonly.py`, `evaluation/`
and `my_affectgpt/evaluation/` of the official code (commit b08f985). What is unsound here is explained in
docs/scoring.md and left as it is; the sound definitions are in `metrics` and `scoring`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from nanoemox.metrics.word_lists import AvaMergTables, WordLists

LabelText = str | Sequence[str]  # "[a, b]", "a, b" or a list
NEUTRAL = "neutral"


def label_list(text: LabelText) -> list[str]:
    """What the official code reads as a list of labels: one pair of brackets off, commas, blanks and quotes."""
    if not isinstance(text, str):
        return list(text)
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return [part for part in (_unquoted(part) for part in text.split(",")) if part]


def _unquoted(part: str) -> str:
    part = part.strip()
    for quote in "'\"":
        part = part.strip(quote)
    return part.strip()


def clusters(labels: LabelText, words: WordLists, level: int = 1) -> tuple[frozenset[str], ...]:
    """The set of clusters of some labels, one set a wheel; labels that a wheel lacks are dropped.

    Args:
        labels: A list of labels, or a text that holds one.
        words: The word lists of the official scorer.
        level: The level of the wheels, 1 or 2.

    Returns:
        One set of clusters a wheel.
    """
    mapped = [words.clusters(label, level) for label in label_list(labels)]
    return tuple(frozenset(m[i] for m in mapped if m[i] is not None) for i in range(len(words.wheels)))  # type: ignore[misc]


# ---------------------------------------------------------------- open vocabulary


def precision_recall(
    truth: Mapping[str, LabelText], predicted: Mapping[str, LabelText], words: WordLists, level: int = 1
) -> dict[str, list[tuple[float, float] | None]]:
    """(precision, recall) of each clip on each wheel; None where the truth has no cluster on a wheel.

    Args:
        truth: Clip name -> the true labels.
        predicted: Clip name -> the predicted labels.
        words: The word lists of the official scorer.
        level: The level of the wheels, 1 or 2.

    Returns:
        Clip name -> the pair (precision, recall) on each wheel, or None.
    """
    scores: dict[str, list[tuple[float, float] | None]] = {}
    for name, labels in truth.items():
        row: list[tuple[float, float] | None] = []
        for true, mine in zip(
            clusters(labels, words, level), clusters(predicted[name], words, level), strict=True
        ):
            hits = len(true & mine)
            row.append((hits / len(mine) if mine else 0.0, hits / len(true)) if true else None)
        scores[name] = row
    return scores


def open_vocabulary(
    truth: Mapping[str, LabelText], predicted: Mapping[str, LabelText], words: WordLists, level: int = 1
) -> tuple[float, float, float]:
    """Mean F, precision and recall over the wheels; F is NaN if any wheel has neither precision nor recall.

    Args:
        truth: Clip name -> the true labels.
        predicted: Clip name -> the predicted labels.
        words: The word lists of the official scorer.
        level: The level of the wheels, 1 or 2.

    Returns:
        F, precision and recall.
    """
    return set_means(precision_recall(truth, predicted, words, level))


def set_means(scores: Mapping[str, Sequence[tuple[float, float] | None]]) -> tuple[float, float, float]:
    """(F, precision, recall) from each clip's scores on each wheel."""
    per_wheel = wheel_means(scores)
    f = [2 * p * r / (p + r) if p + r else math.nan for p, r in per_wheel]
    return _mean(f), _mean([p for p, _ in per_wheel]), _mean([r for _, r in per_wheel])


def wheel_means(scores: Mapping[str, Sequence[tuple[float, float] | None]]) -> list[tuple[float, float]]:
    """Mean precision and recall on each wheel over the clips that count there."""
    size = max((len(row) for row in scores.values()), default=0)
    kept = [[row[i] for row in scores.values() if row[i] is not None] for i in range(size)]
    return [(_mean([p for p, _ in rows]), _mean([r for _, r in rows])) for rows in kept]  # type: ignore[misc]


# ---------------------------------------------------------------- hit rate


def hits(
    truth: Mapping[str, str], predicted: Mapping[str, LabelText], words: WordLists
) -> dict[str, list[tuple[int, float] | None]]:
    """(hit, mscore) of each clip on each wheel: whether the truth's cluster is among those predicted.

    `mscore` divides the hit by the number of clusters predicted that any candidate label has; candidates are
    looked up as they are spelt, so that "Happy" has no cluster there.

    Args:
        truth: Clip name -> the true label.
        predicted: Clip name -> the predicted labels.
        words: The word lists of the official scorer.

    Returns:
        Clip name -> the pair (hit, mscore) on each wheel, or None.
    """
    candidates = [frozenset[str]()] * len(words.wheels)
    for label in set(truth.values()):
        candidates = [
            known | ({c} if c is not None else set())
            for known, c in zip(candidates, _as_spelt(label, words), strict=True)
        ]
    scores: dict[str, list[tuple[int, float] | None]] = {}
    for name, label in truth.items():
        row: list[tuple[int, float] | None] = []
        for true, mine, known in zip(
            words.clusters(label), clusters(predicted[name], words), candidates, strict=True
        ):
            within = len(mine & known)
            hit = int(true in mine)
            row.append(None if true is None else (hit, hit / within if within else 0.0))
        scores[name] = row
    return scores


def _as_spelt(label: str, words: WordLists) -> tuple[str | None, ...]:
    known = label in words.forms
    return words.clusters(label) if known else (None,) * len(words.wheels)


def hit_rate(
    truth: Mapping[str, str], predicted: Mapping[str, LabelText], words: WordLists
) -> tuple[float, float, list[tuple[float, float]]]:
    """Mean hit rate and mscore over the wheels, and both on each wheel.

    Args:
        truth: Clip name -> the true label.
        predicted: Clip name -> the predicted labels.
        words: The word lists of the official scorer.

    Returns:
        Hit rate, mscore, and the pair of both on each wheel.
    """
    per_wheel = wheel_means(hits(truth, predicted, words))
    return _mean([h for h, _ in per_wheel]), _mean([m for _, m in per_wheel]), per_wheel


def hit_or_not(truth: LabelText, predicted: LabelText, words: WordLists) -> bool:
    """Whether two lists share a cluster on any wheel.

    A label that no wheel knows vanishes, also where both sides have it. The literal word "neutral", which no wheel
    knows either, stands for a cluster of its own, and an empty list stands for it.

    Args:
        truth: The true labels.
        predicted: The predicted labels.
        words: The word lists of the official scorer.

    Returns:
        Whether it is a hit.
    """
    pairs = zip(_with_neutral(truth, words), _with_neutral(predicted, words), strict=True)
    return any(true & mine for true, mine in pairs)


def _with_neutral(text: LabelText, words: WordLists) -> list[frozenset[str]]:
    """The clusters of one side on each wheel, with the literal word "neutral" among them where the side has it."""
    labels = label_list(text) or [NEUTRAL]
    own = {NEUTRAL} & set(labels)
    return [found | own for found in clusters(labels, words)]


# ---------------------------------------------------------------- sentiment and intent


def sentiment(truth: Mapping[str, float], predicted: Mapping[str, str]) -> tuple[float, float]:
    """Weighted F1 and accuracy of positive against the rest; a truth of 0 is left out.

    Only the exact words "positive" and "negative" count: "Positive" and "negative." are read as neutral, and
    neutral counts as negative.
    """
    valence = {"positive": 1, "negative": -1}
    kept = [name for name, value in truth.items() if value != 0]
    pairs = [(truth[name] > 0, valence.get(predicted[name], 0) > 0) for name in kept]
    _, f1, _ = _weighted([t for t, _ in pairs], [s for _, s in pairs])
    return f1, _accuracy(pairs)


def intent(
    truth: Mapping[str, str], predicted: Mapping[str, str], mapping: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Accuracy, weighted F1 and weighted precision in percent; clips without an answer are left out.

    `mapping` renames the predictions, not the truth.

    Args:
        truth: Clip name -> the true label.
        predicted: Clip name -> the prediction.
        mapping: Predicted label -> the label that it stands for.

    Returns:
        The three figures by their official names.
    """
    kept = [name for name in truth if name in predicted]
    mapping = mapping or {}
    expected = [truth[name] for name in kept]
    given = [mapping.get(predicted[name], predicted[name]) for name in kept]
    precision, f1, _ = _weighted(expected, given)
    accuracy = _accuracy(list(zip(expected, given, strict=True)))
    values = {"Intent_Accuracy": accuracy, "Weighted_F1": f1, "Weighted_Precision": precision}
    return {name: round(100 * (0.0 if math.isnan(value) else value), 2) for name, value in values.items()}


def _weighted(truth: Sequence[object], predicted: Sequence[object]) -> tuple[float, float, float]:
    """Precision, F1 and recall of each class, weighted by how often it is true; undefined ones are 0."""
    n = len(truth)
    if not n:
        return math.nan, math.nan, math.nan
    sums = np.zeros(3)
    for label in sorted(set(truth), key=str):
        true = sum(t == label for t in truth)
        mine = sum(s == label for s in predicted)
        both = sum(t == label and s == label for t, s in zip(truth, predicted, strict=True))
        sums += true * np.array([both / mine if mine else 0.0, 2 * both / (true + mine), both / true])
    precision, f1, recall = sums / n
    return float(precision), float(f1), float(recall)


def _accuracy(pairs: Sequence[tuple[object, object]]) -> float:
    return sum(t == s for t, s in pairs) / len(pairs) if pairs else math.nan


# ---------------------------------------------------------------- AvaMERG

_STATED = re.compile(r"the emotion of the speaker is\s+(\w+)", re.IGNORECASE)
_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)


def spoken_emotion(response: str, tables: AvaMergTables, mapping: Mapping[str, str] | None = None) -> str:
    """The emotion a response states inside its think block, else the first keyword found anywhere in it.

    Args:
        response: What the model wrote.
        tables: The tables of AvaMERG.
        mapping: Label found -> the label that it stands for.

    Returns:
        The label, or "unknown".
    """
    block = _THINK.search(response)
    stated = _STATED.search(block.group(1)) if block else None
    if stated:
        found = stated.group(1).lower()
    else:
        text = response.lower()
        found = next((label for label, keys in tables.keywords if any(k in text for k in keys)), "unknown")
    return (mapping or {}).get(found, found)


def emotion_rates(
    truth: Mapping[str, str], predicted: Mapping[str, str], tables: AvaMergTables
) -> tuple[float, float]:
    """Hit rate (equal after the eight-way projection) and accuracy in percent; KeyError as in the official code.

    Args:
        truth: Clip name -> the true label.
        predicted: Clip name -> the prediction.
        tables: The tables of AvaMERG.

    Returns:
        Hit rate and accuracy in percent.
    """
    names = [name for name in truth if name in predicted]
    project = tables.eight_way
    hit = [project[truth[name]] == project[predicted[name]] for name in names]
    same = [truth[name] == predicted[name] for name in names]
    rate, accuracy = (100 * sum(row) / len(row) if row else 0.0 for row in (hit, same))
    return rate, accuracy


def without_think(response: str) -> str:
    """A response without its think block, if that is closed."""
    return _THINK.sub("", response).strip()


def dist(responses: Sequence[str], n: int) -> float:
    """Mean share of distinct n-grams within a response; too short ones are left out."""
    shares = []
    for response in responses:
        words = response.lower().split()
        grams = list(zip(*(words[i:] for i in range(n)), strict=False))
        if grams:
            shares.append(len(set(grams)) / len(grams))
    return _mean(shares) if shares else 0.0


def projected_truth(truth: Mapping[str, str], tables: AvaMergTables) -> dict[str, str]:
    """What the official code takes for the truth: the label passed once through a table of two mixed levels.

    The answer is not passed through it, so that an answer equal to the raw label may count as wrong.
    """
    return {name: tables.ground_truth.get(label.lower(), label.lower()) for name, label in truth.items()}


def avamerg(
    truth: Mapping[str, str], responses: Mapping[str, str], tables: AvaMergTables
) -> dict[str, float]:
    """The four figures of AvaMERG in percent; `truth` as `projected_truth` gives it.

    Args:
        truth: Clip name -> the true label, as `projected_truth` gives it.
        responses: Clip name -> what the model wrote.
        tables: The tables of AvaMERG.

    Returns:
        The four figures by their official names.
    """
    predicted = {name: spoken_emotion(text, tables) for name, text in responses.items()}
    rate, accuracy = emotion_rates(truth, predicted, tables)
    texts = [without_think(text) for text in responses.values()]
    return {
        "Emotion_Accuracy": round(accuracy, 2),
        "Hitrate": round(rate, 2),
        "Dist-1": round(100 * dist(texts, 1), 2),
        "Dist-2": round(100 * dist(texts, 2), 2),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan

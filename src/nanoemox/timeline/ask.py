"""Windows asked of the model: their labels by likelihood alone, without writing a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Request
from nanoemox.metrics.emotion_lexicon import polarity
from nanoemox.tasks.closed import EMOTION
from nanoemox.tasks.sentiment import SENTIMENT, SIGNS
from nanoemox.tasks.task import TASKS
from nanoemox.timeline.rows import DIGITS, Row


@dataclass(frozen=True)
class Asked:
    """What is asked about each window, and the facts that its row gets beside the answers."""

    request: Request
    start_s: float
    end_s: float
    text: str | None = None
    speaker: str | None = None
    person: str | None = None
    speech: float | None = None
    box: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()


def tasks_of(analyzer: EmotionAnalyzer) -> list[str]:
    """The closed tasks that a timeline asks: emotion, and sentiment, where the model can tell their labels.

    It can where it was trained on the task, or where its folder says how an answer of its own ends with a label
    (Light-MER); `analyzer.tasks.warnings_of` tells the two apart.
    """
    able = [
        task.name
        for task in (EMOTION, SENTIMENT)
        if task.name in analyzer.tasks.trained or analyzer.tasks.by_likelihood(task)
    ]
    if EMOTION.name not in able:
        raise ArgumentError(
            f"{analyzer.name}: a timeline asks for the emotion, and this model was not trained on it (its tasks are "
            f"{', '.join(analyzer.tasks.trained) or 'none'}); choose another model"
        )
    return able


def untrained(analyzer: EmotionAnalyzer) -> dict[str, str]:
    """Code -> sentence, where the model tells labels that it was not trained to choose; else empty."""
    text = (
        "this model was not trained to choose one emotion: its labels are the likeliest ends of its open answer, and "
        "nobody has measured how good they are"
    )
    return {warning.code: text for warning in analyzer.tasks.warnings_of(EMOTION)}


def answered(analyzer: EmotionAnalyzer, asked: Sequence[Asked]) -> list[Row]:
    """Answer a batch of windows by the likelihood of each label; no token is decoded. Errors: NanoEmoXError."""
    if not asked:
        return []
    rows = []
    for each, scores in zip(asked, analyzer.label_scores([each.request for each in asked]), strict=True):
        shares = {
            task: shares_of(labels, analyzer.tasks.temperature(TASKS[task]))
            for task, labels in scores.items()
        }
        emotions, sentiment = shares[EMOTION.name], shares.get(SENTIMENT.name, {})
        rows.append(
            Row(
                start_s=each.start_s,
                end_s=each.end_s,
                emotion=max(emotions, key=emotions.__getitem__),
                probabilities=emotions,
                valence=valence_of(sentiment or emotions),
                sentiment=sentiment,
                text=each.text,
                speaker=each.speaker,
                person=each.person,
                speech=each.speech,
                box=each.box,
                warnings=each.warnings,
            )
        )
    return rows


def shares_of(scores: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Label -> log p of the whole answer, and what it is divided by -> label -> its share of 1."""
    shares = (torch.tensor(list(scores.values()), dtype=torch.float64) / temperature).softmax(dim=0).tolist()
    return {label: round(share, DIGITS) for label, share in zip(scores, shares, strict=True)}


def valence_of(shares: Mapping[str, float]) -> float:
    """How likely it is that what is felt is pleasant, minus how likely that it is unpleasant.

    The labels are polarities, or emotions, each of which counts with the polarity that the lexicon gives it.
    """
    signs = {label: SIGNS.get(label.casefold(), SIGNS.get(polarity(label) or "", 0.0)) for label in shares}
    return round(sum(share * signs[label] for label, share in shares.items()), DIGITS)

"""Reasons: which signs in face, voice, scene and words show the emotion, and which emotion it is.

A label has a text and, where they are known, cues by their source. Cues are scored as pairs (source, cue); a text is
scored by the clues and emotions that it shares with the answer, without a judge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from nanoemox.files.errors import ArgumentError
from nanoemox.media.clip import CodedWarning
from nanoemox.metrics import bootstrap, classification
from nanoemox.metrics.denials import has_denial
from nanoemox.metrics.label_names import EDGES, class_of
from nanoemox.metrics.reason_agreement import agreement
from nanoemox.metrics.suppositions import has_supposition
from nanoemox.metrics.text import cue_f1
from nanoemox.metrics.word_lists import WordLists
from nanoemox.tasks.base import TEXTS, Figures, Label, OfficialFigures, Sample, Task
from nanoemox.tasks.closed import EMOTION
from nanoemox.tasks.grammar import (
    FREE_TEXT,
    GRAMMAR,
    Answer,
    most_common,
)

if TYPE_CHECKING:
    from nanoemox.tasks.labels import Labels

SOURCES = ("face", "voice", "scene", "words")  # where a cue can come from, in the order of the answer
SOURCES_OF = {"video": ("face", "scene"), "audio": ("voice",), "text": ("words",)}
Text = Annotated[str, Field(min_length=1)]
_SECTION = re.compile(
    r"\b(face|voice|scene|words)\s*:\s*(.*?)(?=\b(?:face|voice|scene|words)\s*:|\btogether,?\s+(?:this|they|these)\b|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_POINTS = re.compile(r"\bpoints? to\s+(?:an?\s+|the emotion of\s+)?([^.\n]+)", re.IGNORECASE)


class Cues(BaseModel):
    """Signs of the emotion, by where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    face: list[Text] = []
    voice: list[Text] = []
    scene: list[Text] = []
    words: list[Text] = []

    def of(self, modalities: Collection[str] | None = None) -> dict[str, tuple[str, ...]]:
        """The cues that can be perceived through `modalities` (None: all), by source, without empty sources."""
        perceived = {
            source
            for modality, sources in SOURCES_OF.items()
            for source in sources
            if modalities is None or modality in modalities
        }
        found = {source: tuple(getattr(self, source)) for source in SOURCES if source in perceived}
        return {source: cues for source, cues in found.items() if cues}


class ReasoningLabel(Label):
    """The reasons as a text and, where they are known, as cues."""

    text: Text
    cues: Cues | None = None

    @property
    def by_source(self) -> dict[str, tuple[str, ...]]:
        """The cues by source, without empty sources."""
        return self.cues.of() if self.cues else {}


@dataclass(frozen=True, kw_only=True)
class Reasoning(Task[ReasoningLabel]):
    """The task."""

    form = ReasoningLabel
    headline = "cue_f1"
    card_figures = ("cue_f1", *(f"cue_f1_{source}" for source in SOURCES))
    watched_figures = ("cue_f1", "emotion_accuracy")
    compared_by = "F1 of the clip's cues, or agreement"
    page_part = "reasons"
    server_help = "judge"

    def target(self, labels: Labels, modalities: Collection[str] | None = None) -> str | None:
        mine = self.label(labels)
        if mine is None:
            return None
        return self._sentences(mine.cues.of(modalities), _emotion(labels)) if mine.cues else mine.text

    def _sentences(self, cues: Mapping[str, Sequence[str]], emotion: str | None) -> str | None:
        """One sentence a source, then the conclusion."""
        sentences = " ".join(f"{source.capitalize()}: {', '.join(found)}." for source, found in cues.items())
        if not sentences or not emotion:
            return sentences or None
        return self.answer.format(cues=sentences, label=emotion)

    def parse(self, text: str, candidates: Sequence[str] | None = None) -> Answer:
        text = text.strip()
        body = self.body(text)
        cues: dict[str, tuple[str, ...]] = {}
        for source, found in _SECTION.findall(body):
            stripped = (part.strip(EDGES).casefold() for part in found.split(","))
            parts = tuple(dict.fromkeys(part for part in stripped if part))
            if parts:
                cues[source.casefold()] = cues.get(source.casefold(), ()) + parts
        affirmed = [found for found in _POINTS.finditer(body) if not _doubted(body, found)]
        label = (affirmed[0].group(1).strip(EDGES).casefold() or None) if affirmed else None
        free = CodedWarning("no_cues", "no cues in the expected form; the text is free")
        return Answer(text=text, label=label, cues=cues, warnings=() if cues or not text else (free,))

    def route(self, answer: Answer) -> str:
        return GRAMMAR if answer.cues else FREE_TEXT

    # ------------------------------------------------------------ scoring

    def score(self, sample: Sample[ReasoningLabel]) -> Figures:
        """Cues where the labels have them, agreement with the text, and the emotion that the reasons point to."""
        return self._cue_figures(sample) | self._agreement(sample) | self._emotion_figure(sample)

    def _cue_figures(self, sample: Sample[ReasoningLabel]) -> Figures:
        known = sample.where(lambda case: bool(case.label.by_source))
        truth = [case.label.by_source for case in known.cases]
        given = [case.answer.cues for case in known.cases]
        figures: Figures = {}
        for source in (None, *SOURCES) if truth else ():
            name = f"cue_f1_{source}" if source else "cue_f1"
            figures[name] = cue_f1(truth, given, source, known.speakers, known.seed)
        return figures

    def _agreement(self, sample: Sample[ReasoningLabel]) -> Figures:
        found = [agreement(case.label.text, self.body(case.answer.text)) for case in sample.cases]
        parts = {
            "agreement": [each.both for each in found],
            "agreement_clues": [each.clues for each in found],
            "agreement_labels": [each.labels for each in found],
        }
        figures: Figures = {}
        for name, values in parts.items():
            known = [
                (value, who) for value, who in zip(values, sample.speakers, strict=True) if value is not None
            ]
            if known:
                kept, speakers = zip(*known, strict=True)
                figures[name] = bootstrap.mean(kept, speakers, sample.seed)
        return figures

    def _emotion_figure(self, sample: Sample[ReasoningLabel]) -> Figures:
        """Whether the reasons point to the clip's emotion; only where answers have the form that we train."""
        known = sample.where(lambda case: EMOTION.has_label(case.labels))
        ours = any(case.answer.label or case.answer.cues or case.failed for case in sample.cases)
        if not known.cases or not ours:
            return {}
        offered = [EMOTION.candidates(case.labels) for case in known.cases]
        cases = list(zip(known.cases, offered, strict=True))
        truth = [class_of(_emotion(case.labels), labels) for case, labels in cases]
        given = [class_of(case.answer.label, labels) for case, labels in cases]
        return {"emotion_accuracy": classification.accuracy(truth, given, known.speakers, known.seed)}

    def majority(self, train: Sequence[Labels]) -> Answer:
        """The most frequent cues of each source and the most frequent emotion; without cues, the commonest text."""
        known = self.labels_of(train)
        cues: dict[str, tuple[str, ...]] = {}
        for source in SOURCES:
            cues[source] = _best_prefix([mine.by_source.get(source, ()) for mine in known])
        emotion = most_common(_emotion(labels) for labels in train)
        named = {source: found for source, found in cues.items() if found}
        text = self._sentences(named, emotion) or most_common(mine.text for mine in known) or ""
        return Answer(text=text, label=emotion, cues=cues)

    def clip_score(self, label: ReasoningLabel, answer: Answer) -> float:
        if label.by_source:
            return cue_f1([label.by_source], [answer.cues])["value"] or 0.0
        return agreement(label.text, self.body(answer.text)).both or 0.0

    # ------------------------------------------------------------ files of other systems

    def label_from(self, text: str) -> ReasoningLabel | None:
        return ReasoningLabel(text=text)

    def reference(self, label: ReasoningLabel) -> str | None:
        return label.text

    def official(
        self, sample: Sample[ReasoningLabel], words: WordLists | None
    ) -> tuple[OfficialFigures, list[str]]:
        raise ArgumentError(
            f"{self.name}: the official scorer asks a judge; leave --mode out and give --server URL for one"
        )


def _doubted(body: str, points: re.Match[str]) -> bool:
    """Whether reasons do not point to an emotion, point to none, or only might point to one."""
    before = re.split(r"[.;:!?\n]", body[: points.start()])[-1]
    near = (" ".join(before.split()[-4:]), points.group(1))
    return any(has_denial(each) or has_supposition(each) for each in near)


def _emotion(labels: Labels) -> str | None:
    """The clip's emotion, which the reasons are to point to."""
    label = EMOTION.label(labels)
    return label.label if label else None


def _best_prefix(truth: Sequence[Iterable[str]]) -> tuple[str, ...]:
    """The first k cues by frequency, with the k that gives the best micro F1 as a constant answer."""
    sets = [set(cues) for cues in truth]
    counts = Counter(cue for cues in sets for cue in cues)
    ranked = sorted(counts, key=lambda cue: (-counts[cue], cue))
    total = sum(map(len, sets))
    best, score, hits = 0, 0.0, 0
    for k, cue in enumerate(ranked, 1):
        hits += counts[cue]
        f1 = 2 * hits / (total + k * len(sets))
        if f1 > score:
            best, score = k, f1
    return tuple(ranked[:best])


REASONING = Reasoning.from_yaml(TEXTS / "reasoning.yaml")

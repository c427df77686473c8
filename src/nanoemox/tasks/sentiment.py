"""Sentiment: is the person's feeling positive, neutral or negative; on request, a valence as a number.

Labels hold a polarity, a valence, or both; the polarity of a valence is its sign. Where the model has answered the
open-vocabulary question about the same clips, its words give a second polarity without being asked for one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from nanoemox.metrics import classification, official_scorers
from nanoemox.metrics.emotion_lexicon import polarity_of_labels
from nanoemox.metrics.label_names import bare, candidate_of
from nanoemox.metrics.word_lists import WordLists
from nanoemox.tasks.base import TEXTS, Figures, Label, OfficialFigures, Sample, defined
from nanoemox.tasks.closed import OFF_LIST, ClosedTask
from nanoemox.tasks.grammar import (
    GRAMMAR,
    LABEL_ROUTE,
    NO_ANSWER,
    NO_ROUTE,
    Answer,
    Fault,
    Match,
    Reading,
    is_framed,
    match_label,
    most_common,
    unframed,
)
from nanoemox.tasks.numbers import number_in, whole_number, without_scales
from nanoemox.tasks.open_vocabulary import OPEN_VOCABULARY

if TYPE_CHECKING:
    from nanoemox.tasks.labels import Labels

POLARITIES = ("negative", "neutral", "positive")
SIGNS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
_NO_NUMBER = "valence is not a number"  # kind of a fault


class SentimentLabel(Label):
    """How pleasant the person's feeling is."""

    polarity: Literal["positive", "neutral", "negative"] | None = None
    valence: float | None = None
    range: tuple[float, float] | None = None  # lowest and highest valence of the corpus

    @model_validator(mode="after")
    def _says_something(self) -> SentimentLabel:
        if self.polarity is None and self.valence is None:
            raise ValueError("expected polarity or valence")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"expected a range from low to high, got {list(self.range)}")
        return self


def polarity_of(valence: float) -> str:
    """Sign of a valence as a word."""
    return "positive" if valence > 0 else "negative" if valence < 0 else "neutral"


@dataclass(frozen=True, kw_only=True)
class Sentiment(ClosedTask[SentimentLabel]):
    """The task; `question_range` and `answer_range` are its texts where a number is asked for."""

    question_range: str
    answer_range: str

    form = SentimentLabel
    headline = "weighted_f1"
    card_figures = ("weighted_f1", "weighted_f1_from_open_vocabulary")
    watched_figures = ("accuracy", "weighted_f1")
    compared_by = "right polarity"
    page_part = "gauge"
    class_order = POLARITIES
    official_pairs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "weighted_f1": ("binary_weighted_f1", "only the exact words positive and negative are read"),
    }

    def question_in(self, low: float, high: float) -> str:
        """The question for a number between two bounds."""
        return f"{self.tag} {self.question_range.format(low=f'{low:g}', high=f'{high:g}')}".strip()

    def target(self, labels: Labels, modalities: Collection[str] | None = None) -> str | None:
        mine = self.label(labels)
        return None if mine is None else self.answer_for(self._polarity(mine))

    def target_in(self, labels: Labels) -> str | None:
        """The answer to learn where a number is asked for; None where only a polarity is known."""
        mine = self.label(labels)
        known = mine is not None and mine.valence is not None
        return self.answer_range.format(valence=mine.valence) if mine and known else None

    def parse(self, text: str, candidates: Sequence[str] | None = None) -> Answer:
        text = text.strip()
        found, valence = self._read(text, candidates)
        if valence is not None:
            sign = polarity_of(valence)
            return Answer(text=text, label=sign, polarity=sign, valence=valence, score=valence)
        polarity = bare(found.label) if found.label else None
        polarity = polarity if polarity in POLARITIES else None
        return Answer(text=text, label=found.label, polarity=polarity, warnings=found.warnings)

    def _read(self, text: str, candidates: Sequence[str] | None) -> tuple[Match, float | None]:
        """The polarity that an answer names and, where it names none, its number; the scale it mentions is neither."""
        body = self.body(text)
        found = match_label(unframed(without_scales(body)), list(candidates or self.defaults))
        named = found.label is not None and not found.warnings
        return found, None if named else number_in(body)

    def likeliest(self, answer: Answer, probabilities: Mapping[str, float]) -> Answer:
        answer = super().likeliest(answer, probabilities)
        shares = answer.probabilities.items()
        score = round(sum(share * SIGNS.get(name.casefold(), 0.0) for name, share in shares), 6)
        polarity = (answer.label or "").casefold()
        return answer.model_copy(update={"score": score, "polarity": polarity if polarity in SIGNS else None})

    # ------------------------------------------------------------ scoring

    def spelt(self, label: SentimentLabel) -> str | None:
        return label.polarity

    def true_class(self, label: SentimentLabel) -> str:
        return self._polarity(label)

    def given_label(self, answer: Answer) -> str | None:
        return answer.polarity

    def score(self, sample: Sample[SentimentLabel]) -> Figures:
        given = [self.given_class(case.answer, case.label) for case in sample.cases]
        figures = self._three_classes(sample, given, "")
        if OPEN_VOCABULARY.name in sample.answered:
            words = [case.answers.get(OPEN_VOCABULARY.name, NO_ANSWER).labels for case in sample.cases]
            from_words = [polarity_of_labels(labels) or "" for labels in words]
            figures |= self._three_classes(sample, from_words, "_from_open_vocabulary")
        return figures

    def from_words(self, answer: Answer) -> Answer:
        """The polarity of most of the words, by the lexicon."""
        return Answer(text=answer.text, labels=answer.labels, polarity=polarity_of_labels(answer.labels))

    def _three_classes(self, sample: Sample[SentimentLabel], given: Sequence[str], suffix: str) -> Figures:
        truth = [self.true_class(case.label) for case in sample.cases]
        speakers, seed = sample.speakers, sample.seed
        charged = [i for i, polarity in enumerate(truth) if polarity != "neutral"]
        # MOSI's rule: neutral clips are left out, and anything but positive counts as negative.
        binary = classification.weighted_f1(
            [truth[i] for i in charged],
            ["positive" if given[i] == "positive" else "negative" for i in charged],
            [speakers[i] for i in charged],
            seed,
        )
        return {
            f"weighted_f1{suffix}": classification.weighted_f1(truth, given, speakers, seed),
            f"accuracy{suffix}": classification.accuracy(truth, given, speakers, seed),
            f"binary_weighted_f1{suffix}": binary,
        }

    def majority(self, train: Sequence[Labels]) -> Answer:
        return Answer(polarity=most_common(self._polarity(mine) for mine in self.labels_of(train)))

    @staticmethod
    def _polarity(label: SentimentLabel) -> str:
        return label.polarity or polarity_of(label.valence or 0.0)

    # ------------------------------------------------------------ files of other systems

    def stated(self, row: Mapping[str, Any]) -> Any:
        own = (row.get(name) for name in ("polarity", "valence", "score"))
        found = next((value for value in own if value not in (None, "")), None)
        return super().stated(row) if found is None else found

    def read(self, text: str, candidates: Sequence[str] | None = None) -> Reading:
        if text.strip().casefold() in ("nan", "inf", "-inf", "+inf"):
            return Reading(Answer(text=text), NO_ROUTE, (Fault(_NO_NUMBER),))
        answer = self.parse(text, candidates).model_copy(update={"warnings": ()})
        faults = () if answer.polarity in POLARITIES else (Fault(OFF_LIST, f"{text[:60]!r}"),)
        found, valence = self._read(text, candidates)
        renamed = self.renaming(found.spelt, found.label) if valence is None and not faults else None
        return Reading(answer, GRAMMAR if is_framed(self.body(text)) else LABEL_ROUTE, faults, renamed)

    def label_from(self, text: str) -> SentimentLabel | None:
        polarity = candidate_of(text, POLARITIES)
        if polarity:
            return SentimentLabel.model_validate({"polarity": polarity})
        valence = whole_number(text)
        return None if valence is None else SentimentLabel(valence=valence)

    def official(
        self, sample: Sample[SentimentLabel], words: WordLists | None
    ) -> tuple[OfficialFigures, list[str]]:
        truth = {case.clip: self._valence(case.label) for case in sample.cases}
        given = {case.clip: case.answer.polarity or "" for case in sample.cases}
        f1, accuracy = official_scorers.sentiment(truth, given)
        notes = ["neutral and unread answers count as negative; neutral clips are left out"]
        return defined({"weighted_f1": f1, "accuracy": accuracy}), notes

    @staticmethod
    def _valence(label: SentimentLabel) -> float:
        return SIGNS[label.polarity or "neutral"] if label.valence is None else label.valence


SENTIMENT = Sentiment.from_yaml(TEXTS / "sentiment.yaml")

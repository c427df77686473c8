"""Open vocabulary: every emotion that the person feels, in the model's own words.

Words are compared by meaning, with the package's own lexicon: `set_…` figures over groups of synonyms, `wheel_…`
figures over sectors of emotion wheels, which are coarser, as MER-UniBench does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from nanoemox.media.clip import CodedWarning
from nanoemox.metrics import label_sets, official_scorers
from nanoemox.metrics.word_lists import WordLists
from nanoemox.tasks.base import (
    LABEL_COLUMNS,
    LABEL_KEYS,
    TEXTS,
    Figures,
    Label,
    OfficialFigures,
    Sample,
    Task,
    defined,
    need_words,
)
from nanoemox.tasks.closed import EMPTY
from nanoemox.tasks.grammar import Answer, Fault, Reading, labels_from, parse_labels

if TYPE_CHECKING:
    from nanoemox.tasks.labels import Labels

_OTHER_LISTS = "other wheels and word lists"


class OpenVocabularyLabel(Label):
    """Emotion words, the most prominent first."""

    labels: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class OpenVocabulary(Task[OpenVocabularyLabel]):
    """The task."""

    form = OpenVocabularyLabel
    headline = "set_f1"
    card_figures = ("set_f1", "wheel_f1")
    watched_figures = ("set_f1",)
    compared_by = "F1 of the clip's groups"
    page_part = "words"
    server_help = "labels"
    label_columns = LABEL_COLUMNS
    json_keys = LABEL_KEYS
    official_pairs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "f": ("wheel_f1", _OTHER_LISTS),
        "precision": ("wheel_precision", _OTHER_LISTS),
        "recall": ("wheel_recall", _OTHER_LISTS),
    }

    def target(self, labels: Labels, modalities: Collection[str] | None = None) -> str | None:
        mine = self.label(labels)
        return None if mine is None else self.answer.format(labels=", ".join(mine.labels))

    def parse(self, text: str, candidates: Sequence[str] | None = None) -> Answer:
        text = text.strip()
        labels, _ = labels_from(self.body(text))
        warnings = () if labels else (CodedWarning("no_labels", "no labels in the answer"),)
        return Answer(text=text, labels=labels, warnings=warnings)

    def shown(self, answer: Answer) -> str:
        return ", ".join(answer.labels)

    def route(self, answer: Answer) -> str:
        return labels_from(self.body(answer.text))[1]

    def score(self, sample: Sample[OpenVocabularyLabel]) -> Figures:
        expected = [case.label.labels for case in sample.cases]
        given = [case.answer.labels for case in sample.cases]
        groups = label_sets.set_scores(
            [label_sets.groups_of(labels) for labels in expected],
            [label_sets.groups_of(labels) for labels in given],
            sample.speakers,
            sample.seed,
        )
        wheels = label_sets.wheel_scores(expected, given, sample.speakers, sample.seed)
        return (
            {f"set_{name}": figure for name, figure in groups.items()}
            | {f"wheel_{name}": figure for name, figure in wheels.items()}
            | {"labels_per_answer": sample.mean(lambda case: float(len(case.answer.labels)))}
        )

    def majority(self, train: Sequence[Labels]) -> Answer:
        """The most frequent groups, as many as a clip has on average."""
        known = [label_sets.groups_of(mine.labels) for mine in self.labels_of(train)]
        counts = Counter(group for groups in known for group in groups)
        ranked = sorted(counts, key=lambda group: (-counts[group], group))
        number = max(1, round(sum(map(len, known)) / len(known)))
        return Answer(labels=tuple(ranked[:number]))

    def clip_score(self, label: OpenVocabularyLabel, answer: Answer) -> float:
        true, given = label_sets.groups_of(label.labels), label_sets.groups_of(answer.labels)
        return 2 * len(true & given) / (len(true) + len(given))

    def read(self, text: str, candidates: Sequence[str] | None = None) -> Reading:
        labels, route = labels_from(self.body(text))
        return Reading(Answer(text=text, labels=labels), route)

    def faults(self, answer: Answer, candidates: Sequence[str] | None = None) -> tuple[Fault, ...]:
        return () if answer.labels else (Fault(EMPTY),)

    def label_from(self, text: str) -> OpenVocabularyLabel | None:
        labels = parse_labels(text)
        return OpenVocabularyLabel(labels=list(labels)) if labels else None

    def official(
        self, sample: Sample[OpenVocabularyLabel], words: WordLists | None
    ) -> tuple[OfficialFigures, list[str]]:
        truth = {case.clip: case.label.labels for case in sample.cases}
        given = {case.clip: list(case.answer.labels) for case in sample.cases}
        f, precision, recall = official_scorers.open_vocabulary(truth, given, need_words(self, words))
        undefined = "F is undefined, as a wheel has neither precision nor recall; the standard figure is 0"
        notes = [undefined] if math.isnan(f) else []
        return defined({"f": f, "precision": precision, "recall": recall}), notes


OPEN_VOCABULARY = OpenVocabulary.from_yaml(TEXTS / "open_vocabulary.yaml")

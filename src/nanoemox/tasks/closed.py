"""Closed questions: one label of a list. Emotion and intent differ in their labels and in the official scorer only.

The label of an answer is the likeliest candidate, by the likelihood of its whole answer; what the model wrote is
scored beside it. Candidates are listed in the question only where they are not the usual ones: twenty intents would
outweigh the rest of the prompt.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeVar

from pydantic import Field

from nanoemox.files.listed import one_or_more
from nanoemox.metrics import classification, label_sets, official_scorers
from nanoemox.metrics.label_names import bare, class_of, folded
from nanoemox.metrics.word_lists import WordLists
from nanoemox.tasks.base import (
    LABEL_COLUMNS,
    LABEL_KEYS,
    TEXTS,
    Case,
    Figures,
    L,
    Label,
    OfficialFigures,
    PagePart,
    Sample,
    Task,
    defined,
    need_words,
)
from nanoemox.tasks.grammar import (
    GRAMMAR,
    LABEL_ROUTE,
    Answer,
    Fault,
    Match,
    Reading,
    is_framed,
    labels_from,
    match_label,
    most_common,
    unframed,
)

if TYPE_CHECKING:
    from nanoemox.tasks.labels import Labels

EMPTY, OFF_LIST = "empty answer", "label outside the list"  # kinds of faults
Text = Annotated[str, Field(min_length=1)]


class ClosedLabel(Label):
    """One label; `candidates` where they are not the usual ones."""

    label: Text
    candidates: list[Text] | None = Field(None, min_length=1)


class EmotionLabel(ClosedLabel):
    """The emotion of the person, and how many people named which, where that is known."""

    votes: dict[str, Annotated[int, Field(ge=0)]] | None = None


class IntentLabel(ClosedLabel):
    """What the person intends."""


C = TypeVar("C", bound=ClosedLabel)


# ---------------------------------------------------------------- what all closed tasks share


@dataclass(frozen=True, kw_only=True)
class ClosedTask(Task[L]):
    """A task whose answer is one of a list of candidates; `defaults` are the usual ones."""

    defaults: tuple[str, ...]
    choice: str  # the sentence that lists other candidates

    page_part: ClassVar[PagePart] = "bars"
    label_columns = LABEL_COLUMNS
    json_keys = LABEL_KEYS
    class_order: ClassVar[
        tuple[str, ...]
    ] = ()  # of the confusion matrix; classes not named follow by alphabet

    @abstractmethod
    def true_class(self, label: L) -> str:
        """The class that a label stands for, in the form in which classes are compared."""

    @abstractmethod
    def spelt(self, label: L) -> str | None:
        """The class as the manifest spells it; None where it tells a number and no class."""

    def given_class(self, answer: Answer, label: L) -> str:
        """The class that an answer names, by the mapping that the truth goes through; empty where there is none."""
        return class_of(self.given_label(answer), self.offered(label))

    def offered(self, label: L) -> list[str]:
        """The labels that a clip's question offers."""
        return list(self.defaults)

    def renamed(self, label: L) -> tuple[str, str] | None:
        spelt = self.spelt(label)
        return self.renaming(spelt, self.true_class(label)) if spelt else None

    def renamed_answer(
        self, answer: Answer, candidates: Sequence[str] | None = None
    ) -> tuple[str, str] | None:
        given = self.given_label(answer)
        return self.renaming(given, class_of(given, candidates or self.defaults))

    @staticmethod
    def renaming(spelt: str | None, label: str | None) -> tuple[str, str] | None:
        """A label as it is spelt and the label that it stands for, where these are two words."""
        return (spelt, label) if spelt and label and folded(spelt) != folded(label) else None

    def candidates(self, labels: Labels | None = None) -> list[str]:
        return list(self.defaults)

    def question(self, candidates: Sequence[str] | None = None) -> str:
        text, candidates = super().question(), one_or_more(candidates)
        if candidates is not None and self._differ(candidates):
            text += " " + self.choice.format(candidates=", ".join(candidates))
        return text

    def answer_for(self, label: str, candidates: Sequence[str] | None = None) -> str:
        """The full answer that stands for one label, spelt as in the list that is offered."""
        candidates = one_or_more(candidates)
        listed = candidates if candidates and self._differ(candidates) else self.defaults
        return self.answer.format(label=match_label(label, listed).label or label)

    def likeliest(self, answer: Answer, probabilities: Mapping[str, float]) -> Answer:
        """The answer with its label chosen by how likely each candidate is."""
        label = max(probabilities, key=probabilities.__getitem__)
        rounded = {name: round(share, 6) for name, share in probabilities.items()}
        return answer.model_copy(update={"label": label, "probabilities": rounded})

    def shown(self, answer: Answer) -> str:
        return answer.label or ""

    def route(self, answer: Answer) -> str:
        return "likelihood of each candidate" if answer.probabilities else "what was written"

    def clip_score(self, label: L, answer: Answer) -> float:
        return float(self.true_class(label) == self.given_class(answer, label))

    def faults(self, answer: Answer, candidates: Sequence[str] | None = None) -> tuple[Fault, ...]:
        given = self.given_label(answer)
        if not given:
            return (Fault(EMPTY),)
        return self.off_list(given, candidates)

    def given_label(self, answer: Answer) -> str | None:
        """The field of an answer that names the class."""
        return answer.label

    def off_list(self, given: str, candidates: Sequence[str] | None) -> tuple[Fault, ...]:
        """A fault where a label is none of the candidates."""
        offered = list(candidates or self.defaults)
        known = {folded(candidate) for candidate in offered}
        return () if class_of(given, offered) in known else (Fault(OFF_LIST, f"{given[:60]!r}"),)

    def _differ(self, candidates: Sequence[str]) -> bool:
        return {bare(c) for c in candidates} != {bare(c) for c in self.defaults}


# ---------------------------------------------------------------- emotion and intent


@dataclass(frozen=True, kw_only=True)
class LabelTask(ClosedTask[C]):
    """A closed task whose labels are plain words."""

    headline = "accuracy"
    card_figures = ("accuracy", "weighted_f1")
    watched_figures = ("accuracy", "weighted_f1")
    compared_by = "right label"

    def candidates(self, labels: Labels | None = None) -> list[str]:
        mine = None if labels is None else self.label(labels)
        return list((mine and mine.candidates) or self.defaults)

    def spelt(self, label: C) -> str | None:
        return label.label

    def true_class(self, label: C) -> str:
        return class_of(label.label, self.offered(label))

    def offered(self, label: C) -> list[str]:
        return list(label.candidates or self.defaults)

    def target(self, labels: Labels, modalities: Collection[str] | None = None) -> str | None:
        mine = self.label(labels)
        return None if mine is None else self.answer_for(mine.label, mine.candidates)

    def parse(self, text: str, candidates: Sequence[str] | None = None) -> Answer:
        text = text.strip()
        found = self._match(text, candidates)
        return Answer(text=text, label=found.label, warnings=found.warnings)

    def _match(self, text: str, candidates: Sequence[str] | None) -> Match:
        return match_label(unframed(self.body(text)), list(candidates or self.defaults))

    def score(self, sample: Sample[C]) -> Figures:
        truth = [self.true_class(case.label) for case in sample.cases]
        given = [self.given_class(case.answer, case.label) for case in sample.cases]
        about = (truth, given, sample.speakers, sample.seed)
        figures = {
            "accuracy": classification.accuracy(*about),
            "weighted_f1": classification.weighted_f1(*about),
            "macro_f1": classification.macro_f1(*about),
            "weighted_precision": classification.weighted_precision(*about),
            "unweighted_recall": classification.unweighted_recall(*about),
        }
        if any(case.answer.labels for case in sample.cases):  # open answers to a closed question
            words = [case.answer.labels for case in sample.cases]
            figures |= label_sets.hit_rate(truth, words, sample.speakers, sample.seed)
        if any(case.answer.text for case in sample.cases):
            figures["accuracy_written"] = sample.mean(
                lambda case: self._written(case) == self.true_class(case.label)
            )
            figures["off_list_rate"] = sample.mean(self._writes_off_list)
        return figures

    def _written(self, case: Case[C]) -> str:
        """The class that the model wrote, whatever candidate is the likeliest."""
        offered = self.offered(case.label)
        return class_of(self.parse(case.answer.text, offered).label, offered)

    def _writes_off_list(self, case: Case[C]) -> bool:
        known = {folded(candidate) for candidate in self.offered(case.label)}
        return bool(case.answer.text) and self._written(case) not in known

    def majority(self, train: Sequence[Labels]) -> Answer:
        return Answer(label=most_common(mine.label for mine in self.labels_of(train)))

    def read(self, text: str, candidates: Sequence[str] | None = None) -> Reading:
        found = self._match(text, candidates)
        route = GRAMMAR if is_framed(self.body(text)) else LABEL_ROUTE
        faults = self.off_list(found.label or "", candidates)
        renamed = None if faults else self.renaming(found.spelt, found.label)
        return Reading(Answer(text=text.strip(), label=found.label), route, faults, renamed)

    def label_from(self, text: str) -> C | None:
        return self.form.model_validate({"label": text})  # type: ignore[return-value]


class Emotion(LabelTask[EmotionLabel]):
    """Which emotion describes the person best?"""

    form = EmotionLabel
    ceilings: ClassVar[Mapping[str, str]] = {"accuracy": "emotion"}
    page_heading = True
    server_help = "labels"
    official_pairs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "hit_rate": ("hit_rate", "clips that a wheel has no cluster for are left out; other word lists"),
    }

    def from_words(self, answer: Answer) -> Answer:
        """All words count for the hit rate; the label is the first that is one of the usual emotions."""
        usual = {folded(name) for name in self.defaults}
        label = next((word for word in answer.labels if class_of(word, self.defaults) in usual), None)
        return Answer(text=answer.text, labels=answer.labels, label=label)

    def read(self, text: str, candidates: Sequence[str] | None = None) -> Reading:
        """Other systems name several emotions, in a list or in prose: all of them are read too."""
        reading = super().read(text, candidates)
        labels, route = labels_from(self.body(text))
        return reading._replace(answer=reading.answer.model_copy(update={"labels": labels}), route=route)

    def official(
        self, sample: Sample[EmotionLabel], words: WordLists | None
    ) -> tuple[OfficialFigures, list[str]]:
        truth = {case.clip: case.label.label for case in sample.cases}
        given = {case.clip: list(case.answer.labels) for case in sample.cases}
        rate, mscore, per_wheel = official_scorers.hit_rate(truth, given, need_words(self, words))
        wheels = {f"hit_rate_wheel{i}": hit for i, (hit, _) in enumerate(per_wheel, 1)}
        notes = ["a longer list of labels never lowers the hit rate; mscore divides by its length"]
        return defined({"hit_rate": rate, "mscore": mscore, **wheels}), notes


class Intent(LabelTask[IntentLabel]):
    """What does the person intend by saying this?"""

    form = IntentLabel
    ceilings: ClassVar[Mapping[str, str]] = {"accuracy": "intent"}
    official_pairs: ClassVar[Mapping[str, tuple[str, str]]] = {
        f"intent_{figure}": (figure, "letters must be equal; unanswered clips are left out")
        for figure in ("accuracy", "weighted_f1", "weighted_precision")
    }

    def official(
        self, sample: Sample[IntentLabel], words: WordLists | None
    ) -> tuple[OfficialFigures, list[str]]:
        truth = {case.clip: case.label.label for case in sample.cases}
        # A whole response is compared, letter by letter; only what it is wrapped in is taken off.
        given = {
            case.clip: self.body(case.answer.text) if self.wrappers(case.answer.text) else case.answer.text
            for case in sample.cases
            if case.answered
        }
        figures = official_scorers.intent(truth, given)
        named = {f"intent_{name.removeprefix('Intent_').lower()}": value for name, value in figures.items()}
        return defined({name: value / 100 for name, value in named.items()}), []


EMOTION = Emotion.from_yaml(TEXTS / "emotion.yaml")
INTENT = Intent.from_yaml(TEXTS / "intent.yaml")

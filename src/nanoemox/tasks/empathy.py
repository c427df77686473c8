"""Empathy: a chain of thoughts (event, emotion, cause, goal) inside a think block, then a reply to the person.

The links of the chain are scored against the label's, the replies by how varied they are. How good a reply is for a
person, no figure here says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from nanoemox.media.clip import CodedWarning
from nanoemox.metrics import label_sets, official_scorers
from nanoemox.metrics.label_names import EDGES, class_of
from nanoemox.metrics.text import corpus_dist_n, dist_n
from nanoemox.metrics.word_lists import WordLists
from nanoemox.tasks.base import (
    TEXTS,
    Case,
    Figures,
    Label,
    OfficialFigures,
    Sample,
    Task,
    defined,
    need_words,
)
from nanoemox.tasks.closed import EMPTY
from nanoemox.tasks.grammar import FREE_TEXT, GRAMMAR, Answer, Fault, most_common

if TYPE_CHECKING:
    from nanoemox.tasks.labels import Labels

CHAIN = ("event", "emotion", "cause", "goal")  # the links of the chain, in order
Text = Annotated[str, Field(min_length=1)]
_ORDINALS = ("Firstly", "Secondly", "Thirdly", "Fourthly")
_TO_NEXT = r"(.+?)(?=[\s.;,]*\b(?:secondly|thirdly|fourthly)\b|$)"  # some write the chain in one line
_LINKS = {
    link: re.compile(opening + r"(?:\bis\b\s*:?|:)\s*" + _TO_NEXT, re.IGNORECASE | re.MULTILINE)
    for link, opening in {
        "event": r"event scenario[^:\n]*?",
        "emotion": r"emotion of the (?:speaker|user)\s*",
        "cause": r"(?:emotion(?:al)? cause|cause of the emotion)\s*",
        "goal": r"goal (?:to|of the|of|for the|for) respon\w+\s*",
    }.items()
}
_ARTICLES = {"a", "an", "the", "my", "your", "his", "her", "their", "our", "this", "that"}
_UNCLOSED = "the think block is removed only where it is closed"


class EmpathyLabel(Label):
    """A reply, and what to think of before it."""

    reply: Text
    event: Text | None = None
    emotion: Text | None = None
    cause: Text | None = None
    goal: Text | None = None
    cause_in_words: bool | None = None  # whether the words give the cause away

    @property
    def chain(self) -> dict[str, str]:
        """The links that are known, in their order."""
        links = {link: getattr(self, link) for link in CHAIN}
        return {link: value for link, value in links.items() if value}


@dataclass(frozen=True, kw_only=True)
class Empathy(Task[EmpathyLabel]):
    """The task; `chain` has the sentence of every link."""

    chain: Mapping[str, str]

    form = EmpathyLabel
    headline = "emotion_accuracy"
    card_figures = ("emotion_accuracy", "cause_accuracy", "cause_accuracy_unmentioned", "dist_2_corpus")
    watched_figures = ("emotion_accuracy", "cause_accuracy_unmentioned")
    ceilings: ClassVar[Mapping[str, str]] = {"cause_accuracy": "cause"}
    compared_by = "right emotion"
    page_part = "reply"
    reads_thoughts = True
    official_pairs: ClassVar[Mapping[str, tuple[str, str]]] = {
        "emotion_accuracy": ("emotion_accuracy", "the truth is passed through a table, the answer is not"),
        "emotion_hit_rate": ("emotion_hit_rate", "other projection of both sides"),
        "dist_1": ("dist_1", _UNCLOSED),
        "dist_2": ("dist_2", _UNCLOSED),
    }

    def target(self, labels: Labels, modalities: Collection[str] | None = None) -> str | None:
        mine = self.label(labels)
        if mine is None:
            return None
        links = [self.chain[link].format(value=value) for link, value in mine.chain.items()]
        lines = [f"{ordinal}, {link}\n" for ordinal, link in zip(_ORDINALS, links, strict=False)]
        thinking = f"<think>\n{''.join(lines)}</think>\n" if lines else ""
        return self.answer.format(thinking=thinking, reply=mine.reply)

    def parse(self, text: str, candidates: Sequence[str] | None = None) -> Answer:
        """Chain and reply; a think block that is not closed (or missing) ends with the line that names the goal."""
        text = text.strip()
        closed = re.search(r"</think>", text, re.IGNORECASE)
        warnings: list[CodedWarning] = []
        if closed:
            block, reply = re.sub(r"(?i)<think>", "", text[: closed.start()]), text[closed.end() :]
        else:
            lines = re.sub(r"(?i)<think>", "", text).splitlines()
            links = [i for i, line in enumerate(lines) if any(p.search(line) for p in _LINKS.values())]
            cut = links[-1] + 1 if links else 0
            block, reply = "\n".join(lines[:cut]), "\n".join(lines[cut:])
            if not links:  # thoughts without an end that say nothing of the chain are no reply
                reply = text
            if links or "<think>" in text.casefold():
                warnings.append(CodedWarning("think_open", "the think block is not closed"))
        thinking = {}
        for link, pattern in _LINKS.items():
            found = pattern.search(block)
            value = found.group(1).strip().rstrip(".").strip() if found else ""
            if value:
                thinking[link] = value
        if "emotion" in thinking:
            thinking["emotion"] = thinking["emotion"].strip(EDGES).casefold()
        if len(thinking) < len(CHAIN):
            missing = ", ".join(link for link in CHAIN if link not in thinking)
            warnings.append(CodedWarning("chain_incomplete", f"the chain lacks: {missing}"))
        reply = self.body(reply)
        if not reply:
            warnings.append(CodedWarning("no_reply", "no reply"))
        return Answer(
            text=text,
            label=thinking.get("emotion"),
            thinking=thinking,
            reply=reply or None,
            warnings=tuple(warnings),
        )

    def shown(self, answer: Answer) -> str:
        return answer.reply or ""

    def route(self, answer: Answer) -> str:
        return GRAMMAR if answer.thinking else FREE_TEXT

    # ------------------------------------------------------------ scoring

    def score(self, sample: Sample[EmpathyLabel]) -> Figures:
        figures: Figures = {}
        for link in CHAIN:
            known = sample.where(lambda case, link=link: link in case.label.chain)  # type: ignore[misc]
            if known.cases:
                figures |= self._link_figures(known, link)
        replies = [case.answer.reply or "" for case in sample.cases]
        figures["dist_1"] = dist_n(replies, 1, sample.speakers, sample.seed)
        figures["dist_2"] = dist_n(replies, 2, sample.speakers, sample.seed)
        figures["dist_2_corpus"] = corpus_dist_n(replies, 2)
        figures["reply_rate"] = sample.mean(lambda case: float(bool(case.answer.reply)))
        return figures

    def _link_figures(self, known: Sample[EmpathyLabel], link: str) -> Figures:
        """The figures of one link, over clips whose label has it."""
        same = _same_label if link == "emotion" else names_same

        def right(case: Case[EmpathyLabel]) -> float:
            return float(same(case.label.chain[link], case.answer.thinking.get(link, "")))

        figures: Figures = {f"{link}_accuracy": known.mean(right)}
        if link == "emotion":
            truth = [case.label.chain[link] for case in known.cases]
            given = [[case.answer.thinking.get(link, "")] for case in known.cases]
            hits = label_sets.hit_rate(truth, given, known.speakers, known.seed)
            figures["emotion_hit_rate"] = hits["hit_rate"]
        if link == "cause":
            for suffix, in_words in (("mentioned", True), ("unmentioned", False)):
                part = known.where(lambda case, value=in_words: case.label.cause_in_words is value)  # type: ignore[misc]
                if part.cases:
                    figures[f"cause_accuracy_{suffix}"] = part.mean(right)
        return figures

    def majority(self, train: Sequence[Labels]) -> Answer:
        known = self.labels_of(train)
        links = {link: most_common(mine.chain.get(link) for mine in known) for link in CHAIN}
        thinking = {link: value for link, value in links.items() if value}
        return Answer(thinking=thinking, reply=most_common(mine.reply for mine in known))

    def clip_score(self, label: EmpathyLabel, answer: Answer) -> float:
        return float(_same_label(label.emotion or "", answer.thinking.get("emotion", "")))

    # ------------------------------------------------------------ files of other systems

    def faults(self, answer: Answer, candidates: Sequence[str] | None = None) -> tuple[Fault, ...]:
        return () if answer.reply else (Fault(EMPTY),)

    def label_from(self, text: str) -> EmpathyLabel | None:
        return EmpathyLabel(emotion=text, reply="unknown")

    def official(
        self, sample: Sample[EmpathyLabel], words: WordLists | None
    ) -> tuple[OfficialFigures, list[str]]:
        tables = need_words(self, words).avamerg_tables()
        kept = sample.where(lambda case: case.label.emotion is not None and case.answered).cases
        truth = {case.clip: case.label.emotion or "" for case in kept}
        given = {case.clip: case.answer.text for case in kept}
        try:
            figures = official_scorers.avamerg(official_scorers.projected_truth(truth, tables), given, tables)
        except KeyError as error:
            note = f"the official scorer stops with KeyError: {error.args[0]!r} is not in its table"
            replies = [official_scorers.without_think(text) for text in given.values()]
            return defined({f"dist_{n}": official_scorers.dist(replies, n) for n in (1, 2)}), [note]
        keys = {
            "Emotion_Accuracy": "emotion_accuracy",
            "Hitrate": "emotion_hit_rate",
            "Dist-1": "dist_1",
            "Dist-2": "dist_2",
        }
        return defined({keys[name]: value / 100 for name, value in figures.items()}), []


def _same_label(truth: str, given: str) -> bool:
    return class_of(truth, ()) == class_of(given, ())


def names_same(truth: str, given: str) -> bool:
    """Whether `given` names what `truth` names: but for case, articles and at most three more words."""
    expected, words = (_content(text) for text in (truth, given))
    if not expected or len(words) > len(expected) + 3:
        return False
    return any(words[i : i + len(expected)] == expected for i in range(len(words) - len(expected) + 1))


def _content(text: str) -> list[str]:
    return [word for word in re.findall(r"[\w'-]+", text.casefold()) if word not in _ARTICLES]


EMPATHY = Empathy.from_yaml(TEXTS / "empathy.yaml")

"""The six tasks: what is asked, what the answer looks like, and how an answer is read back.

A task is a YAML file in `task_files/` (question, answer sentence, default candidates, limits, version) plus
the pure functions below that build a training answer from a manifest's `labels` and parse generated text.
Tags and answer grammar are those of the published Nano-EmoX; the wording of the questions is ours and short,
as a small model reads them. Nothing here knows tensors.

Closed-label questions do not list their candidates when these are the defaults (20 intents would outweigh the
rest of the prompt); other candidates are listed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import yaml

SOURCES = ("face", "voice", "scene", "words")  # where a cue can come from, in the order of the answer
SOURCES_OF = {"video": ("face", "scene"), "audio": ("voice",), "text": ("words",)}
CHAIN = ("event", "emotion", "cause", "goal")  # the links of the chain of empathy, in order
POLARITIES = ("negative", "neutral", "positive")
_ORDINALS = ("Firstly", "Secondly", "Thirdly", "Fourthly")


@dataclass(frozen=True)
class Answer:
    """What was read out of a generated text. Fields that a task does not have stay empty."""

    text: str
    label: str | None = None
    labels: tuple[str, ...] = ()
    polarity: str | None = None
    valence: float | None = None
    score: float | None = None
    cues: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    thinking: Mapping[str, str] = field(default_factory=dict)
    reply: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One task, as its YAML file describes it."""

    name: str
    title: str
    version: int
    level: str  # perception, understanding or interaction
    tag: str
    question_text: str
    answer: str
    max_new_tokens: int
    defaults: tuple[str, ...] = ()
    choice: str = ""
    question_range: str = ""
    answer_range: str = ""
    chain: Mapping[str, str] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether the answer is one of a list of candidates."""
        return bool(self.defaults)

    def question(
        self, candidates: Sequence[str] | None = None, valence_range: Sequence[float] | None = None
    ) -> str:
        """The question, opened by the task's tag; `valence_range` (low, high) asks sentiment as a number."""
        if valence_range is not None:
            if not self.question_range:
                raise ValueError(
                    f"{self.name}: only sentiment can be asked for a number; leave valence_range out"
                )
            low, high = (f"{bound:g}" for bound in valence_range)
            text = self.question_range.format(low=low, high=high)
        else:
            text = self.question_text
            if candidates is not None and self._differ(candidates):
                text += " " + self.choice.format(candidates=", ".join(candidates))
        return f"{self.tag} {text}".strip()

    def candidates(self, labels: Mapping[str, Any] | None = None) -> list[str] | None:
        """The labels to choose from: the manifest line's own, else the defaults; None for an open task."""
        if not self.closed:
            return None
        own = ((labels or {}).get(self.name) or {}).get("candidates")
        return list(own or self.defaults)

    def answer_for(self, label: str, candidates: Sequence[str] | None = None) -> str:
        """The full answer text that stands for one label of a closed task, spelt as in the list that is offered."""
        listed = candidates if candidates and self._differ(candidates) else self.defaults
        found, _ = match_label(label, listed)
        return self.answer.format(label=found or label)

    def target(
        self,
        labels: Mapping[str, Any],
        modalities: Collection[str] | None = None,
        valence_range: Sequence[float] | None = None,
    ) -> str | None:
        """The answer to learn, or None where `labels` say nothing about this task.

        `modalities` (of "video", "audio", "text") restricts the reasons to what the model can perceive.
        """
        mine = labels.get(self.name)
        if not mine:
            return None
        if self.name == "sentiment":
            return self._sentiment_target(mine, valence_range)
        if self.name == "open_vocabulary":
            return self.answer.format(labels=", ".join(mine["labels"])) if mine.get("labels") else None
        if self.name == "reasoning":
            return self._reasoning_target(mine, labels, modalities)
        if self.name == "empathy":
            return self._empathy_target(mine)
        return self.answer_for(mine["label"], mine.get("candidates")) if mine.get("label") else None

    def parse(self, text: str, candidates: Sequence[str] | None = None) -> Answer:
        """Read a generated answer. Never raises: what cannot be read stays empty and is in `warnings`."""
        text = text.strip()
        if self.name == "sentiment":
            return _parse_sentiment(text, list(candidates or self.defaults))
        if self.name == "open_vocabulary":
            labels = parse_labels(text)
            return Answer(text, labels=labels, warnings=() if labels else ("no labels in the answer",))
        if self.name == "reasoning":
            return _parse_reasoning(text)
        if self.name == "empathy":
            return _parse_empathy(text)
        label, warnings = match_label(_unframed(text), list(candidates or self.defaults))
        return Answer(text, label=label, warnings=warnings)

    def _differ(self, candidates: Sequence[str]) -> bool:
        return {_plain(c) for c in candidates} != {_plain(c) for c in self.defaults}

    def _sentiment_target(self, mine: Mapping[str, Any], valence_range: Sequence[float] | None) -> str | None:
        valence = mine.get("valence")
        if valence_range is not None:
            return None if valence is None else self.answer_range.format(valence=valence)
        polarity = mine.get("polarity") or (None if valence is None else polarity_of(valence))
        return polarity and self.answer_for(polarity)

    def _reasoning_target(
        self, mine: Mapping[str, Any], labels: Mapping[str, Any], modalities: Collection[str] | None
    ) -> str | None:
        if not mine.get("cues"):
            return mine.get("text") or None
        cues = restrict_cues(mine["cues"], modalities)
        sentences = [f"{source.capitalize()}: {', '.join(found)}." for source, found in cues.items()]
        emotion = (labels.get("emotion") or {}).get("label")
        if not sentences:
            return None
        if not emotion:
            return " ".join(sentences)
        return self.answer.format(cues=" ".join(sentences), label=emotion)

    def _empathy_target(self, mine: Mapping[str, Any]) -> str | None:
        if not mine.get("reply"):
            return None
        links = [self.chain[key].format(value=mine[key]) for key in CHAIN if mine.get(key)]
        lines = [f"{ordinal}, {link}\n" for ordinal, link in zip(_ORDINALS, links, strict=False)]
        thinking = f"<think>\n{''.join(lines)}</think>\n" if lines else ""
        return self.answer.format(thinking=thinking, reply=mine["reply"])


def load_tasks() -> dict[str, Task]:
    """Read every task file that ships with the package, in the order of the levels."""
    tasks = {}
    for name in ("sentiment", "emotion", "open_vocabulary", "intent", "reasoning", "empathy"):
        entry = yaml.safe_load((resources.files("nanoemox") / "tasks" / f"{name}.yaml").read_text("utf-8"))
        entry["question_text"] = entry.pop("question")
        entry["defaults"] = tuple(entry.pop("candidates", ()))
        tasks[name] = Task(**entry)
    return tasks


@cache
def _tasks() -> dict[str, Task]:
    return load_tasks()


TASKS: dict[str, Task] = _tasks()


def select(names: Sequence[str] | None) -> list[Task]:
    """The named tasks in canonical order (all six for None); an unknown name raises and lists what exists."""
    if names is None:
        return list(TASKS.values())
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise ValueError(f"unknown task {', '.join(map(repr, unknown))}; tasks are: {', '.join(TASKS)}")
    if not names:
        raise ValueError(f"no task was named; tasks are: {', '.join(TASKS)}")
    return [task for name, task in TASKS.items() if name in names]


def restrict_cues(
    cues: Mapping[str, Sequence[str]], modalities: Collection[str] | None
) -> dict[str, tuple[str, ...]]:
    """The cues that can be perceived through `modalities` (None: all), by source, without empty sources."""
    seen = (
        SOURCES if modalities is None else [s for m in SOURCES_OF for s in SOURCES_OF[m] if m in modalities]
    )
    return {source: tuple(cues[source]) for source in SOURCES if source in seen and cues.get(source)}


def polarity_of(valence: float) -> str:
    """Sign of a valence as a word."""
    return "positive" if valence > 0 else "negative" if valence < 0 else "neutral"


# ---------------------------------------------------------------- reading answers

_FRAME = re.compile(
    r"(?:most likely label|emotional states?|sentiment state|emotion of the speaker|intent(?:ion)?)"
    r"\s+(?:is|are)\b\s*:?\s*",
    re.IGNORECASE,
)
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
_SECTION = re.compile(
    r"\b(face|voice|scene|words)\s*:\s*(.*?)(?=\b(?:face|voice|scene|words)\s*:|\btogether,?\s+(?:this|they|these)\b|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_POINTS = re.compile(r"\bpoints? to\s+(?:an?\s+|the emotion of\s+)?([^.\n]+)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_EDGES = " \t\r\n.,;:!?\"'`*[](){}"


def _plain(label: str) -> str:
    """Case, outer punctuation and inner blanks do not tell labels apart."""
    return " ".join(label.strip(_EDGES).replace("_", " ").casefold().split())


def _without_think(text: str) -> str:
    """Text after the think block; everything when there is none."""
    return re.sub(r"<think>.*?(</think>|\Z)", "", text, flags=re.IGNORECASE | re.DOTALL).strip()


def _unframed(text: str) -> str:
    """The part of an answer that holds the label(s): after the sentence frame, up to the end of the line."""
    body = _without_think(text) or text
    found = _FRAME.search(body)
    body = body[found.end() :] if found else body
    return body.strip().split("\n", 1)[0].strip()


def match_label(said: str, candidates: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """Map what was said to a candidate: equal after normalising, else the only one it contains.

    A label outside the list is returned as said, with a warning, so that it counts as wrong and not as
    absent.
    """
    plain = _plain(said)
    if not plain:
        return None, ("no label in the answer",)
    by_plain = {_plain(c): c for c in candidates}
    if plain in by_plain:
        return by_plain[plain], ()
    found = [c for p, c in by_plain.items() if re.search(rf"(?<!\w){re.escape(p)}(?!\w)", plain)]
    if len(found) == 1:
        return found[0], ()
    return said.strip(_EDGES), (f"off-list label: {said.strip(_EDGES)!r}",)


def parse_labels(text: str) -> tuple[str, ...]:
    """A list of labels out of "The character's emotional state is a, b and c.", "[a, b]" or a bare list."""
    body = re.split(r"\.(?:\s|$)", _unframed(text), maxsplit=1)[0]
    labels = (part.strip(_EDGES) for part in re.split(r",|;|/|\band\b", body))
    return tuple(dict.fromkeys(label for label in labels if label))


def _parse_sentiment(text: str, candidates: Sequence[str]) -> Answer:
    body = _without_think(text) or text
    number = _NUMBER.search(body)
    if number and not re.search(r"negative|neutral|positive", body, re.IGNORECASE):
        valence = float(number.group())
        sign = polarity_of(valence)
        return Answer(text, label=sign, polarity=sign, valence=valence, score=valence)
    label, warnings = match_label(_unframed(text), candidates)
    polarity = _plain(label) if label else None
    return Answer(text, label=label, polarity=polarity if polarity in POLARITIES else None, warnings=warnings)


def _parse_reasoning(text: str) -> Answer:
    body = _without_think(text) or text
    cues: dict[str, tuple[str, ...]] = {}
    for source, found in _SECTION.findall(body):
        parts = tuple(
            dict.fromkeys(p for p in (part.strip(_EDGES).casefold() for part in found.split(",")) if p)
        )
        if parts:
            cues[source.casefold()] = cues.get(source.casefold(), ()) + parts
    points = _POINTS.search(body)
    label = (points.group(1).strip(_EDGES).casefold() or None) if points else None
    warnings = () if cues or not text else ("no cues in the expected form; the text is free",)
    return Answer(text, label=label, cues=cues, warnings=warnings)


def _parse_empathy(text: str) -> Answer:
    """Chain and reply; an unclosed (or missing) think block ends with the line that names the goal."""
    closed = re.search(r"</think>", text, re.IGNORECASE)
    warnings: list[str] = []
    if closed:
        block, reply = re.sub(r"(?i)<think>", "", text[: closed.start()]), text[closed.end() :]
    else:
        lines = re.sub(r"(?i)<think>", "", text).splitlines()
        links = [i for i, line in enumerate(lines) if any(p.search(line) for p in _LINKS.values())]
        cut = links[-1] + 1 if links else 0
        block, reply = "\n".join(lines[:cut]), "\n".join(lines[cut:])
        if links or "<think>" in text.casefold():
            warnings.append("the think block is not closed")
    thinking = {}
    for link, pattern in _LINKS.items():
        found = pattern.search(block)
        value = found.group(1).strip().rstrip(".").strip() if found else ""
        if value:
            thinking[link] = value
    if "emotion" in thinking:
        thinking["emotion"] = thinking["emotion"].strip(_EDGES).casefold()
    if len(thinking) < len(CHAIN):
        missing = ", ".join(link for link in CHAIN if link not in thinking)
        warnings.append(f"the chain lacks: {missing}")
    reply = re.sub(r"(?i)</?answer>|</?think>", "", reply).strip()
    if not reply:
        warnings.append("no reply")
    return Answer(
        text, label=thinking.get("emotion"), thinking=thinking, reply=reply or None, warnings=tuple(warnings)
    )

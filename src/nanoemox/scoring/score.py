"""Predictions against a manifest's labels: the figures of each task, and of trivial answers to compare with.

A prediction is one line of predictions.jsonl as a dict. Whatever has no answer (a broken clip, a label that
cannot be read) counts as wrong: nothing is dropped. Names of figures are fixed, as users and documents rely
on them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nanoemox.metrics import bootstrap, classification, label_sets
from nanoemox.metrics.bootstrap import Figure
from nanoemox.metrics.emotion_lexicon import polarity_of_labels
from nanoemox.metrics.reason_agreement import agreement
from nanoemox.metrics.text import corpus_dist_n, cue_f1, dist_n
from nanoemox.tasks.task import CHAIN, SOURCES, TASKS, polarity_of

Labels = Mapping[str, Any]  # a manifest line's `labels`
Prediction = Mapping[str, Any]  # one line of predictions.jsonl
Figures = dict[str, Figure]

# The figure that stands for a task where there is room for one.
HEADLINES = {
    "sentiment": "weighted_f1",
    "emotion": "accuracy",
    "open_vocabulary": "set_f1",
    "intent": "accuracy",
    "reasoning": "cue_f1",
    "empathy": "emotion_accuracy",
}
_ARTICLES = {"a", "an", "the", "my", "your", "his", "her", "their", "our", "this", "that"}


def has_labels(labels: Labels, task: str) -> bool:
    """Whether a clip can be scored on a task."""
    mine = labels.get(task) or {}
    if task == "sentiment":
        return mine.get("polarity") is not None or mine.get("valence") is not None
    if task == "reasoning":
        return bool(mine.get("text")) or _has_cues(mine)
    return bool(mine.get({"open_vocabulary": "labels", "empathy": "reply"}.get(task, "label")))


def score(
    labels: Mapping[str, Labels],
    predictions: Iterable[Prediction],
    speakers: Mapping[str, str] | None = None,
    tasks: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Figures]:
    """Figures by task.

    Args:
        labels: clip id -> labels. predictions: one for each clip and task, in any order.
        speakers: clip id -> who speaks, for intervals over speakers; a clip without one stands alone.
        tasks: which tasks to score; None, all that have both labels and predictions.
    """
    by_pair: dict[tuple[str, str], Prediction] = {}
    for prediction in predictions:
        pair = (prediction["id"], prediction["task"])
        if pair in by_pair:
            raise ValueError(
                f"prediction {pair[0]!r}, {pair[1]}: expected once, but it occurs again; remove one"
            )
        by_pair[pair] = prediction
    answered = {task for _, task in by_pair}
    figures: dict[str, Figures] = {}
    for name in tasks or [task for task in TASKS if task in answered]:
        ids = [clip for clip, known in labels.items() if has_labels(known, name)]
        if not ids:
            continue
        sample = _Sample(
            truth=[labels[clip][name] for clip in ids],
            said=[by_pair.get((clip, name), {}) for clip in ids],
            clusters=[(speakers or {}).get(clip) or clip for clip in ids],
            seed=seed,
        )
        figures[name] = _SCORERS[name](sample)
        if name == "sentiment" and "open_vocabulary" in answered:
            figures[name] |= _sentiment_from_words(
                sample, [by_pair.get((c, "open_vocabulary"), {}) for c in ids]
            )
        if name == "reasoning":
            known = [i for i, clip in enumerate(ids) if has_labels(labels[clip], "emotion")]
            truth = [plain(labels[ids[i]]["emotion"]["label"]) for i in known]
            said = [plain(sample.said[i].get("label")) for i in known]
            if known and any(
                answer.keys() & {"label", "cues", "error"} for answer in sample.said
            ):  # our form
                who = [sample.clusters[i] for i in known]
                figures[name]["emotion_accuracy"] = classification.accuracy(truth, said, who, seed)
    return figures


def majority(train: Sequence[Labels], tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The best constant answer to each task as seen in `train`: a prediction without id, by task."""
    constant: dict[str, dict[str, Any]] = {}
    for name in tasks:
        known = [labels[name] for labels in train if has_labels(labels, name)]
        if not known:
            continue
        if name == "sentiment":
            constant[name] = {"polarity": _commonest(map(_polarity, known))}
        elif name in ("emotion", "intent"):
            constant[name] = {"label": _commonest(mine["label"] for mine in known)}
        elif name == "open_vocabulary":
            groups = Counter(group for mine in known for group in label_sets.groups_of(mine["labels"]))
            share = sum(len(label_sets.groups_of(mine["labels"])) for mine in known) / len(known)
            ranked = sorted(groups, key=lambda group: (-groups[group], group))
            constant[name] = {"labels": ranked[: max(1, round(share))]}
        elif name == "reasoning":
            constant[name] = _constant_reasons(known, train)
        else:
            thinking = {link: _commonest(mine.get(link) for mine in known) for link in CHAIN}
            reply = _commonest(mine.get("reply") for mine in known)
            constant[name] = {"thinking": {k: v for k, v in thinking.items() if v}, "reply": reply}
    return constant


def _constant_reasons(known: Sequence[Mapping[str, Any]], train: Sequence[Labels]) -> dict[str, Any]:
    """The commonest cues of each source and the commonest emotion; without cues, the commonest text."""
    cues: dict[str, list[str]] = {}
    for source in SOURCES:
        found = Counter(cue for mine in known for cue in set((mine.get("cues") or {}).get(source, ())))
        cues[source] = _best_prefix(found, [(mine.get("cues") or {}).get(source, ()) for mine in known])
    emotion = _commonest((labels.get("emotion") or {}).get("label") for labels in train)
    labels = {"reasoning": {"cues": cues}, "emotion": {"label": emotion}}
    text = TASKS["reasoning"].target(labels) or _commonest(mine.get("text") for mine in known) or ""
    return {"cues": cues, "label": emotion, "text": text}


# ---------------------------------------------------------------- one scorer for each task


class _Sample:
    """The clips of one task: labels and predictions in the same order, and whose clips they are."""

    def __init__(
        self, truth: list[Mapping[str, Any]], said: list[Prediction], clusters: list[str], seed: int
    ) -> None:
        self.truth, self.said, self.clusters, self.seed = truth, said, clusters, seed

    def where(self, keep: Callable[[Mapping[str, Any]], bool]) -> _Sample:
        kept = [i for i, mine in enumerate(self.truth) if keep(mine)]
        return _Sample(
            [self.truth[i] for i in kept],
            [self.said[i] for i in kept],
            [self.clusters[i] for i in kept],
            self.seed,
        )

    def mean(self, hit: Callable[[Mapping[str, Any], Prediction], bool]) -> Figure:
        hits = [float(hit(t, s)) for t, s in zip(self.truth, self.said, strict=True)]
        return bootstrap.mean(hits, self.clusters, self.seed)


def _sentiment(sample: _Sample) -> Figures:
    said = [said_label("sentiment", answer) for answer in sample.said]
    return _three_classes(sample, said, "")


def _sentiment_from_words(sample: _Sample, words: Sequence[Prediction]) -> Figures:
    """Polarity read off the open-vocabulary answer, without asking for it."""
    said = [polarity_of_labels(answer.get("labels") or ()) or "" for answer in words]
    return _three_classes(sample, said, "_from_open_vocabulary")


def _three_classes(sample: _Sample, said: Sequence[str], suffix: str) -> Figures:
    truth = [_polarity(mine) for mine in sample.truth]
    charged = [i for i, polarity in enumerate(truth) if polarity != "neutral"]
    # MOSI's rule: neutral clips are left out, and anything but positive counts as negative.
    binary = classification.weighted_f1(
        [truth[i] for i in charged],
        ["positive" if said[i] == "positive" else "negative" for i in charged],
        [sample.clusters[i] for i in charged],
        sample.seed,
    )
    return {
        f"weighted_f1{suffix}": classification.weighted_f1(truth, said, sample.clusters, sample.seed),
        f"accuracy{suffix}": classification.accuracy(truth, said, sample.clusters, sample.seed),
        f"binary_weighted_f1{suffix}": binary,
    }


def _closed(name: str) -> Callable[[_Sample], Figures]:
    """Emotion and intent: the likeliest candidate, and beside it what was written."""
    task = TASKS[name]

    def candidates(mine: Mapping[str, Any]) -> list[str]:
        return task.candidates({name: mine}) or []

    def written(mine: Mapping[str, Any], answer: Prediction) -> str:
        return plain(task.parse(answer.get("text") or "", candidates(mine)).label)

    def off_list(mine: Mapping[str, Any], answer: Prediction) -> bool:
        return bool(answer.get("text")) and written(mine, answer) not in {plain(c) for c in candidates(mine)}

    def scorer(sample: _Sample) -> Figures:
        truth = [plain(mine["label"]) for mine in sample.truth]
        said = [plain(answer.get("label")) for answer in sample.said]
        figures = {
            "accuracy": classification.accuracy(truth, said, sample.clusters, sample.seed),
            "weighted_f1": classification.weighted_f1(truth, said, sample.clusters, sample.seed),
            "macro_f1": classification.macro_f1(truth, said, sample.clusters, sample.seed),
            "weighted_precision": classification.weighted_precision(
                truth, said, sample.clusters, sample.seed
            ),
            "unweighted_recall": classification.unweighted_recall(truth, said, sample.clusters, sample.seed),
        }
        if any(answer.get("labels") for answer in sample.said):  # open answers to a closed question
            words = [answer.get("labels") or () for answer in sample.said]
            figures |= label_sets.hit_rate(truth, words, sample.clusters, sample.seed)
        if any(answer.get("text") for answer in sample.said):
            figures["accuracy_written"] = sample.mean(lambda t, s: written(t, s) == plain(t["label"]))
            figures["off_list_rate"] = sample.mean(off_list)
        return figures

    return scorer


def _open_vocabulary(sample: _Sample) -> Figures:
    """`set_…`: over groups of synonyms. `wheel_…`: over sectors of wheels, coarser, as MER-UniBench does."""
    expected = [mine["labels"] for mine in sample.truth]
    given = [answer.get("labels") or () for answer in sample.said]
    groups = label_sets.set_scores(
        [label_sets.groups_of(labels) for labels in expected],
        [label_sets.groups_of(labels) for labels in given],
        sample.clusters,
        sample.seed,
    )
    wheels = label_sets.wheel_scores(expected, given, sample.clusters, sample.seed)
    lengths = [float(len(labels)) for labels in given]
    return (
        {f"set_{name}": figure for name, figure in groups.items()}
        | {f"wheel_{name}": figure for name, figure in wheels.items()}
        | {"labels_per_answer": bootstrap.mean(lengths, sample.clusters, sample.seed)}
    )


def _reasoning(sample: _Sample) -> Figures:
    """Cues where the labels have them, and agreement with the text where they have one."""
    figures: Figures = {}
    known = sample.where(_has_cues)
    truth = [mine["cues"] for mine in known.truth]
    said = [answer.get("cues") or {} for answer in known.said]
    for source in (None, *SOURCES) if truth else ():
        name = f"cue_f1_{source}" if source else "cue_f1"
        figures[name] = cue_f1(truth, said, source, known.clusters, known.seed)
    told = sample.where(lambda mine: bool(mine.get("text")))
    found = [
        agreement(mine["text"], str(answer.get("text") or ""))
        for mine, answer in zip(told.truth, told.said, strict=True)
    ]
    parts = {
        "agreement": [each.both for each in found],
        "agreement_clues": [each.clues for each in found],
        "agreement_labels": [each.labels for each in found],
    }
    for name, values in parts.items():
        kept = [i for i, value in enumerate(values) if value is not None]
        if kept:
            figures[name] = bootstrap.mean(
                [values[i] or 0.0 for i in kept], [told.clusters[i] for i in kept], told.seed
            )
    return figures


def _empathy(sample: _Sample) -> Figures:
    def link(name: str, same: Callable[[str, str], bool]) -> Callable[[Mapping[str, Any], Prediction], bool]:
        return lambda t, s: same(t[name], (s.get("thinking") or {}).get(name) or "")

    figures: Figures = {}
    for name in CHAIN:
        same = (lambda a, b: plain(a) == plain(b)) if name == "emotion" else names_same
        known = sample.where(lambda t, name=name: bool(t.get(name)))  # type: ignore[misc]
        if not known.truth:
            continue
        figures[f"{name}_accuracy"] = known.mean(link(name, same))
        if name == "emotion":
            said = [[(s.get("thinking") or {}).get(name) or ""] for s in known.said]
            hits = label_sets.hit_rate([t[name] for t in known.truth], said, known.clusters, known.seed)
            figures["emotion_hit_rate"] = hits["hit_rate"]
        if name == "cause":
            for suffix, told in (("mentioned", True), ("unmentioned", False)):
                part = known.where(lambda t, told=told: t.get("cause_in_words") is told)  # type: ignore[misc]
                if part.truth:
                    figures[f"cause_accuracy_{suffix}"] = part.mean(link(name, same))
    replies = [answer.get("reply") or "" for answer in sample.said]
    figures["dist_1"] = dist_n(replies, 1, sample.clusters, sample.seed)
    figures["dist_2"] = dist_n(replies, 2, sample.clusters, sample.seed)
    figures["dist_2_corpus"] = corpus_dist_n(replies, 2)
    figures["reply_rate"] = sample.mean(lambda _, s: bool(s.get("reply")))
    return figures


_SCORERS: dict[str, Callable[[_Sample], Figures]] = {
    "sentiment": _sentiment,
    "emotion": _closed("emotion"),
    "open_vocabulary": _open_vocabulary,
    "intent": _closed("intent"),
    "reasoning": _reasoning,
    "empathy": _empathy,
}


# ---------------------------------------------------------------- small things


def names_same(truth: str, said: str) -> bool:
    """Whether `said` names what `truth` names: but for case, articles and at most three more words."""
    expected, given = (_content(text) for text in (truth, said))
    if not expected or len(given) > len(expected) + 3:
        return False
    return any(given[i : i + len(expected)] == expected for i in range(len(given) - len(expected) + 1))


def _content(text: str) -> list[str]:
    return [word for word in re.findall(r"[\w'-]+", text.casefold()) if word not in _ARTICLES]


def true_label(task: str, mine: Mapping[str, Any]) -> str:
    """The true label of a closed task in the form in which labels are compared."""
    return _polarity(mine) if task == "sentiment" else plain(mine["label"])


def said_label(task: str, answer: Prediction) -> str:
    """What was said to a closed task, likewise; empty where nothing was."""
    return plain(answer.get("polarity" if task == "sentiment" else "label"))


def plain(label: str | None) -> str:
    """Case, underscores and blanks do not tell labels apart."""
    return " ".join((label or "").casefold().replace("_", " ").split())


def _has_cues(mine: Mapping[str, Any]) -> bool:
    return any((mine.get("cues") or {}).values())


def _polarity(mine: Mapping[str, Any]) -> str:
    return plain(mine["polarity"]) if mine.get("polarity") else polarity_of(mine["valence"])


def _commonest(values: Iterable[str | None]) -> str | None:
    """The most frequent value; the alphabet decides a draw."""
    counts = Counter(value for value in values if value)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


def _best_prefix(found: Counter[str], truth: Sequence[Iterable[str]]) -> list[str]:
    """The first k cues by frequency, with the k that gives the best micro F1 as a constant answer."""
    ranked = sorted(found, key=lambda cue: (-found[cue], cue))
    total = sum(len(set(cues)) for cues in truth)
    best, score, hits = 0, 0.0, 0
    for k, cue in enumerate(ranked, 1):
        hits += found[cue]
        f1 = 2 * hits / (total + k * len(truth))
        if f1 > score:
            best, score = k, f1
    return ranked[:best]

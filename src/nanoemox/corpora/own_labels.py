"""The labels of your own table: one spelling for each, their counts, and questions about those that look like slips.

A misspelt label is a class like any other, and it makes a question about seven emotions one about two. So what the
table holds is counted and shown, and what is unusual is asked about by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from nanoemox.corpora.tables import Row, RowError, listed, plain
from nanoemox.media.clip import CodedWarning
from nanoemox.metrics.label_names import WORDS_OF, candidate_of, family
from nanoemox.tasks.closed import EMOTION, INTENT, ClosedTask
from nanoemox.tasks.sentiment import POLARITIES
from nanoemox.tasks.task import TASKS

# The name of a task stands for the column that its label is usually in; `sentiment` holds a polarity or a number.
LABEL_COLUMNS = tuple(dict.fromkeys((*TASKS, "polarity", "valence", "emotions", "reason", "reply")))
LISTED: tuple[ClosedTask[Any], ...] = (EMOTION, INTENT)  # whose labels may be others than the usual ones
_ENOUGH = 50  # labels of a task from which on a class of one clip is unusual
_RARE = 500  # a class is rare where it has less than one clip in so many
_CODE = 3  # letters of a code, such as XX, which is shown as it is written
_ALIKE = 0.75  # of difflib: hapy and happy 0.89, sad and mad 0.67


def labels_of(row: Row) -> dict[str, Any]:
    """The `labels` of a manifest's line out of the row of a table. Raises: RowError."""
    labels: dict[str, Any] = {}
    for task in LISTED:
        if raw := row.get(task.name):
            labels[task.name] = {"label": _spelt(task, raw)}
    if sentiment := _sentiment(row):
        labels["sentiment"] = sentiment
    if words := listed((row.get("emotions") or row.get("open_vocabulary")).replace(";", ",")):
        labels["open_vocabulary"] = {"labels": words}
    if reason := plain(row.get("reason") or row.get("reasoning")):
        labels["reasoning"] = {"text": reason}
    if reply := plain(row.get("reply") or row.get("empathy")):
        labels["empathy"] = {"reply": reply}
    return labels


def _spelt(task: ClosedTask[Any], raw: str) -> str:
    """One spelling of a label: a usual one where it is meant (angry, ANG and 生气 are anger)."""
    usual = candidate_of(raw, task.defaults)
    if usual is None and task is EMOTION:
        return family(raw) or (raw if raw.isupper() and len(raw) <= _CODE else raw.lower())
    return usual or raw


def _sentiment(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {}
    given = row.get("sentiment")
    numeric = _is_number(given)
    polarity = row.get("polarity") or ("" if numeric else given)
    if polarity:
        found["polarity"] = candidate_of(polarity, POLARITIES)
        if found["polarity"] is None:
            near = get_close_matches(polarity.casefold(), POLARITIES, 1, _ALIKE)
            hint = f"; {near[0]}?" if near else ""
            raise RowError(f"unknown polarity {polarity!r:.60} (expected {', '.join(POLARITIES)}){hint}")
    if row.get("valence"):
        found["valence"] = row.number("valence")
    elif numeric:
        found["valence"] = row.number("sentiment")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- all labels of a table


def candidates_in(lines: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Task -> the labels of the lines, for the tasks where they are not all among the usual ones."""
    found = {}
    counts = counted(lines)
    for task in LISTED:
        usual = {label.casefold() for label in task.defaults}
        if any(label.casefold() not in usual for label in counts[task.name]):
            found[task.name] = sorted(counts[task.name])
    return found


def counted(lines: Iterable[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """Task -> label -> how many lines have it, for the tasks whose labels may be others than the usual ones."""
    counts: dict[str, Counter[str]] = {task.name: Counter() for task in LISTED}
    for line in lines:
        for name, count in counts.items():
            if label := line["labels"].get(name):
                count[label["label"]] += 1
    return counts


def questions(counts: Mapping[str, Counter[str]]) -> list[CodedWarning]:
    """What to ask about the labels of a table: misspelt ones, unusual ones, and classes of next to nothing."""
    return [question for task in LISTED for question in _questions(task, counts[task.name])]


def _questions(task: ClosedTask[Any], counts: Counter[str]) -> list[CodedWarning]:
    total = sum(counts.values())
    usual = {label.casefold() for label in task.defaults}
    odd = [label for label in counts if label.casefold() not in usual]
    mostly_usual = 2 * sum(counts[label] for label in odd) <= total
    asked = []
    for label in sorted(counts, key=lambda name: (counts[name], name)):
        what = f"{task.name} {label!r:.60}, {_clips(counts[label])}"
        near = _near(label, counts, task) if label in odd else []
        rare = total >= _ENOUGH and (counts[label] == 1 or counts[label] * _RARE < total)
        if near:
            text = f"{what}: is it {' or '.join(near)}? Correct the table, or leave it if it is a class of its own"
            asked.append(CodedWarning("near_label", text))
        elif rare:
            text = f"{task.name} {label!r:.60}: a class of {_clips(counts[label])} (of {total:,}); a slip?"
            asked.append(CodedWarning("rare_label", text))
        elif label in odd and mostly_usual:
            text = f"{what}: it is none of the usual labels ({', '.join(task.defaults[:7])}…); is it meant?"
            asked.append(CodedWarning("unusual_label", text))
    if odd:
        text = (
            f"{task.name} is asked with the {len(counts)} labels of the table instead of the {len(task.defaults)} "
            f"usual ones: {', '.join(sorted(counts)):.300}"
        )
        asked.append(CodedWarning("own_labels", text))
    return asked


def _near(label: str, counts: Counter[str], task: ClosedTask[Any]) -> list[str]:
    """Labels that are spelt nearly so: usual ones in any form, or more frequent ones of the table."""
    usual: dict[str, str] = {}
    for name in task.defaults:
        usual |= dict.fromkeys([name.casefold(), *WORDS_OF.get(family(name) or "", ())], name)
    others = {name.casefold(): name for name in counts if name != label and counts[name] > counts[label]}
    known = {**{name: other for name, other in others.items() if name != label.casefold()}, **usual}
    found = get_close_matches(label.casefold(), list(known), 3, _ALIKE)
    same = [others[label.casefold()]] if label.casefold() in others else []  # only in upper and lower case
    return list(dict.fromkeys([*same, *(known[name] for name in found)]))[:2]


def _clips(number: int) -> str:
    return "one clip" if number == 1 else f"{number:,} clips"


def only_in_test(
    lines: Sequence[Mapping[str, Any]], tested: Collection[str] = ("test",)
) -> list[CodedWarning]:
    """Labels that nothing to train on has: a model cannot learn them."""
    train = counted(line for line in lines if line.get("split") == "train")
    test = counted(line for line in lines if line.get("split") in tested)
    asked = []
    for task in LISTED:
        unseen = sorted(set(test[task.name]) - set(train[task.name]))
        if unseen and train[task.name]:
            text = f"{task.name}: only test clips have the labels {', '.join(unseen):.200}, so they cannot be learnt"
            asked.append(CodedWarning("only_in_test", text))
    return asked

"""AvaMERG (Zhang et al. 2025): conversations with a talking head; behind each reply, a chain of empathy.

The names of keys are those of the published reader and of the dataset's card. A turn's clip shows the
speaker; the listener's reply is the next clip and is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError, entries, plain

# The candidates of the published reader; other words occur and are then kept in the chain alone.
# fmt: off
EMOTIONS = (
    "conflicted", "sadness", "weary", "upset", "frustrated", "disappointment", "uneasy", "confused",
    "stressed", "burdened", "worry", "nervous", "confusion", "helpless", "overwhelm",
    "surprised", "proud", "lonely",
    "guilty", "hopeful", "anxious", "nostalgic", "content", "caring", "ashamed",
)
# fmt: on
_CHAIN = {"event": "event_scenario", "emotion": "speaker_emotion", "cause": "emotion_cause"}
_TESTS = ("v_test_v5_0.json", "test.json")


def read(folder: Folder) -> Iterator[Line]:
    """`train.json`: every turn. `v_test_v5_0.json`: the last turn of each conversation."""
    folder.layout = "original"
    train, test = folder.file("train.json"), folder.file(*_TESTS)
    if not (train or test):
        folder.need("train.json", *_TESTS)
    if train:
        yield from folder.each(_turns(train, last=False), partial(_line, folder, "train"), "train")
    if test:
        yield from folder.each(_turns(test, last=True), partial(_line, folder, "test"), "test")


def _turns(path: Path, last: bool) -> Iterator[Row]:
    """One row a turn, with what it needs of its conversation."""
    for talk in entries(path):
        if talk.fault:
            yield talk
            continue
        try:
            turns = talk.within("turns", list)
            who = talk.within("speaker_profile", dict)
            conversation = talk["conversation_id"]
        except RowError as error:
            yield Row({}, talk.where, str(error))
            continue
        first = len(turns) - 1 if last else 0
        for i, turn in enumerate(turns[first:], max(first, 0)):
            where = f"{talk.where}.turns[{i}]"
            if isinstance(turn, dict):
                yield Row({**turn, "conversation": conversation, "who": who, "at": i}, where)
            else:
                yield Row({}, where, f"is {type(turn).__name__}, expected an object")


def _line(folder: Folder, split: str, row: Row) -> dict[str, Any]:
    who = Row(row.within("who", dict), row.where)
    turn = row.get("turn_id") or row["at"]
    if not turn.isdecimal():
        raise RowError(f"turn_id is {turn!r}, expected a number from 0")
    name = f"dia{row['conversation'].zfill(5)}utt{2 * int(turn)}_{who['id']}"
    history = [_turn(item) for item in row.within("dialogue_history", list)]
    if not history or not history[-1]["text"]:
        raise RowError("dialogue_history does not end with what the speaker says")
    text = history[-1]["text"]
    chain = Row(row.within("chain_of_empathy", dict), row.where)
    empathy = {key: plain(chain.get(source)) for key, source in _CHAIN.items()}
    empathy |= {"goal": plain(chain.get("goal_to_response")), "reply": plain(row["response"])}
    labels: dict[str, Any] = {"empathy": {key: value for key, value in empathy.items() if value}}
    felt = empathy["emotion"].lower()
    if felt in EMOTIONS:
        labels["emotion"] = {"label": felt, "candidates": list(EMOTIONS)}
    elif felt:
        folder.assume(
            "emotions outside the 25 listed ones stay in the chain of empathy and are no closed label"
        )
    line: dict[str, Any] = {
        "id": name,
        **folder.media(name, text=text),
        "text": text,
        "speaker": f"avamerg_{who['id']}",
        "split": split,
        "labels": labels,
    }
    if history[:-1]:
        line["dialogue"] = history[:-1]
    if context := plain(row.get("context")):
        line["extra"] = {"context": context}
    return line


def _turn(item: Any) -> dict[str, str]:
    """One turn of a dialogue: the speaker is the user, the listener the assistant."""
    if not isinstance(item, dict) or not isinstance(item.get("utterance"), str):
        raise RowError("dialogue_history holds a turn without an utterance")
    role = str(item.get("role", "")).strip().lower()
    role = {"speaker": "user", "user": "user", "listener": "assistant", "assistant": "assistant"}.get(
        role, role
    )
    return {"role": role or "user", "text": plain(item["utterance"])}


CORPUS = Corpus(
    name="avamerg",
    title="AvaMERG",
    tasks=("empathy", "emotion"),
    language="en",
    size="33,048 dialogues, 152,021 utterances",
    licence="CC BY-NC 4.0 (text from EmpatheticDialogues; voices and faces are synthetic)",
    where="huggingface.co/datasets/ZhangHanXD/AvaMERG",
    read=read,
    open=True,
)

"""M3ED (Zhao et al. 2022): dialogues of 56 Chinese TV series, sound and text; the video is not released."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanoemox.corpora.corpus import EMOTIONS, Corpus, emotion, emotion_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, chats, entries, listed, plain, text_of


def read(folder: Folder) -> Iterator[Line]:
    """`annotation.json` of the repository, or the list of the published loaders (spelt as it is)."""
    if path := folder.file("annotation.json"):
        folder.layout = "original"
        series = _splits(folder)
        yield from folder.each(_utterances(path), lambda row: _original(folder, row, series))
    else:
        folder.layout = "processed"
        path = folder.need("m3ed_annotaton.json", "m3ed_annotation.json", "annotation.json")
        folder.assume("the list names no split: every line is train, as the published recipe uses it")
        yield from folder.each(chats(path), lambda row: _processed(folder, row))


def _processed(folder: Folder, row: Row) -> dict[str, Any]:
    name, text = Path(row["file"]).stem, row["text"]
    return {
        "id": name,
        **folder.media(name, text=text),
        "text": text,
        "split": "train",
        "labels": {"emotion": emotion(row["label"])},
    }


def _utterances(path: Path) -> Iterator[Row]:
    """{series: {dialogue: {"SpeakerInfo", "Dialog": {utterance: {…}}}}} -> one row an utterance."""
    for series in entries(path):
        if series.fault:
            yield series
            continue
        for dialogue_id, dialogue in series.values.items():
            if dialogue_id == "key":
                continue
            where = f"{series.where}[{dialogue_id}]"
            turns = dialogue.get("Dialog") if isinstance(dialogue, dict) else None
            if not isinstance(turns, dict):
                yield Row({}, where, "expected an object with Dialog")
                continue
            for turn, (name, values) in enumerate(turns.items()):
                whose = {"series": series["key"], "dialogue": dialogue_id, "utterance": name, "turn": turn}
                fault = "" if isinstance(values, dict) else "expected an object"
                yield Row({**(values if not fault else {}), **whose}, f"{where}[{name}]", fault)


def _original(folder: Folder, row: Row, series: dict[str, str]) -> dict[str, Any]:
    judged = Row(row.within("EmoAnnotation", dict), row.where)
    votes: Counter[str] = Counter()
    for annotator in ("EmoAnnotator1", "EmoAnnotator2", "EmoAnnotator3"):
        votes.update(emotion_of(label) for label in listed(judged.get(annotator)))
    speaker, name, text = row["Speaker"], row["utterance"], plain(row["Text"])
    known_series = row["series"]
    if known_series not in series:
        folder.assume(f"the series {known_series} is in no list of splitInfo: its lines have no split")
    line: dict[str, Any] = {
        "id": name if name.startswith(row["dialogue"]) else f"{row['dialogue']}_{name}",
        **folder.media(f"{speaker}_{name}", text=text),
        "text": text,
        "speaker": f"{row['dialogue']}_{speaker}",
        "labels": {"emotion": emotion(judged["final_main_emo"], EMOTIONS, votes)},
        "extra": {"series": known_series, "dialogue": row["dialogue"], "turn": int(row.number("turn"))},
    }
    if split := series.get(known_series):
        line["split"] = split
    if several := judged.get("final_mul_emo"):
        line["extra"]["emotions"] = [emotion_of(label) for label in listed(several)]
    return line


def _splits(folder: Folder) -> dict[str, str]:
    """Series -> split, from `splitInfo/movie_list_*.txt`."""
    known: dict[str, str] = {}
    for split in ("train", "val", "test"):
        path = folder.file(f"movie_list_{split}.txt")
        if path is None:
            folder.assume(f"there is no movie_list_{split}.txt: the lines have no split")
            continue
        for number, name in enumerate(text_of(path, "gb18030", folder.assume).splitlines(), 1):
            name = name.strip()
            if name and known.setdefault(name, split) != split:
                folder.skip(f"{path.name}:{number}", f"{name} is also in {known[name]}")
    return known


CORPUS = Corpus(
    name="m3ed",
    title="M3ED",
    tasks=("emotion",),
    language="zh",
    size="24,449 utterances, 990 dialogues, 56 series",
    licence="research only; the series belong to their makers",
    where="github.com/AIM3-RUC/RUCM3ED (text and labels; sound through the link given there)",
    read=read,
    tables="gb18030",
)

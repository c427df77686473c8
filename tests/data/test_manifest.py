from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanoemox.data.manifest import LONGEST_LINE_BYTES, ManifestError, read_manifest, read_predictions
from nanoemox.data.schema import Prediction, Record, json_schema
from nanoemox.files.atomic import write_jsonl
from nanoemox.media.clip import CodedWarning
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS
from nanoemox.theatre.script import stage_script

FULL: dict[str, Any] = {
    "id": "a-1",
    "video": "clips/a.mp4",
    "audio": "sounds/a.flac",
    "text": "You came!",
    "language": "en",
    "start_s": 0.5,
    "end_s": 4,
    "speaker": "anna",
    "person_box": [0.1, 0.2, 0.5, 0.75],
    "dialogue": [{"role": "user", "text": "Guess who."}],
    "split": "test",
    "source": "made up",
    "licence": "CC0-1.0",
    "labels": {
        "sentiment": {"polarity": "positive", "valence": 0.8, "range": [-1, 1]},
        "emotion": {"label": "happiness", "candidates": ["happiness", "anger"], "votes": {"happiness": 3}},
        "open_vocabulary": {"labels": ["glad", "surprised"]},
        "intent": {"label": "Greet", "candidates": ["Greet", "Leave"]},
        "reasoning": {"text": "She smiles.", "cues": {"face": ["lip corners pulled up"]}},
        "empathy": {
            "event": "a visit",
            "emotion": "happiness",
            "cause": "a friend at the door",
            "goal": "share the joy",
            "reply": "How lovely!",
            "cause_in_words": True,
        },
    },
    "factors": {"seed": 3},
    "extra": {"anything": [1, {"else": None}]},
}


def manifest(folder: Path, *lines: Any) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), "utf-8")
    return path


def test_a_line_with_everything(tmp_path: Path) -> None:
    (record,) = read_manifest(manifest(tmp_path, FULL))
    assert record.video == tmp_path / "clips/a.mp4"
    assert record.audio == tmp_path / "sounds/a.flac"
    assert record.labels.tasks == tuple(TASKS)
    assert record.dialogue is not None and record.dialogue[0].role == "user"
    assert record.line(tmp_path) == {**FULL, "end_s": 4.0} | {
        "labels": {**FULL["labels"], "sentiment": {"polarity": "positive", "valence": 0.8, "range": [-1, 1]}}
    }
    for task in TASKS.values():
        assert task.target(record.labels)


def test_theatre_writes_manifest_lines(tmp_path: Path) -> None:
    lines = [stage_script(i, 0, "val").record() | {"video": f"{i}.mp4"} for i in range(20)]
    path = tmp_path / "manifest.jsonl"
    assert write_jsonl(path, lines) == 20
    records = read_manifest(path)
    assert [record.id for record in records] == [line["id"] for line in lines]
    assert all(record.labels.tasks == tuple(TASKS) for record in records)
    assert [record.line(tmp_path) for record in records] == lines


def test_little_is_enough(tmp_path: Path) -> None:
    first, second = read_manifest(
        manifest(tmp_path, {"id": "a", "text": "Hello"}, "", {"id": "b", "image": "x.png"})
    )
    assert first.labels == Labels() and first.labels.tasks == () and first.video is None
    assert second.image == tmp_path / "x.png"


BAD = {
    "an unknown key": ({"id": "a", "text": "x", "txt": "y"}, r"unknown key 'txt' \(known: id, video"),
    "a misspelt label": (
        {"id": "a", "text": "x", "labels": {"emotion": {"lable": "joy"}}},
        r"unknown key 'labels.emotion.lable' \(known: label, candidates, votes\)",
    ),
    "an unknown task": ({"id": "a", "text": "x", "labels": {"mood": {}}}, r"labels.mood.*open_vocabulary"),
    "an unknown cue source": (
        {"id": "a", "text": "x", "labels": {"reasoning": {"text": "t", "cues": {"hand": []}}}},
        r"cues.hand.*face, voice, scene, words",
    ),
    "a number for a word": (
        {"id": "a", "text": "x", "labels": {"emotion": {"label": 5}}},
        "labels.emotion.label",
    ),
    "a word for a number": ({"id": "a", "text": "x", "start_s": "3"}, "start_s.*got '3'"),
    "an empty label": ({"id": "a", "text": "x", "labels": {"intent": {"label": ""}}}, "labels.intent.label"),
    "no polarity, no valence": ({"id": "a", "text": "x", "labels": {"sentiment": {}}}, "polarity or valence"),
    "a range upside down": (
        {"id": "a", "text": "x", "labels": {"sentiment": {"valence": 0, "range": [1, -1]}}},
        "low to high",
    ),
    "NaN": ('{"id": "a", "text": "x", "start_s": NaN}', "start_s.*finite"),
    "an end before the start": ({"id": "a", "text": "x", "start_s": 3, "end_s": 2}, "end_s after start_s"),
    "a negative time": ({"id": "a", "text": "x", "start_s": -1}, "start_s"),
    "a box outside": ({"id": "a", "text": "x", "person_box": [0, 0, 2, 1]}, "person_box.2"),
    "nothing at all": ({"id": "a"}, "something to look at"),
    "no id": ({"text": "x"}, "id: field required"),
    "an empty id": ({"id": "", "text": "x"}, "id"),
    "a list": ("[1]", "object"),
    "broken JSON": ('{"id": "a",', "JSON"),
    "a parent folder": ({"id": "a", "video": "../x.mp4"}, "out of the manifest's folder"),
    "a hidden parent folder": ({"id": "a", "video": "a/../../x.mp4"}, "out of the manifest's folder"),
    "an absolute path": ({"id": "a", "audio": "/x.wav"}, "out of the manifest's folder"),
    "a drive": ({"id": "a", "video": "C:\\x.mp4"}, "out of the manifest's folder"),
    "a share": ({"id": "a", "video": "\\\\host\\x.mp4"}, "out of the manifest's folder"),
}


@pytest.mark.parametrize("what", list(BAD))
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, what: str) -> None:
    line, expected = BAD[what]
    path = manifest(tmp_path, {"id": "good", "text": "x"}, line)
    with pytest.raises(ManifestError, match=expected) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert "\n" not in str(caught.value)


def test_other_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(tmp_path / "missing.jsonl")
    with pytest.raises(ManifestError, match="directory"):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="no lines"):
        read_manifest(manifest(tmp_path, ""))
    with pytest.raises(ManifestError, match=r"line 3: id 'a' is also on line 1"):
        read_manifest(manifest(tmp_path, {"id": "a", "text": "x"}, "", {"id": "a", "text": "y"}))
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"id": "a", "text": "é"}'.encode("latin-1"))
    with pytest.raises(ManifestError, match="line 1"):
        read_manifest(path)


def test_paths_outside_where_they_are_allowed(tmp_path: Path) -> None:
    lines = {"id": "a", "video": "/x.mp4"}, {"id": "b", "video": "../y.mp4"}
    first, second = read_manifest(manifest(tmp_path, *lines), allow_outside=True)
    assert first.video == Path("/x.mp4")
    assert second.video == tmp_path / ".." / "y.mp4"


def test_odd_text_and_odd_names_survive(tmp_path: Path) -> None:
    text = "a\u2028b\u0085c\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16") + "\n“…”"
    line = {"id": "日本", "video": "http:x é.mp4", "text": text}
    path = tmp_path / "odd.jsonl"
    write_jsonl(path, [line])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as some editors begin a file
    (record,) = read_manifest(path)
    assert record.text == text
    assert record.line(tmp_path) == line


def test_records_do_not_change() -> None:
    record = Record(id="a", text="x")
    with pytest.raises(ValueError, match="frozen"):
        record.text = "y"  # type: ignore[misc]


def test_predictions(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    lines = [
        {
            "id": "a",
            "task": "emotion",
            "task_version": 1,
            "text": "t",
            "label": "anger",
            "probabilities": {"anger": 1},
        },
        {"id": "a", "task": "intent", "task_version": 1, "error": "a.mp4: is empty; export it again"},
    ]
    write_jsonl(path, lines)
    first, second = read_predictions(path)
    assert first.label == "anger" and second.error
    write_jsonl(path, [first.line(), second.line()])
    assert read_predictions(path) == [first, second]
    write_jsonl(path, [*lines, lines[0]])
    with pytest.raises(ManifestError, match=r"line 3: 'a' has an answer to emotion on line 1"):
        read_predictions(path)
    write_jsonl(path, [{"id": "a", "task": "mood", "task_version": 1}])
    with pytest.raises(ManifestError, match="'sentiment', 'emotion'"):
        read_predictions(path)
    assert Prediction(id="a", task="empathy", task_version=1).text == ""
    warned = {**lines[0], "warnings": [{"code": "no_audio", "text": "no audio: silent"}]}
    write_jsonl(path, [warned])
    assert read_predictions(path)[0].warnings == (CodedWarning("no_audio", "no audio: silent"),)
    assert read_predictions(path)[0].line() == warned


def test_a_line_that_is_no_json_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write_jsonl(path, [{"a": "é"}])
    with pytest.raises(ValueError):
        write_jsonl(path, [{"a": 1}, {"a": float("nan")}])
    assert path.read_bytes() == '{"a": "é"}\n'.encode()


# ---------------------------------------------------------------- schema, long lines, paths outside


def test_the_schema_has_every_key_that_the_page_explains() -> None:
    page = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text("utf-8")
    schema = json_schema()
    assert schema["additionalProperties"] is False and schema["required"] == ["id"]
    told = {
        key
        for line in page.split("\n")
        if line.startswith("| `")
        for key in line.split("|")[1].split("`")[1::2]
    }
    known = {*schema["properties"], *schema["$defs"]["Labels"]["properties"]}
    assert told == known
    assert set(json_schema(Prediction)["properties"]) == set(Prediction.model_fields)


def test_a_file_without_lines_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b'{"id": "a", "text": "x"}\n')
    with path.open("ab") as file:
        file.truncate(4 * LONGEST_LINE_BYTES)
    with pytest.raises(ManifestError, match="line 2: is longer than 16 MiB"):
        read_manifest(path)


def test_paths_outside_need_the_word_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = manifest(tmp_path, {"id": "a", "video": "../a.mp4"})
    with pytest.raises(
        ManifestError, match=r"line 1: video '\.\./a\.mp4' leads out .* NANOEMOX_ALLOW_OUTSIDE=1"
    ):
        read_manifest(path)
    monkeypatch.setenv("NANOEMOX_ALLOW_OUTSIDE", "1")
    assert read_manifest(path)[0].video == tmp_path / "../a.mp4"
    with pytest.raises(ManifestError, match="leads out"):
        read_manifest(path, allow_outside=False)

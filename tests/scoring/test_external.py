"""Predictions of other systems: every form of file, and every fault counted by name."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.cli.main import main
from nanoemox.metrics.emotion_mentions import emotions, mentions
from nanoemox.scoring.external import score_file
from nanoemox.scoring.prediction_files import read_rows
from nanoemox.tasks.grammar import labels_from


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.jsonl"
    lines = [
        {"id": name, "text": "hm", "labels": {"emotion": {"label": label}, "sentiment": {"valence": valence}}}
        for name, label, valence in (("a", "anger", -1.0), ("b", "happiness", 2.0), ("c", "fear", -0.5))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_fault_is_counted_and_named(tmp_path: Path, manifest: Path) -> None:
    path = write(tmp_path / "p.csv", b"names,pred_label\na,anger\na,fear\nb,caf\xe9\nzzz,anger\n,anger\n")
    report = score_file(path, "emotion", manifest)
    faults = {kind: fault["names"] for kind, fault in report.faults.items()}
    assert faults["duplicate id (the first one counts)"] == ["a"]
    assert faults["id without a label (not scored)"] == ["zzz"]
    assert faults["no prediction (counts as wrong)"] == ["c"]
    assert faults["row without an id"] == ["row 5"]
    assert faults["not UTF-8 (unreadable bytes became U+FFFD)"] == ["line 4"]
    assert faults["label outside the list"][0].startswith("b: ")
    assert report.standard["accuracy"]["n"] == 3
    assert report.standard["accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-6)


def test_faults_of_our_own_form_are_named_too(tmp_path: Path, manifest: Path) -> None:
    lines = [
        {
            "id": "a",
            "task": "emotion",
            "label": 5,
            "thinking": {"cause": 3},
            "cues": {"face": "x"},
            "probabilities": {"anger": 2},
        },
        {"id": "b", "task": "emotion", "label": "joyish", "text": "joyish"},
        {"id": "c", "task": "emotion", "text": "", "error": "it is empty"},
    ]
    path = write(tmp_path / "p.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    report = score_file(path, "emotion", manifest)
    faults = {kind: fault["names"] for kind, fault in report.faults.items()}
    assert [name.split()[1] for name in faults["a field of another type (not read)"]] == [
        "label",
        "thinking",
        "cues",
        "probabilities",
    ]
    assert faults["empty answer"] == ["a"]
    assert faults["label outside the list"] == ["b: 'joyish'"]
    assert faults["the system failed (counts as wrong)"] == ["c: it is empty"]
    assert report.standard["accuracy"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 3}
    path = write(tmp_path / "q.jsonl", '{"id": "a", "task": "sentiment", "valence": NaN}\n')
    faults = score_file(path, "sentiment", manifest).faults
    assert faults["valence is not a number"]["names"] == ["a"]


def test_json_that_holds_something_else_is_told(tmp_path: Path, manifest: Path) -> None:
    report = score_file(write(tmp_path / "p.json", '[{"id": "a", "label": "anger"}, 3]'), "emotion", manifest)
    assert report.faults["not a JSON object"]["names"] == ["entry 2"]
    report = score_file(write(tmp_path / "q.json", '{"a": "anger", "b": null}'), "emotion", manifest)
    assert report.faults["empty answer"]["names"] == ["b"]
    for text in ('{"a": [', '"anger"'):
        with pytest.raises(ValueError, match=r"r\.json: expected"):
            score_file(write(tmp_path / "r.json", text), "emotion", manifest)
    with pytest.raises(ValueError, match="no such file"):
        score_file(tmp_path / "none.csv", "emotion", manifest)


def test_nan_and_empty_answers_are_wrong_not_gone(tmp_path: Path, manifest: Path) -> None:
    path = write(tmp_path / "p.csv", "id,valence\na,-2.0\nb,nan\nc,\n")
    report = score_file(path, "sentiment", manifest, mode="both")
    assert report.faults["valence is not a number"]["names"] == ["b"]
    assert report.faults["empty answer"]["names"] == ["c"]
    assert report.standard["accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert report.official["accuracy"] == pytest.approx(2 / 3)  # unread counts as negative
    assert {d["official"] for d in report.differences} <= {"weighted_f1"}


def test_wrong_columns_say_what_was_expected(tmp_path: Path, manifest: Path) -> None:
    with pytest.raises(ValueError, match="found clip_no, x"):
        score_file(write(tmp_path / "p.csv", "clip_no,x\n1,2\n"), "emotion", manifest)
    with pytest.raises(ValueError, match=r"none of its 1 ids.*'q'.*'a'"):
        score_file(write(tmp_path / "q.csv", "id,label\nq,anger\n"), "emotion", manifest)
    with pytest.raises(ValueError, match="convert it"):
        score_file(write(tmp_path / "q.xml", "x"), "emotion", manifest)


def test_the_truth_may_come_in_a_column(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", '{"id": "a", "label": "Complain", "truth": "complain"}\n')
    report = score_file(path, "intent", mode="both")
    assert report.standard["accuracy"]["value"] == 1.0
    assert report.official["intent_accuracy"] == 0.0
    assert report.differences[0]["official"] == "intent_accuracy"


def test_a_long_answer_in_a_table_leaves_the_limit_of_csv_as_it_was(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = write(tmp_path / "p.csv", f"name,text\na,{'x' * 200_000}\n")
    assert len(read_rows(path)[0][0]["text"]) == 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("form", ["name2reason", "pairs", "strings"])
def test_published_npz(tmp_path: Path, form: str) -> None:
    answers = {"a": "he is angry", "b": "glad – 高兴"}
    path = tmp_path / "p.npz"
    if form == "name2reason":
        np.savez_compressed(path, name2reason=np.array(answers, dtype=object))
    else:
        kind: Any = object if form == "pairs" else str
        np.savez(path, filenames=list(answers), fileitems=np.array(list(answers.values()), dtype=kind))
    rows, faults = read_rows(path)
    assert {row["id"]: row["text"] for row in rows} == answers and faults == []


def test_an_npz_runs_no_code(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "p.npz"
    np.savez(path, name2reason=np.array({"a": Bomb()}, dtype=object))
    with pytest.raises(ValueError, match="cannot be read safely"):
        read_rows(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("He is not angry but sad.", ("sad",)),
        ("She isn't afraid, worried or ashamed; she is calm.", ("calm",)),
        ("without any trace of fear", ()),
        ("not only angry but hurt", ("angry", "hurt")),
        ("The content of the subtitle shows joy and delight.", ("joy",)),
        ("He never looks annoyed. He is furious.", ("furious",)),
    ],
)
def test_denied_emotions_do_not_count(text: str, named: tuple[str, ...]) -> None:
    assert emotions(text) == named


def test_denied_mentions_are_kept_as_such() -> None:
    assert [(m.word, m.denied) for m in mentions("not angry, sad")] == [("angry", True), ("sad", True)]


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("The character's emotional state is sad, angry.", "answer grammar"),
        ("[sad, angry]", "label list"),
        ("I think that this person feels sad about it and also angry.", "words in running text"),
        ("no idea at all what that would be", "none"),
    ],
)
def test_the_route_of_labels(text: str, route: str) -> None:
    labels, found = labels_from(text)
    assert found == route
    assert set(labels) == (set() if route == "none" else {"sad", "angry"})


def test_command(tmp_path: Path, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "p.csv", "names,pred_label,chi_reasons\na,anger,x\nb,joy,\nc,not afraid,\n")
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "score",
                str(path),
                "-t",
                "emotion",
                "--manifest",
                str(manifest),
                "--json",
                str(tmp_path / "r.json"),
            ]
        )
    assert not stop.value.code
    assert "label outside the list" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["standard"]["hit_rate"]["value"] > 0.3

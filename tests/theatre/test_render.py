"""Clips of Affect Theatre: in time, on file, repeatable; corpora that resume, repeat, say what failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.theatre import make, render
from nanoemox.theatre.actor import expression
from nanoemox.theatre.script import Script, stage_script
from nanoemox.theatre.voice import LONGEST_SPEECH_S, SPEECH_RATE_HZ


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    return [stage_script(index, 5, "test") for index in range(60)]


def short(seed: int = 5) -> Script:
    """A script with few words: quick to draw."""
    scripts = (stage_script(index, seed, "test") for index in range(1000))
    return next(s for s in scripts if len(s.text) < 30 and s.face == "smile" and not s.sigh)


def read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    return np.stack(frames), sound


def test_plans_keep_the_clip_in_bounds_and_the_apex_in_the_middle(scripts: list[Script]) -> None:
    for script in scripts:
        staged = render.plan(script)
        length_s = staged.length_s
        assert render.SHORTEST_S <= length_s <= render.LONGEST_S, script.id
        assert 0 < staged.apex_s <= 0.2 * length_s and staged.release_s >= 0.8 * length_s, script.id
        assert staged.voice_s >= 0 and staged.voice_s + staged.speech.duration_s <= length_s + 1e-6, script.id
        assert staged.first_word_s - staged.voice_s == pytest.approx(staged.speech.words[0][1]), script.id
        assert staged.speech.duration_s < LONGEST_SPEECH_S + 0.1


def test_the_face_leads_or_follows_the_voice_as_written(scripts: list[Script]) -> None:
    plans = [render.plan(script) for script in scripts]
    off = np.array([p.first_word_s - p.apex_s - s.lead_s for p, s in zip(plans, scripts, strict=True)])
    assert np.mean(np.abs(off) < 0.02) > 0.9, "a few of the longest or latest lines may not have the room"
    assert np.abs(off).max() < 0.4


def test_the_expression_is_there_at_the_middle_frames_and_not_at_the_first(scripts: list[Script]) -> None:
    for script in scripts[:30]:
        staged = render.plan(script)
        poses = render.poses(script, staged)
        assert len(poses) == staged.frames
        first, last = int(0.2 * staged.frames) + 1, int(0.8 * staged.frames)
        for name, target in expression(script.face, script.face_optional, script.strength).items():
            track = np.abs([getattr(pose, name) for pose in poses])
            assert track[first:last].min() > 0.8 * target, (script.id, name)
            if script.face != "hidden" and staged.apex_s > 0.5:
                assert track[:1].max() < 0.5 * target + 0.1 or name == "au43", (script.id, name)


def test_the_mouth_moves_while_talking_only(scripts: list[Script]) -> None:
    script = scripts[0]
    staged = render.plan(script)
    mouth = np.array([pose.speech for pose in render.poses(script, staged)])
    times_s = (np.arange(staged.frames) + 0.5) / render.FRAME_RATE_HZ
    talking = (times_s > staged.first_word_s) & (times_s < staged.voice_s + staged.speech.words[-1][2])
    assert mouth[talking].mean() > 0.2 and mouth[talking].std() > 0.1
    assert mouth[times_s < staged.voice_s - 0.05].max(initial=0) == 0


def test_a_clip_on_file_is_what_was_performed(tmp_path: Path) -> None:
    script = short()
    frames, sound = render.perform(script)
    path = tmp_path / "ein Clip – é.mp4"
    render.write_clip(path, frames, sound, comment="a stamp")
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.average_rate, video.width, video.height) == (25, 192, 192)
        assert container.metadata["comment"] == "a stamp"
    seen, heard = read(path)
    assert seen.shape == frames.shape
    assert np.abs(seen.astype(int) - frames).mean() < 8
    assert abs(len(heard) - len(sound)) < 0.1 * SPEECH_RATE_HZ
    n = min(len(heard), len(sound))
    at = np.argmax(np.correlate(heard[:n], sound[2000 : n - 2000], "valid")) - 2000
    assert abs(at) <= 8, "sound and picture stay together through the file"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_rendering_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    script = short()
    render.render(script, tmp_path / "a.mp4")
    render.render(script, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_clip_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    frames = np.zeros((3, 191, 191, 3), np.uint8)  # H.264 in 4:2:0 wants even sides
    with pytest.raises((av.FFmpegError, ValueError)):
        render.write_clip(tmp_path / "odd.mp4", frames, np.zeros(2000, np.float32))
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_resumes_repeats_and_notices_clips_that_are_not_its_own(tmp_path: Path) -> None:
    report = make.make_theatre(tmp_path, 4, 5, "val", 2, quiet=True)
    assert (report.clips, report.made, report.kept) == (4, 4, 0)
    rows = [json.loads(line) for line in report.manifest.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == [f"val-5-{k:06d}" for k in range(4)]
    assert all((tmp_path / row["video"]).is_file() for row in rows)
    before = {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}

    first, second, *_ = sorted((tmp_path / "clips").iterdir())
    first.unlink()  # as if the run had been cut off
    second.write_bytes(before[second][:5000])  # as if a disk had filled up
    report = make.make_theatre(tmp_path, 4, 5, "val", 2, quiet=True)
    assert (report.made, report.kept) == (2, 2)
    assert {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()} == before


def test_the_stamp_follows_the_script() -> None:
    script = short()
    assert make.stamp(script) == make.stamp(short())
    assert make.stamp(script) != make.stamp(replace(script, text="Something else."))


def test_a_failing_clip_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    blocked = tmp_path / "clips" / "val-5-000001.mp4"
    blocked.mkdir(parents=True)  # a folder where the clip should go
    with pytest.raises(make.MakeError, match=r"1 of 3 clips failed.*val-5-000001.*run again"):
        make.make_theatre(tmp_path, 3, 5, "val", 2, quiet=True)
    assert not (tmp_path / "manifest.jsonl").exists()
    assert sorted(p.name for p in (tmp_path / "clips").iterdir() if p.is_file()) == [
        "val-5-000000.mp4",
        "val-5-000002.mp4",
    ]


def test_a_bug_in_drawing_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool:
        """Runs what it is given at once, in this process, where it can be broken."""

        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, function: Callable[..., object], *given: object) -> Future[object]:
            future: Future[object] = Future()
            try:
                future.set_result(function(*given))
            except Exception as error:
                future.set_exception(error)
            return future

    def broken(*_: object, **__: object) -> None:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(make, "started_pool", Pool)
    monkeypatch.setattr(make, "render", broken)
    with pytest.raises(RuntimeError, match=r"2 of 2 clips failed.*val-5-000000: ValueError") as caught:
        make.make_theatre(tmp_path, 2, 5, "val", 1, quiet=True)
    assert isinstance(caught.value.__cause__, ValueError)
    assert not isinstance(caught.value, NanoEmoXError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, "train", 1), "at least 1"),
        ((1, 1, "dev", 1), "train, val, test"),
        ((1, 1, "val", 0), "workers = 0"),
    ],
)
def test_impossible_orders_are_refused(
    tmp_path: Path, arguments: tuple[int, int, str, int], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        make.make_theatre(tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()

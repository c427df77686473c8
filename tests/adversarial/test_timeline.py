"""The right picture at the right time, and sound in its place, whatever a file's clock, index and header say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.media import audio as audio_module
from nanoemox.media import container as container_module
from nanoemox.media import video as video_module
from nanoemox.media.clip import Clip, frame_indices
from nanoemox.media.load import load_clip
from nanoemox.media.untrusted import MediaError
from tests.adversarial.timeline_files import (
    beeps,
    cut_before,
    film,
    heard,
    lie_about_byte_rate,
    shown_frames,
    with_edits,
    without_fact,
)
from tests.media_files import numbers

RATE_HZ = 48_000
PROGRAM_STREAM = {"video": "mpeg2video", "audio": "mp2"}


def ticks(n: int, begin_s: float = 0.0, fps: float = 25) -> list[float]:
    return [begin_s + i / fps for i in range(n)]


def how(name: str) -> dict[str, Any]:
    """The encoders that a container takes."""
    return PROGRAM_STREAM if name.endswith(".mpg") else {}


def frames_of(clip: Clip) -> list[int]:
    assert clip.frames is not None
    return numbers(clip.frames)


def beeps_of(clip: Clip) -> list[float]:
    """When beeps begin in the audio windows, in seconds from the beginning of the cut."""
    assert clip.audio_windows is not None
    found = {
        round(start_s + at_s, 1)
        for start_s, window in zip(clip.audio_starts_s, clip.audio_windows, strict=True)
        for at_s in heard(window)
        if 0.02 < at_s < 1.9  # whole in this window
    }
    return sorted(found)


def expected(path: Path) -> list[int]:
    """What the official rule takes from a full decode."""
    shown = [number for _, number in shown_frames(path)]
    return [shown[i] for i in frame_indices(len(shown))]


# ---------------------------------------------------------------- clocks


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv", "a.mpg"])
def test_audio_that_begins_late_stays_late(tmp_path: Path, name: str) -> None:
    sounds = [(1.5, beeps(3.0, RATE_HZ))]
    path = film(tmp_path / name, ticks(100), sounds, rate_hz=RATE_HZ, **how(name))
    clip = load_clip(path)
    assert beeps_of(clip) == [2.0, 3.0, 4.0]
    assert frames_of(clip) == frame_indices(100)
    assert clip.duration_s == pytest.approx(4.5, abs=0.05)
    assert clip.warnings == ()
    cut = load_clip(path, start_s=1.0, end_s=3.0)
    assert beeps_of(cut) == [1.0]
    assert frames_of(cut) == [25 + i for i in frame_indices(50)]
    before = load_clip(path, start_s=0.2, end_s=1.2)
    assert before.audio_windows is not None
    assert not before.audio_windows.any()


@pytest.mark.parametrize(
    ("name", "encoders"),
    [
        ("a.wmv", {"video": "mpeg4", "audio": "mp2"}),
        ("a.m2ts", {}),
        ("a.webm", {"video": "libvpx", "audio": "libopus"}),
        ("a.wtv", PROGRAM_STREAM),
    ],
)
def test_audio_that_begins_behind_what_is_probed_or_stated(
    tmp_path: Path, name: str, encoders: dict[str, Any]
) -> None:
    path = film(tmp_path / name, ticks(150), [(2.0, beeps(2.0, RATE_HZ))], rate_hz=RATE_HZ, **encoders)
    clip = load_clip(path)
    assert (beeps_of(clip), clip.warnings) == ([2.5, 3.5], ())
    assert clip.duration_s == pytest.approx(6.0, abs=0.05)


def test_a_clock_of_ogg_that_begins_late(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ogg", (), [(2.0, beeps(2.0, RATE_HZ))], audio="libopus", rate_hz=RATE_HZ)
    clip = load_clip(path)
    assert (beeps_of(clip), clip.warnings) == ([0.5, 1.5], ())
    assert clip.duration_s == pytest.approx(2.0, abs=0.05)


def test_video_that_begins_late(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", ticks(50, 2.0), [(0.0, beeps(4.0))])
    clip = load_clip(path)
    assert frames_of(clip) == frame_indices(50)
    assert clip.frame_times_s[0] == pytest.approx(2.0)
    assert clip.duration_s == pytest.approx(4.0, abs=0.05)
    early = load_clip(path, start_s=0.0, end_s=1.0)
    assert early.frames is None
    assert "between 0 s and 1 s" in early.modalities["video"]
    assert early.warnings == ()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv", "a.mpg"])
def test_gaps_in_sound_are_silence(tmp_path: Path, name: str) -> None:
    sounds = [(0.0, beeps(2.0, RATE_HZ)), (3.2, beeps(3.0, RATE_HZ))]
    path = film(tmp_path / name, ticks(155), sounds, rate_hz=RATE_HZ, **how(name))
    clip = load_clip(path)
    assert beeps_of(clip) == [0.5, 1.5, 3.7, 4.7, 5.7]
    assert clip.warnings == ()
    assert beeps_of(load_clip(path, start_s=1.0, end_s=5.0)) == [0.5, 2.7, 3.7]
    inside = load_clip(path, start_s=2.3, end_s=3.0)
    assert inside.audio_windows is not None and inside.duration_s == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "ac3", "mp2"])
@pytest.mark.parametrize("gap_s", [0, 2])
def test_gaps_in_the_audio_of_avi_are_silence(tmp_path: Path, codec: str, gap_s: int) -> None:
    rate_hz = 32_000 if codec == "ac3" else 16_000
    sounds = [(0.0, beeps(2.0, rate_hz)), (2.0 + gap_s, beeps(2.0, rate_hz))]
    path = film(tmp_path / "a.avi", ticks(150), sounds, video="mpeg4", audio=codec, rate_hz=rate_hz)
    source = container_module.inspect(path)
    assert source.audio_end_s == pytest.approx(4.0 + gap_s, abs=0.15)
    for start_s in (None, 1.1):
        clip = load_clip(path, audio_windows=12, start_s=start_s, end_s=start_s and 5.9)
        wanted = [
            at - (start_s or 0) for at in (0.5, 1.5, 2.5 + gap_s, 3.5 + gap_s) if (start_s or 0) < at < 5.9
        ]
        assert beeps_of(clip) == pytest.approx(wanted, abs=0.11)
        assert clip.warnings == ()


def test_an_avi_that_was_cut_inside_its_index_is_read(tmp_path: Path) -> None:
    """A row has 16 bytes; whatever is left of the last one, the rows before it are of use."""
    path = film(tmp_path / "a.avi", ticks(150), [(0.0, beeps(4.0))], video="mpeg4", audio="libmp3lame")
    whole = path.read_bytes()
    index = whole.rindex(b"idx1") + 8
    for left in (17, 31, 1003):
        path.write_bytes(whole[: index + left])
        assert beeps_of(load_clip(path, audio_windows=12)) == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.11)


def test_empty_packets_that_ffmpeg_counts_itself(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", ticks(150), [(2.0, beeps(2.0))], video="mpeg4", audio="flac")
    clip = load_clip(path, audio_windows=12)
    assert (clip.warnings, beeps_of(clip)) == ((), [4.5, 5.5])  # as its writer has it, twice as late


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_u8", "adpcm_ms", "pcm_mulaw", "libmp3lame", "flac"])
def test_the_audio_of_avi_is_as_long_as_it_is(tmp_path: Path, codec: str) -> None:
    path = film(tmp_path / "a.avi", ticks(50), [(0.0, beeps(4.0))], video="mpeg4", audio=codec)
    assert container_module.inspect(path).audio_end_s == pytest.approx(4.0, abs=0.15)
    clip = load_clip(path)
    assert (clip.warnings, clip.duration_s) == ((), pytest.approx(4.0, abs=0.15))


def test_gaps_in_long_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds = [(0.0, beeps(9.2)), (12.2, beeps(12.0))]
    path = film(tmp_path / "a.mkv", (), sounds)
    whole = load_clip(path)
    monkeypatch.setattr(audio_module, "DECODE_ALL_S", 5.0)
    windows = load_clip(path)
    assert windows.audio_starts_s == whole.audio_starts_s
    np.testing.assert_allclose(windows.audio_windows, whole.audio_windows, atol=0.01)  # type: ignore[arg-type]


def test_what_ends_before_the_file_is_no_damage(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", ticks(150), [(0.0, beeps(2.0))])
    cut = load_clip(path, start_s=4.0, end_s=5.0)
    assert cut.audio_windows is None
    assert cut.modalities["audio"] == "the file has no audio between 4 s and 5 s"
    assert cut.warnings == ()
    path = film(tmp_path / "b.mp4", ticks(50), [(0.0, beeps(6.0))])
    held = load_clip(path, start_s=4.0, end_s=5.0)
    assert frames_of(held) == [49] * 8  # a player goes on showing the last frame
    assert held.duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv", "a.mpg", "a.mov"])
def test_clocks_that_begin_at_an_hour(tmp_path: Path, name: str) -> None:
    sounds = [(3600.0, beeps(4.0, RATE_HZ))]
    path = film(tmp_path / name, ticks(100, 3600.0), sounds, rate_hz=RATE_HZ, **how(name))
    clip = load_clip(path)
    assert frames_of(clip) == frame_indices(100)
    assert beeps_of(clip) == [0.5, 1.5, 2.5, 3.5]
    assert clip.frame_times_s[0] < 0.05 and clip.duration_s == pytest.approx(4.0, abs=0.05)
    assert clip.warnings == ()
    cut = load_clip(path, start_s=1.0, end_s=3.0)
    assert frames_of(cut)[0] == 25 and beeps_of(cut) == [0.5, 1.5]
    with pytest.raises(MediaError, match=r"ends at 4\.\d\d s, before start_s = 10"):
        load_clip(path, start_s=10.0)


EDITS: dict[str, tuple[list[tuple[int, int]], list[int]]] = {
    "begins later": ([(2000, 512 * 50)], list(range(50, 100))),
    "begins between key frames": ([(2000, 512 * 31)], list(range(31, 81))),
    "leaves out the middle": ([(1000, 0), (1000, 512 * 60)], [*range(25), *range(60, 85)]),
    "plays the second half first": ([(2000, 512 * 50), (2000, 0)], [*range(50, 100), *range(50)]),
}


@pytest.mark.parametrize("kind", list(EDITS))
def test_edit_lists_of_video(tmp_path: Path, kind: str) -> None:
    edits, shown = EDITS[kind]
    path = with_edits(film(tmp_path / "a.mp4", ticks(100)), b"vide", edits)
    assert [number for _, number in shown_frames(path)] == shown
    clip = load_clip(path)
    assert frames_of(clip) == [shown[i] for i in frame_indices(len(shown))]
    assert clip.duration_s == pytest.approx(len(shown) / 25, abs=0.01)
    assert clip.warnings == ()
    cut = load_clip(path, start_s=0.4, end_s=1.6)
    assert frames_of(cut) == [shown[10 + i] for i in frame_indices(30)]


def test_edit_lists_that_delay(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", ticks(100), [(0.0, beeps(5.0))])
    video = load_clip(with_edits(path, b"vide", [(1000, -1), (4000, 0)]))
    assert video.frame_times_s[0] == pytest.approx(1.0)
    assert beeps_of(video) == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert video.warnings == ()
    path = film(tmp_path / "b.mp4", ticks(100), [(0.0, beeps(4.0))])
    audio = load_clip(with_edits(path, b"soun", [(1500, -1), (2500, 1024)]))
    assert beeps_of(audio) == [2.0, 3.0]
    assert audio.duration_s == pytest.approx(4.0, abs=0.1)
    assert audio.warnings == ()


# ---------------------------------------------------------------- lengths


@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav", "pcm_s16le", "pcm_mulaw"])
@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_wav_that_lies_about_its_byte_rate(tmp_path: Path, codec: str, factor: float) -> None:
    path = film(tmp_path / "a.wav", (), [(0.0, beeps(6.0, 44_100))], audio=codec, rate_hz=44_100)
    clip = load_clip(lie_about_byte_rate(without_fact(path), factor))
    assert clip.duration_s == pytest.approx(6.0, abs=0.05)
    assert beeps_of(clip) == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert clip.warnings == ()
    assert beeps_of(load_clip(path, start_s=3.0, end_s=5.0)) == [0.5, 1.5]


def uneven_mp3(path: Path) -> Path:
    """5 s at 32 kbit/s and 10 s at 160 kbit/s, without a header that says so."""
    parts = []
    for seconds, rate in ((5, "32k"), (10, "160k")):
        film(
            path,
            (),
            [(0.0, beeps(seconds, 32_000))],
            audio="libmp3lame",
            audio_options={"b": rate, "reservoir": "0"},
            rate_hz=32_000,
            options={"write_xing": "0", "id3v2_version": "0"},
        )
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("name", ["a.mp3", "a.aac"])
def test_audio_whose_length_is_a_guess(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "a.mp3":
        path = uneven_mp3(tmp_path / name)
    else:
        noise = np.random.default_rng(0).normal(0, 0.05, 10 * 32_000).astype(np.float32)
        sound = np.concatenate([beeps(5.0, 32_000), beeps(10.0, 32_000) + noise])
        path = film(tmp_path / name, (), [(0.0, sound)], rate_hz=32_000)
    source = container_module.inspect(path)
    assert source.estimated and "estimate" in source.stated
    assert abs((source.duration_s or 0) - 15.0) > 1.0
    clip = load_clip(path)
    assert clip.duration_s == pytest.approx(15.0, abs=0.2)
    assert clip.warnings == ()
    assert beeps_of(load_clip(path, start_s=11.0, end_s=14.0)) == pytest.approx([0.5, 1.5, 2.5], abs=0.11)
    monkeypatch.setattr(audio_module, "DECODE_ALL_S", 4.0)
    windows = load_clip(path)
    assert windows.duration_s == pytest.approx(clip.duration_s, abs=0.001)
    np.testing.assert_allclose(windows.audio_windows, clip.audio_windows, atol=0.02)  # type: ignore[arg-type]
    with pytest.raises(MediaError, match=r"ends at 15\.\d\d s, before start_s = 40"):
        load_clip(path, start_s=40.0)


# ---------------------------------------------------------------- seeking


LONG: dict[str, dict[str, Any]] = {
    "a.ts": {},
    "a.mpg": {"video": "mpeg2video"},
    "h264.avi": {},
    "xvid.avi": {"video": "mpeg4"},
    "a.mp4": {},
    "a.mkv": {},
    "a.flv": {},
    "a.h264": {},
}


@pytest.mark.parametrize("name", list(LONG))
@pytest.mark.parametrize("threshold", [100, 1000])
def test_seeking_finds_what_a_full_decode_finds(
    tmp_path: Path, name: str, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 frames with B-frames and distant key frames, sought and decoded through."""
    monkeypatch.setattr(video_module, "DECODE_THROUGH_FRAMES", threshold)
    path = film(tmp_path / name, ticks(400), gop=48, bframes=3, **LONG[name])
    clip = load_clip(path)
    assert frames_of(clip) == frame_indices(400)
    assert clip.frame_times_s == pytest.approx(np.array(frame_indices(400)) / 25, abs=0.002)
    assert clip.duration_s == pytest.approx(16.0, abs=0.01)
    assert clip.warnings == ()
    for start_s, end_s in ((1.2, 2.0), (5.6, 14.8), (9.6, 9.68), (15.6, 20.0)):
        cut = load_clip(path, start_s=start_s, end_s=end_s)
        first, last = round(start_s * 25), min(400, round(end_s * 25))
        assert frames_of(cut) == [first + i for i in frame_indices(last - first)]
        assert cut.duration_s == pytest.approx(min(end_s, 16.0) - start_s, abs=0.01)
        assert cut.warnings == ()


def test_a_large_file_is_not_read_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the index, with B-frames and uneven times: the packets of a few groups are read, not all."""
    monkeypatch.setattr(video_module, "DECODE_THROUGH_FRAMES", 100)
    monkeypatch.setattr(video_module, "COUNT_BYTES", 0)
    monkeypatch.setattr(container_module, "READ_THROUGH_BYTES", 0)
    for name in ("a.mp4", "a.avi"):
        times = uneven(400) if name == "a.mp4" else ticks(400)
        path = film(tmp_path / name, times, gop=48, bframes=2, rate=100 if name == "a.mp4" else 25)
        assert frames_of(load_clip(path)) == frame_indices(400)


def uneven(n: int) -> list[float]:
    """Times in bursts: 50 frames 10 ms apart, then 50 that are 200 ms apart, and so on."""
    steps = [0.01 if i % 100 < 50 else 0.2 for i in range(n)]
    return [round(sum(steps[:i]), 3) for i in range(n)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_variable_rate(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "DECODE_THROUGH_FRAMES", 100)
    times = uneven(400)
    path = film(tmp_path / name, times, gop=60, bframes=2, rate=100)
    clip = load_clip(path)
    assert frames_of(clip) == frame_indices(400)
    begin_s = times[60] + 0.1  # between two frames that are 0.2 s apart
    cut = load_clip(path, start_s=begin_s, end_s=begin_s + 30)
    assert frames_of(cut)[0] == 60
    shown = [i for i, at_s in enumerate(times) if times[60] <= at_s < begin_s + 30]
    assert frames_of(cut) == [shown[i] for i in frame_indices(len(shown))]


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_large_file_without_an_index_tells_that_frames_were_not_counted(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "DECODE_THROUGH_FRAMES", 100)
    monkeypatch.setattr(video_module, "COUNT_BYTES", 0)
    even = load_clip(film(tmp_path / name, ticks(400), gop=60, bframes=2))
    assert (frames_of(even), even.warnings) == (frame_indices(400), ())
    clip = load_clip(film(tmp_path / name, uneven(400), gop=60, bframes=2, rate=100))
    assert frames_of(clip) != frame_indices(400)  # by a mean rate
    [warning] = clip.warnings
    assert warning.code == "frames_by_time" and "chosen by time, not by number" in warning.text
    assert clip.duration_s == pytest.approx(uneven(400)[-1], abs=0.3)  # which is measured


@pytest.mark.parametrize(("name", "unit"), [("a.ts", 188), ("a.mpg", 2048)])
@pytest.mark.parametrize("threshold", [100, 1000])
def test_streams_that_begin_between_key_frames(
    tmp_path: Path, name: str, unit: int, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "DECODE_THROUGH_FRAMES", threshold)
    path = film(
        tmp_path / name,
        ticks(300),
        [(0.0, beeps(12.0, RATE_HZ))],
        gop=48,
        bframes=2,
        rate_hz=RATE_HZ,
        **how(name),
    )
    cut_before(path, 0.3, unit)
    shown = shown_frames(path)
    assert 100 < len(shown) < 290
    clip = load_clip(path)
    assert frames_of(clip) == expected(path)
    assert clip.warnings == ()
    begin_s = container_module.inspect(path).start_s
    middle = len(shown) // 2
    at_s = (shown[middle][0] or 0.0) - begin_s
    cut = load_clip(path, start_s=at_s, end_s=at_s + 1.0)
    assert frames_of(cut) == [shown[middle + i][1] for i in frame_indices(25)]


def test_recordings_that_were_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock begins anew in the middle; what comes then follows."""
    monkeypatch.setattr(video_module, "DECODE_THROUGH_FRAMES", 100)
    path = film(tmp_path / "a.ts", ticks(200), [(0.0, beeps(8.0, RATE_HZ))], rate_hz=RATE_HZ)
    path.write_bytes(2 * path.read_bytes())
    clip = load_clip(path)
    assert frames_of(clip) == expected(path)
    assert clip.duration_s == pytest.approx(16.0, abs=0.1)
    assert clip.warnings == ()
    assert frames_of(load_clip(path, start_s=10.0, end_s=12.0)) == [50 + i for i in frame_indices(50)]


# ---------------------------------------------------------------- cuts


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv"])
def test_a_cut_between_two_slides(tmp_path: Path, name: str) -> None:
    """What is on the screen when the cut begins is part of it."""
    times = [0.0, 4.0, 8.0, 12.0]
    path = film(tmp_path / name, times, [(0.0, beeps(16.0, RATE_HZ))], gop=1, rate_hz=RATE_HZ)
    for start_s, end_s in ((5.5, 5.9), (5.5, 7.5), (7.5, 9.5), (8.0, 11.5), (8.1, 11.5), (13.5, 15.5)):
        clip = load_clip(path, start_s=start_s, end_s=end_s)
        first, last = int(start_s // 4), int(end_s // 4)
        assert list(dict.fromkeys(frames_of(clip))) == list(range(first, last + 1))
        assert start_s <= clip.frame_times_s[0] < start_s + 0.05
        assert clip.duration_s == pytest.approx(end_s - start_s, abs=0.01)
        assert clip.warnings == ()


@pytest.mark.parametrize("threshold", [50, 1000])
def test_dropped_frames_of_avi_are_no_damage(
    tmp_path: Path, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three frames, then seven that are dropped: the one before them stays on the screen."""
    monkeypatch.setattr(video_module, "DECODE_THROUGH_FRAMES", threshold)
    times = [i / 25 for i in range(400) if i % 10 < 3]
    path = film(tmp_path / "a.avi", times, [(0.0, beeps(16.0))], video="mpeg4", audio="mp2")
    clip = load_clip(path)
    assert frames_of(clip) == frame_indices(120)
    assert clip.warnings == ()
    cut = load_clip(path, start_s=4.25, end_s=6.0)
    first = max(i for i, at_s in enumerate(times) if at_s <= 4.25)
    last = max(i for i, at_s in enumerate(times) if at_s < 6.0)
    taken = [first + i for i in frame_indices(last - first + 1)]
    assert frames_of(cut) == taken
    assert cut.frame_times_s == pytest.approx([max(times[i], 4.25) for i in taken])


def test_what_ends_as_the_cut_begins_is_not_part_of_it(tmp_path: Path) -> None:
    """A frame that is on the screen for a few milliseconds more: times are rounded, in files and by people."""
    path = film(tmp_path / "a.mkv", ticks(90, fps=30), rate=30)
    assert frames_of(load_clip(path, start_s=0.99, end_s=2.0))[0] == 30
    assert frames_of(load_clip(path, start_s=1.0, end_s=2.0))[0] == 30
    assert frames_of(load_clip(path, start_s=1.01, end_s=1.02)) == [30] * 8


def test_sound_that_begins_before_the_cut(tmp_path: Path) -> None:
    """One packet of four seconds, cut in its middle."""
    path = film(tmp_path / "a.mkv", ticks(400), [(0.0, beeps(16.0))], audio="pcm_s16le", block=64_000)
    for start_s in (1.0, 5.0, 6.2, 11.9):
        cut = load_clip(path, start_s=start_s, end_s=start_s + 2.0)
        at_s = [at for at in (0.5 + i for i in range(16)) if start_s < at < start_s + 1.9]
        assert beeps_of(cut) == pytest.approx([at - start_s for at in at_s], abs=0.01)

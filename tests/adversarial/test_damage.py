"""Damage is told, and nothing else is."""

from __future__ import annotations

import contextlib
import io
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nanoemox.media.load import load_clip
from nanoemox.media.untrusted import MediaError
from tests.adversarial import mutations
from tests.media_files import make_media, numbered_frame

HARMLESS = {"audio_silent", "frames_early"}


def faults(path: Path, **cut: float) -> list[str]:
    return [str(w) for w in load_clip(path, **cut).warnings if w.code not in HARMLESS]


@pytest.mark.parametrize("name", mutations.SEEDS)
def test_no_sound_file_is_called_damaged(tmp_path: Path, name: str) -> None:
    path = mutations.make_seed(tmp_path, name)
    assert faults(path) == []
    if path.suffix[1:] in mutations.STILLS:
        return
    for start_s, end_s in ((0.1, 0.9), (0.5, 2.0), (1.1, 2.3), (1.55, 1.95)):
        assert faults(path, start_s=start_s, end_s=end_s) == []


def encoded(path: Path, codec: str, options: dict[str, str], *, frames: int = 120, gop: int = 30) -> Path:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.options = options
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


UNUSUAL = {
    "open.ts": ("libx264", {"x264-params": "open-gop=1:bframes=3:keyint=25"}),
    "open.mp4": ("libx264", {"x264-params": "open-gop=1:bframes=3:keyint=25"}),
    "refresh.ts": ("libx264", {"x264-params": "intra-refresh=1:keyint=25"}),
    "refresh.mkv": ("libx264", {"x264-params": "intra-refresh=1:keyint=25"}),
    "slices.mkv": ("libx264", {"x264-params": "slices=4:bframes=2"}),
    "open.mkv": ("libx265", {"x265-params": "open-gop=1:bframes=3:keyint=25:log-level=none"}),
    "open_hevc.ts": ("libx265", {"x265-params": "open-gop=1:bframes=3:keyint=25:log-level=none"}),
    "b.mpg": ("mpeg2video", {"bf": "2"}),
    "b.avi": ("mpeg4", {"bf": "2"}),
    "resilient.mp4": ("mpeg4", {"flags": "+aic", "bf": "1"}),
    "alt.webm": ("libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "10"}),
    "layers.webm": ("libvpx", {"error-resilient": "1"}),
}


@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("long", [False, True])
def test_no_unusual_file_is_called_damaged(
    tmp_path: Path, name: str, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if long:  # found by seeking
        monkeypatch.setattr("nanoemox.media.video.DECODE_THROUGH_FRAMES", 10)
    path = encoded(tmp_path / name, *UNUSUAL[name])
    assert faults(path) == []
    for start_s, end_s in ((0.3, 1.1), (1.3, 2.9), (2.02, 2.5), (3.5, 4.7)):
        assert faults(path, start_s=start_s, end_s=end_s) == []


@pytest.mark.parametrize("container", ["webm", "matroska"])
def test_a_live_recording_is_not_called_damaged(tmp_path: Path, container: str) -> None:
    """As browsers record: no lengths, since the file is written while it is recorded."""
    whole = make_media(tmp_path / "a.mkv", 2.0, video="libvpx", audio="libopus", rate_hz=48_000)
    live = io.BytesIO()
    live.seekable = lambda: False  # type: ignore[method-assign]
    with av.open(str(whole)) as source, av.open(live, "w", format=container, options={"live": "1"}) as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    path = tmp_path / "live.webm"
    path.write_bytes(live.getvalue())
    assert faults(path) == []


def test_a_recording_that_begins_in_the_middle_is_not_called_damaged(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.ts", "libx264", {"x264-params": "bframes=3:keyint=25"})
    data = path.read_bytes()
    cut = len(data) // 3 // 188 * 188
    path.write_bytes(data[:376] + data[cut:])  # the tables of the stream stay
    assert [warning for warning in faults(path) if "may be wrong" in warning] == []


def test_damage_in_one_group_leaves_the_others_sure(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.mp4", "libx264", {"x264-params": "bframes=0:keyint=30:scenecut=0"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        at = next(p.pos for p in container.demux(video=0) if p.pts and p.pts * p.time_base >= 2.6)
    data[at + 6 : at + 16] = bytes(10)
    path.write_bytes(data)
    (warning,) = load_clip(path).warnings
    assert warning.code == "video_damaged"
    assert "1 of the 8 frames" in warning.text or "2 of the 8 frames" in warning.text


@pytest.mark.parametrize("codec", ["flac", "ac3"])
def test_checksums_of_audio_are_compared_and_what_fails_is_heard_all_the_same(
    tmp_path: Path, codec: str
) -> None:
    path = make_media(tmp_path / "a.mka", 3.0, video=None, audio=codec, rate_hz=48_000)
    whole, data = load_clip(path), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    clip = load_clip(path)
    assert [warning.code for warning in clip.warnings] == ["audio_damaged"]
    assert clip.duration_s == pytest.approx(whole.duration_s, abs=0.05)
    assert clip.audio_windows is not None


def test_a_picture_that_is_cut_off_says_so(tmp_path: Path) -> None:
    path = mutations.make_seed(tmp_path, "noise.jpg")
    path.write_bytes(path.read_bytes()[:-300])
    assert [warning.code for warning in load_clip(path).warnings] == ["video_damaged"]


def test_most_damage_is_told(tmp_path: Path) -> None:
    """A part of the loop; all of it and its figures are in docs/log.md."""
    seeds = ["h264.mp4", "h264.mkv", "h264.ts", "vp8.webm", "mpeg4.mp4", "tone.flac", "opus.ogg", "flv1.flv"]
    kinds = [
        "10 bits",
        "zeros",
        "many zeros",
        "ones",
        "piece removed",
        "pieces swapped",
        "byte lost",
        "bytes added",
    ]
    counts = Counter(word for _, _, word, _ in mutations.loop(tmp_path, seeds, kinds))
    assert counts["crashed"] == 0
    assert counts["not told"] <= 8  # without a look at what the decoder says: 44


@pytest.mark.parametrize("suffix", ["mkv", "flv", "ogg"])
def test_hostile_lengths_end(tmp_path: Path, suffix: str) -> None:
    starts = {"mkv": b"\x1a\x45\xdf\xa3", "flv": b"FLV\1\5\0\0\0\x09", "ogg": b"OggS\0"}
    dice = random.Random(suffix)
    for i in range(40):
        path = tmp_path / f"{i}.{suffix}"
        path.write_bytes(
            starts[suffix] + dice.randbytes(200) + bytes(50) + np.full(50, 255, np.uint8).tobytes()
        )
        with contextlib.suppress(MediaError):
            load_clip(path)

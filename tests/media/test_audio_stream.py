"""All audio of a file, piece by piece: nothing is lost, nothing is held, gaps are known."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nanoemox.media.audio_stream import AudioPiece, audio_pieces
from nanoemox.media.container import inspect
from nanoemox.media.load import load_clip
from tests.media_files import make_media, tone
from tests.speech import write_wav


def pieces_of(path: Path, piece_s: float = 0.5, **cut: float) -> list[AudioPiece]:
    return list(audio_pieces(inspect(path), piece_s, **cut))


@pytest.mark.parametrize(
    ("audio", "name", "rate_hz"), [("pcm_s16le", "a.wav", 44_100), ("aac", "a.mp4", 48_000)]
)
def test_the_pieces_are_what_the_windows_are_cut_from(
    tmp_path: Path, audio: str, name: str, rate_hz: int
) -> None:
    sound = tone(2.0, rate_hz)
    path = make_media(tmp_path / name, 2.0, video=None, audio=audio, sound=sound, rate_hz=rate_hz)
    found = pieces_of(path)
    assert {len(piece.samples) for piece in found[:-1]} == {8000}
    assert [piece.start_s for piece in found] == pytest.approx([0.5 * i for i in range(len(found))])
    windows = load_clip(path, audio_windows=1).audio_windows
    assert windows is not None
    joined = np.concatenate([piece.samples for piece in found])
    assert np.abs(joined[:31_000] - windows[0, :31_000]).max() < 1e-4


def test_a_cut_holds_what_lies_in_it(tmp_path: Path) -> None:
    ramp = np.arange(16_000 * 4) // 4
    path = write_wav(tmp_path / "a.wav", ramp, rate_hz=16_000)
    found = pieces_of(path, 0.5, start_s=1.25, end_s=2.5)
    joined = np.concatenate([piece.samples for piece in found])
    assert found[0].start_s == 1.25
    assert len(joined) == 20_000
    assert (joined * 32_768).astype(int)[[0, -1]].tolist() == [20_000 // 4, 39_999 // 4]


def test_a_long_gap_begins_a_new_piece_and_a_short_one_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for begin_s in (0.0, 1.2, 3600.0):
            frame = av.AudioFrame.from_ndarray(
                np.full((1, 16_000), 8192, np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.time_base = 16_000, Fraction(1, 16_000)
            frame.pts = round(begin_s * 16_000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    found = pieces_of(path, 10.0)
    assert [piece.start_s for piece in found] == pytest.approx([0.0, 3600.0], abs=0.01)
    assert [len(piece.samples) for piece in found] == pytest.approx([35_200, 16_000], abs=40)
    assert not found[0].samples[16_200:19_000].any()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(16_000 * 240, np.int16), rate_hz=16_000)
    tracemalloc.start()
    total = sum(len(piece.samples) for piece in audio_pieces(inspect(path), 5.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 16_000 * 240
    assert peak < 4_000_000  # of 15 MB


def test_reading_may_take_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(16_000 * 20, np.int16), rate_hz=16_000)
    source = inspect(path)
    source.meter.wall_s -= 1000
    source.meter.work_s -= 1000
    assert sum(len(piece.samples) for piece in audio_pieces(source, 5.0)) == 16_000 * 20
    assert not source.meter.stopped

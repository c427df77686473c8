"""The audio of a file from its beginning to its end, piece by piece: mono at 16 kHz, in memory that does not grow.

`audio.py` reads windows; this reads everything, for what has to hear it all. Letters: L samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nanoemox.media.audio import Resampler, mono_frames
from nanoemox.media.clip import SAMPLE_RATE_HZ
from nanoemox.media.container import Source
from nanoemox.media.downmix import Downmix
from nanoemox.media.timeline import GAP_S, SETTLED_S, AudioReader

JUMP_S = 1.0  # a gap in the audio that is longer is left out instead of being filled with zeros

Samples = NDArray[np.float32]


class AudioPiece(NamedTuple):
    """Samples float32 [L] in [-1, 1] and when they begin, in seconds from the beginning of the file."""

    start_s: float
    samples: Samples

    @property
    def end_s(self) -> float:
        """When they end."""
        return self.start_s + len(self.samples) / SAMPLE_RATE_HZ


def audio_pieces(
    source: Source,
    piece_s: float,
    start_s: float | None = None,
    end_s: float | None = None,
    mix: Downmix | None = None,
    on_faults: Callable[[int], None] | None = None,
) -> Iterator[AudioPiece]:
    """All audio of a file in pieces of one length; those before a gap and at the end are shorter.

    Reading may take as long as it needs: the limit of time for one file does not count here.

    Args:
        source: The file, with audio.
        piece_s: How long a piece is, in seconds.
        start_s: Begin here, in seconds from the beginning of the file.
        end_s: End here.
        mix: Makes each frame mono, and learns whether its channels cancel each other.
        on_faults: Is told at the end how often the decoder found damage.

    Yields:
        The pieces in their order. One begins where the one before it ends, unless the file has a gap of over `JUMP_S`.

    Raises:
        MediaError: If the samples are not numbers.
    """
    source.meter.time_s = source.meter.total_bytes = math.inf
    size = round(piece_s * SAMPLE_RATE_HZ)
    with AudioReader(source) as reader:
        held, count, at_s = list[Samples](), 0, 0.0
        hi = math.inf if end_s is None else end_s
        for begins_s, block in _blocks(reader, start_s or 0.0, hi, mix or Downmix()):
            if begins_s is not None:  # behind a gap
                if count:
                    yield AudioPiece(at_s, np.concatenate(held))
                held, count, at_s = [], 0, begins_s
            held.append(block)
            count += len(block)
            while count >= size:
                joined = np.concatenate(held)
                yield AudioPiece(at_s, joined[:size])
                held, count, at_s = [joined[size:]], count - size, at_s + piece_s
        if count:
            yield AudioPiece(at_s, np.concatenate(held))
        if on_faults:
            on_faults(reader.watch.faults)


def _blocks(
    reader: AudioReader, lo: float, hi: float, mix: Downmix
) -> Iterator[tuple[float | None, Samples]]:
    """Blocks of samples in [lo, hi); the first one, and each behind a gap, with the time when it begins."""
    run: _Run | None = None
    position_s = lo
    for at_s, mono, rate_hz in mono_frames(reader, lo, mix):
        if at_s + len(mono) / rate_hz < lo - SETTLED_S:
            continue
        if at_s >= hi + SETTLED_S:
            break
        if run is None or at_s - position_s > JUMP_S:
            if run is not None:
                yield from run.end()
            run, position_s = _Run(at_s, lo, hi), at_s
        if at_s - position_s > GAP_S:
            silence = np.zeros(round((at_s - position_s) * rate_hz), dtype=np.float32)
            yield from run.push(silence, rate_hz)
            position_s = at_s
        if position_s - at_s > GAP_S:  # what overlaps was heard already
            mono = mono[round((position_s - at_s) * rate_hz) :]
        yield from run.push(mono, rate_hz)
        position_s += len(mono) / rate_hz
    if run is not None:
        yield from run.end()


class _Run:
    """Audio without a gap: resampled, and cut to [lo, hi)."""

    def __init__(self, at_s: float, lo: float, hi: float) -> None:
        self.resampler = Resampler()
        self.skip = max(0, round((lo - at_s) * SAMPLE_RATE_HZ))
        self.left = math.inf if hi == math.inf else max(0, round((hi - max(at_s, lo)) * SAMPLE_RATE_HZ))
        self.begins_s: float | None = max(at_s, lo)

    def push(self, mono: Samples, rate_hz: int) -> Iterator[tuple[float | None, Samples]]:
        for block in self.resampler.push(mono, rate_hz):
            yield from self._cut(block)

    def end(self) -> Iterator[tuple[float | None, Samples]]:
        for block in self.resampler.flush():
            yield from self._cut(block)

    def _cut(self, block: Samples) -> Iterator[tuple[float | None, Samples]]:
        skipped = min(self.skip, len(block))
        self.skip -= skipped
        block = block[skipped : skipped + int(min(self.left, len(block)))]
        self.left -= len(block)
        if len(block):
            yield self.begins_s, np.clip(block, -1.0, 1.0)
            self.begins_s = None

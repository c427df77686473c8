"""The audio of a file: mono at 16 kHz, in windows of 2 s that cover it from its beginning to its end.

Window i of C begins at i * (D - 2) / (C - 1) of D seconds: the first at 0, the last ends with the audio. The
official rule (pytorchvideo 0.1.5) divides by C instead and so misses the end; `compat="official"`
keeps it, to the sample, and resamples as the official code does (`resample.py`).
Short audio is decoded whole; of long audio only the windows are, by seeking. Letters: C windows, L samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from nanoemox.files.errors import ArgumentError
from nanoemox.files.short_repr import ShortRepr
from nanoemox.media.clip import (
    AUDIO_WINDOW_S,
    SAMPLE_RATE_HZ,
    WINDOW,
    CodedWarning,
    Compat,
    audio_window_starts,
)
from nanoemox.media.container import Source, track_end_s
from nanoemox.media.damage import Watch
from nanoemox.media.downmix import Downmix
from nanoemox.media.resample import grid_step, resample
from nanoemox.media.timeline import GAP_S, SETTLED_S, AudioReader
from nanoemox.media.untrusted import refuse

DECODE_ALL_S = 120.0  # audio up to this long is decoded whole
ENVELOPE_POINTS = 2000
SILENCE = 1e-4  # peak, -80 dBFS: below the last bit of 14
_BLOCK = 1 << 16  # samples resampled at once
_RATES_HZ = (1_000, 768_000)
_OVERSHOOT = 2.0  # decoded peaks up to here are clipped, as codecs overshoot
_OUTLIERS = 0.001  # and above, where they are a smaller share of the samples than this

Samples = NDArray[np.float32]

_CANCELLING = CodedWarning(
    "audio_inverted",
    "the audio channels are inverted copies and cancel each other; the official rule takes their mean all the same",
)
_DAMAGED = CodedWarning(
    "audio_damaged", "the audio is damaged or cut off: a part of what was decoded may be wrong"
)
_SILENT_WINDOWS = CodedWarning(
    "audio_silent",
    "the audio windows are silent: nothing in them but zeros, though there may be between them",
)
_SILENT = CodedWarning("audio_silent", "the audio track is silent: nothing in it but zeros")


@dataclass(frozen=True, repr=False)
class AudioWindows(ShortRepr):
    """`windows` float32 [C, 32000] in [-1, 1]; `coverage`: the share of the audio that lies inside them.

    Under `compat="official"` what is louder than full scale stays so, as in the official code.
    """

    windows: Samples
    starts_s: tuple[float, ...]
    length_s: float
    coverage: float
    envelope: Samples
    warnings: tuple[CodedWarning, ...] = ()


def is_silent(samples: Samples) -> bool:
    """Whether there are samples, and nothing but zeros in them."""
    return bool(len(samples)) and float(np.abs(samples).max()) < SILENCE


def check_compat(compat: object) -> None:
    """Refuse a `compat` that is neither "official" nor None, before it counts as either."""
    if compat not in (None, "official"):
        raise ArgumentError(f'compat: expected None or "official", got {compat!r}; correct it')


def coverage(num_samples: int, starts: list[int]) -> float:
    """The share of the audio that lies inside windows at `starts` (rising)."""
    inside, end = 0, 0
    for start in starts:
        inside += max(0, min(start + WINDOW, num_samples) - max(start, end))
        end = max(end, start + WINDOW)
    return inside / num_samples if num_samples else 1.0


def read_audio(
    source: Source, windows: int, compat: Compat, start_s: float | None, end_s: float | None
) -> AudioWindows | None:
    """The audio windows between start_s and end_s.

    Args:
        source: the file.
        windows: how many windows (C).
        compat: "official" or None, as in `audio_window_starts`.
        start_s: begin here, in seconds from the beginning of the file; None, at the beginning.
        end_s: end here, likewise; None, at the end.

    Returns:
        The windows, or None if the file has no audio there.

    Raises:
        MediaError: if the samples are not numbers, or their rate is none that occurs.
    """
    # The mean of all channels, or the loudest one where they cancel each other.
    mix, watch = Downmix(), Watch("audio")
    track = _read(source, windows, compat, start_s, end_s, mix, watch)
    if watch.faults:  # once more, with what the checksums are against, which is better than nothing
        source, mix = replace(source, checked=False), Downmix()
        track = _read(source, windows, compat, start_s, end_s, mix, watch)
        track = None if track is None else _damaged(track)
    channel = mix.cancelled()
    if track is None or channel is None:
        return track
    if compat:
        return replace(track, warnings=(*track.warnings, _CANCELLING))
    warnings = track.warnings
    track = _read(source, windows, compat, start_s, end_s, Downmix(channel), watch)
    one = _one_channel(channel)
    return None if track is None else replace(track, warnings=(*_without_silence(warnings), one))


def read_samples(
    source: Source, lo: float, hi: float, compat: Compat = None
) -> tuple[Samples, tuple[CodedWarning, ...]]:
    """All of the audio between two moments, for who reads a long file part by part.

    Args:
        source: the file.
        lo: begin here, in seconds from the beginning of the file.
        hi: end here.
        compat: "official" resamples as the official code does.

    Returns:
        Mono 16 kHz samples from `lo` on, fewer where the audio ends before `hi`; and what has to be known about them.

    Raises:
        MediaError: if the samples are not numbers, or their rate is none that occurs.
    """
    if not source.has_audio or not _has_decoder(source):
        return np.zeros(0, dtype=np.float32), ()
    mix = Downmix()
    warnings: list[CodedWarning] = []
    with AudioReader(source) as reader:
        samples, _ = _decode(reader, lo, hi, compat, mix)
    if reader.watch.faults:  # once more, with what the checksums are against
        warnings.append(_DAMAGED)
        source, mix = replace(source, checked=False), Downmix()
        with AudioReader(source) as reader:
            samples, _ = _decode(reader, lo, hi, compat, mix)
    channel = mix.cancelled()
    if channel is not None and compat:
        warnings.append(_CANCELLING)
    elif channel is not None:
        warnings.append(_one_channel(channel))
        with AudioReader(source) as reader:
            samples, _ = _decode(reader, lo, hi, compat, Downmix(channel))
    if not len(samples):
        return samples, tuple(warnings)
    samples, scaled = _in_range(samples, compat)
    return samples, (*warnings, *scaled)


def _one_channel(channel: int) -> CodedWarning:
    text = (
        f"the audio channels are inverted copies and cancel each other; only channel {channel + 1} was taken"
    )
    return CodedWarning("audio_inverted", text)


def _has_decoder(source: Source) -> bool:
    """Whether the audio can be decoded; an error where its rate is none that occurs."""
    if source.sample_rate_hz == 0:
        return False
    if not _RATES_HZ[0] <= source.sample_rate_hz <= _RATES_HZ[1]:
        expected = f"expected {_RATES_HZ[0]} to {_RATES_HZ[1]} Hz"
        refuse(source.path, f"has audio at {source.sample_rate_hz} Hz ({expected})", "export it again")
    return True


def _damaged(track: AudioWindows) -> AudioWindows:
    """The same audio with the warning that it is damaged, if that is not said already."""
    if any(warning.code == _DAMAGED.code for warning in track.warnings):
        return track
    return replace(track, warnings=(*track.warnings, _DAMAGED))


def _without_silence(warnings: tuple[CodedWarning, ...]) -> tuple[CodedWarning, ...]:
    return tuple(warning for warning in warnings if warning.code != _SILENT.code)


def _read(
    source: Source,
    windows: int,
    compat: Compat,
    start_s: float | None,
    end_s: float | None,
    mix: Downmix,
    watch: Watch,
) -> AudioWindows | None:
    """The audio windows, each frame made mono by `mix`; what is found damaged adds to `watch`."""
    lo, hi = start_s or 0.0, math.inf if end_s is None else end_s
    if not _has_decoder(source):
        return None
    # Decode all of it where it is short as the file states it, or else as its packets say.
    stated_s = source.audio_end_s if lo == 0 and end_s is None and not source.estimated else None
    last_s = source.audio_end_s or source.duration_s
    if last_s is None or min(last_s, hi) - lo > DECODE_ALL_S:
        last_s = track_end_s(source, "audio", lo)
    if min(last_s, hi) - lo <= DECODE_ALL_S:
        limit_s = min(hi, lo + DECODE_ALL_S + 5.0)
        with AudioReader(source) as reader:
            samples, ended = _decode(reader, lo, limit_s, compat, mix)
        watch.faults += reader.watch.faults
        if ended or limit_s == hi:
            return _whole(samples, windows, compat, stated_s)
        last_s = track_end_s(source, "audio", lo)  # longer than stated

    # Only the windows of long audio, up to where it really ends.
    return _windows(source, windows, compat, lo, min(hi, _end_s(source, lo, last_s)), mix, watch)


def _whole(samples: Samples, number: int, compat: Compat, stated_s: float | None) -> AudioWindows | None:
    n = len(samples)
    if n == 0:
        return None
    samples, warnings = _in_range(samples, compat)
    if is_silent(samples):
        warnings.append(_SILENT)
    if stated_s is not None and stated_s - n / SAMPLE_RATE_HZ > max(0.5, 0.02 * stated_s):
        damage = (
            f"the audio is damaged or cut off: {n / SAMPLE_RATE_HZ:.2f} s of {stated_s:.2f} s can be read"
        )
        warnings.append(CodedWarning("audio_damaged", damage))
    starts = audio_window_starts(n, number, compat)
    padded = np.pad(samples, (0, max(0, WINDOW - n)))
    windows = np.stack([padded[s : s + WINDOW] for s in starts])
    times = tuple(s / SAMPLE_RATE_HZ for s in starts)
    return AudioWindows(
        windows, times, n / SAMPLE_RATE_HZ, coverage(n, starts), _envelope(samples), tuple(warnings)
    )


def _windows(
    source: Source, number: int, compat: Compat, lo: float, hi: float, mix: Downmix, watch: Watch
) -> AudioWindows | None:
    """Only the windows of long audio in [lo, hi), each found by seeking."""
    n = math.ceil((hi - lo) * SAMPLE_RATE_HZ - 1e-3)
    if n <= 0:
        return None
    starts = audio_window_starts(n, number, compat)
    decoded_windows = np.zeros((number, WINDOW), dtype=np.float32)
    with AudioReader(source) as reader:
        for row, start in zip(decoded_windows, starts, strict=True):
            at = lo + start / SAMPLE_RATE_HZ
            samples, _ = _decode(reader, at, at + AUDIO_WINDOW_S, compat, mix)
            row[: len(samples)] = samples[:WINDOW]
    watch.faults += reader.watch.faults
    flat, warnings = _in_range(decoded_windows.reshape(-1), compat)
    windows = flat.reshape(number, WINDOW)
    if is_silent(windows):
        warnings.append(_SILENT_WINDOWS)
    points = np.zeros(ENVELOPE_POINTS // 2 * 2, dtype=np.float32)  # zero between the windows
    for row, start in zip(windows, starts, strict=True):
        first, last = (x * (len(points) // 2) // n for x in (start, min(start + WINDOW, n) - 1))
        part = _envelope(row, last - first + 1)
        points[2 * first : 2 * first + len(part)] = part
    times = tuple(s / SAMPLE_RATE_HZ for s in starts)
    return AudioWindows(windows, times, n / SAMPLE_RATE_HZ, coverage(n, starts), points, tuple(warnings))


def _end_s(source: Source, lo: float, packets_end_s: float) -> float:
    """When the audio really ends, decoded from shortly before its last packet ends."""
    decoded_end = lo
    with AudioReader(source) as reader:
        for at_s, frame in reader.frames_from(max(lo, packets_end_s - 1.0)):
            decoded_end = at_s + frame.samples / frame.sample_rate
    return decoded_end


def _decode(reader: AudioReader, lo: float, hi: float, compat: Compat, mix: Downmix) -> tuple[Samples, bool]:
    """Mono 16 kHz samples of [lo, hi) with silence where there is none, and whether the audio ended before `hi`."""
    blocks: list[Samples] = []
    first_s: float | None = None  # when the samples in `blocks` begin
    position_s = lo
    ended = True
    resampler = _OfficialResampler() if compat else Resampler()
    for at_s, mono, rate_hz in mono_frames(reader, lo, mix):
        if at_s + len(mono) / rate_hz < lo - SETTLED_S:
            continue
        ended = at_s < hi + SETTLED_S
        if first_s is None and ended:
            if compat and lo > 0:  # on to where samples of both rates coincide
                ahead = -round(at_s * rate_hz) % grid_step(rate_hz, SAMPLE_RATE_HZ)
                mono, at_s = mono[ahead:], at_s + ahead / rate_hz
                if not len(mono):
                    continue
            first_s = position_s = at_s
        elif first_s is None:
            first_s = position_s = lo  # nothing but silence before audio that follows later
        if at_s - position_s > GAP_S:
            gap_s = min(at_s, hi + SETTLED_S) - position_s
            blocks += resampler.push(np.zeros(round(gap_s * rate_hz), dtype=np.float32), rate_hz)
            position_s = at_s
        if not ended:
            break
        if position_s - at_s > GAP_S:  # what overlaps was heard already
            mono = mono[round((position_s - at_s) * rate_hz) :]
        blocks += resampler.push(mono, rate_hz)
        position_s += len(mono) / rate_hz
    blocks += resampler.flush()
    samples = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    if first_s is None:
        return samples, ended
    if first_s - lo > GAP_S:  # it begins late
        silence = np.zeros(round((min(first_s, hi) - lo) * SAMPLE_RATE_HZ), dtype=np.float32)
        samples, first_s = np.concatenate([silence, samples]), lo
    if lo > 0 or hi < math.inf:
        begin = max(0, round((lo - first_s) * SAMPLE_RATE_HZ)) if lo > 0 else 0
        end = len(samples) if hi == math.inf else max(0, round((hi - first_s) * SAMPLE_RATE_HZ))
        samples = samples[begin:end]
    return samples, ended


def mono_frames(reader: AudioReader, from_s: float, mix: Downmix) -> Iterator[tuple[float, Samples, int]]:
    """Decode audio frame by frame.

    Args:
        reader: The open file.
        from_s: Begin shortly before this second.
        mix: Makes each frame mono.

    Yields:
        (time in seconds, mono samples float32 [L] at the file's own rate, that rate in Hz).

    Raises:
        MediaError: If samples are not numbers.
    """
    for at_s, frame in reader.frames_from(from_s):
        mono = mix.mono(frame)
        if not np.isfinite(mono).all():
            refuse(
                reader.source.path,
                f"has samples that are not numbers (NaN or infinite) near {at_s:.2f} s (expected [-1, 1])",
                "export the audio again",
            )
        yield at_s, mono, frame.sample_rate


class Resampler:
    """FFmpeg's resampler, fed in blocks; a change of rate in the middle begins a new one.

    `push` and `flush` return the blocks of 16 kHz that are ready.
    """

    def __init__(self) -> None:
        self.rate_hz, self.waiting, self.held = 0, [], 0  # type: int, list[Samples], int
        self.resampler: Any = None

    def push(self, mono: Samples, rate_hz: int) -> list[Samples]:
        done = self.flush() if rate_hz != self.rate_hz else []
        self.rate_hz = rate_hz
        self.waiting.append(mono)
        self.held += len(mono)
        return done + (self._convert() if self.held >= _BLOCK else [])

    def flush(self) -> list[Samples]:
        done = self._convert()
        if self.resampler is not None:
            done += [frame.to_ndarray()[0] for frame in self.resampler.resample(None)]
            self.resampler = None
        return done

    def _convert(self) -> list[Samples]:
        if not self.held:
            return []
        block, self.waiting, self.held = np.concatenate(self.waiting), [], 0
        if self.rate_hz == SAMPLE_RATE_HZ:
            return [block]
        if self.resampler is None:
            self.resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
        frame = av.AudioFrame.from_ndarray(block[None], format="flt", layout="mono")
        frame.sample_rate = self.rate_hz
        return [out.to_ndarray()[0].copy() for out in self.resampler.resample(frame)]


class _OfficialResampler:
    """The official code's resampling, of all that has one rate at once."""

    def __init__(self) -> None:
        self.rate_hz, self.waiting = 0, []  # type: int, list[Samples]

    def push(self, mono: Samples, rate_hz: int) -> list[Samples]:
        done = self.flush() if rate_hz != self.rate_hz else []
        self.rate_hz = rate_hz
        self.waiting.append(mono)
        return done

    def flush(self) -> list[Samples]:
        block, self.waiting = self.waiting, []
        return [resample(np.concatenate(block), self.rate_hz, SAMPLE_RATE_HZ)] if block else []


def _in_range(samples: Samples, compat: Compat) -> tuple[Samples, list[CodedWarning]]:
    """Samples inside [-1, 1]: a few outliers are clipped, audio too loud throughout is scaled down."""
    if compat:
        return samples, []
    size = np.abs(samples)
    peak = float(size.max())
    if peak <= 1.0:
        return samples, []
    if peak <= _OVERSHOOT or np.count_nonzero(size > 1.0) < _OUTLIERS * len(samples):
        return np.clip(samples, -1.0, 1.0), []
    scaled = f"the audio exceeds full scale {peak:.3g} times; it was scaled down"
    return samples / np.float32(peak), [CodedWarning("audio_scaled", scaled)]


def _envelope(samples: Samples, bins: int = ENVELOPE_POINTS // 2) -> Samples:
    """Lowest and highest sample of each of up to `bins` stretches, in turn: [2 * bins]."""
    bins = max(1, min(bins, len(samples)))
    edges = np.arange(bins) * len(samples) // bins
    low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    return np.stack([low, high], axis=1).clip(-1.0, 1.0).reshape(-1)

"""Files with unusual time lines, and what a full decode from the first byte to the last says about them.

Every frame carries its number (`numbered_frame`), and sound is beeps at known times, so that a test can read
what came out. `shown_frames` is the ground truth: plain PyAV, decoded from the beginning, nothing sought.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.media_files import HEIGHT, WIDTH, numbered_frame, numbers

BEEP_S = 0.1


def beeps(seconds: float, rate_hz: int = 16_000) -> NDArray[np.float32]:
    """Mono [L]: silence, with a beep of 0.1 s at 0.5 s, 1.5 s, 2.5 s and so on."""
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    on = (at % 1.0 >= 0.5) & (at % 1.0 < 0.5 + BEEP_S)
    return np.asarray(0.6 * on * np.sin(2 * np.pi * 1000 * at), dtype=np.float32)


def heard(samples: NDArray[np.float32], rate_hz: int = 16_000) -> list[float]:
    """When each beep of mono samples begins, in seconds."""
    loud = np.abs(samples) > 0.2
    on = np.flatnonzero(loud)
    starts = [on[0]] if len(on) else []
    starts += [b for a, b in pairwise(on) if b - a > 0.2 * rate_hz]
    return [float(start) / rate_hz for start in starts]


def film(
    path: Path,
    times_s: Sequence[float] = (),
    sounds: Sequence[tuple[float, NDArray[np.float32]]] = (),
    *,
    video: str = "libx264",
    audio: str = "aac",
    rate: Fraction | int = 25,
    rate_hz: int = 16_000,
    gop: int = 12,
    bframes: int = 0,
    container: str | None = None,
    audio_options: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    block: int = 1024,
) -> Path:
    """Write numbered frames at the times given, and pieces of sound each at its own time.

    Args:
        path: the file to write.
        times_s: when each frame is shown; none: no video track.
        sounds: (time, mono samples) pieces; none: no audio track.
        video: the encoder of the frames.
        audio: the encoder of the sound.
        rate: frames a second, as the encoder is told.
        rate_hz: of the sound.
        gop: frames from one key frame to the next.
        bframes: frames shown before a frame that is decoded earlier.
        container: its name, where the suffix does not say it.
        audio_options: of the encoder of the sound.
        options: of the container.
        block: samples of one packet where the encoder leaves the choice.

    Returns:
        The path.
    """
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        pictures: Any = out.add_stream(video, rate=rate) if times_s else None
        track: Any = out.add_stream(audio, rate=rate_hz, layout="mono") if sounds else None
        if pictures:
            pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            pictures.codec_context.gop_size = gop
            pictures.codec_context.max_b_frames = bframes
            x264 = {"preset": "ultrafast", "bf": str(bframes), "b-adapt": "0", "sc_threshold": "0"}
            pictures.options = x264 if video == "libx264" else {}
            if video.startswith("mpeg"):
                pictures.codec_context.qmax = 2
        if track:
            track.options = audio_options or {}
        waiting = _blocks(sounds, rate_hz, block)
        tick = Fraction(1, 90_000)
        if pictures and video in ("mpeg4", "mpeg2video", "mpeg1video"):
            tick = 1 / Fraction(rate)  # these count frames
        for number, at_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts, frame.time_base = round(at_s / tick), tick
            out.mux(pictures.encode(frame))
            while waiting and waiting[0][0] <= at_s:
                out.mux(track.encode(_sound(*waiting.pop(0), rate_hz)))
        for at_s, samples in waiting:
            out.mux(track.encode(_sound(at_s, samples, rate_hz)))
        for stream in (pictures, track):
            if stream:
                out.mux(stream.encode())
    return path


def _blocks(
    sounds: Sequence[tuple[float, NDArray[np.float32]]], rate_hz: int, size: int
) -> list[tuple[float, NDArray[np.float32]]]:
    return [
        (start_s + i / rate_hz, samples[i : i + size])
        for start_s, samples in sounds
        for i in range(0, len(samples), size)
    ]


def _sound(at_s: float, samples: NDArray[np.float32], rate_hz: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, round(at_s * rate_hz), Fraction(1, rate_hz)
    return frame


def shown_frames(path: Path) -> list[tuple[float | None, int]]:
    """(time on the file's own clock, number) of every frame, decoded from the first byte to the last."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            at_s = (
                None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
            )
            found.append(
                (at_s, numbers(frame.to_ndarray(format="rgb24")[None].astype(np.uint8, copy=False))[0])
            )
    return found


def with_edits(path: Path, kind: bytes, edits: Sequence[tuple[int, int]]) -> Path:
    """Give the track of an MP4 (b"vide" or b"soun") an edit list in place of its own.

    Args:
        path: an MP4 whose index lies at its end, as FFmpeg writes it.
        kind: the handler of the track.
        edits: (duration in the movie's units of 1 ms, media time in the track's units; -1: nothing is shown).

    Returns:
        The path.
    """
    data = path.read_bytes()
    at, size = _box(data, b"moov", 0, len(data))
    moov = data[at : at + size]
    assert at + size == len(data), "the index has to be the last box"
    entries = b"".join(struct.pack(">IiI", duration, media, 0x10000) for duration, media in edits)
    elst = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    edts = struct.pack(">I4s", 8 + len(elst), b"edts") + elst
    out, where = b"", 8
    while where < len(moov):
        length, name = struct.unpack(">I4s", moov[where : where + 8])
        box = moov[where : where + length]
        if name == b"trak" and b"hdlr\0\0\0\0\0\0\0\0" + kind in box:
            box = _without(box, b"edts")
            head, _ = struct.unpack(">I4s", box[8:16])  # tkhd comes first
            box = box[8 : 8 + head] + edts + box[8 + head :]
            box = struct.pack(">I4s", 8 + len(box), b"trak") + box
        out, where = out + box, where + length
    path.write_bytes(data[:at] + struct.pack(">I4s", 8 + len(out), b"moov") + out)
    return path


def _box(data: bytes, name: bytes, at: int, end: int) -> tuple[int, int]:
    while at < end:
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == name:
            return at, length
        at += length
    raise ValueError(f"no box {name!r}")


def _without(box: bytes, name: bytes) -> bytes:
    out, at = b"", 8
    while at < len(box):
        length, kind = struct.unpack(">I4s", box[at : at + 8])
        out, at = out + (b"" if kind == name else box[at : at + length]), at + length
    return box[:8] + out


def cut_before(path: Path, share: float, unit: int) -> Path:
    """The same file without its first part, cut at a multiple of `unit` bytes, as a recording that joins late."""
    data = path.read_bytes()
    path.write_bytes(data[int(share * len(data)) // unit * unit :])
    return path


def lie_about_byte_rate(path: Path, factor: float) -> Path:
    """Multiply the byte rate in the header of a WAV."""
    data = bytearray(path.read_bytes())
    at = data.index(b"fmt ") + 16
    (rate,) = struct.unpack("<I", data[at : at + 4])
    data[at : at + 4] = struct.pack("<I", round(rate * factor))
    path.write_bytes(data)
    return path


def without_fact(path: Path) -> Path:
    """Hide the note in a WAV that tells how many samples it holds."""
    path.write_bytes(path.read_bytes().replace(b"fact", b"junk", 1))
    return path

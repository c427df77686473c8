"""Small media files for tests, whose frames and sounds tell where they come from."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

BITS = 12  # a frame carries its number in twelve blocks, black or white
HEIGHT, WIDTH = 48, 96


def numbered_frame(number: int) -> NDArray[np.uint8]:
    """An RGB picture [48, 96, 3] of 12 blocks that spell `number`, red above and grey below."""
    frame = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for bit in range(BITS):
        row, column = divmod(bit, 6)
        frame[16 + 16 * row : 32 + 16 * row, 16 * column : 16 * column + 16] = 255 * (number >> bit & 1)
    frame[:16] = (255, 0, 0)
    return frame


def numbers(frames: NDArray[np.uint8]) -> list[int]:
    """What `numbered_frame` wrote into each of [T, H, W, 3]."""
    centres = [(24 + 16 * (bit // 6), 8 + 16 * (bit % 6)) for bit in range(BITS)]
    return [sum((int(frame[y, x].mean()) > 127) << i for i, (y, x) in enumerate(centres)) for frame in frames]


def tone(seconds: float, rate_hz: int, channels: int = 1, hz: float = 220.0) -> NDArray[np.float32]:
    """[channels, L]: a sine whose loudness changes every tenth of a second, so that places differ."""
    n = round(seconds * rate_hz)
    loud = np.random.default_rng(1).uniform(0.1, 0.8, n * 10 // rate_hz + 2)
    at = np.arange(n) / rate_hz
    mono = np.interp(at, np.arange(len(loud)) / 10, loud) * np.sin(2 * np.pi * hz * at)
    return np.repeat(mono[None].astype(np.float32), channels, axis=0)


def make_media(
    path: Path,
    seconds: float = 1.0,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    sound: NDArray[np.float32] | None = None,
    rate_hz: int = 16_000,
    layout: str = "mono",
    fps: int = 25,
    gop: int = 12,
    times_ms: list[int] | None = None,
    aspect: Fraction | None = None,
    turned: int = 0,
    container: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a file with numbered frames and a tone; `times_ms` gives each frame its own time."""
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        pictures: Any = out.add_stream(video, rate=fps) if video else None
        sounds: Any = out.add_stream(audio, rate=rate_hz, layout=layout) if audio else None
        if pictures:
            pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            pictures.codec_context.gop_size = gop
            if video == "libx264":
                pictures.options = {"preset": "ultrafast"}
            if aspect:
                pictures.codec_context.sample_aspect_ratio = aspect
        channels = len(sounds.layout.channels) if sounds else 0
        samples = tone(seconds, rate_hz, channels) if sound is None else sound
        done, size = 0, 1024
        times = times_ms or [round(i * 1000 / fps) for i in range(round(seconds * fps))]
        for i, at_ms in enumerate(times if pictures else []):
            frame = av.VideoFrame.from_ndarray(numbered_frame(i), format="rgb24")
            frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
            out.mux(pictures.encode(frame))
            while sounds and done < samples.shape[1] and done * 1000 <= at_ms * rate_hz:
                done = _put_sound(out, sounds, samples, done, size, rate_hz)
        while sounds and done < samples.shape[1]:
            done = _put_sound(out, sounds, samples, done, size, rate_hz)
        for stream in (pictures, sounds):
            if stream:
                out.mux(stream.encode())
    if turned:
        _turn(path, turned)
    return path


def _turn(path: Path, degrees: int) -> None:
    """Write a counterclockwise quarter turn into the header of an MP4's only track, as cameras do."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    content[at : at + 20] = struct.pack(">5i", *(65536 * number for number in (cos, -sin, 0, sin, cos)))
    path.write_bytes(content)


def _put_sound(out: Any, stream: Any, samples: NDArray[np.float32], at: int, size: int, rate_hz: int) -> int:
    block = np.ascontiguousarray(samples[:, at : at + size])
    packed = block.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=stream.layout.name)
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, at, Fraction(1, rate_hz)
    out.mux(stream.encode(frame))
    return at + block.shape[1]


def write_wav(path: Path, samples: Any, rate_hz: int = 16_000, channels: int = 1) -> Path:
    """A float WAV, byte by byte, so that it can hold what no encoder would write."""
    data = np.asarray(samples, dtype="<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, channels, rate_hz, rate_hz * 4 * channels, 4 * channels, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def write_png(path: Path, width: int, height: int, rows: int | None = None) -> Path:
    """A black PNG that declares `height` rows and holds `rows`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj()
    packed = b"".join(
        packer.compress(b"\0" * (1 + 3 * width)) for _ in range(height if rows is None else rows)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", packed + packer.flush()) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path

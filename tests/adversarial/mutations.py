"""Damaged copies of sound files: which of them give other pictures or audio without a word.

    python -m tests.adversarial.mutations [--seeds N] [--kinds N] [--list]

makes 34 small files of many codecs and containers, damages each in 19 ways and counts what `load_clip` says.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nanoemox.files.errors import NanoEmoXError
from nanoemox.media.clip import Clip
from nanoemox.media.load import load_clip
from tests.media_files import make_media, numbered_frame

SEEDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264_front.mp4": {"options": {"movflags": "faststart"}},
    "h264_fragments.mp4": {"options": {"movflags": "frag_keyframe+empty_moov"}},
    "h264_mp3.mp4": {"audio": "libmp3lame"},
    "h264.mkv": {},
    "h264_flac.mkv": {"audio": "flac"},
    "h264.ts": {},
    "h264.flv": {"rate_hz": 44_100},
    "h264.avi": {"audio": "libmp3lame", "rate_hz": 44_100},
    "h264.mov": {"audio": "pcm_s16le"},
    "h264.h264": {"audio": None, "container": "h264"},
    "hevc.mp4": {"video": "libx265"},
    "hevc.mkv": {"video": "libx265", "audio": "ac3", "rate_hz": 48_000},
    "hevc.ts": {"video": "libx265"},
    "vp8.webm": {"video": "libvpx", "audio": "libopus", "rate_hz": 48_000},
    "vp9.webm": {"video": "libvpx-vp9", "audio": "libopus", "rate_hz": 48_000},
    "av1.mkv": {"video": "libsvtav1", "audio": "libopus", "rate_hz": 48_000},
    "mpeg4.avi": {"video": "mpeg4", "audio": "libmp3lame", "rate_hz": 44_100},
    "mpeg4.mp4": {"video": "mpeg4"},
    "mpeg2.ts": {"video": "mpeg2video", "audio": "mp2", "rate_hz": 44_100},
    "mpeg1.mpg": {"video": "mpeg1video", "audio": "mp2", "rate_hz": 44_100},
    "flv1.flv": {"video": "flv1", "audio": "libmp3lame", "rate_hz": 44_100},
    "wmv2.asf": {"video": "wmv2", "audio": "libmp3lame", "rate_hz": 44_100},
    "ffv1.mkv": {"video": "ffv1", "audio": "pcm_s16le"},
    "tone.wav": {"video": None, "audio": "pcm_s16le"},
    "tone.mp3": {"video": None, "audio": "libmp3lame"},
    "tone.m4a": {"video": None, "container": "mp4"},
    "tone.aac": {"video": None, "container": "adts"},
    "tone.flac": {"video": None, "audio": "flac"},
    "flac.ogg": {"video": None, "audio": "flac"},
    "opus.ogg": {"video": None, "audio": "libopus", "rate_hz": 48_000},
    "noise.png": {},
    "noise.jpg": {},
    "noise.webp": {},
}
STILLS = ("png", "jpg", "webp")


def make_seed(folder: Path, name: str) -> Path:
    path = folder / name
    if path.suffix[1:] in STILLS:
        grain = np.random.default_rng(0).integers(0, 60, (48, 96, 3), dtype=np.uint8)
        Image.fromarray(numbered_frame(1365) // 2 + grain).save(path)
        return path
    return make_media(path, 2.4, **SEEDS[name])


# ---------------------------------------------------------------- ways to damage a file


def _flip(bits: int, begin: float = 0.0, end: float = 1.0) -> Callable[[bytearray, random.Random], bytes]:
    def damage(data: bytearray, dice: random.Random) -> bytes:
        for _ in range(bits):
            data[dice.randrange(int(begin * len(data)), int(end * len(data)))] ^= 1 << dice.randrange(8)
        return bytes(data)

    return damage


def _fill(size: int, byte: int) -> Callable[[bytearray, random.Random], bytes]:
    def damage(data: bytearray, dice: random.Random) -> bytes:
        at = dice.randrange(len(data) // 20, max(len(data) - size, len(data) // 20 + 1))
        data[at : at + size] = bytes([byte]) * len(data[at : at + size])
        return bytes(data)

    return damage


def _cut(share: float) -> Callable[[bytearray, random.Random], bytes]:
    return lambda data, dice: bytes(data[: int(share * len(data))])


def _pieces(data: bytearray, dice: random.Random) -> tuple[int, int, int]:
    """A length and two places for pieces of it that do not overlap."""
    size = max(len(data) // 20, 1)
    first = dice.randrange(len(data) // 20, len(data) // 2 - size)
    return size, first, dice.randrange(len(data) // 2, len(data) - size)


def _removed(data: bytearray, dice: random.Random) -> bytes:
    size, first, _ = _pieces(data, dice)
    return bytes(data[:first] + data[first + size :])


def _swapped(data: bytearray, dice: random.Random) -> bytes:
    size, a, b = _pieces(data, dice)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    return bytes(data)


def _doubled(data: bytearray, dice: random.Random) -> bytes:
    size, a, b = _pieces(data, dice)
    return bytes(data[:b] + data[a : a + size] + data[b:])


def _copied(data: bytearray, dice: random.Random) -> bytes:
    size, a, b = _pieces(data, dice)
    data[b : b + size] = data[a : a + size]
    return bytes(data)


def _byte_lost(data: bytearray, dice: random.Random) -> bytes:
    del data[dice.randrange(len(data) // 20, len(data))]
    return bytes(data)


def _bytes_added(data: bytearray, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) // 20, len(data))
    return bytes(data[:at]) + dice.randbytes(100) + bytes(data[at:])


KINDS: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "1 bit": _flip(1),
    "3 bits": _flip(3),
    "10 bits": _flip(10),
    "30 bits": _flip(30),
    "100 bits": _flip(100),
    "bit of the head": _flip(1, 0.0, 0.05),
    "bit of the middle": _flip(1, 0.4, 0.6),
    "bit of the tail": _flip(1, 0.95, 1.0),
    "zeros": _fill(64, 0),
    "many zeros": _fill(1024, 0),
    "ones": _fill(200, 255),
    "cut at 30 %": _cut(0.3),
    "cut at 60 %": _cut(0.6),
    "cut at 95 %": _cut(0.95),
    "piece removed": _removed,
    "pieces swapped": _swapped,
    "piece doubled": _doubled,
    "byte lost": _byte_lost,
    "bytes added": _bytes_added,
}


# ---------------------------------------------------------------- what is said about it


def same(a: Clip, b: Clip) -> bool:
    """Whether two clips hold the same pictures and audio."""
    pairs = ((a.frames, b.frames), (a.audio_windows, b.audio_windows))
    return all((x is None) == (y is None) and (x is None or np.array_equal(x, y)) for x, y in pairs)


def outcome(path: Path, whole: Clip) -> tuple[str, str]:
    """One word about a damaged file and what was said of it."""
    try:
        clip = load_clip(path)
    except NanoEmoXError as error:
        return "refused", str(error)
    except Exception as error:
        return "crashed", repr(error)
    known = {warning.code for warning in whole.warnings}
    said = ", ".join(warning.code for warning in clip.warnings if warning.code not in known)
    if same(clip, whole):
        return ("flagged, same content" if said else "same"), said
    return ("told" if said else "not told"), said


def loop(
    folder: Path, seeds: list[str], kinds: list[str], salt: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Yields (seed, kind, outcome, what was said) for each damaged file."""
    for name in seeds:
        path = make_seed(folder, name)
        whole, content = load_clip(path), path.read_bytes()
        for kind in kinds:
            damaged = folder / f"damaged{path.suffix}"
            damaged.write_bytes(KINDS[kind](bytearray(content), random.Random(f"{salt}{name}{kind}")))
            yield name, kind, *outcome(damaged, whole)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--kinds", type=int, default=len(KINDS))
    parser.add_argument("--salt", default="", help="another word, other places that are damaged")
    parser.add_argument("--list", action="store_true", help="name what is not told")
    options = parser.parse_args()
    began, counts, by_seed = time.monotonic(), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        seeds, kinds = list(SEEDS)[: options.seeds], list(KINDS)[: options.kinds]
        for name, kind, word, said in loop(Path(folder), seeds, kinds, options.salt):
            counts[word] += 1
            by_seed[name] += word == "not told"
            if options.list and word in ("not told", "crashed", "flagged, same content"):
                print(f"{name:20} {kind:20} {word}: {said}")
    if options.list:
        print({name: number for name, number in by_seed.items() if number})
    print(f"{counts.total()} files in {time.monotonic() - began:.0f} s: {dict(counts)}")


if __name__ == "__main__":
    main()

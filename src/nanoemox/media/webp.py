"""Animated WebP, which FFmpeg does not decode and Pillow does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nanoemox.media.untrusted import open_file, refuse

WEBP_BYTES = 64_000_000  # Pillow holds the whole file in memory


def webp_times_s(path: Path) -> list[float]:
    """When each picture of an animated WebP begins, and when the last one ends; empty for other files."""
    with open_file(path) as file:
        head = file.read(30)
        if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X" or not head[20] & 2:
            return []
        times, at = [0.0], 12
        while len(chunk := _at(file, at, 24)) >= 8:
            if chunk[:4] == b"ANMF" and len(chunk) == 24:
                ms = int.from_bytes(chunk[20:23], "little")
                times.append(times[-1] + (ms if ms > 10 else 100) / 1000)  # as browsers show it
            size = int.from_bytes(chunk[4:8], "little")
            at += 8 + size + size % 2
    return times if len(times) > 1 else []


def _at(file: Any, at: int, size: int) -> bytes:
    file.seek(at)
    data: bytes = file.read(size)
    return data


def webp_pictures(path: Path, indices: list[int]) -> list[NDArray[np.uint8]]:
    """The pictures with these numbers (rising) of an animated WebP, each uint8 [H, W, 3]; fewer if damaged."""
    found: dict[int, NDArray[np.uint8]] = {}
    with open_file(path) as file:
        if file.seek(0, 2) > WEBP_BYTES:
            wrong = f"is an animated WebP of more than {WEBP_BYTES // 1_000_000} MB"
            refuse(path, wrong, "convert it to MP4")
        file.seek(0)
        try:
            with Image.open(file, formats=("WEBP",)) as picture:
                for i in dict.fromkeys(indices):
                    picture.seek(i)
                    found[i] = np.asarray(picture.convert("RGB"))
        except Exception:  # Pillow's errors are of many kinds; what was decoded before counts
            pass
    return [found[i] for i in indices if i in found]

"""What an AVI tells of its audio and FFmpeg does not: the size of a block, and packets without content.

A writer of AVI that has nothing to write for a while puts empty packets into the track. FFmpeg steps over those of
audio, so that what follows such a gap would be heard too early.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from nanoemox.media.untrusted import open_file

_MOST_CHUNKS = 1000  # of one list
_INDEX_BYTES = 32_000_000  # of an index that are read: two million packets
_ROW = 16  # bytes of the index for one packet


class AviAudio(NamedTuple):
    """One audio track of an AVI."""

    block_bytes: int  # FFmpeg's index counts these; 0 where it counts packets
    # Before which packet with content there are empty ones, and how many of all until there FFmpeg does not count.
    gaps: tuple[tuple[int, int], ...]


def avi_audio(path: Path, stream: int) -> AviAudio | None:
    """Read what an AVI says about one of its audio tracks.

    Args:
        path: The file.
        stream: The number of the track among all tracks.

    Returns:
        What it says; None where it has no such track.
    """
    with open_file(path) as file:
        size = file.seek(0, 2)
        header = index = None
        for name, begin, end in _chunks(file, 12, size):
            if name == b"LIST" and _read(file, begin, 4) == b"hdrl":
                header = _track_header(file, begin + 4, min(end, size), stream)
            elif name == b"idx1":
                index = _read(file, begin, min(end - begin, _INDEX_BYTES))
                index = index[: len(index) // _ROW * _ROW]  # of a file that was cut, the last row is a piece
        if header is None:
            return None
        sampled, block_bytes, length = header
        if sampled:
            return AviAudio(block_bytes or sampled, ())
        gaps = _gaps(index or b"", b"%02dwb" % stream, length)
        if not block_bytes:  # then FFmpeg counts empty packets
            gaps = tuple((packet, 0) for packet, _ in gaps)
        return AviAudio(0, gaps)


def _gaps(index: bytes, name: bytes, length: int) -> tuple[tuple[int, int], ...]:
    """Where empty packets stand, if the track's length counts them, so that they are meant to take time."""
    found: list[tuple[int, int]] = []
    content = empty = 0
    for kind, _, _, size in struct.iter_unpack("<4sIII", index):
        if kind != name:
            continue
        if size:
            if empty > (found[-1][1] if found else 0):
                found.append((content, empty))
            content += 1
        else:
            empty += 1
    return tuple(found) if abs(length - content - empty) < max(2, empty / 2) else ()


def _track_header(file: IO[bytes], begin: int, end: int, stream: int) -> tuple[int, int, int] | None:
    """The bytes of a sample (0: packets are counted), those of a block, and the length in samples or packets."""
    lists = [
        (b, e) for name, b, e in _chunks(file, begin, end) if name == b"LIST" and _read(file, b, 4) == b"strl"
    ]
    if stream >= len(lists):
        return None
    parts = {
        name: _read(file, b, min(e - b, 64))
        for name, b, e in _chunks(file, lists[stream][0] + 4, lists[stream][1])
    }
    head, form = parts.get(b"strh", b""), parts.get(b"strf", b"")
    if head[:4] != b"auds" or len(head) < 48 or len(form) < 14:
        return None
    length, sampled = struct.unpack("<I", head[32:36])[0], struct.unpack("<I", head[44:48])[0]
    (block_bytes,) = struct.unpack("<H", form[12:14])
    return sampled, block_bytes, length


def _chunks(file: IO[bytes], at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, beginning and end of the content of each chunk from `at` on."""
    for _ in range(_MOST_CHUNKS):
        head = _read(file, at, 8)
        if len(head) < 8 or at >= end:
            return
        (length,) = struct.unpack("<I", head[4:])
        yield head[:4], at + 8, at + 8 + length
        at += 8 + length + length % 2


def _read(file: IO[bytes], at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)

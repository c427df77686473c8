"""Dolby Vision of profile 5, whose colours no decoder without Dolby's own metadata gets right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

from nanoemox.media.clip import CodedWarning
from nanoemox.media.untrusted import open_file

_TOP_BOXES = 1000
_INDEX_BYTES = 64_000_000  # of the index of an MP4 that are looked through
_TRACKS_BYTES = 1 << 20  # of a Matroska file, in which its tracks are described
_PROFILE = 5
# What says so: a version of two bytes, then the profile in seven bits. In MP4 it is a box, in Matroska an element.
_IN_MP4 = re.compile(rb"\0\0\0[\x0d-\x40](?:dvcC|dvvC|dvwC)..(.)", re.DOTALL)
_IN_MATROSKA = re.compile(rb"\x41\xed[\x85-\xc0]..(.)", re.DOTALL)

WARNING = CodedWarning(
    "dolby_vision",
    "the video is Dolby Vision of profile 5, whose colours cannot be mapped here; its frames look green and purple",
)


def is_profile_5(path: Path) -> bool:
    """Whether a file says that its video is Dolby Vision of profile 5, the one that has no ordinary picture in it."""
    with open_file(path) as file:
        head = file.read(8)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            tracks = head + file.read(_TRACKS_BYTES)
            found = _IN_MATROSKA.findall(tracks) if b"dvcC" in tracks else []
        else:
            found = _IN_MP4.findall(_index(file)) if head[4:8] in (b"ftyp", b"moov", b"free", b"mdat") else []
    return any(byte[0] >> 1 == _PROFILE for byte in found)


def _index(file: IO[bytes]) -> bytes:
    """The box `moov` of an MP4."""
    at = 0
    for _ in range(_TOP_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if head[4:8] == b"moov":
            file.seek(at)
            return file.read(min(size, _INDEX_BYTES))
        if size < 8:
            break
        at += size
    return b""

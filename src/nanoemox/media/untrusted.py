"""Files that nobody vouches for: opened without waiting, looked at before anything decodes them.

Every failure is a `MediaError` of one line: which file, what is wrong, what was expected, what to do.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from pathlib import Path
from typing import IO, Literal, NoReturn

from nanoemox.files.errors import NanoEmoXError

MAX_PIXELS = (
    40_000_000  # of one picture or frame: above 8K video (33 million), below what would fill the memory
)
MAX_VIDEO_SIDE = 16_384  # pixels
HEAD_BYTES = 4096
_OPEN_FLAGS = os.O_RDONLY
for _flag in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"):  # what the system has of them
    _OPEN_FLAGS |= getattr(os, _flag, 0)
_TIFF_ENTRIES = 100
_JPEG_SEGMENTS = 2000
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a frame's header

_POINTERS = {  # how files begin that only point to other files
    b"#EXTM3U": "a playlist",
    b"ffconcat": "a list of files to join",
    b"[playlist]": "a playlist",
    b"[Reference]": "a playlist",
    b"<asx": "a playlist",
    b"<smil": "a playlist",
    b"v=0\r\n": "a description of a network stream",
    b"v=0\n": "a description of a network stream",
    b"http://": "a list of addresses",
    b"https://": "a list of addresses",
    b"rtsp://": "a list of addresses",
    b"file://": "a list of files",
}
_POINTERS_WITHIN = {b"<svg": "an SVG drawing", b"<MPD": "a streaming manifest", b"<smil": "a playlist"}


class MediaError(NanoEmoXError):
    """A file that cannot be read. One line: "<path>: what is wrong (expected …); what to do"."""


def shown(path: str | os.PathLike[str]) -> str:
    """A path as one printable line."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in os.fspath(path))


def refuse(path: str | os.PathLike[str], wrong: str, remedy: str) -> NoReturn:
    """Raise the one-line error about a file.

    Args:
        path: the file.
        wrong: what is wrong with it, and what was expected.
        remedy: what the user can do.

    Raises:
        MediaError: always.
    """
    raise MediaError(f"{shown(path)}: {wrong}; {remedy}")


def open_file(path: Path, expected: str = "a media file") -> IO[bytes]:
    """Open a plain file for reading, without ever waiting for one (a pipe would block)."""
    try:
        handle = os.open(path, _OPEN_FLAGS)
    except ValueError:
        refuse(path, "is not a file name (it holds a null character)", "check the name")
    except OSError as error:
        _refuse_os_error(path, error, expected)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            refuse(path, f"is a folder (expected {expected})", "name a file in it")
        if not stat.S_ISREG(mode):
            refuse(path, "is a pipe, socket or device (expected a plain file)", "save it to a file first")
        if os.fstat(handle).st_size == 0:
            refuse(path, f"is empty (0 bytes; expected {expected})", "copy or export it again")
    except BaseException:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb", buffering=0)


def _refuse_os_error(path: Path, error: OSError, expected: str) -> NoReturn:
    known = {
        errno.ENOENT: (f"no such file (expected {expected})", "check the path"),
        errno.ENOTDIR: ("no such file (a part of its path is not a folder)", "check the path"),
        errno.EACCES: ("may not be read (permission denied)", "change its permissions, or copy it"),
        errno.EPERM: ("may not be read (permission denied)", "change its permissions, or copy it"),
        errno.ELOOP: ("is a link that leads back to itself (expected a file)", "name the file itself"),
        errno.ENAMETOOLONG: ("has a name that is too long for a file", "check the path"),
        errno.ENXIO: ("is a pipe, socket or device (expected a plain file)", "save it to a file first"),
    }
    if error.errno == errno.ENOENT and re.match("[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        refuse(path, f"addresses are not opened (expected {expected})", "download the file and name it")
    wrong, remedy = known.get(error.errno or 0, (f"cannot be opened ({error.strerror})", "check the file"))
    refuse(path, wrong, remedy)


def declared_size(head: bytes, file: IO[bytes]) -> tuple[int, int]:
    """Width and height that a picture's header declares, (0, 0) for others: known before unpacking."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return struct.unpack(">II", head[16:24])
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return struct.unpack("<HH", head[6:10])
    if head.startswith(b"BM") and len(head) >= 26:
        width, height = struct.unpack("<ii", head[18:26])
        return abs(width), abs(height)
    if head[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_size(head, file)
    if numbers := re.match(rb"P[4-6]\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s+(\d{1,9})\s", head):
        return int(numbers[1]), int(numbers[2])
    if head[8:16] == b"WEBPVP8X" and len(head) >= 30:
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    at = 2
    for _ in range(_JPEG_SEGMENTS if head.startswith(b"\xff\xd8\xff") else 0):  # on to the start of a frame
        file.seek(at)
        segment = file.read(9)
        if len(segment) < 9 or segment[0] != 0xFF:
            break
        if segment[1] in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", segment[5:9])
            return width, height
        at += 1 if segment[1] == 0xFF else 2 + int.from_bytes(segment[2:4], "big")
    return 0, 0


def _tiff_size(head: bytes, file: IO[bytes]) -> tuple[int, int]:
    order: Literal["little", "big"] = "little" if head[:1] == b"I" else "big"
    at = int.from_bytes(head[4:8], order)
    file.seek(at)
    entries = file.read(2 + 12 * _TIFF_ENTRIES)
    sides = {256: 0, 257: 0}  # the tags of width and height
    for i in range(2, len(entries) - 11, 12):
        tag, kind = (int.from_bytes(entries[i + k : i + k + 2], order) for k in (0, 2))
        if tag in sides and kind in (3, 4):
            sides[tag] = int.from_bytes(entries[i + 8 : i + (10 if kind == 3 else 12)], order)
    return sides[256], sides[257]


def check_size(path: Path, width: int, height: int, moving: bool = False) -> None:
    """Refuse frames that would fill the memory, and videos of a size that only damage explains.

    Args:
        path: the file, for the error.
        width: pixels.
        height: pixels.
        moving: whether it is a video.
    """
    if width * height > MAX_PIXELS:
        wrong = f"unpacks to {width} x {height} pixels (expected at most {MAX_PIXELS // 1_000_000} million)"
        refuse(path, wrong, "scale it down")
    if moving and max(width, height) > MAX_VIDEO_SIDE:
        wrong = f"claims frames of {width} x {height} pixels (expected sides of at most {MAX_VIDEO_SIDE})"
        refuse(path, wrong, "scale it down, or export it again if it is damaged")


def refuse_pointers(path: Path, head: bytes) -> None:
    """Refuse what only points to other files."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((kind for mark, kind in _POINTERS.items() if text.lower().startswith(mark.lower())), None)
    if kind is None and text.startswith(b"<"):
        kind = next((kind for mark, kind in _POINTERS_WITHIN.items() if mark in text), None)
    if kind is not None:
        refuse(
            path,
            f"is {kind}, which points elsewhere and is never followed",
            "give the media file it stands for",
        )

"""Where the parts of a Matroska, FLV or Ogg file do not fit together, which FFmpeg steps over without a word.

These files are rows of parts that each say how long they are. If one of them does not begin where the one before it
ends, something was changed, lost or cut off in between.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from nanoemox.media.untrusted import open_file

_PARTS = 20_000  # looked at; more would take longer than decoding
_SEGMENT, _CLUSTER, _EBML = 0x18538067, 0x1F43B675, 0x1A45DFA3
_TOP = {0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367}
_IN_CLUSTER = {0xA3, 0xA0, 0xE7, 0xAB, 0xA7, 0x5854, 0xAF, 0xEC, 0xBF}
_FLV_TAGS = {8, 9, 18}


class _BreakError(Exception):
    """The parts do not fit together; `at` is where, in bytes."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at


def structure_breaks_at(path: Path) -> float | None:
    """Where the parts of a file do not fit together, as a share of its bytes; None where no fault is found."""
    with open_file(path) as raw:
        size = raw.seek(0, 2)
        raw.seek(0)
        file = io.BufferedReader(raw, 1 << 14)  # type: ignore[type-var]
        head = file.peek(16)[:16]
        walks: dict[bytes, Callable[[IO[bytes], int], Iterator[None]]]
        walks = {b"\x1a\x45\xdf\xa3": _matroska, b"FLV\1": _flv, b"OggS": _ogg}
        walk = walks.get(head[:4])
        if walk is None:
            return None
        try:
            for i, _ in enumerate(walk(file, size)):
                if i >= _PARTS:
                    break
        except _BreakError as found:
            return found.at / size
        return None


def _matroska(file: IO[bytes], size: int) -> Iterator[None]:
    at = 0
    number, begin, end = _element(file, at, size)
    at = size if end is None else end
    number, begin, end = _element(file, at, size)
    if number != _SEGMENT:
        raise _BreakError(at)
    if end is not None and end > size:
        raise _BreakError(size)
    at, last = begin, size if end is None else end
    while at < last:
        number, begin, end = _element(file, at, last)
        yield
        if number in (_EBML, _SEGMENT):
            return  # another film follows
        if number == _CLUSTER:
            inner = begin
            while inner < (last if end is None else end):
                child, _, child_end = _element(file, inner, last if end is None else end)
                yield
                if end is None and child in _TOP:
                    break  # a cluster of unknown length ends where another part begins
                if child_end is None or (end is None and child not in _IN_CLUSTER):
                    raise _BreakError(inner)
                inner = child_end
            at = inner
        elif end is None:
            return
        else:
            at = end


def _element(file: IO[bytes], at: int, last: int) -> tuple[int, int, int | None]:
    """Number, beginning and end of the content of the element at `at`; no end where its length is not known."""
    file.seek(at)
    head = file.read(12)
    id_size = 9 - head[0].bit_length() if head else 9
    if id_size > 4 or len(head) <= id_size:
        raise _BreakError(at)
    length_size = 9 - head[id_size].bit_length()
    if length_size > 8 or len(head) < id_size + length_size:
        raise _BreakError(at)
    length = int.from_bytes(head[id_size : id_size + length_size], "big") & ((1 << 7 * length_size) - 1)
    begin = at + id_size + length_size
    number = int.from_bytes(head[:id_size], "big")
    if length == (1 << 7 * length_size) - 1:
        return number, begin, None
    if begin + length > last and number != _SEGMENT:
        raise _BreakError(at)
    return number, begin, begin + length


def _flv(file: IO[bytes], size: int) -> Iterator[None]:
    file.seek(5)
    at = int.from_bytes(file.read(4), "big") + 4
    while at < size:
        file.seek(at)
        head = file.read(11)
        length = int.from_bytes(head[1:4], "big")
        if len(head) < 11 or head[0] & 0x1F not in _FLV_TAGS or at + 11 + length > size:
            raise _BreakError(at)
        file.seek(at + 11 + length)
        before = file.read(4)
        if len(before) == 4 and int.from_bytes(before, "big") not in (0, length, length + 11):
            raise _BreakError(at)
        at += 15 + length
        yield


def _ogg(file: IO[bytes], size: int) -> Iterator[None]:
    at, pages = 0, dict[bytes, int]()
    while at < size:
        file.seek(at)
        head = file.read(27)
        if len(head) < 27 or not head.startswith(b"OggS\0"):
            raise _BreakError(at)
        lengths = file.read(head[26])
        if at + 27 + head[26] + sum(lengths) > size:
            raise _BreakError(at)
        stream, page = head[14:18], int.from_bytes(head[18:22], "little")
        if stream in pages and page != pages[stream] + 1 and not head[5] & 2:
            raise _BreakError(at)
        pages[stream] = page
        at += 27 + head[26] + sum(lengths)
        yield

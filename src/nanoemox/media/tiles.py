"""HEIC and AVIF pictures in tiles, as telephones write them: which tiles, and where each one goes.

Such a file holds coded pictures of, say, 512 x 512 pixels and one item of the type `grid` that says how they lie
(ISO/IEC 23008-12, 6.6.2.3). FFmpeg gives each tile as a stream whose number is that of the item. `grid_of` reads the
boxes that tell the rest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nanoemox.media.untrusted import check_size, refuse

CODED = {b"hvc1", b"hev1", b"av01", b"avc1", b"jpeg", b"vvc1", b"j2k1", b"lhv1", b"unci", b"mski", b"hvt1"}
_META_BYTES = 16_000_000  # the description of some thousand tiles takes less than one
_BOXES = 10_000


@dataclass(frozen=True)
class Grid:
    """Tiles row by row as item numbers, the size they are cut to, and how that is then turned."""

    tiles: tuple[int, ...]
    columns: int
    width: int
    height: int
    quarter_turns: int  # counterclockwise
    mirror: int | None  # 0 exchanges above and below, 1 left and right


def grid_of(path: Path, file: IO[bytes]) -> Grid | None:
    """How the picture of a HEIC or AVIF file is put together.

    Args:
        path: the file, for errors.
        file: the same file, open.

    Returns:
        The grid, or None where the picture is one piece.

    Raises:
        MediaError: where it is put together in a way that is not read.
    """
    try:
        meta = _meta(file)
        boxes = {} if meta is None else dict(reversed(list(_boxes(meta[4:]))))
        if b"pitm" not in boxes or b"iinf" not in boxes:
            return None
        primary = _primary(boxes)
        kind = _types(boxes[b"iinf"]).get(primary, b"")
        grid = _grid(path, file, boxes, primary) if kind == b"grid" else None
    except (struct.error, IndexError, KeyError, ValueError):
        wrong = "is a HEIC or AVIF picture whose description cannot be read (damaged, or of a rare kind)"
        refuse(path, wrong, "convert it to JPEG or PNG")
    if grid is None and kind and kind not in CODED:
        name = kind.decode("latin-1")
        wrong = (
            f"is a HEIC or AVIF picture made of others in a way that is not read ({name!r}; expected 'grid')"
        )
        refuse(path, wrong, "convert it to JPEG or PNG")
    return grid


def pictures_of_heif(file: IO[bytes]) -> int:
    """How many pictures of their own a HEIC or AVIF file holds: no tiles, thumbnails, masks or maps.

    Args:
        file: the file, open.

    Returns:
        Their number; 1 where the description cannot be read.
    """
    try:
        meta = _meta(file)
        boxes = {} if meta is None else dict(reversed(list(_boxes(meta[4:]))))
        shown = {
            number
            for number, kind in _types(boxes[b"iinf"], hidden=False).items()
            if kind in CODED or kind == b"grid"
        }
        iref = boxes.get(b"iref", b"\0\0\0\0")
        size = 2 if iref[0] == 0 else 4
        for kind, entry in _boxes(iref[4:]):
            if kind in (b"thmb", b"auxl", b"prem"):
                shown.discard(_number(entry, 0, size))
            elif (
                kind == b"dimg"
            ):  # parts of another one, which may be a map that refers to the picture itself
                parts = _references(iref, _number(entry, 0, size))
                shown -= {*parts} - {_primary(boxes)}
        return max(len(shown), 1)
    except (struct.error, IndexError, KeyError, ValueError):
        return 1


def _primary(boxes: dict[bytes, bytes]) -> int:
    return _number(boxes[b"pitm"], 4, 2 if boxes[b"pitm"][0] == 0 else 4)


def _meta(file: IO[bytes]) -> bytes | None:
    """The content of the box `meta` at the top of the file."""
    at = 0
    for _ in range(_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return None
        size, kind, skip = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, skip = int.from_bytes(head[8:16], "big"), 16
        if kind == b"meta":
            file.seek(at + skip)
            return file.read(min(max(size - skip, 0), _META_BYTES))
        if size < skip:
            return None
        at += size
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _number(data: bytes, at: int, size: int) -> int:
    if size and len(data) < at + size:
        raise ValueError("the box ends early")
    return int.from_bytes(data[at : at + size], "big")


def _types(iinf: bytes, hidden: bool = True) -> dict[int, bytes]:
    """Item number -> its type; those too that are not to be shown by themselves, if they are wanted."""
    found = {}
    for kind, entry in _boxes(iinf[6 if iinf[0] == 0 else 8 :]):
        if kind == b"infe" and entry[0] in (2, 3) and (hidden or not entry[3] & 1):
            size = 2 if entry[0] == 2 else 4
            found[_number(entry, 4, size)] = entry[6 + size : 10 + size]
    return found


def _grid(path: Path, file: IO[bytes], boxes: dict[bytes, bytes], primary: int) -> Grid:
    data = _item(file, boxes, primary)
    columns, rows, size = data[3] + 1, data[2] + 1, 4 if data[1] & 1 else 2
    width, height = _number(data, 4, size), _number(data, 4 + size, size)
    check_size(path, width, height)
    tiles = _references(boxes[b"iref"], primary)
    if len(tiles) != columns * rows or not width or not height:
        raise ValueError("the grid does not fit its tiles")
    turns, mirror = _transforms(boxes[b"iprp"], primary)
    return Grid(tiles, columns, width, height, turns, mirror)


def _item(file: IO[bytes], boxes: dict[bytes, bytes], wanted: int) -> bytes:
    """The bytes of a small item, from the box `idat` or from the file."""
    iloc = boxes[b"iloc"]
    version, at = iloc[0], 6
    offset_size, length_size, base_size = iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4
    index_size = iloc[5] & 15 if version in (1, 2) else 0
    number_size = 4 if version == 2 else 2
    count = _number(iloc, at, number_size)
    at += number_size
    for _ in range(count):
        number, method = _number(iloc, at, number_size), 0
        at += number_size
        if version in (1, 2):
            method = _number(iloc, at, 2) & 15
            at += 2
        base = _number(iloc, at + 2, base_size)
        extents = _number(iloc, at + 2 + base_size, 2)
        at += 4 + base_size
        pieces = []
        for _ in range(extents):
            offset = base + _number(iloc, at + index_size, offset_size)
            length = _number(iloc, at + index_size + offset_size, length_size)
            at += index_size + offset_size + length_size
            pieces.append((offset, length))
        if number != wanted:
            continue
        parts = []
        for offset, length in pieces:
            if method == 1:
                parts.append(boxes[b"idat"][offset : offset + length])
            else:
                file.seek(offset)
                parts.append(file.read(min(length, 64)))
        return b"".join(parts)
    raise ValueError("the grid has no place")


def _references(iref: bytes, wanted: int) -> tuple[int, ...]:
    """The items that `wanted` is derived from, in their order."""
    size = 2 if iref[0] == 0 else 4
    for kind, entry in _boxes(iref[4:]):
        if kind == b"dimg" and _number(entry, 0, size) == wanted:
            count = _number(entry, size, 2)
            return tuple(_number(entry, size + 2 + i * size, size) for i in range(count))
    return ()


def _transforms(iprp: bytes, wanted: int) -> tuple[int, int | None]:
    """Quarter turns and mirror of an item, from the properties that it uses."""
    boxes = dict(_boxes(iprp))
    properties, ipma = list(_boxes(boxes[b"ipco"])), boxes[b"ipma"]
    number_size, wide = 2 if ipma[0] == 0 else 4, ipma[3] & 1
    turns, mirror, at = 0, None, 8
    for _ in range(_number(ipma, 4, 4)):
        number, count = _number(ipma, at, number_size), _number(ipma, at + number_size, 1)
        at += number_size + 1
        for _ in range(count):
            index = _number(ipma, at, 2) & 0x7FFF if wide else _number(ipma, at, 1) & 0x7F
            at += 2 if wide else 1
            if number != wanted or not 0 < index <= len(properties):
                continue
            kind, data = properties[index - 1]
            if kind == b"irot":
                turns = data[0] & 3
            elif kind == b"imir":
                mirror = data[0] & 1
    return turns, mirror

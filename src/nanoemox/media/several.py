"""How many pictures a file of stills holds: pages of a TIFF, views of an MPO, pictures of a HEIC, PNM in a row.

Only the first one (in HEIC the one that the file names first) is read, so the others have to be told. Thumbnails,
tiles, masks, depth and gain maps, and the sizes of an icon are no pictures of their own.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import IO, Literal

from PIL import Image, MpoImagePlugin

from nanoemox.media.clip import CodedWarning
from nanoemox.media.container import Source, packets
from nanoemox.media.tiles import pictures_of_heif
from nanoemox.media.untrusted import open_file

_MOST = 1000  # pictures that are counted
_TIFF_ENTRIES = 4096
_SUBFILE, _REDUCED, _MASK = 254, 1, 4  # the tag that tells what a page is, and its bits for what is no page
_MPF = 0xB002  # the entries of an MPO
_GAIN_MAP = (b"hdrgm:", b"HDRGainMap")
_GAIN_MAP_BYTES = 1 << 18
_ROW_FORMATS = {"mjpeg", "ppm_pipe", "pgm_pipe", "pbm_pipe", "pam_pipe", "pfm_pipe"}


def several_pictures(source: Source) -> list[CodedWarning]:
    """A warning where a still holds more pictures than the one that is read; or none."""
    number = min(_pictures_in(source), _MOST)
    if number < 2:
        return []
    text = (
        f"the file holds {number}{' or more' * (number == _MOST)} pictures, of which only the first was taken"
    )
    return [CodedWarning("pictures_left_out", text)]


def _pictures_in(source: Source) -> int:
    with open_file(source.path) as file:
        head = file.read(12)
        if head[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_pages(file, head)
        if head.startswith(b"\xff\xd8\xff") and (views := _views_of_jpeg(source.path, file)):
            return views
        if head[4:8] == b"ftyp":
            return pictures_of_heif(file)
    if source.format in _ROW_FORMATS:
        with source.reading("video") as (container, stream):
            return sum(1 for _ in islice((p for p in packets(container, stream) if p.size), _MOST))
    return 1


def _tiff_pages(file: IO[bytes], head: bytes) -> int:
    order: Literal["little", "big"] = "little" if head[:1] == b"I" else "big"
    at, pages, seen = int.from_bytes(head[4:8], order), 0, set[int]()
    while at and at not in seen and len(seen) < _MOST:
        seen.add(at)
        file.seek(at)
        count = int.from_bytes(file.read(2), order)
        entries = file.read(12 * min(count, _TIFF_ENTRIES) + 4)
        if len(entries) < 12 * count + 4:
            break
        kind = 0
        for i in range(0, 12 * count, 12):
            if int.from_bytes(entries[i : i + 2], order) == _SUBFILE:
                kind = int.from_bytes(entries[i + 8 : i + 12], order)
        pages += not kind & (_REDUCED | _MASK)
        at = int.from_bytes(entries[12 * count : 12 * count + 4], order)
    return pages


def _views_of_jpeg(path: Path, file: IO[bytes]) -> int:
    """Views of one size as the first; a gain map, which telephones add in the same way, is none. 0: it does not say."""
    file.seek(0)
    start = file.read(_GAIN_MAP_BYTES)
    if b"MPF\0" not in start:
        return 0
    if any(mark in start for mark in _GAIN_MAP):
        return 1
    file.seek(0)
    try:
        with Image.open(file, formats=("JPEG", "MPO")) as picture:
            if not isinstance(picture, MpoImagePlugin.MpoImageFile):
                return 1
            size, number = picture.size, min(picture.n_frames, _MOST)
            views = 1
            for k in range(1, number):
                picture.seek(k)
                views += picture.size == size
            return views
    except Exception:  # whatever is wrong with the note about the others, the first one is read
        return 1

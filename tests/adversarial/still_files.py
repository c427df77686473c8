"""Pictures that move, and pictures in tiles, written byte by byte where no library writes them."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.media_files import numbered_frame

TILE = 64


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def animation(path: Path, numbers: list[int], ms: list[int] | int = 100, **how: Any) -> Path:
    """A GIF, APNG, WebP or AVIF of numbered pictures, by Pillow."""
    first, *rest = (Image.fromarray(numbered_frame(number)) for number in numbers)
    first.save(path, save_all=True, append_images=rest, duration=ms, **how)
    return path


def coded(picture: NDArray[np.uint8], encoder: str) -> tuple[bytes, bytes]:
    """One picture as a packet of an MP4 and the decoder's configuration that belongs to it."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream: Any = out.add_stream(encoder, rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        if encoder == "libx265":
            stream.options = {"x265-params": "log-level=none:bframes=0:qp=8"}
        else:
            stream.options = {"crf": "1", "preset": "10"}
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as back:
        packet = next(packet for packet in back.demux(video=0) if packet.size)
        extradata = back.streams.video[0].codec_context.extradata
        assert extradata is not None
        return bytes(packet), extradata


def tiled(
    path: Path,
    picture: NDArray[np.uint8],
    *,
    encoder: str = "libx265",
    angle: int = 0,
    mirror: int | None = None,
    kind: bytes = b"grid",
    in_mdat: bool = False,
) -> Path:
    """A HEIC or AVIF whose primary item is a grid of tiles, as telephones write them.

    Args:
        path: the file.
        picture: uint8 [H, W, 3], cut into tiles of 64 x 64 pixels, the last ones filled up with grey.
        encoder: libx265 or libsvtav1.
        angle: quarter turns counterclockwise by which it is shown.
        mirror: 0 to exchange above and below, 1 for left and right; None for neither.
        kind: the type of the primary item.
        in_mdat: whether the description of the grid lies beside the tiles; else in a box of its own.
    """
    height, width = picture.shape[:2]
    rows, columns = -(-height // TILE), -(-width // TILE)
    filled = np.full((rows * TILE, columns * TILE, 3), 128, np.uint8)
    filled[:height, :width] = picture
    cut = [
        filled[r * TILE : (r + 1) * TILE, c * TILE : (c + 1) * TILE]
        for r in range(rows)
        for c in range(columns)
    ]
    tiles = [coded(tile, encoder) for tile in cut]
    item, config = (b"hvc1", b"hvcC") if encoder == "libx265" else (b"av01", b"av1C")

    count, grid_id = len(tiles), len(tiles) + 1
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    names = b"".join(
        full(b"infe", struct.pack(">HH", i, 0), item, b"\0", version=2, flags=1) for i in range(1, count + 1)
    )
    names += full(b"infe", struct.pack(">HH", grid_id, 0), kind, b"\0", version=2)
    refers = box(b"dimg", struct.pack(f">HH{count}H", grid_id, count, *range(1, count + 1)))
    properties = [
        full(b"ispe", struct.pack(">II", TILE, TILE)),
        full(b"ispe", struct.pack(">II", width, height)),
    ]
    properties += [box(config, extradata) for _, extradata in tiles]
    own = [2]
    if angle:
        properties.append(box(b"irot", bytes([angle])))
        own.append(0x80 | len(properties))
    if mirror is not None:
        properties.append(box(b"imir", bytes([mirror])))
        own.append(0x80 | len(properties))
    uses = b"".join(struct.pack(">HBBB", i, 2, 1, 0x80 | (2 + i)) for i in range(1, count + 1))
    uses += struct.pack(">HB", grid_id, len(own)) + bytes(own)

    def meta(offset: int) -> bytes:
        places, at = b"", offset
        for i, (data, _) in enumerate(tiles, 1):
            places += struct.pack(">HHHHII", i, 0, 0, 1, at, len(data))
            at += len(data)
        places += struct.pack(">HHHHII", grid_id, 0 if in_mdat else 1, 0, 1, at if in_mdat else 0, len(grid))
        return full(
            b"meta",
            full(b"hdlr", b"\0\0\0\0pict" + bytes(13)),
            full(b"pitm", struct.pack(">H", grid_id)),
            full(b"iloc", b"\x44\x00", struct.pack(">H", grid_id), places, version=1),
            full(b"iinf", struct.pack(">H", grid_id), names),
            full(b"iref", refers),
            box(b"iprp", box(b"ipco", *properties), full(b"ipma", struct.pack(">I", grid_id), uses)),
            b"" if in_mdat else box(b"idat", grid),
        )

    brand = b"heic" if item == b"hvc1" else b"avif"
    head = box(b"ftyp", brand + b"\0\0\0\0mif1" + brand)
    offset = len(head) + len(meta(0)) + 8
    data = b"".join(data for data, _ in tiles) + (grid if in_mdat else b"")
    path.write_bytes(head + meta(offset) + box(b"mdat", data))
    return path


def heif_of(
    path: Path,
    primary: int,
    items: Sequence[tuple[int, bytes, bool]],
    references: Sequence[tuple[bytes, int, Sequence[int]]],
) -> Path:
    """The description of a HEIC, without the pictures.

    Args:
        path: the file.
        primary: the item that the file names first.
        items: number, type and whether it is not to be shown by itself.
        references: kind, from which item, and to which ones.

    Returns:
        The path.
    """
    names = b"".join(
        full(b"infe", struct.pack(">HH", number, 0), kind, b"\0", version=2, flags=int(hidden))
        for number, kind, hidden in items
    )
    refers = b"".join(
        box(kind, struct.pack(f">HH{len(to)}H", number, len(to), *to)) for kind, number, to in references
    )
    meta = full(
        b"meta",
        full(b"pitm", struct.pack(">H", primary)),
        full(b"iinf", struct.pack(">H", len(items)), names),
        full(b"iref", refers),
    )
    path.write_bytes(box(b"ftyp", b"heic", bytes(4), b"heic") + meta)
    return path


def dolby_vision(profile: int) -> bytes:
    """The record that says that a video is Dolby Vision."""
    return struct.pack(">BBH", 1, 0, profile << 9 | 6 << 3 | 0b101) + bytes(20)


def add_dolby_vision(path: Path, profile: int) -> Path:
    """Say of the video of an MP4, whose index lies at its end, that it is Dolby Vision."""
    data = path.read_bytes()
    moov = data.index(b"moov") - 4
    route = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8, b"avc1": 78}
    path.write_bytes(
        data[:moov] + _inserted(data[moov:], list(route.items()), box(b"dvcC", dolby_vision(profile)))
    )
    return path


def _inserted(data: bytes, route: list[tuple[bytes, int]], new: bytes) -> bytes:
    """Boxes with a new one at the end of the first of each name on a route; beside it, the bytes of a header."""
    if not route:
        return data + new
    (name, skip), at = route[0], 0
    while data[at + 4 : at + 8] != name:
        at += int.from_bytes(data[at : at + 4], "big")
    end = at + int.from_bytes(data[at : at + 4], "big")
    inner = data[at + 8 : at + 8 + skip] + _inserted(data[at + 8 + skip : end], route[1:], new)
    return data[:at] + box(name, inner) + data[end:]

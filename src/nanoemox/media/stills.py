"""The whole picture of a HEIC or AVIF file that holds it in tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from nanoemox.media import old_pyav
from nanoemox.media.container import opened, packets
from nanoemox.media.limits import Meter
from nanoemox.media.tiles import Grid
from nanoemox.media.untrusted import MAX_PIXELS, refuse


def read_tiles(path: Path, grid: Grid, meter: Meter) -> NDArray[np.uint8]:
    """The whole picture of a file in tiles.

    Args:
        path: the file.
        grid: how the tiles lie.
        meter: how much of the file was read already.

    Returns:
        uint8 [H, W, 3], turned as it is shown.

    Raises:
        MediaError: if a tile is missing or cannot be decoded.
    """
    whole = np.zeros((grid.height, grid.width, 3), dtype=np.uint8)
    left = {number: i for i, number in reversed(list(enumerate(grid.tiles)))}
    tile_h = tile_w = 0
    with opened(path, meter) as container:
        of_tiles = [stream for stream in container.streams.video if stream.id in left]
        for packet in packets(container, of_tiles):
            number = packet.stream.id
            if not packet.size or number not in left:
                continue
            picture = _tile(packet)
            if picture is None:
                break
            tile_h, tile_w = tile_h or picture.shape[0], tile_w or picture.shape[1]
            for i in (i for i, tile in enumerate(grid.tiles) if tile == number):
                row, column = divmod(i, grid.columns)
                part = whole[row * tile_h : (row + 1) * tile_h, column * tile_w : (column + 1) * tile_w]
                part[...] = picture[: part.shape[0], : part.shape[1]]
            del left[number]
    rows = len(grid.tiles) // grid.columns
    if left or rows * tile_h < grid.height or grid.columns * tile_w < grid.width:
        there = len(set(grid.tiles)) - len(left)
        wrong = (
            f"is a picture in {len(grid.tiles)} tiles, of which only {there} can be decoded and fit together"
        )
        refuse(path, wrong, "convert it to JPEG or PNG, or copy it again")
    whole = np.rot90(whole, grid.quarter_turns)
    if grid.mirror is not None:
        whole = whole[::-1] if grid.mirror == 0 else whole[:, ::-1]
    return np.ascontiguousarray(whole)


def _tile(packet: Any) -> NDArray[np.uint8] | None:
    """One tile, decoded by a decoder of its own, so that hundreds of them are not held at once."""
    coded = packet.stream.codec_context
    decoder: Any = av.CodecContext.create(coded.name, "r")
    decoder.extradata, decoder.thread_count = coded.extradata, 1
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    try:
        frames = [*decoder.decode(packet), *decoder.decode(None)]
    except av.FFmpegError:
        return None
    if not frames:
        return None
    array: NDArray[np.uint8] = frames[0].reformat(format="rgb24", **old_pyav.ONE_THREAD).to_ndarray()
    return array

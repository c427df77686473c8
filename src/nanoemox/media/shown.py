"""A decoded frame as it is meant to be seen: square pixels, turned, in the ordinary range, of one size."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from numpy.typing import NDArray

from nanoemox.media import old_pyav
from nanoemox.media.clip import CodedWarning
from nanoemox.media.container import Source
from nanoemox.media.hdr import mapped, needs_mapping

LONGEST_SIDE_PX = 1280  # frames are kept at their own size up to this
_NAMED_PROFILES = {"png", "apng"}
_SIDE_DATA_KINDS = 48  # more than FFmpeg has


def shown_frame(frame: Any, source: Source) -> NDArray[np.uint8]:
    """A frame as it is meant to be seen, RGB [H, W, 3]: square pixels, turned, its longest side capped."""
    width, height = float(frame.width), float(frame.height)
    if 1 < source.pixel_aspect <= 8:
        width *= source.pixel_aspect
    elif 1 / 8 <= source.pixel_aspect < 1:
        height /= source.pixel_aspect
    scale = min(1.0, LONGEST_SIDE_PX / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if needs_mapping(frame):
        return np.ascontiguousarray(_turned(mapped(frame, size), frame, source))
    rgb = frame.reformat(*size, format="rgb24", interpolation="BICUBIC", **old_pyav.ONE_THREAD).to_ndarray()
    return np.ascontiguousarray(_turned(rgb, frame, source))


def _turned(rgb: NDArray[np.uint8], frame: Any, source: Source) -> NDArray[np.uint8]:
    """Apply the display matrix: x' = a x + c y, y' = b x + d y, in quarter turns and mirrors."""
    if source.picture or source.codec in _NAMED_PROFILES:
        frame = _bare(frame)
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # side data of a kind PyAV has no name for, such as EXIF
        data = _bare(frame).side_data.get("DISPLAYMATRIX")
    if data is not None:
        a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
    elif source.picture and (turn := old_pyav.turn_of_picture(source.path)):
        a, b, c, d = turn
    else:
        return rgb
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        return rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return rgb.transpose(1, 0, 2)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]


def _bare(frame: Any) -> Any:
    """The frame without side data that PyAV cannot name, which hides all the others, and without colour profiles.

    A profile in a PNG has a name, which PyAV frees although the frame owns it: the interpreter then crashes.
    """
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    named = {kind.value for kind in SideDataType} - {SideDataType.ICC_PROFILE.value}
    for number in (n for n in range(_SIDE_DATA_KINDS) if n not in named):
        following = graph.add("sidedata", f"mode=delete:type={number}")
        last.link_to(following)
        last = following
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    return graph.pull()


def stacked(frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Frames -> uint8 [T, H, W, 3]; one of another size is fitted into that of the first, with black around it."""
    height, width = frames[0].shape[:2]
    stacked = np.zeros((len(frames), height, width, 3), dtype=np.uint8)
    for room, frame in zip(stacked, frames, strict=True):
        if frame.shape[:2] != (height, width):
            scale = min(height / frame.shape[0], width / frame.shape[1])
            size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
            own_size = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            frame = own_size.reformat(*size, **old_pyav.ONE_THREAD).to_ndarray().astype(np.uint8, copy=False)
        top, left = (height - frame.shape[0]) // 2, (width - frame.shape[1]) // 2
        room[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
    return stacked


def size_warning(frames: list[NDArray[np.uint8]]) -> list[CodedWarning]:
    """What is to be said where frames are of several sizes."""
    others = sum(frame.shape != frames[0].shape for frame in frames)
    height, width = frames[0].shape[:2]
    if not others:
        return []
    fitted = f"{others} of {len(frames)} frames were fitted into {width} x {height} pixels"
    return [CodedWarning("size_changes", f"the picture changes its size: {fitted}")]

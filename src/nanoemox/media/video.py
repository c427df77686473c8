"""The frames of a video: which ones, found how, and turned the way they are shown.

The rule is the official one: with m = min(n, vlen), the frames floor(i * vlen / m), i < m, then the last one
again up to n. vlen is counted, not believed: short videos are decoded through. Long ones are sampled by
seeking, each target by its time, so that time and memory stay bounded; there vlen is what the file's index
says, a count of its packets or, in a large file without an index, its length times its frame rate.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from numpy.typing import NDArray

from nanoemox.files.short_repr import ShortRepr
from nanoemox.media import old_pyav
from nanoemox.media.clip import CodedWarning, frame_indices
from nanoemox.media.container import Source, decoded, go_to, last_packet_s, packets
from nanoemox.media.stills import read_tiles
from nanoemox.media.tiles import grid_of
from nanoemox.media.untrusted import MAX_PIXELS, open_file, refuse
from nanoemox.media.webp import webp_pictures, webp_times_s

LONGEST_SIDE_PX = 1280  # frames are kept at their own size up to this
DECODE_THROUGH_FRAMES = 1000  # up to here a video is decoded from end to end (40 s at 25 fps)
DECODE_THROUGH_PIXELS = 2_100_000_000  # and up to here: as many frames at 1080p, fewer of larger ones
COUNT_BYTES = 64_000_000  # files up to here have their frames counted where the container does not tell
FRAMES_PER_SEEK = 3000  # how far to decode towards a target when key frames lie far apart
_THREADED_PIXELS = 800_000  # above this, more threads than one pay
_EARLIER_S = (0.0, 2.0, 10.0, 60.0)  # how far to step back when a seek lands behind its target
_EPSILON_S = 1e-6
_REORDER_S = 5.0  # packets are not further out of order
_TILE = 1 << 19  # AV_DISPOSITION_DEPENDENT, which PyAV has no name for
_SIDE_DATA_KINDS = 48  # more than FFmpeg has


@dataclass(frozen=True, repr=False)
class VideoFrames(ShortRepr):
    """`frames` uint8 [T, H, W, 3], the time of each, the length of what they were taken from."""

    frames: NDArray[np.uint8]
    times_s: tuple[float, ...]
    length_s: float
    warnings: tuple[CodedWarning, ...] = ()


def read_frames(source: Source, n: int, start_s: float | None, end_s: float | None) -> VideoFrames | None:
    """Frames at equal steps between start_s and end_s.

    Args:
        source: the file.
        n: how many frames (T).
        start_s: begin here, in seconds from the beginning of the file; None, at the beginning.
        end_s: end here, likewise; None, at the end.

    Returns:
        The frames, or None where not one of them can be decoded.
    """
    if source.picture:
        return _still(source, n)
    if source.webp_times_s:
        return _webp(source, n, start_s or 0.0, math.inf if end_s is None else end_s)
    lo, hi = -math.inf if start_s is None else start_s, math.inf if end_s is None else end_s
    through = min(DECODE_THROUGH_FRAMES, DECODE_THROUGH_PIXELS // max(source.pixels, 1))
    vlen, times = source.frames if start_s is None and end_s is None else 0, None
    if not vlen:
        length_s = 0.0 if source.duration_s is None else min(hi, source.duration_s) - max(lo, 0.0)
        if length_s * source.frame_rate_hz <= through or source.size <= COUNT_BYTES:
            times = _packet_times(source, lo, hi)
            vlen = len(times)
            if not vlen:
                return None
    if 0 < vlen <= through:
        return _decode_through(source, n, lo, hi, vlen)
    return _seek_through(source, n, lo, hi, times)


# ---------------------------------------------------------------- one frame


def _still(source: Source, n: int) -> VideoFrames | None:
    """The one picture, from tiles or by Pillow where FFmpeg does not give all of it."""
    whole: NDArray[np.uint8] | None = None
    with open_file(source.path) as file:
        grid = grid_of(source.path, file)
    if grid is not None:
        whole = read_tiles(source.path, grid)
    elif webp_times_s(source.path):
        whole = next(iter(webp_pictures(source.path, [0])), None)
    if whole is not None:
        picture = _shown(av.VideoFrame.from_ndarray(whole, format="rgb24"), source)
        return VideoFrames(np.repeat(picture[None], n, axis=0), (0.0,) * n, 0.0)
    with source.reading("video") as (container, stream):
        if stream.disposition & _TILE:
            refuse(
                source.path, "is a picture in tiles, whose order cannot be read", "convert it to JPEG or PNG"
            )
        for frame in _frames(container, stream):
            picture = _shown(frame, source)
            return VideoFrames(np.repeat(picture[None], n, axis=0), (0.0,) * n, 0.0)
    return None


def _webp(source: Source, n: int, lo: float, hi: float) -> VideoFrames | None:
    """The frames of an animated WebP that are on the screen in [lo, hi)."""
    times = source.webp_times_s
    first = max(bisect_right(times, lo + _EPSILON_S) - 1, 0)
    last = min(bisect_left(times, hi - _EPSILON_S), len(times) - 1)
    if first >= last:
        return None
    indices = [first + i for i in frame_indices(last - first, n)]
    pictures = webp_pictures(source.path, indices)
    if not pictures:
        return None
    shown = [_shown(av.VideoFrame.from_ndarray(each, format="rgb24"), source) for each in pictures]
    warnings: list[CodedWarning] = []
    if len(shown) < n:  # the last one that can be decoded stands for those after it
        there, wanted = len(set(indices[: len(shown)])), len(set(indices))
        damage = f"the video is damaged or cut off: {there} of the {wanted} frames wanted could be decoded"
        warnings.append(CodedWarning("video_damaged", damage))
        indices = indices[: len(shown)] + [indices[len(shown) - 1]] * (n - len(shown))
        shown += [shown[-1]] * (n - len(shown))
    frame_times = tuple(round(times[i], 6) for i in indices)
    return VideoFrames(_stack(shown), frame_times, times[last] - times[first], tuple(warnings))


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames from where the container stands, on as many threads as pay."""
    context = stream.codec_context
    if context is None:
        return  # no decoder for it
    if not context.is_open:
        large = context.width * context.height > _THREADED_PIXELS
        context.thread_type = "AUTO" if large else "NONE"
        context.thread_count = 4 if large else 1
        context.options = {"max_pixels": str(MAX_PIXELS)}
    yield from decoded(container, stream)


def _time_s(frame: Any, source: Source, fallback_s: float) -> float:
    return fallback_s if frame.pts is None else float(frame.pts * frame.time_base) - source.start_s


def _shown(frame: Any, source: Source) -> NDArray[np.uint8]:
    """A frame as it is meant to be seen, RGB [H, W, 3]: square pixels, turned, its longest side capped."""
    width, height = float(frame.width), float(frame.height)
    if 1 < source.pixel_aspect <= 8:
        width *= source.pixel_aspect
    elif 1 / 8 <= source.pixel_aspect < 1:
        height /= source.pixel_aspect
    scale = min(1.0, LONGEST_SIDE_PX / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    rgb = frame.reformat(*size, format="rgb24", interpolation="BICUBIC", **old_pyav.ONE_THREAD).to_ndarray()
    return np.ascontiguousarray(_turned(rgb, frame, source))


def _turned(rgb: NDArray[np.uint8], frame: Any, source: Source) -> NDArray[np.uint8]:
    """Apply the display matrix: x' = a x + c y, y' = b x + d y, in quarter turns and mirrors."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # side data of a kind PyAV has no name for, such as EXIF
        data = _without_unnamed(frame).side_data.get("DISPLAYMATRIX")
    if data is not None:
        a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
    elif source.picture and (turn := old_pyav.turn_of_picture(source.path)):
        a, b, c, d = turn
    else:
        return rgb
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        return rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return rgb.transpose(1, 0, 2)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]


def _without_unnamed(frame: Any) -> Any:
    """The frame without side data that PyAV cannot name, since one such piece hides all the others."""
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    named = {kind.value for kind in SideDataType}
    for number in (n for n in range(_SIDE_DATA_KINDS) if n not in named):
        following = graph.add("sidedata", f"mode=delete:type={number}")
        last.link_to(following)
        last = following
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    return graph.pull()


def _stack(frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Frames -> uint8 [T, H, W, 3], all of the first one's size."""
    height, width = frames[0].shape[:2]
    for i, frame in enumerate(frames):
        if frame.shape != frames[0].shape:  # the video changes its size
            own_size = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            resized = own_size.reformat(width, height, **old_pyav.ONE_THREAD).to_ndarray()
            frames[i] = resized.astype(np.uint8, copy=False)
    return np.stack(frames)


# ---------------------------------------------------------------- short: decode through


def _packet_times(source: Source, lo: float, hi: float) -> list[float]:
    """The times of the frames in [lo, hi), in order, read without decoding."""
    times: list[float] = []
    with source.reading("video") as (container, stream):
        if lo > 0:
            go_to(container, stream, source, lo)
        at = max(lo, 0.0)
        for packet in packets(container, stream):
            pts = packet.pts if packet.pts is not None else packet.dts
            at += 1 / source.frame_rate_hz
            if pts is not None:
                at = float(pts * packet.time_base) - source.start_s
            if packet.size and lo - _EPSILON_S <= at < hi - _EPSILON_S:
                times.append(at)
            if at > hi + _REORDER_S:
                break
    return sorted(times)


def _decode_through(source: Source, n: int, lo: float, hi: float, expected: int) -> VideoFrames | None:
    """Decode all of [lo, hi), keeping the frames wanted if there are `expected`; again if there are not."""
    stated, rate = expected, source.frame_rate_hz
    for _ in range(3):
        wanted = set(frame_indices(max(expected, 1), n))
        kept: dict[int, tuple[float, NDArray[np.uint8]]] = {}
        count, first, last = 0, 0.0, 0.0
        with source.reading("video") as (container, stream):
            if lo > 0:
                go_to(container, stream, source, lo)
            for frame in _frames(container, stream):
                at = _time_s(frame, source, max(lo, 0.0) + count / rate)
                if at < lo - _EPSILON_S:
                    continue
                if at >= hi - _EPSILON_S:
                    break
                first, last = (at if count == 0 else first), at
                if count in wanted:
                    kept[count] = (at, _shown(frame, source))
                count += 1
        if count == 0:
            return None
        if count == expected:
            break
        expected = count
    indices = [i for i in frame_indices(count, n) if i in kept] or sorted(kept)
    indices += [indices[-1]] * (n - len(indices))
    warnings = []
    if stated - count > max(2, 0.02 * stated):
        damage = f"the video is damaged or cut off: {count} of {stated} frames could be decoded"
        warnings.append(CodedWarning("video_damaged", damage))
    frames = _stack([kept[i][1] for i in indices])
    times = tuple(round(kept[i][0], 6) for i in indices)
    return VideoFrames(frames, times, last - first + 1 / rate, tuple(warnings))


# ---------------------------------------------------------------- long: seek


def _timetable(source: Source, stream: Any, lo: float, hi: float) -> tuple[int, Callable[[int], float]]:
    """vlen of [lo, hi) and a function from an index to its time: by the file's index, if that is whole."""
    entries: Any = old_pyav.index_entries(stream) or ()
    tb = float(stream.time_base)
    first_s = (stream.start_time or 0) * tb - source.start_s
    if source.frames and len(entries) >= source.frames:
        origin = entries[0].timestamp

        def at(k: int) -> float:
            return (entries[k].timestamp - origin) * tb + first_s

        # A file that was cut off still has its whole index: only the entries that end inside the file count.
        indices = range(len(entries))
        whole = bisect_left(indices, True, key=lambda k: entries[k].pos + entries[k].size > source.size)
        k_lo = bisect_left(indices, lo - _EPSILON_S, hi=whole, key=at)
        k_hi = bisect_left(indices, hi - _EPSILON_S, hi=whole, key=at)
        return k_hi - k_lo, lambda k: at(k_lo + k)
    begin, rate = max(lo, first_s), source.frame_rate_hz
    end = (
        begin
        if source.duration_s is None
        else last_packet_s(source, "video", max(begin, source.duration_s - 10.0))
    )
    if end <= begin or (source.duration_s is not None and end <= source.duration_s - 10.0):
        end = last_packet_s(
            source, "video", begin
        )  # its stated length is wrong or not there: read on to the end
    return round((min(end, hi) - begin) * rate), lambda k: begin + k / rate


class _Walker:
    """Finds frames by their times, in rising order: by decoding on when that is near, else by seeking."""

    def __init__(self, source: Source, container: Any, stream: Any) -> None:
        self.source, self.container, self.stream = source, container, stream
        self.half_s = 0.5 / source.frame_rate_hz
        self.near_s = 1.0
        self.at_s, self.frame, self.frames = -math.inf, None, iter(())
        self.seeks_pay = True
        self.stuck = False
        self.shown: NDArray[np.uint8] | None = None
        self.shown_at_s = -math.inf

    def find(self, target_s: float) -> tuple[float, NDArray[np.uint8] | None]:
        """Time and pixels of the first frame at or after `target_s` (less half a frame), or of the last."""
        if self.frame is None or (self.seeks_pay and target_s - self.at_s > self.near_s):
            self._jump(target_s)
        for _ in range(FRAMES_PER_SEEK):
            if self.at_s >= target_s - self.half_s or not self._step():
                break
        else:
            self.stuck = True
        if self.frame is not None and self.shown_at_s != self.at_s:
            self.shown, self.shown_at_s = _shown(self.frame, self.source), self.at_s
        return self.at_s, self.shown

    def _jump(self, target_s: float) -> None:
        before_s = self.at_s
        for earlier_s in _EARLIER_S:
            go_to(self.container, self.stream, self.source, max(target_s - earlier_s, 0.0))
            self.frames = _frames(self.container, self.stream)
            if self._step() and self.at_s <= target_s + self.half_s:
                break
        if self.at_s <= before_s:
            self.seeks_pay = False  # key frames lie farther apart than the targets

    def _step(self) -> bool:
        frame = next(self.frames, None)
        if frame is None:
            return False
        self.frame, self.at_s = frame, _time_s(frame, self.source, self.at_s + 2 * self.half_s)
        return True


def _seek_through(
    source: Source, n: int, lo: float, hi: float, times: list[float] | None
) -> VideoFrames | None:
    """n frames of a long video, each by its time; `times` where they are known already."""
    warnings: list[CodedWarning] = []
    with source.reading("video") as (container, stream):
        if times is None and source.frames and old_pyav.index_entries(stream) is None:
            times = _packet_times(source, lo, hi)  # exact as well, but the file is read through
        vlen, time_of = (len(times), times.__getitem__) if times else _timetable(source, stream, lo, hi)
        if vlen < 1:
            return None
        walker = _Walker(source, container, stream)
        found = [walker.find(time_of(k)) for k in frame_indices(vlen, n)]
        length_s = time_of(vlen - 1) - time_of(0) + 1 / source.frame_rate_hz  # the index lives no longer
    shown = [frame for _, frame in found if frame is not None]
    if len(shown) < n:
        return None
    if lo < 0 and hi == math.inf and source.frames - vlen > max(2, 0.02 * source.frames):
        damage = f"the video is damaged or cut off: {vlen} of {source.frames} frames are there"
        warnings.append(CodedWarning("video_damaged", damage))
    if walker.stuck:
        early = "key frames lie far apart, so some frames are earlier than asked for"
        warnings.append(CodedWarning("frames_early", early))
    times_s = tuple(round(at, 6) for at, _ in found)
    return VideoFrames(_stack(shown), times_s, length_s, tuple(warnings))


def read_folder(sources: list[Source], n: int) -> NDArray[np.uint8]:
    """n of the pictures of a folder, by the same rule, all of the first one's size."""
    pictures: dict[int, NDArray[np.uint8]] = {}
    indices = frame_indices(len(sources), n)
    for i in dict.fromkeys(indices):
        picture = read_frames(sources[i], 1, None, None)
        if picture is None:
            refuse(sources[i].path, "holds no picture that can be decoded", "remove it or export it again")
        pictures[i] = picture.frames[0]
    return _stack([pictures[i] for i in indices])

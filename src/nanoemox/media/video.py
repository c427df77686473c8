"""The frames of a video: which ones, found how, and turned the way they are shown.

The rule is the official one: with m = min(n, vlen), the frames floor(i * vlen / m), i < m, then the last one
again up to n. vlen is counted, not believed: short videos are decoded through. Long ones are sampled by
seeking, each target by its time, so that time and memory stay bounded; there vlen is what the file's index
says, a count of its packets or, in a large file without an index, its length times its frame rate.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from nanoemox.files.short_repr import ShortRepr
from nanoemox.media import old_pyav
from nanoemox.media.clip import CodedWarning, frame_indices
from nanoemox.media.container import Source, go_to, packets, track_end_s
from nanoemox.media.damage import picture_ends_early, video_damaged
from nanoemox.media.dolby import WARNING as DOLBY_VISION
from nanoemox.media.dolby import is_profile_5
from nanoemox.media.hdr import TRANSFERS
from nanoemox.media.several import several_pictures
from nanoemox.media.shown import shown_frame, size_warning, stacked
from nanoemox.media.stills import read_tiles
from nanoemox.media.tiles import grid_of
from nanoemox.media.timeline import (
    EPSILON_S,
    SHOWN_S,
    FrameReader,
    first_shown,
    frame_times,
    packet_clock,
)
from nanoemox.media.untrusted import open_file, refuse
from nanoemox.media.webp import webp_pictures, webp_times_s

DECODE_THROUGH_FRAMES = 1000  # up to here a video is decoded from end to end (40 s at 25 fps)
DECODE_THROUGH_PIXELS = 2_100_000_000  # and up to here: as many frames at 1080p, fewer of larger ones
COUNT_BYTES = 64_000_000  # files up to here have their frames counted where the container does not tell
FRAMES_PER_SEEK = 3000  # how far to decode towards a target when key frames lie far apart
_NEAR_S = 1.0  # what is no further ahead is found by decoding on
_ROUNDING_S = 0.001  # of the times in many files
_UNEVEN = 0.6  # of the mean time between two frames
_TILE = 1 << 19  # AV_DISPOSITION_DEPENDENT, which PyAV has no name for


@dataclass(frozen=True, repr=False)
class VideoFrames(ShortRepr):
    """`frames` uint8 [T, H, W, 3], the time of each, the length of what they were taken from."""

    frames: NDArray[np.uint8]
    times_s: tuple[float, ...]
    length_s: float  # from the beginning of the file, or of the cut, to the end of the last frame
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
    video = _read(source, n, start_s, end_s)
    if video is None:
        return None
    if source.picture:
        video = replace(video, warnings=(*video.warnings, *several_pictures(source)))
    elif is_profile_5(source.path):
        video = replace(video, warnings=(*video.warnings, DOLBY_VISION))
    if source.transfer not in TRANSFERS:
        return video
    kind = f"the video is HDR ({TRANSFERS[source.transfer]})"
    hdr = CodedWarning(
        "hdr_unmapped", f"{kind}, which PyAV before 17 does not tell; its frames look too grey"
    )
    if old_pyav.TELLS_COLOURS:
        hdr = CodedWarning("hdr_mapped", f"{kind}; its frames were mapped to the ordinary range")
    return replace(video, warnings=(*video.warnings, hdr))


def _read(source: Source, n: int, start_s: float | None, end_s: float | None) -> VideoFrames | None:
    if source.picture:
        return _still(source, n)
    if source.webp_times_s:
        return _webp(source, n, start_s or 0.0, math.inf if end_s is None else end_s)
    lo, hi = -math.inf if start_s is None else start_s, math.inf if end_s is None else end_s
    whole = start_s is None and end_s is None
    through = min(DECODE_THROUGH_FRAMES, DECODE_THROUGH_PIXELS // max(source.pixels, 1))

    # How many frames there are: by the index, or by the packets where that is no long read.
    vlen, times = source.frames if whole else 0, None
    share = (
        1.0 if source.duration_s is None else (min(hi, source.duration_s) - max(lo, 0.0)) / source.duration_s
    )
    frames = through if source.duration_s is None else share * source.duration_s * source.frame_rate_hz
    few = not vlen and (frames <= through or share * source.size <= COUNT_BYTES)
    if few or (vlen > through and source.size <= COUNT_BYTES) or not source.seekable:
        times = frame_times(source, lo, hi)
        if times is None:  # the stamps fall back, so the frames are counted
            source = replace(source, stamps="none", seekable=False, frames=0)
            times = frame_times(source, lo, hi) or []
        vlen = vlen if 0 < vlen <= through else len(times)
        if not vlen:
            return None
    if 0 < vlen <= through or not source.seekable:
        return _decode_through(source, n, lo, hi, vlen, (source.frames if whole else 0) or vlen)
    return _seek_through(source, n, lo, hi, times)


# ---------------------------------------------------------------- one frame


def _still(source: Source, n: int) -> VideoFrames | None:
    """The one picture, from tiles or by Pillow where FFmpeg does not give all of it."""
    whole: NDArray[np.uint8] | None = None
    with open_file(source.path) as file:
        grid = grid_of(source.path, file)
    if grid is not None:
        whole = read_tiles(source.path, grid, source.meter)
    elif webp_times_s(source.path):
        whole = next(iter(webp_pictures(source.path, [0])), None)
    if whole is not None:
        picture = shown_frame(av.VideoFrame.from_ndarray(whole, format="rgb24"), source)
        return VideoFrames(np.repeat(picture[None], n, axis=0), (0.0,) * n, 0.0)
    with FrameReader(source) as reader:
        if reader.stream.disposition & _TILE:
            refuse(
                source.path, "is a picture in tiles, whose order cannot be read", "convert it to JPEG or PNG"
            )
        for _, frame in reader.frames_from(0.0):
            picture = shown_frame(frame, source)
            warnings: tuple[CodedWarning, ...] = ()
            if reader.watch.faults or picture_ends_early(source.path):
                damage = "the picture is damaged or cut off: a part of it may be wrong"
                warnings = (CodedWarning("video_damaged", damage),)
            return VideoFrames(np.repeat(picture[None], n, axis=0), (0.0,) * n, 0.0, warnings)
    return None


def _webp(source: Source, n: int, lo: float, hi: float) -> VideoFrames | None:
    """The frames of an animated WebP that are on the screen in [lo, hi)."""
    times = source.webp_times_s
    first = first_shown(list(times[:-1]), lo, hi)
    last = min(bisect_left(times, hi - EPSILON_S), len(times) - 1)
    if first >= last or lo >= times[-1]:
        return None
    indices = [first + i for i in frame_indices(last - first, n)]
    pictures = webp_pictures(source.path, indices)
    if not pictures:
        return None
    shown = [shown_frame(av.VideoFrame.from_ndarray(each, format="rgb24"), source) for each in pictures]
    warnings: list[CodedWarning] = []
    if len(shown) < n:  # the last one that can be decoded stands for those after it
        there, wanted = len(set(indices[: len(shown)])), len(set(indices))
        damage = f"the video is damaged or cut off: {there} of the {wanted} frames wanted could be decoded"
        warnings.append(CodedWarning("video_damaged", damage))
        indices = indices[: len(shown)] + [indices[len(shown) - 1]] * (n - len(shown))
        shown += [shown[-1]] * (n - len(shown))
    shown_at_s = tuple(round(max(times[i], lo), 6) for i in indices)
    return VideoFrames(stacked(shown), shown_at_s, min(times[last], hi) - lo, tuple(warnings))


# ---------------------------------------------------------------- short: decode through


def _decode_through(
    source: Source, n: int, lo: float, hi: float, expected: int, stated: int
) -> VideoFrames | None:
    """Decode all of [lo, hi), keeping the frames wanted if there are `expected`; again if there are not."""
    for _ in range(3):
        wanted = set(frame_indices(max(expected, 1), n))
        kept: dict[int, tuple[float, NDArray[np.uint8]]] = {}
        count, end_s = 0, 0.0
        doubtful: set[int] = set()
        with FrameReader(source) as reader:
            for at_s, until_s, frame in _within(reader, lo, hi):
                if count in wanted:
                    doubtful |= {count} if reader.watch.doubtful else set()
                    kept[count] = (at_s, shown_frame(frame, source))
                count, end_s = count + 1, until_s
        if count == 0:
            return None
        if count == expected:
            break
        expected = count
    indices = [i for i in frame_indices(count, n) if i in kept] or sorted(kept)
    indices += [indices[-1]] * (n - len(indices))
    doubts = sum(i in doubtful for i in indices)
    warnings = video_damaged(count, stated, doubts, n, reader.watch.faults)
    shown = [kept[i][1] for i in indices]
    warnings += size_warning(shown)
    frames = stacked(shown)
    times = tuple(round(kept[i][0], 6) for i in indices)
    return VideoFrames(frames, times, end_s - max(lo, 0.0), tuple(warnings))


def _within(reader: FrameReader, lo: float, hi: float) -> Iterator[tuple[float, float, Any]]:
    """(from, until, frame) for what is on the screen in [lo, hi), the first frame cut at `lo`."""
    source = reader.source
    length_s = 1 / source.frame_rate_hz
    before: tuple[float, Any] | None = None
    count = 0
    for at_s, frame in reader.frames_from(lo):
        if at_s < lo - EPSILON_S:
            before = (at_s, frame)
            continue
        later = at_s >= hi - EPSILON_S
        if before is not None and at_s > lo + EPSILON_S and (later or at_s - lo >= SHOWN_S):
            count += 1
            yield lo, min(at_s, hi), before[1]
        before = None
        if later:
            return
        count += 1
        yield at_s, min(at_s + length_s, hi), frame
    if before is not None and count == 0:  # the last frame stays, while the file lasts
        end_s = max(before[0] + length_s, source.end_s)
        if lo < end_s - EPSILON_S:
            yield lo, min(hi, end_s), before[1]


# ---------------------------------------------------------------- long: seek


def _timetable(
    source: Source, reader: FrameReader, lo: float, hi: float
) -> tuple[int, Callable[[int], float], bool]:
    """vlen of [lo, hi), a function from an index to its time, and whether both come from a whole index of the file.

    Without one, they come from the length and the mean rate.
    """
    stream = reader.stream
    entries: Any = old_pyav.index_entries(stream) or ()
    tb = float(stream.time_base)
    first_s = (stream.start_time or 0) * tb - source.start_s
    if lo < 0 and hi == math.inf and 0 < source.frames <= len(entries):
        # A file that was cut off still has its whole index: only the entries that end inside the file count.
        whole = bisect_left(entries, True, key=lambda entry: entry.pos + entry.size > source.size)
        if not any(entries[k].is_discard for k in range(len(entries))):
            return whole, _by_groups(source, reader, whole), True
    begin, rate = max(lo, first_s), source.frame_rate_hz
    end = track_end_s(source, "video", begin)
    return round((min(end, hi) - begin) * rate), lambda k: begin + k / rate + _ROUNDING_S, False


def _by_groups(source: Source, reader: FrameReader, vlen: int) -> Callable[[int], float]:
    """When the k-th frame shown is shown, by reading the packets from the key frame before it to the next one.

    The index has the order of decoding. Frames are shown out of that order only between two key frames, so the
    k-th of all is the one at the same place among the sorted times of its group.
    """
    entries = old_pyav.index_entries(reader.stream)
    if source.stamps == "decoding":
        stamps = [entries[k].timestamp * float(reader.stream.time_base) - source.start_s for k in range(vlen)]
        return stamps.__getitem__
    keys = [k for k in range(vlen) if entries[k].is_keyframe] or [0]
    stamps = [entries[k].timestamp for k in keys]
    tb = float(reader.stream.time_base)

    def at(k: int) -> float:
        group = bisect_right(keys, k) - 1
        begin = keys[group]
        end = keys[group + 1] if group + 1 < len(keys) else vlen
        times: list[float] = []
        with source.reading("video") as (container, stream):
            go_to(container, stream, source, stamps[group] * tb - source.start_s)
            clock = packet_clock(source, stream)
            for packet in packets(container, stream):
                if packet.size and packet.dts is not None and packet.dts >= stamps[group]:
                    times.append(clock(packet) or 0.0)
                if len(times) >= end - begin:
                    break
        times.sort()
        return times[min(k - begin, len(times) - 1)] if times else stamps[group] * tb - source.start_s

    return at


class _Walker:
    """Finds frames by their times, in rising order: by decoding on when that is near, else by seeking."""

    def __init__(self, reader: FrameReader) -> None:
        self.reader = reader
        self.frames: Iterator[tuple[float, Any]] = iter(())
        self.here: tuple[float, Any] | None = None
        self.ahead: tuple[float, Any] | None = None
        self.seeks_pay = True
        self.stuck = False
        self.uneven = False  # whether frames were seen that stay much longer or shorter than the mean
        self.doubts = 0  # how many of the frames found may be wrong
        self.pixels: tuple[float, NDArray[np.uint8]] | None = None

    def find(self, target_s: float) -> tuple[float, NDArray[np.uint8]] | None:
        """Time and pixels of the frame that is on the screen at `target_s`: the last one that is not later."""
        if self.here is None or (self.seeks_pay and target_s - self.here[0] > _NEAR_S):
            self._jump(target_s)
        for _ in range(FRAMES_PER_SEEK):
            if self.here is not None and self.here[0] >= target_s - EPSILON_S:
                break
            if self.ahead is None:
                self.ahead = next(self.frames, None)
            if self.ahead is None or (self.here is not None and self.ahead[0] > target_s + EPSILON_S):
                break
            self.here, self.ahead = self.ahead, None
        else:
            self.stuck = True
        if self.here is None:
            return None
        if self.ahead is not None:
            self.uneven |= (
                abs((self.ahead[0] - self.here[0]) * self.reader.source.frame_rate_hz - 1) > _UNEVEN
            )
        self.doubts += self.reader.watch.doubtful
        if self.pixels is None or self.pixels[0] != self.here[0]:
            self.pixels = (self.here[0], shown_frame(self.here[1], self.reader.source))
        return self.pixels

    def _jump(self, target_s: float) -> None:
        before_s = -math.inf if self.here is None else self.here[0]
        self.frames, self.ahead = self.reader.frames_from(target_s), None
        self.here = next(self.frames, self.here)
        if self.here is not None and self.here[0] <= before_s:
            self.seeks_pay = False  # key frames lie farther apart than the targets


def _seek_through(
    source: Source, n: int, lo: float, hi: float, times: list[float] | None
) -> VideoFrames | None:
    """n frames of a long video, each by its time; `times` where they are known already."""
    warnings: list[CodedWarning] = []
    with FrameReader(source) as reader:
        if times is None and source.frames and old_pyav.index_entries(reader.stream) is None:
            times = frame_times(source, lo, hi)  # exact as well, but the file is read through
        known: tuple[int, Callable[[int], float], bool] | None = None
        if times:
            known = len(times), times.__getitem__, True
        vlen, time_of, counted = known or _timetable(source, reader, lo, hi)
        if vlen < 1:
            return None
        targets = [max(time_of(k), lo) for k in frame_indices(vlen, n)]
        end_s = min(hi, time_of(vlen - 1) + 1 / source.frame_rate_hz)
        walker = _Walker(reader)
        found = [walker.find(target_s) for target_s in targets]
    shown = [one for one in found if one is not None]
    if len(shown) < n:
        return None
    stated = source.frames if lo < 0 and hi == math.inf else 0
    warnings += video_damaged(vlen, stated, walker.doubts, n, reader.watch.faults)
    if not counted and walker.uneven:
        by_time = "the file has no index and its frames are unevenly spaced, so they were chosen by time, not by number"
        warnings.append(CodedWarning("frames_by_time", by_time))
    if walker.stuck:
        early = "key frames lie far apart, so some frames are earlier than asked for"
        warnings.append(CodedWarning("frames_early", early))
    times_s = tuple(round(max(at_s, lo), 6) for at_s, _ in shown)
    pictures = [frame for _, frame in shown]
    warnings += size_warning(pictures)
    return VideoFrames(stacked(pictures), times_s, end_s - max(lo, 0.0), tuple(warnings))


def read_folder(sources: list[Source], n: int) -> tuple[NDArray[np.uint8], tuple[CodedWarning, ...]]:
    """n of the pictures of a folder, by the same rule, all of the first one's size; and what is to be said of them."""
    pictures: dict[int, NDArray[np.uint8]] = {}
    warnings: dict[str, CodedWarning] = {}  # the first one of each kind
    indices = frame_indices(len(sources), n)
    for i in dict.fromkeys(indices):
        picture = read_frames(sources[i], 1, None, None)
        if picture is None:
            refuse(sources[i].path, "holds no picture that can be decoded", "remove it or export it again")
        pictures[i] = picture.frames[0]
        for code, text in picture.warnings:
            warnings.setdefault(code, CodedWarning(code, f"{sources[i].path.name}: {text}"))
    chosen = [pictures[i] for i in indices]
    return stacked(chosen), (*warnings.values(), *size_warning(chosen))

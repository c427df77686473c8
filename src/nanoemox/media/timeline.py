"""When things are shown: presentation times of packets, frames and sound, on one clock for each file.

Time 0 is the earliest beginning of any track, as in a player, whatever the file's own clock says. A seek is only
believed where what it finds proves that nothing wanted lies before it: a transport stream lands between key frames,
and a file of raw audio guesses. What cannot be sought is read from the beginning.

The stamps in a file are of three kinds (`Source.stamps`). "presentation": each packet says when it is shown.
"decoding": AVI numbers its packets in the order of decoding, so the k-th frame shown gets the k-th number.
"none": raw streams have no stamps, and their frames are counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, Self

from av.video.frame import PictureType

from nanoemox.media import old_pyav
from nanoemox.media.container import Source, decoded_packets, go_to, packets
from nanoemox.media.damage import CHECKED, CHECKED_CODECS, Watch
from nanoemox.media.untrusted import MAX_PIXELS

SHOWN_S = 0.042  # what is on the screen for less than a frame's time at 24 a second is not part of a cut
EPSILON_S = 1e-6
NEAR_START_S = 1.0  # what begins so early is read from the beginning
EARLIER_S = (0.0, 2.0, 10.0, 60.0)  # how far to step back when a seek lands behind its target
GAP_S = 0.04  # times this far from where the samples end are a gap; less is the rounding of stamps
SETTLED_S = 0.25  # of audio is decoded ahead, so that decoder and resampler have settled
_CHUNK_HEAD = 8  # bytes before the data of a packet of AVI
_REORDER_S = 5.0  # packets are not further out of order
_BACKWARDS_S = 0.5  # stamps that fall back further begin anew, as where two recordings were joined
_THREADED_PIXELS = 800_000  # above this, more threads than one pay


def packet_clock(source: Source, stream: Any) -> Callable[[Any], float | None]:
    """A function that tells when a packet of video is shown, or decoded where the file only tells that.

    It gives None where the file says nothing. In AVI the index tells: after a seek FFmpeg miscounts dropped frames.
    """
    indexed: dict[int, int] = {}
    if source.stamps == "decoding":
        indexed = {entry.pos + _CHUNK_HEAD: entry.timestamp for entry in old_pyav.index_entries(stream) or ()}

    def clock(packet: Any) -> float | None:
        stamp = packet.pts
        if source.stamps == "decoding" or stamp is None:
            stamp = indexed.get(packet.pos, packet.dts)
        return None if stamp is None else float(stamp * packet.time_base) - source.start_s

    return clock


def first_shown(times: list[float], lo: float, hi: float) -> int:
    """Find the first frame of a cut: it may be on the screen at its start already.

    Args:
        times: When each frame is shown, rising.
        lo: The start of the cut, in seconds.
        hi: Its end.

    Returns:
        The index of the frame.
    """
    after = bisect_right(times, lo + EPSILON_S)
    if after == 0 or times[after - 1] >= lo - EPSILON_S:
        return max(0, after - 1)
    until = min(times[after], hi) if after < len(times) else hi
    return after - 1 if until - lo >= SHOWN_S or after == len(times) or times[after] >= hi else after


def frame_times(source: Source, lo: float, hi: float) -> list[float] | None:
    """When each frame of [lo, hi) is shown, in order, read without decoding.

    Args:
        source: the file.
        lo: begin here, in seconds from the beginning of the file; what is on the screen then counts.
        hi: end here.

    Returns:
        Rising times from the first key frame on; the first may lie before `lo`. None where the stamps fall back, as in
        recordings that were joined: then only counting the frames tells when each is shown.
    """
    steps = [lo - earlier_s for earlier_s in EARLIER_S] if source.seekable and lo > NEAR_START_S else []
    times: list[float] = []
    for from_s in (*(step for step in steps if step > NEAR_START_S), None):
        stamps = _stamps(source, from_s, hi)
        if stamps is None:
            return None
        times = stamps
        if from_s is None or (times and times[0] <= lo + EPSILON_S):
            break
    times.sort()
    return times[first_shown(times, lo, hi) :] if times else []


def _stamps(source: Source, from_s: float | None, hi: float) -> list[float] | None:
    """Times of packets in order of decoding, from a key frame at `from_s` on, or from the beginning; None as above."""
    times: list[float] = []
    count, keys, highest, first_s = 0, 0, -float("inf"), -float("inf")
    settled = source.keys_to_settle if from_s is not None else source.stamps != "none"
    with source.reading("video") as (container, stream):
        if from_s is not None:
            go_to(container, stream, source, from_s)
        clock = packet_clock(source, stream)
        for packet in packets(container, stream):
            if not packet.size or packet.is_discard:
                continue
            keys += packet.is_keyframe
            at_s = clock(packet)
            at_s = count / source.frame_rate_hz if at_s is None or source.stamps == "none" else at_s
            decoded_s = at_s if packet.dts is None else float(packet.dts * packet.time_base)
            if packet.dts is not None and decoded_s < highest - _BACKWARDS_S and source.stamps != "none":
                return None
            highest = max(highest, decoded_s) if packet.dts is not None else highest
            count += 1
            if keys == settled and not times:
                first_s = at_s  # what comes later and is shown earlier refers to what is not there
            if keys >= settled and first_s <= at_s < hi - EPSILON_S:
                times.append(at_s)
            if at_s > hi + _REORDER_S:
                break
    return times


class _Reader:
    """An open file that can be opened again, since no seek is sure to reach the beginning."""

    kind = "video"

    def __init__(self, source: Source) -> None:
        self.source, self.stack, self.fresh = source, ExitStack(), False
        self.watch = Watch(self.kind)

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def _open(self) -> None:
        self.stack.close()
        self.container, self.stream = self.stack.enter_context(self.source.reading(self.kind))
        self.fresh = True


class FrameReader(_Reader):
    """Frames of a video with the time each is shown, from any moment on. Use it in a `with` statement."""

    def frames_from(self, at_s: float) -> Iterator[tuple[float, Any]]:
        """(time, frame) in order, the first one on the screen at `at_s` already, unless the video begins later."""
        if self.source.seekable and at_s > NEAR_START_S:
            for earlier_s in EARLIER_S:
                if at_s - earlier_s <= NEAR_START_S:
                    break
                self.fresh = False
                go_to(self.container, self.stream, self.source, at_s - earlier_s)
                frames = self._sought()
                first = next(frames, None)
                if first is not None and first[0] <= at_s + EPSILON_S:
                    return chain([first], frames)
        if not self.fresh:
            self._open()
        self.fresh = False
        return self._in_order(sought=False)

    def _sought(self) -> Iterator[tuple[float, Any]]:
        """After a seek: what is decoded before a key frame lacks what it refers to."""
        keys = 0
        for at_s, frame in self._in_order(sought=True):
            keys += bool(frame.key_frame)
            if keys >= self.source.keys_to_settle:
                yield at_s, frame

    def _in_order(self, sought: bool) -> Iterator[tuple[float, Any]]:
        self.watch.begin(sought)
        context = self.stream.codec_context
        if context is None:
            return  # no decoder for it
        if not context.is_open:
            large = context.width * context.height > _THREADED_PIXELS
            context.thread_type = "AUTO" if large else "NONE"
            context.thread_count = 4 if large else 1
            context.options = {"max_pixels": str(MAX_PIXELS)}
        if self.source.stamps == "decoding":
            yield from self._renumbered(sought)
            return
        following_s = 0.0
        for frame in decoded_packets(packets(self.container, self.stream), self.watch):
            at_s = following_s
            if frame.pts is not None and self.source.stamps == "presentation":
                at_s = float(frame.pts * frame.time_base) - self.source.start_s
            following_s = at_s + 1 / self.source.frame_rate_hz
            yield at_s, frame

    def _renumbered(self, sought: bool) -> Iterator[tuple[float, Any]]:
        """Frames of a file that says when each packet is decoded, with the times at which they are shown.

        The k-th frame shown has the k-th stamp. After a seek k is not known: each packet gets its number in place of
        its time, and the frame that is neither key frame nor predicted from both sides (B) has a number that tells
        how many were decoded, and so shown, before it.
        """
        stamps: list[float] = []
        held: list[Any] = []  # frames of which the first one's place is not known yet
        place = None if sought else 0
        for frame in decoded_packets(self._numbered(stamps), self.watch):
            if place is None:
                if not held and not frame.key_frame:
                    continue
                held.append(frame)
                if len(held) == 1 or frame.pict_type == PictureType.B or frame.pts is None:
                    continue
                place = max(0, int(frame.pts) - 1)
                waiting, held = held, []
            else:
                waiting = [frame]
            for one in waiting:
                yield stamps[min(place, len(stamps) - 1)], one
                place += 1
        place = max(0, len(stamps) - len(held))
        for one in held:
            yield stamps[place], one
            place += 1

    def _numbered(self, stamps: list[float]) -> Iterator[Any]:
        """Packets that carry their number in place of their time; their times go to `stamps`."""
        clock = packet_clock(self.source, self.stream)
        for packet in packets(self.container, self.stream):
            if packet.size:
                at_s = clock(packet)
                before_s = stamps[-1] + 1 / self.source.frame_rate_hz if stamps else 0.0
                packet.pts, packet.dts = len(stamps), None
                stamps.append(before_s if at_s is None else at_s)
            yield packet


class AudioReader(_Reader):
    """Decoded audio with the time of each piece, from any moment on. Use it in a `with` statement.

    Files whose packets bear no time are placed by counting samples; others by their times (see `GAP_S`).
    """

    kind = "audio"
    at_beginning = True

    def frames_from(self, at_s: float) -> Iterator[tuple[float, Any]]:
        """(time, frame) in order, from so early on that decoder and resampler have settled at `at_s`."""
        from_s = at_s - SETTLED_S
        if (
            from_s > 0 and self.source.seekable
        ):  # not to the beginning, where it would lose what is to be skipped
            for earlier_s in EARLIER_S:
                if from_s - earlier_s <= 0:
                    break
                self.fresh = False
                go_to(self.container, self.stream, self.source, from_s - earlier_s)
                self.at_beginning = False
                frames = self._placed(0.0)
                first = next(frames, None)
                if first is not None and first[0] <= from_s + EPSILON_S:
                    return chain([first], frames)
        if not self.fresh:
            self._open()
        self.fresh, self.at_beginning = False, True
        return self._placed(from_s)

    def _placed(self, skip_s: float) -> Iterator[tuple[float, Any]]:
        """Frames with their times; what ends before `skip_s` need not be decoded."""
        following_s: float | None = None
        self.watch.begin(sought=skip_s > 0 or not self.at_beginning)
        context = self.stream.codec_context
        if self.source.checked and context.name in CHECKED_CODECS and not context.is_open:
            context.options = CHECKED
        shift_s = 0.0  # where stamps fall back, as in recordings that were joined, what comes then follows
        for frame in decoded_packets(self._packets_from(skip_s), self.watch):
            at_s = following_s or 0.0
            if frame.pts is not None and (following_s is None or self.source.stamped_audio):
                at_s = float(frame.pts * frame.time_base) - self.source.start_s + shift_s
                if following_s is not None and following_s - at_s > _BACKWARDS_S:
                    shift_s += following_s - at_s
                    at_s = following_s
            following_s = at_s + frame.samples / frame.sample_rate
            yield at_s, frame

    def _packets_from(self, skip_s: float) -> Iterator[Any]:
        for packet in packets(self.container, self.stream):
            if packet.pts is not None and (late := self.source.late_by(packet.pos)):
                packet.pts += late
            if skip_s > 0 and packet.size and packet.pts is not None and packet.duration:
                until_s = float((packet.pts + packet.duration) * packet.time_base) - self.source.start_s
                if until_s < skip_s:
                    continue
            yield packet

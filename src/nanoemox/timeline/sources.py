"""What happens now, as frames and audio with times: a camera, a stream, a file at its own speed, or one that grows.

A thread reads the source. Of the video it hands on only the frames that lie on the grid, and nothing is kept: once
a frame has been handed on, it is gone here.
"""

from __future__ import annotations

import contextlib
import math
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import urlsplit

import av
import numpy as np
from numpy.typing import NDArray

from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.media.clip import SAMPLE_RATE_HZ
from nanoemox.media.container import Source, audio_stream, opened, packets, video_stream
from nanoemox.media.damage import Watch
from nanoemox.media.downmix import Downmix
from nanoemox.media.limits import Meter, MeteredFile
from nanoemox.media.shown import shown_frame
from nanoemox.media.untrusted import MAX_PIXELS

Kind = Literal["camera", "stream", "file", "growing"]
GROWS_WITHIN_S = 10.0  # a file that has not grown for so long has ended
_POLL_S = 0.05
_OPEN_S, _READ_S = 10.0, 10.0  # how long a stream on the network may be silent
_SCHEMES = ("rtsp", "rtsps")
_CAMERA = re.compile(r"camera(?::(\d+))?|/dev/video(\d+)")
_GAP_S = 0.2  # times of audio this far from where the samples end are a gap
_WAITING = 500  # events that may wait; about ten seconds
_CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("dshow", "video={}"),
}


class LiveSource(NamedTuple):
    """A source as the user names it."""

    name: str
    kind: Kind

    @property
    def shown(self) -> str:
        """The name for messages: without the password that an address may hold."""
        if self.kind != "stream":
            return self.name
        parts = urlsplit(self.name)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def live_source(name: str, follow: bool = False) -> LiveSource:
    """What a name stands for; nothing is opened.

    Args:
        name: "camera" or "camera:1", /dev/video0, an rtsp:// address, or the path of a file.
        follow: The file is still being written: wait at its end for more.

    Returns:
        The source.

    Raises:
        ArgumentError: If it is an address of another kind, or there is no such file.
    """
    if _CAMERA.fullmatch(name):
        return LiveSource(name, "camera")
    scheme = name.partition("://")[0].lower() if "://" in name else ""
    if scheme in _SCHEMES:
        return LiveSource(name, "stream")
    if scheme:
        raise ArgumentError(
            f"{name}: expected camera, camera:N, an address that begins with rtsp:// or rtsps://, or a file; "
            "other addresses are not opened"
        )
    if not Path(name).is_file():
        raise ArgumentError(f"{name}: is no file, camera or rtsp:// address; check the name")
    return LiveSource(name, "growing" if follow else "file")


class GrowingFile:
    """What FFmpeg sees of a file that is still being written: at its end, reading waits for more."""

    def __init__(self, file: MeteredFile) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        """The next bytes; none only once the file has not grown for a while."""
        until = time.monotonic() + GROWS_WITHIN_S
        while not (data := self._file.read(size)) and time.monotonic() < until:
            time.sleep(_POLL_S)
        return data


@dataclass(frozen=True)
class Event:
    """Something that was seen or heard.

    kind: "frame" with the frame [H, W, 3] at a place of the grid, or without it to say how far the video has come;
        "audio" with mono samples at 16 kHz; or "end".
    at_s: when it begins, in seconds from the beginning of the source. arrived_s: when it came, by the monotonic clock.
    """

    kind: Literal["frame", "audio", "end"]
    at_s: float
    arrived_s: float
    place: int = 0
    data: NDArray[Any] | None = None
    error: str = ""  # with "end": why, where it is a fault


class LiveReader:
    """Reads a source in a thread of its own; `events` gives what comes.

    Attributes:
        kinds: Which of "video" and "audio" the source has; known once the first event has come.
    """

    def __init__(self, source: LiveSource, step_s: float) -> None:
        """Prepare to read.

        Args:
            source: What is read.
            step_s: From one frame that is handed on to the next.
        """
        self.source, self.step_s = source, step_s
        self.kinds: set[str] = set()
        self.dropped = 0
        self._events: queue.Queue[Event] = queue.Queue(_WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    def __enter__(self) -> LiveReader:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        while self._thread.is_alive():  # it may wait for room
            with contextlib.suppress(queue.Empty):
                self._events.get_nowait()
            self._thread.join(0.05)
            if self.source.kind in ("camera", "stream"):
                break  # may hang in the driver; it is a daemon

    def get(self, timeout_s: float) -> Event | None:
        """The next event, or None where none comes in time."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return self._events.qsize()

    # ------------------------------------------------------------ in the thread
    def put(self, event: Event) -> None:
        """Hand on an event; of what happens now the oldest goes where nobody takes it in time."""
        while not self._stop.is_set():
            try:
                self._events.put(event, timeout=0.1)
                return
            except queue.Full:
                if self.source.kind in ("camera", "stream") and event.kind != "end":
                    with contextlib.suppress(queue.Empty):  # what is new counts more
                        self._events.get_nowait()
                        self.dropped += 1

    def _run(self) -> None:
        error, at_s = "", 0.0
        try:
            with self._opened() as container:
                for packet_s in self._read(container):
                    at_s = packet_s
                    if self._stop.is_set():
                        return
        except NanoEmoXError as fault:
            error = str(fault)
        except (av.FFmpegError, OSError, ValueError) as fault:
            reason = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
            error = f"{self.source.shown}: cannot be read ({str(reason).casefold()})"
        if not error and self.source.kind in ("camera", "stream"):
            error = f"{self.source.shown}: gives nothing any more"
        self.put(Event("end", at_s, time.monotonic(), error=error))

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        source = self.source
        if source.kind in ("file", "growing"):
            meter = Meter()
            meter.time_s = meter.total_bytes = math.inf
            with opened(Path(source.name), meter, GrowingFile if source.kind == "growing" else None) as found:
                yield found
            return
        if source.kind == "stream":
            options = {"rtsp_transport": "tcp", "fflags": "nobuffer", "max_pixels": str(MAX_PIXELS)}
            options["protocol_whitelist"] = "rtsp,rtsps,rtp,rtcp,srtp,udp,tcp,tls"
            with av.open(source.name, options=options, timeout=(_OPEN_S, _READ_S)) as found:
                yield found
            return
        form, pattern = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
        match = cast("re.Match[str]", _CAMERA.fullmatch(source.name))
        device = source.name if match[2] else pattern.format(match[1] or 0)
        with av.open(device, format=form, timeout=(_OPEN_S, _READ_S)) as found:
            yield found

    def _read(self, container: Any) -> Iterator[float]:
        """Hand on what is in the container; gives the time of each packet, so that the caller can stop."""
        video, audio = video_stream(container), audio_stream(container)
        self.kinds = {
            kind
            for kind, stream in (("video", video), ("audio", audio))
            if stream is not None and stream.codec_context is not None
        }
        if not self.kinds:
            raise ArgumentError(f"{self.source.shown}: has neither video nor audio; name another source")
        seen = _Pictures(self, _facts(self.source, video)) if "video" in self.kinds else None
        heard = _Audio(self) if "audio" in self.kinds else None
        streams = [stream for stream in (video, audio) if stream is not None]
        watch = Watch("video")
        zero_s: float | None = None
        began, at_s = time.monotonic(), 0.0
        for packet in packets(container, streams):
            if not packet.size:
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None:
                begin_s = float(stamp * packet.time_base)
                zero_s = begin_s if zero_s is None else zero_s
                at_s = max(at_s, begin_s - zero_s)
            if self.source.kind == "file":  # at its own speed
                self._stop.wait(max(0.0, began + at_s - time.monotonic()))
            taker: Any = seen if video is not None and packet.stream.index == video.index else heard
            if taker is not None:
                with contextlib.suppress(av.InvalidDataError):
                    for frame in packet.decode():
                        watch.frame(frame)
                        now_s = at_s
                        if frame.pts is not None:
                            now_s = float(frame.pts * frame.time_base) - (zero_s or 0.0)
                        taker.take(now_s, frame)
            yield at_s
        for taker in (seen, heard):
            if taker is not None:
                taker.end()


class _Pictures:
    """Of the frames of a video, those that are on the screen at the steps of the grid."""

    def __init__(self, reader: LiveReader, facts: Source) -> None:
        self.reader, self.facts = reader, facts
        self.here: Any = None
        self.here_s = self.before_s = 0.0
        self.place = 0

    def take(self, at_s: float, frame: Any) -> None:
        if self.here is None:
            self.place = max(0, math.ceil(at_s / self.reader.step_s - 1e-6))
        else:
            self._hand_on(at_s)
        self.here, self.here_s, self.before_s = frame, at_s, self.here_s
        self._tell(at_s)

    def end(self) -> None:
        if self.here is not None:
            end_s = self.here_s + min(max(self.here_s - self.before_s, 0.0), 1.0)
            self._hand_on(end_s)
            self._tell(end_s)

    def _hand_on(self, until_s: float) -> None:
        """The frame that was on the screen until now, if a step of the grid lies in its time."""
        step_s, pixels = self.reader.step_s, None
        while until_s > self.place * step_s + 1e-6:
            pixels = shown_frame(self.here, self.facts) if pixels is None else pixels
            self.reader.put(Event("frame", self.place * step_s, time.monotonic(), self.place, pixels))
            self.place += 1

    def _tell(self, at_s: float) -> None:
        """How far the video has come."""
        self.reader.put(Event("frame", at_s, time.monotonic()))


class _Audio:
    """Audio of any rate and layout -> mono at 16 kHz, with silence where there are gaps."""

    def __init__(self, reader: LiveReader) -> None:
        self.reader = reader
        self.mix = Downmix()
        self.resampler: Any = None
        self.rate_hz = 0
        self.next_s: float | None = None  # when the next sample is heard

    def take(self, at_s: float, frame: Any) -> None:
        mono = np.nan_to_num(self.mix.mono(frame), nan=0.0, posinf=0.0, neginf=0.0)
        if self.next_s is None or at_s - self.next_s > _GAP_S:
            silence = 0 if self.next_s is None else round((at_s - self.next_s) * SAMPLE_RATE_HZ)
            if silence:
                self._hand_on(np.zeros(min(silence, 60 * SAMPLE_RATE_HZ), dtype=np.float32))
            self.next_s = at_s
        if frame.sample_rate != self.rate_hz:
            self.rate_hz = frame.sample_rate
            self.resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
        given = av.AudioFrame.from_ndarray(np.ascontiguousarray(mono[None]), format="flt", layout="mono")
        given.sample_rate = self.rate_hz
        for out in self.resampler.resample(given):
            self._hand_on(out.to_ndarray()[0].copy())

    def end(self) -> None:
        if self.resampler is not None:
            for out in self.resampler.resample(None):
                self._hand_on(out.to_ndarray()[0].copy())

    def _hand_on(self, samples: NDArray[np.float32]) -> None:
        at_s = self.next_s or 0.0
        self.next_s = at_s + len(samples) / SAMPLE_RATE_HZ
        self.reader.put(Event("audio", at_s, time.monotonic(), data=np.clip(samples, -1.0, 1.0)))


def _facts(source: LiveSource, video: Any) -> Source:
    """What has to be known to show a frame."""
    return Source(
        path=Path(source.name),
        size=0,
        picture=False,
        has_video=True,
        has_audio=False,
        start_s=0.0,
        duration_s=None,
        codec=video.codec_context.name,
        pixel_aspect=float(getattr(video, "sample_aspect_ratio", None) or 1),
    )

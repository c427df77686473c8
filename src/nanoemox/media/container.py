"""Media files that nobody vouches for, opened so that they can only be read.

FFmpeg's demuxers follow playlists, reference movies, image patterns and URLs. Here it never learns a file's
name: it gets an open file object, may open nothing else, knows no network protocol, and the formats made to
point elsewhere are off. So `http:x.mp4`, `%d.png` and `-y.mp4` are plain names, and a playlist is an error.
Every failure is a `MediaError` of one line: what is wrong, what was expected, what to do.
"""

from __future__ import annotations

import errno
import os
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import av
from av.container import InputContainer
from av.stream import Disposition

from nanoemox.files.errors import NanoEmoXError
from nanoemox.media import old_pyav
from nanoemox.media.avi import AviAudio, avi_audio
from nanoemox.media.damage import Watch
from nanoemox.media.limits import STALL_BYTES, Meter, MeteredContainer, MeteredFile
from nanoemox.media.untrusted import (
    HEAD_BYTES,
    MediaError,
    check_size,
    declared_size,
    open_file,
    refuse,
    refuse_pointers,
)
from nanoemox.media.webp import webp_times_s

# Demuxers that read other files, talk to devices or networks, or build media out of text.
_CLOSED_FORMATS = {
    *("concat", "hls", "dash", "imf", "sdp", "rtp", "rtsp", "sap", "image2", "lavfi", "svg_pipe", "vobsub"),
    *(
        "webm_dash_manifest",
        "avs",
        "avisynth",
        "vapoursynth",
        "ffmetadata",
        "tty",
        "bin",
        "adf",
        "idf",
        "xbin",
    ),
    *("alsa", "oss", "jack", "pulse", "sndio", "fbdev", "kmsgrab", "x11grab", "video4linux2,v4l2", "data"),
}
# Formats that say in the file itself when each packet is shown. Others count bytes or packets.
_STAMPED_FORMATS = {
    *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "mpeg", "flv", "live_flv", "asf", "asf_o", "ogg"),
    *("nut", "mxf", "rm", "wtv", "ty", "gxf", "ivf"),
}
_EDITED_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2"}
_SOUGHT_FORMATS = _STAMPED_FORMATS | {"avi"}
_PICTURE_FORMATS = {"gif", "apng", "ico", "jpegxl_anim", "webp"}
_JPEG_ENDINGS = {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"}
READ_THROUGH_BYTES = 64_000_000  # files up to here are read to their end to know where that is
_PICTURE_BRANDS = {  # pictures in an MP4 box; some are films with a still for their cover
    *("avif", "avis", "mif1", "mif2", "msf1", "miaf"),
    *("heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "avci", "avcs"),
}
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free")
_SEARCHED_FORMATS = (
    0x0100 | 0x0080
)  # AVFMT_GENERIC_INDEX and _NOTIMESTAMPS: FFmpeg looks for the ends of packets
_WAVE_ZEROS = 2_000_000  # behind the samples, where FFmpeg takes every eighth zero for a piece of no length
_BYTES_PER_PIXEL = 8  # of a picture that is not compressed, at most
LONGEST_S = 366 * 86_400.0  # longer than this is no recording but a fault
_WHOLE_FORMATS = {"gif", "apng"}  # each picture changes the one before, whatever the index says


def _open_nothing_else(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(errno.EACCES, "media that refers to other files is not followed")


@cache
def _open_formats() -> str:
    """The demuxers that stay, as FFmpeg's `format_whitelist` takes them."""
    names = set()
    for name in av.formats_available:
        try:
            names.add(av.format.ContainerFormat(name, "r").name)
        except ValueError:
            continue  # writes only
    return ",".join(sorted(names - _CLOSED_FORMATS))


@dataclass
class Source:
    """One media file: which streams it has, and passes over them that each begin anew.

    Times are seconds from the beginning of the file (its earliest stream), whatever its clock says.
    """

    path: Path
    size: int  # bytes
    picture: bool  # a still: the first picture counts
    has_video: bool
    has_audio: bool
    start_s: float  # the file's clock at its beginning
    duration_s: float | None  # as the container states it; often missing, sometimes wrong
    estimated: bool = False  # the length was guessed from a rate of bytes, and may be far off
    stamps: Literal["presentation", "decoding", "none"] = "presentation"  # what they tell (see timeline.py)
    stamped_audio: bool = True  # gaps in its times are gaps in the audio
    late_audio: tuple[
        tuple[int, int], ...
    ] = ()  # from which byte on packets of AVI are how much later than stamped
    seekable: bool = True  # False: only reading from the beginning finds the right place
    keys_to_settle: int = 1  # key frames to read after a seek until the times are right
    frames: int = 0  # shown ones, as the container states it; 0: it does not
    format: str = ""  # as FFmpeg names it
    codec: str = ""  # of the video
    transfer: int = 0  # from light to its code values, as in H.273
    pixels: int = 0  # of one frame
    frame_rate_hz: float = 25.0
    pixel_aspect: float = 1.0  # width of a pixel over its height
    audio_end_s: float | None = None  # as the container states it
    sample_rate_hz: int = 0
    webp_times_s: tuple[float, ...] = ()  # of an animated WebP: when each picture begins, and the end
    implausible: str = ""  # a stated length that is not believed
    checked: bool = True  # whether checksums in the audio are compared
    meter: Meter = field(default_factory=Meter)  # what reading the file has cost so far

    @contextmanager
    def reading(self, kind: str) -> Iterator[tuple[InputContainer, Any]]:
        """A fresh container and its "video" or "audio" stream, all others skipped."""
        with opened(self.path, self.meter) as container:
            chosen = video_stream(container) if kind == "video" else audio_stream(container)
            for stream in container.streams:
                if stream is not chosen:
                    old_pyav.skip(stream)
            yield container, chosen

    def late_by(self, pos: int | None) -> int:
        """How much later than stamped a packet of audio at a byte of the file is heard, in units of its clock."""
        place = bisect_right(self.late_audio, (pos or 0, sys.maxsize)) - 1
        return self.late_audio[place][1] if place >= 0 else 0

    @cached_property
    def stated(self) -> str:
        """The stated length for a message."""
        if self.duration_s is None:
            return "an unknown length"
        return f"{self.duration_s:.2f} s" + (" (an estimate)" if self.estimated else "")

    @cached_property
    def end_s(self) -> float:
        """When the last packet of any track ends: read, not believed."""
        kinds = ("video",) * self.has_video + ("audio",) * self.has_audio
        return max(track_end_s(self, kind) for kind in kinds)


def inspect(path: Path) -> Source:
    """Open `path` once and say what is in it; raise `MediaError` where that is nothing."""
    if os.fspath(path) in ("", "."):
        refuse(path, "is not a file (no name was given)", "name a media file")
    meter = Meter()
    with opened(path, meter) as container:
        video, audio = video_stream(container), audio_stream(container)
        name, brand = container.format.name, container.metadata.get("major_brand")
        picture = name.endswith("_pipe") or name in _PICTURE_FORMATS or brand in _PICTURE_BRANDS
        webp = tuple(webp_times_s(path)) if name.startswith("webp") else ()
        picture |= (
            name == "mjpeg" and path.suffix.lower() in _JPEG_ENDINGS
        )  # several JPEGs in one, as in an MPO
        if picture and (len(webp) > 2 or (video is not None and _moves(container, video))):
            picture = False
        if video is None and audio is None:
            kinds = sorted({stream.type or "unknown" for stream in container.streams})
            refuse(
                path,
                f"has neither video nor audio (found {', '.join(kinds) or 'no streams'})",
                "give a video, audio or picture file",
            )
        video_context = None if video is None else video.codec_context
        audio_context = None if audio is None else audio.codec_context
        if video_context is not None:
            check_size(path, video_context.width, video_context.height, moving=not picture)
        start_s = (container.start_time or 0) / av.time_base
        duration = container.duration
        duration_s = webp[-1] if webp else duration / av.time_base if duration and duration > 0 else None
        if duration_s is not None and name == "matroska,webm" and 0 < start_s < duration_s:
            duration_s -= start_s  # Matroska counts from 0, wherever its first stamp lies
        audio_end_s = _stated_end_s(audio, start_s)
        if audio_context is not None and not audio_context.sample_rate:
            audio_end_s = None  # guessed, as the audio begins behind what FFmpeg probes
        if name == "ogg" and start_s > 0:
            duration_s = audio_end_s = None  # it states its end, on a clock that did not begin at 0
        elif name == "asf":  # each track states the length of the file
            lengths = [
                float(s.duration * s.time_base) for s in (video, audio) if s is not None and s.duration
            ]
            duration_s, audio_end_s = max(lengths, default=duration_s), None
        layout = avi_audio(path, audio.index) if name == "avi" and audio is not None else None
        late_audio = _late_audio(audio, layout)
        if all(_index_is_whole(stream) for stream in (video, audio) if stream is not None):
            # The index knows what edit lists leave out and where AVI has no data; the header does not.
            ends = [_index_end_s(stream, start_s, layout) for stream in (video, audio) if stream is not None]
            audio_end_s = ends[-1] if audio is not None else None
            duration_s = max(ends, default=duration_s)
        # A length that no recording has is not believed; then what can be decoded tells.
        implausible = ""
        if max(duration_s or 0.0, audio_end_s or 0.0) > LONGEST_S:
            implausible = f"{max(duration_s or 0.0, audio_end_s or 0.0) / LONGEST_S:,.0f} years"
        duration_s, audio_end_s = _plausible_s(duration_s), _plausible_s(audio_end_s)
        stamps: Literal["presentation", "decoding", "none"] = "presentation"
        if name == "avi":
            stamps = "decoding"
        elif video is not None and video.start_time is None and name not in _WHOLE_FORMATS:
            stamps = "none"
        return Source(
            path=path,
            size=container.size,
            format=name,
            picture=picture,
            has_video=video is not None,
            has_audio=audio is not None,
            start_s=start_s,
            duration_s=duration_s,
            estimated=name not in _SOUGHT_FORMATS and _is_estimate(container, duration_s),
            stamps=stamps,
            stamped_audio=name in _STAMPED_FORMATS or bool(late_audio),
            late_audio=late_audio,
            seekable=name in _SOUGHT_FORMATS and stamps != "none",
            # A program stream stamps some frames only, and FFmpeg guesses the others from those before them.
            keys_to_settle=2 if name == "mpeg" else 1,
            frames=0 if video is None else _frames_shown(video),
            codec="" if video_context is None else video_context.name,
            transfer=getattr(video_context, "color_trc", 0) or 0,
            pixels=0 if video_context is None else video_context.width * video_context.height,
            frame_rate_hz=_frame_rate_hz(video),
            pixel_aspect=float(getattr(video, "sample_aspect_ratio", None) or 1),
            audio_end_s=audio_end_s,
            sample_rate_hz=0
            if audio_context is None
            else audio_context.sample_rate or _rate_hz(container, audio),
            webp_times_s=webp,
            implausible=implausible,
            meter=meter,
        )


def _is_estimate(container: InputContainer, duration_s: float | None) -> bool:
    """Whether a length is no more than the size of the file over a rate of bits that the header claims."""
    rates = [getattr(stream.codec_context, "bit_rate", None) for stream in container.streams]
    if duration_s is None or not rates or not all(rates):
        return duration_s is not None and container.format.name in ("aac", "mp3")
    guess_s = 8 * container.size / sum(rate for rate in rates if rate)
    return container.format.name == "aac" or abs(guess_s - duration_s) <= 0.02 * duration_s + 0.1


def _index_is_whole(stream: Any) -> bool:
    """Whether the file has an index of all packets of a track, so that it tells more than the header."""
    entries, name = old_pyav.index_entries(stream), stream.container.format.name
    if (
        not stream.frames
        or not entries
        or all(entries[k].is_discard for k in range(len(entries) - 1, -1, -1))
    ):
        return False
    if name == "avi":  # which counts dropped frames; only of video does it tell where they are
        return stream.type == "audio" or entries[-1].timestamp >= 0.98 * stream.frames - 1
    return name in _EDITED_FORMATS


def _frames_shown(video: Any) -> int:
    """How many frames the file says are shown, without those that edit lists leave out and AVI drops."""
    if not _index_is_whole(video):
        return int(video.frames)
    return sum(not entry.is_discard for entry in old_pyav.index_entries(video))


def _index_end_s(stream: Any, start_s: float, layout: AviAudio | None) -> float:
    """When the last packet that the index shows ends, in seconds from the beginning of the file."""
    if layout is not None and stream.type == "audio":
        last = old_pyav.index_entries(stream)[-1]
        units = (
            (last.timestamp + last.size) // layout.block_bytes if layout.block_bytes else last.timestamp + 1
        )
        return float((units + (layout.gaps[-1][1] if layout.gaps else 0)) * stream.time_base) - start_s
    entries = old_pyav.index_entries(stream)
    backwards = (entries[k] for k in range(len(entries) - 1, -1, -1))
    shown = (entry.timestamp for entry in backwards if not entry.is_discard)
    last = next(shown)
    step = last - next((stamp for stamp in shown if stamp < last), last)
    return float((last + step) * stream.time_base) - start_s


def _late_audio(audio: Any, layout: AviAudio | None) -> tuple[tuple[int, int], ...]:
    """From which byte on the packets of an AVI are later than FFmpeg says, and by how many units of its clock."""
    entries = old_pyav.index_entries(audio) if layout is not None and layout.gaps else None
    if layout is None or not entries:
        return ()
    return tuple((entries[k].pos, late) for k, late in layout.gaps if k < len(entries))


def _stated_end_s(stream: Any, start_s: float) -> float | None:
    """When a track ends according to the file, in seconds from the beginning of the file."""
    if stream is None or not stream.duration or stream.duration < 0:
        return None
    begin = (stream.start_time or 0) * stream.time_base if stream.start_time is not None else start_s
    return float(begin + stream.duration * stream.time_base) - start_s


def _moves(container: InputContainer, video: Any) -> bool:
    """Whether a format of pictures holds more than one of them in a row."""
    if container.format.name in _WHOLE_FORMATS:
        return sum(1 for _ in islice((p for p in packets(container, video) if p.size), 2)) > 1
    return not container.format.name.endswith("_pipe") and video.frames > 1


def _rate_hz(container: InputContainer, audio: Any) -> int:
    """The sample rate of audio that begins behind what FFmpeg probes; 0 where nothing can be decoded."""
    frame = next(decoded_packets(packets(container, audio), Watch("audio")), None)
    return 0 if frame is None else int(frame.sample_rate)


def _plausible_s(length_s: float | None) -> float | None:
    return None if length_s is None or length_s > LONGEST_S else length_s


def _frame_rate_hz(video: Any) -> float:
    """Frames a second, as well as the file tells."""
    for name in ("average_rate", "guessed_rate", "base_rate"):
        rate = float(getattr(video, name, None) or 0)
        if 0.01 <= rate <= 1000:
            return rate
    return 25.0


def video_stream(container: InputContainer) -> Any:
    """The first video stream that is not the cover picture of a record, or None.

    In a file of pictures it is the one that moves, or else the one that the file itself names first.
    """
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)
    ]
    if container.format.name == "ico":  # one picture in several sizes
        streams.sort(key=lambda stream: -stream.codec_context.width * stream.codec_context.height)
    if container.metadata.get("major_brand") in _PICTURE_BRANDS:
        streams.sort(key=lambda stream: (stream.frames < 2, not stream.disposition & Disposition.default))
    return streams[0] if streams else None


def audio_stream(container: InputContainer) -> Any:
    """The audio stream that FFmpeg holds for the best, else the first one: probing ends before late audio begins."""
    return container.streams.best("audio") or next(iter(container.streams.audio), None)


def go_to(container: InputContainer, stream: Any, source: Source, at_s: float) -> None:
    """Seek to the key frame at or before `at_s`. Where seeking fails, the times of the frames tell what to skip.

    Args:
        container: the open file.
        stream: the stream that is read.
        source: what is known about the file; its clock starts at `source.start_s`.
        at_s: seconds from the beginning of the file.
    """
    if not source.seekable:
        return
    offset = round((at_s + source.start_s) / float(stream.time_base))
    try:
        container.seek(offset, stream=stream, backward=True)
    except (av.FFmpegError, OSError):
        return


def track_end_s(source: Source, kind: str, from_s: float = 0.0) -> float:
    """When the last packet of a track ends; nothing is decoded.

    Args:
        source: the file.
        kind: "video" or "audio".
        from_s: only packets after this time count, in seconds.

    Returns:
        Seconds from the beginning of the file; `from_s` if there is no such packet.
    """
    if source.size > READ_THROUGH_BYTES and source.seekable and source.duration_s is not None:
        near_s = max(from_s, source.duration_s - 10.0)
        end_s = _last_packet_s(source, kind, near_s)
        if end_s > near_s:
            return end_s
    return _last_packet_s(source, kind, from_s if source.size > READ_THROUGH_BYTES else 0.0, from_s)


def _last_packet_s(source: Source, kind: str, sought_s: float, from_s: float | None = None) -> float:
    end_s = sought_s if from_s is None else from_s
    with source.reading(kind) as (container, stream):
        if sought_s > 0:
            go_to(container, stream, source, sought_s)
        following_s = 0.0
        for packet in packets(container, stream):
            if not packet.size or packet.is_discard:
                continue
            if kind == "video" and source.stamps == "none":
                following_s += 1 / source.frame_rate_hz
            else:
                stamp = packet.dts if packet.pts is None or source.stamps == "decoding" else packet.pts
                stamp = stamp if stamp is None or kind == "video" else stamp + source.late_by(packet.pos)
                if stamp is not None:
                    following_s = float(stamp * packet.time_base) - source.start_s
                length_s = float(packet.duration * packet.time_base) if packet.duration else 0.0
                following_s += length_s or (1 / source.frame_rate_hz if kind == "video" else 0.0)
            end_s = max(end_s, following_s)
    return end_s


def packets(container: InputContainer, stream: Any) -> Iterator[Any]:
    """Packets of a stream from where the container stands, to the end or to where the file is cut off."""
    coming = container.demux(stream)
    while True:
        try:
            yield next(coming)
        except (StopIteration, av.FFmpegError, OSError):
            return
        except IndexError:  # of a stream that turned up in the middle of the file; PyAV gives up there
            coming = container.demux(stream)


def decoded_packets(coming: Iterator[Any], watch: Watch) -> Iterator[Any]:
    """Frames of packets; damaged packets are left out, and empty ones, which would end the decoding."""
    for packet in coming:
        if not packet.size and packet.dts is not None:
            continue
        if packet.size:
            watch.packet(packet)
        try:
            for frame in packet.decode():
                watch.frame(frame)
                yield frame
        except av.FFmpegError:
            watch.fault(packet.pts)


@contextmanager
def opened(
    path: Path, meter: Meter, view: Callable[[MeteredFile], Any] | None = None
) -> Iterator[InputContainer]:
    """The container in the file at `path`, with every failure raised as a `MediaError`.

    Args:
        path: the file.
        meter: how much of it was read already; reading ends where its limits are.
        view: makes of the file what FFmpeg reads in its place, such as one that waits for more at its end.

    Yields:
        The container.

    Raises:
        MediaError: where the file cannot be read.
    """
    with open_file(path) as file:
        head = file.read(HEAD_BYTES)
        refuse_pointers(path, head)
        size = declared_size(head, file)
        check_size(path, *size)
        file.seek(0)
        meter.progress()
        meter.stall_bytes = STALL_BYTES + _BYTES_PER_PIXEL * size[0] * size[1]
        meter.zero_bytes = _WAVE_ZEROS if head[8:12] == b"WAVE" else STALL_BYTES
        if head[4:8] in _MP4_BOXES:
            meter.stall_bytes = sys.maxsize  # it knows the length of everything
        try:
            container = av.open(
                MeteredFile(path, file, meter) if view is None else view(MeteredFile(path, file, meter)),
                io_open=_open_nothing_else,
                options=old_pyav.PROBING,
                container_options={
                    "protocol_whitelist": "none",
                    "format_whitelist": _open_formats(),
                    "enable_drefs": "0",
                },
                metadata_errors="replace",
                buffer_size=1 << 16,
            )
        except MediaError:
            raise
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            _refuse_container(path, head, error, meter)
        with container, _media_errors(path):
            if not container.format.flags & _SEARCHED_FORMATS:
                meter.stall_bytes = sys.maxsize
            meter.zero_bytes = STALL_BYTES
            yield cast(InputContainer, MeteredContainer(container, meter))


@contextmanager
def _media_errors(path: Path) -> Iterator[None]:
    """Raise whatever FFmpeg or PyAV fails with over this file as a `MediaError`."""
    try:
        yield
    except NanoEmoXError:
        raise
    except MemoryError:
        refuse(path, "needs more memory than there is", "scale it down or cut it")
    except (av.FFmpegError, OSError, ValueError, NotImplementedError) as error:
        refuse(path, f"cannot be read ({_reason(error)})", "copy or export it again")


def _refuse_container(path: Path, head: bytes, error: Exception, meter: Meter) -> NoReturn:
    if isinstance(error, PermissionError):
        refuse(path, "refers to other files, which are never followed", "give one file that holds everything")
    if isinstance(error, MemoryError):
        refuse(path, "needs more memory than there is to be opened", "scale it down or cut it")
    if meter.stopped:
        refuse(path, f"cannot be opened within the limits ({meter.stopped})", "copy or export it again")
    if head[4:8] in _MP4_BOXES:
        refuse(
            path,
            "is an MP4 or MOV file without a usable index (cut off, or its recording was interrupted)",
            "copy or export it again",
        )
    if b"\0" not in head and all(byte >= 32 or byte in b"\t\n\r\f\x1b" for byte in head):
        refuse(path, "is text (expected a video, audio or picture file)", "check the path")
    refuse(
        path,
        f"cannot be read as media ({_reason(error)}; expected a video, audio or picture file)",
        "copy or export it again",
    )


def _reason(error: BaseException) -> str:
    """FFmpeg's own words, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:120].rstrip(".").casefold()

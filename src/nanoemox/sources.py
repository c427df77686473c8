"""Media files that nobody vouches for, opened so that they can only be read.

FFmpeg's demuxers follow playlists, reference movies, image patterns and URLs. Here it never learns a file's
name: it gets an open file object, may open nothing else, knows no network protocol, and the formats made to
point elsewhere are off. So `http:x.mp4`, `%d.png` and `-y.mp4` are plain names, and a playlist is an error.
Every failure is a `MediaError` of one line: what is wrong, what was expected, what to do.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any, NoReturn

import av
from av.container import InputContainer
from av.stream import Discard, Disposition

MAX_PIXELS = 40_000_000  # of one picture: above 8K video (33 million), below what would fill the memory
_HEAD_BYTES = 4096
_JPEG_SEGMENTS = 2000
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a frame's header

# Demuxers that read other files, talk to devices or networks, or build media out of text.
_CLOSED_FORMATS = {
    *("concat", "hls", "dash", "imf", "sdp", "rtp", "rtsp", "sap", "image2", "lavfi", "svg_pipe", "vobsub"),
    *(
        "ffmetadata",
        "webm_dash_manifest",
        "vapoursynth",
        "avs",
        "avisynth",
        "tty",
        "bin",
        "adf",
        "idf",
        "xbin",
    ),
    *("alsa", "oss", "fbdev", "kmsgrab", "x11grab", "video4linux2,v4l2", "jack", "pulse", "sndio", "data"),
}
_POINTERS = {  # how files begin that only point to other files
    b"#EXTM3U": "a playlist",
    b"ffconcat": "a list of files to join",
    b"[playlist]": "a playlist",
    b"[Reference]": "a playlist",
    b"<asx": "a playlist",
    b"<smil": "a playlist",
    b"v=0\r\n": "a description of a network stream",
    b"v=0\n": "a description of a network stream",
    b"http://": "a list of addresses",
    b"https://": "a list of addresses",
    b"rtsp://": "a list of addresses",
    b"file://": "a list of files",
}
_POINTERS_WITHIN = {b"<svg": "an SVG drawing", b"<MPD": "a streaming manifest", b"<smil": "a playlist"}
_PICTURE_FORMATS = {"gif", "apng", "ico", "jpegxl_anim", "webp"}
_PICTURE_BRANDS = {"avif", "heic", "heix", "mif1"}  # pictures in an MP4 box


class MediaError(ValueError):
    """A file that cannot be read. One line: "<path>: what is wrong (expected …); what to do"."""


def shown(path: str | os.PathLike[str]) -> str:
    """A path as one printable line."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in os.fspath(path))


def refuse(path: str | os.PathLike[str], wrong: str, remedy: str) -> NoReturn:
    """Raise the one-line error about `path`."""
    raise MediaError(f"{shown(path)}: {wrong}; {remedy}")


def open_file(path: Path) -> IO[bytes]:
    """Open a plain file for reading, without ever waiting for one (a pipe would block)."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError:
        refuse(path, "is not a file name (it holds a null character)", "check the name")
    except OSError as error:
        _refuse_os_error(path, error)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            refuse(path, "is a folder (expected a media file)", "name a file in it")
        if not stat.S_ISREG(mode):
            refuse(path, "is a pipe, socket or device (expected a plain file)", "save it to a file first")
        if os.fstat(handle).st_size == 0:
            refuse(path, "is empty (0 bytes; expected a media file)", "copy or export it again")
    except BaseException:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb", buffering=0)


def _refuse_os_error(path: Path, error: OSError) -> NoReturn:
    known = {
        errno.ENOENT: ("no such file (expected a media file)", "check the path"),
        errno.ENOTDIR: ("no such file (a part of its path is not a folder)", "check the path"),
        errno.EACCES: ("may not be read (permission denied)", "change its permissions, or copy it"),
        errno.EPERM: ("may not be read (permission denied)", "change its permissions, or copy it"),
        errno.ELOOP: ("is a link that leads back to itself (expected a file)", "name the file itself"),
        errno.ENAMETOOLONG: ("has a name that is too long for a file", "check the path"),
        errno.ENXIO: ("is a pipe, socket or device (expected a plain file)", "save it to a file first"),
    }
    wrong, remedy = known.get(error.errno or 0, (f"cannot be opened ({error.strerror})", "check the file"))
    refuse(path, wrong, remedy)


class _Unnamed:
    """What FFmpeg sees of a file: bytes, and no name to guess or follow anything by."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


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
    frames: int = 0  # as the container states it; 0: it does not
    frame_rate_hz: float = 25.0
    pixel_aspect: float = 1.0  # width of a pixel over its height
    sound_s: float | None = None
    sample_rate_hz: int = 0

    @contextmanager
    def reading(self, kind: str) -> Iterator[tuple[InputContainer, Any]]:
        """A fresh container and its "video" or "audio" stream, all others skipped."""
        with opened(self.path) as container:
            chosen = video_stream(container) if kind == "video" else audio_stream(container)
            for stream in container.streams:
                if stream is not chosen:
                    stream.discard = Discard.all
            yield container, chosen

    @cached_property
    def stated(self) -> str:
        """The stated length for a message."""
        return "an unknown length" if self.duration_s is None else f"{self.duration_s:.2f} s"


def inspect(path: Path) -> Source:
    """Open `path` once and say what is in it; raise `MediaError` where that is nothing."""
    if os.fspath(path) in ("", "."):
        refuse(path, "is not a file (no name was given)", "name a media file")
    with opened(path) as container:
        video, audio = video_stream(container), audio_stream(container)
        if video is None and audio is None:
            kinds = sorted({stream.type or "unknown" for stream in container.streams})
            refuse(
                path,
                f"has neither picture nor sound (found {', '.join(kinds) or 'no streams'})",
                "give a video, sound or picture file",
            )
        if video is not None:
            context = video.codec_context
            if context is not None:
                _check_size(path, context.width, context.height)
        name = container.format.name
        sound = None if audio is None else audio.codec_context
        duration = container.duration
        return Source(
            path=path,
            size=container.size,
            picture=name.endswith("_pipe")
            or name in _PICTURE_FORMATS
            or container.metadata.get("major_brand") in _PICTURE_BRANDS,
            has_video=video is not None,
            has_audio=audio is not None,
            start_s=(container.start_time or 0) / av.time_base,
            duration_s=duration / av.time_base if duration and duration > 0 else None,
            frames=0 if video is None else video.frames,
            frame_rate_hz=_frame_rate_hz(video),
            pixel_aspect=float(getattr(video, "sample_aspect_ratio", None) or 1),
            sound_s=float(audio.duration * audio.time_base) if audio is not None and audio.duration else None,
            sample_rate_hz=0 if sound is None else sound.sample_rate,
        )


def _frame_rate_hz(video: Any) -> float:
    """Frames a second, as well as the file tells."""
    for name in ("average_rate", "guessed_rate", "base_rate"):
        rate = float(getattr(video, name, None) or 0)
        if 0.01 <= rate <= 1000:
            return rate
    return 25.0


def video_stream(container: InputContainer) -> Any:
    """The first stream of pictures that is not a cover of a record, or None."""
    for stream in container.streams.video:
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
            return stream
    return None


def audio_stream(container: InputContainer) -> Any:
    """The stream of sound that FFmpeg holds for the best, or None."""
    return container.streams.best("audio")


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The container in the file at `path`, with everything that fails told as a `MediaError`."""
    with open_file(path) as file:
        head = file.read(_HEAD_BYTES)
        _refuse_pointers(path, head)
        _check_size(path, *declared_size(head, file))
        file.seek(0)
        try:
            container = av.open(
                _Unnamed(file),
                io_open=_open_nothing_else,
                options={"max_pixels": str(MAX_PIXELS)},
                container_options={
                    "protocol_whitelist": "none",
                    "format_whitelist": _open_formats(),
                    "enable_drefs": "0",
                },
                metadata_errors="replace",
                buffer_size=1 << 16,
            )
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            _refuse_container(path, head, error)
        with container, told(path):
            yield container


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Whatever FFmpeg or PyAV fails with over this file, as a `MediaError`."""
    try:
        yield
    except MediaError:
        raise
    except MemoryError:
        refuse(path, "needs more memory than there is", "scale it down or cut it")
    except (av.FFmpegError, OSError, ValueError, NotImplementedError) as error:
        refuse(path, f"cannot be read ({_reason(error)})", "copy or export it again")


def declared_size(head: bytes, file: IO[bytes]) -> tuple[int, int]:
    """Width and height that a picture's header declares, (0, 0) for others: known before unpacking."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return struct.unpack(">II", head[16:24])
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return struct.unpack("<HH", head[6:10])
    if head.startswith(b"BM") and len(head) >= 26:
        width, height = struct.unpack("<ii", head[18:26])
        return abs(width), abs(height)
    at = 2
    for _ in range(_JPEG_SEGMENTS if head.startswith(b"\xff\xd8\xff") else 0):  # on to the start of a frame
        file.seek(at)
        segment = file.read(9)
        if len(segment) < 9 or segment[0] != 0xFF:
            break
        if segment[1] in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", segment[5:9])
            return width, height
        at += 1 if segment[1] == 0xFF else 2 + int.from_bytes(segment[2:4], "big")
    return 0, 0


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        wrong = f"unpacks to {width} x {height} pixels (expected at most {MAX_PIXELS // 1_000_000} million)"
        refuse(path, wrong, "scale it down")


def _refuse_pointers(path: Path, head: bytes) -> None:
    if head[8:12] == b"WEBP" and b"ANIM" in head[12:48]:
        refuse(path, "is an animated WebP, which FFmpeg does not decode", "convert it to GIF or MP4")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((kind for mark, kind in _POINTERS.items() if text.lower().startswith(mark.lower())), None)
    if kind is None and text.startswith(b"<"):
        kind = next((kind for mark, kind in _POINTERS_WITHIN.items() if mark in text), None)
    if kind is not None:
        refuse(
            path,
            f"is {kind}, which points elsewhere and is never followed",
            "give the media file it stands for",
        )


def _refuse_container(path: Path, head: bytes, error: Exception) -> NoReturn:
    if isinstance(error, PermissionError):
        refuse(path, "refers to other files, which are never followed", "give one file that holds everything")
    if isinstance(error, MemoryError):
        refuse(path, "needs more memory than there is to be opened", "scale it down or cut it")
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"skip", b"free"):
        refuse(
            path,
            "is an MP4 or MOV file without a usable index (cut off, or its recording was interrupted)",
            "copy or export it again",
        )
    if b"\0" not in head and all(byte >= 32 or byte in b"\t\n\r\f\x1b" for byte in head):
        refuse(path, "is text (expected a video, sound or picture file)", "check the path")
    refuse(
        path,
        f"cannot be read as media ({_reason(error)}; expected a video, sound or picture file)",
        "copy or export it again",
    )


def _reason(error: BaseException) -> str:
    """FFmpeg's own words, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:120].rstrip(".").casefold()

"""The media of a manifest line: read, told apart from others, and known by the hash of their bytes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from nanoemox.files.errors import NanoEmoXError
from nanoemox.media.clip import (
    Clip,
    cropped,
    empty_clip,
)
from nanoemox.media.load import load_clip, load_frames_dir

if TYPE_CHECKING:
    from nanoemox.data.schema import Record
from nanoemox.data.schema import MEDIA


def load_record(record: Record, compat: Literal["official"] | None = None) -> Clip:
    """The media of one manifest line; `compat` as in `load_clip`. Errors: MediaError."""
    cut: dict[str, Any] = {"start_s": record.start_s, "end_s": record.end_s, "compat": compat}
    if record.frames_dir:
        return cropped(load_frames_dir(record.frames_dir, audio=record.audio, **cut), record.person_box)
    path = record.video or record.image
    if path:
        return cropped(load_clip(path, audio=record.audio, **cut), record.person_box)
    return load_clip(record.audio, **cut) if record.audio else empty_clip("the manifest names no media")


class Wanted(NamedTuple):
    """What is to be read: a file, or what a manifest's line names; the cut is that of files without their own."""

    source: Path | Record
    start_s: float | None = None
    end_s: float | None = None
    compat: Literal["official"] | None = None
    as_video: bool = False  # a folder of pictures is the frames of one video


class Read(NamedTuple):
    """What was read, and the seconds it took; without a clip, why not, in one line."""

    clip: Clip | None
    error: str | None
    seconds: float


def read_wanted(wanted: Wanted) -> Read:
    """Read one clip of many. It never raises: a bug of ours is told as one, and does not end the others."""
    started = time.perf_counter()
    clip, error = None, None
    source, start_s, end_s, compat, as_video = wanted
    try:
        if isinstance(source, os.PathLike):
            read = load_frames_dir if as_video else load_clip
            clip = read(source, start_s=start_s, end_s=end_s, compat=compat)
        else:
            clip = load_record(source, compat)
    except NanoEmoXError as fault:
        error = str(fault)
    except (OSError, MemoryError) as fault:
        error = f"{source if isinstance(source, os.PathLike) else source.id}: {_in_one_line(fault)}"
    except Exception as fault:
        name = source if isinstance(source, os.PathLike) else source.id
        error = f"{name}: {_in_one_line(fault)} (a bug of nanoemox; please report it)"
    return Read(clip, None if error is None else " ".join(error.split()), time.perf_counter() - started)


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def media_of(record: Record) -> tuple[Any, ...]:
    """What tells the media of two manifest lines apart: files, cut and box."""
    return (*(getattr(record, kind) for kind in MEDIA), record.start_s, record.end_s, record.person_box)


def content_hash(record: Record) -> str:
    """The media of a manifest line: the bytes of its files and the part that is cut out of them. Errors: OSError."""
    digest = hashlib.sha256()
    for kind in MEDIA:
        path = getattr(record, kind)
        if path is None:
            continue
        digest.update(kind.encode())
        if Path(path).is_dir():
            for file in sorted(file for file in Path(path).iterdir() if file.is_file()):
                digest.update(file.name.encode(errors="surrogateescape") + _file_hash(file))
        else:
            digest.update(_file_hash(Path(path)))
    digest.update(json.dumps([record.start_s, record.end_s]).encode())
    if record.person_box is not None:
        digest.update(json.dumps(record.person_box).encode())
    return digest.hexdigest()[:32]


def _file_hash(path: Path) -> bytes:
    about = path.stat()
    return _hash_of(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_of(path: Path, size: int, changed_ns: int) -> bytes:
    """Many lines may cut their clips out of one long file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()

"""A media file -> `Clip`: eight frames, eight audio windows, and what the file does not have.

`load_clip` reads whatever FFmpeg reads, with PyAV. Frames come by the official rule, turned and scaled the
way they are shown (`video.py`); audio comes as mono at 16 kHz (`audio.py`); files are never trusted
(`untrusted.py`, `container.py`). A picture, an audio file and a video without audio are valid: the missing
modality is stated, never made up. Letters: T frames, H, W pixels, C audio windows.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from nanoemox.media.audio import AudioWindows, check_compat, read_audio
from nanoemox.media.clip import (
    AUDIO_WINDOWS,
    FRAMES_PER_CLIP,
    PRESENT,
    Clip,
    CodedWarning,
    frame_indices,
)
from nanoemox.media.container import Source, inspect, track_end_s
from nanoemox.media.endings import PICTURE_ENDINGS
from nanoemox.media.frame_names import are_frame_numbers
from nanoemox.media.structure import structure_breaks_at
from nanoemox.media.timeline import frame_times
from nanoemox.media.untrusted import MediaError, refuse, shown
from nanoemox.media.video import VideoFrames, read_folder, read_frames

FOLDER_FPS = 25.0  # of a folder of pictures without audio
_TOO_SHORT_S = 1e-3


def load_clip(
    path: str | os.PathLike[str],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    audio: str | os.PathLike[str] | None = None,
    frames: int = FRAMES_PER_CLIP,
    audio_windows: int = AUDIO_WINDOWS,
    compat: Literal["official"] | None = None,
) -> Clip:
    """Read a video, an audio file, a picture or a folder of pictures.

    Args:
        path: the file or the folder.
        start_s: read only from here on, in seconds from the beginning of the file.
        end_s: read only up to here.
        audio: an audio file in place of the file's own audio, on the same clock.
        frames: how many frames to take (T).
        audio_windows: how many audio windows to take (C).
        compat: "official" places the windows as the official code does, which misses the end, and resamples
            as it does.

    Returns:
        The clip; what the file does not have is None in it, and `modalities` says why.

    Raises:
        MediaError: in one line, what is wrong with which file, what was expected and what to do.
        ArgumentError: where `compat` is neither "official" nor None.
    """
    # A folder of pictures is read in its own way; everything else is one file.
    check_compat(compat)
    path = Path(path)
    if _is_folder(path):
        _check_is_video(path)
        return load_frames_dir(
            path,
            start_s=start_s,
            end_s=end_s,
            audio=audio,
            frames=frames,
            audio_windows=audio_windows,
            compat=compat,
        )

    # Look into the file without decoding it. A picture has no time to cut.
    check_cut(path, start_s, end_s)
    source = inspect(path)
    cut = (None, None) if source.picture else (start_s, end_s)

    # Decode the frames and the audio.
    video = read_frames(source, frames, *cut) if source.has_video else None
    warnings: list[CodedWarning] = []
    track: AudioWindows | None = None
    if audio is not None:
        track, no_audio = _other_audio(Path(audio), audio_windows, compat, start_s, end_s), ""
    elif source.has_audio:
        track = _audio_in_time(source, audio_windows, compat, cut, video is not None)
        no_audio = "the file's audio track holds no audio that can be decoded"
    else:
        no_audio = "a picture has no audio" if source.picture else "the file has no audio track"

    # Say why a modality is absent, which is no fault where its track does not reach into the cut. Refuse a file in
    # which nothing can be decoded.
    no_video = "the file has audio only"
    if source.has_video:
        no_video = "the file's video track holds no frame that can be decoded"
    if video is None and track is None:
        _refuse_nothing(source, cut)
    if source.has_video and video is None:
        if _reaches_into(source, "video", cut):
            warnings.append(CodedWarning("video_unreadable", no_video))
        else:
            no_video = f"the file has no video{_between(cut)}"
    if source.has_audio and audio is None and track is None:
        if _reaches_into(source, "audio", cut):
            warnings.append(CodedWarning("audio_unreadable", no_audio))
        else:
            no_audio = f"the file has no audio{_between(cut)}"

    # Build the clip, and warn where much of the stated length is missing.
    if source.implausible:
        long = f"the file states a length of {source.implausible}, which is not believed; what can be decoded counts"
        warnings.append(CodedWarning("duration_implausible", long))
    if (share := structure_breaks_at(path)) is not None:
        broken = f"the file is damaged or cut off: its parts do not fit together at {share:.0%} of its bytes"
        warnings.append(CodedWarning("file_damaged", broken))
    if source.meter.stopped:
        part = f"reading the file was stopped: {source.meter.stopped}; what was decoded until then counts"
        warnings.append(CodedWarning("reading_stopped", part))
    clip = _clip(path, video, track, no_video, no_audio, warnings)
    whole = cut == (None, None) and audio is None and not source.picture
    if (
        whole
        and not clip.warnings
        and not source.estimated
        and (source.duration_s or 0) - clip.duration_s > max(1.0, 0.05 * clip.duration_s)
    ):
        cut_off = f"the file is cut off: {clip.duration_s:.2f} s of {source.stated} can be read"
        return replace(clip, warnings=(CodedWarning("file_cut_off", cut_off),))
    return clip


def load_frames_dir(
    path: str | os.PathLike[str],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    audio: str | os.PathLike[str] | None = None,
    frames: int = FRAMES_PER_CLIP,
    audio_windows: int = AUDIO_WINDOWS,
    compat: Literal["official"] | None = None,
    fps: float | None = None,
) -> Clip:
    """Read a folder of pictures as the frames of a video, in the order of their numbers.

    Args:
        path: the folder.
        start_s: read only from here on, in seconds from the first picture.
        end_s: read only up to here.
        audio: an audio file to go with the pictures, on the same clock.
        frames: how many frames to take (T).
        audio_windows: how many audio windows to take (C).
        compat: as in `load_clip`.
        fps: pictures a second; None spreads them over `audio`, or takes 25 where there is none or a cut is made.

    Returns:
        The clip; without `audio` it has no audio windows.

    Raises:
        MediaError: in one line, what is wrong with which file, what was expected and what to do.
        ArgumentError: where `compat` is neither "official" nor None.
    """
    # Check the arguments.
    check_compat(compat)
    path = Path(path)
    check_cut(path, start_s, end_s)
    if not _is_folder(path):
        refuse(
            path, "is not a folder (expected a folder of pictures)", "give its folder, or use it as a video"
        )

    # List the pictures in the order of their numbers.
    try:
        names = [
            entry.name for entry in os.scandir(path) if Path(entry.name).suffix.lower() in PICTURE_ENDINGS
        ]
    except OSError as error:
        refuse(path, f"is a folder that cannot be listed ({error.strerror})", "change its permissions")
    if not names:
        refuse(
            path,
            "is a folder without pictures (expected a media file)",
            "name a file in it, or answer every file in it with --out DIR (in Python, analyze_many)",
        )
    names.sort(key=natural_order)

    # The audio first: its length gives the time between two pictures where `fps` does not.
    track: AudioWindows | None = None
    if audio is not None:
        track = _other_audio(Path(audio), audio_windows, compat, start_s, end_s)
    if fps is None:
        uncut = start_s is None and end_s is None
        fps = len(names) / track.length_s if track is not None and uncut else FOLDER_FPS

    # Keep the pictures of the cut. The small number keeps rounding from moving the cut by one.
    first = 0 if start_s is None else int(np.ceil(start_s * fps - 1e-6))
    last = len(names) if end_s is None else min(len(names), int(np.ceil(end_s * fps - 1e-6)))
    if first >= last:
        refuse(
            path, f"holds {len(names)} pictures at {fps:g} a second, none in the cut", "choose another cut"
        )

    # Decode only the frames that are taken.
    sources = [_lazy_source(path / name) for name in names[first:last]]
    pictures, warnings = read_folder(sources, frames)
    video = VideoFrames(
        frames=pictures,
        times_s=tuple(round((first + i) / fps, 6) for i in frame_indices(last - first, frames)),
        length_s=(last - first) / fps,
        warnings=warnings,
    )
    return _clip(path, video, track, "", "a folder of pictures has no audio", [])


def _clip(
    path: Path,
    video: VideoFrames | None,
    track: AudioWindows | None,
    no_video: str,
    no_audio: str,
    warnings: Sequence[CodedWarning],
) -> Clip:
    lengths = [part.length_s for part in (video, track) if part is not None]
    return Clip(
        path=shown(path),
        frames=None if video is None else video.frames,
        audio_windows=None if track is None else track.windows,
        frame_times_s=() if video is None else video.times_s,
        audio_starts_s=() if track is None else track.starts_s,
        duration_s=round(max(lengths, default=0.0), 6),
        audio_coverage=None if track is None else track.coverage,
        waveform=None if track is None else track.envelope,
        modalities={
            "video": no_video if video is None else PRESENT,
            "audio": no_audio if track is None else PRESENT,
        },
        warnings=(*warnings, *(video.warnings if video else ()), *(track.warnings if track else ())),
    )


def _check_is_video(path: Path) -> None:
    """Refuse a folder of photos: as the frames of one video they would get one answer, which is about none of them."""
    try:
        names = [each.name for each in os.scandir(path) if Path(each.name).suffix.lower() in PICTURE_ENDINGS]
    except OSError:
        return  # reading it will say what is wrong
    if names and not are_frame_numbers(names):
        shown = ", ".join(sorted(names, key=natural_order)[:2])
        refuse(
            path,
            f"is a folder with {len(names)} images, and their names ({shown} …) are no numbers of frames; "
            "expected one clip",
            "name one image, answer each of them with --out DIR (in Python, analyze_many), or read them as the frames "
            "of one video with --as-video (load_frames_dir)",
        )


def _other_audio(
    path: Path, number: int, compat: Literal["official"] | None, start_s: float | None, end_s: float | None
) -> AudioWindows:
    """The audio of a file given for its audio alone."""
    if _is_folder(path):
        refuse(path, "is a folder (expected an audio file)", "name a file in it")
    source = inspect(path)
    track = read_audio(source, number, compat, start_s, end_s) if source.has_audio else None
    if track is None:
        refuse(path, "has no audio that can be decoded there (expected an audio file)", "give another file")
    return track


def _reaches_into(source: Source, kind: str, cut: tuple[float | None, float | None]) -> bool:
    """Whether the packets of a track lie in the cut, so that something should have come out."""
    lo, hi = cut[0] or 0.0, math.inf if cut[1] is None else cut[1]
    if cut == (None, None):
        return True
    if kind == "audio":
        return track_end_s(source, kind) > lo
    times = frame_times(source, lo, hi)
    return times is None or bool(times)


def _between(cut: tuple[float | None, float | None]) -> str:
    """The cut in words; nothing for a whole file."""
    if cut == (None, None):
        return ""
    return f" between {cut[0] or 0:g} s and " + ("its end" if cut[1] is None else f"{cut[1]:g} s")


def _audio_in_time(
    source: Source,
    number: int,
    compat: Literal["official"] | None,
    cut: tuple[float | None, float | None],
    seen: bool,
) -> AudioWindows | None:
    """The audio of a file; None where the limits of reading were met and there are frames at least."""
    try:
        return read_audio(source, number, compat, *cut)
    except MediaError:
        if seen and source.meter.stopped:
            return None
        raise


def _refuse_nothing(source: Source, cut: tuple[float | None, float | None]) -> None:
    if source.meter.stopped:
        refuse(
            source.path,
            f"holds nothing that can be decoded{_between(cut)} within the limits ({source.meter.stopped})",
            "copy or export it again",
        )
    if cut[0] is not None and cut[0] >= source.end_s:
        end = f"ends at {source.end_s:.2f} s, before start_s = {cut[0]:g}"
        refuse(source.path, end, "choose an earlier start")
    seen = "picture" if source.picture else "frame"
    kinds = " or ".join(k for k, has in ((seen, source.has_video), ("audio", source.has_audio)) if has)
    refuse(
        source.path,
        f"holds no {kinds} that can be decoded{_between(cut)} (damaged, cut off, or its data lies in another file)",
        "copy or export it again",
    )


def check_cut(path: Path, start_s: float | None, end_s: float | None) -> None:
    """Refuse a cut that is none.

    Args:
        path: The file, for the error.
        start_s: Where the cut begins, in seconds from the beginning of the file.
        end_s: Where it ends.

    Raises:
        MediaError: If one of them is no number from 0 on, or the end is not behind the beginning.
    """
    for name, value in (("start_s", start_s), ("end_s", end_s)):
        if value is not None and not (np.isfinite(value) and value >= 0):
            refuse(path, f"cannot be cut at {name} = {value} (expected seconds from 0)", "correct the cut")
    if end_s is not None and end_s - (start_s or 0.0) < _TOO_SHORT_S:
        refuse(
            path,
            f"cannot be cut from {start_s or 0:g} s to {end_s:g} s (expected end_s > start_s)",
            "swap them",
        )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False  # opening it will say what is wrong


def _lazy_source(path: Path) -> Source:
    """A picture in a folder; opened only when its turn comes."""
    return Source(path, 0, picture=True, has_video=True, has_audio=False, start_s=0.0, duration_s=None)


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts frame 2 before frame 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]

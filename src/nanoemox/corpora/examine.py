"""One manifest line -> what is wrong with its clip. Runs in a process of its own and keeps nothing."""

from __future__ import annotations

import signal
import time
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np

from nanoemox.data.schema import MEDIA, Record
from nanoemox.media.clip import Clip, cropped, empty_clip
from nanoemox.media.load import load_clip, load_frames_dir
from nanoemox.media.untrusted import MediaError

_FASTEST_WORDS_HZ, _FASTEST_SIGNS_HZ = 6.0, 12.0  # words, and Chinese characters, a second
_USUAL_WORDS_HZ, _USUAL_SIGNS_HZ = 2.5, 4.5
_SLACK_S = 0.5  # cuts are not exact
_PAUSES = 8.0  # times the usual length, and then _PAUSE_S more, is still no mismatch
_PAUSE_S = 10.0
_DAMAGE = {"video_damaged", "audio_damaged", "file_cut_off"}  # codes of media/clip


class _TooSlow(BaseException):
    """Not an error of the file, so that nothing that handles those takes it for one."""


class Limits(NamedTuple):
    """longest_s: what lasts longer is too long; timeout_s: for decoding one clip; black: of 255, what the
    brightest part of a black picture stays below; silent: the peak that a silent sound stays below (as in sound.py).
    """

    longest_s: float = 120.0
    timeout_s: float = 60.0
    black: int = 24
    silent: float = 1e-4


class Result(NamedTuple):
    """findings: (kind, detail). fingerprint: equal for clips that show and sound the same; None if blank.

    cpu_s: what the process worked on it, all its threads, however busy the machine was.
    """

    findings: list[tuple[str, str]]
    fingerprint: bytes | None
    cpu_s: float


def examine(record: Record, limits: Limits) -> Result:
    """Decode the clip of one line and say what is wrong with it.

    Never raises: a bug of ours is a finding of its own kind, with the place where it happened, so that it neither
    ends a run over a whole corpus nor is taken for a fault of the clip.
    """
    started = time.process_time()
    fingerprint = None
    findings = _files(record)
    if not findings:
        try:
            with _at_most(limits.timeout_s):
                clip = _load(record)
                findings += _contents(record, clip, limits)
                fingerprint = _fingerprint(clip, limits)
        except _TooSlow:
            findings.append(("timeout", f"not decoded within {limits.timeout_s:g} s"))
        except (MediaError, OSError) as error:
            findings.append(("unreadable", str(error)))
        except Exception as error:
            findings.append(("bug", _where(error)))
    fault = (record.extra or {}).get("known_fault")
    if fault:
        findings.append(("known_fault", str(fault)))
    return Result(findings, fingerprint, time.process_time() - started)


def _where(error: Exception) -> str:
    """An error with the line of code that raised it, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}; please report it"


def _files(record: Record) -> list[tuple[str, str]]:
    """Files that are not there or hold nothing."""
    findings = []
    for kind in MEDIA:
        path: Path | None = getattr(record, kind)
        if path is None:
            continue
        try:
            about = path.stat()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            findings.append(("missing", f"{kind} {path}: {reason.casefold()}"))
            continue
        if kind == "frames_dir":
            if not path.is_dir() or next(path.iterdir(), None) is None:
                findings.append(("empty", f"{kind} {path} holds no pictures"))
        elif about.st_size == 0 and path.is_file():
            findings.append(("empty", f"{kind} {path} has 0 bytes"))
    return findings


def _load(record: Record) -> Clip:
    start_s, end_s = record.start_s, record.end_s
    if record.frames_dir:
        clip = load_frames_dir(record.frames_dir, start_s=start_s, end_s=end_s, audio=record.audio)
        return cropped(clip, record.person_box)
    if path := record.video or record.image:
        clip = load_clip(path, start_s=start_s, end_s=end_s, audio=record.audio)
        return cropped(clip, record.person_box)
    if record.audio:
        return load_clip(record.audio, start_s=start_s, end_s=end_s)
    return empty_clip("the line names no media")


def _contents(record: Record, clip: Clip, limits: Limits) -> list[tuple[str, str]]:
    findings = []
    if not any(getattr(record, kind) for kind in MEDIA):
        return []
    if clip.duration_s > limits.longest_s:
        findings.append(("too_long", f"{clip.duration_s:.1f} s, expected at most {limits.longest_s:g} s"))
    if (record.video or record.frames_dir or record.image) and clip.frames is None:
        findings.append(("no_video", clip.modalities["video"]))
    if record.video and clip.audio_windows is None:
        findings.append(("no_audio", clip.modalities["audio"]))
    black, silent = _black(clip, limits), _silent(clip, limits)
    if black:
        findings.append(("black", "no picture is brighter than black"))
    if silent:
        findings.append(("silent", "nothing but zeros in the sound"))
    if (black or clip.frames is None) and (silent or clip.audio_windows is None):
        findings.append(("blank", "there is nothing to see and nothing to hear"))
    findings += [("damaged", warning.text) for warning in clip.warnings if warning.code in _DAMAGE]
    if record.text and clip.audio_windows is not None and not silent:
        sound_s = clip.duration_s
        findings += [("length_mismatch", text) for text in length_mismatch(record.text, sound_s)]
    return findings


def length_mismatch(text: str, sound_s: float) -> Iterator[str]:
    """Whether words can be said in the time there is, and whether the time is anything like theirs."""
    signs = sum(unicodedata.east_asian_width(c) in "WF" and c.isalpha() for c in text)
    words = len("".join(" " if unicodedata.east_asian_width(c) in "WF" else c for c in text).split())
    fastest_s = words / _FASTEST_WORDS_HZ + signs / _FASTEST_SIGNS_HZ
    usual_s = words / _USUAL_WORDS_HZ + signs / _USUAL_SIGNS_HZ
    if fastest_s > sound_s + _SLACK_S:
        yield f"{words + signs} words or signs in {sound_s:.1f} s of sound, too many to be said"
    elif sound_s > _PAUSES * usual_s + _PAUSE_S:
        yield f"{words + signs} words or signs in {sound_s:.1f} s of sound, too few for it"


def _black(clip: Clip, limits: Limits) -> bool:
    return clip.frames is not None and bool(clip.frames[:, ::4, ::4].max() < limits.black)


def _silent(clip: Clip, limits: Limits) -> bool:
    """By its envelope, which covers all of a sound that is decoded whole."""
    return clip.waveform is not None and bool(np.abs(clip.waveform).max(initial=0.0) < limits.silent)


def _fingerprint(clip: Clip, limits: Limits) -> bytes | None:
    """A digest of some of what is seen and heard, whatever the container; None where that is nothing."""
    digest = blake2b(digest_size=16)
    seen = clip.frames is not None and not _black(clip, limits)
    heard = clip.audio_windows is not None and not _silent(clip, limits)
    if seen and clip.frames is not None:
        step = max(1, min(clip.frames.shape[1:3]) // 48)
        digest.update(str(clip.frames.shape).encode() + clip.frames[:, ::step, ::step].tobytes())
    if heard and clip.audio_windows is not None:
        digest.update(np.round(clip.audio_windows * 32767).astype(np.int16).tobytes())
    return digest.digest() if seen or heard else None


@contextmanager
def _at_most(timeout_s: float) -> Iterator[None]:
    """Raise _TooSlow after `timeout_s`, where signals exist and this is a process's main thread."""

    def ring(signum: int, frame: FrameType | None) -> None:
        raise _TooSlow

    try:
        before = signal.signal(signal.SIGALRM, ring)
    except (AttributeError, ValueError):
        yield
        return
    try:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

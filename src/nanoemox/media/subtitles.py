"""What is said when: sentences with times, read from subtitles in a file of their own or in a track of a video.

SRT, WebVTT and ASS are taken apart by FFmpeg, which knows their notes, numbers and headings; a file of its own becomes
UTF-8 first (`subtitle_text.py`), and markup and names of speakers are taken out of each line (`subtitle_lines.py`).
Times are seconds from the beginning of the file, on the clock of the video that the subtitles belong to.

What was read carries warnings with codes, beside those of a clip:

| code | when |
|---|---|
| `subtitles_encoding` | the file is no Unicode; the encoding was found out, and may be wrong |
| `subtitles_damaged` | bytes that are no letters, or more than is read |
| `subtitles_unordered` | the lines were not in the order of their times; they were sorted |
| `subtitles_times` | lines that have no time, or stay longer than a sentence can; their ends were set |
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import av

from nanoemox.files.errors import ArgumentError
from nanoemox.media.clip import CodedWarning
from nanoemox.media.container import opened, packets
from nanoemox.media.limits import Meter
from nanoemox.media.subtitle_lines import Line, lines_of, named, without_repeats
from nanoemox.media.subtitle_text import read_text
from nanoemox.media.untrusted import MediaError, refuse, shown

TEXT_CODECS = {"subrip", "srt", "webvtt", "ass", "ssa", "mov_text", "text"}  # others hold pictures of text
MOST_LINES = 100_000  # of one file; a film has about two thousand
LONGEST_S = 60.0  # no line stays longer
ENDINGS = (".srt", ".vtt", ".ass", ".ssa")
_LONGEST_TIME_S = 366 * 86_400.0
_BEFORE_S = 30.0  # lines that begin so long before a cut are looked at, too
_SHORTEST_S = 0.05
_READING_S = 0.06  # for a letter, where the end of a line is not known
_ASS = (re.compile(r"^\[Events\]", re.MULTILINE), re.compile(r"^Dialogue:", re.MULTILINE))
_NO_HOURS = re.compile(
    r"(^|\n)([ \t]*)(\d{1,2}:\d{2}[.,]\d{1,3})[ \t]*-->[ \t]*(\d{1,2}:\d{2}[.,]\d{1,3})(?![\d:])"
)
_NO_BLANK = re.compile(r"\A(WEBVTT[^\n]*)\n(?=[\d:.]+[ \t]*-->)")
_EXPECTED = "SRT, WebVTT or ASS subtitles"


@dataclass(frozen=True)
class Sentence:
    """What one person says: when it begins and ends, in seconds from the beginning of the file, and who says it."""

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None


class TextSource(NamedTuple):
    """Where a text comes from: it was given, read from subtitles, or heard."""

    kind: Literal["given", "subtitles", "speech"]
    name: str = ""  # the subtitles' file and track, or the model that heard it
    language: str | None = None  # as the track states it, or as it was heard

    def __str__(self) -> str:
        """As a reader of a result sees it."""
        words = {"given": "given", "subtitles": "subtitles", "speech": "heard by"}[self.kind]
        spoken = f" ({self.language})" if self.language else ""
        return f"{words} {self.name}{spoken}".strip()


@dataclass(frozen=True, repr=False)
class Spoken(Sequence[Sentence]):
    """Sentences in the order of their beginnings, where they come from, and what has to be known about them."""

    sentences: tuple[Sentence, ...]
    source: TextSource
    warnings: tuple[CodedWarning, ...] = ()

    @property
    def text(self) -> str:
        """All that is said, in one line."""
        return " ".join(sentence.text for sentence in self.sentences)

    @overload
    def __getitem__(self, index: int) -> Sentence: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Sentence, ...]: ...
    def __getitem__(self, index: int | slice) -> Sentence | tuple[Sentence, ...]:
        return self.sentences[index]

    def __len__(self) -> int:
        return len(self.sentences)

    def __repr__(self) -> str:
        """One line: how much is said, and where that is known from."""
        begin = self.text if len(self.text) <= 60 else f"{self.text[:59]}…"
        codes = ", ".join(warning.code for warning in self.warnings)
        warned = f", warnings {codes}" if codes else ""
        return f"Spoken({len(self)} sentences, {begin!r}, {self.source}{warned})"

    def between(self, start_s: float | None, end_s: float | None) -> Spoken:
        """What is said in a cut: sentences whose middle lies in it, and those that fill more than half of it.

        Args:
            start_s: The beginning of the cut, in seconds; None, the beginning of the file.
            end_s: Its end; None, the end of the file.

        Returns:
            Those sentences, with the times that they have in the file.
        """
        lo, hi = start_s or 0.0, float("inf") if end_s is None else end_s

        def inside(sentence: Sentence) -> bool:
            middle = (sentence.start_s + sentence.end_s) / 2
            return lo <= middle < hi or min(sentence.end_s, hi) - max(sentence.start_s, lo) > (hi - lo) / 2

        return replace(self, sentences=tuple(filter(inside, self.sentences)))


class SubtitleTrack(NamedTuple):
    """One track of subtitles in a file."""

    number: int  # from 0, among the tracks of subtitles
    language: str  # as the file states it, "und" where it does not
    title: str
    codec: str

    @property
    def readable(self) -> bool:
        """Whether it holds text; some hold pictures of text."""
        return self.codec in TEXT_CODECS


def read_subtitles(
    path: str | os.PathLike[str],
    track: int | str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Spoken:
    """Read subtitles: a file of their own, or a track inside a video.

    Args:
        path: An SRT, WebVTT or ASS file, or with `track` a video.
        track: Which track of subtitles of the video: its number from 0, or its language, such as "eng".
        start_s: Only what is said from here on, in seconds from the beginning of the file.
        end_s: Only what is said up to here.

    Returns:
        The sentences in the order of their beginnings. Lines that only describe sounds are left out.

    Raises:
        MediaError: If the file cannot be read, holds no such subtitles, or is in an encoding that is not known.
        ArgumentError: If there is no such track.
    """
    path = Path(path)
    if track is None:
        spoken = _from_file(path)
    else:
        spoken = _from_track(path, track, start_s, end_s)
    return spoken if start_s is None and end_s is None else spoken.between(start_s, end_s)


def subtitle_tracks(path: str | os.PathLike[str]) -> tuple[SubtitleTrack, ...]:
    """The tracks of subtitles inside a media file, in their order. Errors: MediaError."""
    with opened(Path(path), Meter()) as container:
        return _tracks(container)


def beside(media: str | os.PathLike[str]) -> Path | None:
    """The file of subtitles with the name of a media file (`a.mp4`, `a.srt`) in its folder; the first of `ENDINGS`."""
    media = Path(media)
    stem = media.name if media.is_dir() else media.stem
    for ending in ENDINGS:
        for name in (stem + ending, stem + ending.upper()):
            if (found := media.with_name(name)).is_file():
                return found
    return None


# ---------------------------------------------------------------- reading
def _from_file(path: Path) -> Spoken:
    text, warnings = read_text(path, _EXPECTED)
    text = _usual(text)
    kind = _kind(text)
    if kind is None:
        refuse(path, f"holds no {_EXPECTED} (no line with times was found)", "convert it to SRT")
    try:
        with av.open(io.BytesIO(text.encode()), format=kind, metadata_errors="replace") as container:
            stream = container.streams.subtitles[0]
            found = list(_timed(path, container, stream, 0.0, float("inf"), warnings))
    except (av.FFmpegError, OSError, ValueError, IndexError, MemoryError) as error:
        raise MediaError(f"{shown(path)}: cannot be read as {_EXPECTED}; convert it to SRT") from error
    if not found:
        refuse(path, f"holds no {_EXPECTED} (no line with times was found)", "convert it to SRT")
    return Spoken(_sentences(found, warnings), TextSource("subtitles", path.name), tuple(warnings))


def _kind(text: str) -> str | None:
    """FFmpeg's name for a form of subtitles."""
    if text.startswith("WEBVTT"):
        return "webvtt"
    if all(part.search(text) for part in _ASS):
        return "ass"
    return "srt" if "-->" in text else None


def _usual(text: str) -> str:
    """Text in which each time has hours, and the heading of WebVTT a blank line below it, as FFmpeg wants it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff\n\t ")
    text = _NO_HOURS.sub(r"\1\g<2>00:\3 --> 00:\4", text)
    return _NO_BLANK.sub(r"\1\n\n", text)


def _from_track(path: Path, track: int | str, start_s: float | None, end_s: float | None) -> Spoken:
    meter, warnings = Meter(), list[CodedWarning]()
    with opened(path, meter) as container:
        chosen = _chosen(path, _tracks(container), track)
        stream = container.streams.subtitles[chosen.number]
        begin_s = (container.start_time or 0) / av.time_base
        if start_s is not None and start_s > _BEFORE_S:
            _seek(container, start_s - _BEFORE_S + begin_s)
        found = list(_timed(path, container, stream, begin_s, end_s or float("inf"), warnings))
    if meter.stopped:
        warnings.append(
            CodedWarning("subtitles_damaged", f"reading stopped: {meter.stopped}; the rest is missing")
        )
    name = f"{path.name} track:{chosen.number}"
    language = None if chosen.language == "und" else chosen.language
    return Spoken(_sentences(found, warnings), TextSource("subtitles", name, language), tuple(warnings))


def _seek(container: Any, to_s: float) -> None:
    try:
        container.seek(round(max(0.0, to_s) * av.time_base), backward=True)
    except (av.FFmpegError, OSError):
        return


def _tracks(container: Any) -> tuple[SubtitleTrack, ...]:
    return tuple(
        SubtitleTrack(
            number,
            stream.metadata.get("language") or "und",
            stream.metadata.get("title", ""),
            stream.codec_context.name if stream.codec_context else "unknown",
        )
        for number, stream in enumerate(container.streams.subtitles)
    )


def _chosen(path: Path, tracks: Sequence[SubtitleTrack], wanted: int | str) -> SubtitleTrack:
    there = ", ".join(f"track:{t.number} {t.language}" for t in tracks)
    number = int(wanted) if isinstance(wanted, int) or wanted.isdecimal() else None
    for each in tracks:
        if each.number == number or each.language == wanted:
            if not each.readable:
                refuse(
                    path,
                    f"has pictures of text in track:{each.number} ({each.codec}), which cannot be read",
                    f"give subtitles as a file, or choose another of {there}",
                )
            return each
    remedy = f"choose one of {there}" if tracks else "there are none; give subtitles as a file"
    raise ArgumentError(f"{shown(path)}: no subtitles track:{wanted} in it; {remedy}")


def _timed(
    path: Path, container: Any, stream: Any, begin_s: float, end_s: float, warnings: list[CodedWarning]
) -> Iterator[tuple[float, float | None, list[Line]]]:
    """(beginning, end or None, lines) of each subtitle before `end_s`."""
    codec = stream.codec_context.name if stream.codec_context else "text"
    before, count, unordered = -1, 0, 0
    for packet in packets(container, stream):
        if not packet.size or packet.pts is None:
            continue
        start_s = float(packet.pts * packet.time_base) - begin_s
        if start_s >= end_s:
            break
        count += 1
        if count > MOST_LINES:
            more = f"more than {MOST_LINES:,} subtitles in one file; the rest was not read"
            warnings.append(CodedWarning("subtitles_damaged", more))
            break
        unordered += (packet.pos or 0) < before
        before = packet.pos or 0
        length_s = (
            float(packet.duration * packet.time_base) if packet.duration and packet.duration > 0 else None
        )
        if -_LONGEST_TIME_S < start_s < _LONGEST_TIME_S:
            yield (
                max(0.0, start_s),
                None if length_s is None else start_s + length_s,
                lines_of(bytes(packet), codec),
            )
    if unordered and begin_s == 0.0 and stream.container.format.name in ("srt", "webvtt", "ass"):
        text = "the subtitles were not in the order of their times; they were sorted"
        warnings.append(CodedWarning("subtitles_unordered", text))


# ---------------------------------------------------------------- sentences
def _sentences(
    timed: list[tuple[float, float | None, list[Line]]], warnings: list[CodedWarning]
) -> tuple[Sentence, ...]:
    """Sentences of subtitles: with ends, without what is only repeated, and with the names of speakers."""
    timed.sort(key=lambda each: each[0])
    texts = named(without_repeats([lines for _, _, lines in timed]))

    # Where the end of a line is not known or not to be believed, reading it takes its time.
    mended = 0
    ends: list[float] = []
    following = [after[0] for _, after in pairwise(timed)] + [float("inf")]
    for (start_s, end_s, _), lines, next_s in zip(timed, texts, following, strict=True):
        if end_s is None or not 0 < end_s - start_s <= LONGEST_S:
            needed_s = max(1.0, _READING_S * sum(len(line.text) for line in lines))
            end_s = start_s + min(needed_s, max(next_s - start_s, _SHORTEST_S), LONGEST_S)
            mended += bool(lines)
        ends.append(end_s)
    if mended:
        text = f"{mended} subtitles have no end, or one that cannot be right; the time to read them was taken"
        warnings.append(CodedWarning("subtitles_times", text))

    # Two people in one subtitle share its time by the length of what they say.
    found: list[Sentence] = []
    for (start_s, _, _), end_s, lines in zip(timed, ends, texts, strict=True):
        letters, at_s = sum(len(line.text) for line in lines), start_s
        for line in lines:
            until_s = at_s + (end_s - start_s) * len(line.text) / letters
            found.append(Sentence(round(at_s, 3), round(until_s, 3), line.text, line.speaker))
            at_s = until_s
    return tuple(found)

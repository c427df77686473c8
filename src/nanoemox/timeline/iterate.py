"""A recording of any length -> one row a window, or one row a sentence, as they become known.

analyzer = EmotionAnalyzer.from_pretrained("pico")
for row in timeline(analyzer, "lecture.mp4", window_s=4, hop_s=2):
    print(row.start_s, row.emotion, row.valence)
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.of_people import uses_faces
from nanoemox.inference.results import Request
from nanoemox.media.audio import is_silent
from nanoemox.media.clip import (
    FRAMES_PER_CLIP,
    PRESENT,
    SAMPLE_RATE_HZ,
    Clip,
    clip_of_arrays,
)
from nanoemox.media.shown import stacked
from nanoemox.media.transcribe import SpeechModel
from nanoemox.people.detector import Detector
from nanoemox.people.find import MOST_PEOPLE
from nanoemox.timeline.ask import Asked, answered, tasks_of, untrained
from nanoemox.timeline.hearing import Hearing
from nanoemox.timeline.people import Crop, Following, Seen, looks_in
from nanoemox.timeline.read import SECTION_S, Recording, Samples, Sound, open_recording, pictures_at
from nanoemox.timeline.ring import FeatureRing
from nanoemox.timeline.rows import Row
from nanoemox.timeline.windows import Grid, Window, grid_of, places

WINDOWS_AT_ONCE = 16  # that the model answers in one batch
SENTENCES_AT_ONCE = 4  # fewer, since whole frames wait
WINDOW_S, HOP_S = 4.0, 2.0


class Said(Protocol):
    """What one person says, and when; `media.subtitles.Sentence` is one."""

    @property
    def start_s(self) -> float:
        """Where it begins, in seconds from the beginning of the file."""

    @property
    def end_s(self) -> float:
        """Where it ends."""

    @property
    def text(self) -> str:
        """What is said."""

    @property
    def speaker(self) -> str | None:
        """Who says it, where that is known."""


def timeline(
    analyzer: EmotionAnalyzer,
    path: str | os.PathLike[str] | Recording,
    window_s: float = WINDOW_S,
    hop_s: float = HOP_S,
    sentences: Sequence[Said] | None = None,
    by_sentence: bool = False,
    speech: SpeechModel | None = None,
    faces: Detector | None = None,
) -> Iterator[Row]:
    """Read a recording from end to end.

    Args:
        analyzer: The model.
        path: A video or an audio file of any length.
        window_s: How long a window is, in seconds.
        hop_s: From the beginning of one window to that of the next.
        sentences: What is said when, in order. Each window gets the words that are said in it.
        by_sentence: Give one row a sentence in place of one a window.
        speech: Hears the sentences where none are given.
        faces: Give one row a window and person in place of one a window; this finds the faces.

    Yields:
        The rows, in the order of their beginnings.

    Raises:
        NanoEmoXError: If the file cannot be read, or the lengths make no sense.
    """
    recording = path if isinstance(path, Recording) else open_recording(path)
    grid = None if by_sentence else grid_of(window_s, hop_s)
    hearing = None if speech is None else Hearing(recording, speech)
    sections = Sections(analyzer, recording, grid, sentences or (), hearing, faces)
    for number in range(recording.sections):
        yield from sections.rows(number)


class Sections:
    """The rows of each section of a recording; each is made without what was read before it.

    Attributes:
        counts: How many frames, faces and pieces of audio were encoded so far.
        warnings: Code -> sentence, of what has to be known about what was read so far.
        people: What is known of the people where the last section ended, in plain JSON types.
    """

    def __init__(
        self,
        analyzer: EmotionAnalyzer,
        recording: Recording,
        grid: Grid | None,
        sentences: Sequence[Said] = (),
        hearing: Hearing | None = None,
        faces: Detector | None = None,
    ) -> None:
        """Prepare to read a recording.

        Args:
            analyzer: The model.
            recording: The recording.
            grid: The windows; None gives one row a sentence.
            sentences: What is said when.
            hearing: Hears it while the recording is read, in place of `sentences`.
            faces: Finds the faces where there is one row a person.

        Raises:
            ArgumentError: If people are wanted, and the model looks at no faces or each sentence has a row.
        """
        self.hearing = hearing
        self.analyzer, self.recording, self.grid = analyzer, recording, grid
        self.sentences = _in_order(sentences)
        self.tasks = tasks_of(analyzer)
        self.faces = check_people(analyzer, grid, faces)
        self.people: dict[str, Any] | None = None
        self.counts = {"frames": 0, "faces": 0, "pieces": 0}
        self.warnings = untrained(analyzer)
        self.warnings |= {warning.code: warning.text for warning in recording.warnings}

    def rows(self, number: int) -> Iterator[Row]:
        """The rows of the windows, or sentences, that begin in this section."""
        lo, hi = number * SECTION_S, (number + 1) * SECTION_S
        if self.hearing is not None:
            self.sentences = _in_order(
                self.hearing.between(lo, hi + (self.grid.window_s if self.grid else 0.0))
            )
            self.warnings |= self.hearing.warnings
        waiting: list[Asked] = []
        most = WINDOWS_AT_ONCE if self.grid else SENTENCES_AT_ONCE
        for asked in self._of_windows(lo, hi) if self.grid else self._of_sentences(lo, hi):
            waiting.append(asked)
            if len(waiting) == most:
                yield from self._answered(waiting)
                waiting = []
        yield from self._answered(waiting)

    def _answered(self, waiting: Sequence[Asked]) -> list[Row]:
        rows = answered(self.analyzer, waiting)
        if waiting:
            self.recording.check(waiting[0].start_s)
        return rows

    def _sound(self, from_s: float, to_s: float) -> Sound:
        sound = Sound(self.recording.source, from_s, to_s, self.analyzer.processor.compat)
        for warning in sound.warnings:
            self.warnings.setdefault(warning.code, warning.text)
        return sound

    # ------------------------------------------------------------ windows
    def _of_windows(self, lo: float, hi: float) -> Iterator[Asked]:
        assert self.grid is not None
        windows = list(self.grid.windows(self.recording.length_s, lo, hi))
        if not windows:
            return
        frames, _ = places(windows)
        sound = self._sound(lo - self.grid.window_s, windows[-1].end_s)
        ring = FeatureRing(self.analyzer)
        following = None
        if self.faces is not None:
            following = Following(self.faces, self.analyzer.processor.pictures == "opencv", self.people)
        pictures = self._pictures(frames, (lo, hi, windows[-1].end_s), ring, following)
        ahead = next(pictures, None)
        for first in range(0, len(windows), WINDOWS_AT_ONCE):
            part = windows[first : first + WINDOWS_AT_ONCE]
            # Take the frames and the audio up to the end of these windows, and encode what is new.
            last = max(part[-1].frames)
            while ahead is not None and ahead[0] <= last:
                if ahead[1] is not None:
                    ring.add_frame(ahead[0], ahead[1])
                ahead = next(pictures, None)
            for window in part:
                add_pieces(ring, self.grid, window, sound)
            ring.encode()
            for window in part:
                yield from self._asked(ring, window, sound, following)
            if following is not None:
                following.forget(part[-1].start_s)
            ring.forget(part[-1].frames[0], part[-1].pieces[0])
        for _ in pictures:  # so that the people are known where the section ends
            pass
        for kind, count in ring.encoded.items():
            self.counts[kind] += count
        if following is not None and following.left_out:
            text = f"some windows show more than {MOST_PEOPLE} people; only the largest of them have rows"
            self.warnings.setdefault("people_left_out", text)

    def _pictures(
        self,
        frames: Sequence[int],
        stretch: tuple[float, float, float],
        ring: FeatureRing,
        following: Following | None,
    ) -> Iterator[tuple[int, np.ndarray | None]]:
        """The place of each frame of the grid, and the frame; faces are followed on the way, between them, too.

        Args:
            frames: The places.
            stretch: Where the section begins and ends, and where its last window ends.
            ring: Gets the faces at these places.
            following: Follows them; None looks at no faces.

        Yields:
            A place, and its frame or None where the video has none.
        """
        assert self.grid is not None
        step_s = self.grid.frame_step_s
        if following is None:
            yield from zip(
                frames, pictures_at(self.recording.source, [place * step_s for place in frames]), strict=True
            )
            return
        looks = looks_in(step_s)  # a step
        lo, hi, until_s = stretch
        until_s = max(until_s, min(hi, self.recording.length_s))
        first = math.ceil(lo / step_s * looks - 1e-6)
        last = max(frames[-1] * looks, math.ceil(until_s / step_s * looks - 1e-6))
        numbers, wanted = range(first, last + 1), set(frames)
        times_s = [number * step_s / looks for number in numbers]
        before: np.ndarray | None = None
        crops: list[Crop] = []
        kept = False
        for number, at_s, frame in zip(
            numbers, times_s, pictures_at(self.recording.source, times_s), strict=True
        ):
            if not kept and at_s >= hi - 1e-6:  # what comes is read again with the next section
                self.people, kept = following.state(), True
            place = number // looks if number % looks == 0 and number // looks in wanted else None
            if frame is None:
                crops = []
            elif frame is not before:
                crops = following.look(at_s, frame)
            before = frame
            if place is not None:
                for crop in crops if frame is not None else ():
                    ring.add_face(place, crop.number, crop.picture)
                yield place, frame

    def _asked(
        self, ring: FeatureRing, window: Window, sound: Sound, following: Following | None
    ) -> Iterator[Asked]:
        """What is asked about a window: once, or about each person who is seen in it."""
        heard = [each for each in self.sentences if _middle_in(each, window.start_s, window.end_s)]
        text = " ".join(each.text for each in heard) or None
        silent = is_silent(sound.between(window.start_s, window.end_s))
        speakers = {each.speaker for each in heard}
        speaker = speakers.pop() if len(speakers) == 1 else None
        somebody = False
        for seen in following.between(window.start_s, window.end_s, sound) if following is not None else ():
            words = None if seen.listens else text
            if asked := asked_of(ring, window, self.tasks, words, silent, seen):
                somebody = True
                yield replace(asked, speaker=None if seen.listens else speaker)
        if somebody:
            return
        asked = asked_of(ring, window, self.tasks, text, silent)
        if asked is None:
            gap = "the recording has stretches with neither video nor audio, which have no row"
            self.warnings.setdefault("gap", gap)
            return
        codes = asked.warnings
        if following is not None and "no_video" not in codes:
            codes = (*codes, "no_face")
        yield replace(asked, speaker=speaker, warnings=codes)

    # ------------------------------------------------------------ sentences
    def _of_sentences(self, lo: float, hi: float) -> Iterator[Asked]:
        """Each sentence as `analyze` reads it, with frames and audio of its own."""
        length_s = self.recording.length_s
        mine = [each for each in self.sentences if lo <= each.start_s < hi and each.start_s < length_s]
        if not mine:
            return
        spans = [(each.start_s, min(each.end_s, length_s)) for each in mine]
        sound = self._sound(lo, max(end_s for _, end_s in spans))
        wanted = sorted({time_s for span in spans for time_s in _frame_times(*span)})
        pictures = zip(wanted, pictures_at(self.recording.source, wanted), strict=True)
        shown: dict[float, np.ndarray | None] = {}
        for each, span in zip(mine, spans, strict=True):
            times = _frame_times(*span)
            while times[-1] not in shown:
                time_s, picture = next(pictures)
                shown[time_s] = picture
            for time_s in [time_s for time_s in shown if time_s < span[0]]:
                del shown[time_s]  # later sentences begin later
            frames = [shown[time_s] for time_s in times]
            clip, codes = _clip(frames, sound.between(*span), self.analyzer)
            if clip.frames is None and clip.audio_windows is None:
                codes = (*codes, "text_only")
            self.counts["frames"] += 0 if clip.frames is None else len(clip.frames)
            self.counts["pieces"] += 0 if clip.audio_windows is None else len(clip.audio_windows)
            yield Asked(
                Request(clip, text=each.text, tasks=self.tasks),
                start_s=round(span[0], 6),
                end_s=round(span[1], 6),
                text=each.text,
                speaker=each.speaker,
                warnings=codes,
            )


def add_pieces(ring: FeatureRing, grid: Grid, window: Window, sound: Samples) -> None:
    """Give the ring the pieces of audio of a window that it does not have yet.

    Args:
        ring: Where they go.
        grid: Where the pieces lie.
        window: The window.
        sound: The audio around it.
    """
    for place in dict.fromkeys(window.pieces):
        start_s = place * grid.piece_step_s
        samples = sound.between(start_s, min(start_s + window.piece_s, window.end_s))
        if place not in ring.pieces and len(samples):
            end_s = start_s + window.piece_s
            ring.add_piece(place, samples, sound.between(max(0.0, end_s - grid.window_s), end_s))


def check_people(analyzer: EmotionAnalyzer, grid: Grid | None, faces: Detector | None) -> Detector | None:
    """The detector itself, where rows for each person can be made.

    Args:
        analyzer: The model.
        grid: The windows; None where there is one row a sentence.
        faces: The detector; None where people are not told apart.

    Returns:
        `faces`.

    Raises:
        ArgumentError: If there is one row a sentence, or the model looks at no faces.
    """
    if faces is not None and grid is None:
        raise ArgumentError(
            "people: expected windows, as people are told apart in windows alone; leave --by sentence or --people out"
        )
    if faces is not None and not uses_faces(analyzer):
        raise ArgumentError(
            f"{analyzer.name}: reads whole frames only, so it cannot answer for each person; leave people out"
        )
    return faces


def asked_of(
    ring: FeatureRing,
    window: Window,
    tasks: Sequence[str],
    text: str | None,
    silent: bool,
    seen: Seen | None = None,
) -> Asked | None:
    """What is asked about a window whose frames and pieces are encoded.

    Args:
        ring: Holds them.
        window: The window.
        tasks: The tasks to ask.
        text: What is said in it.
        silent: Whether its audio holds nothing but zeros.
        seen: Whom it is about; None asks about whole frames.

    Returns:
        The question, or None where the ring holds nothing of this window, or no face of this person.
    """
    listens = seen is not None and seen.listens
    number = None if seen is None else seen.number
    features = ring.features(window.frames, () if listens else window.pieces, number)
    if not features:
        return None
    kinds = {name.partition("_")[0] for name in features}
    codes = [
        f"no_{kind}" for kind in ("video", "audio") if kind not in kinds and not (listens and kind == "audio")
    ]
    codes += ["listens"] * listens + ["audio_silent"] * (silent and not listens)
    codes += ["cut_short"] * window.cut_short
    request = Request(features, text=text, tasks=tasks)
    asked = Asked(request, window.start_s, window.end_s, text=text, warnings=tuple(codes))
    if seen is None:
        return asked
    speech = None if seen.speech is None else round(seen.speech, 3)
    box = tuple(round(value, 4) for value in seen.box)
    return replace(asked, person=seen.name, speech=speech, box=box)


def _in_order(sentences: Sequence[Said]) -> list[Said]:
    return sorted(sentences, key=lambda each: (each.start_s, each.end_s))


def _middle_in(said: Said, lo: float, hi: float) -> bool:
    return lo <= (said.start_s + said.end_s) / 2 < hi


def _frame_times(start_s: float, end_s: float) -> list[float]:
    return [start_s + i * (end_s - start_s) / FRAMES_PER_CLIP for i in range(FRAMES_PER_CLIP)]


def _clip(
    frames: Sequence[np.ndarray | None], samples: np.ndarray, analyzer: EmotionAnalyzer
) -> tuple[Clip, tuple[str, ...]]:
    """The clip of one sentence, and codes of what it lacks."""
    there = [frame for frame in frames if frame is not None]
    audio = clip_of_arrays(None, samples, analyzer.processor.compat) if len(samples) else None
    codes = ["no_video"] * (not there) + ["no_audio"] * (audio is None)
    codes += ["audio_silent"] * (audio is not None and is_silent(samples))
    empty = clip_of_arrays(None, None)
    states = {"video": PRESENT if there else "no frame was found", "audio": PRESENT if audio else "no audio"}
    clip = replace(
        empty,
        frames=stacked(there + [there[-1]] * (len(frames) - len(there))) if there else None,
        audio_windows=audio.audio_windows if audio else None,
        modalities=states,
        duration_s=len(samples) / SAMPLE_RATE_HZ,
    )
    return clip, tuple(codes)

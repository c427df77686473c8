"""The people of a clip: who is seen when and where, what to show of each face, and who speaks.

The video is read once, RATE_HZ frames a second, and only the last frame is kept: of every person only the crops that
lie nearest to the eight moments of the clip's own frames. Letters: T frames of the clip, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanoemox.media.clip import Clip, CodedWarning
from nanoemox.media.container import inspect
from nanoemox.media.shown import shown_frame, stacked
from nanoemox.media.timeline import FrameReader
from nanoemox.people.crops import aligned, around
from nanoemox.people.detector import Box, Detector, Face, PeopleError, load_detector, opencv
from nanoemox.people.speaker import heard, mouth_motion, shares_of_speech, stretches
from nanoemox.people.tracks import Track, follow, going_on, looks_of

RATE_HZ = 12.5  # frames that are looked at, a second
LONGEST_S = 120.0  # of a clip whose people are followed
MOST_PEOPLE = 8  # who are answered for
CLOSE_LOOK_S = 1.0  # how often small faces are looked for everywhere
_LEAST_SEEN = 3  # a face that is seen in fewer frames is chance, unless there are few frames
NEXT_S = 0.3  # two looks at a mouth that lie further apart tell no motion
SPEAKS = 0.25  # of what is heard: who speaks less is a listener


@dataclass(frozen=True)
class Person:
    """One person of a clip.

    boxes: (seconds, box) of every look at the face; boxes are left, top, right, bottom in shares of the frame.
    crops, aligned: uint8 [T, S, S, 3], RGB: the face at `crop_times_s`, the looks nearest to the clip's own frames.
    crop_boxes: where the face is there.
    speech: share of what is heard that this person speaks; None without audio, or where the
        looks lie too far apart to tell.
    """

    name: str
    boxes: tuple[tuple[float, Box], ...]
    crops: NDArray[np.uint8]
    aligned: NDArray[np.uint8]
    crop_times_s: tuple[float, ...]
    crop_boxes: tuple[Box, ...]
    speech: float | None = None
    speaks_s: tuple[tuple[float, float], ...] = ()

    @property
    def speaks(self) -> bool:
        """Whether enough of what is heard comes from this person."""
        return self.speech is not None and self.speech >= SPEAKS

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without pictures."""
        return {
            "name": self.name,
            "seen_from_s": round(self.boxes[0][0], 3),
            "seen_until_s": round(self.boxes[-1][0], 3),
            "looks": len(self.boxes),
            "crops": [
                {"time_s": round(at_s, 3), "box": [round(value, 4) for value in box]}
                for at_s, box in zip(self.crop_times_s, self.crop_boxes, strict=True)
            ],
            "speech": None if self.speech is None else round(self.speech, 3),
            "speaks_s": [list(each) for each in self.speaks_s],
        }


@dataclass(frozen=True)
class People:
    """Everybody in a clip, who speaks most first."""

    persons: tuple[Person, ...]
    detector: str
    looks: int  # frames that were looked at
    warnings: tuple[CodedWarning, ...] = ()


@dataclass
class _Seen:
    """What is kept of one track while the video is read."""

    nearest: list[float]  # seconds from each wanted moment to the crop that is kept for it
    crops: list[Any] = field(default_factory=list)  # (time, box, crop, aligned) for each wanted moment
    last: tuple[int, Face] | None = None  # the look at which the face was last seen, and where it was
    motion: dict[int, float] = field(default_factory=dict)  # look -> motion of the mouth
    size: float = 0.0  # sum over looks of the box's share of the frame


def find_people(
    clip: Clip,
    start_s: float | None = None,
    end_s: float | None = None,
    detector: Detector | str | Path | None = None,
) -> People:
    """Find the people of a clip, follow them, and tell who speaks.

    Args:
        clip: The clip, as `load_clip` read it.
        start_s: Where in its file the clip begins.
        end_s: Where it ends.
        detector: A loaded detector, or YuNet's file; None takes the detector that comes along.

    Returns:
        The people.

    Raises:
        PeopleError: If the clip is too long, OpenCV is not installed, or the detector's file cannot be used.
        MediaError: If the file cannot be read any more.
    """
    if clip.frames is None:
        return People((), "none", 0, (CodedWarning("no_face", "there are no pictures to look for faces in"),))
    if clip.duration_s > LONGEST_S:
        raise PeopleError(
            f"{clip.path}: people are followed in clips of up to {LONGEST_S:g} s, and this one lasts "
            f"{clip.duration_s:.0f} s; choose a part of it with a start and an end"
        )
    loaded = detector if isinstance(detector, Detector) else load_detector(detector)
    cv2 = opencv()

    # Look at the frames in their order.
    wanted = clip.frame_times_s or tuple(float(i) for i in range(len(clip.frames)))
    tracks: list[Track] = []
    seen: dict[int, _Seen] = {}
    times_s: list[float] = []
    first: NDArray[np.uint8] | None = None
    before: NDArray[np.uint8] | None = None
    close_s = -np.inf
    for at_s, frame in _frames(clip, start_s, end_s):
        closely = at_s - close_s >= CLOSE_LOOK_S
        close_s = at_s if closely else close_s
        if first is None:
            first = frame
        elif frame.shape != first.shape:  # fitted in as the clip's own frames are, so that all boxes agree
            frame = stacked([first, frame])[1]
        before_s = times_s[-1] if times_s else at_s
        height, width = frame.shape[:2]
        for track, face, square in look_at(loaded, tracks, at_s, frame, before_s, closely):
            box = in_shares(face.box, width, height)
            upright = aligned(cv2, frame, face)
            kept = seen.setdefault(track.number, _Seen([np.inf] * len(wanted), [None] * len(wanted)))
            kept.size += (box[2] - box[0]) * (box[3] - box[1])
            for i, moment in enumerate(wanted):
                if abs(at_s - moment) < kept.nearest[i]:
                    kept.nearest[i], kept.crops[i] = abs(at_s - moment), (at_s, box, square, upright)
            look = len(times_s)
            if before is not None and kept.last and kept.last[0] == look - 1 and at_s - before_s <= NEXT_S:
                kept.motion[look] = mouth_motion(cv2, (before, frame), (kept.last[1], face))
            kept.last = (look, face)
        times_s.append(at_s)
        before = frame

    # Who was seen by chance goes; who is seen largest and longest comes first.
    least = min(_LEAST_SEEN, len(times_s))
    lasting = [track for track in tracks if len(track.times_s) >= least]
    lasting.sort(key=lambda track: -seen[track.number].size)
    warnings = []
    if not lasting:
        seen_briefly = "no face was found" if not tracks else "faces were seen for a moment only"
        text = f"{seen_briefly}, so the whole frames were shown to the model"
        warnings.append(CodedWarning("no_face", text))
    if len(lasting) > MOST_PEOPLE:
        text = f"{len(lasting)} people were found; the {MOST_PEOPLE} who are seen largest and longest are answered for"
        warnings.append(CodedWarning("people_left_out", text))
        lasting = lasting[:MOST_PEOPLE]
    persons = [_person(track, seen[track.number], first) for track in lasting]
    speaking = _speech(persons, [seen[track.number] for track in lasting], times_s, clip, start_s or 0.0)
    speaking.sort(key=lambda person: -(person.speech or 0.0))
    named = tuple(replace(person, name=f"person {i + 1}") for i, person in enumerate(speaking))
    return People(named, loaded.name, len(times_s), tuple(warnings))


# ---------------------------------------------------------------- pieces


def _frames(
    clip: Clip, start_s: float | None, end_s: float | None
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """(seconds in the file, frame) at RATE_HZ; the clip's own frames where there is no video file."""
    assert clip.frames is not None
    path = Path(clip.path) if clip.path else None
    moving = len(set(clip.frame_times_s)) > 1
    if path is None or not moving or not path.is_file():
        at = clip.frame_times_s or tuple(float(i) for i in range(len(clip.frames)))
        for i, (at_s, frame) in enumerate(zip(at, clip.frames, strict=False)):
            if i == 0 or at_s > at[i - 1]:
                yield at_s, frame
        return
    source = inspect(path)
    if source.webp_times_s:
        yield from zip(clip.frame_times_s, clip.frames, strict=False)
        return
    next_s = start_s or 0.0
    with FrameReader(source) as reader:
        for at_s, frame in reader.frames_from(start_s or 0.0):
            if end_s is not None and at_s >= end_s:
                return
            if at_s >= next_s - 0.5 / source.frame_rate_hz:
                yield at_s, shown_frame(frame, source)
                next_s = max(next_s + 1 / RATE_HZ, at_s)


def look_at(
    detector: Detector,
    tracks: list[Track],
    at_s: float,
    frame: NDArray[np.uint8],
    before_s: float,
    closely: bool,
    numbered: int = 0,
) -> list[tuple[Track, Face, NDArray[np.uint8]]]:
    """Find the faces of one frame, and give them to the people seen before, or to new ones.

    Args:
        detector: Finds them.
        tracks: Of the people so far; new ones are added.
        at_s: When the frame is shown.
        frame: The frame [H, W, 3].
        before_s: When the frame before was shown; `at_s` for the first.
        closely: Whether small faces are looked for everywhere, too.
        numbered: The highest number of a track so far, where some were forgotten.

    Returns:
        For each face its track, the face, and the square [S, S, 3] around it.
    """
    cv2 = opencv()
    near = [track.expected(at_s) for track in going_on(tracks, at_s, before_s)]
    faces = detector.faces(frame, near, closely)
    squares = [around(cv2, frame, face) for face in faces]
    given = follow(tracks, at_s, faces, [looks_of(square) for square in squares], before_s, numbered)
    return list(zip(given, faces, squares, strict=True))


def in_shares(box: Box, width: int, height: int) -> Box:
    """A box in shares of the frame.

    Args:
        box: Left, top, right, bottom in pixels.
        width: Of the frame, in pixels.
        height: Likewise.

    Returns:
        The same in shares of 1.
    """
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _person(track: Track, kept: _Seen, first: NDArray[np.uint8] | None) -> Person:
    assert first is not None  # somebody was seen
    height, width = first.shape[:2]
    at, boxes, squares, upright = zip(*kept.crops, strict=True)
    return Person(
        name="",
        boxes=tuple(
            (at_s, in_shares(face.box, width, height))
            for at_s, face in zip(track.times_s, track.faces, strict=True)
        ),
        crops=np.stack(squares),
        aligned=np.stack(upright),
        crop_times_s=tuple(at),
        crop_boxes=tuple(boxes),
    )


def _speech(
    persons: Sequence[Person], seen: Sequence[_Seen], times_s: Sequence[float], clip: Clip, start_s: float
) -> list[Person]:
    """The people, with what each of them speaks; unchanged where there is nothing to hear or too little to see."""
    if clip.audio_windows is None or len(times_s) < 4 or not persons:
        return list(persons)
    motion = np.full((len(times_s), len(persons)), np.nan)
    for who, kept in enumerate(seen):
        for look, value in kept.motion.items():
            motion[look, who] = value
    loud = heard(clip.waveform, clip.duration_s, [at_s - start_s for at_s in times_s])
    told = shares_of_speech(motion, loud, times_s)
    if told is None:
        return list(persons)
    speaking, shares = told
    until_s = max(start_s + clip.duration_s, times_s[-1])
    return [
        replace(person, speech=share, speaks_s=tuple(stretches(speaking == who, times_s, until_s)))
        for who, (person, share) in enumerate(zip(persons, shares, strict=True))
    ]

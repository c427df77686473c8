"""Who is seen while a recording is read, so that everybody keeps a name from window to window and section to section.

Faces are looked at several times a second. What has to be known to go on with the next section (where everybody was
last and what everybody looks like) fits in plain JSON, so a run that was stopped goes on with the same names. Memory
does not grow with the length: looks that no window needs are forgotten, and so are faces that never got a name.

Letters: n looks, P people, S pixels a side.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanoemox.media.shown import stacked
from nanoemox.people.crops import aligned
from nanoemox.people.detector import Box, Detector, Face, opencv
from nanoemox.people.find import CLOSE_LOOK_S, MOST_PEOPLE, NEXT_S, RATE_HZ, SPEAKS, in_shares, look_at
from nanoemox.people.speaker import envelope, heard, mouth_motion, shares_of_speech
from nanoemox.people.tracks import Track
from nanoemox.timeline.read import Samples

LEAST_SEEN = 3  # looks at a face in all before it gets a name, and in a window before it gets a row there
MOST_REMEMBERED = (
    300  # people whose looks are kept to know them again; who was away longest is forgotten first
)
_UNNAMED_S = 10.0  # a face without a name is forgotten when it was not seen for so long
_EPSILON_S = 1e-6


@dataclass(frozen=True)
class Crop:
    """One face in one frame.

    number: of its track. picture: uint8 [S, S, 3], the square around it, or the face turned upright.
    """

    number: int
    picture: NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    """One person in one window.

    number: of the track. box: where the face is in the middle of when it is seen, left, top, right, bottom in shares of
    the frame. speech: share of what is heard there that this person speaks; None where nobody can tell.
    listens: whether somebody else speaks instead.
    """

    number: int
    name: str
    box: Box
    speech: float | None
    listens: bool = False


@dataclass
class _Look:
    """One look at a frame: track -> box in shares of the frame, and how much the mouth moved since the look before."""

    at_s: float
    boxes: dict[int, Box] = field(default_factory=dict)
    motion: dict[int, float] = field(default_factory=dict)


def looks_in(step_s: float) -> int:
    """How many looks lie in one step of the grid of frames, so that there are about RATE_HZ a second."""
    return max(1, round(step_s * RATE_HZ))


class Following:
    """Everybody seen so far.

    Attributes:
        detector: What finds the faces.
        left_out: Whether a window had more people than are answered for.
    """

    def __init__(
        self, detector: Detector, upright: bool = False, state: Mapping[str, Any] | None = None
    ) -> None:
        """Begin, or go on.

        Args:
            detector: Finds the faces.
            upright: Crop faces turned upright, for models that were trained on them.
            state: What `state` gave where the section before ended.
        """
        self.detector, self.upright = detector, upright
        self.cv2 = opencv()
        self.left_out = False
        self._tracks: list[Track] = []
        self._names: dict[int, str] = {}
        self._counts: Counter[int] = Counter()
        self._given = self._last = 0  # how many names were given; the highest number of a track
        self._before_s: float | None = None
        self._before: NDArray[np.uint8] | None = None
        self._shape: NDArray[np.uint8] | None = (
            None  # the first frame: those of other sizes are fitted into it
        )
        self._faces: dict[int, Face] = {}  # of the look before
        self._looks: deque[_Look] = deque()
        if state is not None:
            self._given, self._last, self._before_s = state["names"], state["tracks_made"], state["before_s"]
            for each in state["tracks"]:
                face = Face(tuple(each["box"]), 0.0, np.zeros((4, 2)))
                looks, speed = np.array(each["looks"], np.float32), np.array(each["speed"], np.float64)
                self._tracks.append(Track(each["number"], [each["at_s"]], [face], looks, speed))
                self._counts[each["number"]] = each["count"]
                if each["name"]:
                    self._names[each["number"]] = each["name"]

    def state(self) -> dict[str, Any]:
        """All that the next section needs, in plain JSON types."""
        return {
            "names": self._given,
            "tracks_made": self._last,
            "before_s": self._before_s,
            "tracks": [
                {
                    "number": track.number,
                    "name": self._names.get(track.number),
                    "count": self._counts[track.number],
                    "at_s": track.times_s[-1],
                    "box": [float(value) for value in track.faces[-1].box],
                    "looks": [float(value) for value in track.looks],
                    "speed": [float(value) for value in track.speed],
                }
                for track in self._tracks
            ],
        }

    def look(self, at_s: float, frame: NDArray[np.uint8]) -> list[Crop]:
        """Look at the frame [H, W, 3] that is shown at a moment, and return its faces, also those without a name."""
        if self._shape is None:
            self._shape = frame
        elif frame.shape != self._shape.shape:
            frame = stacked([self._shape, frame])[1]

        # Find the faces, and give them to the people seen before. Small ones are looked for once a second.
        before_s = at_s if self._before_s is None else self._before_s
        closely = self._before_s is None or int(at_s / CLOSE_LOOK_S) > int(before_s / CLOSE_LOOK_S)
        found = look_at(self.detector, self._tracks, at_s, frame, before_s, closely, self._last)

        # Note where everybody is, how the mouths moved, and who gets a name.
        height, width = frame.shape[:2]
        noted, crops, here = _Look(at_s), [], {}
        for track, face, square in found:
            number = track.number
            self._last = max(self._last, number)
            self._counts[number] += 1
            if number not in self._names and self._counts[number] >= LEAST_SEEN:
                self._given += 1
                self._names[number] = f"person {self._given}"
            noted.boxes[number] = in_shares(face.box, width, height)
            if self._before is not None and number in self._faces and at_s - before_s <= NEXT_S:
                noted.motion[number] = mouth_motion(
                    self.cv2, (self._before, frame), (self._faces[number], face)
                )
            here[number] = face
            crops.append(Crop(number, aligned(self.cv2, frame, face) if self.upright else square))
            del track.times_s[:-1], track.faces[:-1]
        self._looks.append(noted)
        self._faces, self._before, self._before_s = here, frame, at_s
        self._forget_faces(at_s)
        return crops

    def _forget_faces(self, at_s: float) -> None:
        """Drop what would grow without end."""
        self._tracks = [
            track
            for track in self._tracks
            if track.number in self._names or at_s - track.times_s[-1] <= _UNNAMED_S
        ]
        if len(self._tracks) > MOST_REMEMBERED:
            self._tracks = sorted(self._tracks, key=lambda each: -each.times_s[-1])[:MOST_REMEMBERED]
            self._tracks.sort(key=lambda each: each.number)
        known = {track.number for track in self._tracks} | {n for look in self._looks for n in look.boxes}
        for number in [number for number in self._counts if number not in known]:
            del self._counts[number]
            self._names.pop(number, None)

    def forget(self, before_s: float) -> None:
        """Drop the looks before a moment."""
        while self._looks and self._looks[0].at_s < before_s - _EPSILON_S:
            self._looks.popleft()

    def between(self, from_s: float, to_s: float, sound: Samples) -> list[Seen]:
        """Everybody who is seen in a window, the largest and longest seen first.

        Args:
            from_s: Where the window begins.
            to_s: Where it ends.
            sound: The audio around it.

        Returns:
            At most MOST_PEOPLE people.
        """
        looks = [look for look in self._looks if from_s - _EPSILON_S <= look.at_s < to_s - _EPSILON_S]
        boxes: dict[int, list[Box]] = {}
        for look in looks:
            for number, box in look.boxes.items():
                boxes.setdefault(number, []).append(box)
        least = min(LEAST_SEEN, len(looks))
        there = [number for number in boxes if number in self._names and len(boxes[number]) >= least]
        there.sort(key=lambda number: (-sum((c - a) * (d - b) for a, b, c, d in boxes[number]), number))
        self.left_out |= len(there) > MOST_PEOPLE
        there = there[:MOST_PEOPLE]

        # Who speaks what is heard.
        samples = sound.between(from_s, to_s)
        speech: list[float | None] = [None] * len(there)
        if len(samples) and there and len(looks) >= LEAST_SEEN + 1:
            times_s = [look.at_s for look in looks]
            motion = np.array([[look.motion.get(number, np.nan) for number in there] for look in looks])
            loud = heard(envelope(samples), to_s - from_s, [at_s - from_s for at_s in times_s])
            if told := shares_of_speech(motion, loud, times_s):
                speech = [*told[1]]
        anybody = any(share is not None and share >= SPEAKS for share in speech)
        return [
            Seen(
                number,
                self._names[number],
                boxes[number][len(boxes[number]) // 2],
                share,
                listens=anybody and (share or 0.0) < SPEAKS,
            )
            for number, share in zip(there, speech, strict=True)
        ]

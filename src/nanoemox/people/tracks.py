"""Who is who over time: faces of one frame are given to the people of the frames before.

The assignment is scipy's (`linear_sum_assignment`) over the overlap with where a face is expected, and its looks. The
libraries for this were looked at: norfair holds filterpy to a release of 2018, supervision has given its tracker
to `trackers`, and that insists on the OpenCV with windows, which excludes the one without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nanoemox.people.detector import Box, Face, shared

FOLLOWED_S = 0.6  # so long a face is expected to go on as it moved; then it is only known by its looks
_LOOKS = 0.6  # how much looks count beside the overlap
_MOST = 1.15  # the highest cost at which two faces are one
_NEAR = 1.2  # of a box's size: so far a face may be from where it is expected, in boxes and FOLLOWED_S
_ALIKE = 0.8  # the least likeness at which somebody who was away is known again
_CLEAR = 0.04  # and by so much more alike than anybody else
_LEARNS = 0.15  # how fast the memory of somebody's looks follows
_STEADY = 0.5  # how fast the memory of a movement follows


@dataclass
class Track:
    """One person's face over time."""

    number: int
    times_s: list[float] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    looks: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    speed: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros(2)
    )  # of the middle, in pixels a second

    def expected(self, at_s: float) -> Box:
        """Where the face should be now."""
        box = self.faces[-1].box
        x, y = self.speed * min(at_s - self.times_s[-1], FOLLOWED_S)
        return box[0] + x, box[1] + y, box[2] + x, box[3] + y

    def add(self, at_s: float, face: Face, looks: NDArray[np.float32]) -> None:
        """The face was seen.

        Args:
            at_s: When.
            face: Where, and its landmarks.
            looks: What its colours are like.
        """
        if self.faces:
            before, now = _middle(self.faces[-1].box), _middle(face.box)
            lasted_s = at_s - self.times_s[-1]
            speed = (now - before) / max(lasted_s, 1e-3) if lasted_s <= FOLLOWED_S else np.zeros(2)
            self.speed = (1 - _STEADY) * self.speed + _STEADY * speed
            self.looks = (1 - _LEARNS) * self.looks + _LEARNS * looks
        else:
            self.looks = looks
        self.times_s.append(at_s)
        self.faces.append(face)


def looks_of(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What somebody looks like, of a square around the face [S, S, 3]: colours in 8 x 8 fields, their mean removed."""
    side = picture.shape[0] // 8 * 8
    fields = picture[:side, :side].reshape(8, side // 8, 8, side // 8, 3).mean(axis=(1, 3))
    fields = fields[1:7, 1:7]  # hair, face and neck, little of what is behind
    flat = (fields - fields.mean()).astype(np.float32).ravel()
    return flat / max(float(np.linalg.norm(flat)), 1e-6)


def alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """How alike two people look, -1 to 1."""
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6))


def going_on(tracks: Sequence[Track], at_s: float, before_s: float) -> list[Track]:
    """Who is expected to be where they were: seen within FOLLOWED_S, or at the look before this one if looks are rare.

    Args:
        tracks: Everybody seen so far.
        at_s: When the frame is shown.
        before_s: When the frame before it was shown.

    Returns:
        Their tracks.
    """
    since_s = min(at_s - FOLLOWED_S, before_s)
    return [track for track in tracks if track.times_s[-1] >= since_s]


def follow(
    tracks: list[Track],
    at_s: float,
    faces: Sequence[Face],
    looks: Sequence[NDArray[np.float32]],
    before_s: float | None = None,
    numbered: int = 0,
) -> list[Track]:
    """Give the faces of one frame to the people seen before, or to new ones.

    Args:
        tracks: Everybody seen so far; new people are added to it.
        at_s: When the frame is shown.
        faces: The faces in it.
        looks: What each of them looks like, from `looks_of`.
        before_s: When the frame before was shown; None for the first.
        numbered: The highest number of a track so far, where some were forgotten.

    Returns:
        The track of each face, in order.
    """
    given: dict[int, Track] = {}

    # Faces that go on where they are expected.
    expected = going_on(tracks, at_s, at_s if before_s is None else before_s)
    if expected and faces:
        cost = np.array(
            [
                [_cost(track, at_s, face, look) for face, look in zip(faces, looks, strict=True)]
                for track in expected
            ]
        )
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            if cost[row, column] <= _MOST:
                given[int(column)] = expected[row]

    # Somebody who comes back is known by the looks, if nobody else is as much alike.
    for index, look in enumerate(looks):
        taken = {id(track) for track in given.values()}
        away = [track for track in tracks if id(track) not in taken]
        if index in given or not away:
            continue
        likeness = sorted(((alike(track.looks, look), k) for k, track in enumerate(away)), reverse=True)
        clear = len(likeness) == 1 or likeness[0][0] - likeness[1][0] >= _CLEAR
        if likeness[0][0] >= _ALIKE and clear:
            given[index] = away[likeness[0][1]]

    # The others are new.
    for index, (face, look) in enumerate(zip(faces, looks, strict=True)):
        if index not in given:
            numbered = max([numbered, *(track.number for track in tracks)]) + 1
            given[index] = Track(numbered)
            tracks.append(given[index])
        given[index].add(at_s, face, look)
    return [given[index] for index in range(len(faces))]


def _cost(track: Track, at_s: float, face: Face, look: NDArray[np.float32]) -> float:
    expected = track.expected(at_s)
    size = max(expected[2] - expected[0], expected[3] - expected[1])
    away = float(np.linalg.norm(_middle(expected) - _middle(face.box))) / max(size, 1e-6)
    ratio = (face.box[3] - face.box[1]) / max(expected[3] - expected[1], 1e-6)
    if away > _NEAR or not 0.5 < ratio < 2:
        return 10.0
    return 1 - shared(expected, face.box) + _LOOKS * (1 - alike(track.looks, look))


def _middle(box: Box) -> NDArray[np.float64]:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])

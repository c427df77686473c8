"""Who is who over time, with boxes made by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nanoemox.people.detector import Face
from nanoemox.people.tracks import FOLLOWED_S, Track, follow, looks_of


def look(seed: int) -> NDArray[np.float32]:
    return looks_of(np.random.default_rng(seed).integers(0, 256, (64, 64, 3)).astype(np.uint8))


def face(x: float, y: float = 50.0, size: float = 40.0) -> Face:
    return Face((x, y, x + size, y + size), 0.9, np.zeros((4, 2)))


def test_two_who_cross_stay_themselves() -> None:
    tracks: list[Track] = []
    for i in range(30):
        at_s, a, b = i / 12.5, face(10 + 8 * i), face(250 - 8 * i)
        if abs(a.box[0] - b.box[0]) < 15:  # one hides the other
            follow(tracks, at_s, [a], [look(1)])
        else:
            follow(tracks, at_s, [a, b], [look(1), look(2)])
    assert len(tracks) == 2
    first, second = tracks
    assert first.faces[-1].box[0] > first.faces[0].box[0] and second.faces[-1].box[0] < second.faces[0].box[0]


def test_who_comes_back_is_known_by_the_looks() -> None:
    tracks: list[Track] = []
    for i in range(5):
        follow(tracks, i / 12.5, [face(100), face(300)], [look(1), look(2)])
    [back] = follow(tracks, 4 + FOLLOWED_S, [face(20)], [look(2)])
    assert back is tracks[1] and len(tracks) == 2


def test_somebody_else_in_the_same_place_is_somebody_else() -> None:
    tracks: list[Track] = []
    for i in range(5):
        follow(tracks, i / 12.5, [face(100)], [look(1)])
    [other] = follow(tracks, 4 + FOLLOWED_S, [face(100)], [look(9)])
    assert other is not tracks[0] and len(tracks) == 2


def test_no_face_changes_nothing() -> None:
    tracks: list[Track] = []
    assert follow(tracks, 0.0, [], []) == []
    follow(tracks, 0.1, [face(10)], [look(1)])
    assert follow(tracks, 0.2, [], []) == [] and len(tracks) == 1


def test_thirty_people_are_thirty_tracks() -> None:
    tracks: list[Track] = []
    for i in range(3):
        faces = [face(60.0 * (k % 6), 60.0 * (k // 6)) for k in range(30)]
        follow(
            tracks,
            i / 12.5,
            faces[:: -1 if i % 2 else 1],
            [look(k) for k in range(30)][:: -1 if i % 2 else 1],
        )
    assert len(tracks) == 30 and all(len(track.times_s) == 3 for track in tracks)

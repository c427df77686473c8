"""Who speaks, with motion and audio made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nanoemox.people.detector import load_detector
from nanoemox.people.speaker import heard, mouth_motion, stretches, who_speaks
from tests.people.pictures import drawn

TIMES = [i / 12.5 for i in range(50)]


def test_the_mouth_that_moves_while_something_is_heard() -> None:
    motion = np.ones((50, 2))
    motion[:25, 0] = motion[25:, 1] = 12.0
    loud = np.ones(50, bool)
    loud[20:30] = False
    speaks = who_speaks(motion, loud, TIMES)
    assert set(speaks[:18]) == {0} and set(speaks[32:]) == {1} and set(speaks[20:30]) == {-1}


def test_nobody_speaks_while_all_mouths_rest() -> None:
    assert set(who_speaks(np.full((50, 2), 0.4), np.ones(50, bool), TIMES)) == {-1}


def test_who_is_not_seen_does_not_speak() -> None:
    motion = np.full((50, 2), np.nan)
    motion[:, 1] = 8.0
    assert set(who_speaks(motion, np.ones(50, bool), TIMES)) == {1}
    assert set(who_speaks(np.full((50, 2), np.nan), np.ones(50, bool), TIMES)) == {-1}
    assert who_speaks(np.zeros((50, 0)), np.ones(50, bool), TIMES).tolist() == [-1] * 50


def test_what_is_heard() -> None:
    wave = np.zeros(400, np.float32)  # 200 stretches over 4 s
    wave[200:300:2], wave[201:300:2] = -0.5, 0.5
    loud = heard(wave, 4.0, TIMES)
    assert loud[28:35].all() and not loud[:20].any() and not loud[42:].any()


@pytest.mark.parametrize("wave", [None, np.zeros(0, np.float32), np.zeros(400, np.float32)])
def test_silence_is_not_heard(wave: np.ndarray | None) -> None:
    assert not heard(wave, 4.0, TIMES).any()


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, -2), (0.8, 1.4)])
def test_a_head_that_moves_and_landmarks_that_tremble_are_no_motion(dx: float, dy: float) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs nanoemox[people]")
    rest, speaks = (drawn(["a"], [(40, 10, 200)], (300, 220), [open_]) for open_ in (0.0, 0.9))
    face = load_detector().faces(rest)[0]
    moved = np.roll(rest, (2, 5), axis=(0, 1))
    trembling = face._replace(
        landmarks=face.landmarks + np.array([(5 + dx, 2 + dy), (5, 2), (5 - dx, 2 + dy), (5, 2 - dy)])
    )
    still = mouth_motion(cv2, (rest, moved), (face, trembling))
    assert mouth_motion(cv2, (rest, speaks), (face, face)) > 3 * still


def test_pauses_are_bridged() -> None:
    active = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 1], bool)
    assert stretches(active, [i / 10 for i in range(10)], 1.0) == [(0.0, 0.4), (0.9, 1.0)]

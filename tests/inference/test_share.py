"""Frames that may be passed on: no face that was found can be made out, and where that is not sure, nothing."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nanoemox.inference.share import shareable, unrecognisable
from nanoemox.people.detector import Detector, Face, load_detector
from tests.people.pictures import WALL, drawn

pytest.importorskip("cv2", reason="faces are found with OpenCV (nanoemox[people])")

PLACES = [(10, 20, 160), (420, 20, 160)]
SIZE = (600, 192)


@pytest.fixture(scope="module")
def blazeface() -> Detector:
    return load_detector()


@pytest.fixture(scope="module")
def pair() -> NDArray[np.uint8]:
    return drawn(["a", "b"], PLACES, SIZE)


def same(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (a == b).all(axis=2)


def test_faces_go_and_surroundings_stay(pair: NDArray[np.uint8], blazeface: Detector) -> None:
    [shown] = shareable([pair], blazeface)
    assert shown.shape == pair.shape and blazeface.faces(shown, closely=True) == []
    for face in blazeface.faces(pair):
        left, top, right, bottom = (int(value) for value in face.box)
        part, before = shown[top:bottom, left:right], pair[top:bottom, left:right]
        assert same(part, before).mean() < 0.1
        edges = [np.abs(np.diff(each.astype(int), axis=1)).mean() for each in (part, before)]
        assert edges[0] < 0.35 * edges[1]  # nothing sharp is left
    assert same(shown, pair)[:, 290:310].all() and (pair[:, 290:310] == WALL).all()


@pytest.mark.parametrize("missed", ["none", "one"])
def test_a_frame_in_which_a_face_is_missed_goes_as_a_whole(
    pair: NDArray[np.uint8], blazeface: Detector, missed: str
) -> None:
    """Every second frame is of a detector that misses a face, or all of them."""
    alone = drawn(["a"], PLACES[:1], SIZE)
    blind = [pair, drawn([], [], SIZE) if missed == "none" else alone]
    shown = shareable(blind, blazeface)
    assert np.array_equal(shown[1], unrecognisable(blind[1]))
    assert not np.array_equal(shown[0], unrecognisable(pair))


def test_a_face_that_only_the_mirrored_picture_shows(pair: NDArray[np.uint8]) -> None:
    """A detector that sees the left half alone, as one that knows heads of one side."""

    class Half(Detector):
        def faces(self, *given: Any, **named: Any) -> list[Face]:
            return [face for face in super().faces(*given, **named) if face.box[2] < SIZE[0] / 2]

    real = load_detector()
    [shown] = shareable([pair], Half("half", real.look))
    assert real.faces(shown) == []


def test_without_a_detector_everything_goes(pair: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert np.array_equal(shareable([pair])[0], unrecognisable(pair))


def test_nothing_can_be_computed_back(pair: NDArray[np.uint8]) -> None:
    """Pictures with the same means of their patches become the same."""
    stripes = np.zeros((100, 100, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.array_equal(unrecognisable(stripes), unrecognisable(np.ascontiguousarray(stripes[:, ::-1])))

"""Faces are found where they were drawn, and a detector that cannot be used says so in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from nanoemox.people import detector
from nanoemox.people.detector import Detector, PeopleError, load_detector, yunet_face
from tests.people.pictures import WALL, drawn, found

pytest.importorskip("cv2", reason="faces are found with OpenCV (nanoemox[people])")


@pytest.fixture(scope="module")
def blazeface() -> Detector:
    return load_detector()


def test_two_faces_in_a_wide_picture(blazeface: Detector) -> None:
    places = [(10, 20, 200), (380, 40, 180)]
    faces = blazeface.faces(drawn(["a", "b"], places, (640, 220)))
    assert len(faces) == 2
    assert all(any(found(face.box, place) for face in faces) for place in places)


def test_landmarks_lie_in_their_order(blazeface: Detector) -> None:
    [face] = blazeface.faces(drawn(["a"], [(0, 0, 240)], (240, 240)))
    left, right, nose, mouth = face.landmarks
    assert left[0] < nose[0] < right[0] and max(left[1], right[1]) < nose[1] < mouth[1]


def test_a_wall_has_no_face(blazeface: Detector) -> None:
    assert blazeface.faces(np.full((240, 320, 3), WALL, np.uint8), closely=True) == []


def test_tiny_pictures_have_no_face_and_do_no_harm(blazeface: Detector) -> None:
    for size in ((1, 1), (3, 400), (400, 3), (16, 16)):
        assert blazeface.faces(np.zeros((*size, 3), np.uint8), closely=True) == []


def test_thirty_faces_are_found_in_a_close_look(blazeface: Detector) -> None:
    places = [(20 + 205 * column, 10 + 140 * row, 140) for row in range(5) for column in range(6)]
    picture = drawn([f"p{i}" for i in range(30)], places, (1270, 720))
    faces = blazeface.faces(picture, closely=True)
    there = sum(any(found(face.box, place) for face in faces) for place in places)
    assert there >= 27
    assert sum(not any(found(face.box, place) for place in places) for face in faces) <= 2


def test_a_small_face_is_found_where_it_was(blazeface: Detector) -> None:
    place = (700, 300, 110)
    picture = drawn(["a"], [place], (1280, 720))
    [face] = blazeface.faces(picture, closely=True)
    near = blazeface.faces(picture, near=[face.box])
    assert any(found(each.box, place) for each in near)


def test_opencv_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(PeopleError, match=r"pip install 'opencv-python-headless<5'"):
        load_detector()


def test_a_damaged_blazeface_is_told_before_opencv_reads_it() -> None:
    with pytest.raises(PeopleError, match="damaged"):
        detector._blazeface(detector.opencv(), b"nothing of the kind")


@pytest.mark.parametrize("content", [b"", b"not a network", bytes(range(256)) * 40])
def test_a_damaged_yunet_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "face_detection_yunet_2023mar.onnx"
    file.write_bytes(content)
    with pytest.raises(PeopleError, match="YuNet") as caught:
        load_detector(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.onnx", "folder"])
def test_a_yunet_that_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(PeopleError, match="no such file"):
        load_detector(tmp_path / name)


def test_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"x")
    with pytest.raises(PeopleError, match=r"ends in \.onnx"):
        load_detector(tmp_path / "model.tflite")


def test_a_row_of_yunet() -> None:
    row = np.array([10, 20, 30, 40, 15, 30, 33, 30, 24, 40, 17, 50, 31, 52, 0.9], np.float32)
    face = yunet_face(row)
    assert face.box == (10, 20, 40, 60) and face.score == pytest.approx(0.9)
    assert face.landmarks.tolist() == [[15, 30], [33, 30], [24, 40], [24, 51]]

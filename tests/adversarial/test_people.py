"""Clips that are hard for whoever looks for people: rare frames, people who look alike, pictures of several sizes."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from nanoemox.media.clip import clip_of_arrays
from nanoemox.media.load import load_clip
from tests.people.pictures import drawn

pytest.importorskip("cv2", reason="needs nanoemox[people]")

from nanoemox.people.find import find_people

TWINS = [(0, 10, 220), (260, 10, 220)]  # the same face twice


@pytest.fixture(scope="module")
def twins() -> np.ndarray:
    return drawn(["a", "a"], TWINS, (480, 240))


def _jpegs(path: Path, pictures: list[np.ndarray], rate: Fraction) -> Path:
    """A video whose every frame is a JPEG of its own size."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p"
        for i, picture in enumerate(pictures):
            data = io.BytesIO()
            Image.fromarray(picture).save(data, "JPEG", quality=92, subsampling=2)
            packet = av.Packet(data.getvalue())
            packet.stream, packet.pts, packet.dts = stream, i, i
            packet.time_base, packet.is_keyframe = 1 / rate, True
            out.mux(packet)
    return path


@pytest.mark.parametrize("rate", [Fraction(5), Fraction(1), Fraction(1, 2)])
def test_people_who_look_alike_are_kept_apart_however_rare_the_frames(
    tmp_path: Path, twins: np.ndarray, rate: Fraction
) -> None:
    people = find_people(load_clip(_jpegs(tmp_path / "twins.mkv", [twins] * 5, rate)))
    assert len(people.persons) == 2 and not people.warnings
    for person in people.persons:
        lefts = [box[0] for _, box in person.boxes]
        assert len(lefts) == 5 and max(lefts) - min(lefts) < 0.05


def test_people_who_look_alike_are_found_in_frames_from_memory(twins: np.ndarray) -> None:
    people = find_people(clip_of_arrays(np.stack([twins] * 8), None))
    assert len(people.persons) == 2 and not people.warnings


def test_boxes_stay_where_the_faces_are_when_the_picture_changes_its_size(
    tmp_path: Path, twins: np.ndarray
) -> None:
    large = np.asarray(Image.fromarray(twins).resize((960, 480)))
    people = find_people(load_clip(_jpegs(tmp_path / "sizes.mkv", [twins] * 8 + [large] * 8, Fraction(8))))
    assert len(people.persons) == 2
    for person in people.persons:
        boxes = np.array([box for _, box in person.boxes])
        assert len(boxes) == 16 and boxes.max() <= 1.05
        assert np.ptp(boxes, axis=0).max() < 0.05


def test_who_is_seen_for_a_moment_only_is_not_told_as_nobody(tmp_path: Path, twins: np.ndarray) -> None:
    bare = np.full_like(twins, 140)
    people = find_people(
        load_clip(_jpegs(tmp_path / "flash.mkv", [bare] * 8 + [twins] + [bare] * 8, Fraction(8)))
    )
    assert not people.persons
    assert [warning.code for warning in people.warnings] == ["no_face"]
    assert "for a moment only" in people.warnings[0].text

"""The people of a clip: from a file, from frames, and where there is nobody, or one who leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nanoemox.media.clip import Clip, clip_of_arrays, empty_clip
from nanoemox.media.load import load_clip
from nanoemox.people.detector import Detector, PeopleError, load_detector
from nanoemox.people.find import MOST_PEOPLE, find_people
from tests.people.pictures import WALL, drawn, found, talking, voice, write

pytest.importorskip("cv2", reason="faces are found with OpenCV (nanoemox[people])")

PLACES = [(10, 20, 160), (220, 20, 160)]
SIZE = (400, 192)


@pytest.fixture(scope="module")
def blazeface() -> Detector:
    return load_detector()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people for 1.6 s; the right one talks, and leaves for the third quarter."""
    open_ = talking(1.6)
    frames = []
    for k, mouth in enumerate(open_):
        away = 0.5 <= k / len(open_) < 0.75
        who, places = (["a"], PLACES[:1]) if away else (["a", "b"], PLACES)
        frames.append(drawn(who, places, SIZE, [0.0, float(mouth)][: len(who)]))
    return write(tmp_path_factory.mktemp("pair") / "pair.mp4", frames, voice(1.6))


def test_who_speaks_comes_first_and_who_leaves_comes_back(pair: Path, blazeface: Detector) -> None:
    clip = load_clip(pair)
    people = find_people(clip, detector=blazeface)
    assert [person.name for person in people.persons] == ["person 1", "person 2"] and people.warnings == ()
    first, second = people.persons
    wide, high = SIZE
    for person, place in ((first, PLACES[1]), (second, PLACES[0])):
        assert all(
            found((box[0] * wide, box[1] * high, box[2] * wide, box[3] * high), place)
            for _, box in person.boxes
        )
        assert person.crops.shape == (8, 224, 224, 3) and person.aligned.shape == (8, 112, 112, 3)
    assert first.speaks and not second.speaks
    gaps = np.diff([at_s for at_s, _ in first.boxes])
    assert gaps.max() > 0.3 and len(first.boxes) < len(second.boxes)
    assert all(
        not 0.8 <= at_s < 1.2 for at_s in first.crop_times_s
    )  # while away, the crops are of other moments


def test_times_are_those_of_the_file(pair: Path, blazeface: Detector) -> None:
    clip = load_clip(pair, start_s=0.4, end_s=1.2)
    people = find_people(clip, 0.4, 1.2, blazeface)
    times = [at_s for person in people.persons for at_s, _ in person.boxes]
    assert min(times) >= 0.36 and max(times) < 1.2


def test_frames_in_memory(blazeface: Detector) -> None:
    frames = np.stack([drawn(["a", "b"], PLACES, SIZE)] * 8)
    people = find_people(clip_of_arrays(frames, None), detector=blazeface)
    assert len(people.persons) == 2 and people.looks == 8
    assert all(person.speech is None for person in people.persons)


def test_a_still_picture(tmp_path: Path, blazeface: Detector) -> None:
    from PIL import Image

    Image.fromarray(drawn(["a"], PLACES[:1], SIZE)).save(tmp_path / "still.png")
    people = find_people(load_clip(tmp_path / "still.png"), detector=blazeface)
    assert len(people.persons) == 1 and people.looks == 1


def test_no_face_is_said(blazeface: Detector) -> None:
    wall = np.full((8, 120, 160, 3), WALL, np.uint8)
    people = find_people(clip_of_arrays(wall, voice(1.0)), detector=blazeface)
    assert people.persons == () and [warning.code for warning in people.warnings] == ["no_face"]
    assert [warning.code for warning in find_people(empty_clip("none")).warnings] == ["no_face"]


def test_of_thirty_people_the_largest_are_kept(blazeface: Detector) -> None:
    places = [(20 + 205 * column, 10 + 140 * row, 140) for row in range(5) for column in range(6)]
    frame = drawn([f"p{i}" for i in range(30)], places, (1270, 720))
    people = find_people(clip_of_arrays(frame[None], None), detector=blazeface)
    assert len(people.persons) == MOST_PEOPLE
    [left_out] = people.warnings
    assert left_out.code == "people_left_out" and int(left_out.text.split()[0]) >= 27


def test_a_long_clip_is_refused(blazeface: Detector) -> None:
    frames = np.zeros((8, 32, 32, 3), np.uint8)
    clip: Clip = replace(clip_of_arrays(frames, None), duration_s=3600.0, path="day.mp4")
    with pytest.raises(PeopleError, match=r"day\.mp4.*120 s.*start and an end"):
        find_people(clip, detector=blazeface)

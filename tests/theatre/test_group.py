"""Several people in one picture: what is said of them is what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.theatre.group import GroupClip, perform_group, stage_group
from nanoemox.theatre.make import _code_stamp


@pytest.fixture(scope="module")
def pair() -> GroupClip:
    return perform_group(stage_group(0, 0, "test", 2))


def test_a_group_is_the_same_each_time() -> None:
    group = stage_group(3, 1, "val", 3, "leave")
    assert group == stage_group(3, 1, "val", 3, "leave")
    assert len({script.person_id for script in group.scripts}) == 3
    assert {(script.place, script.prop, script.light) for script in group.scripts} == {
        (group.scripts[0].place, group.scripts[0].prop, group.scripts[0].light)
    }


def test_the_face_is_where_the_box_says(pair: GroupClip) -> None:
    # The pixels in a face's box move, at least when eyes blink and heads sway; the upper corners of the picture do not.
    still = pair.frames[:, :20, :20].astype(float).std(axis=0).mean()
    for left, top, right, bottom in pair.boxes[0].astype(int):
        moving = pair.frames[:, top:bottom, left:right].astype(float).std(axis=0).mean()
        assert moving > 1.3 * still


def test_only_the_speaker_moves_the_mouth() -> None:
    group = stage_group(0, 0, "test", 2)
    clip = perform_group(group)
    lo, hi = (round(at * 25) for at in clip.speech_s)
    motion = []
    for left, top, right, bottom in clip.boxes[0].astype(int):
        mouth = clip.frames[lo:hi, round(top + 0.7 * (bottom - top)) : bottom, left:right].astype(float)
        motion.append(np.abs(np.diff(mouth, axis=0)).mean())
    assert int(np.argmax(motion)) == group.speaker


def test_who_crosses_changes_places() -> None:
    clip = perform_group(stage_group(0, 0, "test", 2, "cross"))
    first, last = clip.boxes[0], clip.boxes[-1]
    assert first[0, 0] < first[1, 0] and last[0, 0] > last[1, 0]
    assert not clip.facing[:, 0].all() and clip.facing[:, 1].all()  # the first one passes behind


def test_who_leaves_comes_back() -> None:
    clip = perform_group(stage_group(1, 0, "test", 2, "leave"))
    away = ~clip.facing[:, -1]
    assert away.any() and not away[0] and not away[-1]
    assert clip.boxes[len(clip.boxes) // 2, -1, 0] > clip.frames.shape[2]


@pytest.mark.parametrize(("people", "moves"), [(0, "stay"), (7, "stay"), (1, "cross")])
def test_impossible_groups_are_refused(people: int, moves: str) -> None:
    with pytest.raises(ArgumentError, match="people"):
        stage_group(0, 0, "test", people, moves)  # type: ignore[arg-type]


def test_clips_of_one_person_are_not_staged_anew() -> None:
    # The stamp of a finished clip hashes the code that draws it; this file does not draw it.
    from nanoemox.theatre import make

    assert "group" in make._WRITING_CODE and _code_stamp()

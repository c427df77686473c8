"""Theatre's pictures: every cue can be seen at 96 px, what is hidden cannot, and nothing covers the prop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nanoemox.theatre import world
from nanoemox.theatre.actor import AU_NAMES, EXPRESSIONS, Actor, Camera, Person, Pose, expression
from nanoemox.theatre.scenery import LIGHTS, PLACES, PROP_X, PROPS, draw_scene

SIZE = 192
WALL = np.full((SIZE, SIZE, 3), 190, np.uint8)
PLAIN = Camera()


def frame(person: str, pose: Pose, camera: Camera = PLAIN) -> np.ndarray:
    return Actor(Person.from_id(person), SIZE).draw(pose, WALL, camera, np.random.default_rng(0))


def small(picture: np.ndarray) -> np.ndarray:
    """As a small encoder gets it: 96 px, float."""
    return np.asarray(Image.fromarray(picture).resize((96, 96), Image.Resampling.BOX), np.float32)


def showing(group: str, optional: bool = False, strength: float = 0.95) -> Pose:
    return Pose(**expression(group, optional, strength))


def visible(person: str, pose: Pose, than: Pose | None = None) -> float:
    """How far two poses differ at 96 px: mean grey level differences summed over the pixels, in hundreds."""
    other = small(frame(person, than or Pose()))
    return float(np.abs(small(frame(person, pose)) - other).mean(2).sum() / 100)


def test_a_person_is_the_same_every_time_and_unlike_the_others():
    assert Person.from_id("ann") == Person.from_id("ann")
    crowd = [Person.from_id(f"person {k}") for k in range(60)]
    assert len({p.skin for p in crowd}) > 50
    assert len({p.hair_style for p in crowd}) >= 8
    assert {p.glasses > 0 for p in crowd} == {p.beard > 0 for p in crowd} == {True, False}
    assert np.std([p.brow_rest for p in crowd]) > 0.005  # still faces differ as well
    assert np.std([p.mouth_rest for p in crowd]) > 0.005


def test_a_frame_is_an_rgb_picture_and_repeatable():
    camera = Camera(zoom=1.05, shift_x=0.1, exposure=0.8, tint=(1.05, 1.0, 0.95), noise=4, blur=0.5)
    one, two = (frame("ann", showing("smile"), camera) for _ in range(2))
    assert one.shape == (SIZE, SIZE, 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, two)
    small_actor = Actor(Person.from_id("ann"), 96)
    assert small_actor.draw(Pose(), WALL, PLAIN, np.random.default_rng(0)).shape == (96, 96, 3)


@pytest.mark.parametrize("unit", AU_NAMES)
def test_every_action_unit_can_be_seen(unit):
    rest = {"au9": Pose(au4=0.5), "au7": Pose(au4=0.5)}.get(unit, Pose())
    assert visible("ann", replace(rest, **{unit: 1.0}), rest) > 3


@pytest.mark.parametrize("field", ["gaze_x", "gaze_y", "yaw", "pitch", "roll", "speech", "hand"])
def test_every_other_movement_can_be_seen(field):
    assert visible("ann", Pose(**{field: 0.5})) > 2


def test_expressions_cover_the_groups_of_the_world():
    assert set(EXPRESSIONS) == set(world.FACE_CUES)
    with pytest.raises(ValueError, match="expected a face group"):
        expression("grin", False, 1.0)


@pytest.mark.parametrize("group", ["smile", "wide", "frown", "droop"])
def test_mild_and_strong_differ_from_each_other_and_from_a_still_face(group):
    for k in range(12):
        still_to_mild = visible(f"p{k}", showing(group, strength=0.62))
        mild_to_strong = visible(f"p{k}", showing(group, strength=0.95), showing(group, strength=0.62))
        assert still_to_mild > 15 and mild_to_strong > 10, (k, still_to_mild, mild_to_strong)


@pytest.mark.parametrize("group", [g for g, (_, extra) in world.FACE_CUES.items() if extra])
def test_optional_cues_are_seen_even_when_mild(group):
    for k in range(12):
        assert visible(f"p{k}", showing(group, True, 0.6), showing(group, False, 0.6)) > 10


def test_unseen_people_are_read_by_how_their_face_differs_from_rest():
    groups = ["smile", "wide", "frown", "droop"]

    def change(person: str, group: str, strength: float) -> np.ndarray:
        moved = small(frame(person, showing(group, strength=strength))) - small(frame(person, Pose()))
        return moved.mean(2)[20:76, 24:72].ravel()

    known = {g: np.mean([change(f"known {k}", g, 0.8) for k in range(20)], 0) for g in groups}
    right = [
        max(groups, key=lambda g, seen=seen: float(seen @ known[g] / np.linalg.norm(known[g]))) == group
        for k in range(15)
        for group in groups
        for seen in [change(f"new {k}", group, 0.6 if k % 2 else 0.95)]
    ]
    assert np.mean(right) > 0.95


def test_a_hidden_face_tells_nothing():
    for k in range(8):
        for optional in (False, True):
            hidden = expression("hidden", optional, 0.6)
            still = frame(f"p{k}", Pose(**hidden))
            for group in ("smile", "wide", "frown", "droop"):
                other = frame(f"p{k}", Pose(**{**expression(group, False, 1.0), **hidden}))
                assert np.abs(still.astype(int) - other).max() <= 2, (k, optional, group)


def test_speaking_opens_the_mouth_less_than_surprise():
    talking, astonished = visible("ann", Pose(speech=1.0)), visible("ann", Pose(au26=1.0))
    assert 3 < talking < 0.6 * astonished


@pytest.mark.parametrize("place", PLACES)
def test_scenes_have_every_prop_on_one_side_and_the_actor_leaves_it_free(place):
    rng = np.random.default_rng(len(place))
    for number, prop in enumerate(PROPS):
        scene = draw_scene(place, prop, LIGHTS[number % 2], SIZE, rng)
        side = scene.info["prop_side"]
        assert scene.size == (SIZE, SIZE) and scene.mode == "RGB" and side in ("left", "right")
        camera = replace(Camera.for_scene(scene, rng), exposure=1.0, tint=(1, 1, 1), noise=0.0, blur=0.0)
        actor = Actor(Person.from_id(f"{place} {prop}"), SIZE)
        shown = actor.draw(Pose(au12=0.5), scene, camera, rng).astype(int)
        half = 0.13 if side == "left" else -0.13
        middle = PROP_X if side == "left" else 1 - PROP_X
        columns = sorted((round((middle - half) * SIZE), round((middle + half) * SIZE)))
        box = np.s_[20 : round(0.76 * SIZE), columns[0] : columns[1]]
        assert np.abs(shown[box] - np.asarray(scene).astype(int)[box]).mean() < 4, (prop, side)


def test_a_scene_without_a_prop_and_its_light():
    bright, dim = (draw_scene("office", "", light, SIZE, np.random.default_rng(1)) for light in LIGHTS)
    assert bright.info["prop_side"] == ""
    assert np.asarray(dim).mean() < 0.9 * np.asarray(bright).mean()


def test_unknown_names_are_refused_by_name():
    rng = np.random.default_rng(0)
    for place, prop, light, wanted in (
        ("moon", "trophy", "dim", "place"),
        ("stage", "moon", "dim", "prop"),
        ("stage", "trophy", "moon", "light"),
    ):
        with pytest.raises(ValueError, match=f"expected a {wanted} of .*got 'moon'"):
            draw_scene(place, prop, light, 64, rng)
    with pytest.raises(ValueError, match="at least 32"):
        Actor(Person.from_id("ann"), 8)

"""Single pictures of the world for a scene encoder to learn from, cheap beside clips.

They show every prop in every place, as the pictures of the web do for the encoder that this one stands in for. Clips
of a split show only their own pairs (`script.pair_split`): what is learned from clips has to carry over to other pairs.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nanoemox.theatre import world
from nanoemox.theatre.actor import Actor, Camera, Pose, expression
from nanoemox.theatre.people import Person
from nanoemox.theatre.scenery import draw_scene
from nanoemox.theatre.script import PEOPLE


class Still(NamedTuple):
    """What a picture shows."""

    place: str
    prop: str
    light: str


def stage_still(index: int, seed: int) -> Still:
    """What the picture number `index` shows; places, props and lights are independent and equally frequent."""
    rng = random.Random(f"still/{seed}/{index}")
    return Still(rng.choice(world.PLACES), rng.choice(world.PROPS), rng.choice(world.LIGHTS))


def draw_still(index: int, seed: int, size: int) -> NDArray[np.uint8]:
    """The picture itself, [size, size, 3]: someone of the training split before the scene, with some expression."""
    rng = random.Random(f"still/{seed}/{index}/drawn")
    generator = np.random.default_rng(rng.getrandbits(63))
    scene = draw_scene(*stage_still(index, seed), size, generator)
    person = Person.from_id(f"train-person-{rng.randrange(PEOPLE['train']):04d}")
    face = rng.choice(sorted(world.FACE_CUES))
    pose = Pose(**expression(face, rng.random() < world.OPTIONAL_SHARE, rng.uniform(0.0, 1.0)))
    return Actor(person, size).draw(pose, scene, Camera.for_scene(scene, generator), generator)

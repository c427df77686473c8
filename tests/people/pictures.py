"""Pictures with drawn faces whose places are known, and files made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nanoemox.theatre.actor import HEAD_HEIGHT, HEAD_Y, Actor, Camera, Pose
from nanoemox.theatre.people import Person
from nanoemox.theatre.render import write_clip

WALL = (150, 170, 190)
Place = tuple[int, int, int]  # left, top, side of a person's square


def drawn(
    who: Sequence[str], places: Sequence[Place], size: tuple[int, int], speech: Sequence[float] = ()
) -> NDArray[np.uint8]:
    """A picture [H, W, 3] of people in their squares; `size` is (width, height)."""
    picture = Image.new("RGB", size, WALL)
    for i, (name, (left, top, side)) in enumerate(zip(who, places, strict=True)):
        box = (left, top, left + side, top + side)
        pose = Pose(speech=speech[i] if speech else 0.0)
        frame = Actor(Person.from_id(name), side).draw(
            pose, picture.crop(box), Camera(), np.random.default_rng(0)
        )
        picture.paste(Image.fromarray(frame), box[:2])
    return np.asarray(picture)


def middle(place: Place) -> tuple[float, float]:
    """Where the middle of the face is."""
    left, top, side = place
    return left + side / 2, top + HEAD_Y * side


def found(box: Sequence[float], place: Place) -> bool:
    """Whether a box lies on the face in this square."""
    x, y = middle(place)
    size = HEAD_HEIGHT * place[2]
    inside = box[0] < x < box[2] and box[1] < y + 0.15 * size < box[3]
    return inside and 0.3 * size < box[3] - box[1] < 1.5 * size


def talking(seconds: float, hz: float = 25.0) -> NDArray[np.float64]:
    """How far a talking mouth is open at each frame."""
    at = np.arange(round(seconds * hz)) / hz
    return np.abs(np.sin(2 * np.pi * 2.2 * at)) * 0.9


def voice(seconds: float, rate_hz: int = 16_000) -> NDArray[np.float32]:
    """Something to hear for as long as the mouth talks."""
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.4 * np.sin(2 * np.pi * 180 * at)).astype(np.float32)


def write(path: Path, frames: Sequence[NDArray[np.uint8]], sound: NDArray[np.float32]) -> Path:
    """A file of these frames, 25 a second."""
    write_clip(path, np.stack(frames), sound)
    return path

"""Who stands on the stage: looks drawn from a hash of the person's id, so identity is continuous, wide and
repeatable.

Nothing here depends on a label. A neutral face differs between people too (how high the brows rest, how the
closed mouth bends, how far the lids hang), so that an expression can only be read against the face that
wears it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

RGB: TypeAlias = tuple[int, int, int]

HAIR_STYLES = (
    "bald",
    "cropped",
    "side part",
    "fringe",
    "curls",
    "bob",
    "long",
    "bun",
    "spikes",
    "scarf",
    "cap",
)
GLASSES = ("none", "round", "square")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
COLLARS = ("round", "vee", "shirt", "turtleneck", "stripes")

_SKINS = (
    (250, 220, 196),
    (244, 204, 172),
    (230, 180, 140),
    (208, 152, 110),
    (176, 120, 82),
    (140, 92, 62),
    (112, 74, 52),
)
_HAIRS = (
    (28, 24, 26),
    (58, 40, 32),
    (96, 62, 38),
    (142, 92, 50),
    (196, 150, 84),
    (228, 198, 132),
    (164, 70, 36),
    (150, 148, 150),
)
_EYES = ((66, 44, 30), (98, 66, 36), (72, 96, 60), (60, 104, 140), (92, 108, 116))


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """The colour `share` of the way from `a` to `b`."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def luminance(colour: RGB) -> float:
    """Perceived lightness of an RGB colour, 0 to 255 (Rec. 601)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def hsv(hue: float, saturation: float, value: float) -> RGB:
    """RGB of a colour given by hue (in turns), saturation and value, each 0 to 1."""
    channels = [(abs((hue * 6 + k) % 6 - 3) - 1) for k in (0, 4, 2)]
    r, g, b = (round(255 * value * (1 - saturation + saturation * min(max(c, 0.0), 1.0))) for c in channels)
    return (r, g, b)


def seeded(text: str) -> np.random.Generator:
    """A generator that depends on `text` alone, the same on every machine."""
    return np.random.default_rng(
        int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    )


def _along(palette: tuple[RGB, ...], rng: np.random.Generator, spread: float) -> RGB:
    """A colour from anywhere along a palette, jittered by `spread` per channel."""
    place = rng.random() * (len(palette) - 1)
    base = mix(palette[int(place)], palette[int(place) + 1], place % 1)
    r, g, b = (int(np.clip(c + rng.normal(0, spread), 12, 250)) for c in base)
    return (r, g, b)


@dataclass(frozen=True)
class Person:
    """One person's looks. Lengths are in head heights; `brow_rest`, `mouth_rest` and `lid_rest` shape the
    still face."""

    id: str
    skin: RGB
    hair_colour: RGB
    shirt: RGB
    eye_colour: RGB
    lip: RGB
    accent: RGB
    hair_style: int
    face_width: float
    face_height: float
    jaw: float
    eye_size: float
    eye_spacing: float
    eye_tilt: float
    brow_thickness: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_width: float
    lip_fullness: float
    ear_size: float
    shoulders: float
    brow_rest: float
    mouth_rest: float
    lid_rest: float
    glasses: int
    beard: int
    collar: int
    freckles: bool
    earrings: bool
    shade_side: int

    @classmethod
    def from_id(cls, person_id: str) -> Person:
        """The person behind an id: always the same looks for the same id."""
        rng = seeded(f"person/{person_id}")
        skin = _along(_SKINS, rng, 2.5)
        dyed = rng.random() < 0.1
        hair = hsv(rng.random(), 0.55, 0.7) if dyed else _along(_HAIRS, rng, 8)
        lip = mix(mix(skin, (176, 62, 66), 0.42 + 0.25 * rng.random()), (120, 20, 40), 0.15 * rng.random())
        bearded = rng.random() < 0.32
        return cls(
            id=person_id,
            skin=skin,
            hair_colour=hair,
            shirt=hsv(rng.random(), rng.uniform(0.1, 0.65), rng.uniform(0.3, 0.88)),
            eye_colour=_along(_EYES, rng, 6),
            lip=lip,
            accent=hsv(rng.random(), rng.uniform(0.3, 0.8), rng.uniform(0.35, 0.9)),
            hair_style=int(
                rng.choice(
                    len(HAIR_STYLES), p=(0.06, 0.12, 0.13, 0.11, 0.11, 0.11, 0.13, 0.08, 0.06, 0.05, 0.04)
                )
            ),
            face_width=rng.uniform(0.335, 0.395),
            face_height=rng.uniform(0.96, 1.04),
            jaw=rng.uniform(0.5, 0.92),
            eye_size=rng.uniform(0.9, 1.15),
            eye_spacing=rng.uniform(0.155, 0.18),
            eye_tilt=rng.uniform(-0.012, 0.014),
            brow_thickness=rng.uniform(0.03, 0.047),
            brow_arch=rng.uniform(0.008, 0.03),
            nose_length=rng.uniform(0.12, 0.165),
            nose_width=rng.uniform(0.045, 0.075),
            mouth_width=rng.uniform(0.125, 0.155),
            lip_fullness=rng.uniform(0.012, 0.026),
            ear_size=rng.uniform(0.07, 0.1),
            shoulders=rng.uniform(0.62, 0.8),
            brow_rest=rng.uniform(-0.014, 0.014),
            mouth_rest=rng.uniform(-0.014, 0.014),
            lid_rest=rng.uniform(-0.1, 0.1),
            glasses=int(rng.choice(len(GLASSES), p=(0.72, 0.15, 0.13))),
            beard=int(rng.choice((1, 2, 3, 4))) if bearded else 0,
            collar=int(rng.integers(len(COLLARS))),
            freckles=bool(rng.random() < 0.15),
            earrings=bool(rng.random() < 0.2),
            shade_side=int(rng.choice((-1, 1))),
        )

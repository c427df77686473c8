"""Where a clip happens and what caused it: eight places and, beside the actor's head, one prop.

A place is told by its furniture; wall colours, layout and details vary within a place and mean nothing. The
prop is the only thing in the picture that shows the cause. The picture's `info` says what a camera needs to
know of it: `prop_side` ("left", "right" or "") and `light`; `Camera.for_scene` moves the head to the other
side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from nanoemox.theatre.painter import INK, WHITE, Painter
from nanoemox.theatre.people import RGB, hsv, mix
from nanoemox.theatre.props import draw_prop
from nanoemox.theatre.world import LIGHTS, PLACES, PROPS

__all__ = ["LIGHTS", "PLACES", "PROPS", "draw_scene"]

PROP_X = 0.172  # of the prop's middle from the nearer edge, in frame widths
PROP_WIDTH = (0.31, 0.345)
_STANDING_Y = (0.46, 0.6)  # of the prop's middle when it stands on something, in frame heights
_HANGING_Y = (0.26, 0.4)  # when it hangs
_HANGING = ("late clock", "lightning", "spider")
_OVERSAMPLING = 2


def _wall(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.05, 0.32),
    value: tuple[float, float] = (0.68, 0.95),
) -> RGB:
    return hsv(rng.random(), rng.uniform(*saturation), rng.uniform(*value))


def _wood(rng: np.random.Generator) -> RGB:
    return mix((196, 150, 100), (92, 58, 38), rng.random())


def _kitchen(p: Painter, rng: np.random.Generator) -> None:
    wall, door = _wall(rng), _wall(rng, (0.1, 0.5), (0.45, 0.9))
    p.rect(0, 0, 1, 1, wall)
    tile, step = mix(wall, WHITE, 0.4), rng.uniform(0.085, 0.12)
    for k in range(13):  # tiles
        p.line([(k * step, 0.2), (k * step, 0.8)], 0.008, tile)
        p.line([(0, 0.2 + k * step), (1, 0.2 + k * step)], 0.008, tile)
    p.rect(0, 0, 1, 0.17, door)  # cupboards
    wide = rng.uniform(0.18, 0.26)
    for k in range(7):
        p.rect(
            k * wide - 0.05,
            0.01,
            (k + 1) * wide - 0.07,
            0.155,
            mix(door, WHITE, 0.18),
            edge=mix(door, INK, 0.3),
            width=0.008,
        )
        p.disc((k + 1) * wide - 0.1, 0.13, 0.012, None, INK)
    p.rect(0, 0.19, 1, 0.205, (150, 150, 155))
    for k in range(6):  # pans and ladles on a rail
        x = 0.06 + 0.175 * k + rng.uniform(-0.03, 0.03)
        p.line([(x, 0.2), (x, 0.27)], 0.014, INK)
        if rng.random() < 0.6:
            p.disc(x, 0.31, 0.05, 0.045, mix(_wall(rng, (0.1, 0.7), (0.3, 0.7)), INK, 0.3))
        else:
            p.disc(x, 0.28, 0.02, 0.028, (180, 180, 188))
    p.rect(0, 0.8, 1, 1, mix(door, INK, 0.25))
    p.rect(0, 0.77, 1, 0.81, _wood(rng))


def _office(p: Painter, rng: np.random.Generator) -> None:
    wall = _wall(rng, (0.02, 0.2))
    p.rect(0, 0, 1, 1, wall)
    p.rect(0, 0, 1, 0.04, mix(wall, WHITE, 0.5))
    for x in (0.08, 0.4, 0.72):  # ceiling lights
        p.rect(x, 0.01, x + 0.2, 0.03, WHITE)
    slat = mix(_wall(rng, (0.05, 0.3)), WHITE, 0.4)
    p.rect(0.27, 0.06, 0.73, 0.5, (150, 185, 210))
    for k in range(9):  # blinds
        p.rect(0.27, 0.07 + 0.05 * k, 0.73, 0.095 + 0.05 * k, slat)
    for x in (0.0, 0.77):  # shelves of binders
        p.rect(x, 0.08, x + 0.23, 0.66, mix(wall, INK, 0.3))
        for row in range(3):
            y = 0.1 + 0.185 * row
            at = x + 0.012
            while at < x + 0.2:
                w = rng.uniform(0.022, 0.035)
                p.rect(at, y + rng.uniform(0, 0.02), at + w, y + 0.16, _wall(rng, (0.3, 0.8), (0.4, 0.9)))
                p.rect(at + 0.25 * w, y + 0.06, at + 0.75 * w, y + 0.1, WHITE)
                at += w + 0.006
    p.rect(0, 0.78, 1, 1, mix((150, 152, 160), _wood(rng), rng.random()))


def _street(p: Painter, rng: np.random.Generator) -> None:
    p.rect(0, 0, 1, 1, mix((120, 180, 230), (226, 190, 170), rng.random() * 0.8))
    x = -0.05
    while x < 1:
        w, top = rng.uniform(0.2, 0.32), rng.uniform(0.02, 0.24)
        front = mix(_wall(rng, (0.1, 0.5), (0.4, 0.85)), (150, 90, 70), 0.3)
        p.rect(x, top, x + w, 0.82, front)
        p.rect(x, top, x + w, top + 0.02, mix(front, INK, 0.4))
        glass = (250, 226, 140) if rng.random() < 0.4 else (80, 104, 130)
        for wy in np.arange(top + 0.06, 0.6, 0.13):
            for wx in np.arange(x + 0.03, x + w - 0.05, 0.085):
                p.rect(wx, wy, wx + 0.045, wy + 0.075, glass, edge=mix(front, WHITE, 0.5), width=0.008)
        x += w
    p.rect(0, 0.8, 1, 1, (104, 104, 112))
    p.rect(0, 0.8, 1, 0.84, (176, 172, 168))
    for k in range(5):
        p.rect(0.05 + 0.23 * k, 0.91, 0.16 + 0.23 * k, 0.93, (236, 232, 200))
    lamp = 0.06 if rng.random() < 0.5 else 0.94
    p.line([(lamp, 0.82), (lamp, 0.14)], 0.022, (40, 44, 50))
    p.disc(lamp, 0.11, 0.04, 0.045, (255, 240, 180))


def _living_room(p: Painter, rng: np.random.Generator) -> None:
    wall = _wall(rng, (0.15, 0.5))
    p.rect(0, 0, 1, 1, wall)
    stripe = mix(wall, WHITE, 0.2)
    if rng.random() < 0.6:
        for k in range(10):
            p.rect(0.1 * k, 0, 0.1 * k + 0.04, 0.8, stripe)
    for x, y, w, h in (
        (0.05, 0.06, 0.17, 0.14),
        (0.3, 0.04, 0.14, 0.17),
        (0.56, 0.06, 0.18, 0.12),
        (0.8, 0.05, 0.14, 0.17),
    ):
        x += rng.uniform(-0.03, 0.03)
        p.rect(x, y, x + w, y + h, mix(_wall(rng, (0.2, 0.6)), WHITE, 0.2), edge=_wood(rng), width=0.018)
        p.shape(
            [(x + 0.02, y + h - 0.02), (x + w / 2, y + 0.04), (x + w - 0.02, y + h - 0.02)],
            _wall(rng, (0.3, 0.7), (0.4, 0.8)),
        )
    sofa = _wall(rng, (0.3, 0.75), (0.35, 0.8))
    p.round(-0.04, 0.58, 1.04, 0.95, 0.08, sofa)
    p.line([(0.5, 0.6), (0.5, 0.86)], 0.012, mix(sofa, INK, 0.3))
    for x in (-0.04, 0.86):
        p.round(x, 0.68, x + 0.18, 1.05, 0.06, mix(sofa, INK, 0.18))
    for x in (0.14, 0.72):
        p.round(x, 0.66, x + 0.15, 0.83, 0.04, _wall(rng, (0.4, 0.8), (0.6, 0.95)))
    p.rect(0, 0.95, 1, 1, _wood(rng))
    lamp = 0.5 + rng.choice((-1, 1)) * rng.uniform(0.36, 0.42)
    p.line([(lamp, 0.3), (lamp, 0.62)], 0.016, INK)
    p.shape(
        [(lamp - 0.05, 0.22), (lamp + 0.05, 0.22), (lamp + 0.09, 0.34), (lamp - 0.09, 0.34)], (255, 232, 170)
    )


def _station(p: Painter, rng: np.random.Generator) -> None:
    p.rect(0, 0, 1, 1, mix((150, 160, 170), _wall(rng), 0.35))
    for k in range(6):  # roof trusses
        p.line([(0.2 * k - 0.1, 0.12), (0.2 * k, 0.0), (0.2 * k + 0.1, 0.12)], 0.014, (84, 90, 98))
    p.rect(0, 0.115, 1, 0.135, (84, 90, 98))
    train = _wall(rng, (0.45, 0.85), (0.45, 0.85))
    p.round(-0.1, 0.26, 1.1, 0.78, 0.06, mix(train, WHITE, 0.65))
    p.rect(-0.1, 0.56, 1.1, 0.67, train)
    off = rng.uniform(-0.12, 0.05)
    for k in range(6):
        x = off + 0.21 * k
        p.round(x, 0.32, x + 0.16, 0.5, 0.025, (56, 70, 90))
        p.line([(x + 0.04, 0.48), (x + 0.09, 0.34)], 0.012, (110, 130, 150))
    p.rect(0, 0.78, 1, 0.84, (60, 60, 66))
    p.rect(0, 0.84, 1, 1, (168, 164, 158))
    p.rect(0, 0.87, 1, 0.9, (244, 208, 60))
    x = rng.uniform(0.3, 0.5)
    p.rect(x, 0.13, x + 0.24, 0.22, (24, 40, 90))
    for k in range(3):
        p.rect(x + 0.02, 0.145 + 0.024 * k, x + rng.uniform(0.1, 0.22), 0.157 + 0.024 * k, (255, 210, 70))


def _hospital(p: Painter, rng: np.random.Generator) -> None:
    wall = mix(_wall(rng, (0.03, 0.16), (0.86, 0.97)), (206, 232, 226), 0.4)
    p.rect(0, 0, 1, 1, wall)
    p.rect(0, 0.62, 1, 0.66, mix(wall, (60, 140, 140), 0.5))
    cloth = mix(_wall(rng, (0.15, 0.4), (0.7, 0.9)), (120, 190, 190), 0.4)
    right = rng.random() < 0.5
    x0 = 0.56 if right else 0.0
    p.rect(0, 0.06, 1, 0.075, (150, 156, 164))
    for k in range(8):  # curtain on a rail
        x = x0 + 0.055 * k
        p.rect(x, 0.075, x + 0.055, 0.86, mix(cloth, INK, 0.14 * (k % 2)))
    pole = 0.3 if right else 0.7
    p.line([(pole, 0.1), (pole, 0.95)], 0.016, (140, 146, 156))
    p.line([(pole - 0.06, 0.12), (pole + 0.06, 0.12)], 0.016, (140, 146, 156))
    p.round(pole - 0.09, 0.13, pole - 0.01, 0.27, 0.02, (214, 236, 246))
    p.rect(pole - 0.09, 0.2, pole - 0.01, 0.26, (150, 200, 226))
    x = rng.uniform(0.04, 0.12) if right else rng.uniform(0.74, 0.82)
    p.rect(x, 0.1, x + 0.15, 0.25, WHITE)
    p.rect(x + 0.055, 0.115, x + 0.095, 0.235, (214, 50, 56))
    p.rect(x + 0.02, 0.155, x + 0.13, 0.195, (214, 50, 56))
    p.rect(0, 0.86, 1, 1, (196, 204, 204))
    p.round(-0.05, 0.76, 1.05, 0.94, 0.04, WHITE)


def _classroom(p: Painter, rng: np.random.Generator) -> None:
    p.rect(0, 0, 1, 1, _wall(rng, (0.08, 0.35)))
    board = mix((34, 84, 62), (40, 50, 56), rng.random())
    p.rect(0.02, 0.03, 0.98, 0.6, board, edge=_wood(rng), width=0.028)
    chalk = mix(board, WHITE, 0.75)
    for x, y in ((0.08, 0.09), (0.36, 0.07), (0.7, 0.1), (0.08, 0.36), (0.72, 0.38)):
        x, y = x + rng.uniform(-0.02, 0.03), y + rng.uniform(-0.01, 0.03)
        kind = rng.integers(3)
        if kind == 0:  # a sum
            p.line([(x, y + 0.03), (x + 0.05, y + 0.03)], 0.012, chalk)
            p.line([(x + 0.025, y), (x + 0.025, y + 0.06)], 0.012, chalk)
            p.line([(x + 0.08, y), (x + 0.12, y), (x + 0.08, y + 0.06), (x + 0.13, y + 0.06)], 0.012, chalk)
        elif kind == 1:  # a figure
            p.line([(x, y + 0.1), (x + 0.08, y), (x + 0.16, y + 0.1), (x, y + 0.1)], 0.012, chalk)
        else:  # words
            for k in range(3):
                p.line(
                    [(x + 0.035 * j, y + 0.045 * k + 0.01 * (j % 2)) for j in range(int(rng.integers(4, 7)))],
                    0.012,
                    chalk,
                )
    p.rect(0.1, 0.595, 0.9, 0.625, _wood(rng))
    desk = _wood(rng)
    for x in (-0.06, 0.38, 0.8):
        p.rect(x, 0.8, x + 0.3, 0.86, desk)
        p.rect(x + 0.03, 0.86, x + 0.06, 1, mix(desk, INK, 0.4))
        p.rect(x + 0.24, 0.86, x + 0.27, 1, mix(desk, INK, 0.4))


def _stage(p: Painter, rng: np.random.Generator) -> None:
    back = mix((40, 30, 60), _wall(rng, (0.3, 0.7), (0.2, 0.5)), 0.5)
    p.rect(0, 0, 1, 1, back)
    for x in (0.3, 0.5, 0.7):  # beams of light
        lean = rng.uniform(-0.2, 0.2)
        p.shape(
            [(x - 0.02, 0.05), (x + 0.02, 0.05), (x + lean + 0.15, 0.82), (x + lean - 0.15, 0.82)],
            mix(back, (255, 240, 190), 0.28),
        )
    cloth = mix((176, 30, 44), _wall(rng, (0.6, 0.9), (0.35, 0.75)), rng.random() * 0.5)
    for k in range(5):  # curtains
        for s in (0, 1):
            x = 0.052 * k if not s else 0.948 - 0.052 * k
            foot = 0.04 * (4 - k) * (1 if s else -1) * 0.5
            p.shape(
                [(x, 0), (x + 0.052, 0), (x + 0.052 + foot, 0.85), (x + foot, 0.85)],
                mix(cloth, INK, 0.28 * (k % 2)),
            )
    for k in range(6):
        p.disc(0.083 + 0.167 * k, 0.05, 0.09, 0.1, mix(cloth, INK, 0.18 * (k % 2)))
    for k in range(6):
        p.arc(0.083 + 0.167 * k, 0.05, 0.09, 0.1, 0, 180, 0.014, (236, 196, 90))
    floor = _wood(rng)
    p.rect(0, 0.82, 1, 1, floor)
    for k in range(8):
        p.line([(0.14 * k, 0.82), (0.5 + (0.14 * k - 0.5) * 1.5, 1)], 0.008, mix(floor, INK, 0.35))


_DRAWINGS: dict[str, Callable[[Painter, np.random.Generator], None]] = {
    "kitchen": _kitchen,
    "office": _office,
    "street": _street,
    "living room": _living_room,
    "station": _station,
    "hospital": _hospital,
    "classroom": _classroom,
    "stage": _stage,
}


def _set_prop(image: Image.Image, prop: str, size: int, rng: np.random.Generator) -> str:
    """Places the prop on its side of the picture, on a shelf or hanging, and returns the side."""
    side = str(rng.choice(("left", "right")))
    wide = round(size * rng.uniform(*PROP_WIDTH))
    x = PROP_X + rng.uniform(-0.008, 0.008)
    middle = rng.uniform(*(_HANGING_Y if prop in _HANGING else _STANDING_Y))
    centre = x if side == "left" else 1 - x
    p = Painter(image, 0, 0, size)
    if prop not in _HANGING:
        board, top = _wood(rng), middle + 0.42 * wide / size
        near, far = (0.0, centre + 0.17) if side == "left" else (1.0, centre - 0.17)
        p.rect(near, top, far, top + 0.035, board)
        p.rect(near, top + 0.035, far, top + 0.05, mix(board, INK, 0.45))
    elif prop == "spider":
        p.line([(centre, 0), (centre, middle - 0.4 * wide / size)], 0.008, (236, 236, 240))
    thing = draw_prop(prop, wide, rng)
    image.paste(thing, (round(centre * size - wide / 2), round(middle * size - wide / 2)), thing)
    return side


def draw_scene(place: str, prop: str, light: str, size: int, rng: np.random.Generator) -> Image.Image:
    """The background of a clip, RGB, `size` x `size`: a place, a prop ("" for none) on one side, a light."""
    if place not in _DRAWINGS:
        raise ValueError(f"expected a place of {sorted(_DRAWINGS)}, got {place!r}")
    if light not in LIGHTS:
        raise ValueError(f"expected a light of {LIGHTS}, got {light!r}")
    big = size * _OVERSAMPLING
    image = Image.new("RGB", (big, big))
    _DRAWINGS[place](Painter(image, 0, 0, big), rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = Image.blend(
        image, Image.new("RGB", image.size, (128, 128, 132)), rng.uniform(0.08, 0.25)
    )  # stand back
    side = _set_prop(image, prop, big, rng) if prop else ""
    image = image.reduce(_OVERSAMPLING)
    if light == "dim":
        x = np.linspace(-1, 1, size, dtype=np.float32)
        fall = 1 - 0.15 * np.clip(x[None, :] ** 2 + x[:, None] ** 2, 0, 1.4)
        cool = np.array([0.78, 0.82, 0.95], np.float32) * rng.uniform(0.85, 0.98)
        image = Image.fromarray((np.asarray(image) * fall[..., None] * cool).astype(np.uint8))
    image.info = {"prop_side": side, "light": light}
    return image

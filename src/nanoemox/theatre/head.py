"""Everything of a person that does not show the expression: body, neck, skull, ears, hair, beard, glasses,
hand.

Lengths are in head heights around the middle of the face, as in `face.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nanoemox.theatre.face import BLACK, EYE_Y, MOUTH_Y, WHITE, Brush, Points, curve
from nanoemox.theatre.people import BEARDS, COLLARS, GLASSES, HAIR_STYLES, RGB, Person, mix

if TYPE_CHECKING:
    from nanoemox.theatre.actor import Pose

_UP = np.linspace(np.pi, 2 * np.pi, 23)  # over the crown, left to right
_DOWN = np.linspace(-0.5, 0.5, 27)
_EDGE = 1.5  # radians from straight ahead where the face ends and the hair begins


def _style(person: Person) -> str:
    return HAIR_STYLES[person.hair_style]


def _covering(person: Person) -> RGB:
    """The colour of what is on the head."""
    if _style(person) == "scarf":
        return person.accent
    return person.skin if _style(person) == "bald" else person.hair_colour


def _half_width(person: Person, y: Points) -> Points:
    """Half the face's width at each height from crown (-0.5) to chin (0.5)."""
    up = np.sqrt(np.clip(1 - (np.minimum(y, 0.04) - 0.04) ** 2 / 0.54**2, 0, 1))
    power = 0.95 - 0.5 * person.jaw
    down = np.clip(1 - (np.maximum(y, 0.04) - 0.04) ** 2 / 0.46**2, 0, 1) ** (power * 0.75)
    return person.face_width * up * down


def paint_back(brush: Brush, person: Person) -> None:
    """Hair or cloth behind the shoulders."""
    style, w = _style(person), person.face_width
    colour = mix(_covering(person), BLACK, 0.14)
    if style in ("bob", "long"):
        foot, spread = (0.3, 1.2) if style == "bob" else (0.74, 1.22)
        x = np.array([-1.12, -spread, -spread * 0.96, -0.7, 0.7, spread * 0.96, spread, 1.12]) * w
        y = np.array([-0.2, 0.1, foot - 0.05, foot + 0.02, foot + 0.02, foot - 0.05, 0.1, -0.2])
        brush.shape(curve(x, y), colour, turn=False)
        brush.disc(0, -0.12, w * 1.2, 0.43, colour, turn=False)
    elif style == "scarf":
        x = np.array([-1.14, -1.2, -1.0, -1.25, 1.25, 1.0, 1.2, 1.14]) * w
        brush.shape(curve(x, [-0.2, 0.15, 0.45, 0.72, 0.72, 0.45, 0.15, -0.2]), colour, turn=False)
    elif style == "curls":
        for side in (-1, 1):
            for height in (-0.15, 0.02, 0.16):
                brush.disc(side * w, height, 0.1, 0.11, colour, turn=False)


def paint_body(brush: Brush, person: Person) -> None:
    """Neck, shoulders and collar; the body stays where it is when the head turns."""
    shirt, wide = person.shirt, person.shoulders
    shade = mix(person.skin, (70, 20, 30), 0.22)
    t = np.linspace(0, 1, 9)  # from the neck over the shoulder to the elbow
    slope = curve(0.16 + (wide - 0.16) * np.sin(t * np.pi / 2), 0.6 + 0.12 * t + 0.7 * t**5)
    brush.shape(np.concatenate([slope * (-1, 1), slope[::-1]]), shirt)
    collar = COLLARS[person.collar]
    if collar == "stripes":
        for y in (0.74, 0.86, 0.98):
            edge = wide * (0.8 if y < 0.8 else 0.95)
            brush.shape(
                curve([-edge, edge, edge, -edge], [y, y, y + 0.05, y + 0.05]), mix(shirt, WHITE, 0.45)
            )
    if _style(person) == "scarf":
        brush.disc(0, 0.56, 0.27, 0.16, mix(person.accent, BLACK, 0.2))
        return
    brush.shape(curve([-0.15, 0.15, 0.17, 0.0, -0.17], [0.3, 0.3, 0.63, 0.7, 0.63]), shade)
    brush.shape(curve([-0.145, 0.145, 0.165, 0.0, -0.165], [0.52, 0.52, 0.62, 0.69, 0.62]), person.skin)
    trim = mix(shirt, BLACK, 0.25)
    if collar == "vee":
        brush.shape(curve([-0.17, 0.17, 0.0], [0.6, 0.6, 0.82]), person.skin)
        brush.stroke(curve([-0.18, 0.0, 0.18], [0.6, 0.83, 0.6]), 0.03, trim)
    elif collar == "shirt":
        for s in (-1, 1):
            brush.shape(
                curve([s * 0.17, s * 0.02, s * 0.14, s * 0.27], [0.57, 0.7, 0.8, 0.65]),
                mix(shirt, WHITE, 0.5),
            )
        brush.stroke(curve([0.0, 0.0], [0.72, 1.2]), 0.012, trim)
    elif collar == "turtleneck":
        brush.shape(curve([-0.16, 0.16, 0.19, -0.19], [0.52, 0.52, 0.71, 0.71]), mix(shirt, WHITE, 0.12))
    else:
        brush.stroke(curve([-0.17, -0.09, 0.0, 0.09, 0.17], [0.61, 0.67, 0.69, 0.67, 0.61]), 0.03, trim)


def _ear(brush: Brush, person: Person, side: int) -> None:
    at = side * 1.5 + brush.yaw
    if abs(at) > 1.9:
        return
    x, r = brush.radius * 0.99 * np.sin(at), person.ear_size
    brush.disc(x, 0.02, r * 0.62, r, mix(person.skin, (120, 40, 40), 0.12), turn=False)
    brush.disc(x, 0.025, r * 0.3, r * 0.55, mix(person.skin, (120, 40, 40), 0.35), turn=False)
    if person.earrings:
        brush.disc(x, 0.03 + r, 0.02, 0.02, (236, 200, 90), turn=False)


def paint_head(brush: Brush, person: Person, pose: Pose) -> None:
    """Skull, ears and the face's bare skin; a turned head shows its covering where the face ends."""
    covered = _style(person) in ("bob", "long", "scarf", "curls")
    turned = abs(np.sin(brush.yaw))
    hide = _style(person) == "scarf"
    w = person.face_width
    back = w + (0.1 + 0.03 * w) * turned
    brush.disc(-0.08 * np.sin(brush.yaw), -0.07, back, 0.43, _covering(person), turn=False)
    if not covered:
        for side in (-1, 1):
            _ear(brush, person, side)
    elif turned > 0.5 and not hide:
        brush.disc(-0.05 * np.sin(brush.yaw), 0.1, w * 1.1, 0.35, _covering(person), turn=False)
    y = _DOWN * person.face_height
    wide = _half_width(person, _DOWN)
    drop = 0.055 * pose.au26 * np.clip((_DOWN - 0.2) / 0.3, 0, 1)
    tilt = 0.06 * np.sin(brush.pitch) * np.cos(_DOWN * np.pi)
    edges = [wide * np.sin(np.clip(s * _EDGE + brush.yaw, -np.pi / 2, np.pi / 2)) for s in (-1, 1)]
    down = y + drop + tilt
    outline = np.concatenate([curve(edges[0], down), curve(edges[1], down)[::-1]])
    shade = mix(person.skin, (110, 40, 50), 0.16)
    brush.shape(outline, shade, turn=False)
    lit = person.shade_side * 0.035
    inset = curve(outline[:, 0] * 0.92 - lit, (outline[:, 1] - 0.02) * 0.97)
    if abs(brush.yaw) < 0.6:
        brush.shape(inset, person.skin, turn=False)
    if not covered and abs(brush.yaw) > 0.35:
        _ear(brush, person, -1 if brush.yaw > 0 else 1)


def _hairline(person: Person, brush: Brush) -> Points:
    """The edge between hair and forehead, right to left."""
    style = _style(person)
    a = np.linspace(_EDGE, -_EDGE, 15)
    s = a / _EDGE
    if style == "fringe":
        y = -0.3 + 0.26 * np.abs(s) ** 5 + 0.012 * np.cos(9 * s)
    elif style == "side part":
        y = -0.36 + 0.08 * (s * person.shade_side + 0.5) ** 2 + 0.24 * np.abs(s) ** 4
    elif style == "cap":
        y = -0.305 + 0.03 * s**2
    elif style == "scarf":
        y = -0.34 + 0.49 * np.abs(s) ** 3
    elif style in ("bob", "long"):
        y = -0.345 + 0.375 * np.abs(s) ** 3
    else:
        y = -0.345 + 0.3 * np.abs(s) ** 4
    x = (
        person.face_width
        * 1.02
        * np.sqrt(np.clip(1 - (y / 0.62) ** 2, 0, 1))
        * np.sin(np.clip(a + brush.yaw, -1.57, 1.57))
    )
    return curve(x, y + 0.05 * np.sin(brush.pitch))


def paint_hair(brush: Brush, person: Person) -> None:
    """What lies over the forehead and around it. Brows are drawn after this, so hair never hides them."""
    style, w = _style(person), person.face_width
    if style == "bald":
        return
    colour = person.accent if style == "cap" else _covering(person)
    puff = {"cropped": 0.0, "curls": 0.05, "cap": 0.035, "scarf": 0.03}.get(style, 0.02)
    behind = 0.08 * float(np.sin(brush.yaw))  # the back of a turned head comes into view on the other side
    cx, wide = -behind, w * 1.03 + abs(behind) + puff
    crown = curve(cx + wide * np.cos(_UP), -0.03 + (0.475 + puff) * np.sin(_UP))
    if style == "spikes":
        crown[1:-1:2] *= 1.0
        crown[2:-2:2] = crown[2:-2:2] * (1, 1.17) - (0, 0.01)
    if style == "bun":
        brush.disc(cx, -0.56, 0.13, 0.11, mix(colour, BLACK, 0.1), turn=False)
    line = _hairline(person, brush)
    brush.shape(np.concatenate([crown, line]), colour, turn=False)
    if style in ("bob", "long"):
        for side, at in ((1, line[0]), (-1, line[-1])):
            foot = 0.26 if style == "bob" else 0.55
            x = np.array(
                [at[0], at[0] - side * 0.03, at[0] + side * 0.02, side * w * 1.19, side * w * 1.16, side * w]
            )
            brush.shape(curve(x, [-0.12, 0.1, foot, foot, 0.05, -0.2]), colour, turn=False)
    elif style == "curls":
        for x, y in crown[1:-1:2]:
            brush.disc(x * 1.02, y, 0.09, 0.09, colour, turn=False)
        for x, y in line[2:-2:2]:
            brush.disc(x, y - 0.055, 0.06, 0.05, colour, turn=False)
    elif style == "scarf":
        for side, at in ((1, line[0]), (-1, line[-1])):
            x = np.array(
                [at[0], at[0] - side * 0.06, side * 0.1, side * 0.2, side * w * 1.17, side * w * 1.12]
            )
            brush.shape(curve(x, [0.0, 0.3, 0.5, 0.62, 0.3, -0.1]), colour, turn=False)
    elif style == "cap":
        band = np.concatenate([line, curve(line[::-1, 0] * 1.02, line[::-1, 1] - 0.075)])
        brush.shape(band, mix(colour, BLACK, 0.25), turn=False)
    if style not in ("scarf", "cap", "curls") and abs(brush.yaw) < 0.6:
        shine = curve(cx + 0.62 * wide * np.cos(_UP[6:13]), -0.1 + 0.33 * np.sin(_UP[6:13]))
        brush.stroke(shine, 0.022, mix(colour, WHITE, 0.16), turn=False)


def paint_beard(brush: Brush, person: Person, pose: Pose) -> None:
    """A beard moves with the jaw and stops short of the lips, which carry the expression."""
    kind = BEARDS[person.beard]
    if kind == "none" or not brush.seen(0.0):
        return
    colour = mix(person.hair_colour, person.skin, 0.6 if kind == "stubble" else 0.12)
    drop = 0.055 * pose.au26
    sag = drop * np.clip((np.linspace(0.08, 0.5, 10) - 0.2) / 0.3, 0, 1)
    if kind in ("stubble", "full"):
        rows = np.linspace(0.08, 0.5, 10)
        wide = _half_width(person, rows) * 0.985
        outer = np.concatenate(
            [
                curve(-wide, rows * person.face_height + sag),
                curve(wide, rows * person.face_height + sag)[::-1],
            ]
        )
        x = np.array([-0.9, -0.78, -0.66, -0.48, 0.0, 0.48, 0.66, 0.78, 0.9]) * person.face_width
        y = np.array([0.08, 0.2, 0.32, 0.39, 0.405, 0.39, 0.32, 0.2, 0.08]) + drop * np.array(
            [0, 0, 0.5, 1, 1, 1, 0.5, 0, 0]
        )
        brush.shape(np.concatenate([outer, curve(x, y)[::-1]]), colour)
    if kind in ("moustache", "full"):
        t = np.linspace(-1, 1, 9)
        y = MOUTH_Y - 0.035 - 0.03 * pose.au12 * t**2 + 0.02 * pose.au15 * t**2 - 0.03 * pose.au9
        brush.shape(
            np.concatenate(
                [curve(0.12 * t, y - 0.03 * (1 - t**2)), curve(0.12 * t[::-1], y - 0.004 + 0.012 * t**2)]
            ),
            colour,
        )
    if kind == "goatee":
        brush.disc(0, 0.43 + drop, 0.075, 0.055, colour)


def paint_glasses(brush: Brush, person: Person) -> None:
    kind = GLASSES[person.glasses]
    if kind == "none" or not brush.seen(0.0):
        return
    x, rx, ry, power = (
        person.eye_spacing,
        0.118,
        (0.108 if kind == "round" else 0.092),
        (1.0 if kind == "round" else 0.5),
    )
    a = np.linspace(0, 2 * np.pi, 21)
    frame = mix(person.accent, BLACK, 0.55)
    for s in (-1, 1):
        if not brush.seen(s * x):
            continue
        lens = curve(
            np.sign(np.cos(a)) * np.abs(np.cos(a)) ** power, np.sign(np.sin(a)) * np.abs(np.sin(a)) ** power
        )
        brush.stroke(lens * (rx, ry) + (s * x, EYE_Y + 0.01), 0.014, frame)
        brush.stroke(curve([s * (x + rx), s * person.face_width], [EYE_Y, EYE_Y - 0.01]), 0.014, frame)
    brush.stroke(curve([-(x - rx), 0.0, x - rx], [EYE_Y, EYE_Y - 0.015, EYE_Y]), 0.014, frame)


def paint_hand(brush: Brush, person: Person, raised: float) -> None:
    """A hand that comes up from below until it covers brows, eyes and mouth."""
    y = 1.15 * (1 - min(1.0, raised))
    skin, edge = mix(person.skin, WHITE, 0.05), mix(person.skin, (70, 20, 30), 0.45)
    brush.shape(curve([0.3, -0.06, 0.1, 0.62], [0.34 + y, 0.4 + y, 1.5 + y, 1.5 + y]), person.shirt)
    palm = curve(
        [-0.25, -0.27, -0.17, 0.02, 0.2, 0.27, 0.26],
        np.array([-0.02, 0.2, 0.36, 0.46, 0.42, 0.25, -0.02]) + y,
    )
    for points, grow in ((palm, 1.05), (palm, 1.0)):
        brush.shape((points - (0, 0.2 + y)) * grow + (0, 0.2 + y), edge if grow > 1 else skin)
    for x, lean, tip in (
        (-0.195, -0.05, -0.25),
        (-0.065, -0.02, -0.34),
        (0.067, 0.02, -0.35),
        (0.2, 0.05, -0.27),
    ):
        for width, colour in ((0.155, edge), (0.132, skin)):
            brush.stroke(curve([x, x + lean], [0.08 + y, tip + y]), width, colour)
    brush.shape((palm - (0, 0.2 + y)) * 0.96 + (0, 0.21 + y), skin)
    for width, colour in ((0.14, edge), (0.116, skin)):
        brush.stroke(curve([-0.16, -0.33], [0.3 + y, 0.06 + y]), width, colour)
    for x in (-0.13, 0.0, 0.135):
        brush.stroke(curve([x, x], [-0.02 + y, 0.1 + y]), 0.012, edge)

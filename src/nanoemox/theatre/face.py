"""A face from action units: brows, eyes, nose and mouth as curves on a turning head.

Lengths are in head heights, x to the right of the picture, y down, the origin in the middle of the face.
The action units follow FACS (Ekman and Friesen 1978): 1 inner brow raiser, 2 outer brow raiser, 4 brow
lowerer, 5 upper lid raiser, 6 cheek raiser, 7 lid tightener, 9 nose wrinkler, 12 lip corner puller, 15 lip
corner depressor, 20 lip stretcher, 24 lip pressor, 26 jaw drop, 43 eye closure. They are drawn larger than
life: a cue has to survive 96 px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from nanoemox.theatre.people import RGB, Person, luminance, mix

if TYPE_CHECKING:
    from nanoemox.theatre.actor import Pose

Points = NDArray[np.float64]  # [n, 2]

WHITE, BLACK = (252, 252, 250), (20, 16, 20)
YAW_RANGE, PITCH_RANGE, ROLL_RANGE = (
    2.0,
    0.35,
    0.35,
)  # radians at a pose of 1; a yaw of 1 shows the back of the head
EYE_Y, BROW_Y, NOSE_Y, MOUTH_Y = -0.02, -0.15, 0.15, 0.285

_SIDE, _TALL = np.pi / 2, 0.62  # where the head's edge is: radians sideways, and its radius from the side

_T = np.linspace(-1.0, 1.0, 11)
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 25)), np.sin(np.linspace(0, 2 * np.pi, 25))], 1)
_ARCH = 1 - _T**2  # 0 at both ends


def limit(values: Points, bound: float) -> Points:
    """Values kept within -bound to bound (np.clip is slow to start on small arrays)."""
    return np.minimum(np.maximum(values, -bound), bound)


@dataclass
class Brush:
    """Draws shapes given in head heights onto a canvas, turned with the head."""

    draw: ImageDraw.ImageDraw
    centre: tuple[float, float]
    unit: float  # canvas pixels per head height
    radius: float  # of the head seen from above; 0 draws what does not turn with it
    yaw: float
    pitch: float
    roll: float

    def flat(self, points: Points) -> list[float]:
        """Canvas coordinates of points that only roll with the head (outlines, hair)."""
        c, s = self.unit * np.cos(self.roll), self.unit * np.sin(self.roll)
        x, y = points[:, 0], points[:, 1]
        out = np.empty_like(points)
        out[:, 0] = self.centre[0] + c * x - s * y
        out[:, 1] = self.centre[1] + s * x + c * y
        return out.ravel().tolist()

    def turned(self, points: Points) -> Points:
        """Where points on the front of the head come to lie once it turns and nods; behind the edge they
        stop."""
        if not self.radius:  # the body does not turn
            return points
        out = np.empty_like(points)
        across = limit(np.arcsin(limit(points[:, 0] / self.radius, 1.0)) + self.yaw, _SIDE)
        out[:, 0] = self.radius * np.sin(across)
        out[:, 1] = _TALL * np.sin(limit(np.arcsin(limit(points[:, 1] / _TALL, 1.0)) + self.pitch, _SIDE))
        return out

    def seen(self, x: float) -> bool:
        """Whether a feature at `x` is on the visible side of the head."""
        return abs(math.asin(max(-1.0, min(1.0, x / self.radius))) + self.yaw) < 1.35

    def shape(self, points: Points, fill: RGB, *, turn: bool = True) -> None:
        self.draw.polygon(self.flat(self.turned(points) if turn else points), fill=fill)

    def stroke(self, points: Points, width: float, fill: RGB, *, turn: bool = True) -> None:
        """A line `width` head heights thick with round ends."""
        flat = self.flat(self.turned(points) if turn else points)
        thick = max(1, round(width * self.unit))
        self.draw.line(flat, fill=fill, width=thick, joint="curve")
        if thick > 3:
            r = thick / 2 - 0.5
            for x, y in (flat[:2], flat[-2:]):
                self.draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    def disc(self, x: float, y: float, rx: float, ry: float, fill: RGB, *, turn: bool = True) -> None:
        self.shape(_CIRCLE * (rx, ry) + (x, y), fill, turn=turn)


def curve(xs: Points | Sequence[float], ys: Points | Sequence[float]) -> Points:
    """Points [n, 2] from their coordinates."""
    out = np.empty((len(xs), 2))
    out[:, 0], out[:, 1] = xs, ys
    return out


def brow_colour(person: Person) -> RGB:
    """The hair's colour, darkened until it stands out from the skin."""
    colour = mix(person.hair_colour, BLACK, 0.35)
    while luminance(person.skin) - luminance(colour) < 70 and luminance(colour) > 24:
        colour = mix(colour, BLACK, 0.3)
    return colour


def line_colour(person: Person, share: float = 0.5) -> RGB:
    """For wrinkles and folds."""
    return mix(person.skin, (50, 14, 20), share)


def paint_eye(brush: Brush, person: Person, pose: Pose, side: int) -> None:
    """One eye with its lids; `side` is -1 for the left of the picture, 1 for the right."""
    x = side * person.eye_spacing
    if not brush.seen(x):
        return
    half = 0.095 * person.eye_size
    shut = min(1.0, pose.au43)
    top = 0.066 * person.eye_size * (1 + person.lid_rest) * (1 + 0.72 * pose.au5 - 0.36 * pose.au7)
    bottom = 0.042 * person.eye_size * (1 + 0.4 * pose.au5) - 0.042 * pose.au6 - 0.016 * pose.au7
    top = top * (1 - shut) - bottom * shut
    slant = person.eye_tilt * _T * side - 0.035 * shut * (1 - shut) * _T * side * -4 * pose.au1
    xs, base = x + half * _T, EYE_Y + slant
    arch = _ARCH**0.75
    upper, lower = base - top * arch, base + bottom * arch
    lash, lid = mix(brow_colour(person), BLACK, 0.5), mix(person.skin, (90, 40, 40), 0.16)
    if top + bottom < 0.016:  # closed
        brush.stroke(curve(xs, base + max(bottom, 0.012 - 0.03 * pose.au6) * arch), 0.02, lash)
        return
    brush.shape(np.concatenate([curve(xs, upper), curve(xs, lower)[::-1]]), WHITE)
    gx = x + 0.035 * max(-1.0, min(1.0, pose.gaze_x))
    gy = EYE_Y - 0.004 + 0.022 * max(-1.0, min(1.0, pose.gaze_y))
    r = 0.049 * person.eye_size
    brush.disc(gx, gy, r, r, person.eye_colour)
    brush.disc(gx, gy, 0.55 * r, 0.55 * r, BLACK)
    brush.disc(gx + 0.35 * r, gy - 0.4 * r, 0.26 * r, 0.26 * r, WHITE)
    rim = 0.085 * arch * person.eye_size
    brush.shape(
        np.concatenate([curve(xs, np.minimum(base - rim, upper - 0.004)), curve(xs, upper)[::-1]]), lid
    )
    brush.shape(
        np.concatenate([curve(xs, lower), curve(xs, np.maximum(base + rim, lower + 0.004))[::-1]]),
        person.skin,
    )
    brush.stroke(curve(xs, upper), 0.02, lash)
    brush.stroke(curve(xs[2:-2], lower[2:-2]), 0.009, mix(person.skin, lash, 0.45))
    if pose.au6 > 0.15:  # the fold of a raised cheek, and crow's feet
        fold = line_colour(person, 0.2 + 0.3 * pose.au6)
        brush.stroke(curve(xs[2:-1], (base + 0.062 - 0.018 * pose.au6 + 0.028 * arch)[2:-1]), 0.014, fold)
        for dy in (-0.018, 0.018):
            far = x + side * (half + 0.025)
            brush.stroke(
                curve([far, far + side * 0.035 * pose.au6], [EYE_Y + 0.3 * dy, EYE_Y + dy * 1.6]), 0.011, fold
            )


def paint_brow(brush: Brush, person: Person, pose: Pose, side: int) -> None:
    x = side * person.eye_spacing
    if not brush.seen(x):
        return
    inner = 0.088 - 0.038 * pose.au4
    along = np.linspace(-inner, 0.105, 7)  # inner end first
    s = (along + inner) / (0.105 + inner)
    rise_in = 0.112 * pose.au1 - 0.088 * pose.au4 - 0.02 * pose.au9
    rise_out = 0.1 * pose.au2 - 0.012 * pose.au4 - 0.022 * pose.au1 * (1 - pose.au2)
    arch = (person.brow_arch + 0.02 * pose.au2) * (1 - (2 * s - 1) ** 2) * (1 - 0.7 * pose.au4)
    y = BROW_Y + person.brow_rest + 0.008 * s - rise_in * (1 - s) ** 1.3 - rise_out * s - arch
    half = person.brow_thickness * (0.55 - 0.3 * s)
    xs = x + side * along
    brush.shape(np.concatenate([curve(xs, y - half), curve(xs, y + half)[::-1]]), brow_colour(person))


def paint_forehead(brush: Brush, person: Person, pose: Pose) -> None:
    """What the brows do to the skin around them: furrows above when raised, between when lowered."""
    if not brush.seen(0.0):
        return
    raised = min(pose.au1, pose.au2) if pose.au2 > 0.1 else 0.5 * pose.au1
    if raised > 0.2:  # furrows deepen faster than the brows move
        fold, reach = line_colour(person, 0.1 + 0.35 * raised**2), 0.17 if pose.au2 > 0.1 else 0.08
        for y in (-0.305, -0.34):
            brush.stroke(curve(reach * _T, y + 0.012 * _T**2), 0.004 + 0.014 * raised**2, fold)
    if pose.au4 > 0.2:
        fold = line_colour(person, 0.2 + 0.5 * pose.au4**2)
        for x in (-0.022, 0.022):
            foot, top = -0.11, -0.14 - 0.07 * pose.au4
            brush.stroke(curve([x * 1.4, x], [top, foot]), 0.006 + 0.016 * pose.au4**2, fold)


def paint_nose(brush: Brush, person: Person, pose: Pose) -> None:
    if not brush.seen(0.0):
        return
    lift = 0.035 * pose.au9
    tip, wide = NOSE_Y - lift + (person.nose_length - 0.14), person.nose_width * (1 + 0.3 * pose.au9)
    shade = mix(person.skin, (120, 50, 40), 0.3)
    bridge = 0.028 * person.shade_side
    brush.stroke(curve([bridge * 0.5, bridge, bridge * 1.2], [-0.03, 0.06, tip - 0.04]), 0.014, shade)
    brush.stroke(curve(wide * _T, tip + 0.012 - 0.028 * np.abs(_T) ** 2.5), 0.016, mix(shade, BLACK, 0.15))
    for s in (-1, 1):
        brush.disc(
            s * wide * 0.5,
            tip + 0.004,
            0.015 * (1 + 0.5 * pose.au9),
            0.009 + 0.008 * pose.au9,
            mix(shade, BLACK, 0.5),
        )
    if pose.au9 > 0.12:  # wrinkles across the bridge and folds down from the wings
        fold = line_colour(person, 0.25 + 0.5 * min(1.0, pose.au9))
        for k, y in enumerate((-0.035, 0.005, 0.045)):
            brush.stroke(curve((0.062 - 0.006 * k) * _T, y - lift * 0.4 + 0.02 * _ARCH), 0.021, fold)
        for s in (-1, 1):
            xs = np.array([0.085, 0.125, 0.15]) * s
            brush.stroke(curve(xs, [tip - 0.03, tip + 0.005, tip + 0.065]), 0.021, fold)


def paint_cheeks(brush: Brush, person: Person, pose: Pose) -> None:
    blush = mix(person.skin, (222, 82, 82), 0.13 + 0.3 * pose.au6)
    for side in (-1, 1):
        if brush.seen(side * 0.2):
            y = 0.135 - 0.035 * pose.au6
            brush.disc(side * 0.205, y, 0.062 + 0.02 * pose.au6, 0.04 + 0.022 * pose.au6, blush)
            if person.freckles:
                for dx, dy in ((-0.04, -0.02), (0.0, 0.01), (0.035, -0.015)):
                    brush.disc(
                        side * (0.19 + dx), 0.12 + dy, 0.008, 0.008, mix(person.skin, (120, 60, 30), 0.45)
                    )


def paint_mouth(brush: Brush, person: Person, pose: Pose) -> None:
    if not brush.seen(0.0):
        return
    press, jaw = pose.au24, pose.au26
    talk = 0.052 * pose.speech * (1 - 0.45 * press) * (1 - 0.8 * jaw)
    teeth = 0.055 * max(0.0, min(1.0, (pose.au12 - 0.62) / 0.38)) * (1 - jaw)
    half = person.mouth_width * (
        1
        + 0.3 * pose.au12
        + 0.3 * pose.au20
        + 0.08 * pose.au15
        - 0.18 * press
        - 0.3 * jaw
        - 0.15 * pose.speech
    )
    bend = person.mouth_rest + 0.095 * pose.au15 - 0.095 * pose.au12  # of the corners, down is positive
    middle = MOUTH_Y + 0.03 * pose.au12 - 0.025 * pose.au15 - 0.03 * pose.au9 * (1 - press) - 0.02 * jaw
    xs, away = half * _T, np.abs(_T) ** 1.7
    upper = middle + bend * away
    gap = 0.185 * jaw + talk + teeth
    lower = upper + gap * (1 - np.abs(_T) ** (2.6 if jaw > 0.2 else 2.0))
    full = person.lip_fullness * (1 - 0.85 * press)
    rim = np.sqrt(_ARCH)
    cupid = full * rim * (1 - 0.25 * np.exp(-((_T / 0.18) ** 2)))
    lip = mix(person.lip, person.skin, 0.55 * press)
    dark = mix(person.lip, (40, 8, 16), 0.72)
    if luminance(person.skin) - luminance(dark) < 48:
        dark = mix(dark, BLACK, 0.7)
    brush.shape(np.concatenate([curve(xs, upper - cupid), curve(xs, lower + 1.35 * full * rim)[::-1]]), lip)
    if gap > 0.008:
        brush.shape(np.concatenate([curve(xs, upper), curve(xs, lower)[::-1]]), (74, 18, 28))
        if gap > 0.02:
            inner, shown = xs[1:-1] * 0.95, min(gap * (0.8 if teeth > talk else 0.45), 0.042)
            edge = np.minimum(upper + shown * rim, lower)[1:-1]
            brush.shape(np.concatenate([curve(inner, upper[1:-1]), curve(inner, edge)[::-1]]), WHITE)
        if jaw > 0.3:
            brush.disc(0, middle + gap * 0.86, half * 0.55, gap * 0.13, (196, 88, 92))
        brush.stroke(curve(xs, lower), 0.008, dark)
    brush.stroke(curve(xs, upper), 0.014 + 0.016 * press, dark)
    fold = line_colour(person, 0.5)
    if pose.au12 > 0.2:  # dimples
        for s in (-1, 1):
            dx = s * (half + 0.018 + 0.02 * _ARCH)
            brush.stroke(
                curve(dx, middle + bend + 0.05 * _T * pose.au12), 0.012, line_colour(person, 0.5 * pose.au12)
            )
    if pose.au15 > 0.2:  # lines down from the corners, and a raised chin
        for s in (-1, 1):
            foot = middle + bend + 0.012
            brush.stroke(curve([s * half, s * (half + 0.022)], [foot, foot + 0.05 * pose.au15]), 0.013, fold)
        brush.stroke(
            curve(0.07 * _T, MOUTH_Y + 0.1 - 0.025 * _ARCH), 0.012, line_colour(person, 0.4 * pose.au15)
        )
    if press > 0.2:  # muscle bulges beside the pressed lips, and a tense chin
        for s in (-1, 1):
            dx = s * (half + 0.016 + 0.012 * _ARCH)
            brush.stroke(curve(dx, middle + bend + 0.042 * _T), 0.013, line_colour(person, 0.55 * press))
        brush.stroke(
            curve(0.05 * _T, MOUTH_Y + 0.075 - 0.012 * _ARCH), 0.012, line_colour(person, 0.45 * press)
        )

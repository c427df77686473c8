"""The actor: one person's head and shoulders, drawn from action units into one frame of a clip.

`Actor.draw` makes a frame [S, S, 3] (S pixels a side) in a few milliseconds on one core: the scene is
prepared once per clip, the person is drawn over it at twice the size and both shrink together, which
smooths the edges. Nothing is drawn that the pose, the person, the scene or the camera does not say.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from nanoemox.theatre.face import (
    PITCH_RANGE,
    ROLL_RANGE,
    YAW_RANGE,
    Brush,
    paint_brow,
    paint_cheeks,
    paint_eye,
    paint_forehead,
    paint_mouth,
    paint_nose,
)
from nanoemox.theatre.head import (
    paint_back,
    paint_beard,
    paint_body,
    paint_glasses,
    paint_hair,
    paint_hand,
    paint_head,
)
from nanoemox.theatre.people import Person

__all__ = ["AU_NAMES", "EXPRESSIONS", "Actor", "Camera", "Person", "Pose", "expression"]

HEAD_HEIGHT = 0.55  # of the frame, at a zoom of 1
HEAD_Y = 0.475  # of the middle of the face, in frame heights
_OVERSAMPLING = 2


@dataclass(frozen=True)
class Pose:
    """One moment of a face. Action units, speech and hand go from 0 to 1, gaze and head turns from -1 to 1.

    `speech` is how far talking opens the mouth; `hand` how far a hand has come up over the face; a `yaw` of
    1 turns the head so far that neither eyes nor mouth can be seen. Positive is right and down in the
    picture.
    """

    au1: float = 0
    au2: float = 0
    au4: float = 0
    au5: float = 0
    au6: float = 0
    au7: float = 0
    au9: float = 0
    au12: float = 0
    au15: float = 0
    au20: float = 0
    au24: float = 0
    au26: float = 0
    au43: float = 0
    gaze_x: float = 0
    gaze_y: float = 0
    yaw: float = 0
    pitch: float = 0
    roll: float = 0
    speech: float = 0
    hand: float = 0


AU_NAMES: tuple[str, ...] = tuple(f.name for f in fields(Pose) if f.name.startswith("au"))

# Face groups of `world.FACE_CUES` as targets at full strength: what is always shown, then what the
# optional cue adds.
EXPRESSIONS: dict[str, dict[str, float]] = {
    "smile": {"au6": 1.0, "au12": 1.0},
    "wide": {"au1": 1.0, "au2": 1.0, "au5": 1.0},
    "frown": {"au4": 1.0, "au7": 0.8, "au24": 1.0},
    "droop": {"au1": 1.0, "au15": 1.0},
    "still": {},
    "hidden": {"yaw": 1.0},
}
OPTIONAL: dict[str, dict[str, float]] = {
    "wide": {"au26": 1.0},
    "frown": {"au9": 1.0},
    "droop": {"au43": 0.5},
    "hidden": {"yaw": -1.0, "hand": 1.0},  # a hand instead of the turned head
}


def expression(group: str, optional: bool, strength: float) -> dict[str, float]:
    """What a face group moves, and how far: pose fields -> targets.

    Every cue grows with `strength` (0.55 mild to 1 strong), the optional one less so, because it is there
    or not. A hidden face is hidden at any strength: by turning away, or with `optional` behind a hand.
    """
    if group not in EXPRESSIONS:
        raise ValueError(f"expected a face group of {sorted(EXPRESSIONS)}, got {group!r}")
    scale = 1.0 if group == "hidden" else strength
    targets = {name: value * scale for name, value in EXPRESSIONS[group].items()}
    if optional:
        extra = 1.0 if group == "hidden" else 0.6 + 0.4 * strength
        for name, value in OPTIONAL.get(group, {}).items():
            targets[name] = targets.get(name, 0.0) + value * extra
    return {name: value for name, value in targets.items() if value}


@dataclass(frozen=True)
class Camera:
    """How the moment is taken. `zoom` scales the person, shifts move the head in frame widths, `noise` and
    `blur` are in grey levels and pixels at 192 px; `exposure` and `tint` multiply the colours."""

    zoom: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    exposure: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 0.0
    blur: float = 0.0

    @classmethod
    def for_scene(cls, scene: Image.Image, rng: np.random.Generator) -> Camera:
        """A camera for one clip: it leaves room for the prop of a scene by `draw_scene` and suits its
        light."""
        away = {"left": 1, "right": -1}.get(scene.info.get("prop_side", ""), 0)
        dim = scene.info.get("light") == "dim"
        tint = 1 + rng.uniform(-0.06, 0.06, 3)
        return cls(
            zoom=rng.uniform(0.95, 1.05),
            shift_x=away * rng.uniform(0.14, 0.16) + (rng.uniform(-0.03, 0.03) if not away else 0.0),
            shift_y=rng.uniform(-0.015, 0.02),
            exposure=rng.uniform(0.78, 0.98) if dim else rng.uniform(0.88, 1.08),
            tint=(float(tint[0]), float(tint[1]), float(tint[2])),
            noise=rng.uniform(0.5, 6.0),
            blur=max(0.0, rng.uniform(-0.5, 0.7)),
        )


class Actor:
    """A person before a camera that takes square frames of `size` pixels."""

    def __init__(self, person: Person, size: int) -> None:
        if size < 32:
            raise ValueError(f"expected frames of at least 32 px, got {size}")
        self.person, self.size = person, size
        self._scene: Any = None
        self._canvas: Image.Image | None = None
        self._grain = np.random.default_rng(0).standard_normal((size + 64, size + 64, 3), dtype=np.float32)

    def draw(
        self,
        pose: Pose,
        background: Image.Image | NDArray[np.uint8],
        camera: Camera,
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """One frame [S, S, 3]: the person in this pose before this background. `rng` places the camera's
        grain."""
        canvas = self._prepared(background).copy()
        if pose.hand > 0.6:  # nothing of an expression shows past the edges of a hand over the face
            shown = max(0.0, (0.9 - pose.hand) / 0.3)
            pose = replace(pose, **{name: getattr(pose, name) * shown for name in AU_NAMES})
        side = self.size * _OVERSAMPLING
        unit = HEAD_HEIGHT * camera.zoom * side
        centre = ((0.5 + camera.shift_x) * side, (HEAD_Y + camera.shift_y) * side)
        pen, person = ImageDraw.Draw(canvas), self.person
        turn = float(np.clip(pose.yaw, -1, 1)) * YAW_RANGE
        nod, tip = (
            float(np.clip(pose.pitch, -1, 1)) * PITCH_RANGE,
            float(np.clip(pose.roll, -1, 1)) * ROLL_RANGE,
        )
        head = Brush(pen, centre, unit, person.face_width * 1.06, turn, nod, tip)
        body = Brush(pen, centre, unit, 0.0, 0.0, 0.0, 0.0)

        paint_back(head, person)
        paint_body(body, person)
        paint_head(head, person, pose)
        paint_cheeks(head, person, pose)
        paint_beard(head, person, pose)
        paint_nose(head, person, pose)
        paint_mouth(head, person, pose)
        paint_forehead(head, person, pose)
        for eye in (-1, 1):
            paint_eye(head, person, pose, eye)
        paint_hair(head, person)
        for brow in (-1, 1):
            paint_brow(head, person, pose, brow)
        paint_glasses(head, person)
        if pose.hand > 0.02:
            paint_hand(body, person, pose.hand)
        return self._taken(canvas.reduce(_OVERSAMPLING), camera, rng)

    def _prepared(self, background: Image.Image | NDArray[np.uint8]) -> Image.Image:
        if self._canvas is None or background is not self._scene:
            image = background if isinstance(background, Image.Image) else Image.fromarray(background)
            side = self.size * _OVERSAMPLING
            self._canvas = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
            self._scene = background
        return self._canvas

    def _taken(self, image: Image.Image, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
        """What the camera makes of the picture: light, softness, grain."""
        scale = self.size / 192
        if camera.blur > 0.05:
            image = image.filter(ImageFilter.BoxBlur(camera.blur * scale))
        ramp = np.arange(256, dtype=np.float32) * camera.exposure
        table = np.concatenate([np.clip(ramp * t, 0, 255) for t in camera.tint]).astype(np.uint8)
        frame = np.asarray(image.point(table.tolist()))
        if camera.noise <= 0:
            return frame.copy()
        top, left = (int(v) for v in rng.integers(0, 64, 2))
        grain = self._grain[top : top + self.size, left : left + self.size]
        return np.clip(frame + grain * camera.noise, 0, 255).astype(np.uint8)

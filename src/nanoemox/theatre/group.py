"""Several people in one picture of Affect Theatre: whose face is where is known, and so is who speaks.

Every person has a script of their own (`script.stage_script`), so an expression and an emotion of their own. One of
them speaks the line of their script; the others keep their mouths still. They stand side by side before one place, and
`moves` says what they do meanwhile: "stay", "cross" (the first two change places, one passing before the other) or
"leave" (the last one walks out of the picture and comes back). The drawing is that of `actor`, one person after
another; what clips of one person look like does not depend on this file.

Letters: n frames at FRAME_RATE_HZ, P people, H, W pixels, N samples at SPEECH_RATE_HZ.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nanoemox.files.errors import ArgumentError
from nanoemox.theatre.actor import HEAD_HEIGHT, HEAD_Y, Actor, Camera, Pose
from nanoemox.theatre.people import Person
from nanoemox.theatre.render import FRAME_RATE_HZ, plan, poses, write_clip
from nanoemox.theatre.room import in_room
from nanoemox.theatre.scenery import draw_scene
from nanoemox.theatre.script import Script, stage_script

Moves = Literal["stay", "cross", "leave"]
HEIGHT_PX = 240  # of the picture
SEAT = 0.78  # between two people, in picture heights
MOST_PEOPLE = 6
_SIZES = (0.84, 1.0)  # of a person's square in picture heights
_FACING_YAW = 0.3  # a head that is turned further shows no face; in poses, as in `actor`
_COVERED = 0.35  # a hand that has come up further hides the face
_WALK = (0.3, 0.7)  # shares of the clip between which people walk


@dataclass(frozen=True)
class Group:
    """Who stands where, and who speaks."""

    id: str
    seed: int
    scripts: tuple[Script, ...]  # from left to right as the clip begins
    speaker: int  # index of who speaks
    sizes: tuple[float, ...]  # of each person's square, in picture heights
    moves: Moves

    @property
    def width_px(self) -> int:
        """Of the picture; even, as the video's encoder wants it."""
        return 2 * round(HEIGHT_PX * (SEAT * len(self.scripts) + 0.2) / 2)


@dataclass(frozen=True)
class GroupClip:
    """A performed group."""

    frames: NDArray[np.uint8]  # [n, H, W, 3]
    sound: NDArray[np.float32]  # [N]
    boxes: NDArray[np.float64]  # [n, P, 4]: left, top, right, bottom of each face, in pixels; may lie outside
    facing: NDArray[
        np.bool_
    ]  # [n, P]: whether the face can be seen: it is in the picture, not turned, not covered
    speech_s: tuple[float, float]  # when the speaker speaks


def stage_group(index: int, seed: int, split: str, people: int = 2, moves: Moves = "stay") -> Group:
    """Cast the group number `index` of a split. Deterministic; groups do not depend on each other.

    Args:
        index: The number.
        seed: The same seed always makes the same groups.
        split: "train", "val" or "test": the people, voices and wordings come from there.
        people: How many stand in the picture.
        moves: What they do: "stay", "cross" or "leave".

    Returns:
        The group.

    Raises:
        ArgumentError: For impossible arguments.
    """
    if not 1 <= people <= MOST_PEOPLE or (moves == "cross" and people < 2):
        raise ArgumentError(f"people = {people}: expected 1 to {MOST_PEOPLE}, and at least 2 to cross")
    digest = blake2b(f"group/{seed}/{split}/{index}/{people}/{moves}".encode(), digest_size=8).digest()
    rng = random.Random(int.from_bytes(digest, "big") >> 1)
    scripts: list[Script] = []
    while len(scripts) < people:
        script = stage_script(rng.randrange(1_000_000), seed, split)
        if script.person_id not in {each.person_id for each in scripts}:
            scripts.append(script)
    first = scripts[0]
    return Group(
        id=f"{split}-{seed}-{index:06d}-{people}-{moves}",
        seed=first.seed,
        scripts=tuple(
            replace(each, place=first.place, light=first.light, plot=each.plot._replace(prop=first.prop))
            for each in scripts
        ),
        speaker=rng.randrange(people),
        sizes=tuple(rng.uniform(*_SIZES) for _ in range(people)),
        moves=moves,
    )


def _paths(group: Group, frames: int) -> NDArray[np.float64]:
    """Where the middle of each person is [n, P], in pixels from the left edge."""
    people = len(group.scripts)
    seats = (0.1 + SEAT * (np.arange(people) + 0.5)) * HEIGHT_PX
    at = np.repeat(seats[None], frames, axis=0)
    share = np.clip((np.linspace(0, 1, frames) - _WALK[0]) / (_WALK[1] - _WALK[0]), 0, 1)
    eased = share**3 * (10 - 15 * share + 6 * share**2)
    if group.moves == "cross":
        at[:, 0] += eased * (seats[1] - seats[0])
        at[:, 1] -= eased * (seats[1] - seats[0])
    elif group.moves == "leave":
        at[:, -1] += np.sin(np.pi * eased) * 1.4 * HEIGHT_PX
    return at


def _poses(script: Script, frames: int, speaks: bool) -> list[Pose]:
    """A person's face at each frame of the clip; who does not speak keeps the mouth still."""
    staged = plan(script)
    acted = poses(script, staged)
    acted += [acted[-1]] * (frames - len(acted))  # a shorter script ends in its last pose
    return [pose if speaks else replace(pose, speech=0.0) for pose in acted[:frames]]


def perform_group(group: Group) -> GroupClip:
    """Draw and voice a group. The clip is as long as the speaker's line needs."""
    # The speaker's line decides the length.
    speaker = group.scripts[group.speaker]
    staged = plan(speaker)
    n, people, width_px = staged.frames, len(group.scripts), group.width_px
    rng = np.random.default_rng([group.seed, *b"group"])
    acted = [_poses(script, n, who == group.speaker) for who, script in enumerate(group.scripts)]
    at = _paths(group, n)

    # One place for all, wider than high; a margin on both sides holds who is half out of the picture.
    scene = draw_scene(speaker.place, speaker.prop, speaker.light, width_px, rng)
    camera = Camera.for_scene(scene, rng)
    top = round(0.6 * (width_px - HEIGHT_PX))
    scene = scene.convert("RGB").crop((0, top, width_px, top + HEIGHT_PX))
    margin_px = 2 * HEIGHT_PX
    wide = Image.new("RGB", (width_px + 2 * margin_px, HEIGHT_PX))
    wide.paste(scene, (margin_px, 0))

    # Draw one after another: the first ones stand behind.
    actors = [
        Actor(Person.from_id(script.person_id), round(size * HEIGHT_PX))
        for script, size in zip(group.scripts, group.sizes, strict=True)
    ]
    plain = Camera(exposure=camera.exposure, tint=camera.tint)
    frames = np.empty((n, HEIGHT_PX, width_px, 3), np.uint8)
    boxes = np.zeros((n, people, 4))
    facing = np.zeros((n, people), np.bool_)
    lit = Image.fromarray(_lit(np.asarray(wide), plain))
    for k in range(n):
        picture = lit.copy()
        for who, actor in enumerate(actors):
            pose = acted[who][k]
            left, up = round(at[k, who] - actor.size / 2) + margin_px, HEIGHT_PX - actor.size
            place = (left, up, left + actor.size, up + actor.size)
            drawn = actor.draw(pose, picture.crop(place), Camera(), rng)
            picture.paste(Image.fromarray(drawn), place[:2])
            boxes[k, who] = _face_box(actor, left - margin_px, up)
            facing[k, who] = _faces(pose, boxes[k, who], width_px)
        seen = np.asarray(picture.crop((margin_px, 0, margin_px + width_px, HEIGHT_PX)), np.float32)
        grain = rng.standard_normal((HEIGHT_PX, width_px, 1), np.float32) * camera.noise
        frames[k] = np.clip(seen + grain, 0, 255).astype(np.uint8)
        for behind in range(people):  # who is passed by is not seen
            facing[k, behind] &= not any(
                _covers(boxes[k, front], boxes[k, behind]) for front in range(behind + 1, people)
            )
    sound = in_room(staged.speech, staged.prosody, staged.voice_s, staged.length_s, rng)
    spoken = staged.speech.words
    speech_s = (staged.voice_s + spoken[0][1], staged.voice_s + spoken[-1][2])
    return GroupClip(frames, sound, boxes, facing, speech_s)


def render_group(group: Group, path: Path) -> tuple[dict[str, Any], GroupClip]:
    """Draw, voice and write a group; what is known of it, as plain JSON types, and the clip."""
    clip = perform_group(group)
    write_clip(path, clip.frames, clip.sound)
    return {
        "id": group.id,
        "moves": group.moves,
        "speaker": group.scripts[group.speaker].person_id,
        "text": group.scripts[group.speaker].text,
        "speech_s": [round(at, 3) for at in clip.speech_s],
        "frame_rate_hz": FRAME_RATE_HZ,
        "people": [
            {
                "person": script.person_id,
                "emotion": script.plot.emotion,
                "boxes": [[round(v, 1) for v in box] for box in clip.boxes[:, who].tolist()],
                "facing": clip.facing[:, who].tolist(),
            }
            for who, script in enumerate(group.scripts)
        ],
    }, clip


# ------------------------------------------------------------------------------------------------ pieces
def _lit(picture: NDArray[np.uint8], camera: Camera) -> NDArray[np.uint8]:
    """The picture under the camera's light."""
    lit = picture.astype(np.float32) * camera.exposure * np.asarray(camera.tint, np.float32)
    return np.clip(lit, 0, 255).astype(np.uint8)


def _face_box(actor: Actor, left: float, up: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a face: from the hairline's crown to the chin, cheek to cheek."""
    unit = HEAD_HEIGHT * actor.size
    x, y = left + 0.5 * actor.size, up + HEAD_Y * actor.size
    half_width, half_height = actor.person.face_width * unit, 0.5 * actor.person.face_height * unit
    return x - half_width, y - half_height, x + half_width, y + half_height


def _faces(pose: Pose, box: NDArray[np.float64], width_px: int) -> bool:
    """Whether a face looks into the camera, uncovered, with most of it inside the picture."""
    inside = min(box[2], width_px) - max(box[0], 0.0)
    whole = box[2] - box[0]
    return bool(abs(pose.yaw) < _FACING_YAW and pose.hand < _COVERED and inside > 0.8 * whole)


def _covers(front: NDArray[np.float64], behind: NDArray[np.float64]) -> bool:
    """Whether a person in front hides more than a third of a face."""
    shared = min(front[2], behind[2]) - max(front[0], behind[0])
    return bool(shared > (behind[2] - behind[0]) / 3)

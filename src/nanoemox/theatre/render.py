"""From a script to a clip: who does what when, the frames, the sound, and the file (H.264 + AAC in MP4).

A clip has one voice and one expression. `plan` sets them in time: the face rises from rest to its apex, holds
it over the middle 60 % of the clip at least, and lets go, while blinks, glances, nods and the talking mouth
go on. `perform` draws and records the plan, `render` writes it. All of it depends on the script alone.

Letters: n frames at FRAME_RATE_HZ, N samples at SPEECH_RATE_HZ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from nanoemox.theatre.actor import Actor, Camera, Person, Pose, expression
from nanoemox.theatre.room import in_room, music_of
from nanoemox.theatre.scenery import draw_scene
from nanoemox.theatre.script import Script
from nanoemox.theatre.voice import MOUTH_STEP_S, SPEECH_RATE_HZ, Prosody, Speech, Voice, speak

FRAME_RATE_HZ = 25
FRAME_SIZE_PX = 192
SHORTEST_S, LONGEST_S = 3.0, 6.0
# Where the intent hangs on the moment: how long each such clip is, where its three moments are as shares of it, and
# how much of an expression is there outside its moment.
TIMED_S = 6.0
MOMENT_AT = {"beginning": 0.22, "middle": 0.5, "end": 0.78}
OUTSIDE = 0.35
# Shares of the clip: the apex is reached before the first and left after the second.
HOLD_FROM, HOLD_TO = 0.2, 0.86
_AUDIO_BIT_RATE = 48_000
# With B-frames, x264's macroblock tree reads what was in memory before (seen with MALLOC_PERTURB_ set), so
# the same frames would not always give the same bytes: it is off.
_VIDEO_OPTIONS = {"preset": "veryfast", "crf": "21", "threads": "1", "x264-params": "mbtree=0"}

Track = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """A script set in time."""

    speech: Speech
    prosody: Prosody
    frames: int
    voice_s: float  # when the first sound comes (the sigh, if there is one)
    first_word_s: float
    apex_s: float  # when the expression is fully there
    release_s: float  # when it begins to go
    cry: tuple[Speech, float] | None = None  # a cry, and when it begins
    flare_s: float | None = None  # when a face that is otherwise held back shows its expression in full

    @property
    def length_s(self) -> float:
        return self.frames / FRAME_RATE_HZ


def _generator(script: Script, part: str) -> np.random.Generator:
    """A generator for one part of a clip: a change in one part leaves the others as they were."""
    return np.random.default_rng([script.seed, *part.encode()])


def plan(script: Script) -> Plan:
    """Say the line, place voice and expression. The clip is as long as they need, within 3 to 6 s."""
    rng = _generator(script, "plan")
    prosody = Prosody(script.voice, script.strength, script.sigh, script.rising_end)
    speech = speak(script.spoken, Voice.from_id(script.voice_id), prosody, _generator(script, "voice"))
    before_s = speech.words[0][1]
    spare_s = max(0.0, 4.2 - speech.duration_s)
    first_word_s = max(0.1 + before_s, 0.3 + script.lead_s) + rng.uniform(0.0, min(0.35, 0.3 * spare_s))
    speech_end_s = first_word_s - before_s + speech.duration_s
    apex_s = first_word_s - script.lead_s
    wanted_s = max(SHORTEST_S, speech_end_s + rng.uniform(0.25, 0.8), apex_s / HOLD_FROM)
    frames = int(np.ceil(min(wanted_s, LONGEST_S) * FRAME_RATE_HZ))
    cry, flare_s = None, None
    if script.timing is not None:  # one length for all such clips, so that it tells nothing
        frames = round(TIMED_S * FRAME_RATE_HZ)
        moments = _generator(script, "moments")
        face_s, voice_s = (
            MOMENT_AT[moment] * TIMED_S + moments.uniform(-0.15, 0.15) for moment in script.timing
        )
        cried = speak("ah", Voice.from_id(script.voice_id), replace(prosody, sigh=False), moments)
        cry = (cried, voice_s - cried.duration_s / 2)
        flare_s = face_s if script.timed else None
    length_s = frames / FRAME_RATE_HZ
    late_s = max(
        0.0, speech_end_s - length_s
    )  # the longest lines start a little earlier, at the cost of the lead
    return Plan(
        speech=speech,
        prosody=prosody,
        frames=frames,
        voice_s=max(0.0, first_word_s - before_s - late_s),
        first_word_s=first_word_s - late_s,
        apex_s=min(apex_s, HOLD_FROM * length_s),
        release_s=rng.uniform(HOLD_TO, 0.92) * length_s,
        cry=cry,
        flare_s=flare_s,
    )


# ------------------------------------------------------------------------------------------------ motion
def _ease(share: Track) -> Track:
    """0 to 1 with no jerk at either end (minimum-jerk profile)."""
    s = np.clip(share, 0, 1)
    return np.asarray(s**3 * (10 - 15 * s + 6 * s * s))


def _wander(times_s: Track, rng: np.random.Generator, low_hz: float = 0.15, high_hz: float = 0.9) -> Track:
    """A slow movement about 0 with a spread of about 1."""
    total = np.zeros_like(times_s)
    for _ in range(3):
        total += np.sin(2 * np.pi * (rng.uniform(low_hz, high_hz) * times_s + rng.random()))
    return np.asarray(total / np.sqrt(1.5))


def _blinks(times_s: Track, rng: np.random.Generator) -> Track:
    """Lid closure [n]: a blink of 160 to 240 ms every 1.5 to 4 s."""
    closed = np.zeros_like(times_s)
    at_s = rng.uniform(0.2, 2.5)
    while at_s < times_s[-1]:
        closed = np.maximum(closed, np.clip(1.3 - np.abs(times_s - at_s) / rng.uniform(0.062, 0.092), 0, 1))
        at_s += rng.uniform(1.5, 4.0)
    return closed


def _glances(times_s: Track, rng: np.random.Generator) -> tuple[Track, Track]:
    """Gaze [n] across and down: mostly at the camera, with short looks aside."""
    x, y = np.zeros_like(times_s), np.zeros_like(times_s)
    at_s = rng.uniform(0.0, 0.6)
    while at_s < times_s[-1]:
        aside = rng.random() < 0.4
        x[times_s >= at_s] = rng.normal(0, 0.4 if aside else 0.07)
        y[times_s >= at_s] = rng.normal(0, 0.2 if aside else 0.05)
        at_s += rng.uniform(0.25, 0.7) if aside else rng.uniform(0.5, 1.4)
    return np.clip(x, -0.8, 0.8), np.clip(y, -0.5, 0.5)


def _talking(staged: Plan, times_s: Track) -> Track:
    """Mouth opening of the speech at the frames [n]."""
    per_frame = round(1 / FRAME_RATE_HZ / MOUTH_STEP_S)
    smooth = np.convolve(staged.speech.mouth, np.ones(per_frame) / per_frame, "same")
    steps_s = staged.voice_s + (np.arange(len(smooth)) + 0.5) * MOUTH_STEP_S
    return np.asarray(np.interp(times_s, steps_s, smooth, left=0.0, right=0.0))


def poses(script: Script, staged: Plan) -> list[Pose]:
    """The face at every frame."""
    rng = _generator(script, "motion")
    times_s: Track = (np.arange(staged.frames, dtype=np.float64) + 0.5) / FRAME_RATE_HZ
    targets = expression(script.face, script.face_optional, script.strength)
    tracks: dict[str, Track] = {name: np.zeros(staged.frames) for name in Pose.__dataclass_fields__}

    onset_s, offset_s = rng.uniform(0.25, 0.5), rng.uniform(0.3, 0.6)
    stays = rng.uniform(0.0, 0.5)  # share of the expression still there at the very end of a slow offset
    aside = float(rng.choice((-1.0, 1.0)))
    for name, target in targets.items():
        lag_s = rng.uniform(-0.04, 0.0)
        rise = _ease((times_s - (staged.apex_s + lag_s - onset_s)) / onset_s)
        fall = (1 - stays) * _ease((times_s - staged.release_s) / offset_s)
        shape = np.ones_like(times_s) if script.face == "hidden" else rise * (1 - fall)
        if staged.flare_s is not None:
            flare = _ease((times_s - (staged.flare_s - 0.55)) / 0.3) * _ease(
                (staged.flare_s + 0.55 - times_s) / 0.3
            )
            shape *= OUTSIDE + (1 - OUTSIDE) * flare
        shape *= 1 + 0.03 * _wander(times_s, rng)
        tracks[name] += (aside if name == "yaw" else 1.0) * target * shape
    for name, track in tracks.items():  # no face is ever quite at rest
        if name.startswith("au") and name != "au43":
            track += 0.025 * np.abs(_wander(times_s, rng))
    tracks["au43"] = np.maximum(tracks["au43"], _blinks(times_s, rng))

    liveliness = rng.uniform(0.5, 1.3) * script.dials.motion
    for name, reach in (("yaw", 0.05), ("pitch", 0.08), ("roll", 0.1)):
        tracks[name] += liveliness * reach * _wander(times_s, rng) + script.dials.motion * rng.normal(0, 0.03)
    for word, start_s, end_s in staged.speech.words:  # small nods on the longer words
        if len(word) > 3 and rng.random() < 0.6:
            middle_s = staged.voice_s + (start_s + end_s) / 2
            tracks["pitch"] += liveliness * 0.12 * np.exp(-(((times_s - middle_s) / 0.12) ** 2))
    tracks["gaze_x"], tracks["gaze_y"] = _glances(times_s, rng)
    tracks["speech"] = rng.uniform(0.75, 1.0) * _talking(staged, times_s)

    signed = ("gaze_x", "gaze_y", "yaw", "pitch", "roll")
    for name, track in tracks.items():
        np.clip(track, -1.0 if name in signed else 0.0, 1.0, out=track)
    rows = zip(*(track.tolist() for track in tracks.values()), strict=True)
    return [Pose(**dict(zip(tracks, row, strict=True))) for row in rows]


def perform(script: Script, staged: Plan | None = None) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The frames [n, S, S, 3] and the sound [N] of a script."""
    staged = staged or plan(script)
    scene = draw_scene(script.place, script.prop, script.light, FRAME_SIZE_PX, _generator(script, "scene"))
    rng = _generator(script, "camera")
    camera = Camera.for_scene(scene, rng)
    camera = replace(camera, noise=camera.noise * script.dials.noise)
    times_s: Track = np.arange(staged.frames) / FRAME_RATE_HZ
    sway = rng.uniform(0.0, 0.004)
    across, down = sway * _wander(times_s, rng), sway * _wander(times_s, rng)
    actor = Actor(Person.from_id(script.person_id), FRAME_SIZE_PX)
    frames = np.empty((staged.frames, FRAME_SIZE_PX, FRAME_SIZE_PX, 3), np.uint8)
    for k, pose in enumerate(poses(script, staged)):
        moved = replace(camera, shift_x=camera.shift_x + across[k], shift_y=camera.shift_y + down[k])
        frames[k] = actor.draw(pose, scene, moved, rng)
    sound = in_room(
        staged.speech,
        staged.prosody,
        staged.voice_s,
        staged.length_s,
        _generator(script, "room"),
        cry=staged.cry,
        noise=script.dials.noise,
        music=_music(script, staged),
    )
    return frames, sound


def _music(script: Script, staged: Plan) -> NDArray[np.float32] | None:
    if not script.dials.music:
        return None
    samples = round(staged.length_s * SPEECH_RATE_HZ)
    return music_of(samples, script.dials.music, _generator(script, "music"))


# ------------------------------------------------------------------------------------------------ file
def write_clip(path: Path, frames: NDArray[np.uint8], sound: NDArray[np.float32], comment: str = "") -> None:
    """Write frames [n, H, W, 3] and sound [N] as H.264 + AAC. Same input, same bytes.

    The file appears under its name only when it is complete.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with av.open(str(part), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            if comment:
                container.metadata["comment"] = comment
            video = container.add_stream("libx264", rate=FRAME_RATE_HZ, options=dict(_VIDEO_OPTIONS))
            video.height, video.width = frames.shape[1:3]
            video.pix_fmt = "yuv420p"
            video.codec_context.thread_count = 1
            video.codec_context.flags |= av.codec.context.Flags.bitexact
            audio = container.add_stream("aac", rate=SPEECH_RATE_HZ, layout="mono")
            audio.bit_rate = _AUDIO_BIT_RATE
            audio.codec_context.flags |= av.codec.context.Flags.bitexact
            for k, pixels in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                picture.pts, picture.time_base = k, Fraction(1, FRAME_RATE_HZ)
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
            heard = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = SPEECH_RATE_HZ, 0, Fraction(1, SPEECH_RATE_HZ)
            container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def render(script: Script, path: Path, comment: str = "") -> None:
    """Draw, voice and write one clip. `comment` goes into the file's metadata."""
    frames, sound = perform(script)
    write_clip(path, frames, sound, comment)

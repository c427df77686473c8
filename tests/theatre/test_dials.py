"""Dials of the generated world: each changes what it names; at their defaults everything stays byte for byte."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.theatre import words, world
from nanoemox.theatre.dials import DEFAULT, Dials, dials_of
from nanoemox.theatre.make import make_clip, stamp
from nanoemox.theatre.render import MOMENT_AT, TIMED_S, perform, plan, poses
from nanoemox.theatre.script import SPLITS, stage_script

TIMED = Dials(timing=1.0)


@pytest.mark.parametrize(
    ("index", "split", "expected"), [(3, "test", "50e57cfc967b938b"), (7, "train", "3130e64cc3572519")]
)
def test_pictures_and_audio_are_those_from_before_there_were_dials(
    index: int, split: str, expected: str
) -> None:
    frames, sound = perform(stage_script(index, 1, split))
    assert hashlib.sha256(frames.tobytes() + sound.tobytes()).hexdigest()[:16] == expected


def test_a_dial_leaves_all_else_of_a_script_as_it_is() -> None:
    for index in range(40):
        before = stage_script(index, 2, "train")
        for changed in (
            Dials(intensity=0.5),
            Dials(music=1),
            Dials(noise=3),
            Dials(motion=0),
            Dials(timing=1),
        ):
            after = stage_script(index, 2, "train", changed)
            same = ("person_id", "voice_id", "place", "light", "lead_s", "face", "voice", "prop")
            assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
            assert after.id != before.id and stamp(after) != stamp(before)
            assert after.record()["factors"]["dials"] == changed.changed()
        assert "dials" not in before.record()["factors"] and "timing" not in before.record()["factors"]


def test_intensity_occlusion_and_conflict_do_what_they_say() -> None:
    weak = stage_script(1, 2, "train", Dials(intensity=0.5))
    assert weak.strength == pytest.approx(stage_script(1, 2, "train").strength / 2)
    hidden = [stage_script(i, 2, "train", Dials(occlusion=0.5)).face == "hidden" for i in range(600)]
    assert 0.43 < np.mean(hidden) < 0.57
    for share in (0.0, 0.9):
        shown = [stage_script(i, 2, "train", Dials(conflict=share)) for i in range(900)]
        both = [s for s in shown if s.plot.emotion in ("anger", "disgust", "fear", "happiness", "sadness")]
        assert np.mean([s.meant in world.BLENDS for s in both]) == pytest.approx(share, abs=0.05)


def test_noise_motion_and_music_change_only_their_stream() -> None:
    frames, sound = perform(stage_script(5, 3, "val"))
    still = [pose.yaw for pose in _poses(Dials(motion=0.0))]
    assert np.std(still) < 1e-6 < np.std([pose.yaw for pose in _poses(DEFAULT)])
    seen, heard = perform(stage_script(5, 3, "val", Dials(music=1.0)))
    assert np.array_equal(seen, frames) and np.mean((heard - sound) ** 2) > 1e-4
    grainy, _ = perform(stage_script(5, 3, "val", Dials(noise=8.0)))
    assert (
        np.abs(np.diff(grainy[0].astype(int), axis=0)).mean()
        > np.abs(np.diff(frames[0].astype(int), axis=0)).mean()
    )


def _poses(dials: Dials) -> list:
    script = stage_script(5, 3, "val", dials)
    assert script.face != "hidden"
    return poses(script, plan(script))


def test_the_intent_hangs_on_the_moment_and_on_all_three_modalities() -> None:
    scripts = [s for i in range(1500) if (s := stage_script(i, 4, "train", TIMED)).timed]
    assert len(scripts) > 700
    for script in scripts:
        _, first, second = world.FAMILIES[script.plot.family]
        assert script.timing is not None
        meant = first if script.timing.face == script.timing.voice else second
        assert script.intent == meant[0]
        assert script.record()["labels"]["intent"]["label"] == meant[0].capitalize()
    # Neither moment alone tells anything.
    for stream in ("face", "voice"):
        pairs = Counter((getattr(s.timing, stream), s.timing.together) for s in scripts if s.timing)
        for moment in world.MOMENTS:
            met, not_met = pairs[moment, True], pairs[moment, False]
            assert met / (met + not_met) == pytest.approx(0.5, abs=0.09)


def test_face_and_voice_have_their_moment_where_the_script_says() -> None:
    scripts = [s for i in range(60) if (s := stage_script(i, 4, "test", TIMED)).timed][:12]
    for script in scripts:
        staged = plan(script)
        assert staged.length_s == TIMED_S and staged.cry is not None and script.timing is not None
        tracks = np.array(
            [[getattr(p, f"au{k}") for k in (1, 2, 4, 6, 12, 15, 24)] for p in poses(script, staged)]
        )
        flare_s = (tracks.sum(axis=1).argmax() + 0.5) / 25
        assert flare_s == pytest.approx(MOMENT_AT[script.timing.face] * TIMED_S, abs=0.75)
        cried_s = staged.cry[1] + staged.cry[0].duration_s / 2
        assert cried_s == pytest.approx(MOMENT_AT[script.timing.voice] * TIMED_S, abs=0.2)


def test_ceilings_of_the_timed_world() -> None:
    best = world.ceilings(TIMED)
    assert best["all"]["intent"] > 0.95 and best["words"]["intent"] < 0.56
    assert best["video+audio"]["intent"] < 0.15
    mass = {"with order": world.masses(("face", "scene", "voice", "words"), TIMED)["intent"]}
    blind: dict[tuple[object, ...], Counter[str]] = {}
    for seen, row in mass["with order"].items():  # an observer who cannot tell when what happened
        blind.setdefault(tuple("?" if isinstance(part, bool) else part for part in seen), Counter()).update(
            row
        )
    assert sum(max(row.values()) for row in blind.values()) < 0.65


def test_needed_modalities_add_up() -> None:
    needed = world.needed_modalities()
    assert all(sum(row.values()) == pytest.approx(1, abs=1e-3) for row in needed.values())
    assert needed["cause"]["one"] == 1.0 and needed["intent"]["one"] == 0.0
    assert needed["emotion"]["two"] > 0.7


def test_more_wordings_are_ten_a_family_and_of_one_split() -> None:
    for dials in (Dials(wordings="more"), Dials(language="zh")):
        for family in world.FAMILIES:
            found = [set(words.cores(family, split, dials)) for split in SPLITS]
            assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
            if dials.language == "en":
                assert len(found[2]) == 10 and found[0] == set(words.cores(family, "train"))


def test_chinese_lines_are_chinese_and_can_be_said() -> None:
    for index in range(60):
        script = stage_script(index, 6, "test", Dials(language="zh"))
        assert not re.search("[A-Za-z]", script.text) and script.record()["language"] == "zh"
        assert re.fullmatch("[a-z, ]+", script.spoken)
    assert plan(stage_script(0, 6, "test", Dials(language="zh"))).speech.words


def test_a_clip_with_dials_is_made_and_kept(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    dials = Dials(timing=1.0, music=0.5)
    record, made = make_clip(0, 9, "val", tmp_path, dials)
    assert made and not make_clip(0, 9, "val", tmp_path, dials)[1]
    assert record["id"] == f"val{dials.mark}-9-000000" and record["factors"]["dials"] == {
        "music": 0.5,
        "timing": 1.0,
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["timig=1"], "one of intensity"), (["timing=x"], "expected a number"), (["noise=-1"], "from 0 to 10"),
        (["noise=nan"], "from 0 to 10"), (["language=fr"], "en, zh"), (["music=1", "music=2"], "given twice"),
    ],
)  # fmt: skip
def test_wrong_dials_are_named(given: list[str], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        dials_of(given)
    assert dials_of(["timing=0.5", "language=zh"]) == Dials(timing=0.5, language="zh")

"""Voices of Affect Theatre: repeatable, well formed, told apart by ear-like measures whoever speaks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nanoemox.theatre.room import in_room
from nanoemox.theatre.voice import (
    LONGEST_SPEECH_S,
    MOUTH_STEP_S,
    SPEECH_RATE_HZ,
    STYLES,
    Prosody,
    Speech,
    Voice,
    speak,
)

LINES = (
    "Well done, I admire how you did that.",
    "So, this always goes wrong with me, ever since the letter.",
    "Thanks for being so kind to me.",
    "Listen, I was wondering how you feel, with the present and all.",
)
LONG = "Well, I have had enough trouble with this already, ever since the puddle of juice, I like this day."


def say(style: str, voice: str = "anna", line: str = LINES[0], seed: int = 0, **how: object) -> Speech:
    return speak(line, Voice.from_id(voice), Prosody(style, **how), np.random.default_rng(seed))  # type: ignore[arg-type]


def recording(style: str, voice: str, line: str, seed: int, **how: object) -> NDArray[np.float32]:
    speech = say(style, voice, line, seed, **how)
    prosody = Prosody(style, **how)  # type: ignore[arg-type]
    return in_room(speech, prosody, 0.3, speech.duration_s + 0.6, np.random.default_rng(seed + 1))


def measures(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a listener might note: pitch track, loudness, spectrum and their movements; not the level."""
    sound = (sound - sound.mean()) / sound.std()
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::160] * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames, 2048, axis=1)) ** 2
    hz = np.fft.rfftfreq(2048, 1 / SPEECH_RATE_HZ)
    edges = np.geomspace(80, 7800, 25)
    bands = np.log(np.stack([power[:, (hz >= a) & (hz < b)].mean(1) for a, b in pairwise(edges)], 1) + 1e-2)
    loud = bands.mean(1)
    heard = loud > np.quantile(loud, 0.1) + 0.4 * np.ptp(np.quantile(loud, [0.1, 0.95]))
    echo = np.fft.irfft(power * (hz < 1500), axis=1)[:, :300] / (1 - np.arange(300) / 1024)
    echo /= echo[:, :1] + 1e-9
    lags = 28 + np.argmax(echo[:, 28:] > 0.9 * echo[:, 28:].max(1, keepdims=True), axis=1)
    strength = echo[:, 28:].max(1)
    voiced = heard & (strength > 0.5)
    if voiced.sum() < 10:
        voiced[:] = True
    pitch = 12 * np.log2(SPEECH_RATE_HZ / lags[voiced] / 100)
    melody = np.clip(pitch - np.median(pitch), -14, 14)
    when = np.flatnonzero(voiced) / 100
    even = np.interp(np.arange(len(loud)) / 100, when, melody)
    even -= np.convolve(even, np.ones(21) / 21, "same")
    beats = np.fft.rfftfreq(1024, 0.01)
    swings = [np.abs(np.fft.rfft((x - x.mean())[:1024], 1024)) ** 2 for x in (loud, even)]
    moves = [np.log(s[(beats >= a) & (beats < a + 2)].mean() + 1e-6) for s in swings for a in range(0, 14, 2)]
    steps = np.clip(np.diff(pitch)[np.diff(np.flatnonzero(voiced)) == 1], -3, 3)
    numbers = [
        np.median(pitch), melody.std(), *np.quantile(melody, [0.1, 0.9]), np.polyfit(when, melody, 1)[0],
        melody[-12:].mean() - np.median(melody[-50:]), np.abs(steps).mean() if len(steps) else 0.0,
        strength[voiced].mean(), heard.mean(), heard.sum() / 100, *np.quantile(loud, [0.05, 0.5, 0.95]),
        np.quantile(np.diff(loud), 0.98), *moves,
    ]  # fmt: skip
    opening = bands[20:75].mean(0) - np.quantile(bands, 0.05, axis=0)
    return np.concatenate([numbers, bands[heard].mean(0), bands[heard].std(0), opening])


def heard_apart(rows: Sequence[tuple[NDArray[np.float64], object, bool]]) -> float:
    """Accuracy on unseen voices of a linear classifier trained on the rest. Rows: (measures, label, seen)."""
    x = np.stack([row[0] for row in rows])
    y = np.array([str(row[1]) for row in rows])
    seen = np.array([row[2] for row in rows])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return float(model.fit(x[seen], y[seen]).score(x[~seen], y[~seen]))


@pytest.fixture(scope="module")
def cast() -> list[tuple[NDArray[np.float64], str, bool, bool, float, bool]]:
    """(measures, style, sigh, rising end, strength, seen voice) of many recordings, every voice used once."""
    rng = np.random.default_rng(3)
    rows = []
    for k in range(252):
        style = list(STYLES)[k % len(STYLES)]
        strength = float(rng.choice([rng.uniform(0.55, 0.68), rng.uniform(0.9, 1.0)]))
        sigh, rising = bool(rng.random() < 0.4), bool(rng.random() < 0.4)
        seen = k < 186
        line = LINES[int(rng.integers(len(LINES)))]
        sound = recording(style, f"{seen}-{k}", line, k, strength=strength, sigh=sigh, rising_end=rising)
        rows.append((measures(sound), style, sigh, rising, strength, seen))
    return rows


def test_styles_are_heard_whoever_speaks(cast) -> None:  # type: ignore[no-untyped-def]
    assert heard_apart([(m, style, seen) for m, style, _, _, _, seen in cast]) > 0.9


def test_sigh_and_rising_end_are_heard(cast) -> None:  # type: ignore[no-untyped-def]
    clear = [row for row in cast if row[1] != "drowned"]
    assert heard_apart([(m, sigh, seen) for m, _, sigh, _, _, seen in clear]) > 0.9
    assert heard_apart([(m, rising, seen) for m, _, _, rising, _, seen in clear]) > 0.8


def test_a_voice_is_the_same_for_the_same_id_and_another_for_another() -> None:
    assert Voice.from_id("a") == Voice.from_id("a")
    voices = [Voice.from_id(f"v{k}") for k in range(200)]
    pitches = np.array([v.pitch_hz for v in voices])
    assert pitches.min() < 100 and pitches.max() > 225
    assert all(85 <= v.pitch_hz <= 260 and 0.85 <= v.formant_scale <= 1.2 for v in voices)


@pytest.mark.parametrize("style", STYLES)
def test_speech_is_repeatable_and_well_formed(style: str) -> None:
    speech, again = (say(style, sigh=True, rising_end=True, strength=0.6) for _ in range(2))
    np.testing.assert_array_equal(speech.samples, again.samples)
    assert speech.samples.dtype == np.float32
    assert np.isfinite(speech.samples).all()
    assert speech.duration_s == len(speech.samples) / SPEECH_RATE_HZ
    assert abs(len(speech.mouth) * MOUTH_STEP_S - speech.duration_s) < 0.03
    assert speech.mouth.min() >= 0 and speech.mouth.max() > 0.4
    assert [word for word, _, _ in speech.words] == [
        "Well",
        "done",
        "I",
        "admire",
        "how",
        "you",
        "did",
        "that",
    ]
    times = [t for _, start, end in speech.words for t in (start, end)]
    assert times == sorted(times) and times[0] > 0.4 and times[-1] <= speech.duration_s


def test_pace_melody_and_level_follow_the_style() -> None:
    speeches = {style: say(style) for style in STYLES}
    spread = {s: np.log2(x.pitch_hz[x.pitch_hz > 0]).std() * 12 for s, x in speeches.items()}
    level = {s: np.sqrt(np.mean(x.samples**2)) for s, x in speeches.items()}
    assert (
        speeches["slow"].duration_s
        > 1.4 * speeches["drowned"].duration_s
        > 1.5 * speeches["bright"].duration_s
    )
    assert spread["bright"] > 2 * spread["drowned"] and spread["flat"] < 0.6
    assert level["slow"] < 0.7 * level["flat"] < level["harsh"]


def test_a_rising_end_rises_and_others_do_not() -> None:
    for style in ("bright", "flat", "slow", "harsh", "trembling"):
        last = {}
        for rising in (False, True):
            pitch = say(style, rising_end=rising, line=LINES[2]).pitch_hz
            voiced = pitch[pitch > 0]
            last[rising] = 12 * np.log2(voiced[-8:].mean() / np.median(voiced))
        assert last[True] > 3 and last[False] < 1.5, (style, last)


def test_the_longest_line_fits_and_a_line_in_any_script_can_be_said() -> None:
    assert say("slow", line=LONG, sigh=True).duration_s <= LONGEST_SPEECH_S + 0.1
    assert len(say("flat", line="Привет, 你好").words) == 2
    with pytest.raises(ValueError, match="at least one word"):
        say("flat", line="…!")


def test_the_room_keeps_the_level_in_bounds_and_says_when_speech_does_not_fit() -> None:
    speech = say("harsh")
    sound = in_room(speech, Prosody("drowned"), 0.2, speech.duration_s + 0.5, np.random.default_rng(0))
    assert np.abs(sound).max() < 1.0
    quiet = in_room(speech, Prosody("harsh"), 0.5, speech.duration_s + 1.0, np.random.default_rng(0))[:6000]
    assert 0.001 < np.sqrt(np.mean(quiet**2)) < 0.01, "a steady microphone noise floor"
    with pytest.raises(ValueError, match="does not fit"):
        in_room(speech, Prosody("harsh"), 0.2, speech.duration_s, np.random.default_rng(0))


def test_unknown_styles_are_named() -> None:
    with pytest.raises(ValueError, match="bright, harsh"):
        Prosody("shouted")


def test_a_line_takes_milliseconds() -> None:
    say("flat")
    start = time.perf_counter()
    for seed in range(5):
        say("slow", line=LINES[1], seed=seed)
    assert (time.perf_counter() - start) / 5 < 0.2

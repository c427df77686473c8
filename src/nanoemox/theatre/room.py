"""The room a line is recorded in: reverberation, the microphone's noise floor, crowds that drown a voice."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve

from nanoemox.theatre.voice import SPEECH_RATE_HZ, Array, Prosody, Speech

CRY_GAIN = 2.5  # of a cry beside the line


def music_of(n: int, loudness: float, rng: np.random.Generator) -> Array:
    """Music [N]: plucked chords of three notes, one after another, `loudness` times as loud as a voice.

    Args:
        n: How many samples.
        loudness: 1 is as loud as a line of speech.
        rng: Draws key, chords and tempo; they go with nothing else in a clip.

    Returns:
        The samples.
    """
    total = np.zeros(n, np.float64)
    beat = int(rng.uniform(0.35, 0.8) * SPEECH_RATE_HZ)
    key_hz, third = 130.8 * 2 ** (rng.integers(12) / 12), int(rng.choice((3, 4)))
    for begin in range(0, n, beat):
        root = int(rng.choice((0, 5, 7, 9)))
        times_s = np.arange(min(n - begin, 2 * beat)) / SPEECH_RATE_HZ
        for step in (0, third, 7):
            hz = key_hz * 2 ** ((root + step) / 12)
            tone = sum(np.sin(2 * np.pi * k * hz * times_s) / k**1.5 for k in (1, 2, 3))
            total[begin : begin + len(times_s)] += tone * np.exp(-4.0 * times_s)
    return np.asarray(0.1 * loudness * total / np.sqrt(np.mean(total**2)), np.float32)


def _coloured(n: int, low_hz: float, high_hz: float, slope_db: float, rng: np.random.Generator) -> Array:
    """Noise of unit power between two frequencies, falling by `slope_db` per octave."""
    fast_n = -(-n // 4000) * 4000  # lengths with large prime factors are slow to transform
    hz = np.fft.rfftfreq(fast_n, 1 / SPEECH_RATE_HZ)
    shape = (np.maximum(hz, low_hz) / low_hz) ** (-slope_db / 6.02) * ((hz > low_hz) & (hz < high_hz))
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(fast_n)) * shape, fast_n)[:n]
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), np.float32)


def _crowd(n: int, rng: np.random.Generator) -> Array:
    """Babble over traffic: several streams of speech-coloured noise that come and go, and a rumble."""
    total = 0.8 * _coloured(n, 40, 900, 4.0, rng)
    for _ in range(4):
        low_hz = rng.uniform(180, 500)
        swell = gaussian_filter1d(rng.standard_normal(n // 160 + 2), rng.uniform(5, 9))
        swell = np.clip(0.9 + 0.7 * swell / swell.std(), 0.05, None)
        total += _coloured(n, low_hz, rng.uniform(2500, 6500), 3.0, rng) * np.repeat(swell, 160)[:n].astype(
            np.float32
        )
    return np.asarray(total / np.sqrt(np.mean(total**2)), np.float32)


def in_room(
    speech: Speech,
    prosody: Prosody,
    start_s: float,
    length_s: float,
    rng: np.random.Generator,
    *,
    cry: tuple[Speech, float] | None = None,
    noise: float = 1.0,
    music: Array | None = None,
) -> Array:
    """A recording [N] of `length_s`, the speech from `start_s` on: reverberation, a steady noise floor, and
    for the drowned style a crowd that buries it. Peaks stay below 1.

    The floor does not depend on the speaker, so loudness survives a normalisation of the recording.

    Args:
        speech: What is said.
        prosody: How.
        start_s: When it begins.
        length_s: How long the recording is.
        rng: Draws the room.
        cry: A cry of the same voice and when it begins; the speech stands back meanwhile.
        noise: Factor on the floor.
        music: What is played beside, [N].

    Returns:
        The recording.

    Raises:
        ValueError: When the speech does not fit.
    """
    n = round(length_s * SPEECH_RATE_HZ)
    first = round(start_s * SPEECH_RATE_HZ)
    if first < 0 or first + len(speech.samples) > n:
        raise ValueError(
            f"speech of {speech.duration_s:.2f} s from {start_s:.2f} s on does not fit in {length_s:.2f} s: "
            "ask for a longer recording"
        )
    dry = np.zeros(n, np.float32)
    dry[first : first + len(speech.samples)] = speech.samples
    if cry is not None:
        cried, cry_s = cry
        begin = round(cry_s * SPEECH_RATE_HZ)
        end = min(n, begin + len(cried.samples))
        dry[begin:end] = 0.15 * dry[begin:end] + CRY_GAIN * cried.samples[: end - begin]
    decay_s = rng.uniform(0.08, 0.28)
    tail = rng.standard_normal(int(decay_s * SPEECH_RATE_HZ)) * 10 ** (
        -3 * np.linspace(0, 1, int(decay_s * SPEECH_RATE_HZ))
    )
    tail *= 10 ** (rng.uniform(-22, -12) / 20) / np.sqrt(np.sum(tail**2))
    wet = dry + fftconvolve(dry, tail.astype(np.float32))[:n]
    wet += noise * 10 ** (rng.uniform(-53, -45) / 20) * _coloured(n, 60, 7500, rng.uniform(1.0, 3.5), rng)
    if prosody.style == "drowned":
        wet += 10 ** ((rng.uniform(-13, -11) + 4 * prosody.strength) / 20) * _crowd(n, rng)
    if music is not None:
        wet += music[:n]
    return np.asarray(0.98 * np.tanh(wet / 0.98), np.float32)

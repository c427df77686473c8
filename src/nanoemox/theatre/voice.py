"""Voices of Affect Theatre: a source-filter synthesiser whose styles are the voice cues of a script.

A line becomes speech-like syllables timed to its letters, a glottal pulse train follows a melody, and
resonators shape it frame by frame. Words are not meant to be understood (the subtitle carries them); style,
sigh and final rise are meant to be heard, whoever speaks. Who speaks (register, formants, breath, tempo,
level) is a nuisance drawn from a hash of the voice's id. Source and filter: Fant (1960); glottal
pulse: Rosenberg (1971); resonators: Klatt (1980).

Letters: N samples at SPEECH_RATE_HZ, M control frames of CONTROL_S, F frequency bins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from nanoemox.theatre.people import seeded
from nanoemox.theatre.sounds import UNSTRESSED, Sound, sounds_of

SPEECH_RATE_HZ = 16_000
CONTROL_S = 0.005  # melody, loudness and formants are set every 5 ms
MOUTH_STEP_S = 0.010
LONGEST_SPEECH_S = 5.0  # a longer line is spoken faster, so that a clip stays within 6 s
_STEP = 80  # samples per control frame
_WINDOW, _FFT = 2 * _STEP, 512  # 10 ms window; the resonators may ring for another 22 ms
_SECONDS_PER_WEIGHT = 0.07  # how long a sound of weight 1 lasts at tempo 1
_WORD = re.compile(r"(?P<word>[^\W_]+(?:['’][^\W_]+)*)(?P<stop>[^\w]*)")

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Voice:
    """What stays the same whatever a voice says."""

    id: str
    pitch_hz: float
    formant_scale: float  # 1 is an adult of medium height; larger is a shorter vocal tract
    breath: float  # share of air noise in the source
    tilt_db: float  # brighter (+) or darker (-) than usual, dB per octave above 500 Hz
    jitter: float  # cycle-to-cycle variation of the period, fraction
    rate_scale: float
    gain_db: float

    @classmethod
    def from_id(cls, voice_id: str) -> Voice:
        """The voice behind an id: always the same."""
        rng = seeded(f"voice/{voice_id}")
        pitch_hz = float(85 * (260 / 85) ** rng.random())
        expected_scale = 0.9 + 0.24 * np.log(pitch_hz / 85) / np.log(
            260 / 85
        )  # high voices tend to be small people
        return cls(
            id=voice_id,
            pitch_hz=pitch_hz,
            formant_scale=float(np.clip(expected_scale + rng.normal(0, 0.05), 0.85, 1.2)),
            breath=rng.uniform(0.0, 0.08),
            tilt_db=rng.uniform(-1.0, 1.0),
            jitter=rng.uniform(0.003, 0.009),
            rate_scale=rng.uniform(0.94, 1.07),
            gain_db=rng.uniform(-3.0, 3.0),
        )


@dataclass(frozen=True)
class Prosody:
    """How a line is said. `strength` is 0.55 (mild) to 1 (strong)."""

    style: str
    strength: float = 1.0
    sigh: bool = False
    rising_end: bool = False

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ValueError(f"unknown voice style {self.style!r}: expected one of {', '.join(STYLES)}")
        if not 0.0 < self.strength <= 1.0:
            raise ValueError(f"strength {self.strength}: expected more than 0 and at most 1")


@dataclass(frozen=True)
class Speech:
    """A spoken line, dry: `in_room` puts it into a room with a microphone."""

    samples: Array  # [N]
    words: tuple[tuple[str, float, float], ...]  # (word, start, end), seconds
    mouth: Array  # opening 0 to 1, one value each MOUTH_STEP_S
    duration_s: float
    pitch_hz: Array  # [M], 0 where unvoiced: what the synthesiser was told, for checks


@dataclass(frozen=True)
class _Manner:
    """The knobs of a style, set as for plain speech."""

    tempo: float = 1.0
    swing_st: float = 2.2  # height of a pitch accent, semitones
    fall_st: float = 2.5  # how far the melody sinks over the line
    evenness: float = 0.0  # 1: all syllables alike in length and weight
    tilt_db: float = 0.0
    breath: float = 0.03
    jitter: float = 0.0
    subharmonic: float = 0.0  # every second pulse weaker and late: a rough voice
    open_share: float = 0.62  # of a glottal cycle; small is pressed, large is breathy
    tremor_st: float = 0.0
    tremor_gain: float = 0.0
    attack_s: float = 0.030
    gap_s: float = 0.0  # silence between words
    accent_gain: float = 0.3
    gain_db: float = 0.0


_PLAIN = _Manner()
# What each style adds to the plain manner at full strength; a mild one adds just over half of it.
STYLES: dict[str, dict[str, float]] = {
    "bright": {"tempo": 0.22, "swing_st": 6.3, "tilt_db": 0.6, "accent_gain": 0.5, "gain_db": 1.0},
    "harsh": {
        "tempo": 0.05, "tilt_db": 5.0, "jitter": 0.026, "subharmonic": 0.42, "open_share": -0.24,
        "attack_s": -0.027, "gap_s": 0.045, "accent_gain": 0.9, "gain_db": 2.0,
    },
    "trembling": {
        "tempo": -0.05, "tilt_db": -2.0, "breath": 0.34, "jitter": 0.006, "open_share": 0.2,
        "tremor_st": 1.9, "tremor_gain": 0.5, "attack_s": 0.02, "accent_gain": -0.1, "gain_db": -2.0,
    },
    "flat": {
        "tempo": -0.06, "swing_st": -2.15, "fall_st": -2.4, "evenness": 1.0,
        "gap_s": 0.022, "accent_gain": -0.3,
    },
    "slow": {
        "tempo": -0.42, "swing_st": -0.7, "fall_st": 6.5, "tilt_db": -1.5, "breath": 0.03,
        "attack_s": 0.02, "gap_s": 0.06, "accent_gain": -0.1, "gain_db": -6.0,
    },
    "drowned": {"gain_db": -4.0},
}  # fmt: skip


@cache
def _manner(style: str, strength: float) -> _Manner:
    return replace(
        _PLAIN, **{knob: getattr(_PLAIN, knob) + strength * more for knob, more in STYLES[style].items()}
    )


@dataclass
class _Score:
    """The line laid out in time: one row per sound."""

    sounds: list[Sound]
    lengths_s: NDArray[np.float64]
    accents: NDArray[np.float64]  # 0 to 1 on the stressed vowel of a word
    words: list[tuple[str, int, int]]  # word, first and last + 1 row

    @property
    def ends_s(self) -> NDArray[np.float64]:
        return np.cumsum(self.lengths_s)


def _score(text: str, voice: Voice, manner: _Manner, longest_s: float, rng: np.random.Generator) -> _Score:
    sounds: list[Sound] = []
    lengths: list[float] = []
    accents: list[float] = []
    words: list[tuple[str, int, int]] = []
    pause = Sound(480, 1450, 2500, 0.0, mouth=0.03)
    pace = _SECONDS_PER_WEIGHT / (manner.tempo * voice.rate_scale)
    matches = list(_WORD.finditer(text))
    for k, match in enumerate(matches):
        word, first, stressed = match["word"], len(sounds), False
        function_word = word.lower() in UNSTRESSED
        row = sounds_of(word)
        vowels = max(1, sum(sound.vowel for sound in row))
        for sound in row:
            accent = 0.0
            length = sound.weight * pace * float(rng.uniform(0.85, 1.15))
            if sound.vowel:
                if not stressed and not function_word:
                    accent, stressed = float(rng.uniform(0.7, 1.0)), True
                length *= 1.3 if accent else 0.8 if function_word else 0.95
                even_s = 1.25 * pace * (1.4 if vowels == 1 else 1.0)
                length += manner.evenness * (even_s - length)
            sounds.append(sound)
            accents.append(accent)
            lengths.append(length)
        words.append((word, first, len(sounds)))
        rest = manner.gap_s + (0.09 / manner.tempo if match["stop"].strip() else 0.0)
        if rest > 0 and k + 1 < len(matches):
            sounds.append(pause)
            accents.append(0.0)
            lengths.append(rest)
    if not sounds:
        raise ValueError(f"nothing to say in {text!r}: expected at least one word; give the line some text")
    for row_index in range(words[-1][1], len(sounds)):  # the last word is drawn out
        if sounds[row_index].vowel:
            lengths[row_index] *= 1.35
    lengths_s = np.asarray(lengths)
    lengths_s *= min(1.0, longest_s / lengths_s.sum())
    return _Score(sounds, np.maximum(lengths_s, 0.011), np.asarray(accents), words)


# ------------------------------------------------------------------------------------------ sounds to samples
@cache
def _bins() -> tuple[Array, NDArray[np.complex64], Array]:
    hz = np.fft.rfftfreq(_FFT, 1 / SPEECH_RATE_HZ).astype(np.float32)
    delay = np.exp(-2j * np.pi * hz / SPEECH_RATE_HZ).astype(np.complex64)
    return hz, delay, np.hanning(_WINDOW + 1)[:-1].astype(np.float32)


def _resonance(
    centre_hz: NDArray[np.float64], width_hz: NDArray[np.float64] | float
) -> NDArray[np.complex64]:
    """Response [M, F] of a two-pole resonator with gain 1 at 0 Hz (Klatt 1980, eq. 1)."""
    _, z, _ = _bins()
    radius = np.exp(-np.pi * np.asarray(width_hz) / SPEECH_RATE_HZ)
    b = (2 * radius * np.cos(2 * np.pi * centre_hz / SPEECH_RATE_HZ)).astype(np.float32)
    c = np.broadcast_to(-(radius**2), b.shape).astype(np.float32)
    return ((1 - b - c)[:, None] / (1 - b[:, None] * z - c[:, None] * (z * z))).astype(np.complex64)


def _filter(source: Array, response: NDArray[np.complex64] | Array) -> Array:
    """Overlap-add of windowed frames [M, WINDOW] of `source`, each through its own response [M, F]."""
    M = len(response)
    padded = np.concatenate([np.zeros(_STEP, np.float32), source, np.zeros(_FFT, np.float32)])
    frames = sliding_window_view(padded, _WINDOW)[::_STEP][:M] * _bins()[2]
    shaped = np.fft.irfft(np.fft.rfft(frames, _FFT, axis=1) * response, _FFT, axis=1).astype(np.float32)
    hops = -(-_FFT // _STEP)
    shaped = np.pad(shaped, ((0, 0), (0, hops * _STEP - _FFT))).reshape(M, hops, _STEP)
    out = np.zeros((M + hops, _STEP), np.float32)
    for k in range(hops):
        out[k : k + M] += shaped[:, k]
    return np.asarray(out.reshape(-1)[_STEP : _STEP + len(source)], np.float32)


def _per_sample(track: NDArray[np.float64], n: int) -> Array:
    """A control track [M] at sample rate [n]: straight lines between its values."""
    grid = np.concatenate([track, track[-1:]]).astype(np.float32)
    steps = np.arange(_STEP, dtype=np.float32) / _STEP
    return (grid[:-1, None] + (grid[1:] - grid[:-1])[:, None] * steps).reshape(-1)[:n]


def _pulses(
    pitch_hz: Array, open_share: float, jitter: float, subharmonic: float, rng: np.random.Generator
) -> Array:
    """Glottal flow derivative [N] at a pitch [N]: one period, limited to 7.6 kHz, read at that pitch."""
    phase = np.cumsum(pitch_hz, dtype=np.float64) / SPEECH_RATE_HZ
    cycle = phase.astype(np.int64)
    even = (np.arange(cycle[-1] + 2) % 2) * subharmonic
    wobble = jitter * rng.standard_normal(cycle[-1] + 2) + 0.10 * even
    phase = np.cumsum(pitch_hz * (1 + wobble[cycle]), dtype=np.float64) / SPEECH_RATE_HZ
    cycle = np.minimum(phase.astype(np.int64), len(even) - 1)
    place = np.linspace(0, 1, 1024, endpoint=False)
    rise = 0.66 * open_share
    flow = np.where(
        place < rise,
        np.sin(np.pi * place / rise) * np.pi / (2 * rise),
        np.where(
            place < open_share,
            -np.sin(0.5 * np.pi * (place - rise) / (open_share - rise)) * np.pi / (2 * (open_share - rise)),
            0.0,
        ),
    )
    spectrum = np.fft.rfft(flow)
    spectrum[max(2, int(7600 / np.percentile(pitch_hz, 90))) :] = 0
    spectrum[0] = 0
    table = np.fft.irfft(spectrum).astype(np.float32)
    table /= np.sqrt(np.mean(table**2))
    weight = (1 - even + 1.5 * jitter * rng.standard_normal(len(even))).astype(np.float32)
    return np.asarray(table[(phase * 1024).astype(np.int64) & 1023] * weight[cycle], np.float32)


def _melody(
    score: _Score, centres_s: NDArray[np.float64], manner: _Manner, rising: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Pitch [M] in semitones about the voice's own: accents, a fall, tremor, the end."""
    ends_s = score.ends_s
    total_s = ends_s[-1]
    share = centres_s / total_s
    contour = manner.fall_st * (0.5 - share)
    middles_s = ends_s - 0.5 * score.lengths_s
    sign = 1.0
    for row in np.flatnonzero(score.accents):
        height = manner.swing_st * score.accents[row] * sign
        sign = 1.0 if sign < 0 else (-0.7 if rng.random() < 0.35 else 1.0)
        width_s = 0.06 + 0.5 * score.lengths_s[row]
        contour += height * np.exp(-(((centres_s - middles_s[row]) / width_s) ** 2))
    contour -= contour.mean()
    # The last two vowels, at most half a second, rise; or they sink, as far as the style has melody.
    vowel = [row for row, sound in enumerate(score.sounds) if sound.vowel][-2:][0]
    start_s = max(ends_s[vowel] - score.lengths_s[vowel], total_s - 0.5)
    along = np.clip((centres_s - start_s) / (total_s - start_s), 0, 1)
    if rising:
        contour = contour * (1 - 0.8 * (along > 0)) + rising * along**0.8
    else:
        contour -= (1 - manner.evenness) * 3.0 * along
    beat_hz = rng.uniform(5.2, 6.8)
    contour += manner.tremor_st * np.sin(2 * np.pi * (beat_hz * centres_s + rng.random()))
    drift = gaussian_filter1d(rng.standard_normal(len(centres_s)), 12)
    return np.asarray(contour + 0.15 * (1 - 0.7 * manner.evenness) * drift / (drift.std() + 1e-6))


def _sigh(voice: Voice, strength: float, rng: np.random.Generator) -> Array:
    """A breath let out: noise through an open mouth, its colour sinking, then a short silence."""
    length_s = rng.uniform(0.4, 0.5)
    M = int(length_s / CONTROL_S)
    share = np.linspace(0, 1, M)
    colour = voice.formant_scale * (1.15 - 0.35 * share)
    response = (
        _resonance(600 * colour, 250.0) * _resonance(1500 * colour, 300.0) * _resonance(2600 * colour, 400.0)
    )
    response *= np.sqrt(_bins()[0] / 1000)
    noise = rng.standard_normal(M * _STEP).astype(np.float32) * _per_sample(
        np.sin(np.pi * share**0.6) ** 1.3, M * _STEP
    )
    breath = _filter(noise, response)
    breath *= 0.035 * (0.85 + 0.4 * strength) / np.sqrt(np.mean(breath**2))
    return np.concatenate([breath, np.zeros(int(rng.uniform(0.06, 0.12) * SPEECH_RATE_HZ), np.float32)])


def speak(text: str, voice: Voice, prosody: Prosody, rng: np.random.Generator) -> Speech:
    """Say a line. The same arguments and generator state give the same samples.

    Errors: ValueError when the text holds no word.
    """
    manner = _manner(prosody.style, prosody.strength)
    before = _sigh(voice, prosody.strength, rng) if prosody.sigh else np.zeros(0, np.float32)
    before_s = len(before) / SPEECH_RATE_HZ
    score = _score(text, voice, manner, LONGEST_SPEECH_S - before_s, rng)
    ends_s = score.ends_s
    M = int(ends_s[-1] / CONTROL_S) + 8  # the voice dies away within the last 40 ms
    N = M * _STEP
    centres_s: NDArray[np.float64] = (np.arange(M, dtype=np.float64) + 0.5) * CONTROL_S
    row = np.minimum(np.searchsorted(ends_s, centres_s), len(score.sounds) - 1)
    table = np.array(
        [[s.f1, s.f2, s.f3, s.voice, s.breath, s.hiss, s.hiss_hz, s.mouth] for s in score.sounds]
    )[row]
    table[centres_s > ends_s[-1], 3:6] = 0.0

    rising = (6.5 + 2.5 * prosody.strength) if prosody.rising_end else 0.0
    semitones = _melody(score, centres_s, manner, rising, rng)
    pitch_hz = np.clip(voice.pitch_hz * 2 ** (semitones / 12), 55, 560)

    formants = gaussian_filter1d(table[:, :3], 0.014 / CONTROL_S, axis=0) * voice.formant_scale
    blur = max(1, round(manner.attack_s / CONTROL_S))
    accent_gain = 1 + manner.accent_gain * gaussian_filter1d(score.accents[row], 4)
    loudness = (
        uniform_filter1d(table[:, 3], blur)
        * accent_gain
        * (1 - manner.evenness * (accent_gain - 1) / accent_gain)
    )
    loudness *= 1 + 0.16 * (1 - manner.evenness) * np.interp(centres_s, [0, ends_s[-1]], [1, -1])
    beat_hz = rng.uniform(5.2, 6.8)
    loudness *= 1 - manner.tremor_gain * (
        0.5 + 0.5 * np.sin(2 * np.pi * (beat_hz * centres_s + rng.random()))
    )

    response = (
        _resonance(formants[:, 0], 70.0)
        * _resonance(formants[:, 1], 95.0)
        * _resonance(formants[:, 2], 140.0)
    )
    response *= _resonance(np.full(1, 3500 * voice.formant_scale), 220.0) * _resonance(
        np.full(1, 4500 * voice.formant_scale), 280.0
    )
    hz = _bins()[0]
    octaves = np.log2(np.maximum(hz, 250) / 500)
    response *= (10 ** ((manner.tilt_db + voice.tilt_db + 1.0) * octaves / 20)).astype(np.float32)

    breath = manner.breath + voice.breath
    air = rng.standard_normal(N).astype(np.float32)
    amplitude = _per_sample(loudness, N)
    pulses = _pulses(
        _per_sample(pitch_hz, N), manner.open_share, manner.jitter + voice.jitter, manner.subharmonic, rng
    )
    source = pulses * amplitude * (1 - 0.7 * breath)
    source += air * (1.1 * breath * amplitude + _per_sample(uniform_filter1d(table[:, 4], 3), N))
    spoken = _filter(source, response)
    hiss = np.exp(-0.5 * ((hz - table[:, 6:7]) / (0.28 * table[:, 6:7])) ** 2).astype(np.float32)
    hiss *= uniform_filter1d(table[:, 5:6], 3, axis=0).astype(np.float32)
    spoken *= 0.1 / np.sqrt(np.mean(spoken**2))
    spoken += 0.16 * _filter(air[::-1].copy(), hiss)
    spoken *= 10 ** ((manner.gain_db + voice.gain_db) / 20)

    opening = uniform_filter1d(table[:, 7] * np.minimum(1.0, 0.3 + accent_gain * 0.7), 9)
    opening[centres_s > ends_s[-1]] *= 0.3
    mouth = np.concatenate([np.full(round(before_s / MOUTH_STEP_S), 0.18), opening[::2]]).astype(np.float32)
    starts_s = ends_s - score.lengths_s
    samples = np.concatenate([before, spoken.astype(np.float32)])
    return Speech(
        samples=samples,
        words=tuple(
            (w, float(before_s + starts_s[a]), float(before_s + ends_s[b - 1])) for w, a, b in score.words
        ),
        mouth=np.clip(mouth, 0, 1),
        duration_s=len(samples) / SPEECH_RATE_HZ,
        pitch_hz=np.where(loudness > 0.05, pitch_hz, 0).astype(np.float32),
    )

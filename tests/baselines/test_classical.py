"""The numbers that scikit-learn reads, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest

from nanoemox.baselines import classical


def slaney_filters(bands: int, window: int, rate_hz: int = 16_000) -> np.ndarray:
    """Triangles of equal area on Slaney's scale (linear up to 1 kHz, then logarithmic), [M, window / 2 + 1]."""
    step, knee, log_step = 200 / 3, 1000.0, np.log(6.4) / 27
    highest = knee / step + np.log(rate_hz / 2 / knee) / log_step
    mels = np.linspace(0, highest, bands + 2)
    hz = np.where(mels < knee / step, mels * step, knee * np.exp(log_step * (mels - knee / step)))
    at = np.linspace(0, rate_hz / 2, window // 2 + 1)
    rising = (at - hz[:-2, None]) / np.diff(hz)[:-1, None]
    falling = (hz[2:, None] - at) / np.diff(hz)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (hz[2:] - hz[:-2]))[:, None]


@pytest.mark.parametrize(("bands", "window"), [(48, 1024), (128, 2048)])
def test_log_mel_is_the_energy_of_slaneys_bands_in_decibels(bands: int, window: int) -> None:
    audio = (0.1 * np.random.default_rng(0).normal(size=9_000)).astype(np.float32)
    padded = np.pad(audio, window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::512]
    power = np.abs(np.fft.rfft(frames * np.hanning(window + 1)[:-1], axis=1)) ** 2
    expected = 10 * np.log10(np.maximum(slaney_filters(bands, window) @ power.T, 1e-10))
    energy_db = classical.log_mel(audio, bands, window, 512)
    assert energy_db.shape == expected.shape == (bands, 1 + len(audio) // 512)
    assert energy_db.dtype == np.float32 and np.abs(energy_db - expected).max() < 2e-5


def test_silence_has_the_lowest_energy_and_sixty_numbers() -> None:
    silence = np.zeros(16_000, dtype=np.float32)
    assert (classical.log_mel(silence, 48, 1024, 512) == -100).all()
    numbers = classical.mfcc_statistics(silence)
    assert (
        numbers.shape == (60,) and numbers[0] == pytest.approx(-100 * np.sqrt(128)) and not numbers[1:].any()
    )


def test_gradients_have_a_direction() -> None:
    stripes = np.tile((np.arange(64) // 4 % 2).astype(np.float32), (64, 1))
    across, down = classical.gradient_histograms(stripes), classical.gradient_histograms(stripes.T)
    assert across.shape == (1764,) and np.isfinite(across).all()
    assert across.reshape(-1, 9)[:, 4].max() == 0 < down.reshape(-1, 9)[:, 4].max()

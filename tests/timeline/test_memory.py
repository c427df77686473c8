"""Three hours take no more memory than ten minutes, apart from their rows."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.media_files import numbered_frame

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, resource, sys, torch
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.timeline.make import make_timeline
from nanoemox.timeline.read import open_recording
from tests.tiny import tiny_config, tiny_tokenizer

torch.set_num_threads(1)
torch.manual_seed(0)
tokenizer = tiny_tokenizer()
processor = NanoEmoXProcessor.from_config(tiny_config(tokenizer), tokenizer)
analyzer = EmotionAnalyzer(NanoEmoXForConditionalGeneration(tiny_config(tokenizer)), processor, "tiny")
report = make_timeline(analyzer, open_recording(sys.argv[1]), sys.argv[2], 4.0, 2.0)
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": len(report.rows), "length_s": report.length_s, "peak_mb": round(peak_mb, 1)}))
"""


def long_recording(path: Path, seconds: int) -> Path:
    """Two frames a second and a tone, written bit by bit."""
    with av.open(str(path), "w") as out:
        pictures: Any = out.add_stream("mpeg4", rate=2)
        pictures.height, pictures.width, pictures.pix_fmt = *numbered_frame(0).shape[:2], "yuv420p"
        sounds: Any = out.add_stream("mp2", rate=16_000, layout="mono")
        tone = np.sin(2 * np.pi * 220 * np.arange(16_000) / 16_000)
        for second in range(seconds):
            for half in range(2):
                count = 2 * second + half
                frame = av.VideoFrame.from_ndarray(numbered_frame(count % 4096), format="rgb24")
                frame.pts, frame.time_base = count, Fraction(1, 2)
                out.mux(pictures.encode(frame))
            samples = (tone * 8000 * (1 + np.sin(second))).astype(np.int16)[None]
            block = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = 16_000, second * 16_000, Fraction(1, 16_000)
            out.mux(sounds.encode(block))
        for stream in (pictures, sounds):
            out.mux(stream.encode())
    return path


@pytest.mark.slow
def test_three_hours_fit_into_the_memory_of_ten_minutes(tmp_path: Path) -> None:
    found = {}
    for name, minutes in (("short", 10), ("long", 180)):
        path = long_recording(tmp_path / f"{name}.mkv", 60 * minutes)
        command = [sys.executable, "-c", PROGRAM, str(path), str(tmp_path / name)]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert run.returncode == 0, run.stderr[-2000:]
        found[name] = json.loads(run.stdout)
    print(found)
    assert found["long"]["rows"] == 5399 and found["long"]["length_s"] == pytest.approx(10_800, abs=1)
    assert found["long"]["peak_mb"] < 1500
    assert found["long"]["peak_mb"] < found["short"]["peak_mb"] + 150  # rows, and the files made of them

"""How fast clips are read: a short one whole, and a long one by seeking against decoding everything.

    python benchmarks/media.py [--minutes 20]

Makes its own files (H.264 and AAC, 256 x 256 px, 25 fps) and prints one line of JSON. The same frames have to
come out of both ways, or it fails.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from nanoemox import __version__
from nanoemox.media import audio, video
from nanoemox.media.clip import Clip
from nanoemox.media.load import load_clip

SIDE_PX, FPS, RATE_HZ, PART_S = 256, 25, 48_000, 20


def make_part(path: Path, seconds: int) -> None:
    """A drifting pattern with some noise, and a tone: about as hard to decode as a talking head."""
    random = np.random.default_rng(0)
    pattern = np.kron(random.integers(0, 255, (32, 32, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    at = np.arange(seconds * RATE_HZ) / RATE_HZ
    samples = (0.3 * np.sin(2 * np.pi * 220 * at) * np.sin(2 * np.pi * 3 * at)).astype(np.float32)[None]
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "bf": "0"})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        tone: Any = out.add_stream("aac", rate=RATE_HZ, layout="mono")
        for i in range(seconds * FPS):
            noise = random.integers(-6, 7, pattern.shape)
            picture = np.clip(np.roll(pattern, 2 * i, axis=1) + noise, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        for start in range(0, samples.shape[1], 1024):
            block = av.AudioFrame.from_ndarray(samples[:, start : start + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            out.mux(tone.encode(block))
        out.mux(stream.encode())
        out.mux(tone.encode())


def repeat_part(part: Path, path: Path, times: int) -> None:
    """`part` again and again, without encoding it anew."""
    with av.open(str(part)) as source, av.open(str(path), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        packets = [p for p in source.demux() if p.dts is not None]
        shift = {
            index: math.ceil(PART_S / source.streams[index].time_base) for index in streams
        }  # the audio is a few samples longer, so every part begins on the video's beat
        kept = [
            (p.stream.index, bytes(p), p.pts, p.dts, p.duration, p.time_base, p.is_keyframe) for p in packets
        ]
        for turn in range(times):
            for index, data, pts, dts, duration, time_base, key in kept:
                if dts >= shift[index] or (turn and dts < 0):
                    continue
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.duration = streams[index], time_base, duration
                packet.pts, packet.dts = pts + turn * shift[index], dts + turn * shift[index]
                packet.is_keyframe = key
                out.mux(packet)


def seconds_of(read: Callable[[], Clip], times: int) -> tuple[float, Clip]:
    """Median time of `times` readings, and what was read."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        clip = read()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken), clip


def memory_grown_mb(short: Path, long: Path) -> float:
    """How much more memory a fresh process needs at its peak for the long file than for the short one."""
    code = (
        "import resource, sys\nfrom nanoemox.media.load import load_clip\n"
        "def peak(path):\n    load_clip(path)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "first = peak(sys.argv[1])\nprint(round(peak(sys.argv[2]) - first, 1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(short), str(long)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20, help="length of the long file")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as name:
        short, part, long = (Path(name) / f"{x}.mp4" for x in ("short", "part", "long"))
        make_part(short, 4)
        make_part(part, PART_S)
        repeat_part(part, long, max(1, round(minutes * 60 / PART_S)))
        load_clip(short)  # what loads once, loads now
        short_s, _ = seconds_of(lambda: load_clip(short), 20)
        seek_s, sought = seconds_of(lambda: load_clip(long), 3)
        grown_mb = memory_grown_mb(short, long)
        video.DECODE_THROUGH_FRAMES, audio.DECODE_ALL_S = sys.maxsize, math.inf
        through_s, through = seconds_of(lambda: load_clip(long), 1)
        size_mb = long.stat().st_size / 1e6
    same = np.array_equal(sought.frames, through.frames)  # type: ignore[arg-type]
    result = {
        "benchmark": "media",
        "short_clip_ms": round(1000 * short_s, 1),
        "long_file_s": round(sought.duration_s, 1),
        "long_file_mb": round(size_mb, 1),
        "seek_s": round(seek_s, 3),
        "decode_everything_s": round(through_s, 3),
        "ratio": round(through_s / seek_s, 1),
        "memory_grown_by_seeking_mb": grown_mb,
        "same_frames": same,
        "versions": {"nanoemox": __version__, "av": av.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()}, {platform.system()}",
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())

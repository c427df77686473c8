"""What a timeline costs for a minute of video, with windows that overlap and with windows that do not.

    python benchmarks/timeline.py [--model pico] [--minutes 3] [--threads 2] [--repeats 3] [--memory-minutes 30]

The recording is made of Theatre clips, one after another, at 25 frames a second. The ways take turns, so their ratio
means something on a machine that does other things too; `processor_ratio` compares the seconds of computing, which do
not depend on others. `agreement` compares each window's answer with `analyze(start_s, end_s)`, which
encodes the window's own frames and audio. Memory is the peak of a process of its own, for a short recording and for a
long one. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.audio import read_samples
from nanoemox.media.container import inspect
from nanoemox.media.timeline import FrameReader
from nanoemox.theatre.make import make_theatre
from nanoemox.timeline.iterate import Sections
from nanoemox.timeline.read import open_recording
from nanoemox.timeline.windows import grid_of

FPS, RATE_HZ = 25, 16_000
WINDOW_S = 4.0


def join(clips: list[Path], path: Path, seconds: float) -> None:
    """One video of so many seconds, of clips one after another, as often as it takes."""
    with av.open(str(path), "w") as out:
        pictures: Any = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        sounds: Any = out.add_stream("aac", rate=RATE_HZ, layout="mono")
        pictures.pix_fmt, count, heard = "yuv420p", 0, 0
        while count < seconds * FPS:
            source = inspect(clips[count % len(clips)] if not count else clips.pop(0))
            clips.append(source.path)
            with FrameReader(source) as reader:
                frames = [frame.to_ndarray(format="rgb24") for _, frame in reader.frames_from(0.0)]
            if not pictures.codec_context.is_open:
                pictures.height, pictures.width = frames[0].shape[:2]
            for picture in frames:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = count, Fraction(1, FPS)
                out.mux(pictures.encode(frame))
                count += 1
            samples, _ = read_samples(source, 0.0, 3600.0)
            length = round(count * RATE_HZ / FPS) - heard
            part = np.zeros(length, dtype=np.float32)
            part[: min(length, len(samples))] = samples[:length]
            for first in range(0, length, 1024):
                block = av.AudioFrame.from_ndarray(
                    part[None, first : first + 1024], format="fltp", layout="mono"
                )
                block.sample_rate, block.pts, block.time_base = RATE_HZ, heard + first, Fraction(1, RATE_HZ)
                out.mux(sounds.encode(block))
            heard += length
        for stream in (pictures, sounds):
            out.mux(stream.encode())


def peak_mb(model: str, path: Path, threads: int) -> float:
    """The largest resident memory of a process that reads a whole recording."""
    program = (
        "import resource, sys, torch\n"
        "from nanoemox.inference.analyzer import EmotionAnalyzer\n"
        "from nanoemox.timeline.iterate import timeline\n"
        f"torch.set_num_threads({threads})\n"
        "for _ in timeline(EmotionAnalyzer.from_pretrained(sys.argv[1]), sys.argv[2], 4, 2): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    command = [sys.executable, "-c", program, model, str(path)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def agreement(analyzer: EmotionAnalyzer, path: Path, rows: list[Any]) -> dict[str, float]:
    """How often the answer is that of `analyze`, and how far the probabilities lie apart."""
    same, apart = [], []
    for row in rows:
        alone = analyzer.analyze(path, start_s=row.start_s, end_s=row.end_s, tasks=["emotion"])["emotion"]
        same.append(alone.label == row.emotion)
        apart.append(sum(abs(alone.probabilities[k] - row.probabilities[k]) for k in row.probabilities) / 2)
    return {"windows": len(rows), "same_emotion": round(statistics.mean(same), 3),
            "total_variation": round(statistics.mean(apart), 3)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pico")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="how often each way is timed")
    parser.add_argument(
        "--clips", type=int, default=40, help="how many Theatre clips the recording is made of"
    )
    parser.add_argument("--theatre", type=Path, help="a folder for the Theatre clips, to use them again")
    parser.add_argument(
        "--memory-minutes", type=float, default=0.0, help="length of the long recording; 0: none"
    )
    parser.add_argument("--compared", type=int, default=60, help="how many windows are compared with analyze")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    analyzer = EmotionAnalyzer.from_pretrained(args.model)
    with tempfile.TemporaryDirectory() as folder:
        theatre = args.theatre or Path(folder) / "clips"
        theatre = args.theatre or Path(folder) / "clips"
        make_theatre(theatre, args.clips, 0, "test", 1)
        clips = sorted(theatre.rglob("*.mp4"))
        path = Path(folder) / "recording.mp4"
        join(list(clips), path, 60 * args.minutes)
        recording = open_recording(path)
        minutes = recording.length_s / 60

        hops = {"apart": WINDOW_S, "half": WINDOW_S / 2, "quarter": WINDOW_S / 4}
        seconds: dict[str, list[float]] = {name: [] for name in hops}
        work: dict[str, list[float]] = {name: [] for name in hops}
        rows, counts = {}, {}
        for _ in range(args.repeats):
            for name, hop_s in hops.items():
                sections = Sections(analyzer, recording, grid_of(WINDOW_S, hop_s))
                started, worked = time.perf_counter(), time.process_time()
                rows[name] = [row for i in range(recording.sections) for row in sections.rows(i)]
                seconds[name].append((time.perf_counter() - started) / minutes)
                work[name].append((time.process_time() - worked) / minutes)
                counts[name] = dict(sections.counts)
        medians, worked_s = (
            {name: round(statistics.median(each), 3) for name, each in table.items()}
            for table in (seconds, work)
        )
        result = {
            "benchmark": "timeline",
            "model": analyzer.name,
            "threads": args.threads,
            "cores": os.cpu_count(),
            "minutes": round(minutes, 2),
            "window_s": WINDOW_S,
            "hop_s": hops,
            "windows": {name: len(each) for name, each in rows.items()},
            "encoded": counts,
            "seconds_per_minute": medians,
            "processor_seconds_per_minute": worked_s,
            "ratio": round(medians["quarter"] / medians["apart"], 3),
            "processor_ratio": round(worked_s["quarter"] / worked_s["apart"], 3),
        }
        if args.compared:
            step = max(1, len(rows["half"]) // args.compared)
            result["agreement"] = agreement(analyzer, path, rows["half"][::step])
        if args.memory_minutes:
            long = Path(folder) / "long.mp4"
            join(list(clips), long, 60 * args.memory_minutes)
            result["memory"] = {
                "minutes": [round(minutes, 2), args.memory_minutes],
                "peak_mb": [round(peak_mb(args.model, each, args.threads), 1) for each in (path, long)],
            }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

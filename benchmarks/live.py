"""How far behind `nanoemox live` is with a video that is played at its own speed.

    python benchmarks/live.py [--model pico] [--clip recording.mp4] [--threads 2] [--window 4] [--hop 1]

Prints one JSON line: the median and the largest delay from the end of a window to its answer, how many windows were
left out, and the share of one processor core that it took.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

import torch

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.timeline.live import moments, warm_up
from nanoemox.timeline.sources import LiveReader, live_source
from nanoemox.timeline.windows import grid_of

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pico")
    parser.add_argument("--clip", type=Path, default=ROOT / "demo" / "sample.mp4")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--window", type=float, default=4.0)
    parser.add_argument("--hop", type=float, default=1.0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    analyzer, grid = EmotionAnalyzer.from_pretrained(args.model), grid_of(args.window, args.hop)
    warm_up(analyzer, grid)
    started, worked = time.perf_counter(), time.process_time()
    with LiveReader(live_source(str(args.clip)), grid.frame_step_s) as reader:
        found = list(moments(analyzer, reader, grid))
    seconds, work = time.perf_counter() - started, time.process_time() - worked
    behind = [moment.behind_s for moment in found]
    result = {
        "benchmark": "live",
        "model": analyzer.name,
        "clip_s": round(seconds, 1),
        "window_s": args.window,
        "hop_s": args.hop,
        "threads": args.threads,
        "cores": os.cpu_count(),
        "load_average": [round(each, 1) for each in os.getloadavg()],
        "answers": len(found),
        "left_out": sum(moment.skipped for moment in found),
        "behind_s": {"median": round(statistics.median(behind), 3), "largest": round(max(behind), 3)},
        "processor_share": round(work / seconds, 3),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

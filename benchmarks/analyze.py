"""Seconds of `EmotionAnalyzer.analyze` once everything is warm: six tasks in one call, beside six calls of one task.

    python benchmarks/analyze.py [--model pico] [--clip demo/sample.mp4] [--threads 2] [--repeats 5]

One call decodes and encodes the clip once and reads what all questions share once. Prints one JSON line; both ways
take turns, so their ratio means something on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.tasks.task import TASKS

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pico")
    parser.add_argument("--clip", type=Path, default=ROOT / "demo" / "sample.mp4")
    parser.add_argument("--text", default=(ROOT / "demo" / "sample.txt").read_text(encoding="utf-8").strip())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="how often each way is timed")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    started = time.perf_counter()
    analyzer = EmotionAnalyzer.from_pretrained(args.model)
    load_s = time.perf_counter() - started

    def together() -> list[str]:
        result = analyzer.analyze(args.clip, text=args.text)
        return [result[task].text for task in TASKS]

    def one_by_one() -> list[str]:
        return [analyzer.analyze(args.clip, text=args.text, tasks=[task])[task].text for task in TASKS]

    same = together() == one_by_one()  # the first round warms up
    seconds: dict[str, list[float]] = {"together": [], "one_by_one": []}
    for _ in range(args.repeats):
        for name, way in (("together", together), ("one_by_one", one_by_one)):
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    median = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    result = {
        "benchmark": "analyze",
        "model": analyzer.name,
        "clip": args.clip.name,
        "threads": args.threads,
        "load_s": round(load_s, 2),
        **{f"{name}_s": value for name, value in median.items()},
        "ratio": round(median["one_by_one"] / median["together"], 2),
        "same_answers": same,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

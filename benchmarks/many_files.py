"""Files per second of `nanoemox analyze FOLDER --out DIR`, against a loop of processes and against one warm process.

    python benchmarks/many_files.py [--clips 64] [--model pico] [--loop 3] [--dtype float32]

Clips of Affect Theatre are made first, or found in --folder. `many` is the whole command, start and loading included;
`loop` starts `nanoemox analyze CLIP` for a few clips, and what one costs is taken for each; `warm` asks a loaded model
about every clip, one by one, and `many_warm` the same model about all of them with `analyze_many`. Each is done for the
closed tasks and for all six. The ratios are between times of one run, since machines differ. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from nanoemox import __version__
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.tasks.task import TASKS, closed_tasks
from nanoemox.theatre.make import make_theatre


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="where the clips are made, or were made before")
    parser.add_argument("--model", default="pico")
    parser.add_argument("--loop", type=int, default=3, help="clips that get a process each")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--workers", type=int, help="processes that read files beside the model")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary, "theatre")
        make_theatre(folder, given.clips, 1, "test", quiet=True)
        clips = sorted((folder / "clips").glob("*.mp4"))[: given.clips]
        analyzer = EmotionAnalyzer.from_pretrained(given.model, dtype=given.dtype)
        tasks = {"closed": list(closed_tasks()), "all": list(TASKS)}
        runs = {
            name: measured(analyzer, clips, asked, given, Path(temporary, name))
            for name, asked in tasks.items()
        }
    line = {
        "benchmark": "many_files",
        "model": Path(given.model).name,
        "dtype": given.dtype,
        "clips": len(clips),
        "tasks": runs,
        "versions": {
            "nanoemox": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "machine": f"{platform.machine()}, {platform.system()}, {torch.get_num_threads()} threads, "
        f"{os.cpu_count()} cores",
    }
    sys.stdout.write(json.dumps(line) + "\n")


def measured(
    analyzer: EmotionAnalyzer, clips: list[Path], tasks: list[str], given: argparse.Namespace, out: Path
) -> dict[str, Any]:
    """Seconds a file by each way, and their ratios."""
    options = ["--model", given.model, "--dtype", given.dtype, "--tasks", ",".join(tasks)]
    workers = [] if given.workers is None else ["--workers", str(given.workers)]
    many_s = command(["analyze", *map(str, clips), "--out", str(out), *options, *workers])
    loop_s = sum(command(["analyze", str(clip), *options, "--json", "-"]) for clip in clips[: given.loop])
    loop_s *= len(clips) / given.loop

    started = time.perf_counter()
    alone = [analyzer.analyze(clip, tasks=tasks) for clip in clips]
    warm_s = time.perf_counter() - started
    started = time.perf_counter()
    together = [each.analysis for each in analyzer.analyze_many(clips, tasks, workers=given.workers)]
    many_warm_s = time.perf_counter() - started

    # The same answers: labels and texts, and how far apart probabilities are.
    differ, apart = 0, 0.0
    for one, other in zip(alone, together, strict=True):
        if other is None:
            raise SystemExit("a clip could not be read")
        for task in tasks:
            shares = other[task].probabilities
            differ += one[task].answer != other[task].answer
            apart = max(
                [apart, *(abs(share - shares[label]) for label, share in one[task].probabilities.items())]
            )
    each = {"many": many_s, "loop": loop_s, "warm": warm_s, "many_warm": many_warm_s}
    return {
        "files_per_second": {name: round(len(clips) / seconds, 3) for name, seconds in each.items()},
        "many_times_as_fast_as_loop": round(loop_s / many_s, 2),
        "many_warm_times_as_fast_as_warm": round(warm_s / many_warm_s, 2),
        "answers_that_differ": differ,
        "probabilities_apart": round(apart, 6),
    }


def command(arguments: list[str]) -> float:
    """Seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "nanoemox", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

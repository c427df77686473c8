"""Files per second of `nanoemox analyze FOLDER --out DIR`, against a loop of processes and against one warm process.

    python benchmarks/many_files.py [--clips 64] [--model pico] [--loop 3] [--warm 16] [--dtype float32]

Clips of Affect Theatre are made first, or found in --folder. `many` is the whole command over all clips, start and
loading included. `loop` starts `nanoemox analyze CLIP` for a few clips, `warm` asks a loaded model about some clips one
by one, and `many_warm` the same model about twice as many with `analyze_many`; what a file costs in these is taken for
every file. Each is done for the closed tasks and for all six. Ratios are of one run, in seconds on the clock and in
seconds of processors, which other work on the machine disturbs less. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nanoemox import __version__
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Analysis
from nanoemox.tasks.task import TASKS, closed_tasks
from nanoemox.theatre.make import make_theatre


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="where the clips are made, or were made before")
    parser.add_argument("--model", default="pico")
    parser.add_argument("--loop", type=int, default=3, help="clips that get a process each")
    parser.add_argument("--warm", type=int, default=16, help="clips that one process answers one by one")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--workers", type=int, help="processes that read files beside the model")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary, "theatre")
        make_theatre(folder, given.clips, 77, "test", quiet=True)
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
    names = [str(clip) for clip in clips]
    some, more = clips[: given.warm], clips[: 2 * given.warm]
    alone: list[Analysis] = []
    together: list[Analysis | None] = []

    def loop() -> None:
        for name in names[: given.loop]:
            command(["analyze", name, *options, "--json", "-"])

    def warm() -> None:
        alone.extend(analyzer.analyze(clip, tasks=tasks) for clip in some)

    def many_warm() -> None:
        found = analyzer.analyze_many(more, tasks, workers=given.workers)
        together.extend(each.analysis for each in found)

    ways: dict[str, tuple[Callable[[], None], int]] = {
        "many": (lambda: command(["analyze", *names, "--out", str(out), *options, *workers]), len(names)),
        "loop": (loop, given.loop),
        "warm": (warm, len(some)),
        "many_warm": (many_warm, len(more)),
    }
    took = {name: seconds(way, number) for name, (way, number) in ways.items()}

    # The same answers: labels and texts, and how far apart probabilities are.
    differ, apart = 0, 0.0
    for one, other in zip(alone, together, strict=False):
        if other is None:
            raise SystemExit("a clip could not be read")
        for task in tasks:
            shares = other[task].probabilities
            differ += one[task].answer != other[task].answer
            apart = max(
                [apart, *(abs(share - shares[label]) for label, share in one[task].probabilities.items())]
            )
    return {
        "seconds_a_file": {
            name: {"clock": round(c, 3), "processors": round(p, 3)} for name, (c, p) in took.items()
        },
        "files_per_second": {name: round(1 / clock, 3) for name, (clock, _) in took.items()},
        "many_against_loop": ratios(took["loop"], took["many"]),
        "many_warm_against_warm": ratios(took["warm"], took["many_warm"]),
        "answers_that_differ": differ,
        "probabilities_apart": round(apart, 6),
    }


def ratios(slow: tuple[float, float], fast: tuple[float, float]) -> dict[str, float]:
    """How many times as fast, on the clock and in seconds of processors."""
    return {"clock": round(slow[0] / fast[0], 2), "processors": round(slow[1] / fast[1], 2)}


def seconds(way: Callable[[], None], number: int) -> tuple[float, float]:
    """Seconds a file, on the clock and of processors, those of ended processes included."""
    before, started = processors(), time.perf_counter()
    way()
    return (time.perf_counter() - started) / number, (processors() - before) / number


def processors() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def command(arguments: list[str]) -> None:
    """Run a command of ours to its end."""
    subprocess.run(
        [sys.executable, "-m", "nanoemox", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()

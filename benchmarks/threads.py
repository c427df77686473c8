"""What busy processes cost each other: seconds for an answer in one process, and in six at once, by how threads wait.

    python benchmarks/threads.py [--processes 6] [--answers 4]

Three ways in turn: "spinning", as libgomp has it (threads that wait keep their core busy); "sleeping", as nanoemox sets
it (OMP_WAIT_POLICY=PASSIVE); and "shared", in which each process also takes only its share of the cores, as in pools of
nanoemox. Each process answers the same clip with `pico` in float32. Prints one line of JSON. With as many processes as
cores nothing has to wait, so what counts is how much more than its share a process takes: the processor's seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from nanoemox.files.machine import multiplies_bfloat16, usable_cores

CLIP = Path(__file__).parents[1] / "demo" / "sample.mp4"
_WORK = """
import json, sys, time
from nanoemox.media.load import load_clip
from nanoemox.inference.analyzer import EmotionAnalyzer
analyzer, clip = EmotionAnalyzer.from_pretrained("pico", dtype={dtype!r}), load_clip({clip!r})
answer = lambda: analyzer.analyze(clip, text="I am so sorry.", tasks=["emotion", "intent", "empathy"])
answer()
print("ready", flush=True)
sys.stdin.readline()  # until all processes are
clock, processor = time.perf_counter(), time.process_time()
for _ in range({answers}):
    answer()
print(json.dumps([(time.perf_counter() - clock) / {answers}, (time.process_time() - processor) / {answers}]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--answers", type=int, default=4, help="of each process")
    parser.add_argument("--rounds", type=int, default=2, help="the ways in turn; the medians are reported")
    given = parser.parse_args()
    cores = usable_cores()
    ways = {
        "spinning": {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": str(cores)},
        "sleeping": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(cores)},
        "shared": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(max(1, cores // given.processes))},
    }
    seen: dict[tuple[str, int], list[list[float]]] = {}
    for _ in range(given.rounds):
        for name, environment in ways.items():
            for number in (1, given.processes):
                if (name, number) != ("shared", 1):
                    rows = at_once(number, environment, given.answers)
                    seen.setdefault((name, number), []).extend(rows)
    result: dict[str, Any] = {
        "benchmark": "threads",
        "cores": cores,
        "processes": given.processes,
        "ways": {},
    }
    for (name, number), rows in seen.items():
        result["ways"].setdefault(name, {})["alone" if number == 1 else "together"] = {
            "clock_s": round(statistics.median(row[0] for row in rows), 3),
            "processor_s": round(statistics.median(row[1] for row in rows), 3),
        }
    # The type of the weights, on this processor and on one without its instructions for bfloat16.
    result["instructions_for_bfloat16"] = multiplies_bfloat16()
    result["types"] = {}
    without = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx2"}
    for place, settings in (("here", {}), ("without", without)):
        for dtype in ("float32", "bfloat16"):
            [(clock, processor)] = at_once(1, {"OMP_NUM_THREADS": "1", **settings}, given.answers, dtype)
            result["types"][f"{dtype} {place}"] = {
                "clock_s": round(clock, 3),
                "processor_s": round(processor, 3),
            }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


def at_once(
    number: int, environment: dict[str, str], answers: int, dtype: str = "float32"
) -> list[list[float]]:
    """Seconds of the clock and of the processor for an answer, of each of some processes that begin together."""
    script = _WORK.format(clip=str(CLIP), answers=answers, dtype=dtype)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(number)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in started]


if __name__ == "__main__":
    sys.exit(main())

"""What busy processes cost each other: seconds of a step in one process, and in six at once, by how threads wait.

    python benchmarks/threads.py [--processes 6] [--steps 60]

Three ways in turn: "spinning", as libgomp has it by default (threads that wait keep their core busy for a while);
"sleeping", as nanoemox sets it (OMP_WAIT_POLICY=PASSIVE); and "shared", in which each process also takes only its
share of the cores, as in pools of nanoemox. A step is that of a small decoder: 8 layers, 256 wide, 8 rows. Then the
type of the weights: a product with a matrix of the size of `nano`, for one row (writing) and for 256 (reading), on
this processor, and as on one without instructions for bfloat16. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import Any

from nanoemox.files.machine import multiplies_bfloat16, usable_cores

_STEPS = """
import json, sys, time, torch
torch.manual_seed(0)
layers = torch.nn.ModuleList(torch.nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True) for _ in range(8)).eval()
rows = torch.randn(8, 16, 256)
def step():
    x = rows
    for layer in layers:
        x = layer(x)
with torch.inference_mode():
    for _ in range(5):
        step()
    print("ready", flush=True)
    sys.stdin.readline()  # until all processes are
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range({times}):
        step()
print(json.dumps([(time.perf_counter() - clock) / {times}, (time.process_time() - processor) / {times}]))
"""
_PRODUCT = """
import json, sys, time, torch
weights, x = torch.randn(8960, 1536).to(torch.{dtype}), torch.randn({rows}, 1536).to(torch.{dtype})
product = lambda: torch.nn.functional.linear(x, weights)
with torch.inference_mode():
    product()
    print("ready", flush=True)
    sys.stdin.readline()
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range({times}):
        product()
print(json.dumps([(time.perf_counter() - clock) / {times}, (time.process_time() - processor) / {times}]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--steps", type=int, default=60, help="of each process")
    parser.add_argument("--rounds", type=int, default=2, help="the ways in turn; the medians are reported")
    given = parser.parse_args()
    cores = usable_cores()
    ways: dict[str, dict[str, str | None]] = {
        "spinning": {"OMP_WAIT_POLICY": None, "OMP_NUM_THREADS": str(cores)},
        "sleeping": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(cores)},
        "shared": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(max(1, cores // given.processes))},
    }
    seen: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(given.rounds):
        for name, environment in ways.items():
            for place, number in (("alone", 1), ("together", given.processes)):
                rows = at_once(number, environment, _STEPS.format(times=given.steps))
                seen.setdefault((name, place), []).extend(rows)
    result: dict[str, Any] = {
        "benchmark": "threads",
        "cores": cores,
        "processes": given.processes,
        "step": {},
    }
    for (name, place), rows in seen.items():
        result["step"].setdefault(name, {})[place] = in_ms(rows)

    result["instructions_for_bfloat16"], result["product"] = multiplies_bfloat16(), {}
    without = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx2"}
    for place, settings in (("here", {}), ("without", without)):
        for number in (1, 256):
            for dtype in ("float32", "bfloat16"):
                script = _PRODUCT.format(dtype=dtype, rows=number, times=20)
                rows = [
                    row
                    for _ in range(given.rounds)
                    for row in at_once(1, {"OMP_NUM_THREADS": "1", **settings}, script)
                ]
                result["product"][f"{dtype}, {number} rows, {place}"] = in_ms(rows)
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


def in_ms(rows: list[list[float]]) -> dict[str, float]:
    """Medians in milliseconds of the clock and of the processor."""
    columns = zip(("clock_ms", "processor_ms"), zip(*rows, strict=True), strict=True)
    return {name: round(1000 * statistics.median(column), 2) for name, column in columns}


def at_once(number: int, environment: dict[str, str | None], script: str) -> list[list[float]]:
    """Seconds of the clock and of the processor, as each of some processes prints them that begin together."""
    settings = {k: v for k, v in (os.environ | environment).items() if v is not None}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
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

"""Time, processor seconds and peak memory of ways that take turns in one process; the other scripts import it.

    python benchmarks/meter.py --help

Ways take turns because the machine may do other things too: their ratio then means something, and absolute seconds
are upper bounds. Run by itself, it prints one line of JSON about the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from nanoemox import __version__

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def machine(device: str) -> dict[str, Any]:
    """What a figure has to stand beside."""
    name = f"{len(os.sched_getaffinity(0))} shared {platform.machine().replace('_', '-')} cores"
    if device != "cpu":
        name = torch.cuda.get_device_name(device)
    return {
        "machine": name,
        "threads": torch.get_num_threads(),
        "versions": {
            "nanoemox": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }


def reset_peak(device: str) -> None:
    """Begin to look for the largest memory anew; where the system cannot (outside Linux), it stays as it was."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        _CLEAR.write_text("5")


def peak_gb(device: str) -> float | None:
    """The largest memory since `reset_peak`: of the process, or of the device."""
    if device != "cpu":
        return round(torch.cuda.max_memory_allocated(device) / 1e9, 3)
    if not _STATUS.exists():
        return None
    [line] = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    return round(int(line.split()[1]) * 1024 / 1e9, 3)


def take_turns(
    ways: Mapping[str, Callable[[], object]], repeats: int, device: str = "cpu", warm: bool = True
) -> dict[str, dict[str, Any]]:
    """Medians of each way; the ways alternate."""
    if warm:
        for way in ways.values():
            way()
    runs: dict[str, list[tuple[float, float, float | None]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            reset_peak(device)
            started, worked = time.perf_counter(), time.process_time()
            way()
            if device != "cpu":
                torch.cuda.synchronize(device)
            runs[name].append((time.perf_counter() - started, time.process_time() - worked, peak_gb(device)))
    return {
        name: {
            "seconds": round(statistics.median(clock for clock, _, _ in each), 6),
            "processor_s": round(statistics.median(cpu for _, cpu, _ in each), 6),
            "peak_gb": max((peak for *_, peak in each if peak is not None), default=None),
            "repeats": len(each),
        }
        for name, each in runs.items()
    }


def ratio(slow: Mapping[str, Any], fast: Mapping[str, Any]) -> dict[str, float]:
    """How many times longer the first takes: by the clock, and by the processor's seconds."""
    return {key: round(slow[key] / max(fast[key], 1e-9), 2) for key in ("seconds", "processor_s")}


def print_parts(about: Mapping[str, Any], of: object, parts: Iterable[str]) -> None:
    """Measure each part by the method of its name, say so on standard error, and print one line of JSON with all."""
    result = dict(about)
    for part in parts:
        result[part] = getattr(of, part)()
        sys.stderr.write(f"{part}: {json.dumps(result[part])}\n")
    sys.stdout.write(json.dumps(result) + "\n")


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    sys.stdout.write(json.dumps({"benchmark": "meter", **machine("cpu")}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

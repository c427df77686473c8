"""How many answers change with the size of a batch, in bfloat16 and in float32.

    python benchmarks/batching.py MANIFEST [--model pico] [--clips 64] [--sizes 1 7 16]

Every clip is answered in batches of each size, in each type of number. An answer counts as changed if its text, label
or polarity is not that of the first size. Prints one line of JSON and fails if float32 changes any.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

import torch

from nanoemox import __version__
from nanoemox.data.manifest import read_manifest
from nanoemox.evaluation.predict import predict
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.tasks.task import TASKS

SHOWN = ("text", "label", "polarity")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="pico")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 7, 16])
    given = parser.parse_args()
    records = read_manifest(given.manifest)[: given.clips]
    tasks = [name for name, task in TASKS.items() if any(task.has_label(record.labels) for record in records)]
    result: dict[str, object] = {
        "benchmark": "batching",
        "model": Path(given.model).name,
        "clips": len(records),
        "sizes": given.sizes,
    }
    for dtype in ("float32", "bfloat16"):
        analyzer = EmotionAnalyzer.from_pretrained(given.model, dtype=dtype)
        runs = []
        for size in given.sizes:
            with tempfile.TemporaryDirectory() as folder:
                lines = predict(records, analyzer, Path(folder), tasks, size)
            runs.append({(line.id, line.task): tuple(getattr(line, key) for key in SHOWN) for line in lines})
        first, others = runs[0], runs[1:]
        changed = {pair for pair in first for run in others if run[pair] != first[pair]}
        by_task = {name: sum(task == name for _, task in changed) for name in tasks}
        result[dtype] = {
            "answers": len(first),
            "changed": len(changed),
            "share": round(len(changed) / len(first), 5),
            "by_task": by_task,
        }
    result["versions"] = {
        "nanoemox": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    result["machine"] = f"{platform.machine()}, {platform.system()}"
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if result["float32"]["changed"] == 0 else 1  # type: ignore[index]


if __name__ == "__main__":
    raise SystemExit(main())

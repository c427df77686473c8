"""What each branch of a model is worth: the closed tasks with the tokens of one branch set to zero at a time.

    python benchmarks/branches.py MANIFEST [--model pico] [--clips 100]

The branches are those whose tokens stand in the prompt: fusion, face, audio and video. A branch whose tokens can be
zeroed at no cost tells the language model nothing that it uses. Prints one line of JSON: the share of right labels
with all branches, and with each one zeroed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path

import torch

from nanoemox.data.manifest import read_manifest
from nanoemox.data.records import load_record
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Request
from nanoemox.tasks.closed import ClosedTask
from nanoemox.tasks.task import TASKS
from nanoemox.training.study.measure import branches, muted


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="pico")
    parser.add_argument("--clips", type=int, default=100, help="how many, from the start of the manifest")
    given = parser.parse_args()
    torch.set_num_threads(1)
    analyzer = EmotionAnalyzer.from_pretrained(given.model, dtype="float32")
    closed = [name for name, task in TASKS.items() if isinstance(task, ClosedTask)]
    right: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for record in read_manifest(given.manifest)[: given.clips]:
        clip = load_record(record)
        tasks = [name for name in closed if getattr(getattr(record.labels, name, None), "label", None)]
        for branch in (None, *branches(analyzer.model)):
            with muted(analyzer.model, branch) if branch else nullcontext():
                scores = analyzer.label_scores([Request(clip, record.text, None, tasks, {})])[0]
            for task in tasks:
                best = max(scores[task], key=scores[task].__getitem__)
                right[task][branch or "none"].append(best == getattr(record.labels, task).label)
    result = {
        "benchmark": "branches",
        "model": given.model,
        "clips": given.clips,
        "right_with_this_branch_zeroed": {
            task: {name: round(sum(each) / len(each), 4) for name, each in of_task.items()}
            for task, of_task in right.items()
        },
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How often the modality that `--explain` says to matter most is the one that carries the cue.

    python benchmarks/faithfulness.py MANIFEST [--model pico] [--clips 240]

MANIFEST is of Affect Theatre (`nanoemox theatre make`), where every clip is drawn from known tables. An observer who
knows these tables and perceives every cue has a probability for each label; the modality without which most of it
moves carries the cue. Only clips on which this observer is clear count: the first modality moves at least 0.1 more
than the second. The figures stand beside those of always naming the most frequent modality. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nanoemox import __version__
from nanoemox.data.manifest import read_manifest
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.theatre import world

TASKS = ("sentiment", "emotion", "intent")
MODALITIES = ("video", "audio", "text")
CLEAR = 0.1  # of a probability: how much more moves without the first modality than without the second
Seen = tuple[tuple[Any, ...] | None, ...]  # what each modality shows; None where it is muted


def label_of(plot: world.Plot, task: str) -> str:
    """The label that a plot has in a task."""
    if task == "sentiment":
        return world.POLARITY[plot.emotion]
    return plot.emotion if task == "emotion" else plot.intent.capitalize()


class Observer:
    """Knows the tables of the world and perceives every cue."""

    def __init__(self) -> None:
        self.joint: dict[str, dict[Seen, dict[str, float]]] = {task: {} for task in TASKS}
        for plot, share in world.all_plots():
            shown = (
                (plot.face, plot.prop),
                (plot.voice,),
                (plot.family, plot.tone, plot.mention and plot.prop),
            )
            for muted in (None, *MODALITIES):
                key = tuple(
                    None if name == muted else part for name, part in zip(MODALITIES, shown, strict=True)
                )
                for task in TASKS:
                    labels = self.joint[task].setdefault(key, defaultdict(float))
                    labels[label_of(plot, task)] += share

    def moved(self, task: str, factors: Mapping[str, Any]) -> dict[str, float]:
        """How much of a label's probability moves without each modality."""
        prop = factors["prop"]
        words = (factors["family"], factors["tone"], factors["mention"] and prop)
        shown = ((factors["face"], prop), (factors["voice"],), words)
        whole = self._shares(task, shown)
        found = {}
        for name in MODALITIES:
            key = tuple(
                None if other == name else part for other, part in zip(MODALITIES, shown, strict=True)
            )
            muted = self._shares(task, key)
            labels = {*whole, *muted}
            found[name] = sum(abs(whole.get(each, 0.0) - muted.get(each, 0.0)) for each in labels) / 2
        return found

    def _shares(self, task: str, key: Seen) -> dict[str, float]:
        counts = self.joint[task][key]
        total = sum(counts.values())
        return {label: count / total for label, count in counts.items()}


def carrier(moved: Mapping[str, float]) -> str | None:
    """The modality that carries the cue, where it is clear."""
    first, second, _ = sorted(moved, key=moved.__getitem__, reverse=True)
    return first if moved[first] - moved[second] >= CLEAR else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="pico")
    parser.add_argument("--clips", type=int, default=240)
    given = parser.parse_args()
    records = read_manifest(given.manifest)[: given.clips]
    observer = Observer()
    analyzer = EmotionAnalyzer.from_pretrained(given.model, dtype="float32")

    # Who carries the cue, by the tables and by the explanation.
    pairs: dict[str, list[tuple[str, str | None, bool, str]]] = {task: [] for task in TASKS}
    for record, result in zip(records, analyzer.analyze_many(records, TASKS, explain=True), strict=True):
        if result.analysis is None or result.analysis.explanation is None:
            raise SystemExit(result.error)
        factors = record.factors or {}
        kind = (
            "face hidden"
            if factors["face"] == "hidden"
            else "voice drowned"
            if factors["voice"] == "drowned"
            else ""
        )
        truth = {
            "emotion": getattr(record.labels.get("emotion"), "label", None),
            "sentiment": getattr(record.labels.get("sentiment"), "polarity", None),
            "intent": getattr(record.labels.get("intent"), "label", None),
        }
        for task in TASKS:
            if (known := carrier(observer.moved(task, factors))) is not None:
                said = result.analysis.explanation.matters_most(task)
                pairs[task].append((known, said, result.analysis[task].label == truth[task], kind))

    # How often they agree.
    figures = {}
    for task, found in pairs.items():
        frequent = Counter(known for known, *_ in found).most_common(1)
        figures[task] = {
            "clips": len(found),
            "agree": share([known == said for known, said, *_ in found]),
            "agree_where_the_answer_is_right": share(
                [known == said for known, said, right, _ in found if right]
            ),
            "always_the_most_frequent": round(frequent[0][1] / len(found), 3) if found else None,
            "most_frequent": frequent[0][0] if frequent else None,
            "by_carrier": {
                name: {"clips": len(mine), "agree": share(mine)}
                for name in MODALITIES
                if (mine := [known == said for known, said, *_ in found if known == name])
            },
            **{
                kind: {"clips": len(mine), "agree": share(mine)}
                for kind in ("face hidden", "voice drowned")
                if (mine := [known == said for known, said, _, each in found if each == kind])
            },
        }
    result_line = {
        "benchmark": "faithfulness",
        "model": Path(given.model).name,
        "clips": len(records),
        "clear": CLEAR,
        "tasks": figures,
        "versions": {
            "nanoemox": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "machine": f"{platform.machine()}, {platform.system()}, {torch.get_num_threads()} threads",
    }
    sys.stdout.write(json.dumps(result_line) + "\n")


def share(found: list[bool]) -> float | None:
    return round(sum(found) / len(found), 3) if found else None


if __name__ == "__main__":
    main()

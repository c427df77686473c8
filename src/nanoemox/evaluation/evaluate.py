"""A manifest and a model in, predictions.jsonl, report.json and report.html out.

A clip that cannot be read counts as wrong in every figure; it is never dropped and never replaced. Beside the
model stand the best constant answer and, where every clip comes from Affect Theatre, the best score that its
construction allows from each subset of what can be perceived. Weights are read as float32 unless told otherwise, so
that the size of a batch does not change an answer. Nothing here chooses a model: a report tells which splits its
clips are of, and figures of a test split are for telling, not for choosing.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from nanoemox.data.feature_store import FeatureStore, origin_of
from nanoemox.data.filtering import read_usable, to_train_on
from nanoemox.data.manifest import read_manifest
from nanoemox.data.schema import plain_labels
from nanoemox.evaluation.page import render_evaluation
from nanoemox.evaluation.predict import Features, Took, predict, read_times
from nanoemox.files.atomic import write_texts
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.scoring import score as scoring
from nanoemox.scoring.class_report import break_down
from nanoemox.tasks.task import TASKS, select

MODALITIES = ("text", "video", "audio")
SLOWEST = 10
DTYPES = ("float32", "bfloat16", "float16")


def evaluate(
    manifest: str | Path,
    model: str | Path | EmotionAnalyzer = "pico",
    out: str | Path = "evaluation",
    tasks: Sequence[str] | None = None,
    batch_size: int = 16,
    seed: int = 0,
    modalities: Collection[str] | None = None,
    alone: bool = False,
    majority_from: str | Path | None = None,
    features: Features | str | Path | None = None,
    limit: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    split: str | None = None,
    quarantine: str | Path | None = None,
) -> dict[str, Any]:
    """Score a model on a labelled manifest; returns the report, which is also `out`/report.json and .html.

    Args:
        model: what `EmotionAnalyzer.from_pretrained` takes, or an analyzer.
        tasks: names of tasks; None, every task that has labels.
        seed: of the intervals; the answers are greedy.
        modalities: give the model only these of "text", "video", "audio".
        alone: also give it each modality alone (three more runs, in folders of `out`).
        majority_from: manifest the constant answers are read off; None, the evaluated manifest itself.
        features: a feature store, its folder, or frozen features by clip id; other clips are read from files.
        limit: only the first clips of the manifest. split: only clips of "train", "val" or "test".
        quarantine: clips to leave out, beside those on the list next to the manifest.
        dtype: of the weights of a model that is loaded here; only in float32 is an answer free of its batch.
    """
    chosen = [task.name for task in select(tasks)]
    only = _check_modalities(modalities)
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    manifest, out = Path(manifest), Path(out)
    records, left_out = read_usable(manifest, quarantine)
    records = [record for record in records if split in (None, record.split)][:limit]
    if not records:
        raise ValueError(f"{manifest}: no clip is in the split {split}; expected train, val or test")
    labels = {record.id: plain_labels(record) for record in records}
    chosen = [t for t in chosen if any(scoring.has_labels(known, t) for known in labels.values())]
    if not chosen:
        raise ValueError(f"{manifest}: expected labels of {', '.join(tasks or TASKS)}, but no line has any")
    known = to_train_on(read_manifest(Path(majority_from))) if majority_from else None
    train = None if known is None else [plain_labels(record) for record in known]

    analyzer = (
        model
        if isinstance(model, EmotionAnalyzer)
        else EmotionAnalyzer.from_pretrained(model, device, dtype=dtype)
    )
    if isinstance(features, (str, Path)):
        features = FeatureStore(features, origin_of(analyzer.model, analyzer.processor))
        features.check(records)
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    started = time.perf_counter()
    predictions = predict(records, analyzer, out, chosen, batch_size, only, features, digest)
    seconds = time.perf_counter() - started
    speakers = {record.id: record.speaker for record in records if record.speaker}

    constant = scoring.majority(train if train is not None else list(labels.values()), chosen)
    constant_lines = [{"id": clip, "task": t, **answer} for clip in labels for t, answer in constant.items()]
    broken = {p["id"]: p["error"] for p in predictions if "error" in p}
    report: dict[str, Any] = {
        "model": analyzer.name,
        "manifest": str(manifest),
        "manifest_sha256": digest,
        "n": len(records),
        "speakers": len(set(speakers.values())),
        "splits": dict(Counter(record.split or "none named" for record in records)),
        "seed": seed,
        "modalities": sorted(only) if only is not None else sorted(MODALITIES),
        "dtype": str(analyzer.model.dtype).removeprefix("torch."),
        "batch_size": batch_size,
        "versions": _versions(chosen),
        "commit": _commit(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {platform.system()}, {analyzer.model.device}",
        "seconds": round(seconds, 1),
        "world": getattr(analyzer.model.config, "training_domain", None),
        "world_note": analyzer.domain_note,
        "tasks": scoring.score(labels, predictions, speakers, chosen, seed),
        "baselines": {"majority": scoring.score(labels, constant_lines, speakers, chosen, seed)},
        "majority_from": str(majority_from or manifest),
        **break_down(labels, predictions, speakers, chosen, seed),
        "slowest": _slowest(read_times(out), labels),
        "errors": {"clips": len(broken), "ids": sorted(broken), "why": dict(sorted(broken.items()))},
        "quarantined": dict(left_out.quarantined.get(str(manifest), {})),
        "left_out": left_out.summary(),
    }
    if records and all(record.factors for record in records):
        from nanoemox.theatre.world import ceilings

        report["ceilings"] = ceilings()
    if alone:
        for modality in MODALITIES:
            lines = predict(
                records, analyzer, out / modality, chosen, batch_size, {modality}, features, digest
            )
            report["baselines"][f"{modality}_only"] = scoring.score(labels, lines, speakers, chosen, seed)
    write_texts(
        {
            out / "report.json": json.dumps(report, ensure_ascii=False, indent=2) + "\n",
            out / "report.html": render_evaluation(report),
        }
    )
    return report


# ---------------------------------------------------------------- small things


def _slowest(took: Mapping[str, Took], clips: Collection[str]) -> list[dict[str, Any]]:
    """The clips that took longest, of those asked for."""
    ranked = sorted((name for name in took if name in clips), key=lambda name: (-sum(took[name]), name))
    return [
        {"id": name, "seconds": round(sum(took[name]), 4), **took[name]._asdict()}
        for name in ranked[:SLOWEST]
    ]


def _check_modalities(modalities: Collection[str] | None) -> set[str] | None:
    if modalities is None:
        return None
    unknown = set(modalities) - set(MODALITIES)
    if unknown or not modalities:
        got = ", ".join(sorted(unknown)) or "none"
        raise ValueError(f"modalities: expected some of {', '.join(MODALITIES)}, got {got}")
    return set(modalities)


def _versions(tasks: Sequence[str]) -> dict[str, Any]:
    names = ("nanoemox", "torch", "transformers")
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in names},
        "tasks": {name: TASKS[name].version for name in tasks},
    }


def _commit() -> str | None:
    """The commit of the source in use; None outside a checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None

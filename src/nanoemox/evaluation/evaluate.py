"""A manifest and a model in, predictions.jsonl, report.json and report.html out.

A clip that cannot be read counts as wrong in every figure; it is never dropped and never replaced. Beside the
model stand the best constant answer and, where every clip comes from Affect Theatre, the best score that its
construction allows from each subset of what can be perceived. Weights are read as float32 unless another type is
asked for, so that the size of a batch does not change an answer. Nothing here chooses a model: a report tells which
splits its clips are of, and figures of a test split are for reporting, not for choosing.
"""

from __future__ import annotations

import hashlib
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
from nanoemox.data.schema import Record
from nanoemox.evaluation.page import render_evaluation
from nanoemox.evaluation.predict import Features, Took, predict, read_times
from nanoemox.evaluation.report import EvaluationReport, SlowClip
from nanoemox.files.atomic import json_text, write_texts
from nanoemox.files.errors import ArgumentError
from nanoemox.files.listed import one_or_more
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.scoring.class_report import break_down
from nanoemox.scoring.score import constant_predictions, majority, score
from nanoemox.tasks.task import TASKS, select
from nanoemox.theatre.dials import Dials
from nanoemox.theatre.world import ceilings

MODALITIES = ("text", "video", "audio")
SLOWEST = 10
DTYPES = ("float32", "bfloat16", "float16")


def evaluate(
    manifest: str | Path,
    model: str | Path | EmotionAnalyzer = "pico",
    out: str | Path = "evaluation",
    tasks: str | Sequence[str] | None = None,
    batch_size: int = 16,
    seed: int = 0,
    modalities: str | Collection[str] | None = None,
    alone: bool = False,
    majority_from: str | Path | None = None,
    features: Features | str | Path | None = None,
    limit: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    split: str | None = None,
    quarantine: str | Path | None = None,
    workers: int = 2,
    max_new_tokens: int | None = None,
    check: bool = True,
    untrained: bool = False,
) -> EvaluationReport:
    """Score a model on a labelled manifest; the report is also written to `out`/report.json and .html.

    Args:
        manifest: The clips and their labels.
        model: What `EmotionAnalyzer.from_pretrained` takes, or an analyzer.
        out: Folder for the predictions and the report.
        tasks: The names of tasks; None, every task that has labels and that the model was trained on.
        batch_size: Clips at a time.
        seed: The seed of the intervals; the answers are greedy.
        modalities: Give the model only these of "text", "video", "audio".
        alone: Also give it each modality alone (three more runs, in folders of `out`).
        majority_from: Manifest the constant answers are read off; None, the evaluated manifest itself.
        features: A feature store, its folder, or frozen features by clip id; other clips are read from files.
        limit: Only the first clips of the manifest.
        device: Where torch computes, for a model that is loaded here.
        dtype: Of the weights of a model that is loaded here; only in float32 is an answer free of its batch.
        split: Only clips of "train", "val" or "test".
        quarantine: Clips to leave out, beside those on the list next to the manifest.
        workers: Threads that read clips while the model answers.
        max_new_tokens: Cut every answer at this number of tokens; None, as the model and the tasks have it.
        check: Whether every weight of a model that is loaded here is looked at first.
        untrained: Ask what the model was not trained on, too.

    Returns:
        The report.

    Raises:
        NanoEmoXError: The manifest, the model, the features or an argument cannot be used.
    """
    # Check what was asked for, and read the clips and their labels.
    chosen = [task.name for task in select(tasks)]
    given = _check_modalities(modalities)
    if dtype not in DTYPES:
        raise ArgumentError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    manifest, out = Path(manifest), Path(out)
    records, left_out = read_usable(manifest, quarantine)
    records = [record for record in records if split in (None, record.split)][:limit]
    if not records:
        raise ArgumentError(f"{manifest}: no clip is in the split {split}; expected train, val or test")
    labels = {record.id: record.labels for record in records}
    chosen = [t for t in chosen if any(TASKS[t].has_label(known) for known in labels.values())]
    if not chosen:
        raise ArgumentError(
            f"{manifest}: expected labels of {', '.join(one_or_more(tasks) or TASKS)}, but no line has any"
        )
    train = to_train_on(read_manifest(Path(majority_from))) if majority_from else None

    # Load the model and the stored features.
    analyzer = (
        model
        if isinstance(model, EmotionAnalyzer)
        else EmotionAnalyzer.from_pretrained(model, device, dtype=dtype, check=check)
    )
    allowed = analyzer.tasks.chosen(tasks, untrained)
    if not (chosen := [name for name in chosen if name in allowed]):
        raise ArgumentError(
            f"{manifest}: expected labels of {', '.join(allowed)}, on which the model was trained, but no line has "
            "any; force other tasks with --untrained (in Python, untrained=True)"
        )
    if isinstance(features, (str, Path)):
        features = FeatureStore(features, origin_of(analyzer.model, analyzer.processor))
        features.check(records)

    # Answer every clip, then score the answers beside the best constant ones.
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    started = time.perf_counter()
    predictions = predict(
        records, analyzer, out, chosen, batch_size, given, features, digest, workers, max_new_tokens
    )
    seconds = time.perf_counter() - started
    speakers = {record.id: record.speaker for record in records if record.speaker}
    known = list(labels.values()) if train is None else [record.labels for record in train]
    constant = constant_predictions(labels, majority(known, chosen))
    baselines = {"majority": score(labels, constant, speakers, chosen, seed)}
    scores = score(labels, predictions, speakers, chosen, seed)
    broken = {p.id: p.error for p in predictions if p.error is not None}

    # Give the model each modality alone, if that was asked for.
    for modality in MODALITIES if alone else ():
        folder, only = out / modality, {modality}
        lines = predict(
            records, analyzer, folder, chosen, batch_size, only, features, digest, workers, max_new_tokens
        )
        baselines[f"{modality}_only"] = score(labels, lines, speakers, chosen, seed)

    # Write the report.
    breakdown = break_down(labels, predictions, speakers, chosen, seed)
    report = EvaluationReport(
        model=analyzer.name,
        manifest=str(manifest),
        manifest_sha256=digest,
        n=len(records),
        speakers=len(set(speakers.values())),
        splits=dict(Counter(record.split or "none named" for record in records)),
        seed=seed,
        modalities=sorted(MODALITIES if given is None else given),
        dtype=analyzer.dtype,
        batch_size=batch_size,
        versions=versions(chosen),
        commit=commit(),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{platform.machine()}, {platform.system()}, {analyzer.model.device}",
        seconds=round(seconds, 1),
        world=getattr(analyzer.model.config, "training_domain", None),
        world_note="; ".join(warning.text for warning in analyzer.origin_warnings) or None,
        provenance=list(analyzer.provenance),
        tasks=scores,
        baselines=baselines,
        majority_from=str(majority_from or manifest),
        classes=breakdown.classes,
        confusion=breakdown.confusion,
        calibration=breakdown.calibration,
        routes=breakdown.routes,
        wrappers=breakdown.wrappers,
        mapping=breakdown.mapping,
        by_modalities=breakdown.by_modalities,
        slowest=_slowest(read_times(out), labels),
        errors={"clips": len(broken), "ids": sorted(broken), "why": dict(sorted(broken.items()))},
        quarantined=dict(left_out.quarantined.get(str(manifest), {})),
        left_out=left_out.summary(),
        ceilings=_ceilings(records),
    )
    write_texts(
        {
            out / "report.json": json_text(report.to_dict(), out / "report.json"),
            out / "report.html": render_evaluation(report),
        }
    )
    return report


# ---------------------------------------------------------------- small things


def _ceilings(records: Sequence[Record]) -> dict[str, dict[str, float]] | None:
    """The best possible figures where all clips are of one setting of the generated world's dials; else None."""
    if not all(record.factors for record in records):
        return None
    settings = [(record.factors or {}).get("dials", {}) for record in records]
    return ceilings(Dials(**settings[0])) if all(one == settings[0] for one in settings) else None


def _slowest(took: Mapping[str, Took], clips: Collection[str]) -> list[SlowClip]:
    """The clips that took longest, of those asked for."""
    ranked = sorted((name for name in took if name in clips), key=lambda name: (-sum(took[name]), name))
    return [
        {
            "id": name,
            "seconds": round(sum(took[name]), 4),
            "read_s": took[name].read_s,
            "answer_s": took[name].answer_s,
        }
        for name in ranked[:SLOWEST]
    ]


def _check_modalities(modalities: str | Collection[str] | None) -> set[str] | None:
    modalities = one_or_more(modalities)
    if modalities is None:
        return None
    unknown = set(modalities) - set(MODALITIES)
    if unknown or not modalities:
        got = ", ".join(sorted(unknown)) or "none"
        raise ArgumentError(f"modalities: expected some of {', '.join(MODALITIES)}, got {got}")
    return set(modalities)


def versions(tasks: Sequence[str]) -> dict[str, Any]:
    """What the figures were computed with: Python, libraries, and the version of each task's texts."""
    names = ("nanoemox", "torch", "transformers")
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in names},
        "tasks": {name: TASKS[name].version for name in tasks},
    }


def commit() -> str | None:
    """The commit of the source in use; None outside a checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None

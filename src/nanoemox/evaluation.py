"""A manifest and a model in, predictions.jsonl and report.json out.

Answers are written line by line as they come, so a run that was stopped goes on where it was. A clip that
cannot be read is a prediction with an `error` and counts as wrong in every figure; it is never dropped and
never replaced. Beside the model stand the best constant answer and, where every clip comes from Affect
Theatre, the best score that its construction allows from each subset of what can be perceived.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeAlias

from torch import Tensor
from tqdm import tqdm

from nanoemox import scoring
from nanoemox.analysis import Answers, Request
from nanoemox.data import Record, read_manifest
from nanoemox.features import FeatureStore, load_record, origin_of
from nanoemox.inference import EmotionAnalyzer
from nanoemox.media import Clip, empty_clip
from nanoemox.selection import LeftOut, read_usable, to_train_on
from nanoemox.tasks import TASKS, select

logger = logging.getLogger(__name__)

MODALITIES = ("text", "video", "audio")
Features: TypeAlias = FeatureStore | Mapping[str, Mapping[str, Tensor]]  # clip id -> frozen features


def evaluate(
    manifest: str | Path,
    model: str | Path | EmotionAnalyzer = "pico",
    out: str | Path = "evaluation",
    tasks: Sequence[str] | None = None,
    batch_size: int = 16,
    seed: int = 0,
    modalities: Collection[str] | None = None,
    alone: bool = False,
    baselines_train: str | Path | None = None,
    features: Features | str | Path | None = None,
    limit: int | None = None,
    device: str = "cpu",
    split: str | None = None,
    quarantine: str | Path | None = None,
) -> dict[str, Any]:
    """Score a model on a labelled manifest; returns the report, which is also `out`/report.json.

    Args:
        model: what `EmotionAnalyzer.from_pretrained` takes, or an analyzer.
        tasks: names of tasks; None, every task that has labels.
        seed: of the intervals; the answers are greedy.
        modalities: give the model only these of "text", "video", "audio".
        alone: also give it each modality alone (three more runs, in folders of `out`).
        baselines_train: manifest the constant answers are read off; None, the evaluated manifest itself.
        features: a feature store, its folder, or frozen features by clip id; other clips are read from files.
        limit: only the first clips of the manifest. split: only clips of "train", "val" or "test".
        quarantine: clips to leave out, beside those on the list next to the manifest.
    """
    chosen = [task.name for task in select(tasks)]
    only = _check_modalities(modalities)
    manifest, out = Path(manifest), Path(out)
    left_out = LeftOut()
    records = read_usable(manifest, left_out, quarantine)
    records = [record for record in records if split in (None, record.split)][:limit]
    if not records:
        raise ValueError(f"{manifest}: no clip is in the split {split}; expected train, val or test")
    labels = {record.id: _labels(record) for record in records}
    chosen = [t for t in chosen if any(scoring.has_labels(known, t) for known in labels.values())]
    if not chosen:
        raise ValueError(f"{manifest}: expected labels of {', '.join(tasks or TASKS)}, but no line has any")
    known = to_train_on(read_manifest(Path(baselines_train))) if baselines_train else None
    train = None if known is None else [_labels(record) for record in known]

    analyzer = model if isinstance(model, EmotionAnalyzer) else EmotionAnalyzer.from_pretrained(model, device)
    if isinstance(features, (str, Path)):
        features = FeatureStore(features, origin_of(analyzer.model, analyzer.processor))
        features.check(records)
    started = time.perf_counter()
    predictions = predict(records, analyzer, out, chosen, batch_size, only, features, _digest(manifest))
    seconds = time.perf_counter() - started
    speakers = {record.id: record.speaker for record in records if record.speaker}

    constant = scoring.majority(train if train is not None else list(labels.values()), chosen)
    constant_lines = [{"id": clip, "task": t, **answer} for clip in labels for t, answer in constant.items()]
    broken = sorted({p["id"] for p in predictions if "error" in p})
    report: dict[str, Any] = {
        "model": analyzer.name,
        "manifest": str(manifest),
        "manifest_sha256": _digest(manifest),
        "n": len(records),
        "seed": seed,
        "modalities": sorted(only) if only is not None else sorted(MODALITIES),
        "versions": _versions(chosen),
        "commit": _commit(),
        "command": shlex.join(sys.argv),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {platform.system()}, {analyzer.model.device}",
        "seconds": round(seconds, 1),
        "world": getattr(analyzer.model.config, "world", None),
        "tasks": scoring.score(labels, predictions, speakers, chosen, seed),
        "baselines": {"majority": scoring.score(labels, constant_lines, speakers, chosen, seed)},
        "majority_from": str(baselines_train or manifest),
        "errors": {"clips": len(broken), "ids": broken},
        "quarantined": left_out.quarantined.get(str(manifest), {}),
        "left_out": left_out.summary(),
    }
    if records and all(record.factors for record in records):
        from nanoemox.theatre.world import ceilings

        report["ceilings"] = ceilings()
    if alone:
        for modality in MODALITIES:
            lines = predict(
                records, analyzer, out / modality, chosen, batch_size, {modality}, features, _digest(manifest)
            )
            report["baselines"][f"{modality}_only"] = scoring.score(labels, lines, speakers, chosen, seed)
    _write(out / "report.json", json.dumps(report, ensure_ascii=False, indent=2) + "\n")
    return report


def predict(
    records: Sequence[Record],
    analyzer: EmotionAnalyzer,
    out: Path,
    tasks: Sequence[str],
    batch_size: int = 16,
    only: Collection[str] | None = None,
    features: Features | None = None,
    manifest_sha256: str = "",
) -> list[dict[str, Any]]:
    """Answer what the records have labels for, into `out`/predictions.jsonl; what is there already is kept.

    Lines with an error are asked again. A folder that holds answers of another model or manifest is refused.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "predictions.jsonl"
    run = {
        "model": analyzer.name,
        "weights": _fingerprint(analyzer),
        "manifest": manifest_sha256,
        "modalities": sorted(only) if only is not None else None,
    }
    done = _resume(path, run)
    todo = []
    for record in records:
        known = _labels(record)
        open_tasks = [t for t in tasks if scoring.has_labels(known, t) and (record.id, t) not in done]
        if open_tasks:
            todo.append((record, open_tasks))
    batches = [todo[first : first + batch_size] for first in range(0, len(todo), batch_size)]
    with (
        path.open("a", encoding="utf-8") as file,
        tqdm(total=len(records), initial=len(records) - len(todo), unit="clip", disable=None) as bar,
    ):
        for batch, sources in _read_ahead(batches, only, features, analyzer.processor.compat):
            for line in _answer(analyzer, batch, sources, only):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                done[line["id"], line["task"]] = line
            file.flush()
            bar.update(len(batch))
    wanted = {(record.id, task) for record in records for task in tasks}
    return [line for pair, line in sorted(done.items()) if pair in wanted]


# ---------------------------------------------------------------- answering

Batch = Sequence[tuple[Record, list[str]]]
Source: TypeAlias = Clip | Mapping[str, Tensor] | Exception


def _read_ahead(
    batches: Sequence[Batch],
    only: Collection[str] | None,
    features: Features | None,
    compat: Literal["published"] | None = None,
) -> Iterator[tuple[Batch, list[Source]]]:
    """Each batch with its clips, which two threads read while the model works on the batch before."""

    def read(record: Record) -> Source:
        if features is not None and record.id in features:
            return features[record.id]
        try:
            return load_record(record, compat) if only is None or set(only) - {"text"} else empty_clip("")
        except (ValueError, OSError) as error:
            return error

    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting = [pool.submit(read, record) for record, _ in batches[0]] if batches else []
        for i, batch in enumerate(batches):
            ready = [future.result() for future in waiting]
            following = batches[i + 1] if i + 1 < len(batches) else []
            waiting = [pool.submit(read, record) for record, _ in following]
            yield batch, ready


def _answer(
    analyzer: EmotionAnalyzer, batch: Batch, sources: Sequence[Source], only: Collection[str] | None
) -> Iterator[dict[str, Any]]:
    """Prediction lines of one batch. If it fails, its clips are asked one by one: none spoils others."""
    requests: list[Request] = []
    asked: list[tuple[Record, list[str]]] = []
    for (record, tasks), source in zip(batch, sources, strict=True):
        if isinstance(source, Exception):
            yield from _errors(record, tasks, source)
            continue
        candidates = {t: TASKS[t].candidates(_labels(record)) or [] for t in tasks if TASKS[t].closed}
        dialogue = [{"role": turn.role, "text": turn.text} for turn in record.dialogue or ()]
        requests.append(Request(source, record.text, dialogue, tasks, candidates, only))
        asked.append((record, tasks))
    if not requests:
        return
    try:
        answers: Sequence[Answers | Exception] = analyzer.answer_batch(requests)
    except (ValueError, RuntimeError) as error:
        logger.warning("a batch of %d clips failed (%s); asking them one by one", len(requests), error)
        answers = [_ask_alone(analyzer, request) for request in requests]
    for (record, tasks), answer in zip(asked, answers, strict=True):
        if isinstance(answer, Exception):
            yield from _errors(record, tasks, answer)
            continue
        for name in tasks:
            entry = answer.tasks[name].to_dict()
            del entry["answer"]
            notes = [*answer.warnings, *entry.pop("warnings", [])]
            line = {"id": record.id, "task": name, "task_version": TASKS[name].version, **entry}
            line["modalities"] = answer.modalities
            if answer.experts is not None:
                line["experts"] = list(answer.experts)
            if notes:
                line["warnings"] = notes
            yield line


def _ask_alone(analyzer: EmotionAnalyzer, request: Request) -> Answers | Exception:
    try:
        return analyzer.answer_batch([request])[0]
    except (ValueError, RuntimeError) as error:
        return error


def _errors(record: Record, tasks: Sequence[str], error: Exception) -> Iterator[dict[str, Any]]:
    message = " ".join(str(error).split()) or type(error).__name__
    for name in tasks:
        version = TASKS[name].version
        yield {"id": record.id, "task": name, "task_version": version, "text": "", "error": message}


# ---------------------------------------------------------------- files


def read_predictions(path: str | Path) -> list[dict[str, Any]]:
    """Lines of a predictions.jsonl; a line that is not a prediction raises with its number."""
    lines = []
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: expected a JSON object ({error}); repair it") from error
        if not isinstance(line, dict) or not {"id", "task"} <= line.keys() or line["task"] not in TASKS:
            raise ValueError(
                f"{path}, line {number}: expected id and task, one of {', '.join(TASKS)}; repair it"
            )
        lines.append(line)
    return lines


def _resume(path: Path, run: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Good lines of an earlier run by (id, task); the file is left with exactly these."""
    note = path.with_name("run.json")
    if path.exists() and note.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        differ = [key for key, value in run.items() if before.get(key) != value]
        if differ:
            raise ValueError(
                f"{path.parent}: answers of another run are there ( {', '.join(differ)}); choose a new folder"
            )
    done: dict[tuple[str, str], dict[str, Any]] = {}
    if path.exists():
        for text in path.read_text(encoding="utf-8").split("\n"):
            try:
                line = json.loads(text)
                if "error" not in line and line["task_version"] == TASKS[line["task"]].version:
                    done[line["id"], line["task"]] = line
            except (json.JSONDecodeError, KeyError, TypeError):
                continue
        _write(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in done.values()))
    _write(note, json.dumps(run, ensure_ascii=False, indent=2) + "\n")
    return done


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fingerprint(analyzer: EmotionAnalyzer) -> str:
    """Tells weights apart: a digest of every tensor's size and sum."""
    sums = [
        f"{name} {p.numel()} {p.double().sum().item()!r}" for name, p in analyzer.model.named_parameters()
    ]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()[:16]


def _labels(record: Record) -> dict[str, Any]:
    """A record's labels as plain JSON types."""
    labels = record.labels
    if labels is None:
        return {}
    return labels if isinstance(labels, dict) else labels.model_dump(exclude_none=True)


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

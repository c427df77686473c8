"""A model's answers about a manifest's clips, into predictions.jsonl.

Answers are written line by line as they come, so a run that was stopped goes on where it was. A clip that
cannot be read is a prediction with an `error`; it is never dropped and never replaced. What a line holds depends
on its clip alone, not on its batch or its place; how long things took is in a file of its own.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from torch import Tensor
from tqdm import tqdm

from nanoemox.data.feature_store import FeatureStore
from nanoemox.data.manifest import read_predictions
from nanoemox.data.records import load_record
from nanoemox.data.schema import Prediction, Record
from nanoemox.files.atomic import json_text, write_json, write_jsonl
from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.many import CLIP_FAULTS
from nanoemox.inference.results import Answers, Request
from nanoemox.media.clip import Clip, empty_clip
from nanoemox.media.untrusted import MediaError
from nanoemox.tasks.grammar import NO_ANSWER
from nanoemox.tasks.task import TASKS

logger = logging.getLogger(__name__)

FILE, NOTE, TIMES = "predictions.jsonl", "run.json", "times.jsonl"
Features: TypeAlias = FeatureStore | Mapping[str, Mapping[str, Tensor]]  # clip id -> frozen features


class Took(NamedTuple):
    """Seconds that a clip took: to be read, and its share of the time that its batch took."""

    read_s: float
    answer_s: float


def predict(
    records: Sequence[Record],
    analyzer: EmotionAnalyzer,
    out: Path,
    tasks: Sequence[str],
    batch_size: int = 16,
    modalities: Collection[str] | None = None,
    features: Features | None = None,
    manifest_sha256: str = "",
    workers: int = 2,
    max_new_tokens: int | None = None,
    ask_all: bool = False,
) -> list[Prediction]:
    """Answer what the records have labels for, into `out`/predictions.jsonl; what is there already is kept.

    Lines with an error are asked again. A finished file is in order, whatever the batches were and however often the
    run was stopped.

    Args:
        records: The clips.
        analyzer: The model.
        out: The folder to write into.
        tasks: Names of the tasks to ask.
        batch_size: Clips at a time.
        modalities: Give the model only these of "text", "video", "audio".
        features: Frozen features by clip id; other clips are read from their files.
        manifest_sha256: Which manifest the records are of.
        workers: Threads that read the clips of the next batch while the model answers.
        max_new_tokens: Cut every answer at this number of tokens; None, as the model and the tasks have it.
        ask_all: Ask every task about every clip, also where the clip has no label for it.

    Returns:
        The predictions about these records, in the order of the finished file.

    Raises:
        ArgumentError: The folder holds answers of another model or manifest, or answers that may be longer or
            shorter.
    """
    # Take up what an earlier run has answered, if it asked the same of the same model.
    out.mkdir(parents=True, exist_ok=True)
    path = out / FILE
    run = {
        "model": analyzer.name,
        "weights": analyzer.fingerprint,
        "manifest": manifest_sha256,
        "modalities": sorted(modalities) if modalities is not None else None,
        "dtype": analyzer.dtype,
        "max_new_tokens": {name: analyzer.answer_limit(task, max_new_tokens) for name, task in TASKS.items()},
    }
    done = _resume(path, run)

    # Collect what is still open.
    todo = []
    for record in records:
        asked = [t for t in tasks if ask_all or TASKS[t].has_label(record.labels)]
        open_tasks = [t for t in asked if (record.id, t) not in done]
        if open_tasks:
            todo.append((record, open_tasks))
    batches = [todo[first : first + batch_size] for first in range(0, len(todo), batch_size)]

    # Answer batch by batch; every batch is written at once, so that a stopped run loses one at most.
    with (
        path.open("a", encoding="utf-8") as file,
        (out / TIMES).open("a", encoding="utf-8") as times,
        tqdm(total=len(records), initial=len(records) - len(todo), unit="clip", disable=None) as bar,
    ):
        for batch, read in _read_ahead(batches, modalities, features, analyzer.processor.compat, workers):
            started = time.perf_counter()
            sources = [source for source, _ in read]
            for prediction in _answer(analyzer, batch, sources, modalities, max_new_tokens):
                file.write(json_text(prediction.line(), path, indent=None))
                done[prediction.id, prediction.task] = prediction
            share = (time.perf_counter() - started) / len(batch)
            for (record, _), (_, read_s) in zip(batch, read, strict=True):
                row = {"id": record.id, "read_s": round(read_s, 4), "answer_s": round(share, 4)}
                times.write(json_text(row, out / TIMES, indent=None))
            file.flush()
            times.flush()
            bar.update(len(batch))

    # Write the finished file in order.
    order = {name: i for i, name in enumerate(TASKS)}
    ordered = [done[pair] for pair in sorted(done, key=lambda pair: (pair[0], order[pair[1]]))]
    write_jsonl(path, (prediction.line() for prediction in ordered))
    wanted = {(record.id, task) for record in records for task in tasks}
    return [prediction for prediction in ordered if (prediction.id, prediction.task) in wanted]


def read_times(out: Path) -> dict[str, Took]:
    """How long each clip took when it was last answered."""
    found: dict[str, Took] = {}
    for text in (out / TIMES).read_text(encoding="utf-8").split("\n"):
        try:
            line = json.loads(text)
            found[line["id"]] = Took(float(line["read_s"]), float(line["answer_s"]))
        except (ValueError, KeyError, TypeError):  # the last line of a run that was stopped
            continue
    return found


# ---------------------------------------------------------------- answering

Batch = Sequence[tuple[Record, list[str]]]
Source: TypeAlias = Clip | Mapping[str, Tensor] | Exception
Read: TypeAlias = tuple[Source, float]  # what was read, and the seconds it took


def _read_ahead(
    batches: Sequence[Batch],
    modalities: Collection[str] | None,
    features: Features | None,
    compat: Literal["official"] | None,
    workers: int,
) -> Iterator[tuple[Batch, list[Read]]]:
    """Each batch with its clips, which threads read while the model works on the batch before."""

    def source(record: Record) -> Source:
        if features is not None and record.id in features:
            return features[record.id]
        if modalities is not None and not set(modalities) - {"text"}:
            return empty_clip("")
        try:
            return load_record(record, compat)
        except (MediaError, OSError) as error:  # of this clip; anything else is a bug
            return error

    def read(record: Record) -> Read:
        started = time.perf_counter()
        return source(record), time.perf_counter() - started

    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(read, record) for record, _ in batches[0]] if batches else []
        for i, batch in enumerate(batches):
            ready = [future.result() for future in waiting]
            following = batches[i + 1] if i + 1 < len(batches) else []
            waiting = [pool.submit(read, record) for record, _ in following]
            yield batch, ready


def _answer(
    analyzer: EmotionAnalyzer,
    batch: Batch,
    sources: Sequence[Source],
    modalities: Collection[str] | None,
    max_new_tokens: int | None,
) -> Iterator[Prediction]:
    """The predictions of one batch. If it fails, its clips are asked one by one: none spoils others."""
    requests: list[Request] = []
    asked: list[tuple[Record, list[str]]] = []
    for (record, tasks), source in zip(batch, sources, strict=True):
        if isinstance(source, Exception):
            yield from _errors(record, tasks, source)
            continue
        candidates = {t: offered for t in tasks if (offered := TASKS[t].candidates(record.labels))}
        requests.append(
            Request(source, record.text, record.turns, tasks, candidates, modalities, max_new_tokens)
        )
        asked.append((record, tasks))
    if not requests:
        return
    try:
        answers: Sequence[Answers | Exception] = analyzer.answer_batch(requests)
    except CLIP_FAULTS as error:
        logger.warning("a batch of %d clips failed (%s); asking them one by one", len(requests), error)
        answers = [_ask_alone(analyzer, request) for request in requests]
    for (record, tasks), answer in zip(asked, answers, strict=True):
        if isinstance(answer, Exception):
            yield from _errors(record, tasks, answer)
        else:
            for name in tasks:
                yield prediction_of(record.id, name, answer)


def prediction_of(clip: str, task: str, answers: Answers) -> Prediction:
    """One of the answers to a request as a prediction, with what was there to answer from.

    Args:
        clip: The id of the clip.
        task: The name of the task.
        answers: The answers to the request about the clip.

    Returns:
        The prediction.
    """
    result = answers.tasks[task]
    return Prediction.of(
        clip,
        task,
        result.model_copy(update={"warnings": (*answers.warnings, *result.warnings)}),
        modalities=answers.modalities,
        experts=answers.experts,
    )


def _ask_alone(analyzer: EmotionAnalyzer, request: Request) -> Answers | Exception:
    try:
        return analyzer.answer_batch([request])[0]
    except CLIP_FAULTS as error:
        return error


def _errors(record: Record, tasks: Sequence[str], error: Exception) -> Iterator[Prediction]:
    message = " ".join(str(error).split()) or type(error).__name__
    for name in tasks:
        yield Prediction.of(record.id, name, NO_ANSWER, error=message)


# ---------------------------------------------------------------- files


def check_same_run(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to mix answers.

    Args:
        folder: Where they lie.
        before: What those that are there depend on: name -> value.
        now: What the new ones would depend on.

    Raises:
        ArgumentError: If a value of `now` was another one.
    """
    if differ := [key for key, value in now.items() if before.get(key) != value]:
        raise ArgumentError(
            f"{folder}: answers of another run are there ({', '.join(differ)}); choose a new folder"
        )


def _resume(path: Path, run: Mapping[str, Any]) -> dict[tuple[str, str], Prediction]:
    """Good lines of an earlier run by (id, task); the file is left with exactly these."""
    note = path.with_name(NOTE)
    if path.exists() and note.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        check_same_run(path.parent, before, run)
    found = read_predictions(path, unfinished=True) if path.exists() else []
    good = [p for p in found if p.error is None and p.task_version == TASKS[p.task].version]
    write_jsonl(path, (prediction.line() for prediction in good))
    write_json(note, run)
    return {(p.id, p.task): p for p in good}

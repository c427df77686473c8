"""A published benchmark, measured again: its corpora, one model, one table beside the published figures.

Every corpus is read from the layout in which it is distributed, its test clips are asked the benchmark's question, and
the answers are scored by our figures and, where word lists are given, by those of the official scorer. Which question,
which corpora, which figures and which published values: `benchmarks.yaml`. A corpus that is not there is named and
leaves its cells empty. A run that was stopped goes on clip by clip; one with another protocol is refused.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nanoemox.checkpoints.weight_files import read_object
from nanoemox.corpora.prepare import PrepareReport, prepare
from nanoemox.corpora.tables import CorpusError
from nanoemox.data.manifest import read_manifest
from nanoemox.data.quarantine import without_quarantined
from nanoemox.data.schema import MEDIA, Prediction, Record
from nanoemox.evaluation.benchmarks import Benchmark, BenchmarkCell, benchmarks, find_corpora
from nanoemox.evaluation.evaluate import DTYPES, commit, versions
from nanoemox.evaluation.predict import check_same_run, predict
from nanoemox.files.atomic import json_text, write_json, write_texts
from nanoemox.files.errors import ArgumentError
from nanoemox.files.report import TableReport
from nanoemox.files.table_text import INTERVAL, Cell, Table
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.metrics.word_lists import WordLists
from nanoemox.scoring.score import by_clip, sample, score
from nanoemox.tasks.task import TASKS, select

logger = logging.getLogger(__name__)

PROTOCOL = "protocol.json"  # under which the answers in a folder were given


@dataclass(frozen=True)
class CellResult:
    """What came of one cell, in percent. `value` and the interval are ours, `official` the official scorer's."""

    name: str
    corpus: str
    task: str
    figure: str
    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    official: float | None = None


@dataclass(frozen=True)
class CorpusResult:
    """What one corpus gave: its clips against those published, those that could not be read, and how it was scored."""

    corpus: str
    layout: str
    manifest: str
    manifest_sha256: str
    clips: int
    published_clips: int | None
    skipped: int
    broken: dict[str, str]
    quarantined: int
    without_media: int
    without_text: int
    assumptions: list[str]
    labels_per_answer: float | None
    routes: dict[str, int]
    notes: list[str]


@dataclass(frozen=True, kw_only=True, repr=False)
class ReproductionReport(TableReport):
    """A benchmark's table in percent, cell by cell beside the published figures, and the protocol behind it."""

    benchmark: str
    title: str
    about: str
    model: str
    cells: list[CellResult]
    mean: float | None
    official_mean: float | None
    published: list[dict[str, Any]]
    corpora: list[CorpusResult]
    missing: dict[str, str]  # corpus -> why its cells are empty
    protocol: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)  # what has to be known about where the model comes from
    provenance: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The object that report.json holds."""
        found = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        found["cells"] = [vars(cell) for cell in self.cells]
        found["corpora"] = [vars(corpus) for corpus in self.corpora]
        return found

    def to_table(self) -> Table:
        """One row a cell, then the mean: ours, the interval, the official scorer's, clips, and each published model."""
        columns = ["set", "figure", "this model", INTERVAL, "official scorer", "n"]
        rows: list[list[Cell]] = [
            [cell.name, cell.figure, cell.value, (cell.low, cell.high), cell.official, cell.n]
            + [paper["values"][i] for paper in self.published]
            for i, cell in enumerate(self.cells)
        ]
        if any(paper["mean"] is not None for paper in self.published):
            means: list[Cell] = ["mean", "", self.mean, (None, None), self.official_mean, None]
            rows.append(means + [paper["mean"] for paper in self.published])
        about = f"{self.title}, in percent, model {self.model}"
        return Table(
            [*columns, *(paper["model"] for paper in self.published)],
            rows,
            "; ".join([about, "the columns after n are published figures", *self.warnings]),
        )


def reproduce(
    benchmark: str,
    model: str | Path | EmotionAnalyzer,
    data: str | Path | None,
    out: str | Path,
    corpora: Mapping[str, str | Path] | None = None,
    tables: str | Path | None = None,
    limit: int | None = None,
    batch_size: int = 8,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    workers: int = 2,
    max_new_tokens: int | None = None,
    untrained: bool = False,
    check: bool = True,
) -> ReproductionReport:
    """Measure a published benchmark; the report is also written to `out`/report.json, .md and .csv.

    Args:
        benchmark: The name of an entry of benchmarks.yaml.
        model: What `EmotionAnalyzer.from_pretrained` takes, or an analyzer.
        data: The folder that holds one folder for each corpus; None if `corpora` names them all.
        out: The folder for manifests, answers and the report.
        corpora: Corpus -> its folder, for those that lie elsewhere or under another name.
        tables: The official scorer's word lists; without them, most official figures stay empty.
        limit: Only the first test clips of each corpus, to try it out.
        batch_size: Clips at a time.
        device: Where torch computes, for a model that is loaded here.
        dtype: Of the weights of a model that is loaded here.
        seed: The seed of the intervals; the answers are greedy.
        workers: Threads that read clips while the model answers.
        max_new_tokens: Cut every answer at this number of tokens; None, as the model and the tasks have it.
        untrained: Ask what the model was not trained on, too.
        check: Whether every weight of a model that is loaded here is looked at first.

    Returns:
        The report.

    Raises:
        NanoEmoXError: For an unknown benchmark, a folder or a corpus that cannot be used, a model that was not
            trained on the question, or answers of another protocol in `out`.
    """
    # Check what was asked for, before anything slow.
    known = benchmarks()
    if benchmark not in known:
        raise ArgumentError(f"{benchmark}: expected one of {', '.join(known)}")
    if dtype not in DTYPES:
        raise ArgumentError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    plan, out = known[benchmark], Path(out)
    words = WordLists.read(tables) if tables is not None else None
    folders, missing = find_corpora(plan.corpora, data, corpora)

    # Write the manifest of every corpus that is there.
    prepared: dict[str, PrepareReport] = {}
    for name, folder in folders.items():
        place = out / name / "manifest.jsonl"
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            prepared[name] = prepare(name, folder, place, "test")
        except CorpusError as error:
            missing[name] = str(error)
            logger.warning("%s is left out: %s", name, error)
    if not prepared:
        names: dict[str, list[str]] = {}
        for name, reason in missing.items():
            names.setdefault(reason, []).append(name)
        why = "; ".join(f"{', '.join(alike)}: {reason}" for reason, alike in names.items())
        raise ArgumentError(f"{plan.title}: expected at least one of its corpora, found none ({why})")

    # Load the model, and see whether it can be asked.
    analyzer = (
        model
        if isinstance(model, EmotionAnalyzer)
        else EmotionAnalyzer.from_pretrained(model, device, dtype=dtype, check=check)
    )
    analyzer.tasks.chosen(plan.asks, untrained)
    protocol = _protocol(plan, analyzer, max_new_tokens)
    _go_on_with(out / PROTOCOL, protocol)

    # Ask and score corpus by corpus.
    results: dict[str, tuple[CorpusResult, dict[str, CellResult]]] = {}
    for name, report in prepared.items():
        logger.info("%s: %d clips", name, report.lines)
        digest = hashlib.sha256(report.manifest.read_bytes()).hexdigest()
        every = read_manifest(report.manifest, allow_outside=True)
        records, quarantined = without_quarantined(every, report.manifest)
        answers = predict(
            records[:limit],
            analyzer,
            out / name,
            plan.asks,
            batch_size,
            manifest_sha256=digest,
            workers=workers,
            max_new_tokens=max_new_tokens,
            ask_all=True,
        )
        cells = [cell for cell in plan.cells if cell.corpus == name]
        results[name] = _of_corpus(
            cells, report, digest, records[:limit], len(quarantined), answers, words, seed
        )

    # Put the cells into the published order, with their mean if all are there.
    found = {cell: result for _, mine in results.values() for cell, result in mine.items()}
    filled = [found.get(cell.name) or CellResult(**_named(cell), n=0) for cell in plan.cells]
    result = ReproductionReport(
        benchmark=benchmark,
        title=plan.title,
        about=plan.about,
        model=analyzer.name,
        cells=filled,
        mean=_mean([cell.value for cell in filled]) if plan.mean else None,
        official_mean=_mean([cell.official for cell in filled]) if plan.mean else None,
        published=[
            {**vars(paper), "mean": _mean(paper.values) if plan.mean else None} for paper in plan.published
        ],
        corpora=[about for about, _ in results.values()],
        missing=missing,
        protocol={
            **protocol,
            "labels": "read by rules and the package's lexicon; no language model reads them",
            "word_lists": str(tables) if tables is not None else None,
            "limit": limit,
            "seed": seed,
            "batch_size": batch_size,
            "device": str(analyzer.model.device),
            "versions": versions(plan.asks),
            "commit": commit(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        warnings=[warning.text for warning in analyzer.origin_warnings],
        provenance=list(analyzer.provenance),
    )
    write_texts(
        {out / f"report{ending}": result.forms()[ending]() for ending in (".md", ".csv")}
        | {out / "report.json": json_text(result.to_dict(), out / "report.json")}
    )
    return result


def _protocol(plan: Benchmark, analyzer: EmotionAnalyzer, max_new_tokens: int | None) -> dict[str, Any]:
    """All that an answer depends on, apart from its clip."""
    asked = select(plan.asks)
    return {
        "benchmark": plan.name,
        "model": analyzer.name,
        "weights": analyzer.fingerprint,
        "questions": {task.name: analyzer.tasks.question(task, task.candidates()) for task in asked},
        "task_versions": {task.name: task.version for task in asked},
        "decoding": "greedy",
        "max_new_tokens": {task.name: analyzer.answer_limit(task, max_new_tokens) for task in asked},
        "dtype": analyzer.dtype,
        "compat": analyzer.processor.compat,
    }


def _go_on_with(path: Path, protocol: Mapping[str, Any]) -> None:
    """Keep the protocol beside the answers. Errors: ArgumentError if those that are there were given under another."""
    if path.exists():
        check_same_run(path.parent, read_object(path, "protocol"), protocol)
    write_json(path, protocol)


def _of_corpus(
    cells: Sequence[BenchmarkCell],
    report: PrepareReport,
    digest: str,
    records: Sequence[Record],
    quarantined: int,
    answers: Sequence[Prediction],
    words: WordLists | None,
    seed: int,
) -> tuple[CorpusResult, dict[str, CellResult]]:
    """The cells of one corpus, and what has to be known about them."""
    labels = {record.id: record.labels for record in records}
    speakers = {record.id: record.speaker for record in records if record.speaker}
    notes: list[str] = []
    found: dict[str, CellResult] = {}
    for name in dict.fromkeys(cell.task for cell in cells):
        task = TASKS[name]
        own = [_answer_to(name, answer) for answer in answers]
        figures = score(labels, own, speakers, [name], seed).tasks.get(name, {})
        official: Mapping[str, float | None] = {}
        if any(cell.official for cell in cells):
            try:
                official, said = task.official(sample(task, labels, by_clip(own), speakers, seed), words)
                notes += said
            except ArgumentError as error:  # it needs word lists that were not given
                notes.append(str(error))
        for cell in cells:
            if cell.task != name:
                continue
            figure = figures.get(cell.figure)
            if figure is None:
                notes.append(f"{cell.figure} is not defined: no answer names a label")
            found[cell.name] = CellResult(
                **_named(cell),
                n=figure["n"] if figure else sum(task.has_label(known) for known in labels.values()),
                value=_percent(figure["value"]) if figure else None,
                low=_percent(figure["low"]) if figure else None,
                high=_percent(figure["high"]) if figure else None,
                official=_percent(official.get(cell.official)) if cell.official else None,
            )
    counted = [len(answer.labels) for answer in answers if answer.error is None]
    about = CorpusResult(
        corpus=report.corpus,
        layout=report.layout,
        manifest=str(report.manifest),
        manifest_sha256=digest,
        clips=len(records),
        published_clips=next((cell.clips for cell in cells), None) or report.expected.get("test"),
        skipped=len(report.skipped),
        broken={answer.id: answer.error for answer in answers if answer.error is not None},
        quarantined=quarantined,
        without_media=sum(not any(getattr(record, kind) for kind in MEDIA) for record in records),
        without_text=sum(not record.text for record in records),
        assumptions=list(report.assumptions),
        labels_per_answer=sum(counted) / len(counted) if any(counted) else None,
        routes=dict(Counter(TASKS[answer.task].route(answer) for answer in answers if answer.text)),
        notes=list(dict.fromkeys(notes)),
    )
    return about, found


def _answer_to(task: str, answer: Prediction) -> Prediction:
    """The answer to a task: the one that was given, or what its words in open vocabulary say."""
    if answer.task == task:
        return answer
    if answer.error is not None:
        return answer.model_copy(update={"task": task})
    read = TASKS[task].from_words(answer)
    return Prediction.of(answer.id, task, read, modalities=answer.modalities, experts=answer.experts)


def _named(cell: BenchmarkCell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in ("name", "corpus", "task", "figure")}


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 4)


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where one value is missing."""
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known and len(known) == len(values) else None

"""Many clips, one after another: processes read ahead, the model answers in batches, and no bad file stops the rest.

The answers are those that each clip gets alone. Batches are taken in the order of the clips, so the same clips give
the same bytes; in float32 a batch changes nothing but the last digit of a probability, and other types are answered
one clip at a time unless a batch is asked for.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

from nanoemox.data.records import Read, Wanted, read_wanted
from nanoemox.data.schema import Record
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.files.listed import labels_by_task
from nanoemox.files.machine import usable_cores
from nanoemox.files.short_repr import ShortRepr
from nanoemox.files.workers import Died, in_order
from nanoemox.inference.decoding import Sampling
from nanoemox.inference.results import Analysis, Request
from nanoemox.inference.sources import found_in
from nanoemox.inference.words import Words, WordsAsked
from nanoemox.media.clip import Clip
from nanoemox.tasks.task import TASKS, check_candidates

if TYPE_CHECKING:
    from nanoemox.inference.analyzer import EmotionAnalyzer

logger = logging.getLogger(__name__)

# What a clip itself can cause while it is answered; anything else is a bug, and ends a run with its traceback.
CLIP_FAULTS = (NanoEmoXError, torch.OutOfMemoryError, MemoryError)
BATCH_SIZE = 16  # of a model that computes in float32
Source: TypeAlias = str | Path | Clip | Record


@dataclass(frozen=True, repr=False)
class FileResult(ShortRepr):
    """What came of one of many clips: its answers, or why there are none.

    Attributes:
        source: The path, clip or record that was given.
        analysis: The answers; None where there is an error.
        error: Why there are none, in one line.
    """

    source: Source
    analysis: Analysis | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """What the source is called: its path, or the id of its record."""
        if isinstance(self.source, Record):
            return self.source.id
        return self.source.path if isinstance(self.source, Clip) else os.fspath(self.source)


FileResults: TypeAlias = Iterator[FileResult]


@dataclass(frozen=True, repr=False)
class Question(ShortRepr):
    """What each of many clips is asked."""

    tasks: list[str]
    start_s: float | None = None
    end_s: float | None = None
    candidates: Mapping[str, Sequence[str]] | None = None
    max_new_tokens: int | None = None
    sampling: Sampling | None = None
    write: bool = True
    explain: bool = False
    as_video: bool = False
    words: WordsAsked = field(default_factory=WordsAsked)  # of clips without a text of their own

    @classmethod
    def of(
        cls,
        analyzer: EmotionAnalyzer,
        tasks: str | Sequence[str] | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        candidates: Mapping[str, str | Sequence[str]] | None = None,
        max_new_tokens: int | None = None,
        untrained: bool = False,
        sampling: Sampling | None = None,
        write: bool | None = None,
        explain: bool = False,
        as_video: bool = False,
        words: WordsAsked | None = None,
    ) -> Question:
        """Check what is asked before any file is read.

        Args:
            analyzer: The model.
            tasks: As in `EmotionAnalyzer.analyze_many`.
            start_s: Likewise.
            end_s: Likewise.
            candidates: Likewise.
            max_new_tokens: Likewise.
            untrained: Likewise.
            sampling: Likewise.
            write: Likewise.
            explain: Likewise.
            as_video: The pictures of a folder are the frames of one video.
            words: Where the words of clips without a text of their own come from; None, nowhere.

        Returns:
            The question.

        Raises:
            ArgumentError: If a task is unknown, or has candidates and is not closed.
        """
        chosen = analyzer.tasks.chosen(tasks, untrained)
        check_candidates(candidates or {}, chosen)
        writes = analyzer.tasks.writes(chosen, write)
        for name in chosen:
            analyzer.answer_limit(TASKS[name], max_new_tokens)
        offered = labels_by_task(candidates)
        words = words or WordsAsked()
        return cls(
            chosen, start_s, end_s, offered, max_new_tokens, sampling, writes, explain, as_video, words
        )


def usual_batch_size(analyzer: EmotionAnalyzer) -> int:
    """The largest batch that does not change answers: in other types than float32, they depend on their batch."""
    return BATCH_SIZE if analyzer.dtype == "float32" else 1


def usual_workers() -> int:
    """One process for each core but one, which the model has."""
    return max(1, usable_cores() - 1)


def analyze_many(
    analyzer: EmotionAnalyzer,
    sources: str | Path | Iterable[Source],
    question: Question,
    batch_size: int | None = None,
    workers: int | None = None,
) -> FileResults:
    """Answer a question about many clips, and yield each as soon as it is answered, in their order.

    Args:
        analyzer: The model.
        sources: As in `EmotionAnalyzer.analyze_many`.
        question: What each is asked.
        batch_size: Clips at a time; None, as `usual_batch_size` says.
        workers: Processes that read files; None, as `usual_workers` says; 0, this process.

    Returns:
        An iterator of one result for each clip.

    Raises:
        ArgumentError: If a number is too small, or a path holds nothing.
        WorkersError: If the processes cannot be started.
    """
    size = usual_batch_size(analyzer) if batch_size is None else batch_size
    if size < 1:
        raise ArgumentError(f"batch_size: expected a whole number above 0, got {size}")
    if workers is not None and workers < 0:
        raise ArgumentError(f"workers: expected a whole number from 0, got {workers}")
    if isinstance(sources, str | os.PathLike):
        sources = [item.source for item in found_in([sources], as_video=question.as_video).items]
    given = iter(sources)
    batches = iter(lambda: list(itertools.islice(given, size)), [])
    return (result for batch in answered(analyzer, batches, question, size, workers) for result in batch)


def answered(
    analyzer: EmotionAnalyzer,
    batches: Iterable[Sequence[Source]],
    question: Question,
    size: int,
    workers: int | None = None,
) -> Iterator[list[FileResult]]:
    """The results of each batch, in order.

    Args:
        analyzer: The model.
        batches: What is answered together.
        question: What each clip is asked.
        size: Of the largest batch.
        workers: As in `analyze_many`.

    Yields:
        One result for each clip of a batch.

    Raises:
        WorkersError: If the processes cannot be started.
    """
    workers = usual_workers() if workers is None else workers
    compat = analyzer.processor.compat

    def wanted() -> Iterator[tuple[tuple[Source, int], Wanted | None]]:
        """Every clip with the length of its batch, and what a process has to read for it."""
        for batch in batches:
            for source in batch:
                want = None
                if isinstance(source, Record):
                    want = Wanted(_with_cut(source, question), compat=compat)
                elif not isinstance(source, Clip):
                    path = Path(source)
                    as_video = question.as_video and path.is_dir()
                    want = Wanted(path, question.start_s, question.end_s, compat, as_video)
                yield (source, len(batch)), want

    waiting: list[tuple[Source, Read]] = []
    ahead = size + 2 * workers  # as many clips wait in memory
    for (source, length), read in in_order(read_wanted, wanted(), workers, ahead):
        if isinstance(read, Died):
            died = f"{FileResult(source).name}: reading it ended its process (the decoder crashed, or memory is short)"
            read = Read(None, f"{died}; copy or export the file again", 0.0)
        elif read is None:
            read = Read(source if isinstance(source, Clip) else None, None, 0.0)
        waiting.append((source, read))
        if len(waiting) == length:
            yield _answer(analyzer, waiting, question)
            waiting = []


def _with_cut(record: Record, question: Question) -> Record:
    """The record with the cut of the question, unless it has its own."""
    if (record.start_s, record.end_s) != (None, None):
        return record
    return record.model_copy(update={"start_s": question.start_s, "end_s": question.end_s})


def _answer(
    analyzer: EmotionAnalyzer, batch: Sequence[tuple[Source, Read]], question: Question
) -> list[FileResult]:
    """The results of one batch. If it fails, its clips are asked one by one: none spoils others."""
    found: dict[int, FileResult] = {}
    asked: list[tuple[int, Request, float, float]] = []
    heard_s: dict[int, float] = {}
    for row, (source, read) in enumerate(batch):
        if read.clip is None:
            found[row] = FileResult(source, error=read.error)
            continue
        record = source if isinstance(source, Record) else None
        cut = _with_cut(record, question) if record else question
        started = time.perf_counter()
        try:
            words = _words(source, question, cut.start_s, cut.end_s)
        except CLIP_FAULTS as error:
            found[row] = _failed(source, error)
            continue
        if words.spoken is not None:
            heard_s[row] = round(time.perf_counter() - started, 4)
        request = Request(
            read.clip,
            words.text,
            record.turns if record else None,
            question.tasks,
            question.candidates or {},
            max_new_tokens=question.max_new_tokens,
            sampling=question.sampling,
            write=question.write,
            no_text=words.no_text,
            spoken=words.spoken,
        )
        asked.append((row, request, round(read.seconds, 4), cut.start_s or 0.0))
    groups = [asked] if asked else []
    while groups:
        group = groups.pop()
        try:
            analyses = analyzer.analyses(
                [request for _, request, _, _ in group],
                [load_s for _, _, load_s, _ in group],
                [start_s for _, _, _, start_s in group],
                question.explain,
            )
        except CLIP_FAULTS as error:
            if len(group) > 1:
                told = " ".join(str(error).split())
                logger.warning("a batch of %d clips failed (%s); asking them one by one", len(group), told)
                groups += [[one] for one in group]
                continue
            row = group[0][0]
            found[row] = _failed(batch[row][0], error)
            continue
        for (row, *_), analysis in zip(group, analyses, strict=True):
            if row in heard_s:
                total_s = round(analysis.timing_s["total"] + heard_s[row], 4)
                timing = {**analysis.timing_s, "words": heard_s[row], "total": total_s}
                analysis = replace(analysis, timing_s=timing)
            found[row] = FileResult(batch[row][0], analysis)
    return [found[row] for row in range(len(batch))]


def _words(source: Source, question: Question, start_s: float | None, end_s: float | None) -> Words:
    """What is said in a clip. One that was loaded before has no words: nobody knows what else is in its file."""
    if isinstance(source, Clip):
        return Words(None)
    return question.words.words(source if isinstance(source, Record) else Path(source), start_s, end_s)


def _failed(source: Source, error: BaseException) -> FileResult:
    name, reason = FileResult(source).name, " ".join(str(error).split()) or type(error).__name__
    return FileResult(source, error=reason if reason.startswith(f"{name}: ") else f"{name}: {reason}")

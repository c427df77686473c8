"""What every way to ask has in common: a clip is written to a file, read, answered, and forgotten."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer, checked_content
from nanoemox.inference.dialogue import read_dialogue
from nanoemox.inference.notice import NOTICE
from nanoemox.inference.results import Analysis
from nanoemox.media.clip import Clip
from nanoemox.media.untrusted import MediaError
from nanoemox.server.metrics import Metrics
from nanoemox.server.readers import Readers, Reading
from nanoemox.server.scratch import Scratch, write_url
from nanoemox.server.settings import MAX_TEXT_CHARACTERS, Settings
from nanoemox.server.worker import ModelWorker


@dataclass(frozen=True)
class Call:
    """What is asked about one clip.

    Attributes:
        text: What is said in the clip.
        dialogue: The turns before it, as text or JSON.
        tasks: The names of the tasks; None, all that the model was trained on.
        candidates: Task -> the labels to choose from.
        start_s: Use the clip from here on.
        end_s: Use the clip up to here.
        max_new_tokens: Cut every answer at this number of tokens.
    """

    text: str | None = None
    dialogue: str | None = None
    tasks: list[str] | None = None
    candidates: dict[str, list[str]] = field(default_factory=dict)
    start_s: float | None = None
    end_s: float | None = None
    max_new_tokens: int | None = None


class Service:
    """A model, the processes that read clips for it, and the folder where uploads lie meanwhile."""

    def __init__(self, analyzer: EmotionAnalyzer, settings: Settings, metrics: Metrics | None = None) -> None:
        """Start everything; `close` ends it.

        Args:
            analyzer: The model.
            settings: The limits.
            metrics: Counts what happens.
        """
        self.analyzer, self.settings = analyzer, settings
        self.metrics = metrics or Metrics()
        self.scratch = Scratch()
        self.readers = Readers(settings.readers, settings.read_s)
        self.worker = ModelWorker(analyzer, settings.batch, self.metrics.batch_size.observe)
        # Clips in memory: those that are answered, and as many that were read meanwhile. Others wait on the disk.
        self._clips = asyncio.Semaphore(2 * settings.batch)

    @asynccontextmanager
    async def clip(
        self, path: Path, name: str, start_s: float | None = None, end_s: float | None = None
    ) -> AsyncIterator[Clip]:
        """The clip in a file, as long as it is needed.

        Args:
            path: The file.
            name: What whoever sent it calls it.
            start_s: Read it from here on.
            end_s: Read it up to here.

        Yields:
            The clip.

        Raises:
            MediaError: If it cannot be read.
        """
        compat = self.analyzer.processor.compat
        async with self._clips:
            try:
                clip = await self.readers.read(
                    Reading(path, start_s, end_s, compat, self.settings.max_clip_s)
                )
            except MediaError as error:  # with the name that whoever sent it knows
                raise MediaError(str(error).replace(str(path), name)) from error
            self.metrics.clip_s.inc(clip.duration_s)
            yield replace(clip, path=name)

    async def analyze(self, call: Call, path: Path | None = None, name: str = "clip") -> Analysis:
        """Answer a call, together with others that wait.

        Args:
            call: What is asked.
            path: The file of the clip; None where there are only words.
            name: What whoever sent it calls it.

        Returns:
            The answers.

        Raises:
            NanoEmoXError: If something in the call or the clip is wrong.
            FaultError: If the model fails.
        """
        self._check(call)
        dialogue = (
            read_dialogue(f"{call.dialogue}\n") if call.dialogue else None
        )  # a text, and no file's name
        request = self.analyzer.request(
            None, call.text, call.tasks, dialogue, call.candidates, call.max_new_tokens
        )
        if path is None:
            return await self._answered(request, 0.0, None)
        started = time.perf_counter()
        async with self.clip(path, name, call.start_s, call.end_s) as clip:
            load_s = round(time.perf_counter() - started, 4)
            return await self._answered(replace(request, source=clip), load_s, call.start_s)

    async def _answered(self, request: Any, load_s: float, start_s: float | None) -> Analysis:
        answers = await self.worker.answer(checked_content(request))
        return self.analyzer.analysis(request, answers, load_s, start_s)

    def _check(self, call: Call) -> None:
        labels = [label for each in call.candidates.values() for label in each]
        written = sum(len(each or "") for each in (call.text, call.dialogue, *labels))
        if written > MAX_TEXT_CHARACTERS:
            raise ArgumentError(
                f"text, dialogue and candidates: expected at most {MAX_TEXT_CHARACTERS:,} characters in all, got "
                f"{written:,}; keep the last turns"
            )
        most = self.settings.max_new_tokens
        if call.max_new_tokens is not None and not 0 < call.max_new_tokens <= most:
            raise ArgumentError(
                f"max_new_tokens: expected a number from 1 to {most}, got {call.max_new_tokens}"
            )

    @asynccontextmanager
    async def from_url(self, url: str) -> AsyncIterator[tuple[Path, str]]:
        """The file of a data URL, or of an address that may be fetched, and what to call it. Errors: FaultError."""
        with self.scratch.file() as path:
            name = await asyncio.to_thread(write_url, url, path, self.settings)
            yield path, name

    def close(self) -> None:
        """End the processes and the thread, and remove the folder."""
        self.worker.close()
        self.readers.close()
        self.scratch.close()


def result_of(analysis: Analysis) -> dict[str, Any]:
    """The JSON of an analysis: what `nanoemox analyze --json` writes, and what everyone has to know who reads it."""
    return {**analysis.to_dict(), "notice": NOTICE}


def candidates_of(text: str | None) -> dict[str, list[str]]:
    """Labels by task out of a JSON object. Errors: ArgumentError."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"candidates: expected a JSON object, but {error}; correct it") from error
    if not isinstance(found, dict) or not all(
        isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        for labels in found.values()
    ):
        raise ArgumentError(
            'candidates: expected a JSON object such as {"emotion": ["joy", "anger"]}; correct it'
        )
    return found


def number_of(name: str, text: str | None, kind: Callable[[str], Any]) -> Any:
    """A number out of a text.

    Args:
        name: Of the field, for the error.
        text: What was given.
        kind: float or int.

    Returns:
        The number; None where nothing was given.

    Raises:
        ArgumentError: If it is none.
    """
    if text is None or not text.strip():
        return None
    try:
        return kind(text)
    except ValueError as error:
        raise ArgumentError(f"{name}: expected a number, got {text!r:.40}") from error

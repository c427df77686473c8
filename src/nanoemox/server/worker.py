"""The one thread that computes: requests that wait together are answered together, chats between them in their turn."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nanoemox.files.errors import NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Answers, Request
from nanoemox.server.faults import FaultError, fault_of

logger = logging.getLogger(__name__)
T = TypeVar("T")
FAILURES_OF_THE_SICK = 3  # batches one after another, after which /health says so


@dataclass
class _Job:
    """A request to answer in a batch, or anything else to call by itself."""

    work: Request | Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


class ModelWorker:
    """A thread with a queue. Who waits in it is bounded by whoever lets requests in (`guard.py`)."""

    def __init__(self, analyzer: EmotionAnalyzer, batch: int, on_batch: Callable[[int], None]) -> None:
        """Start the thread.

        Args:
            analyzer: The model.
            batch: How many requests are answered at once.
            on_batch: Is told the size of every batch.
        """
        self.analyzer, self.batch, self.on_batch = analyzer, batch, on_batch
        self.failures = 0  # batches that failed since the last one that did not
        self.seconds_each = 0.5  # what a request has taken lately
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._jobs)

    @property
    def well(self) -> bool:
        """Whether the thread runs, and its last batches did not all fail."""
        return self._thread.is_alive() and self.failures < FAILURES_OF_THE_SICK

    async def answer(self, request: Request) -> Answers:
        """The answers to a request. Who stops waiting takes it out of the queue. Errors: FaultError, NanoEmoXError."""
        answers: Answers = await asyncio.wrap_future(self._put(request))
        return answers

    async def call(self, work: Callable[[], T]) -> T:
        """What a function returns that uses the model."""
        result: T = await asyncio.wrap_future(self._put(work))
        return result

    def submit(self, work: Callable[[], Any]) -> None:
        """Call a function that tells its result itself."""
        self._put(work)

    def close(self) -> None:
        """Drop what waits, and end the thread after what it does now."""
        with self._changed:
            self._stopped = True
            while self._jobs:
                self._jobs.popleft().future.cancel()
            self._changed.notify_all()
        self._thread.join(timeout=10)

    def _put(self, work: Request | Callable[[], Any]) -> Future[Any]:
        job = _Job(work)
        with self._changed:
            if self._stopped:
                raise FaultError(503, "stopping", "the server is stopping; try again when it is back", 5)
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def _take(self) -> list[_Job]:
        """The next jobs: one to call, or as many requests as one batch holds. None at the end."""
        with self._changed:
            while not self._jobs and not self._stopped:
                self._changed.wait()
            taken: list[_Job] = []
            while self._jobs and len(taken) < self.batch:
                if taken and not isinstance(self._jobs[0].work, Request):
                    break
                taken.append(self._jobs.popleft())
                if not isinstance(taken[0].work, Request):
                    break
        return taken

    def _run(self) -> None:
        while not self._stopped:
            # Those who went away in the meantime are left out.
            jobs = [job for job in self._take() if job.future.set_running_or_notify_cancel()]
            if not jobs:
                continue
            started = time.monotonic()
            self._do(jobs)
            each = (time.monotonic() - started) / len(jobs)
            self.seconds_each = 0.8 * self.seconds_each + 0.2 * each
            del jobs  # clips and answers are not held until somebody comes again

    def _do(self, jobs: list[_Job]) -> None:
        """Do one job, or answer one batch; a batch that fails is answered one by one."""
        try:
            if isinstance(jobs[0].work, Request):
                self.on_batch(len(jobs))
                requests = [job.work for job in jobs if isinstance(job.work, Request)]
                results: list[Any] = list(self.analyzer.answer_batch(requests))
            else:
                results = [jobs[0].work()]
        except BaseException as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._do([job])
                return
            jobs[0].future.set_exception(self._told(error))
            return
        self.failures = 0
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)

    def _told(self, error: BaseException) -> Exception:
        """The error for whoever waits. What is no fault of theirs counts as a failure of the model."""
        known = fault_of(error) if isinstance(error, Exception) else None
        if known is not None and known.status_code < 500:
            self.failures = 0
            return error if isinstance(error, NanoEmoXError) else known
        self.failures += 1
        logger.error("the model failed", exc_info=error)
        return known or FaultError(
            500, "model_failed", "the model failed on this request, which was dropped; the server goes on"
        )

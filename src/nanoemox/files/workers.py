"""Pools of worker processes that have been seen to start.

A worker is a new interpreter, and it imports the script that started it. A script that calls one of our functions
outside `if __name__ == "__main__":` is therefore run again by every worker, which dies there. Left alone, such a pool
looks like one whose every clip kills the decoder; here it is one error, before any work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.context import BaseContext, SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, Literal, TypeVar, cast

from nanoemox.files.errors import NanoEmoXError
from nanoemox.files.machine import share_cores

_GUARD = 'if __name__ == "__main__":'
K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")


class Died:
    """In place of a result: the process that made it died."""


class WorkerPool(ProcessPoolExecutor):
    """A pool that can be left once it is broken.

    Python ends the processes of a pool in which one has died, but misses one that is being started at that moment, and
    then waits for it for ever. So the processes are listed here, and `end` ends them all.
    """

    def __init__(self, workers: int, context: BaseContext, **options: Any) -> None:
        """Make a pool.

        Args:
            workers: How many processes.
            context: Starts them.
            **options: What else `ProcessPoolExecutor` takes.
        """
        self._listing = _Listing(context)
        super().__init__(workers, cast("BaseContext", self._listing), **options)

    def end(self) -> None:
        """End every process, whatever it does, and drop what waits."""
        self.shutdown(wait=False, cancel_futures=True)
        for process in self._listing.started:
            with suppress(ValueError, AttributeError):  # it is closed already, or was never started
                process.kill()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool | None:
        if isinstance(error, BrokenProcessPool):
            self.end()
            return None
        return super().__exit__(kind, error, trace)


class _Listing:
    """A context that remembers the processes it has made."""

    def __init__(self, context: BaseContext) -> None:
        self._context = context
        self.started: list[BaseProcess] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def Process(self, *args: Any, **options: Any) -> BaseProcess:  # noqa: N802 - the name of a context's method
        process: BaseProcess = self._context.Process(*args, **options)  # type: ignore[attr-defined]
        self.started.append(process)
        return process


class WorkersError(NanoEmoXError):
    """Worker processes that could not be started, or that died. One line with the remedy."""


def started_pool(
    workers: int,
    method: Literal["spawn", "forkserver", "scriptless"] = "spawn",
    preload: Sequence[str] = (),
    **options: Any,
) -> WorkerPool:
    """A pool whose first worker has answered.

    Args:
        workers: How many processes. Each computes with its share of the cores.
        method: How they are started. Where the system has no fork server, they are spawned. "scriptless" ones are
            spawned and do not import the script that starts them, so it needs no guard; they can only be given what
            modules hold.
        preload: Modules that the fork server imports once for all workers.
        **options: What else `ProcessPoolExecutor` takes.

    Returns:
        The pool; its other workers start with the work.

    Raises:
        WorkersError: If no worker can be started.
    """
    _end_if_imported_by_a_worker()
    context: BaseContext = _ScriptlessContext()
    if method != "scriptless":
        context = multiprocessing.get_context(
            method if method in multiprocessing.get_all_start_methods() else "spawn"
        )
        context.set_forkserver_preload(list(preload))
    options["initargs"] = (workers, options.get("initializer"), *options.get("initargs", ()))
    options["initializer"] = _share_and_begin
    pool = WorkerPool(workers, context, **options)
    try:
        pool.submit(_answer).result()
    except (BrokenProcessPool, OSError, EOFError, AssertionError) as error:
        pool.end()
        raise WorkersError(_told(error)) from error
    return pool


def check_workers_start() -> None:
    """Raise what `started_pool` raises, for processes that a library starts for us."""
    started_pool(1).shutdown()


@contextmanager
def worker_deaths(where: object) -> Iterator[None]:
    """Raise the death of a worker as a WorkersError about `where`."""
    try:
        yield
    except BrokenProcessPool as error:
        raise WorkersError(
            f"{where}: a worker process died (out of memory, or a clip that kills its decoder); "
            "`nanoemox corpora doctor` finds such clips, fewer workers need less memory"
        ) from error


def in_order(
    function: Callable[[T], R], items: Iterable[tuple[K, T | None]], workers: int, ahead: int
) -> Iterator[tuple[K, R | Died | None]]:
    """What a function makes of each item, in the order of the items. Processes work ahead of whoever asks.

    An item that kills its process costs that item alone: the others that were under way are done again, one by one.

    Args:
        function: A function of a module that is quick to import. It has to catch its own errors.
        items: Names and arguments, taken one by one and never more than `ahead` before they are needed. Where the
            argument is None there is nothing to do; the first other one starts the processes.
        workers: Processes; 0, this process alone.
        ahead: Items under way at once.

    Yields:
        Each name with its result.

    Raises:
        WorkersError: If the processes cannot be started.
    """
    if workers <= 0:
        yield from ((key, None if argument is None else function(argument)) for key, argument in items)
        return
    waiting, exhausted = iter(items), False
    # A future of None: there is nothing to do, or it has to be done again.
    queue: deque[tuple[K, T | None, Future[R] | None]] = deque()
    pool: WorkerPool | None = None
    try:
        while True:
            # Keep the processes at work.
            while not exhausted and len(queue) < ahead:
                try:
                    key, argument = next(waiting)
                except StopIteration:
                    exhausted = True
                    break
                future = None
                if argument is not None:
                    pool = pool or _quiet_pool(workers)
                    with suppress(BrokenProcessPool):  # the results will tell
                        future = pool.submit(function, argument)
                queue.append((key, argument, future))
            if not queue:
                return

            # Hand out the oldest. If a process has died, what was lost with it is done again, one by one.
            key, argument, future = queue.popleft()
            if argument is None:
                yield key, None
            elif future is None:
                yield key, _alone(function, argument)
            else:
                try:
                    result: R | Died = future.result()
                except BrokenProcessPool:
                    if pool is not None:
                        pool.end()
                    pool = None
                    kept = [(k, a, f if f is not None and _has_result(f) else None) for k, a, f in queue]
                    queue = deque([(key, argument, None), *kept])
                    continue
                yield key, result
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _quiet_pool(workers: int) -> WorkerPool:
    return started_pool(workers, "scriptless", initializer=_begin)


class _Scriptless(SpawnProcess):
    """A process that does not import the script which starts it: it is told that there is none."""

    def start(self) -> None:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")  # whose name and file multiprocessing would pass on
        try:
            super().start()
        finally:
            sys.modules["__main__"] = script


class _ScriptlessContext(SpawnContext):
    Process = _Scriptless


def _alone(function: Callable[[T], R], item: T) -> R | Died:
    """One item in a process of its own, to find out whether it is the one that kills."""
    try:
        with _quiet_pool(1) as pool:
            return pool.submit(function, item).result()
    except BrokenProcessPool:
        return Died()


def _has_result(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _share_and_begin(workers: int, initializer: Callable[..., None] | None, *arguments: Any) -> None:
    """A worker takes no more than its share of the cores, and then begins as its pool asks."""
    share_cores(workers)
    if initializer is not None:
        initializer(*arguments)


def _begin() -> None:
    """A worker leaves Ctrl-C to the process above, and ends when that one is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    above = multiprocessing.parent_process()
    if above is not None:
        above.join()
        os._exit(1)


def _answer() -> None:
    """What a worker does first, to show that it runs."""


def _told(error: BaseException) -> str:
    if isinstance(error, BrokenProcessPool):
        return (
            "the worker processes cannot be started: the first one ended before it answered; in a script, put the "
            f"call under `{_GUARD}`, since every worker imports the script (or memory is short: free some)"
        )
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"the worker processes cannot be started ({str(reason).casefold()}); free memory, or take fewer workers"


def _end_if_imported_by_a_worker() -> None:
    """End a worker quietly that is only importing its script: what is wrong is told once, by the process above.

    `_inheriting` is what multiprocessing itself looks at before it refuses to start a process there. An error in its
    place would be printed by every worker, and a script that catches errors would go on, and do its work again.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(1)

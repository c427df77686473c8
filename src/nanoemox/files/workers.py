"""Pools of worker processes that have been seen to start.

A worker is a new interpreter, and it imports the script that started it. A script that calls one of our functions
outside `if __name__ == "__main__":` is therefore run again by every worker, which dies there. Left alone, such a pool
looks like one whose every clip kills the decoder; here it is one error, before any work.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Literal

from nanoemox.files.errors import NanoEmoXError

_GUARD = 'if __name__ == "__main__":'


class WorkersError(NanoEmoXError):
    """Worker processes that could not be started, or that died. One line with the remedy."""


def started_pool(
    workers: int,
    method: Literal["spawn", "forkserver"] = "spawn",
    preload: Sequence[str] = (),
    **options: Any,
) -> ProcessPoolExecutor:
    """A pool whose first worker has answered.

    Args:
        workers: How many processes.
        method: How they are started. Where the system has no fork server, they are spawned.
        preload: Modules that the fork server imports once for all workers.
        **options: What else `ProcessPoolExecutor` takes.

    Returns:
        The pool; its other workers start with the work.

    Raises:
        WorkersError: If no worker can be started.
    """
    _end_if_imported_by_a_worker()
    context = multiprocessing.get_context(
        method if method in multiprocessing.get_all_start_methods() else "spawn"
    )
    context.set_forkserver_preload(list(preload))
    pool = ProcessPoolExecutor(workers, context, **options)
    try:
        pool.submit(_answer).result()
    except (BrokenProcessPool, OSError, EOFError, AssertionError) as error:
        pool.shutdown(wait=False, cancel_futures=True)
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

"""Make a corpus of Affect Theatre: many clips at once, and the manifest that says what is in them.

`OUT/clips/<id>.mp4` and `OUT/manifest.jsonl`. Every finished clip carries a stamp (its script and the code
that drew it, hashed), so a run that was cut off goes on where it stopped, and a clip of another script or an
older drawing is made anew, not taken for the one asked for. A repeated run leaves the same bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import av
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nanoemox.files.atomic import write_jsonl
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.files.machine import usable_cores
from nanoemox.files.workers import started_pool
from nanoemox.theatre.dials import DEFAULT, Dials
from nanoemox.theatre.render import render
from nanoemox.theatre.script import SPLITS, Script, stage_script

_WRITING_CODE = (
    "__init__",
    "group",
    "texts",
    "make",
    "script",
    "wordings",
    "words",
    "world",
    "dials",
)  # decides scripts; all else draws and voices them
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_ERRORS_SHOWN = 5


class MakeError(NanoEmoXError):
    """Some clips could not be made; the finished ones are kept. The message names the failed ones."""


@dataclass(frozen=True)
class MakeReport:
    """What a run did."""

    manifest: Path
    clips: int
    made: int  # rendered in this run
    kept: int  # found finished
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.clips} clips in {self.manifest.parent} ({self.made} made, {self.kept} found finished) "
            f"in {self.seconds:.0f} s; manifest: {self.manifest}"
        )


@cache
def _code_stamp() -> bytes:
    """A hash of the source files that decide how a script is drawn and voiced."""
    files = sorted(f for f in Path(__file__).parent.glob("*.py") if f.stem not in _WRITING_CODE)
    return blake2b(b"".join(f.read_bytes() for f in files), digest_size=8).digest()


def stamp(script: Script) -> str:
    """What a finished clip of this script carries in its metadata."""
    planned = repr(script)
    if script.dials != DEFAULT:
        planned += repr((script.dials, script.timing, script.timed))
    digest = blake2b(planned.encode(), key=_code_stamp(), digest_size=12).hexdigest()
    return f"Affect Theatre {digest}"


def _finished(path: Path, wanted: str) -> bool:
    if not path.is_file():
        return False
    try:
        with av.open(str(path)) as container:
            return container.metadata.get("comment") == wanted
    except (av.FFmpegError, OSError):
        return False


def make_clip(
    index: int, seed: int, split: str, out: Path, dials: Dials = DEFAULT
) -> tuple[dict[str, Any], bool]:
    """Make one clip of a corpus if it is not there.

    Args:
        index: Its number.
        seed: Of the corpus.
        split: "train", "val" or "test".
        out: The folder of the corpus.
        dials: How hard it is to read.

    Returns:
        Its manifest line, and whether it had to be made.
    """
    script = stage_script(index, seed, split, dials)
    path = out / "clips" / f"{script.id}.mp4"
    wanted = stamp(script)
    made = not _finished(path, wanted)
    if made:
        render(script, path, comment=wanted)
    record = script.record()
    return {"id": record.pop("id"), "video": f"clips/{path.name}", **record}, made


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers started within inherit one thread for numpy: there is a worker for every core already."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def make_theatre(
    out: Path,
    clips: int,
    seed: int,
    split: str,
    workers: int | None = None,
    *,
    quiet: bool = False,
    dials: Dials = DEFAULT,
) -> MakeReport:
    """Make clips of a split and their manifest, sorted by id.

    Args:
        out: The folder that gets the clips and manifest.jsonl.
        clips: How many.
        seed: The same seed always makes the same clips.
        split: "train", "val" or "test".
        workers: Processes; None means one per core.
        quiet: Show no bar.
        dials: How hard the world is to read, and what its answers hang on.

    Returns:
        What the run did.

    Raises:
        ArgumentError: For impossible arguments.
        MakeError: When clips failed. The others are finished first, no manifest is written, and the same call
            goes on from there.
        WorkersError: When the processes cannot be started. A script that calls this has to do so under
            `if __name__ == "__main__":`.
    """
    # Check what was asked for, before anything is written.
    if clips < 1:
        raise ArgumentError(f"clips = {clips}: expected at least 1")
    if split not in SPLITS:
        raise ArgumentError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    if workers is not None and workers < 1:
        raise ArgumentError(f"workers = {workers}: expected at least 1, or none for one per core")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ArgumentError(f"{out}: expected a folder to write to, found a file; choose another name")
    (out / "clips").mkdir(parents=True, exist_ok=True)

    # Prepare the workers and the bar.
    start = time.perf_counter()
    workers = min(workers or usable_cores(), clips)
    records: list[dict[str, Any]] = []
    failed: dict[str, Exception] = {}
    made = 0
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with (
        Progress(*columns, console=Console(stderr=True), disable=quiet) as progress,
        _one_thread_each(),
        started_pool(workers) as pool,
    ):
        bar = progress.add_task(f"staging {split}", total=clips)
        waiting = iter(range(clips))
        running: dict[Future[tuple[dict[str, Any], bool]], int] = {}
        try:
            # Keep four clips in the queue for each worker: enough that none waits, few enough to stop soon.
            while True:
                for index in islice(waiting, 4 * workers - len(running)):
                    running[pool.submit(make_clip, index, seed, split, out, dials)] = index
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index = running.pop(future)
                    try:
                        record, new = future.result()
                    except BrokenProcessPool:
                        raise
                    except Exception as error:  # a failed clip must not cost the others
                        failed[f"{split}{dials.mark}-{seed}-{index:06d}"] = error
                    else:
                        records.append(record)
                        made += new
                    progress.advance(bar)
        except BrokenProcessPool as error:
            pool.end()
            raise MakeError(
                f"a worker process died after {len(records)} of {clips} clips (out of memory?): finished "
                f"clips are kept in {out}; run again, with fewer than {workers} workers if memory is short"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise

    # Name the clips that failed; no manifest is written without them.
    if failed:
        shown = [f"{name}: {type(error).__name__}: {error}" for name, error in sorted(failed.items())]
        more = f"; and {len(failed) - _ERRORS_SHOWN} more" if len(failed) > _ERRORS_SHOWN else ""
        message = (
            f"{len(failed)} of {clips} clips failed ({'; '.join(shown[:_ERRORS_SHOWN])}{more}); "
            f"the {len(records)} finished ones are kept in {out}, without a manifest; mend it and run again"
        )
        faults = (OSError, av.FFmpegError, NanoEmoXError)
        bugs = [error for error in failed.values() if not isinstance(error, faults)]
        if bugs:  # of ours: they keep their traceback
            raise RuntimeError(message) from bugs[0]
        raise MakeError(message)

    # Write the manifest, sorted by id, so that it does not depend on which worker was the fastest.
    manifest = out / "manifest.jsonl"
    records.sort(key=lambda record: str(record["id"]))
    write_jsonl(manifest, records)
    return MakeReport(manifest, clips, made, clips - made, time.perf_counter() - start)

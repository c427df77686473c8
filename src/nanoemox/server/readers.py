"""Processes that read media files, so that a file that kills its decoder kills no server."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nanoemox.files.errors import NanoEmoXError
from nanoemox.media.clip import Clip, Compat
from nanoemox.media.container import inspect
from nanoemox.media.load import load_clip
from nanoemox.media.untrusted import MediaError

logger = logging.getLogger(__name__)


class ReaderDiedError(NanoEmoXError):
    """A process that ended, or had to be ended, while it read a file."""


@dataclass(frozen=True)
class Reading:
    """What to read of which file."""

    path: Path
    start_s: float | None = None
    end_s: float | None = None
    compat: Compat = None
    max_clip_s: float = 600.0


def read(reading: Reading) -> Clip:
    """The clip in a file that is not longer than allowed. Errors: NanoEmoXError."""
    # By what the file states, before anything is decoded; and where it states nothing, by what was found.
    source = inspect(reading.path)
    stated_s = 0.0 if source.picture or source.estimated else source.duration_s or 0.0
    if reading.end_s is not None:
        stated_s = min(stated_s, reading.end_s)
    _check_length(reading, stated_s - (reading.start_s or 0.0))
    clip = load_clip(reading.path, start_s=reading.start_s, end_s=reading.end_s, compat=reading.compat)
    _check_length(reading, clip.duration_s)
    return clip


def _check_length(reading: Reading, length_s: float) -> None:
    if length_s > reading.max_clip_s:
        raise MediaError(
            f"{reading.path}: lasts {length_s:.0f} s (expected at most {reading.max_clip_s:g} s); send a shorter "
            "piece, or say which one with start_s and end_s"
        )


def _serve(pipe: Connection) -> None:
    """What a process does: read one file after another until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends it
    while True:
        try:
            reading = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            result: Any = read(reading)
        except Exception as error:
            result = error
        try:
            pipe.send(result)
        except (OSError, ValueError):
            return
        result = None


class _Reader:
    """One process and the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def read(self, reading: Reading, seconds: float) -> Clip:
        """Have it read a file; this waits. Errors: ReaderDiedError, and what reading raises."""
        try:
            self.pipe.send(reading)
            if not self.pipe.poll(seconds):
                raise ReaderDiedError(f"reading the clip took more than {seconds:g} s")
            result = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise ReaderDiedError("the process that read the clip died") from error
        if isinstance(result, Exception):
            raise result
        clip: Clip = result
        return clip

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Readers:
    """Some processes; each reads one file at a time."""

    def __init__(self, number: int, seconds: float) -> None:
        """Start them.

        Args:
            number: How many.
            seconds: How long one may take for one file.
        """
        self.seconds, self.deaths = seconds, 0
        self.idle: asyncio.Queue[_Reader] = asyncio.Queue()
        self.all: set[_Reader] = set()
        self.tasks: set[asyncio.Task[Clip]] = set()
        for _ in range(number):
            self._start()

    def _start(self) -> None:
        reader = _Reader()
        self.all.add(reader)
        self.idle.put_nowait(reader)

    async def read(self, reading: Reading) -> Clip:
        """The clip in a file.

        Whoever stops waiting does not stop the process: it reads to the end, and what it read is dropped.

        Args:
            reading: What to read.

        Returns:
            The clip.

        Raises:
            MediaError: If the file cannot be read, also where it killed two processes one after the other.
        """
        task = asyncio.create_task(self._read(reading))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return await asyncio.shield(task)

    async def _read(self, reading: Reading) -> Clip:
        try:
            return await self._read_once(reading)
        except ReaderDiedError:  # perhaps for another reason: once more
            try:
                return await self._read_once(reading)
            except ReaderDiedError as error:
                raise MediaError(
                    f"{reading.path}: cannot be read ({error}; expected a media file); export the clip again"
                ) from error

    async def _read_once(self, reading: Reading) -> Clip:
        reader = await self.idle.get()
        try:
            return await asyncio.to_thread(reader.read, reading, self.seconds)
        except ReaderDiedError as error:
            self.deaths += 1
            logger.warning("%s; another process takes its place", error)
            self.all.discard(reader)
            reader.end()
            reader = _Reader()
            self.all.add(reader)
            raise
        finally:
            self.idle.put_nowait(reader)

    def close(self) -> None:
        """End them."""
        for reader in self.all:
            reader.end()

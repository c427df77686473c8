"""The rows of the sections that are done, on the disk, so that a run that was killed goes on where it was.

The first line of the file says what it belongs to: the recording, the model and how the windows lie. Each line after
it holds one section. A line that was only half written when the process died does not count.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanoemox import __version__
from nanoemox.files.atomic import json_text
from nanoemox.files.errors import OutputError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.timeline.hearing import Hearing
from nanoemox.timeline.iterate import Said
from nanoemox.timeline.read import Recording
from nanoemox.timeline.rows import Row

FILE = ".timeline.unfinished.jsonl"
logger = logging.getLogger(__name__)


def what_is_made(
    analyzer: EmotionAnalyzer,
    recording: Recording,
    settings: Mapping[str, Any],
    sentences: Sequence[Said],
    hearing: Hearing | None = None,
) -> dict[str, Any]:
    """All that the rows depend on; a run goes on only where it is the same.

    Args:
        analyzer: The model.
        recording: The recording.
        settings: How the windows lie.
        sentences: What is said when.
        hearing: Hears it, where it is not known.

    Returns:
        Plain JSON types.
    """
    said = [[each.start_s, each.end_s, each.text, each.speaker] for each in sentences]
    return {
        "version": __version__,
        "file": recording.source.path.name,
        "state": list(recording.state),
        "model": analyzer.name,
        "provenance": list(analyzer.provenance),
        "dtype": analyzer.dtype,
        "settings": {key: value for key, value in settings.items() if key != "margin"},
        "sentences": hashlib.sha256(json.dumps(said).encode()).hexdigest() if said else None,
        "heard_by": None if hearing is None else [hearing.model.name, hearing.language],
    }


class Progress:
    """The file that holds what is done.

    Attributes:
        path: Where it lies.
        done: The rows of each section that is done, in order.
        warnings: Code -> sentence, as they were known at the end of the last of them.
        heard: What `Hearing.state` gave then, where the sentences are heard.
        people: What `Following.state` gave then, where people are told apart.
    """

    def __init__(self, folder: Path, belongs_to: Mapping[str, Any]) -> None:
        """Read what an earlier run has done, or begin anew.

        Args:
            folder: Where the results go; it is made where it is missing.
            belongs_to: As `what_is_made` tells it.
        """
        self.path = folder / FILE
        self.done: list[list[Row]] = []
        self.warnings: dict[str, str] = {}
        self.heard: dict[str, Any] | None = None
        self.people: dict[str, Any] | None = None
        self._head = _bytes(json_text(belongs_to, self.path, indent=None))
        whole = self._read()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if whole:
                os.truncate(self.path, whole)
            else:
                self.path.write_bytes(self._head)
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be written ({error.strerror}); name another --out"
            ) from error

    def _read(self) -> int:
        """Take over what is there, and return how many bytes of it count."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return 0
        head, *lines = data.splitlines(keepends=True) or [b""]
        if head != self._head:
            logger.info("%s: belongs to another run, and is begun anew", self.path)
            return 0
        size = len(head)
        for number, line in enumerate(lines):
            try:
                entry = json.loads(line)
                if entry["section"] != number or not line.endswith(b"\n"):
                    break
                rows = [Row.from_dict(row) for row in entry["rows"]]
                heard, people = entry["heard"], entry["people"]
            except (ValueError, KeyError, TypeError):
                break
            self.done.append(rows)
            self.warnings = dict(entry["warnings"])
            self.heard, self.people = heard, people
            size += len(line)
        return size

    def add(
        self,
        rows: Sequence[Row],
        warnings: Mapping[str, str],
        heard: Mapping[str, Any] | None = None,
        people: Mapping[str, Any] | None = None,
    ) -> None:
        """Put one more section on the disk.

        Args:
            rows: Of the section.
            warnings: Code -> sentence, of all that was read so far.
            heard: What `Hearing.state` gives, where the sentences are heard.
            people: What `Following.state` gives, where people are told apart.

        Raises:
            OutputError: If there is no room.
        """
        entry = {
            "section": len(self.done),
            "rows": [row.to_dict() for row in rows],
            "warnings": dict(warnings),
            "heard": None if heard is None else dict(heard),
            "people": None if people is None else dict(people),
        }
        line = _bytes(json_text(entry, self.path, indent=None))
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror}); make room, then give the same command again"
            ) from error
        self.done.append(list(rows))

    def remove(self) -> None:
        """The results are written, so nothing is left to go on with."""
        self.path.unlink(missing_ok=True)


def _bytes(text: str) -> bytes:
    """Text on the disk; a file's name may hold bytes that no encoding knows."""
    return text.encode("utf-8", "backslashreplace")

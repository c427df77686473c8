"""A whole timeline, and the files it becomes: JSON, CSV, subtitles, ELAN annotations, and a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nanoemox.files.atomic import write_texts
from nanoemox.files.report import Report
from nanoemox.files.table_text import Table, csv_text
from nanoemox.inference.notice import NOTICE
from nanoemox.media.clip import CodedWarning
from nanoemox.media.subtitles import TextSource
from nanoemox.timeline.elan import elan_text
from nanoemox.timeline.rows import Row
from nanoemox.timeline.segments import MARGIN, Segment, segments_of

NAME = "timeline"  # of the files


@dataclass(frozen=True, repr=False)
class TimelineReport(Report):
    """All rows of a recording.

    Attributes:
        file: The recording.
        model: The model.
        length_s: How long the recording is.
        rows: The rows, in the order of their beginnings.
        settings: How it was made: by ("window" or "sentence"), window_s, hop_s, margin, face_detector.
        warnings: What has to be known about all of it.
        stopped: Why it ends before the recording does; empty where it does not.
        provenance: The steps by which the model's weights came about.
        text_source: Where the text of the rows comes from; None where there is none.
    """

    file: Path
    model: str
    length_s: float
    rows: Sequence[Row]
    settings: Mapping[str, Any]
    warnings: tuple[CodedWarning, ...] = ()
    stopped: str = ""
    provenance: tuple[str, ...] = ()
    text_source: TextSource | None = None

    @cached_property
    def segments(self) -> list[Segment]:
        """Rows that agree, joined."""
        return segments_of(self.rows, self.settings.get("margin", MARGIN))

    @property
    def read_until_s(self) -> float:
        """Where the last row ends."""
        return max((row.end_s for row in self.rows), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file.name,
            "model": self.model,
            "provenance": list(self.provenance),
            "length_s": round(self.length_s, 6),
            "complete": not self.stopped,
            "stopped": self.stopped or None,
            "read_until_s": self.read_until_s,
            "settings": dict(self.settings),
            "text_source": None if self.text_source is None else self.text_source._asdict(),
            "notice": NOTICE,
            "warnings": [warning._asdict() for warning in self.warnings],
            "segments": [segment.to_dict() for segment in self.segments],
            "rows": [row.to_dict() for row in self.rows],
        }

    def to_table(self) -> Table:
        """One row a window or sentence, one column for each label."""
        emotions = list(dict.fromkeys(label for row in self.rows for label in row.probabilities))
        polarities = list(dict.fromkeys(label for row in self.rows for label in row.sentiment))
        facts = ("start_s", "end_s", "person", "speech", "speaker", "emotion", "valence")
        rows = [
            [
                *(getattr(row, name) for name in facts),
                *(row.probabilities.get(label) for label in emotions),
                *(row.sentiment.get(label) for label in polarities),
                row.text,
                " ".join(row.warnings) or None,
            ]
            for row in self.rows
        ]
        return Table([*facts, *emotions, *polarities, "text", "warnings"], rows)

    def to_srt(self) -> str:
        """One subtitle a segment, for any player."""
        blocks = []
        for number, segment in enumerate(self.segments, 1):
            who = f"{segment.person}: " if segment.person else ""
            line = f"{who}{segment.emotion} {segment.probability:.0%} · valence {segment.valence:+.2f}"
            blocks.append(f"{number}\n{_srt_time(segment.start_s)} --> {_srt_time(segment.end_s)}\n{line}\n")
        return "\n".join(blocks)

    def forms(self) -> Mapping[str, Callable[[], str]]:
        """Ending of a file -> the function that makes its text. The page and ELAN find the recording beside them."""
        return self.forms_in(self.file.absolute().parent)

    def forms_in(self, folder: Path) -> Mapping[str, Callable[[], str]]:
        """The same, for files that lie in this folder."""
        media = relative_url(self.file, folder)
        return {
            **super().forms(),
            ".csv": lambda: csv_text(self.to_table()),
            ".srt": self.to_srt,
            ".eaf": lambda: elan_text(self, media),
            ".html": lambda: self._page(media),
        }

    def _page(self, media: str) -> str:
        from nanoemox.timeline.page import render_timeline

        return render_timeline(self, media)

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write all forms into a folder, which is made where it is missing, and return their paths.

        Errors: OutputError.
        """
        files = {
            Path(folder) / f"{NAME}{ending}": form for ending, form in self.forms_in(Path(folder)).items()
        }
        write_texts({path: form() for path, form in files.items()})
        return list(files)


def relative_url(file: Path, folder: Path) -> str:
    """How a page in `folder` names a file: a relative path, with what means something in a URL written out."""
    try:
        path = Path(os.path.relpath(file.absolute(), folder.absolute())).as_posix()
    except ValueError:  # on another drive of Windows
        return file.absolute().as_uri()
    quoted = quote(path, errors="surrogateescape")
    return quoted if quoted.startswith(".") else f"./{quoted}"


def _srt_time(at_s: float) -> str:
    ms = round(at_s * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

"""From a recording to a folder of results: with progress, and able to go on where a run was stopped."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nanoemox.files.errors import NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.clip import CodedWarning
from nanoemox.media.subtitles import TextSource
from nanoemox.people.detector import Detector
from nanoemox.timeline.hearing import Hearing
from nanoemox.timeline.iterate import HOP_S, WINDOW_S, Said, Sections
from nanoemox.timeline.progress import Progress, what_is_made
from nanoemox.timeline.read import Recording, StoppedError, clock
from nanoemox.timeline.report import TimelineReport
from nanoemox.timeline.rows import Row
from nanoemox.timeline.segments import MARGIN, check_margin
from nanoemox.timeline.windows import grid_of

logger = logging.getLogger(__name__)
_BAR = "{desc} {percentage:3.0f} %|{bar}| {n:.0f} of {total:.0f} s, {remaining} left"


def make_timeline(
    analyzer: EmotionAnalyzer,
    recording: Recording,
    out: str | os.PathLike[str],
    window_s: float = WINDOW_S,
    hop_s: float = HOP_S,
    sentences: Sequence[Said] = (),
    by_sentence: bool = False,
    margin: float = MARGIN,
    warnings: Sequence[CodedWarning] = (),
    text_source: TextSource | None = None,
    hearing: Hearing | None = None,
    faces: Detector | None = None,
) -> TimelineReport:
    """Read a recording and write its timeline; a run that was stopped goes on where it was.

    Args:
        analyzer: The model.
        recording: What `open_recording` found.
        out: The folder that gets timeline.json, .csv, .srt, .eaf and .html.
        window_s: How long a window is, in seconds.
        hop_s: From the beginning of one window to that of the next.
        sentences: What is said when.
        by_sentence: Give one row a sentence in place of one a window.
        margin: By how much another emotion must be likelier to end a segment.
        warnings: What has to be known about the sentences.
        text_source: Where the sentences come from.
        hearing: Hears the sentences while the recording is read, in place of `sentences`.
        faces: Give one row a window and person; this finds the faces.

    Returns:
        The timeline, as it was written.

    Raises:
        StoppedError: If reading came to an end too early; what was done until then is in the folder.
        NanoEmoXError: If the settings make no sense, or the folder cannot be written.
    """
    # What makes no sense is told before any work.
    check_margin(margin)
    grid = None if by_sentence else grid_of(window_s, hop_s)
    sections = Sections(analyzer, recording, grid, sentences, hearing, faces)
    settings: dict[str, Any] = {"by": "sentence" if by_sentence else "window"}
    if grid:
        settings |= {"window_s": grid.window_s, "hop_s": grid.hop_s}
    settings["margin"] = margin
    if faces is not None:
        settings["face_detector"] = faces.name
    folder = Path(out)
    progress = Progress(folder, what_is_made(analyzer, recording, settings, sentences, hearing))
    if hearing is not None and progress.heard is not None:
        hearing.go_on(progress.heard)
    sections.warnings |= progress.warnings
    sections.people = progress.people

    def report(rows: Sequence[Row], stopped: str) -> TimelineReport:
        own = [CodedWarning(code, text) for code, text in sections.warnings.items()]
        known = dict.fromkeys([*analyzer.origin_warnings, *warnings, *own])
        return TimelineReport(
            file=recording.source.path,
            model=analyzer.name,
            length_s=recording.length_s,
            rows=rows,
            settings=settings,
            warnings=tuple(known),
            stopped=stopped,
            provenance=analyzer.provenance,
            text_source=hearing.source if hearing is not None else text_source,
        )

    # Read section after section; each is on the disk once it is done.
    rows = [row for section in progress.done for row in section]
    try:
        with tqdm(total=round(recording.length_s, 1), bar_format=_BAR, desc="timeline", delay=1.0) as bar:
            bar.update(rows[-1].end_s if rows else 0.0)
            bar.start_t, bar.initial = bar._time(), bar.n  # the time left is that of this run
            for number in range(len(progress.done), recording.sections):
                mine = []
                for row in sections.rows(number):
                    mine.append(row)
                    rows.append(row)
                    bar.update(max(0.0, row.end_s - bar.n))
                heard = None if hearing is None else hearing.state()
                progress.add(mine, sections.warnings, heard, sections.people)
    except (NanoEmoXError, OSError, KeyboardInterrupt) as error:
        # What was done is kept and valid: the files end where reading did.
        why = "it was stopped" if isinstance(error, KeyboardInterrupt) else str(error)
        at_s = rows[-1].end_s if rows else 0.0
        where = f"stopped at {clock(at_s)} of {clock(recording.length_s)}"
        report(rows, f"{where}: {why}").save(folder)
        if isinstance(error, KeyboardInterrupt):
            logger.info("%s; %s holds what was done, and the same command goes on", where, folder)
            raise
        raise StoppedError(
            f"{where} ({why}); {folder} holds what was done, and the same command goes on"
        ) from error
    made = report(rows, "")
    made.save(folder)
    progress.remove()
    return made

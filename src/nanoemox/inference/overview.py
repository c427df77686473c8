"""Many analyses as one page: a table that can be sorted, how often each label came, and what could not be read.

A single HTML file that asks nothing of the network. Its only script, `overview.js`, sorts the rows that are there; the
browser is told its hash and runs no other. Everything that comes from files or a model is escaped by the template.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanoemox import __version__
from nanoemox.inference.notice import NOTICE
from nanoemox.inference.page import Bar, page_template
from nanoemox.tasks.task import TASKS, closed_tasks

HUE, SATURATION = 204, 58
_LONGEST_ANSWER = 160  # letters of an open answer
Line = Mapping[str, Any]


def render_overview(
    lines: Mapping[str, Sequence[Line]],
    run: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, int]],
    failed: Mapping[str, str],
    pages: Mapping[str, str],
    notes: Sequence[str] = (),
) -> str:
    """The page, as the text of an HTML file.

    Args:
        lines: Clip -> its lines, as they are in answers.jsonl.
        run: What was asked, as in run.json.
        counts: Closed task -> label -> number of clips.
        failed: Clip -> why it has no answers.
        pages: Clip -> the page of its own, if there is one.
        notes: What has to be said about the clips.

    Returns:
        The text.
    """
    script = page_template("inference/overview.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    tasks = [name for name in TASKS if name in run["tasks"]]
    closed = closed_tasks()
    return page_template("inference/overview.html.jinja").render(
        version=__version__,
        hue=HUE,
        saturation=SATURATION,
        script=script,
        digest=digest,
        notice=NOTICE,
        model=Path(run["model"]).name if Path(run["model"]).is_absolute() else run["model"],
        number=len(lines),
        notes=notes,
        columns=[
            {"title": TASKS[name].title, "shares": name in closed, "explained": _explained(lines)}
            for name in tasks
        ],
        rows=[
            {
                "name": name,
                "page": pages.get(name),
                "cells": [_cell(row) for row in _in_order(rows, tasks)],
            }
            for name, rows in lines.items()
            if name not in failed
        ],
        charts=[
            {"title": TASKS[name].title, "bars": _bars(counts[name])} for name in tasks if name in counts
        ],
        failed=list(failed.items()),
    )


def _in_order(rows: Sequence[Line], tasks: Sequence[str]) -> list[Line]:
    by_task = {row["task"]: row for row in rows}
    return [by_task[task] for task in tasks if task in by_task]


def _cell(row: Line) -> dict[str, Any]:
    """What the table shows of one answer."""
    answer = " ".join(str(row.get("answer") or row.get("text") or "").split())
    share = row.get("probabilities", {}).get(row.get("label"))
    return {
        "answer": answer if len(answer) <= _LONGEST_ANSWER else f"{answer[: _LONGEST_ANSWER - 1]}…",
        "share": None if share is None else Bar("", share),
        "matters": row.get("explanation", {}).get("matters_most"),
    }


def _explained(lines: Mapping[str, Sequence[Line]]) -> bool:
    return any("explanation" in row for rows in lines.values() for row in rows)


def _bars(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Labels that came, the most frequent first, against the longest bar."""
    most = max(counts.values(), default=0)
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])
    return [{"label": label, "count": n, "width": 100 * n / most} for label, n in ranked if n]

"""An explanation as pictures: geometry for the SVGs on the page of an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nanoemox.inference.explain import Explanation
from nanoemox.tasks.task import TASKS

LEFT, WIDTH, ROW = 150, 470, 34  # user units: where the axis begins, its length, the height of a row
CELL_WIDTH, CELL_HEIGHT, BARS_HEIGHT = 60, 16, 56


def explained(explanation: Explanation | None) -> dict[str, Any] | None:
    """What the page shows of an explanation; None where there is none."""
    if explanation is None:
        return None
    closed = [task for task, result in explanation.answers.items() if result.probabilities]
    return {
        "closed": [_shares(explanation, task) for task in closed] if explanation.without else [],
        "open": [
            _texts(explanation, task)
            for task in explanation.answers
            if task not in closed and explanation.without
        ],
        "attention": _attention(explanation),
        "only": not explanation.without,
    }


def _shares(explanation: Explanation, task: str) -> dict[str, Any]:
    """How likely the label is with all modalities and without each, as places on an axis from 0 to 1."""
    whole = explanation.answers[task]
    label = whole.label or ""
    share = whole.probabilities.get(label, 0.0)
    rows = []
    for number, (name, answers) in enumerate(explanation.without.items()):
        without = answers[task].probabilities.get(label, 0.0)
        rows.append(
            {
                "modality": name,
                "y": ROW * number + ROW // 2,
                "at": _on_axis(without),
                "low": _on_axis(min(share, without)),
                "length": round(abs(share - without) * WIDTH, 1),
                "share": f"{100 * without:.0f}\u00a0%",
                "other": answers[task].label if answers[task].label != label else None,
                "moved": f"{100 * explanation.moved(task, name):.0f}\u00a0%",
            }
        )
    return {
        "title": TASKS[task].title,
        "label": label,
        "share": f"{100 * share:.0f}\u00a0%",
        "at": _on_axis(share),
        "rows": rows,
        "left": LEFT,
        "right": LEFT + WIDTH,
        "height": ROW * len(rows),
        "most": explanation.matters_most(task),
    }


def _on_axis(share: float) -> float:
    return round(LEFT + WIDTH * share, 1)


def _texts(explanation: Explanation, task: str) -> dict[str, Any]:
    """What is written without each modality."""
    whole = explanation.answers[task]
    return {
        "title": TASKS[task].title,
        "rows": [
            {
                "modality": name,
                "same": answers[task].text == whole.text,
                "answer": answers[task].answer or answers[task].text,
            }
            for name, answers in explanation.without.items()
        ],
    }


def _attention(explanation: Explanation) -> dict[str, Any] | None:
    """A row of cells for each query of the face branch, darker where it looks more, and their mean as bars above."""
    rows = explanation.face_attention
    if not rows:
        return None
    frames = len(rows[0])
    means = explanation.frame_shares()
    largest, most = max(map(max, rows)), max(means)
    times: Sequence[float | None] = (*explanation.frame_times_s, *[None] * frames)[:frames]
    return {
        "width": CELL_WIDTH * frames,
        "height": BARS_HEIGHT + CELL_HEIGHT * len(rows) + 20,
        "bars": [
            {
                "x": CELL_WIDTH * frame,
                "y": round(BARS_HEIGHT - 4 - (BARS_HEIGHT - 18) * share / most, 1),
                "height": round((BARS_HEIGHT - 18) * share / most, 1),
                "share": f"{100 * share:.0f}\u00a0%",
                "time": "" if time is None else f"{time:.1f} s",
            }
            for frame, (share, time) in enumerate(zip(means, times, strict=True))
        ],
        "cells": [
            {
                "x": CELL_WIDTH * frame,
                "y": BARS_HEIGHT + CELL_HEIGHT * row,
                "shade": round(share / largest, 3),
            }
            for row, shares in enumerate(rows)
            for frame, share in enumerate(shares)
        ],
        "cell_width": CELL_WIDTH - 2,
        "cell_height": CELL_HEIGHT - 2,
        "foot": BARS_HEIGHT + CELL_HEIGHT * len(rows) + 14,
        "queries": len(rows),
    }

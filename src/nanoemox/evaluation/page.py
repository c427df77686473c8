"""An evaluation as one page to look at: a single HTML file that asks nothing of the network and runs no script.

`page.html.jinja` holds the words and the looks; this file turns a report into what the page shows: figures on
a line from 0 to 1 with their intervals, shaded confusion matrices, reliability diagrams. Everything that
comes from a file is escaped by the template, never marked safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nanoemox import __version__
from nanoemox.evaluation.report import EvaluationReport
from nanoemox.inference.page import page_template
from nanoemox.metrics.bootstrap import Figure
from nanoemox.scoring.class_report import Calibration, Confusion
from nanoemox.tasks.task import TASKS

HUE, SATURATION = 204, 58
DIAGRAM_SIDE = 200  # user units of a reliability diagram
SHADES = (0.14, 0.72)  # opacity of a cell that holds next to none of its row, and what all of it adds
WHITE_FROM = 0.55  # share from which a cell's number is white

Row = dict[str, Any]


def render_evaluation(report: EvaluationReport) -> str:
    """The page of a report."""
    return page_template("evaluation/page.html.jinja").render(
        version=__version__,
        hue=HUE,
        saturation=SATURATION,
        report=report,
        model=_short(report.model, 1),
        manifest=_short(report.manifest, 2),
        heads=_heads(report),
        figures=_figures(report),
        others=[name for name in report.baselines if name != "majority"],
        closed=[_closed(report, task) for task in report.classes],
        presence=[
            {"name": name, "clips": group["clips"], "rows": _rows(group["figures"])}
            for name, group in report.by_modalities.items()
        ],
        facts=_facts(report),
    )


def _short(name: str, parts: int) -> str:
    """The end of a path; a Hub id or a preset stays as it is."""
    path = Path(name)
    return name if not path.is_absolute() else "/".join(path.parts[-parts:])


# ---------------------------------------------------------------------- figures
def _heads(report: EvaluationReport) -> list[Row]:
    """One figure a task, with what the best constant answer reaches."""
    found = []
    for task, figures in report.tasks.items():
        name = TASKS[task].headline
        if name in figures:
            constant = report.baselines["majority"].value(task, name)
            row = _row(name, figures[name], constant, report.ceiling(task, name))
            found.append({"task": TASKS[task].title, **row})
    return found


def _figures(report: EvaluationReport) -> list[Row]:
    """Every figure of every task, with what trivial models reach beside it."""
    groups = []
    for task, figures in report.tasks.items():
        rows = []
        for name, figure in figures.items():
            beside = {kind: scores.value(task, name) for kind, scores in report.baselines.items()}
            row = _row(name, figure, beside.pop("majority", None), report.ceiling(task, name))
            rows.append(row | {"others": [_number(value) for value in beside.values()]})
        groups.append({"task": TASKS[task].title, "rows": rows})
    return groups


def _rows(figures: Mapping[str, Figure]) -> list[Row]:
    """Figures by "task.name"."""
    found = []
    for name, figure in figures.items():
        task, _, figure_name = name.partition(".")
        found.append({"task": TASKS[task].title, **_row(figure_name, figure)})
    return found


def _row(name: str, figure: Figure, constant: float | None = None, ceiling: float | None = None) -> Row:
    """A figure as the page shows it; places on the line are per cent, None where it is not from 0 to 1."""
    value, low, high = figure["value"], figure["low"], figure["high"]
    drawn = value is not None and 0 <= value <= 1 and not (high is not None and high > 1)
    return {
        "name": name.replace("_", " ").replace("f1", "F1"),
        "n": figure["n"],
        "value": _number(value),
        "interval": "" if low is None or high is None else f"{low:.3f} – {high:.3f}",
        "at": 100 * value if drawn and value is not None else None,
        "low": 100 * low if drawn and low is not None else None,
        "width": 100 * (high - low) if drawn and low is not None and high is not None else None,
        "constant": None if constant is None or not drawn else 100 * constant,
        "constant_value": _number(constant),
        "ceiling": None if ceiling is None else 100 * ceiling,
        "ceiling_value": _number(ceiling),
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


# ---------------------------------------------------------------------- classes
def _closed(report: EvaluationReport, task: str) -> Row:
    """One task with a list of labels: its classes, its confusion matrix, its reliability."""
    classes = [
        {
            "label": row["label"],
            "true": row["true"],
            "given": row["said"],
            "precision": _row("precision", row["precision"]),
            "recall": _row("recall", row["recall"]),
            "f1": _row("f1", row["f1"]),
        }
        for row in report.classes[task]
    ]
    return {
        "task": TASKS[task].title,
        "key": task,
        "classes": classes,
        "matrix": _matrix(report.confusion[task]),
        "reliability": _reliability(report.calibration.get(task)),
    }


def _matrix(table: Confusion) -> Row:
    """Counts with how dark each cell is; columns that nobody used are left out."""
    used = [
        i
        for i, name in enumerate(table["said"])
        if name in table["true"] or any(r[i] for r in table["counts"])
    ]
    rows = []
    for name, counts in zip(table["true"], table["counts"], strict=True):
        total = sum(counts)
        shares = [counts[i] / total if total else 0.0 for i in used]
        cells = [
            {
                "n": counts[i],
                "shade": SHADES[0] + SHADES[1] * share,
                "white": share > WHITE_FROM,
                "right": table["said"][i] == name,
            }
            for i, share in zip(used, shares, strict=True)
        ]
        rows.append({"name": name, "n": total, "cells": cells})
    return {"columns": [table["said"][i] for i in used], "rows": rows}


def _reliability(table: Calibration | None) -> Row | None:
    """Bars of a reliability diagram: how often the likeliest label is right, by how sure the model is."""
    if table is None:
        return None
    most = max(row["n"] for row in table["bins"])
    bars = []
    for row in table["bins"]:
        if row["accuracy"] is not None and row["confidence"] is not None:
            bars.append(
                {
                    "x": DIAGRAM_SIDE * row["low"],
                    "width": DIAGRAM_SIDE * (row["high"] - row["low"]),
                    "y": DIAGRAM_SIDE * (1 - row["accuracy"]),
                    "height": DIAGRAM_SIDE * row["accuracy"],
                    "opacity": 0.25 + 0.75 * row["n"] / most,
                    "title": f"{row['low']:.1f} to {row['high']:.1f}: {row['n']} clips, confidence "
                    f"{row['confidence']:.2f}, right {row['accuracy']:.2f}",
                }
            )
    return {
        "side": DIAGRAM_SIDE,
        "bars": bars,
        "ece": _row("ece", table["ece"]),
        "leans": _leans(table["overconfidence"]["value"]),
    }


def _leans(over: float | None) -> str:
    if over is None:
        return "not defined"
    return f"on average {abs(over):.3f} {'surer' if over > 0 else 'less sure'} than right"


# ---------------------------------------------------------------------- how it was made
def _facts(report: EvaluationReport) -> Iterable[tuple[str, str]]:
    versions = {name: v for name, v in report.versions.items() if not isinstance(v, Mapping)}
    tasks = report.versions.get("tasks") or {}
    return [
        ("command", report.command),
        ("manifest", f"{report.manifest} (sha256 {report.manifest_sha256[:16]}…)"),
        ("splits", ", ".join(f"{name} {n}" for name, n in report.splits.items())),
        ("given to the model", ", ".join(report.modalities)),
        ("best constant from", report.majority_from),
        ("model", " → ".join(report.provenance) or "its configuration does not say where it comes from"),
        ("weights", f"{report.dtype}, {report.batch_size} clips at a time"),
        ("labels from", "; ".join(_counts(report.routes))),
        *(("answers came in", counts) for counts in ["; ".join(_counts(report.wrappers))] if counts),
        *(("labels count as", labels) for labels in ["; ".join(_mapped(report))] if labels),
        ("seed of the intervals", str(report.seed)),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("versions of the tasks", ", ".join(f"{name} {version}" for name, version in tasks.items())),
        ("commit", report.commit or "unknown: not a checkout"),
        ("machine", report.machine),
        ("date", report.date),
        ("answering took", f"{report.seconds:g} s"),
    ]


def _counts(by_task: Mapping[str, Mapping[str, int]]) -> Iterable[str]:
    for task, counts in by_task.items():
        yield f"{TASKS[task].title}: " + ", ".join(f"{name} {n}" for name, n in counts.items())


def _mapped(report: EvaluationReport) -> Iterable[str]:
    for task, labels in report.mapping.items():
        pairs = (f"{spelt} → {each['counts_as']} {each['n']}" for spelt, each in labels.items())
        yield f"{TASKS[task].title}: {', '.join(pairs)}"

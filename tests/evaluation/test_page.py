"""The page of an evaluation: every figure, nothing fetched, and nothing of a file taken for markup."""

from __future__ import annotations

from typing import Any

from nanoemox.evaluation.page import render_evaluation
from nanoemox.evaluation.report import EvaluationReport
from nanoemox.scoring.class_report import break_down
from nanoemox.scoring.score import Scores, score
from nanoemox.tasks.task import TASKS
from tests.inference.test_page import Page
from tests.made_up import HOSTILE, make_report
from tests.scoring.test_score import LABELS, perfect


def report(**changes: Any) -> EvaluationReport:
    """A report with everything that a report can hold."""
    lines = []
    for line in perfect():
        update: dict[str, Any] = {"modalities": {"video": "present", "audio": "silent", "text": "present"}}
        if line.task == "intent":
            update["probabilities"] = {line.label: 0.9, HOSTILE: 0.1}
        lines.append(line.model_copy(update=update))
    figures = score(LABELS, lines)
    fields = {
        "model": "/models/pico",
        "manifest": "/data/test/manifest.jsonl",
        "command": f"nanoemox evaluate {HOSTILE}",
        "tasks": figures,
        "baselines": {"majority": figures, "text_only": figures},
        **vars(break_down(LABELS, lines)),
        "slowest": [{"id": HOSTILE, "seconds": 2.0, "read_s": 1.5, "answer_s": 0.5}],
        "errors": {"clips": 1, "ids": ["a"], "why": {"a": HOSTILE}},
        "quarantined": {"q": "black pictures"},
        "ceilings": {"all": {"emotion": 0.967}},
    }
    return make_report(**fields | changes)


def test_every_figure_and_how_it_was_made_are_on_the_page() -> None:
    page = Page(render_evaluation(report()))
    for task, figures in report().tasks.items():
        assert TASKS[task].title in page.text
        for name in figures:
            assert name.replace("_", " ").replace("f1", "F1") in page.text, name
    for told in (
        "pico",
        "test/manifest.jsonl",
        "text only",
        "0.967",
        "text + video",
        "black pictures",
        "1.50",
    ):
        assert told in page.text, told
    for fact in (
        "seed of the intervals 3",
        "float32",
        "not a checkout",
        "ffffffffffffffff",
        "answer grammar 2",
    ):
        assert fact in page.text, fact
    assert "Calibration error 0.100" in page.text and "0.100 less sure than right" in page.text


def test_nothing_is_fetched_nothing_runs_and_nothing_is_markup() -> None:
    text = render_evaluation(report(model=HOSTILE, manifest=HOSTILE))
    page = Page(text)
    assert HOSTILE in page.text and HOSTILE not in text
    assert "url(" not in text and "@import" not in text and "http://" not in text and "https://" not in text
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "img"}
        assert not any(name.startswith("on") or name in ("href", "src") for name in attributes)


def test_a_report_with_a_single_open_task_has_a_page_too() -> None:
    only = Scores({"reasoning": report().tasks["reasoning"]})
    nothing: dict[str, Any] = {
        "classes": {},
        "confusion": {},
        "calibration": {},
        "slowest": [],
        "quarantined": {},
    }
    errors = {"clips": 0, "ids": [], "why": {}}
    part = report(tasks=only, baselines={"majority": only}, errors=errors, ceilings=None, **nothing)
    page = Page(render_evaluation(part))
    assert "class by class" not in page.text and "no clip failed" in page.text

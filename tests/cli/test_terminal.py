"""What is shown in a terminal: everything that was answered, and nothing taken for markup."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console

from nanoemox.cli.terminal import show_analysis, show_comparison, show_scores, show_sizes
from nanoemox.metrics.bootstrap import Figure
from nanoemox.scoring.compare import ComparisonReport
from nanoemox.scoring.score import Scores
from tests.made_up import make_analysis, make_report


def shown(show: Any, *given: Any) -> str:
    console = Console(width=140, record=True, file=None, quiet=False)
    with console.capture() as capture:
        show(console, *given)
    return capture.get()


def test_an_analysis_shows_every_task_and_what_was_missing_once() -> None:
    text = shown(show_analysis, make_analysis(audio=False))
    for title in ("Sentiment", "Emotion", "Every emotion", "Intent", "Reasons", "Empathetic reply"):
        assert title in text
    assert "70% sadness" in text and "cause:" in text
    assert text.count("the file has no sound track") == 1
    assert "Affect Theatre" in text and "experts" not in text


def test_square_brackets_in_an_answer_are_not_markup() -> None:
    analysis = make_analysis(["emotion"])
    changes = {"answer": "[red]x[/red] [/]", "probabilities": {"[bold]y": 1.0}}
    result = analysis["emotion"].model_copy(update=changes)
    text = shown(show_analysis, replace(analysis, tasks={"emotion": result}))
    assert "[red]x[/red] [/]" in text and "[bold]y" in text


def test_an_answer_cannot_command_the_terminal() -> None:
    analysis = make_analysis(["emotion"])
    result = analysis["emotion"].model_copy(update={"answer": "\x1b]0;owned\x07\x1b[2Jx"})
    assert "\x1b" not in shown(show_analysis, replace(analysis, tasks={"emotion": result}))


def test_scores_stand_beside_trivial_models_and_ceilings() -> None:
    constant = Scores({"emotion": {"accuracy": Figure(value=0.143, low=None, high=None, n=500)}})
    report = make_report(
        n=500,
        tasks=Scores(
            {
                "emotion": {"accuracy": Figure(value=0.875, low=0.85, high=0.9, n=500)},
                "empathy": {"dist_2": Figure(value=None, low=None, high=None, n=0)},
            }
        ),
        baselines={"majority": constant, "text_only": Scores()},
        ceilings={"all": {"emotion": 0.967}},
        errors={"clips": 3, "ids": [], "why": {}},
    )
    text = shown(show_scores, report)
    assert "so few clips" not in text and "so few clips" in shown(show_scores, make_report(n=4))
    assert "knows only this" in shown(show_scores, make_report(world_note="the model knows only this"))
    for number in ("0.875", "0.850–0.900", "0.143", "0.967", "500", "3 clips"):
        assert number in text
    assert "dist_2" not in text and "text" in text


def test_scores_fit_eighty_columns() -> None:
    figure = Figure(value=0.123, low=0.101, high=0.145, n=2000)
    names = ("accuracy", "binary_weighted_f1_from_open_vocabulary", "cause_accuracy_unmentioned")
    figures = Scores({"empathy": dict.fromkeys(names, figure)})
    kinds = ("majority", "text_only", "video_only", "audio_only")
    baselines = dict.fromkeys(kinds, figures)
    report = make_report(n=2000, tasks=figures, baselines=baselines, ceilings={"all": {"cause": 1.0}})
    console = Console(width=80)
    with console.capture() as capture:
        show_scores(console, report)
    text = capture.get()
    assert max(len(line) for line in text.split("\n")) <= 80
    assert "…" not in text and text.count("0.101–0.145") == 3 and text.count("0.123") == 15


def test_a_comparison_fits_eighty_columns() -> None:
    row: Any = {
        "measure": "right label",
        "a": 0.1,
        "b": 0.2,
        "difference": -0.123,
        "low": -0.234,
        "high": -0.111,
    }
    row |= {"p": 0.0001, "a_better": 1234, "b_better": 1235, "n": 12345, "clips": []}
    row |= {"answered_by_neither": 0, "speakers": 12345}
    report = ComparisonReport("a" * 90, "b", {"open_vocabulary": row}, {})
    console = Console(width=80)
    with console.capture() as capture:
        show_comparison(console, report)
    assert "12345" in capture.get() and "-0.234–-0.111" in capture.get()


def test_sizes_are_grouped_in_thousands() -> None:
    sizes = {"parameters": {"parts": {"lm": 1234567}, "total": 1234567}, "trainable": {"1a": 12}}
    text = shown(show_sizes, "nano", sizes)
    assert "1,234,567" in text and "trained in phase 1a" in text

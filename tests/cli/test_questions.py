"""What `analyze` is asked: labels to choose from, and the dialogue before the clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nanoemox.cli import main as cli
from nanoemox.cli.questions import candidates_of, read_turns
from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer


@pytest.mark.parametrize(
    ("values", "tasks", "expected"),
    [
        (None, None, {}),
        (["calm, tense"], ["emotion"], {"emotion": ["calm", "tense"]}),
        (["calm,tense"], ["empathy", "intent"], {"intent": ["calm", "tense"]}),
        (["平静，紧张、悲伤"], ["emotion"], {"emotion": ["平静", "紧张", "悲伤"]}),
        (
            ["emotion=calm|tense", "intent=ask for help;joke"],
            None,
            {"emotion": ["calm", "tense"], "intent": ["ask for help", "joke"]},
        ),
    ],
)
def test_lists_go_to_their_tasks(values: Any, tasks: Any, expected: Any) -> None:
    assert candidates_of(values, tasks) == expected


@pytest.mark.parametrize(
    ("values", "tasks", "told"),
    [
        (["a,b"], None, "expected the task in front, such as sentiment=a,b"),
        (["a,b"], ["emotion", "intent"], "such as emotion=a,b"),
        (["a,b"], ["empathy"], "one --task of sentiment, emotion, intent"),
        (["empathy=a,b"], None, "expected one of sentiment, emotion, intent"),
        (["mood=a,b"], None, "'mood'"),
        (["intent=a,b"], ["emotion"], "the task is not asked"),
        (["a"], ["emotion"], "two labels or more"),
        (["a,,b"], ["emotion"], "none empty"),
        (["a,A"], ["emotion"], "each once"),
        (["emotion="], None, "two labels or more"),
        (["emotion=a,b", "emotion=c,d"], None, "has its labels already"),
    ],
)
def test_a_list_that_no_task_can_use_is_one_line(values: Any, tasks: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        candidates_of(values, tasks)


def test_turns_come_in_the_order_of_their_options(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("I lost it.\nassistant: What?\n")
    turns = read_turns([str(tmp_path / "a.txt"), "The key."])
    assert turns is not None and [turn["text"] for turn in turns] == ["I lost it.", "What?", "The key."]
    assert read_turns(None) is None


def test_analyze_asks_what_it_was_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    words = ["--text-only", "--task", "emotion", "--candidates", "calm,tense", "--html", str(page)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["analyze", *words, "--dialogue", "I lost it."])
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and "calm" in shown and "tense" in shown
    assert "I lost it." in page.read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        cli.main(["analyze", *words])
    assert ended.value.code == 2 and "expected --text or --dialogue" in capsys.readouterr().err


def test_python_refuses_what_would_be_ignored(model: Any, processor: Any) -> None:
    analyzer = EmotionAnalyzer(model, processor)
    wrong: list[tuple[Any, str]] = [
        ({"reasoning": ["a", "b"]}, "expected one of"),
        ({"emotion": []}, "two labels"),
        ({"emotion": "calm"}, "expected a list of labels"),
        ({"intent": ["a", "b"]}, "not asked"),
    ]
    for candidates, told in wrong:
        with pytest.raises(ArgumentError, match=told):
            analyzer.analyze(None, text="Oh.", tasks=["emotion"], candidates=candidates)
    result = analyzer.analyze(None, dialogue=[{"role": "user", "text": "Oh."}], tasks=["emotion"])
    assert result.dialogue and result.modalities["text"] == "present"

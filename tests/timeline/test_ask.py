"""Which models a timeline can ask: those that were trained on emotions, and those that tell labels their own way."""

from __future__ import annotations

from typing import Any

import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.model_tasks import ModelTasks
from nanoemox.timeline.ask import tasks_of, untrained

OPEN = {"question": "What does the person feel?", "trained": True}


def analyzer_with(model: Any, processor: Any, own: Any) -> EmotionAnalyzer:
    analyzer = EmotionAnalyzer(model, processor, "toy")
    analyzer.tasks = ModelTasks(own)
    return analyzer


def test_a_model_that_was_trained_on_both_is_asked_both_without_a_warning(model: Any, processor: Any) -> None:
    analyzer = analyzer_with(model, processor, None)
    assert tasks_of(analyzer) == ["emotion", "sentiment"] and untrained(analyzer) == {}


def test_labels_that_end_an_open_answer_are_asked_and_told(model: Any, processor: Any) -> None:
    frame = {"question": "What does the person feel?", "answer": "The person feels {label}."}
    analyzer = analyzer_with(model, processor, {"open_vocabulary": OPEN, "emotion": frame})
    assert tasks_of(analyzer) == ["emotion"]
    assert "nobody has measured" in untrained(analyzer)["not_trained"]


def test_a_model_without_labels_is_refused(model: Any, processor: Any) -> None:
    analyzer = analyzer_with(model, processor, {"open_vocabulary": OPEN})
    with pytest.raises(ArgumentError, match="its tasks are open_vocabulary"):
        tasks_of(analyzer)

"""A toy model that answers in milliseconds, in float32, so that answers do not depend on the batch."""

from __future__ import annotations

from typing import Any

import pytest

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.model_tasks import ModelTasks


@pytest.fixture
def analyzer(model: Any, processor: Any) -> EmotionAnalyzer:
    analyzer = EmotionAnalyzer(model, processor, "tiny")
    # Random weights are sure of one label; divided by this, the others count, too.
    analyzer.tasks = ModelTasks(temperatures={"emotion": 20.0, "sentiment": 20.0})
    return analyzer

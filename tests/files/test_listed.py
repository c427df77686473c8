"""A bare name is a list of one, never read letter by letter; values show themselves in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nanoemox.files.errors import ArgumentError
from nanoemox.files.listed import labels_by_task, one_or_more
from nanoemox.files.short_repr import LINE, ShortRepr
from nanoemox.inference.results import Answers, Request
from nanoemox.media.load import load_clip
from nanoemox.metrics.label_sets import hit_rate, set_scores
from nanoemox.tasks.closed import EMOTION
from nanoemox.tasks.task import select
from tests.made_up import make_analysis, make_clip, make_report

DEMO = Path(__file__).parents[2] / "demo" / "sample.mp4"


def test_a_bare_name_is_one_item() -> None:
    assert one_or_more(None) is None
    assert one_or_more("emotion") == ["emotion"]
    assert one_or_more(Path("x.pth")) == [Path("x.pth")]
    assert one_or_more(("a", "b")) == ["a", "b"]
    assert labels_by_task({"emotion": "joy", "intent": ("Thank", "Care")}) == {
        "emotion": ["joy"],
        "intent": ["Thank", "Care"],
    }
    for wrong in ("joy", ["joy", "anger"]):
        with pytest.raises(ArgumentError, match="candidates: expected the labels to choose from by task"):
            labels_by_task(wrong)  # type: ignore[arg-type]


def test_wherever_names_are_taken_one_is_enough() -> None:
    assert [task.name for task in select("emotion")] == ["emotion"]
    request = Request(make_clip(), tasks="emotion", candidates={"emotion": "joy"}, modalities="audio")
    assert request.tasks == ["emotion"] and request.modalities == ["audio"]
    assert request.candidates == {"emotion": ["joy"]}
    with pytest.raises(ArgumentError, match="dialogue: expected earlier turns"):
        Request(make_clip(), dialogue="Hello.")  # type: ignore[arg-type]
    assert EMOTION.question("joy") == EMOTION.question(["joy"])
    assert EMOTION.answer_for("joy", "joy") == EMOTION.answer_for("joy", ["joy"])
    assert set_scores(["joy"], ["joy"])["f1"] == set_scores([["joy"]], [["joy"]])["f1"]
    assert hit_rate(["joy"], ["joy"])["labels_per_answer"]["value"] == 1


@dataclass(frozen=True, repr=False)
class Much(ShortRepr):
    pixels: Any
    table: Any
    text: str


@pytest.mark.parametrize(
    "value",
    [
        load_clip(DEMO),
        make_clip(),
        make_analysis(),
        *make_analysis().values(),
        make_report(),
        Request(make_clip(), "text " * 999, [{"role": "user", "text": "long " * 99}] * 99),
        Request({"input_values": torch.zeros(8, 32000)}),
        Answers(dict(make_analysis()), {"video": "present"}, None, (), {}),
        Much(np.zeros((8, 9, 9, 3)), {str(i): list(range(99)) for i in range(999)}, "words " * 999),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_shows_itself_in_one_line(value: Any) -> None:
    text = repr(value)
    assert text.startswith(f"{type(value).__name__}(") and text.endswith(")")
    assert len(text) <= LINE and "\n" not in text
    assert "[[" not in text and len(str(value)) <= LINE

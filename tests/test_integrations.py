"""The lmms-eval pack: every file parses, every function it names exists and gives a figure."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from nanoemox.tasks.task import TASKS

PACK = Path(__file__).parents[1] / "integrations" / "lmms_eval"
LABELS: dict[str, Any] = {
    "sentiment": {"polarity": "negative"},
    "emotion": {"label": "anger", "candidates": None},
    "open_vocabulary": {"labels": ["angry", "hurt"]},
    "intent": {"label": "Complain"},
    "reasoning": {"text": "x", "cues": {"face": ["wide eyes"], "voice": ["a harsh tone"]}},
    "empathy": {
        "event": "a row",
        "emotion": "angry",
        "cause": "a letter",
        "goal": "soothe",
        "reply": "I see.",
    },
}


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: f"function {node.value}")


@pytest.fixture(scope="module")
def utils() -> ModuleType:
    spec = importlib.util.spec_from_file_location("utils", PACK / "utils.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions(entry: Any) -> list[str]:
    if isinstance(entry, dict):
        return [name for value in entry.values() for name in functions(value)]
    if isinstance(entry, list):
        return [name for value in entry for name in functions(value)]
    return [entry.removeprefix("function utils.")] if str(entry).startswith("function ") else []


@pytest.mark.parametrize("task", TASKS)
def test_a_task_file_and_its_functions(task: str, utils: ModuleType) -> None:
    entry = yaml.load((PACK / f"nanoemox_{task}.yaml").read_text(), Loader)
    entry |= yaml.load((PACK / entry["include"]).read_text(), Loader)
    assert entry["task"] == f"nanoemox_{task}"
    assert all(callable(getattr(utils, name)) for name in functions(entry))
    assert entry["metric_list"][0]["metric"] == utils.METRICS[task]
    doc = {"id": "a", "text": "Oh no.", "video": "a.mp4", "labels": LABELS}
    assert TASKS[task].question() in getattr(utils, f"{task}_text")(doc)
    target = getattr(utils, f"{task}_target")(doc)
    results = getattr(utils, f"{task}_results")(doc, [target])
    assert getattr(utils, f"{task}_aggregate")([results[utils.METRICS[task]]]) == 1.0


def test_the_group_names_the_six_tasks() -> None:
    group = yaml.load((PACK / "nanoemox.yaml").read_text(), Loader)
    assert group["task"] == [f"nanoemox_{task}" for task in TASKS]

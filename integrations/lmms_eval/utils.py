"""The tasks for lmms-eval: pure functions over nanoemox's own questions, parsers and figures.

Copy this folder into lmms-eval's `tasks`, or name it with `--include_path`. It needs nanoemox
(`pip install .` in a checkout of it) and nothing of lmms-eval.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nanoemox.data.schema import Prediction
from nanoemox.scoring.prediction_files import prediction
from nanoemox.scoring.score import score
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS

# One figure a task: weighted F1 where a task has it, as the papers report it, else the task's headline.
METRICS = {
    name: "weighted_f1" if "weighted_f1" in task.card_figures else task.headline
    for name, task in TASKS.items()
}
Doc = Mapping[str, Any]


class Result(NamedTuple):
    """What is kept of one document until all are scored."""

    labels: Labels
    prediction: Prediction
    speaker: str | None


def visual(doc: Doc) -> list[str]:
    """The clip's file; paths of a manifest are relative to NANOEMOX_MANIFEST_DIR."""
    folder = Path(os.environ.get("NANOEMOX_MANIFEST_DIR", "."))
    name = next((doc[key] for key in ("video", "image", "audio") if doc.get(key)), None)
    return [str(folder / name)] if name else []


def _labels(doc: Doc) -> Labels:
    """Labels without the empty places that a table of unlike rows brings."""

    def kept(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: kept(item) for key, item in value.items() if item is not None}
        return value

    return Labels(**kept(doc.get("labels") or {}))


def _text(task: str) -> Callable[..., str]:
    def prompt(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
        kwargs = lmms_eval_specific_kwargs or {}
        text = f'Subtitle: "{doc["text"]}"\n' if doc.get("text") else ""
        turns = "".join(f"{turn['role']}: {turn['text']}\n" for turn in doc.get("dialogue") or ())
        question = TASKS[task].question(TASKS[task].candidates(_labels(doc)))
        return f"{kwargs.get('pre_prompt', '')}{turns}{text}{question}{kwargs.get('post_prompt', '')}"

    return prompt


def _target(task: str) -> Callable[[Doc], str]:
    return lambda doc: TASKS[task].target(_labels(doc)) or ""


def _results(task: str) -> Callable[[Doc, Sequence[str]], dict[str, Result]]:
    def results(doc: Doc, answers: Sequence[str]) -> dict[str, Result]:
        labels = _labels(doc)
        row = {"id": str(doc["id"]), "text": answers[0] if answers else ""}
        reading = prediction(row, TASKS[task], TASKS[task].candidates(labels))
        return {METRICS[task]: Result(labels, reading.prediction, doc.get("speaker"))}

    return results


def _aggregate(task: str) -> Callable[[Sequence[Result]], float]:
    def aggregate(results: Sequence[Result]) -> float:
        labels = {result.prediction.id: result.labels for result in results}
        scores = score(labels, [result.prediction for result in results], tasks=[task])
        value = scores.value(task, METRICS[task])
        return float("nan") if value is None else value

    return aggregate


for _task in TASKS:
    globals()[f"{_task}_text"] = _text(_task)
    globals()[f"{_task}_target"] = _target(_task)
    globals()[f"{_task}_results"] = _results(_task)
    globals()[f"{_task}_aggregate"] = _aggregate(_task)

"""The six tasks for lmms-eval: pure functions over nanoemox's own questions, parsers and figures.

Copy this folder into lmms-eval's `tasks`, or name it with `--include_path`. It needs `pip install nanoemox` and
nothing of lmms-eval.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nanoemox.scoring import score as scoring
from nanoemox.scoring.prediction_files import Faults, prediction
from nanoemox.tasks.task import TASKS

METRICS = {
    "sentiment": "weighted_f1",
    "emotion": "weighted_f1",
    "open_vocabulary": "set_f1",
    "intent": "weighted_f1",
    "reasoning": "cue_f1",
    "empathy": "emotion_accuracy",
}
Doc = Mapping[str, Any]


def visual(doc: Doc) -> list[str]:
    """The clip's file; paths of a manifest are relative to NANOEMOX_MANIFEST_DIR."""
    folder = Path(os.environ.get("NANOEMOX_MANIFEST_DIR", "."))
    name = next((doc[key] for key in ("video", "image", "audio") if doc.get(key)), None)
    return [str(folder / name)] if name else []


def _labels(doc: Doc) -> dict[str, Any]:
    """Labels without the empty places that a table of unlike rows brings."""

    def kept(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: kept(item) for key, item in value.items() if item is not None}
        return value

    return dict(kept(doc.get("labels") or {}))


def _text(task: str) -> Callable[..., str]:
    def text(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
        kwargs = lmms_eval_specific_kwargs or {}
        said = f'Subtitle: "{doc["text"]}"\n' if doc.get("text") else ""
        turns = "".join(f"{turn['role']}: {turn['text']}\n" for turn in doc.get("dialogue") or ())
        question = TASKS[task].question(TASKS[task].candidates(_labels(doc)))
        return f"{kwargs.get('pre_prompt', '')}{turns}{said}{question}{kwargs.get('post_prompt', '')}"

    return text


def _target(task: str) -> Callable[[Doc], str]:
    return lambda doc: TASKS[task].target(_labels(doc)) or ""


def _results(task: str) -> Callable[[Doc, Sequence[str]], dict[str, Any]]:
    def results(doc: Doc, answers: Sequence[str]) -> dict[str, Any]:
        labels = _labels(doc)
        row = {"id": str(doc["id"]), "text": answers[0] if answers else ""}
        line, _ = prediction(row, task, TASKS[task].candidates(labels), Faults())
        return {METRICS[task]: {"labels": labels, "line": line, "speaker": doc.get("speaker")}}

    return results


def _aggregate(task: str) -> Callable[[Sequence[Mapping[str, Any]]], float]:
    def aggregate(results: Sequence[Mapping[str, Any]]) -> float:
        labels = {item["line"]["id"]: item["labels"] for item in results}
        figures = scoring.score(labels, [item["line"] for item in results], tasks=[task])
        value = figures.get(task, {}).get(METRICS[task], {}).get("value")
        return float("nan") if value is None else float(value)

    return aggregate


for _task in TASKS:
    globals()[f"{_task}_text"] = _text(_task)
    globals()[f"{_task}_target"] = _target(_task)
    globals()[f"{_task}_results"] = _results(_task)
    globals()[f"{_task}_aggregate"] = _aggregate(_task)

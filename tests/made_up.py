"""A made-up analysis with everything an analysis can hold, and a made-up report, for tests of what is shown of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nanoemox.evaluation.report import EvaluationReport
from nanoemox.inference.results import Analysis, TaskResult
from nanoemox.media.clip import Clip, CodedWarning
from nanoemox.scoring.score import Scores
from nanoemox.tasks.closed import INTENT
from nanoemox.tasks.task import TASKS

WORLD_NOTE = (
    "this model knows only Affect Theatre, a generated world; of real people its answers mean nothing"
)
HOSTILE = '<script>alert("x")</script>'


def make_clip(name: str = "clip.mp4", *, video: bool = True, audio: bool = True) -> Clip:
    """Eight small frames and a swelling sound of 4 s."""
    envelope = 0.8 * np.sin(np.linspace(0, np.pi, 200))
    return Clip(
        path=f"/somewhere/{name}",
        frames=np.linspace(0, 255, 8 * 48 * 64 * 3).reshape(8, 48, 64, 3).astype(np.uint8) if video else None,
        audio_windows=np.full((8, 32_000), 0.1, dtype=np.float32) if audio else None,
        frame_times_s=tuple(0.25 + 0.5 * i for i in range(8)) if video else (),
        audio_starts_s=tuple(i * 2 / 7 for i in range(8)) if audio else (),
        duration_s=4.0,
        audio_coverage=1.0 if audio else None,
        waveform=np.stack([-envelope, envelope], axis=1).reshape(-1).astype(np.float32) if audio else None,
        modalities={
            "video": "present" if video else "the file has no pictures",
            "audio": "present" if audio else "the file has no sound track",
        },
        warnings=(),
    )


def result(task: str, answer: str = "", text: str = "", **fields: Any) -> TaskResult:
    """The answer to one task."""
    return TaskResult(task=task, answer=answer, text=text, **fields)


def make_analysis(
    tasks: Sequence[str] = tuple(TASKS), name: str = "clip.mp4", *, video: bool = True, audio: bool = True
) -> Analysis:
    """Sadness over a wilted plant, told with words that try to break out of a page."""
    chances = [0.7, 0.2, 0.05, 0.02, 0.02, 0.0075, 0.0025]
    labels = ["sadness", "neutral", "fear", "anger", "surprise", "disgust", "happiness"]
    intents = list(INTENT.defaults)
    results = {
        "sentiment": result(
            "sentiment",
            "negative",
            "The character's sentiment state is negative.",
            label="negative",
            probabilities={"negative": 0.8, "neutral": 0.15, "positive": 0.05},
            polarity="negative",
            score=-0.75,
        ),
        "emotion": result(
            "emotion",
            "sadness",
            "The most likely label is sadness.",
            label="sadness",
            probabilities=dict(zip(labels, chances, strict=True)),
        ),
        "open_vocabulary": result("open_vocabulary", "lonely, lost", "…", labels=("lonely", HOSTILE)),
        "intent": result(
            "intent",
            intents[0],
            intents[0],
            label=intents[0],
            probabilities={intent: 2.0**-rank for rank, intent in enumerate(intents, start=1)},
        ),
        "reasoning": result(
            "reasoning",
            f"Face: inner brows raised. {HOSTILE}",
            f"Face: inner brows raised. {HOSTILE}",
            cues={"face": ("inner brows raised",), "voice": ("a falling melody",), "scene": (), "words": ()},
        ),
        "empathy": result(
            "empathy",
            "I am so sorry.",
            "<think>…</think>\nI am so sorry.",
            thinking={
                "event": "a plant has died",
                "emotion": "sadness",
                "cause": HOSTILE,
                "goal": "to comfort",
            },
            reply="I am so sorry.",
        ),
    }
    clip = make_clip(name, video=video, audio=audio)
    modalities = {**clip.modalities, "text": "present"}
    missing = [
        CodedWarning(f"no_{modality}", f"no {modality}: {why}")
        for modality, why in modalities.items()
        if why != "present"
    ]
    return Analysis(
        clip=clip,
        model="pico",
        tasks={task: results[task] for task in tasks},
        modalities=modalities,
        experts=(0.2, 0.3, 0.5) if video and audio else None,
        warnings=(
            CodedWarning("training_domain", WORLD_NOTE),
            *missing,
            CodedWarning("audio_silent", "the sound track is silent"),
        ),
        timing_s={"load": 0.1, "total": 1.5},
    )


def make_report(**changes: Any) -> EvaluationReport:
    """A report of an evaluation of two clips; `changes` are fields of it."""
    fields: dict[str, Any] = {
        "model": "pico",
        "manifest": "test.jsonl",
        "manifest_sha256": "f" * 64,
        "n": 2,
        "speakers": 0,
        "splits": {"test": 2},
        "seed": 3,
        "modalities": ["text", "video"],
        "dtype": "float32",
        "batch_size": 16,
        "versions": {"nanoemox": "0.1.0", "tasks": dict.fromkeys(TASKS, 1)},
        "commit": None,
        "command": "nanoemox evaluate",
        "date": "2026-11-23",
        "machine": "x86_64",
        "seconds": 1.5,
        "world": None,
        "world_note": None,
        "tasks": Scores(),
        "baselines": {"majority": Scores()},
        "majority_from": "train.jsonl",
        "classes": {},
        "confusion": {},
        "calibration": {},
        "routes": {},
        "by_modalities": {},
        "slowest": [],
        "errors": {"clips": 0, "ids": [], "why": {}},
        "quarantined": {},
        "left_out": [],
    }
    return EvaluationReport(**fields | changes)

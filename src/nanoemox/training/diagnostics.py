"""What is looked at after every phase, because each of these went wrong in silence before.

Q-Former tokens that are all alike or the same for every clip; adapters that make the language model say "emotion" to
every question; a mean loss that hides a slot of the answer at chance; an accuracy that the most frequent label
reaches too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nanoemox.data.decoded_clips import Tensors
from nanoemox.data.schema import Record, plain_labels, turns_of
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Request
from nanoemox.model.modeling_nanoemox import MEDIA_NAMES, NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor, stack_media
from nanoemox.scoring import score as scoring
from nanoemox.tasks.task import TASKS

logger = logging.getLogger(__name__)
COLLAPSED = 0.95  # a mean cosine above this means that the tokens say next to nothing


@torch.inference_mode()
def token_cosines(
    model: NanoEmoXForConditionalGeneration, features: Sequence[Mapping[str, Tensor]]
) -> dict[str, dict[str, float]]:
    """Mean cosine between the tokens of one clip, and between the same token of different clips, per adapter."""
    model.eval()
    batch = {name: value.to(model.device) for name, value in stack_media(features).items()}
    batch |= model.encode(**{name: batch.pop(name) for name in MEDIA_NAMES if name in batch})
    tokens: dict[str, Tensor] = {}
    if "audio_features" in batch:
        tokens["audio"] = model.get_audio_features(batch["audio_features"])
    if "video_features" in batch:
        if "face_adapter" in model.parts():
            tokens["face"] = model.get_face_features(batch["face_features"])
        tokens["video"] = model.get_video_features(batch["video_features"])
    video, audio = model.needed_features("fusion")
    if video in batch and audio in batch:
        tokens["fusion"] = model.get_fusion_features(batch[video], batch[audio])[0]
    found = {}
    for name, value in tokens.items():  # [B, N, D]
        found[name] = {
            "within_clip": _mean_cosine(value),
            "across_clips": _mean_cosine(value.transpose(0, 1)),
            "size": round(float(value.norm(dim=-1).mean()), 4),
        }
    return found


def _mean_cosine(vectors: Tensor) -> float:
    """Mean cosine of all pairs of different vectors, [G, N, D] -> mean over G; 0 if there are no pairs."""
    unit = functional.normalize(vectors.float(), dim=-1)
    number = unit.shape[1]
    if number < 2:
        return 0.0
    total = unit.sum(dim=1).square().sum(dim=-1) - number  # sum over pairs of u.v = |sum u|^2 - n
    return round(float((total / (number * (number - 1))).mean()), 4)


def diagnose(
    model: NanoEmoXForConditionalGeneration,
    processor: NanoEmoXProcessor,
    records: Sequence[Record],
    store: Tensors,
    tasks: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    batch_size: int = 32,
) -> dict[str, Any]:
    """Cosines of the tokens, and scores per task and per slot on `records` beside those of the majority answer."""
    records = [record for record in records if record.id in store]
    analyzer = EmotionAnalyzer(model, processor)
    names = [
        task for task in tasks or TASKS if any(scoring.has_labels(plain_labels(r), task) for r in records)
    ]
    labels = {record.id: plain_labels(record) for record in records}
    lines: list[dict[str, Any]] = []
    for start in range(0, len(records), batch_size):
        batch = records[start : start + batch_size]
        requests = [
            Request(store[r.id], r.text, turns_of(r), names, {}, set(only) if only else None) for r in batch
        ]
        for record, answers in zip(batch, analyzer.answer_batch(requests), strict=True):
            lines += [{"id": record.id, "task": task, **answers.tasks[task].to_dict()} for task in names]
    constant = scoring.majority(list(labels.values()), names)
    constant_lines = [
        {"id": clip, "task": task, **answer} for clip in labels for task, answer in constant.items()
    ]
    report = {
        "clips": len(records),
        "modalities": sorted(only) if only else "all",
        "token_cosines": token_cosines(model, [store[record.id] for record in records]),
        "tasks": _values(scoring.score(labels, lines, None, names, 0)),
        "majority": _values(scoring.score(labels, constant_lines, None, names, 0)),
    }
    report["alarms"] = alarms(report)
    return report


def alarms(report: Mapping[str, Any]) -> list[str]:
    """What a person should look at before going on."""
    found = []
    for adapter, cosines in report["token_cosines"].items():
        for kind in ("within_clip", "across_clips"):
            if cosines[kind] > COLLAPSED:
                where = "of one clip" if kind == "within_clip" else "of different clips"
                found.append(f"{adapter}: the tokens {where} are alike (cosine {cosines[kind]:.2f})")
    for task, figures in report["tasks"].items():
        for name in (
            "accuracy",
            "weighted_f1",
            "set_f1",
            "cue_f1",
            "emotion_accuracy",
            "cause_accuracy_unmentioned",
        ):
            ours, theirs = figures.get(name), report["majority"].get(task, {}).get(name)
            if ours is not None and theirs is not None and ours <= theirs:
                found.append(f"{task}: {name} {ours:.2f} is not above the majority answer's {theirs:.2f}")
    return found


def table(report: Mapping[str, Any]) -> str:
    """The report in lines a person reads."""
    rows = [f"health on {report['clips']} clips ({report['modalities']})"]
    for adapter, cosines in report["token_cosines"].items():
        rows.append(f"  {adapter:7s} " + "  ".join(f"{name} {value:.3f}" for name, value in cosines.items()))
    for task, figures in report["tasks"].items():
        majority = report["majority"].get(task, {})
        told = [
            f"{name} {value:.3f}"
            + (f" (majority {majority[name]:.3f})" if majority.get(name) is not None else "")
            for name, value in figures.items()
            if value is not None
        ]
        rows.append(f"  {task}: " + ", ".join(told))
    return "\n".join([*rows, *(f"  ALARM {text}" for text in report["alarms"])])


def _values(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Figures without their intervals."""
    return {
        task: {name: figure["value"] for name, figure in figures.items() if isinstance(figure, Mapping)}
        for task, figures in scores.items()
    }

"""What is looked at after every phase, because each of these went wrong in silence before.

Q-Former tokens that are all alike or the same for every clip; adapters that make the language model say "emotion" to
every question; a mean loss that hides a slot of the answer at chance; an accuracy that the most frequent label
reaches too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nanoemox.data.decoded_clips import Tensors
from nanoemox.data.schema import Prediction, Record
from nanoemox.files.listed import one_or_more
from nanoemox.files.short_repr import ShortRepr
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Request
from nanoemox.model.clip_processor import stack_media
from nanoemox.model.modeling_nanoemox import MEDIA_NAMES, NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.scoring.score import Scores, constant_predictions, majority, score
from nanoemox.tasks.task import TASKS

Values = dict[str, dict[str, float | None]]  # task -> figure -> value
FEW_CLIPS = (
    20  # below this neither a figure beside the majority's nor a mean over pairs of clips says anything
)
PART_OF = {"audio": "audio_adapter", "video": "video_adapter", "face": "face_adapter", "fusion": "fusion"}
# Whose tokens should differ within a clip, and what `diversity` acts on. Those of a face do not in the shipped model
# either (cosine 1.00, and 0.35 across clips), which reads faces with a cue F1 of 0.94.
TOLD_APART = ("audio", "video")
REMEDY = {
    "within_clip": "set `diversity: 0.05` in this phase, or lower its learning rate",
    "across_clips": "train for more steps on clips that differ, or lower the learning rate",
}
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


@dataclass(frozen=True, repr=False)
class Diagnosis(ShortRepr):
    """Cosines of the tokens by adapter; figures by task, beside those of the majority answer; what is alarming."""

    clips: int
    modalities: list[str] | str
    token_cosines: dict[str, dict[str, float]]
    tasks: Values
    majority: Values
    alarms: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The object that diagnostics.json holds."""
        return asdict(self)

    def summary(self) -> str:
        """One line: the figure that stands for each task, beside that of the majority answer."""
        heads = []
        for task, figures in self.tasks.items():
            name = TASKS[task].headline
            if (value := figures.get(name)) is not None:
                heads.append(
                    f"{task} {_beside(name.replace('_', ' '), value, self.majority.get(task, {}).get(name))}"
                )
        shown = ", ".join(heads) or "no figure is defined"
        return f"{shown}, on {self.clips} clips to validate on; more in diagnostics.json"

    def table(self) -> str:
        """The report in lines a person reads."""
        rows = [f"diagnostics on {self.clips} clips ({self.modalities})"]
        for adapter, cosines in self.token_cosines.items():
            shown = "  ".join(f"{name} {value:.3f}" for name, value in cosines.items())
            rows.append(f"  {adapter:7s} {shown}")
        for task, figures in self.tasks.items():
            majority = self.majority.get(task, {})
            shown = ", ".join(
                _beside(name, value, majority.get(name))
                for name, value in figures.items()
                if value is not None
            )
            rows.append(f"  {task}: {shown}")
        return "\n".join([*rows, *(f"  ALARM {text}" for text in self.alarms)])


def _beside(name: str, value: float, majority: float | None) -> str:
    return f"{name} {value:.3f}" + ("" if majority is None else f" (majority {majority:.3f})")


def diagnose(
    model: NanoEmoXForConditionalGeneration,
    processor: NanoEmoXProcessor,
    records: Sequence[Record],
    store: Tensors,
    tasks: str | Sequence[str] | None = None,
    modalities: str | Sequence[str] | None = None,
    batch_size: int = 32,
    trained: Collection[str] | None = None,
) -> Diagnosis:
    """Cosines of the tokens, and scores per task and per slot on `records` beside those of the majority answer.

    Args:
        model: The model to look at.
        processor: The processor that goes with it.
        records: Labelled clips that it was not trained on.
        store: The clips' features or media; clips that it lacks are left out.
        tasks: The names of tasks; None, every task that has labels.
        modalities: Give the model only these of "text", "video", "audio".
        batch_size: Clips at a time.
        trained: The parts whose tokens may alarm; None, all of them. What is still to be trained is no news.

    Returns:
        What was found.
    """
    tasks, modalities = one_or_more(tasks), one_or_more(modalities)
    records = [record for record in records if record.id in store]
    analyzer = EmotionAnalyzer(model, processor)
    labels = {record.id: record.labels for record in records}
    names = [t for t in tasks or TASKS if any(TASKS[t].has_label(known) for known in labels.values())]
    predictions: list[Prediction] = []
    for start in range(0, len(records), batch_size):
        batch = records[start : start + batch_size]
        requests = [Request(store[r.id], r.text, r.turns, names, {}, modalities or None) for r in batch]
        for record, answers in zip(batch, analyzer.answer_batch(requests), strict=True):
            predictions += [Prediction.of(record.id, task, answers.tasks[task]) for task in names]
    constant = constant_predictions(labels, majority(list(labels.values()), names))
    cosines = token_cosines(model, [store[record.id] for record in records])
    ours = _values(score(labels, predictions, None, names, 0))
    theirs = _values(score(labels, constant, None, names, 0))
    return Diagnosis(
        clips=len(records),
        modalities=sorted(modalities) if modalities else "all",
        token_cosines=cosines,
        tasks=ours,
        majority=theirs,
        alarms=alarms(
            {name: kinds for name, kinds in cosines.items() if trained is None or PART_OF[name] in trained},
            ours,
            theirs,
        ),
    )


def alarms(cosines: Mapping[str, Mapping[str, float]], ours: Values, theirs: Values) -> list[str]:
    """What a person should look at before going on.

    Args:
        cosines: Of the tokens, by adapter.
        ours: The model's figures by task.
        theirs: Those of the majority answer.

    Returns:
        One sentence an alarm.
    """
    found = []
    for adapter, kinds in cosines.items():
        for kind, where in (("within_clip", "of one clip"), ("across_clips", "of different clips")):
            if kinds[kind] > COLLAPSED and not (kind == "within_clip" and adapter not in TOLD_APART):
                found.append(
                    f"{adapter}: the tokens {where} are alike (cosine {kinds[kind]:.2f}), so they tell the language "
                    f"model little; {REMEDY[kind]}"
                )
    for task, figures in ours.items():
        for name in TASKS[task].watched_figures:
            value, majority_value = figures.get(name), theirs.get(task, {}).get(name)
            if value is not None and majority_value is not None and value <= majority_value:
                found.append(
                    f"{task}: {name} {value:.2f} is not above the majority answer's {majority_value:.2f}; train for "
                    "more steps, or look whether the clips show what their labels say"
                )
    return found


def _values(scores: Scores) -> Values:
    """Figures without their intervals."""
    return {
        task: {name: figure["value"] for name, figure in figures.items()} for task, figures in scores.items()
    }

"""Why this answer: what changes if a modality is muted, the weights of the fusion's gate, and where the face is read.

A muted modality is absent, exactly as in a clip that does not have it; the encoders are not run again. What changes is
measured, so it holds for this model and this clip; it does not say what the person's face or voice would mean to us.
Letters: B clips, T frames, N queries, D width.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nanoemox.checkpoints.openvino_parts import GraphPart
from nanoemox.files.short_repr import ShortRepr
from nanoemox.inference.results import Answers, Request, TaskResult
from nanoemox.media.clip import PRESENT

if TYPE_CHECKING:
    from nanoemox.inference.analyzer import EmotionAnalyzer

logger = logging.getLogger(__name__)
LITTLE = 0.01  # of a probability that moves in all: below it, no modality is said to matter


@dataclass(frozen=True, repr=False)
class Explanation(ShortRepr):
    """What an answer hangs on.

    Attributes:
        answers: Task -> its answer with all modalities.
        without: Modality -> task -> its answer without this modality. Only where another modality is left.
        experts: The weights of the fusion's gate; None without video or audio.
        face_attention: For each query of the face branch the share of its attention that each frame gets [N][T];
            None where the clip has no video, or the model no face branch, or is exported to OpenVINO.
        frame_times_s: When the frames are shown.
    """

    answers: Mapping[str, TaskResult]
    without: Mapping[str, Mapping[str, TaskResult]]
    experts: tuple[float, ...] | None = None
    face_attention: tuple[tuple[float, ...], ...] | None = None
    frame_times_s: tuple[float, ...] = ()

    def change(self, task: str, modality: str) -> dict[str, float]:
        """How much less likely each label of a closed task is without a modality: above 0, the modality speaks for it.

        Args:
            task: The name of the task.
            modality: One of `without`.

        Returns:
            The change of each probability; empty for an open task.
        """
        muted = self.without[modality][task].probabilities
        whole = self.answers[task].probabilities
        return {label: round(share - muted[label], 6) for label, share in whole.items() if label in muted}

    def moved(self, task: str, modality: str) -> float:
        """How much probability goes elsewhere without a modality: 0 for nothing, 1 for all of it."""
        return round(sum(map(abs, self.change(task, modality).values())) / 2, 6)

    def matters_most(self, task: str) -> str | None:
        """The modality without which most of a closed task's probability moves; None where hardly any does."""
        moved = {name: self.moved(task, name) for name in self.without if self.answers[task].probabilities}
        first = max(moved, key=moved.__getitem__, default=None)
        return first if first is not None and moved[first] >= LITTLE else None

    def frame_shares(self) -> tuple[float, ...]:
        """The share of the face queries' attention that each frame gets, as a mean over the queries [T]."""
        rows = self.face_attention or ()
        return tuple(round(sum(each) / len(rows), 6) for each in zip(*rows, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        tasks: dict[str, Any] = {}
        for task, whole in self.answers.items():
            closed = bool(whole.probabilities)
            tasks[task] = {
                **({"matters_most": self.matters_most(task)} if closed else {}),
                "without": {
                    name: {
                        "answer": muted[task].answer,
                        **(
                            {"moved": self.moved(task, name), "change": self.change(task, name)}
                            if closed
                            else {"same": muted[task].text == whole.text}
                        ),
                        "text": muted[task].text,
                    }
                    for name, muted in self.without.items()
                },
            }
        attention = None if self.face_attention is None else [list(row) for row in self.face_attention]
        return {
            "tasks": tasks,
            "experts": None if self.experts is None else list(self.experts),
            "face_attention": attention,
            "frame_times_s": list(self.frame_times_s),
        }


def explain_answers(
    analyzer: EmotionAnalyzer, request: Request, answers: Answers, features: Mapping[str, Tensor]
) -> Explanation:
    """What the answers to a request hang on.

    Args:
        analyzer: The model.
        request: What was asked; its source is a clip or stored features.
        answers: The answers to it.
        features: Its frozen features [1, …]; the encoders are not run again.

    Returns:
        The explanation.

    Raises:
        NanoEmoXError: If the model computes numbers that are not finite.
    """
    # Ask the same without each modality in turn, in one batch.
    given = [name for name, state in answers.modalities.items() if state == PRESENT]
    muted = given if len(given) > 1 else []
    requests = [replace(request, modalities=[other for other in given if other != name]) for name in muted]
    repeated = {name: value.expand(len(muted), *value.shape[1:]) for name, value in features.items()}
    without = analyzer.answer_batch(requests, repeated) if muted else []

    # Look at which frames the face branch looks.
    attention = _face_attention(analyzer, features) if "video" in given else None
    return Explanation(
        answers=answers.tasks,
        without={name: found.tasks for name, found in zip(muted, without, strict=True)},
        experts=answers.experts,
        face_attention=attention,
        frame_times_s=tuple(getattr(request.source, "frame_times_s", ())),
    )


@torch.inference_mode()
def _face_attention(
    analyzer: EmotionAnalyzer, features: Mapping[str, Tensor]
) -> tuple[tuple[float, ...], ...] | None:
    """The weights [N][T] with which the queries of the face branch attend to the frames, as a mean over the heads."""
    adapter, faces = analyzer.model.face_adapter, features.get("face_features")
    if adapter is None or faces is None:
        return None
    if isinstance(adapter, GraphPart):
        logger.warning(
            "%s: exported to OpenVINO, which does not tell at which frames a face is read", analyzer.name
        )
        return None
    faces = faces[:1].to(adapter.query_tokens.dtype)  # [1, T, D]
    queries = adapter.query_tokens[None]  # [1, N, D]
    _, weights = adapter.attention(queries, faces, faces, need_weights=True)  # [1, N, T]
    return tuple(tuple(round(float(share), 6) for share in row) for row in weights[0].float())

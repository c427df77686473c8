"""SWD-H: a small model learns the hidden states of a large one, beside the answers (Light-MER, arXiv 2607.12787).

Both models read the same clip, question and answer. At the positions that predict the answer's tokens, the distribution
of the student's last hidden states is drawn towards that of the teacher's: both are projected onto random directions,
and along each direction the sorted values are compared, which is the sliced Wasserstein distance. The teacher is
frozen and has its own encoders. Letters: B clips, S text, A positions of an answer, D width, K directions.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _IncompatibleKeys

from nanoemox.model.clip_processor import IGNORED
from nanoemox.training.recipe import Distillation

TEACHER_PREFIX = "teacher."  # of the teacher's part of a batch
LEAST_POSITIONS = 2  # one value alone is no distribution


class AnswerStates(NamedTuple):
    """Hidden states at the positions that predict an answer: states [B, A, D] and which of them there are [B, A]."""

    states: Tensor
    mask: Tensor


def answer_states(hidden: Tensor, labels: Tensor) -> AnswerStates:
    """Hidden states [B, S, D] and labels [B, S] -> those that predict a token of the answer, from the left."""
    predicts = labels[:, 1:] != IGNORED  # [B, S - 1]: position i predicts the token at i + 1
    counts = predicts.sum(dim=1)
    mask = torch.arange(int(counts.max()), device=labels.device) < counts[:, None]  # [B, A]
    states = hidden.new_zeros(*mask.shape, hidden.shape[-1])
    states[mask] = hidden[:, :-1][predicts]  # both go through the clips in order, and from left to right
    return AnswerStates(states, mask)


def random_directions(number: int, width: int, seed: int, step: int) -> Tensor:
    """Directions that depend on the seed and the step alone, so that a resumed run draws the same.

    Args:
        number: K, how many.
        width: D.
        seed: Of the training.
        step: Counted from 0.

    Returns:
        [K, D], of length 1.
    """
    generator = torch.Generator().manual_seed(random.Random(f"{seed}/{step}").getrandbits(63))
    return nn.functional.normalize(torch.randn(number, width, generator=generator), dim=-1)


def sliced_wasserstein(
    student: Tensor, teacher: Tensor, mask: Tensor, directions: Tensor, p: float = 2.0
) -> Tensor:
    """The sliced Wasserstein distance between two sets of vectors of each clip, to the power of `p` (no root is taken).

    Args:
        student: [B, A, D].
        teacher: [B, A, D].
        mask: [B, A], which vectors count; as many of either set.
        directions: [K, D], of length 1.
        p: The power of the differences.

    Returns:
        Mean over positions and directions, then over the clips with at least two positions; 0 where no clip has them.
    """
    # Project, and sort along the positions; those that do not count come last.
    sorted_values = [
        (vectors @ directions.T).masked_fill(~mask[..., None], torch.inf).sort(dim=1).values  # [B, A, K]
        for vectors in (student, teacher)
    ]
    counts = mask.sum(dim=1)  # [B]
    valid = torch.arange(mask.shape[1], device=mask.device) < counts[:, None]  # [B, A]
    ours, theirs = (values.masked_fill(~valid[..., None], 0.0) for values in sorted_values)

    # Compare, and take the mean over what there is.
    cost = (ours - theirs).abs().pow(p).sum(dim=(1, 2)) / (counts.clamp(min=1) * len(directions))  # [B]
    enough = counts >= LEAST_POSITIONS
    return cost.masked_fill(~enough, 0.0).sum() / enough.sum().clamp(min=1)


def ramped_weight(settings: Distillation, step: int) -> float:
    """The weight of the distance at a step (the first is step 0): a straight line up from 0."""
    return settings.weight * min(1.0, step / settings.ramp_steps) if settings.ramp_steps else settings.weight


class StudentHead(nn.Module):
    """What the student's hidden states go through to be compared: a linear map, at first the identity, and a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, eps=1e-5)
        nn.init.eye_(self.linear.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """[B, A, D] -> [B, A, D]."""
        projected: Tensor = self.norm(self.linear(hidden))
        return projected


class Distilled(nn.Module):
    """A student that is trained beside its frozen teacher; the model itself is not changed by being in here.

    Its state is what a training has to keep: the student's trained parameters, the head, the teacher's projection, and
    the number of the step. Neither what is frozen nor the teacher is in it.
    """

    step: Tensor
    teacher_projection: Tensor

    def __init__(self, student: nn.Module, teacher: nn.Module, settings: Distillation, seed: int) -> None:
        """Put a student beside a teacher.

        Args:
            student: Ready to be trained, wrapped by peft where it has LoRA.
            teacher: Any model that answers in the same tokens.
            settings: Of the recipe.
            seed: Of the teacher's projection and of the directions.
        """
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval()
        self.settings, self.seed = settings, seed
        width = _text_width(self.get_base_model())
        self.head = StudentHead(width)
        generator = torch.Generator().manual_seed(seed)
        projection = nn.init.orthogonal_(torch.empty(width, _text_width(teacher)), generator=generator)
        self.register_buffer("teacher_projection", projection)  # [D of the student, D of the teacher]
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def get_base_model(self) -> Any:
        """The student without peft around it."""
        return getattr(self.student, "get_base_model", lambda: self.student)()

    def forward(self, **batch: Any) -> dict[str, Any]:
        """One pass of both over one batch, as `TaughtExamples` collates it.

        Args:
            **batch: The student's inputs and labels, and under `teacher.` those of the teacher.

        Returns:
            `loss`, and under `parts` what it consists of, the distance before it is weighted.
        """
        lesson = {n.removeprefix(TEACHER_PREFIX): x for n, x in batch.items() if n.startswith(TEACHER_PREFIX)}
        own = {name: x for name, x in batch.items() if not name.startswith(TEACHER_PREFIX)}
        step = int(self.step)
        weight = ramped_weight(self.settings, step)
        self.step += self.training
        output = self.student(**own, output_hidden_states=True)
        parts = {"cross_entropy": output.loss}
        if weight == 0:  # at the beginning of the ramp: nothing of the teacher is needed
            return {"loss": output.loss, "parts": parts}
        labels = lesson.pop("labels")
        with torch.no_grad():
            theirs = self.teacher(**lesson, output_hidden_states=True, use_cache=False, logits_to_keep=1)
        parts["distillation"] = self.distance(
            answer_states(output.hidden_states[-1], own["labels"]),
            answer_states(theirs.hidden_states[-1], labels),
            step,
        )
        return {"loss": output.loss + weight * parts["distillation"], "parts": parts}

    def distance(self, student: AnswerStates, teacher: AnswerStates, step: int) -> Tensor:
        """What is added to the loss at a step, before it is weighted; in float32, whatever the models compute in.

        Args:
            student: The student's hidden states.
            teacher: The teacher's, of the same positions.
            step: Counted from 0.

        Returns:
            A number.
        """
        device = student.states.device
        directions = random_directions(
            self.settings.directions, len(self.teacher_projection), self.seed, step
        )
        with torch.autocast(device.type, enabled=False):
            ours = self.head(student.states.float())
            theirs = teacher.states.float() @ self.teacher_projection.T
            return sliced_wasserstein(ours, theirs, student.mask, directions.to(device))

    def train(self, mode: bool = True) -> Distilled:
        """Switch the student to training mode; a teacher with dropout would teach something else every time."""
        super().train(mode)
        self.teacher.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """What a checkpoint holds, by name."""
        trained = {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}
        return {**trained, "teacher_projection": self.teacher_projection, "step": self.step}

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Take in what `state_dict` gave.

        Args:
            state_dict: All of it, by name.
            strict: Is always so.
            assign: Is never so: the numbers are copied.

        Returns:
            That nothing was missing, as torch says it.

        Raises:
            KeyError: If it is the state of another training.
        """
        own = self.state_dict()
        if own.keys() != state_dict.keys():
            names = sorted(own.keys() ^ state_dict.keys())
            raise KeyError(
                f"expected the checkpoint of the same training, but {names[0]} is on one side only"
            )
        for name, value in own.items():
            value.copy_(state_dict[name])
        return _IncompatibleKeys([], [])


def is_head(parameter_name: str) -> bool:
    """Whether a parameter that is trained belongs to the comparison, and so to none of the model's parts."""
    return parameter_name.startswith("head.")


def _text_width(model: Any) -> int:
    """D of a model's language model."""
    return int(model.get_input_embeddings().embedding_dim)

"""The teacher of a phase with `distillation`: its folder, what it reads of the clips, and its side of every batch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from nanoemox.checkpoints.check_folder import check_folder
from nanoemox.checkpoints.load import find_folder, load_model
from nanoemox.data.decoded_clips import LiveMedia, Tensors
from nanoemox.data.extract_features import extract_features
from nanoemox.data.feature_store import FeatureStore, origin_of
from nanoemox.data.schema import Record
from nanoemox.model.clip_processor import IGNORED
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.tasks.task import TASKS
from nanoemox.training.distillation import TEACHER_PREFIX, Distilled
from nanoemox.training.mixture import Examples, PreparedExample
from nanoemox.training.recipe import Distillation, P2ERecipe, Phase, RecipeError
from nanoemox.training.trainer import on_cpu

logger = logging.getLogger(__name__)
TRIED_CLIPS = 100  # of a phase, to see whether both models cut answers into the same tokens


class Teacher(NamedTuple):
    """A trained model that is not changed, and what it reads of the clips."""

    model: NanoEmoXForConditionalGeneration
    processor: NanoEmoXProcessor
    store: Tensors


class TaughtExample(NamedTuple):
    """One example as the student reads it, and as its teacher does."""

    student: PreparedExample
    teacher: PreparedExample


class TaughtExamples(Dataset[TaughtExample]):
    """The examples of a phase, each for both models: the same clip, question and answer.

    Args:
        student: As the student reads them.
        teacher: The same examples, in the same order, as the teacher reads them.
    """

    def __init__(self, student: Examples, teacher: Examples) -> None:
        self.student, self.teacher = student, teacher

    def __len__(self) -> int:
        return len(self.student)

    def __getitem__(self, index: int) -> TaughtExample:
        return TaughtExample(self.student[index], self.teacher[index])

    @staticmethod
    def length(example: TaughtExample) -> int:
        """About how long the example is, as it is without a teacher: so the order of the batches is the same."""
        return Examples.length(example.student)

    def collate(self, batch: Sequence[TaughtExample]) -> dict[str, Tensor]:
        """Examples -> what the student reads, and under names that begin with `teacher.` what the teacher reads."""
        own = self.student.collate([example.student for example in batch])
        lesson = self.teacher.collate([example.teacher for example in batch])
        _check_same_tokens(own["labels"], lesson["labels"])
        return {**own, **{f"{TEACHER_PREFIX}{name}": value for name, value in lesson.items()}}


def check_teacher(name: str) -> Path:
    """The folder of a teacher. Raises NanoEmoXError if there is none, or if it is not whole."""
    folder = find_folder(name)
    check_folder(folder)
    return folder


def teacher_name(teacher: str) -> str:
    """What the model's card calls its teacher: a folder by its own name, not by its place."""
    return Path(teacher).resolve().name if Path(teacher).is_dir() else teacher


def _check_answers(
    student: NanoEmoXProcessor, teacher: NanoEmoXProcessor, records: Sequence[Record], tasks: Iterable[str]
) -> None:
    """Check on some answers that both cut them into the same tokens, before anything long begins. Errors: RecipeError.

    Args:
        student: The model's processor.
        teacher: The teacher's.
        records: The clips of the phase.
        tasks: The names of its tasks.
    """
    found = (TASKS[task].target(record.labels) for record in records[:TRIED_CLIPS] for task in tasks)
    answers = list(dict.fromkeys(answer for answer in found if answer))
    if answers:
        prompts = [""] * len(answers)
        batches = [p.training_batch(prompts, answers, padding_side="right") for p in (student, teacher)]
        _check_same_tokens(*(batch["labels"] for batch in batches))


def _check_same_tokens(student: Tensor, teacher: Tensor) -> None:
    """Compare the labels [B, S] of both models, whose prompts may differ. Raises RecipeError."""
    for own, lesson in zip(student, teacher, strict=True):
        if not torch.equal(own[own != IGNORED], lesson[lesson != IGNORED]):
            raise RecipeError(
                "distillation: expected a teacher that cuts answers into the same tokens as the model, but its "
                "tokenizer, or how it ends an answer, is another; choose a teacher of the same family"
            )


def open_teacher(
    phase: Phase, records: Sequence[Record], processor: NanoEmoXProcessor, device: str | None
) -> tuple[Path, NanoEmoXForConditionalGeneration, NanoEmoXProcessor]:
    """Load the teacher of a phase, and look whether it fits.

    Args:
        phase: Names its teacher under `distillation`.
        records: The clips of the phase.
        processor: The student's.
        device: As in `train_p2e`.

    Returns:
        Its folder, the model, its processor.

    Raises:
        NanoEmoXError: If there is no such model, it is not whole, or it cuts answers into other tokens (RecipeError).
    """
    assert phase.distillation is not None
    folder = check_teacher(phase.distillation.teacher)
    model, own = load_model(folder, "cpu" if on_cpu(device) else "cuda", dtype="auto")
    _check_answers(processor, own, records, phase.tasks)
    return folder, model, own


def load_teacher(
    recipe: P2ERecipe,
    phase: Phase,
    records: Sequence[Record],
    processor: NanoEmoXProcessor,
    store: Tensors,
    device: str | None,
) -> Teacher:
    """Load the teacher of a phase, and compute what its encoders make of the clips where that is not stored yet.

    A teacher with the model's own encoders reads the same store; any other has one beside it, with its name.

    Args:
        recipe: Says where and how features are stored.
        phase: Names its teacher under `distillation`.
        records: The clips of the phase.
        processor: The student's.
        store: What the student reads of the clips.
        device: As in `train_p2e`.

    Returns:
        The teacher. Its store lacks the clips that cannot be read.

    Raises:
        NanoEmoXError: As `open_teacher`.
    """
    folder, model, own = open_teacher(phase, records, processor, device)
    if recipe.features is None:
        return Teacher(model, own, LiveMedia(records, own))
    if isinstance(store, FeatureStore) and store.origin == origin_of(model, own):
        return Teacher(model, own, store)
    place = Path(f"{recipe.features.rstrip('/')}-{folder.resolve().name}")
    logger.info("phase %s: features of the teacher %s lie in %s", phase.name, folder, place)
    bf16, dtype = recipe.features_bf16, recipe.features_dtype
    features = extract_features(records, model, own, place, recipe.workers, bf16=bf16, dtype=dtype)
    return Teacher(model, own, features)


def taught(
    student: Any, examples: Examples, teacher: Teacher, settings: Distillation, seed: int
) -> tuple[Distilled, TaughtExamples]:
    """A student beside its teacher, and the examples for both, to be trained in place of the student alone.

    Args:
        student: Ready to be trained.
        examples: As the student reads them.
        teacher: From `load_teacher`.
        settings: Of the recipe.
        seed: Of what is drawn for the comparison.

    Returns:
        The module to train, and its examples.
    """
    lessons = Examples(examples.records, examples.scheduled, teacher.store, teacher.processor)
    return Distilled(student, teacher.model, settings, seed), TaughtExamples(examples, lessons)

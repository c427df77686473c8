"""What an evaluation finds: a value that the command shows, and that report.json and report.html are written from."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypedDict

from nanoemox.files.short_repr import ShortRepr
from nanoemox.scoring.class_report import Calibration, ClassRow, Confusion, ModalityGroup
from nanoemox.scoring.score import Scores
from nanoemox.tasks.task import TASKS


class SlowClip(TypedDict):
    """A clip that took long: seconds in all, to be read, and its share of its batch's answers."""

    id: str
    seconds: float
    read_s: float
    answer_s: float


class BrokenClips(TypedDict):
    """The clips that could not be read: how many, which, and why each."""

    clips: int
    ids: list[str]
    why: dict[str, str]


@dataclass(frozen=True, kw_only=True, repr=False)
class EvaluationReport(ShortRepr):
    """The figures of a model on a manifest, what they hide, and how they were made.

    tasks: the model's figures. baselines: those of trivial models beside it, by name. ceilings: the best that the
    construction of Affect Theatre allows, None for other clips. The other fields are as docs/scoring.md explains them.
    """

    model: str
    manifest: str
    manifest_sha256: str
    n: int
    speakers: int
    splits: dict[str, int]
    seed: int
    modalities: list[str]
    dtype: str
    batch_size: int
    versions: dict[str, Any]
    commit: str | None
    command: str
    date: str
    machine: str
    seconds: float
    world: str | None
    world_note: str | None
    tasks: Scores
    baselines: dict[str, Scores]
    majority_from: str
    classes: dict[str, list[ClassRow]]
    confusion: dict[str, Confusion]
    calibration: dict[str, Calibration]
    routes: dict[str, dict[str, int]]
    by_modalities: dict[str, ModalityGroup]
    slowest: list[SlowClip]
    errors: BrokenClips
    quarantined: dict[str, str]
    left_out: list[str]
    ceilings: dict[str, dict[str, float]] | None = None
    provenance: list[str] = field(default_factory=list)

    def ceiling(self, task: str, figure: str) -> float | None:
        """The best value of a figure that the clips' construction allows; None where that is not known."""
        best = (self.ceilings or {}).get("all", {})
        return best.get(TASKS[task].ceilings.get(figure, ""))

    def to_dict(self) -> dict[str, Any]:
        """The object that report.json holds."""
        found = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        found["tasks"] = self.tasks.to_dict()
        found["baselines"] = {name: scores.to_dict() for name, scores in self.baselines.items()}
        if self.ceilings is None:
            del found["ceilings"]
        return found

"""What an evaluation finds: a value that the command shows, and that report.json and report.html are written from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict

from nanoemox.files.report import TableReport
from nanoemox.files.table_text import INTERVAL, Table
from nanoemox.scoring.class_report import Calibration, ClassRow, Confusion, ModalityGroup
from nanoemox.scoring.readings import Renamed
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
class EvaluationReport(TableReport):
    """The figures of a model on a manifest, what they hide, and how they were made.

    tasks: the model's figures. baselines: those of trivial models beside it, by name. ceilings: the best that the
    construction of Affect Theatre allows, None for other clips. The other fields are as docs/scoring.md explains them.
    `save_report` writes it as .json, as a page to look at (.html), or as a table (.csv, .md, .tex).
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
    wrappers: dict[str, dict[str, int]] = field(default_factory=dict)
    mapping: dict[str, dict[str, Renamed]] = field(default_factory=dict)
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

    def to_table(self) -> Table:
        """One row a figure, with what trivial models reach beside it."""
        columns = ["task", "figure", "value", INTERVAL, "n", *self.baselines]
        rows = [
            [task, name, figure["value"], (figure["low"], figure["high"]), figure["n"]]
            + [baseline.value(task, name) for baseline in self.baselines.values()]
            + ([self.ceiling(task, name)] if self.ceilings else [])
            for task, figures in self.tasks.items()
            for name, figure in figures.items()
        ]
        about = f"{self.n} clips of {self.manifest}, model {self.model}"
        caption = f"{about}. {self.world_note}" if self.world_note else about
        return Table([*columns, "ceiling"] if self.ceilings else columns, rows, caption)

    def forms(self) -> Mapping[str, Callable[[], str]]:
        """Ending of a file -> the function that makes its text: JSON, the page, or a table."""
        return {**super().forms(), ".html": self._page}

    def _page(self) -> str:
        from nanoemox.evaluation.page import render_evaluation

        return render_evaluation(self)

"""The results of a study: one file for each run, read back with a check that it belongs to the study as it is.

A file that cannot be read, one of another version and one that lies under another run's name are named, and are never
part of a mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy import stats

from nanoemox import __version__
from nanoemox.files.validation import first_wrong
from nanoemox.training.recipe import RecipeError
from nanoemox.training.study.arms import Run, Study, settings_of

FORMAT = 1
SPIKE = 1.5  # a loss this many times the median of the values before it
BEFORE = 8  # how many these are


class Materials(BaseModel):
    """What all runs of a study have to share: hashes of the base model, and of the manifests by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    training: dict[str, str]
    tests: dict[str, str]


class Losses(BaseModel):
    """The loss that one phase logged, and what went wrong in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: list[int]
    loss: list[float | None]  # None: not finite
    spikes: int
    not_finite: int


class Result(BaseModel):
    """One run: what it depends on, what came out, how the training went."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1]
    study: str
    arm: str
    seed: int
    budget: int
    nanoemox: str
    settings: dict[str, Any]
    materials: Materials
    figures: dict[str, dict[str, float]]
    sets: dict[str, dict[str, float]]
    muted: dict[str, dict[str, float]]
    phases: dict[str, dict[str, dict[str, float]]]  # phase -> modalities shown -> task -> value
    losses: dict[str, Losses]
    realised: dict[str, dict[str, int]]  # phase -> task -> examples
    trained: dict[str, dict[str, int]]  # phase -> part -> parameters
    seconds: dict[str, float]
    processor_seconds: float | None
    machine: str

    @property
    def run(self) -> Run:
        """Which run it is the result of."""
        return Run(self.arm, self.seed, self.budget)


class Results(NamedTuple):
    """What lies in a folder: the results that belong to the study, the runs that lack one, and what is left out."""

    by_run: dict[Run, Result]
    missing: list[Run]
    left_out: dict[str, str]  # name of a file -> why


def result_path(study: Study, run: Run) -> Path:
    """Where the result of a run lies."""
    return Path(study.recipe.results) / f"{run.name}.json"


def read_result(path: Path) -> Result:
    """One result. Errors: RecipeError, naming a file that is damaged or of another form."""
    try:
        return Result.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        why = first_wrong(error, Result)
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
    raise RecipeError(f"{path}: expected the result of a run, but {why}; remove it, and the run is repeated")


def read_results(study: Study) -> Results:
    """All results of a study.

    Args:
        study: The study as it is now.

    Returns:
        Those that belong to it; what is missing, and what is left out, and why.

    Raises:
        RecipeError: If a file is damaged.
    """
    by_run: dict[Run, Result] = {}
    left_out: dict[str, str] = {}
    expected = {result_path(study, run): run for run in study.runs}
    for path in sorted(Path(study.recipe.results).glob("*.json")):
        result = read_result(path)
        if path not in expected:
            left_out[path.name] = f"{result.run.name} is no run of this study"
            continue
        if why := _foreign(study, expected[path], result):
            left_out[path.name] = why
            continue
        by_run[expected[path]] = result
    first = next(iter(by_run.values()), None)
    for run, result in list(by_run.items()):
        if first is not None and result.materials != first.materials:
            differing = _differing(first.materials.model_dump(), result.materials.model_dump())
            left_out[result_path(study, run).name] = (
                f"was trained or measured on other files than {first.run.name} ({differing})"
            )
            del by_run[run]
    return Results(by_run, [run for run in study.runs if run not in by_run], left_out)


def _foreign(study: Study, run: Run, result: Result) -> str | None:
    """Why a result is not one of this study's run; None where it is."""
    if result.study != study.recipe.name or result.run != run:
        return f"is the result of {result.run.name} of the study {result.study}"
    if result.nanoemox != __version__:
        return f"comes from nanoemox {result.nanoemox}, this is {__version__}"
    now = json.loads(json.dumps(settings_of(study, run)))
    if result.settings != now:
        return f"was made with other settings ({_differing(result.settings, now)})"
    return None


def _differing(before: Any, now: Any, at: str = "") -> str:
    """The first place at which two values differ, and both values."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in [*before, *(key for key in now if key not in before)]:
            if before.get(key) != now.get(key):
                return _differing(before.get(key), now.get(key), f"{at}.{key}" if at else str(key))
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            if one != other:
                return _differing(one, other, f"{at}.{number}")
    return f"{at}: {before!r:.60} then, {now!r:.60} now"


# ---------------------------------------------------------------- losses


def losses_of(lines: Iterable[Mapping[str, Any]]) -> Losses:
    """What a phase logged, with the steps at which the loss jumped or was no number."""
    steps, values = [], []
    for line in lines:
        if "loss" in line and "step" in line:
            value = line["loss"]
            steps.append(int(line["step"]))
            values.append(round(float(value), 4) if value is not None and math.isfinite(value) else None)
    spikes = 0
    for i, value in enumerate(values):
        before = [v for v in values[max(0, i - BEFORE) : i] if v is not None]
        if value is not None and len(before) >= BEFORE // 2 and value > SPIKE * float(np.median(before)):
            spikes += 1
    return Losses(steps=steps, loss=values, spikes=spikes, not_finite=values.count(None))


# ---------------------------------------------------------------- statistics over seeds


class Mean(NamedTuple):
    """A mean over seeds with its 95 % interval (Student's t); None where one value has none."""

    value: float
    half: float | None
    seeds: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves 0 out, else 0."""
        if self.half is None or abs(self.value) <= self.half:
            return 0
        return 1 if self.value > 0 else -1


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of one value a seed."""
    number = len(values)
    half = None
    if number > 1:
        spread = float(np.std(values, ddof=1))
        half = float(stats.t.ppf(0.975, number - 1)) * spread / math.sqrt(number)
    return Mean(float(np.mean(values)), half, number)


def of_arm(results: Results, arm: str, task: str, figure: str, budget: int = 1) -> dict[int, float]:
    """Seed -> the value of one figure of an arm.

    Args:
        results: From `read_results`.
        arm: The name of the arm.
        task: The name of the task.
        figure: The name of the figure.
        budget: Of the runs.

    Returns:
        Those seeds that have one.
    """
    return {
        run.seed: result.figures[task][figure]
        for run, result in results.by_run.items()
        if run.arm == arm and run.budget == budget and figure in result.figures.get(task, {})
    }


def paired(ours: Mapping[int, float], reference: Mapping[int, float]) -> Mean | None:
    """The mean difference over the seeds that both have; None where they share none."""
    shared = sorted(set(ours) & set(reference))
    return mean_of([ours[seed] - reference[seed] for seed in shared]) if shared else None

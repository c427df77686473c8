"""Temperatures for a model's probabilities, fitted on validation clips and stored in its folder.

The log-likelihood of each label is divided by one number for each task, which does not change the likeliest label; the
number is the one under which the true labels are most probable (Guo et al., 2017, arXiv 1706.04599).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from nanoemox.checkpoints.load import BUNDLED, locate
from nanoemox.checkpoints.weight_files import WeightsError, read_object
from nanoemox.data.filtering import read_usable
from nanoemox.data.records import load_record
from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_json
from nanoemox.files.errors import ArgumentError
from nanoemox.files.listed import one_or_more
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Request
from nanoemox.media.untrusted import MediaError
from nanoemox.metrics.label_names import class_of
from nanoemox.tasks.closed import ClosedTask
from nanoemox.tasks.task import closed_tasks

logger = logging.getLogger(__name__)

BOUNDS = (0.05, 20.0)  # of a temperature
FEWEST = 10  # clips that a temperature may be fitted on


@dataclass(frozen=True)
class Temperature:
    """What was fitted for one task.

    Attributes:
        temperature: What log-likelihoods are divided by.
        n: The clips it was fitted on.
        loss_before: Mean of -log p of the true label, without it.
        loss: The same with it.
    """

    temperature: float
    n: int
    loss_before: float
    loss: float


@dataclass(frozen=True)
class CalibrationReport:
    """Temperatures by task, and what they were fitted on."""

    model: str
    manifest: str
    split: str
    tasks: dict[str, Temperature]
    left_out: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` writes."""
        return asdict(self)


def calibrate(
    model: str | Path,
    manifest: str | Path,
    tasks: str | Sequence[str] | None = None,
    split: str = "val",
    batch_size: int = 8,
    device: str = "cpu",
) -> CalibrationReport:
    """Fit a temperature for each closed task and store it in the model's folder.

    Args:
        model: A model folder, or a model that `nanoemox get` has fetched; its processor_config.json is changed.
        manifest: Labelled clips.
        tasks: Names of closed tasks; None, all that the clips have labels for.
        split: Which clips count: "val", or "train" where there are no others. Test clips are for testing.
        batch_size: Clips at a time.
        device: Where torch computes.

    Returns:
        What was fitted.

    Raises:
        NanoEmoXError: The model, the manifest or an argument cannot be used, or there are too few clips.
    """
    # Check what was asked for.
    folder = _folder(str(model))
    if split not in ("val", "train"):
        raise ArgumentError(f"split: expected val or train, got {split!r}; test clips are for testing")
    closed = closed_tasks()
    names = one_or_more(tasks) or list(closed)
    if unknown := [name for name in names if name not in closed]:
        raise ArgumentError(
            f"{', '.join(unknown)}: expected some of {', '.join(closed)}, whose labels have probabilities"
        )
    records, _ = read_usable(Path(manifest), None)
    records = [record for record in records if record.split == split]
    asked = {name: [r for r in records if closed[name].has_label(r.labels)] for name in names}
    usable = {name: found for name, found in asked.items() if len(found) >= FEWEST}
    if not usable:
        counts = ", ".join(f"{name} {len(found)}" for name, found in asked.items())
        raise ArgumentError(
            f"{manifest}: expected at least {FEWEST} clips of the split {split} with labels of a closed task, found "
            f"{counts}; give more, or another --split"
        )

    # Compute how likely the labels are, without a temperature that is there already.
    analyzer = EmotionAnalyzer.from_pretrained(folder, device, dtype="float32")
    wanted = [r for r in records if any(closed[name].has_label(r.labels) for name in usable)]
    scores: dict[str, list[tuple[NDArray[np.float64], int]]] = {name: [] for name in usable}
    left_out: list[str] = []
    for first in range(0, len(wanted), batch_size):
        batch: list[tuple[Record, Request]] = []
        for record in wanted[first : first + batch_size]:
            here = [name for name in usable if closed[name].has_label(record.labels)]
            try:
                clip = load_record(record, analyzer.processor.compat)
            except (MediaError, OSError) as error:
                logger.warning("%s: left out (%s)", record.id, error)
                left_out.append(record.id)
                continue
            offered = {name: list(closed[name].candidates(record.labels)) for name in here}
            batch.append((record, Request(clip, record.text, record.turns, here, offered)))
        found = analyzer.label_scores([request for _, request in batch]) if batch else []
        for (record, _), each in zip(batch, found, strict=True):
            for name, likelihoods in each.items():
                row = _row(closed[name], record, likelihoods)
                if row is not None:
                    scores[name].append(row)

    # Fit, and store what was fitted beside what is there.
    fitted = {name: fit(rows) for name, rows in scores.items() if len(rows) >= FEWEST}
    if not fitted:
        raise ArgumentError(
            f"{manifest}: expected at least {FEWEST} clips whose label is among the candidates, found fewer; "
            "name the candidates in the manifest"
        )
    path = folder / "processor_config.json"
    fields = read_object(path)
    stored = dict(fields.get("temperatures") or {})
    stored |= {name: each.temperature for name, each in fitted.items()}
    write_json(path, fields | {"temperatures": stored})
    return CalibrationReport(str(model), str(manifest), split, fitted, left_out)


def fit(rows: Sequence[tuple[NDArray[np.float64], int]]) -> Temperature:
    """The temperature under which the true labels are most probable.

    Args:
        rows: For each clip the log-likelihoods of its labels, and which of them is the true one.

    Returns:
        The temperature, with the loss before and after.
    """

    def loss(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        return float(np.mean([_loss(scores / temperature, true) for scores, true in rows]))

    low, high = (math.log(bound) for bound in BOUNDS)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    temperature = round(math.exp(float(found.x)), 4)
    return Temperature(temperature, len(rows), round(loss(0.0), 6), round(loss(math.log(temperature)), 6))


def _loss(scores: NDArray[np.float64], true: int) -> float:
    """-log of the softmax at the true label."""
    top = float(scores.max())
    return top + math.log(float(np.exp(scores - top).sum())) - float(scores[true])


def _row(
    task: ClosedTask[Any], record: Record, likelihoods: Mapping[str, float]
) -> tuple[NDArray[np.float64], int] | None:
    """The log-likelihoods of a clip's labels and the place of the true one; None if it is not offered."""
    label = task.label(record.labels)
    assert label is not None
    offered = list(likelihoods)
    classes = [class_of(name, offered) for name in offered]
    truth = task.true_class(label)
    if truth not in classes:
        return None
    return np.array(list(likelihoods.values()), dtype=np.float64), classes.index(truth)


def _folder(name: str) -> Path:
    """The folder of a model that may be changed. Errors: NanoEmoXError."""
    place = Path(locate(name))
    if name in BUNDLED and not Path(name).is_dir():
        raise WeightsError(
            f"{name}: comes with the package and is not changed (expected a model folder); copy it with "
            "`nanoemox export`"
        )
    if not place.is_dir():
        raise WeightsError(
            f"{name}: expected a model folder, since the temperatures are stored in it; name one"
        )
    return place

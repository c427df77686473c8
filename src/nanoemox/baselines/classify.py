"""A small network trained from nothing on one manifest, beside scikit-learn on the same clips and the same split.

It answers what the big model's figures leave open: how far does audio, video or text alone carry on this corpus? Either
another manifest is tested on (the report says how many of its speakers are in training, too), or the speakers are dealt
into folds, and each clip is labelled by a network that has not met its speaker. Where no speaker is named, a line
counts as one. Nothing is chosen on the test part: the number of steps is fixed, and C of the classical classifiers is
chosen on held-out speakers of the training part.
"""

from __future__ import annotations

import logging
import platform
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nanoemox.baselines import classical, fit
from nanoemox.baselines.examples import Example, read_examples
from nanoemox.baselines.fit import MODALITIES, SETTINGS, Settings
from nanoemox.files.atomic import write_json, write_jsonl
from nanoemox.files.errors import ArgumentError
from nanoemox.files.short_repr import ShortRepr
from nanoemox.metrics import classification
from nanoemox.metrics.bootstrap import Figure
from nanoemox.tasks.task import closed_tasks

logger = logging.getLogger(__name__)
NETWORK, MAJORITY = "network", "majority baseline"
MEASURES = {
    "accuracy": classification.accuracy,
    "unweighted_recall": classification.unweighted_recall,
    "weighted_f1": classification.weighted_f1,
}


@dataclass(frozen=True, repr=False)
class ClassifierReport(ShortRepr):
    """What `classify` measured. `to_dict` is what stands in report.json.

    n: how many clips were tested. speakers: how many people are named as their speakers; 0 where nobody is.
    speakers_in_training_too: how many of these speak in the training manifest, too; with folds always 0.
    labels: label -> clips tested. systems: network, classical classifier or majority baseline -> measure -> its value
    with an interval. left_out: id -> why.
    """

    manifest: str
    test: str
    modality: str
    task: str
    seed: int
    settings: Settings
    n: int
    speakers: int
    speakers_in_training_too: int
    labels: dict[str, int]
    systems: dict[str, dict[str, Figure]]
    left_out: dict[str, str]
    seconds: float
    machine: str

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for a JSON file."""
        return asdict(self)


def classify(
    manifest: str | Path,
    modality: str,
    task: str,
    out: str | Path,
    test: str | Path | None = None,
    folds: int = 4,
    seed: int = 0,
    steps: int | None = None,
) -> ClassifierReport:
    """Train on one modality, label every tested clip, and write `out`/report.json and `out`/predictions.jsonl.

    Args:
        manifest: The clips to train on. Without `test` they are tested, too, fold by fold.
        modality: audio, video or text.
        task: emotion, sentiment or intent.
        out: The folder to write.
        test: Another manifest to test on. None deals the speakers of `manifest` into folds.
        folds: The number of folds.
        seed: The seed of the folds, of the network's weights and of its views.
        steps: The number of training steps. None takes the modality's own.

    Returns:
        The figures of the network, of scikit-learn and of the majority baseline on the same clips.

    Raises:
        ArgumentError: if the modality or the task is unknown, or the clips are too few: there are fewer speakers than
            folds, or a network would be trained on one label.
        ManifestError: if a manifest has no two labels of the task on clips with the modality.
    """
    # Check what was asked for.
    for name, value, known in (("modality", modality, MODALITIES), ("task", task, closed_tasks())):
        if value not in known:
            raise ArgumentError(f"unknown {name} {value!r}: expected one of {', '.join(known)}")
    settings = SETTINGS[modality] if steps is None else replace(SETTINGS[modality], steps=steps)
    started = time.perf_counter()

    # Read the clips: those of the test manifest are counted after the others.
    train = read_examples(Path(manifest), modality, task)
    tested = read_examples(Path(test), modality, task) if test else None
    examples = [*train.clips, *(tested.clips if tested else ())]
    left_out = train.left_out | (tested.left_out if tested else {})
    logger.info("%d clips, %s, %d left out", len(examples), _whose(examples), len(left_out))

    # Fit every system on each training part and label the clips kept apart from it.
    answers: dict[str, dict[int, str]] = {}
    for train_rows, test_rows in _splits(train.clips, len(examples), folds, seed, Path(manifest)):
        learnt, asked = ([examples[i] for i in rows] for rows in (train_rows, test_rows))
        for system, predicted in _predictions(learnt, asked, modality, settings, seed).items():
            answers.setdefault(system, {}).update(zip(test_rows, predicted, strict=True))
        right = {
            system: sum(labels[i] == examples[i].label for i in test_rows) / len(test_rows)
            for system, labels in answers.items()
        }
        shares = ", ".join(f"{system} {share:.3f}" for system, share in right.items())
        logger.info("trained on %d, tested on %d: accuracy %s", len(learnt), len(asked), shares)

    # Score all tested clips together.
    rows = sorted(answers[NETWORK])
    asked = [examples[i] for i in rows]
    report = ClassifierReport(
        manifest=Path(manifest).name,
        test=Path(test).name
        if test
        else f"{folds} folds of {'speakers' if any(e.speaker for e in asked) else 'clips'}",
        modality=modality,
        task=task,
        seed=seed,
        settings=settings,
        n=len(asked),
        speakers=len(_speakers(asked)),
        speakers_in_training_too=len(_speakers(train.clips) & _speakers(asked)) if test else 0,
        labels=_counts(asked),
        systems=_figures(
            asked, {system: [labels[i] for i in rows] for system, labels in answers.items()}, seed
        ),
        left_out=left_out,
        seconds=round(time.perf_counter() - started, 1),
        machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
    )

    # Write the report, and the network's answer to each clip.
    write_json(Path(out) / "report.json", report.to_dict())
    write_jsonl(
        Path(out) / "predictions.jsonl",
        (
            {"id": e.id, "task": task, "truth": e.label, "label": answers[NETWORK][i]}
            for i, e in zip(rows, asked, strict=True)
        ),
    )
    return report


def _predictions(
    learnt: Sequence[Example], asked: Sequence[Example], modality: str, settings: Settings, seed: int
) -> dict[str, list[str]]:
    """System -> one label for each clip asked, all systems trained on the same clips."""
    labels = [example.label for example in learnt]
    groups = [example.group for example in learnt]
    read, tested = [e.network for e in learnt], [e.network for e in asked]
    found = {NETWORK: fit.fit_and_predict(modality, read, labels, tested, settings, seed)}
    read, tested = [e.baseline for e in learnt], [e.baseline for e in asked]
    for name, baseline in classical.baselines(modality).items():
        found[name] = classical.fit_and_predict(baseline, read, labels, groups, tested, seed)
    return found


def _speakers(examples: Iterable[Example]) -> set[str]:
    return {example.speaker for example in examples if example.speaker}


def _whose(examples: Sequence[Example]) -> str:
    """How many speakers are named, and how many clips are nobody's."""
    named, unnamed = len(_speakers(examples)), sum(not example.speaker for example in examples)
    if not named:
        return "no speaker is named"
    people = f"{named} speaker{'s' * (named > 1)}"
    return people + (f" and {unnamed} clips of nobody named" if unnamed else "")


def _counts(examples: Sequence[Example]) -> dict[str, int]:
    labels = [example.label for example in examples]
    return {label: labels.count(label) for label in sorted(set(labels))}


def _figures(
    asked: Sequence[Example], answers: Mapping[str, Sequence[str]], seed: int
) -> dict[str, dict[str, Figure]]:
    """System -> measure -> its value; intervals come from resampling whole speakers."""
    truth, speakers = [example.label for example in asked], [example.group for example in asked]
    counts = _counts(asked)
    majority = max(counts, key=lambda label: counts[label])
    systems = {**answers, MAJORITY: [majority] * len(truth)}
    return {
        system: {name: measure(truth, labels, speakers, seed) for name, measure in MEASURES.items()}
        for system, labels in systems.items()
    }


def _splits(
    train: Sequence[Example], number: int, folds: int, seed: int, manifest: Path
) -> list[tuple[list[int], list[int]]]:
    """Rows to train on and rows to test on: all that come after the training clips, or else fold by fold.

    Args:
        train: The clips to train on.
        number: How many clips there are in all.
        folds: How many folds.
        seed: The seed of the folds.
        manifest: Where the clips are from, for errors.

    Returns:
        The two parts of each fold; a fold that nobody is dealt into is left out.

    Raises:
        ArgumentError: If the clips are too few for the folds.
    """
    if number > len(train):
        return [(list(range(len(train))), list(range(len(train), number)))]
    from sklearn.model_selection import StratifiedGroupKFold

    # As many groups as folds, each with enough clips of a label that every fold can train on two labels.
    labels, groups = [e.label for e in train], [e.group for e in train]
    whose = "speakers" if _speakers(train) else "clips, as no speaker is named,"
    if len(set(groups)) < folds:
        raise ArgumentError(
            f"{manifest}: expected at least {folds} {whose} for {folds} folds, got {len(set(groups))}; lower --folds, "
            "or name another manifest with --test"
        )
    most = max(Counter(labels).values())
    if most < folds:
        raise ArgumentError(
            f"{manifest}: expected at least {folds} clips of one label for {folds} folds, got at most {most}; lower "
            "--folds, or add clips"
        )
    dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # that a label has fewer clips than there are folds
        warnings.simplefilter("ignore", UserWarning)
        found = [(a.tolist(), b.tolist()) for a, b in dealt.split(labels, labels, groups) if len(b)]
    for rows, _ in found:
        learnt = {labels[row] for row in rows}
        if len(learnt) < 2:
            raise ArgumentError(
                f"{manifest}: one of the {folds} folds would be trained on {len(rows)} clips of one label "
                f"({', '.join(learnt) or 'none'}); lower --folds, or add speakers with clips of several labels"
            )
    return found

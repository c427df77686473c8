"""Run a study: one training after another, each of which can be stopped and goes on, and one result file for each.

Features are computed once, from the frozen encoders. A run that has its result is not repeated; one that was killed
goes on from its last checkpoint when the same command is given again; two commands side by side never train the same
run. What is wrong with any arm, any result that is there, or any file is said before anything is trained.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock, Timeout

from nanoemox import __version__
from nanoemox.checkpoints.check_folder import check_folder
from nanoemox.checkpoints.load import load_config, load_model
from nanoemox.data.decoded_clips import Tensors
from nanoemox.data.extract_features import extract_features
from nanoemox.data.filtering import read_usable_manifests, to_train_on
from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_json
from nanoemox.files.short_repr import ShortRepr
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.tasks.closed import LabelTask
from nanoemox.tasks.task import TASKS
from nanoemox.training.curves import LOG
from nanoemox.training.p2e import decoded_clips, train_p2e, with_bundled
from nanoemox.training.recipe import P2ERecipe, RecipeError
from nanoemox.training.remedies import missing_manifest, missing_model
from nanoemox.training.study.arms import Run, Study, chosen, settings_of
from nanoemox.training.study.measure import TestClips, answers, figures, headlines, measure, tensors_of
from nanoemox.training.study.models import ArmFeatures, write_start
from nanoemox.training.study.results import (
    FORMAT,
    Losses,
    Materials,
    Result,
    Results,
    losses_of,
    read_results,
    result_path,
)
from nanoemox.training.trainer import threads

logger = logging.getLogger(__name__)
LABEL_TASKS = tuple(name for name, task in TASKS.items() if isinstance(task, LabelTask))
START = "start"  # the folder of the model that a run starts from


class StudyOutcome(NamedTuple):
    """What a command has done: the results that it wrote, and the runs that still lack one."""

    written: list[Path]
    missing: list[Run]


@dataclass(frozen=True, repr=False)
class _Bench(ShortRepr):
    """What all runs share."""

    study: Study
    base: P2ERecipe
    store: Tensors
    training: Sequence[Record]
    clips: TestClips
    materials: Materials
    experts: int
    device: str | None


def run_study(
    study: Study,
    only: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    device: str | None = None,
) -> StudyOutcome:
    """Train and measure all runs of a study that have no result yet.

    Args:
        study: From `load_study`.
        only: Names of arms; None, all.
        seeds: Seeds; None, all.
        device: "cpu" or "cuda"; None takes a GPU where there is one.

    Returns:
        What was written, and what is missing still.

    Raises:
        NanoEmoXError: If a result that is there is damaged or of another version, or a file is missing.
    """
    asked = chosen(study, only, seeds)
    found = read_results(study)
    check_results(study, found)
    todo = [run for run in asked if run in found.missing]
    written: list[Path] = []
    if todo:
        bench = _bench(study, found, device)
        for number, run in enumerate(todo, 1):
            logger.info("run %d of %d: %s", number, len(todo), run.name)
            path = _locked_run(bench, run)
            if path is not None:
                written.append(path)
                logger.info("run %s: wrote %s", run.name, path)
    return StudyOutcome(written, read_results(study).missing)


def check_results(study: Study, found: Results) -> None:
    """Refuse to add to results that do not belong together. Errors: RecipeError naming the first of them."""
    if found.left_out:
        name, why = next(iter(found.left_out.items()))
        more = f" (and {len(found.left_out) - 1} more)" if len(found.left_out) > 1 else ""
        raise RecipeError(
            f"{Path(study.recipe.results) / name}: {why}{more}; move it away, and the run is repeated, or write to "
            "another folder with --set results=NEW"
        )


# ---------------------------------------------------------------- before the first run


def _bench(study: Study, found: Results, device: str | None) -> _Bench:
    """Read what the runs share, and compute the features that are not stored yet."""
    base = with_bundled(next(iter(study.runs.values())))
    if not Path(base.model).is_dir():
        raise RecipeError(missing_model(base.model))
    if base.features is None:
        raise RecipeError(
            f"{study.path}: expected a feature store; name a folder with `set: {{features: DIR}}`"
        )
    named = _manifests(study)
    measured = study.recipe.measure
    for path in [*named, *measured.sets]:
        if not Path(path).is_file():
            raise RecipeError(missing_manifest(path))
    check_folder(Path(base.model))
    sets = _set_names(measured.sets)
    materials = Materials(
        model=_digest(sorted(Path(base.model).glob("*.safetensors"))),
        training={str(number): _digest([Path(path)]) for number, path in enumerate(named)},
        tests={name: _digest([Path(path)]) for name, path in sets.items()},
    )
    before = next(iter(found.by_run.values()), None)
    if before is not None and before.materials != materials:
        raise RecipeError(
            f"{study.recipe.results}: {before.run.name} was trained or measured on other files (the base model, or the "
            "clips); move the results away, or write to another folder with --set results=NEW"
        )

    # Read the clips, and their features.
    usable, _ = read_usable_manifests([*named, *measured.sets], base.quarantine)
    training = [record for path in named for record in to_train_on(usable[path])]
    tests = {name: usable[path][: measured.clips] for name, path in sets.items()}
    store = _store(base, training, [record for records in tests.values() for record in records])
    lost = [r.id for records in tests.values() for r in records if r.id not in store]
    if lost:
        raise RecipeError(
            f"{study.path}: {len(lost)} clips to measure on have no features, such as {lost[0]}; look at them with "
            "`nanoemox corpora doctor`, and leave them out of the manifest"
        )
    training = [record for record in training if record.id in store]
    config = load_config(base.model)
    return _Bench(
        study,
        base,
        tensors_of(store, [*training, *(r for records in tests.values() for r in records)]),
        training,
        TestClips(tests, measured.written, measured.muted),
        materials,
        config.fusion_experts,
        device,
    )


def _manifests(study: Study) -> list[str]:
    """The manifests that any run trains on."""
    return list(
        dict.fromkeys(
            path
            for recipe in study.runs.values()
            for paths in (recipe.manifests, *(phase.manifests or [] for phase in recipe.phases))
            for path in paths
        )
    )


def _set_names(paths: Sequence[str]) -> dict[str, str]:
    """Test sets by a short name: that of the folder, or of the file."""
    found: dict[str, str] = {}
    for path in paths:
        place = Path(path)
        name = place.parent.name if place.stem == "manifest" else place.stem
        if name in found:
            raise RecipeError(f"measure.sets: two are called {name}; rename the folder of one")
        found[name] = path
    return found


def _store(base: P2ERecipe, training: Sequence[Record], tests: Sequence[Record]) -> Tensors:
    """The features of all clips, those of clips to train on from decoded clips where there are any."""
    assert base.features is not None
    model, processor = load_model(base.model, "cpu", "auto")
    more = {"bf16": base.features_bf16, "dtype": base.features_dtype}
    if base.clips and (Path(base.clips) / "index.json").is_file():
        clips = decoded_clips(base.clips, training, processor, base.workers)
        extract_features(
            [record for record in training if record.id in clips],
            model,
            processor,
            base.features,
            base.workers,
            media=lambda record: clips.media(record.id, processor),
            **more,  # type: ignore[arg-type]
        )
    every = list({record.id: record for record in (*training, *tests)}.values())
    return extract_features(every, model, processor, base.features, base.workers, **more)  # type: ignore[arg-type]


def _digest(paths: Sequence[Path]) -> str:
    """Of the bytes of all files, one after another, which are never in memory as a whole."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()[:32]


# ---------------------------------------------------------------- one run


def _locked_run(bench: _Bench, run: Run) -> Path | None:
    """Train and measure one run, unless it is done by now or another process is at it."""
    path = result_path(bench.study, run)
    folder = Path(bench.study.runs[run].output)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            if path.is_file():
                logger.info("run %s: already there (%s)", run.name, path)
                return None
            return _one_run(bench, run, folder, path)
    except Timeout:
        logger.info("run %s: another process is at it", run.name)
        return None


def _one_run(bench: _Bench, run: Run, folder: Path, path: Path) -> Path:
    started, used = time.perf_counter(), time.process_time()
    arm, base = bench.study.recipe.arms[run.arm], bench.base
    store = ArmFeatures(bench.store, arm, bench.experts)

    # Train its phases, from where they were.
    start = folder / START
    resumed = (start / "config.json").is_file()
    if not resumed:
        write_start(base.model, arm, run.seed, bench.store, [r.id for r in bench.training], start)
    recipe = bench.study.runs[run].model_copy(update={"model": str(start)})
    train_p2e(recipe, None, True, bench.device, store)

    # Measure it, after every phase a little.
    measuring = time.perf_counter()
    last = recipe.phases[-1].name
    notes = {
        p.name: json.loads((folder / p.name / "phase.json").read_text(encoding="utf-8"))
        for p in recipe.phases
    }
    with threads(1):
        after = {phase.name: _after(bench, folder / phase.name, store, recipe) for phase in recipe.phases}
        analyzer = EmotionAnalyzer.from_pretrained(folder / last, "cpu", torch.float32)
        measured = measure(analyzer, bench.clips, store, arm.shown)
    seconds = {name: float(note["seconds"]) for name, note in notes.items()}
    result = Result(
        format=FORMAT,
        study=bench.study.recipe.name,
        arm=run.arm,
        seed=run.seed,
        budget=run.budget,
        nanoemox=__version__,
        settings=settings_of(bench.study, run),
        materials=bench.materials,
        phases=after,
        losses={phase.name: _losses(folder / phase.name) for phase in recipe.phases},
        realised={name: note["realised"]["tasks"] for name, note in notes.items()},
        trained={name: note["trained_parameters"] for name, note in notes.items()},
        seconds={**seconds, "measure": round(time.perf_counter() - measuring, 1)},
        processor_seconds=None if resumed else round(time.process_time() - used, 1),
        machine=f"{platform.machine()}, {platform.system()}, torch {torch.__version__}",
        **measured,
    )
    write_json(path, result.model_dump())

    # Keep the model of the last phase.
    for part in [START, *(phase.name for phase in recipe.phases[:-1])]:
        shutil.rmtree(folder / part, ignore_errors=True)
    logger.info("run %s: %.0f s", run.name, time.perf_counter() - started)
    return path


def _after(bench: _Bench, folder: Path, store: Tensors, recipe: P2ERecipe) -> dict[str, dict[str, float]]:
    """What the model can do after one phase: the closed tasks, through the modalities of each phase of the arm."""
    few = bench.clips.first(bench.clips.muted)
    if not few:
        return {}
    analyzer = EmotionAnalyzer.from_pretrained(folder, "cpu", torch.float32)
    views = list(dict.fromkeys(tuple(phase.modalities) for phase in recipe.phases))
    found = {}
    for view in views:
        predictions = answers(analyzer, few, store, lambda _: LABEL_TASKS, view)
        found["+".join(view)] = headlines(figures(few, predictions))
    return found


def _losses(folder: Path) -> Losses:
    lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    return losses_of([json.loads(line) for line in lines])

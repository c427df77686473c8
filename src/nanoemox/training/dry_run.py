"""A dry run: everything a recipe needs, looked at before hours are spent on it.

Files and counts per corpus and task, clips that cannot be read, disk for the feature store and the checkpoints, memory,
and the time, estimated from the first few steps of every phase, which the trainer takes as it would in the training.
Nothing is written.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import psutil
import torch
from torch import Tensor

from nanoemox.checkpoints.load import load_model
from nanoemox.data.decoded_clips import Tensors
from nanoemox.data.extract_features import encoders_in_float32
from nanoemox.data.feature_store import FeatureStore, clip_bytes, origin_of
from nanoemox.data.filtering import distinct, read_usable, to_train_on
from nanoemox.data.quarantine import quarantine_path
from nanoemox.data.records import load_record
from nanoemox.data.schema import MEDIA, Record
from nanoemox.files.errors import NanoEmoXError
from nanoemox.files.short_repr import ShortRepr
from nanoemox.media.untrusted import MediaError
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import trainable_parts
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.tasks.task import TASKS
from nanoemox.training.mixture import Examples, realised, schedule
from nanoemox.training.p2e import check_parts, plan_phase, start_model, with_bundled, with_lora
from nanoemox.training.recipe import (
    BackboneRecipe,
    P2ERecipe,
    Phase,
    RecipeError,
    StudyRecipe,
    load_recipe,
)
from nanoemox.training.remedies import missing_manifest, missing_model
from nanoemox.training.teacher import Teacher, check_teacher, open_teacher, taught
from nanoemox.training.trainer import on_cpu, time_steps

Loaded: TypeAlias = tuple[NanoEmoXForConditionalGeneration, NanoEmoXProcessor]
Tried: TypeAlias = Mapping[
    str, Mapping[str, Tensor] | str
]  # record id -> its tensors, or why it cannot be read

TIMED_STEPS = 4  # the first of them is not counted
ADAM_BYTES = 16  # of one trained parameter in float32: weight, gradient, two moments
KEPT_CHECKPOINTS = 3  # two, and one that is being written


class CorpusRow(NamedTuple):
    """What one manifest holds. clips: to train on. missing: with a file that is not there or empty."""

    manifest: str
    clips: int
    quarantined: int
    missing: list[str]
    unreadable: list[str]
    tried: int
    tasks: dict[str, int]


class PhaseRow(NamedTuple):
    """What one phase will do. step_s: seconds a step, None where it could not be timed."""

    name: str
    steps: int
    batch_size: int
    clips: int
    realised: dict[str, dict[str, int]]
    trained: int
    step_s: float | None


@dataclass(frozen=True, repr=False)
class DryRun(ShortRepr):
    """What was found; with any of `problems` the recipe cannot run."""

    recipe: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    corpora: tuple[CorpusRow, ...]
    phases: tuple[PhaseRow, ...]
    facts: Mapping[str, str]

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class _Found:
    """What one of the checks has to tell. `found + other` tells both."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: _Found) -> _Found:
        return _Found(self.problems + other.problems, self.notes + other.notes, {**self.facts, **other.facts})


def dry_run(
    recipe_path: str | Path,
    only: str | None = None,
    overrides: str | Sequence[str] = (),
    device: str | None = None,
) -> DryRun:
    """Check a recipe of the curriculum.

    Args:
        recipe_path: A YAML file, or the name of a recipe that ships with the package.
        only: The name of the one phase to check; None checks all of them.
        overrides: Changes of the recipe as `key=value` with dots.
        device: "cpu" or "cuda"; None takes a GPU where there is one.

    Returns:
        What was found.

    Raises:
        RecipeError: If the recipe itself cannot be used. What it needs and lacks is among the `problems`.
    """
    # Read the recipe, and choose the phases.
    recipe = load_recipe(recipe_path, overrides)
    if isinstance(recipe, BackboneRecipe):
        raise RecipeError(
            f"{recipe.name}: makes its own clips and needs nothing else; run it without --dry-run"
        )
    if isinstance(recipe, StudyRecipe):
        raise RecipeError(
            f"{recipe.name}: is a study of many trainings; `nanoemox study {recipe.name} --dry-run` lists them"
        )
    recipe = with_bundled(recipe)
    phases = [phase for phase in recipe.phases if only in (None, phase.name)]
    if not phases:
        raise RecipeError(
            f"unknown phase {only!r}; phases of {recipe.name} are: {', '.join(p.name for p in recipe.phases)}"
        )
    device = "cpu" if on_cpu(device) else "cuda"

    # What is there: manifests and their records, and the model to start from.
    records, quarantined, found = _records(recipe, phases)
    loaded, trouble = _load(recipe, phases, device)
    found += trouble

    # What each phase will do, and how long its steps take.
    tried: Tried = {}
    rows: list[PhaseRow] = []
    encode_s = 0.0
    for phase in phases:
        of_phase = [r for path in phase.manifests or recipe.manifests for r in records.get(path, [])]
        checked = _phase(recipe, phase, of_phase, loaded, tried)
        tried, encode_s = checked.tried, max(encode_s, checked.encode_s)
        rows.append(checked.row)
        found += checked.found
    corpora, broken = _corpora(records, quarantined, tried)
    found += broken

    # What all of it takes.
    needed = {record.id: record for of_manifest in records.values() for record in of_manifest}
    if loaded is not None:
        found += _disk(recipe, rows, needed, loaded[0])
    if rows and all(row.step_s is not None for row in rows):
        steps_s = sum(row.steps * (row.step_s or 0) for row in rows)
        encoding_s = encode_s * len(needed) if recipe.features else 0.0
        time_needed = (
            f"{_hours(encoding_s + steps_s)}: {_hours(encoding_s)} to encode {len(needed)} clips "
            f"({encode_s:.2f} s a clip), {_hours(steps_s)} of steps (estimated from {TIMED_STEPS} steps "
            f"a phase on {device}; the checks after each phase come on top)"
        )
        found += _Found(facts={"time": time_needed})
    return DryRun(recipe.name, found.problems, found.notes, corpora, tuple(rows), found.facts)


# ---------------------------------------------------------------- what there is


def _records(
    recipe: P2ERecipe, phases: Sequence[Phase]
) -> tuple[dict[str, list[Record]], dict[str, int], _Found]:
    """Training records and how many are quarantined, both by manifest, and what is wrong with the manifests."""
    validation = [recipe.validation] if isinstance(recipe.validation, str) else recipe.validation or []
    wanted = dict.fromkeys([*(m for p in phases for m in p.manifests or recipe.manifests)])
    usable: dict[str, list[Record]] = {}
    quarantined: dict[str, int] = {}
    problems: list[str] = []
    notes: list[str] = []
    for path in dict.fromkeys([*wanted, *validation]):
        if not Path(path).is_file():
            problems.append(missing_manifest(path))
            continue
        try:
            usable[path], left_out = read_usable(path, recipe.quarantine)
        except NanoEmoXError as error:
            problems.append(str(error))
            continue
        quarantined[path] = len(left_out.quarantined.get(path, {}))
        if not quarantine_path(path).is_file():
            notes.append(f"{path}: the doctor has not been here; `nanoemox corpora doctor {path}`")
    records = {path: to_train_on(rows) for path, rows in distinct(usable).items() if path in wanted}
    problems += [
        f"{path}: no line belongs to the split train; nothing to train on"
        for path, rows in records.items()
        if not rows
    ]
    return records, quarantined, _Found(tuple(problems), tuple(notes))


def _is_there(record: Record) -> bool:
    try:
        paths = [Path(path) for kind in MEDIA if (path := getattr(record, kind))]
        return all(path.is_dir() or path.stat().st_size > 0 for path in paths)
    except OSError:
        return False


def _load(recipe: P2ERecipe, phases: Sequence[Phase], device: str) -> tuple[Loaded | None, _Found]:
    """The model to start from, or what is wrong with it or with the features that are stored for it."""
    if not (Path(recipe.model) / "config.json").is_file():
        return None, _Found((missing_model(recipe.model),))
    try:
        model, processor = load_model(recipe.model, device, dtype="auto")
        check_parts(recipe.model, phases, model.parts())
        if recipe.features and (Path(recipe.features) / "store.json").is_file():
            FeatureStore(recipe.features, origin_of(model, processor))
    except NanoEmoXError as error:
        return None, _Found((str(error),))
    return (model.eval(), processor), _Found()


# ---------------------------------------------------------------- what a phase does


class _CheckedPhase(NamedTuple):
    """encode_s: seconds that a clip takes to decode and encode. tried: all clips that were tried so far."""

    row: PhaseRow
    encode_s: float
    tried: Tried
    found: _Found


def _phase(
    recipe: P2ERecipe, phase: Phase, records: Sequence[Record], loaded: Loaded | None, tried: Tried
) -> _CheckedPhase:
    """Plan one phase, and time its first steps."""
    # Choose the examples, as the training will.
    seed = recipe.seed + recipe.phases.index(phase)
    found = _Found()
    try:
        scheduled = schedule(records, phase, seed) if records else []
    except NanoEmoXError as error:
        found += _Found((f"phase {phase.name}: {error}",))
        scheduled = []
    counts = realised(scheduled, records) if scheduled else {}
    clips = len({example.record for example in scheduled})
    row = PhaseRow(phase.name, phase.steps, phase.batch_size, clips, counts, 0, None)
    if loaded is None or not scheduled:
        return _CheckedPhase(row, 0.0, tried, found)

    # Decode and encode the clips of the first steps.
    model, processor = loaded
    first = scheduled[: TIMED_STEPS * phase.batch_size]
    of_first = {records[example.record].id: records[example.record] for example in first}
    new, encode_s = _encode(
        [r for name, r in of_first.items() if name not in tried], model, processor, recipe
    )
    tried = {**tried, **new}
    stored = {name: value for name, value in tried.items() if not isinstance(value, str)}
    readable = [example for example in first if records[example.record].id in stored]
    steps = len(readable) // phase.batch_size
    if not steps:
        return _CheckedPhase(row, encode_s, tried, found)

    # Take the steps. What earlier phases train is not there yet, and takes as long as what the model holds now.
    whole: Any = start_model(recipe, phase.model_copy(update={"after": []}))
    whole = with_lora(whole, phase) if phase.lora else whole
    trained = sum(trainable_parts(whole, phase.train, phase.frozen).values())
    examples: Any = Examples(records, readable[: steps * phase.batch_size], stored, processor)
    device = model.device.type
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if phase.distillation is not None:
        clips_read = [record for name, record in of_first.items() if name in stored]
        try:
            teacher, facts, teacher_s = _teacher(recipe, phase, loaded, clips_read, stored)
        except NanoEmoXError as error:
            found += _Found((f"phase {phase.name}: {error}",))
            return _CheckedPhase(row._replace(trained=trained), encode_s, tried, found)
        at_once = phase.distillation.model_copy(
            update={"ramp_steps": 0}
        )  # its first step asks the teacher, too
        whole, examples = taught(whole, examples, teacher, at_once, seed)
        found, encode_s = found + facts, encode_s + teacher_s
    short = phase.model_copy(update={"steps": steps})
    seconds = time_steps(plan_phase(whole, examples, short, seed, device)).seconds
    step_s = statistics.median_high(seconds[1:] or seconds)  # the first one warms up
    found += _memory(recipe, phase, trained, _most_memory_bytes(device), device)
    return _CheckedPhase(row._replace(trained=trained, step_s=step_s), encode_s, tried, found)


def _teacher(
    recipe: P2ERecipe, phase: Phase, loaded: Loaded, records: Sequence[Record], stored: Tensors
) -> tuple[Teacher, _Found, float]:
    """The teacher of a phase, what its features take on disk, and the seconds that a clip takes to encode.

    Args:
        recipe: What is to be trained.
        phase: Names its teacher under `distillation`.
        loaded: The student.
        records: The clips of its first steps.
        stored: What the student reads of them.

    Returns:
        The teacher, what was found, and the seconds; no seconds where it has the student's encoders.

    Raises:
        NanoEmoXError: If it cannot teach this student.
    """
    student, processor = loaded
    folder, model, own = open_teacher(phase, records, processor, student.device.type)
    if origin_of(model, own) == origin_of(student, processor):
        return Teacher(model, own, stored), _Found(), 0.0
    new, teacher_s = _encode(records, model, own, recipe)
    read = {name: value for name, value in new.items() if not isinstance(value, str)}
    each = clip_bytes(cast(NanoEmoXConfig, model.config), recipe.features_dtype or "float32")
    size = f"{each / 1000:.0f} kB a clip beside those of the model" if recipe.features else "none"
    return Teacher(model, own, read), _Found(facts={f"disk, features of {folder.name}": size}), teacher_s


def _encode(
    records: Iterable[Record],
    model: NanoEmoXForConditionalGeneration,
    processor: NanoEmoXProcessor,
    recipe: P2ERecipe,
) -> tuple[Tried, float]:
    """Decode and encode records: what came of each, and the seconds that a clip takes."""
    tried: dict[str, Mapping[str, Tensor] | str] = {}
    decode_s, encode_s, number = 0.0, 0.0, 0
    stored = recipe.features is not None and recipe.features_dtype != "bfloat16"
    exact = stored and not recipe.features_bf16  # as the training will compute them
    with encoders_in_float32(model, exact):
        for record in records:
            started = time.perf_counter()
            try:
                media = processor.media(load_record(record, processor.compat))
            except (MediaError, OSError) as error:
                tried[record.id] = " ".join(str(error).split())
                continue
            decoded = time.perf_counter()
            inputs = {name: value[None].to(model.device) for name, value in media.items()}
            kind = model.device.type
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=recipe.features_bf16):
                features = {n: v[0].float().cpu() for n, v in model.encode(**inputs).items()}
            tried[record.id] = media if recipe.features is None else features
            decode_s, encode_s = decode_s + decoded - started, encode_s + time.perf_counter() - decoded
            number += 1
    return tried, max(decode_s / max(1, recipe.workers), encode_s) / max(1, number)


def _most_memory_bytes(device: str) -> int:
    """The most memory that was in use: of the GPU since it was last reset, of the process since it began."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# ---------------------------------------------------------------- what it takes


def _corpora(
    records: Mapping[str, Sequence[Record]], quarantined: Mapping[str, int], tried: Tried
) -> tuple[tuple[CorpusRow, ...], _Found]:
    """A row for each manifest, and which of its clips have no file or could not be read when they were tried."""
    corpora: list[CorpusRow] = []
    problems: list[str] = []
    for path, rows in records.items():
        labelled = {t: sum(bool(TASKS[t].target(r.labels)) for r in rows) for t in TASKS}
        missing = [record.id for record in rows if not _is_there(record)]
        of_path = [record.id for record in rows if record.id in tried]
        unreadable = {name: why for name in of_path if isinstance(why := tried[name], str)}
        if missing:
            shown = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
            problems.append(
                f"{path}: {len(missing)} clips have no file, or an empty one ({shown}); run the doctor on it"
            )
        problems += [
            f"{path}: {name} cannot be read ({why}); run the doctor on it"
            for name, why in unreadable.items()
            if name not in missing
        ]
        tasks = {task: count for task, count in labelled.items() if count}
        corpora.append(
            CorpusRow(path, len(rows), quarantined[path], missing, list(unreadable), len(of_path), tasks)
        )
    return tuple(corpora), _Found(tuple(problems))


def _memory(recipe: P2ERecipe, phase: Phase, trained: int, measured: int, device: str) -> _Found:
    weights = _weights_bytes(Path(recipe.model))
    if phase.distillation is not None:
        weights += _weights_bytes(check_teacher(phase.distillation.teacher))
    least = weights + trained * ADAM_BYTES
    there = (
        torch.cuda.get_device_properties(0).total_memory
        if device == "cuda"
        else psutil.virtual_memory().total
    )
    facts = {
        f"memory, phase {phase.name}": (
            f"{_size(least)} for weights, gradients and Adam; {_size(measured)} at most while its steps were timed; "
            f"{device} has {_size(there)}"
        )
    }
    if least <= there:
        return _Found(facts=facts)
    problem = (
        f"phase {phase.name}: needs at least {_size(least)}, {device} has {_size(there)}; use a larger one"
    )
    return _Found((problem,), facts=facts)


def _disk(
    recipe: P2ERecipe,
    phases: Sequence[PhaseRow],
    needed: Mapping[str, Record],
    model: NanoEmoXForConditionalGeneration,
) -> _Found:
    stored, dtype = 0, recipe.features_dtype or "float32"
    if recipe.features and (Path(recipe.features) / "store.json").is_file():
        store = FeatureStore(recipe.features)
        stored, dtype = sum(name in store for name in needed), store.header["dtype"]
    each = clip_bytes(cast(NanoEmoXConfig, model.config), dtype)
    features = each * (len(needed) - stored) if recipe.features else 0
    weights = _weights_bytes(Path(recipe.model))
    trained = max((row.trained for row in phases), default=0)
    runs = weights * len(phases) + KEPT_CHECKPOINTS * (weights + 12 * trained)
    facts = {
        "disk, features": (
            f"{_size(features)}: {len(needed) - stored} clips of {each / 1000:.0f} kB ({dtype}), {stored} are there"
            if recipe.features
            else "none: clips are encoded at every step"
        ),
        "disk, models": f"{_size(runs)}: the models of all phases, and checkpoints while they run",
    }
    problems = []
    places = Counter({_mounted(Path(recipe.output)): runs})
    places[_mounted(Path(recipe.features or recipe.output))] += features
    for place, size in places.items():
        free = shutil.disk_usage(place).free
        facts[f"disk, free at {place}"] = _size(free)
        if size > free:
            problems.append(f"{place}: {_size(size)} needed, {_size(free)} free; make room, or move it")
    return _Found(tuple(problems), facts=facts)


def _mounted(path: Path) -> Path:
    """The nearest folder above that exists."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.is_dir())


def _weights_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _size(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"

"""A dry run: everything a recipe needs, looked at before hours are spent on it.

Files and counts per corpus and task, clips that cannot be read, disk for the feature store and the checkpoints, memory,
and the time, estimated from the first few steps of every phase as they would really be taken. Nothing is written.
"""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import psutil
import torch
from torch import Tensor, nn

from nanoemox.corpora.prepare import CORPORA
from nanoemox.data.feature_store import FeatureStore, clip_bytes, origin_of
from nanoemox.data.filtering import LeftOut, distinct, read_usable, to_train_on
from nanoemox.data.manifest import ManifestError
from nanoemox.data.quarantine import quarantine_path
from nanoemox.data.records import load_record
from nanoemox.data.schema import MEDIA, Record
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import trainable_parts
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.tasks.task import TASKS
from nanoemox.training.mixture import Examples, realised, schedule
from nanoemox.training.p2e import diversity_loss, start_model, with_bundled, with_lora
from nanoemox.training.recipe import BackboneRecipe, P2ERecipe, Phase, RecipeError, load_recipe
from nanoemox.training.trainer import threads

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


@dataclass
class DryRun:
    """What was found; with any of `problems` the recipe cannot run."""

    recipe: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    corpora: list[CorpusRow] = field(default_factory=list)
    phases: list[PhaseRow] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems


class Timed(NamedTuple):
    """Median seconds a step, its first loss, and the most memory that was in use."""

    step_s: float
    loss: float
    memory_bytes: int


def dry_run(recipe_path: str | Path, only: str | None = None, overrides: Sequence[str] = ()) -> DryRun:
    """Check a recipe of the curriculum, or one phase of it. Errors: RecipeError for a recipe that cannot be read."""
    recipe = load_recipe(recipe_path, overrides)
    if isinstance(recipe, BackboneRecipe):
        raise RecipeError(
            f"{recipe.name}: stages its own clips and needs nothing else; run it without --dry-run"
        )
    recipe = with_bundled(recipe)
    phases = [phase for phase in recipe.phases if only in (None, phase.name)]
    if not phases:
        raise RecipeError(
            f"unknown phase {only!r}; phases of {recipe.name} are: {', '.join(p.name for p in recipe.phases)}"
        )
    report = DryRun(recipe.name)
    records = _records(recipe, phases, report)
    model = _model(recipe, report)
    tried: dict[str, Mapping[str, Tensor] | str] = {}
    encode_s = 0.0
    for phase in phases:
        rows = [r for path in phase.manifests or recipe.manifests for r in records.get(path, [])]
        encode_s = max(encode_s, _phase(recipe, phase, rows, model, tried, report))
    _corpora(records, tried, report)
    needed = {record.id: record for rows in records.values() for record in rows}
    if model is not None:
        _disk(recipe, phases, needed, model[0], report)
    timed = [phase for phase in report.phases if phase.step_s is not None]
    if timed and len(timed) == len(report.phases):
        steps_s = sum(phase.steps * (phase.step_s or 0) for phase in timed)
        encoding_s = encode_s * len(needed) if recipe.features else 0.0
        report.facts["time"] = (
            f"{_hours(encoding_s + steps_s)}: {_hours(encoding_s)} to encode {len(needed)} clips "
            f"({encode_s:.2f} s a clip), {_hours(steps_s)} of steps (estimated from {TIMED_STEPS} steps "
            f"a phase on {_device()}; the checks after each phase come on top)"
        )
    return report


# ---------------------------------------------------------------- what there is


def _records(recipe: P2ERecipe, phases: Sequence[Phase], report: DryRun) -> dict[str, list[Record]]:
    """Training records by manifest; what is wrong with a manifest is a problem."""
    validation = [recipe.validation] if isinstance(recipe.validation, str) else recipe.validation or []
    wanted = dict.fromkeys([*(m for p in phases for m in p.manifests or recipe.manifests)])
    left_out, usable = LeftOut(), {}
    for path in dict.fromkeys([*wanted, *validation]):
        if not Path(path).is_file():
            report.problems.append(_missing_manifest(path))
            continue
        try:
            usable[path] = read_usable(path, left_out, recipe.quarantine)
        except ManifestError as error:
            report.problems.append(str(error))
            continue
        if not quarantine_path(path).is_file():
            report.notes.append(f"{path}: the doctor has not been here; `nanoemox corpora doctor {path}`")
    records = {path: to_train_on(rows) for path, rows in distinct(usable).items() if path in wanted}
    for path, rows in records.items():
        labelled = {t: sum(bool(TASKS[t].target(r.labels)) for r in rows) for t in TASKS}
        missing = [record.id for record in rows if not _is_there(record)]
        if missing:
            shown = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
            report.problems.append(
                f"{path}: {len(missing)} clips have no file, or an empty one ({shown}); run the doctor on it"
            )
        if not rows:
            report.problems.append(f"{path}: no line belongs to the split train; nothing to train on")
        quarantined = len(left_out.quarantined.get(path, {}))
        tasks = {task: count for task, count in labelled.items() if count}
        report.corpora.append(CorpusRow(path, len(rows), quarantined, missing, [], 0, tasks))
    return records


def _missing_manifest(path: str) -> str:
    corpus = CORPORA.get(Path(path).stem)
    if corpus is None:
        return f"{path}: no such manifest; write it, or let `nanoemox corpora prepare` do it"
    return (
        f"{path}: no such manifest. Get {corpus.title} ({corpus.size}) from {corpus.where}, unpack it into "
        f"{Path(path).parent}, then `nanoemox corpora prepare {corpus.name} {Path(path).parent} {path}`"
    )


def _is_there(record: Record) -> bool:
    try:
        paths = [Path(path) for kind in MEDIA if (path := getattr(record, kind))]
        return all(path.is_dir() or path.stat().st_size > 0 for path in paths)
    except OSError:
        return False


def _model(
    recipe: P2ERecipe, report: DryRun
) -> tuple[NanoEmoXForConditionalGeneration, NanoEmoXProcessor] | None:
    if not (Path(recipe.model) / "config.json").is_file():
        name = Path(recipe.model).name
        made = f"nanoemox assemble {recipe.model}" if name == "nano" else "nanoemox train pico_backbones"
        report.problems.append(
            f"{recipe.model}: no model folder to start from; `{made}`, or `--set model=pico`"
        )
        return None
    try:
        model = NanoEmoXForConditionalGeneration.from_pretrained(recipe.model).eval().to(_device())
        processor = NanoEmoXProcessor.from_pretrained(recipe.model)
        if recipe.features and (Path(recipe.features) / "store.json").is_file():
            FeatureStore(recipe.features, origin_of(model, processor))
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        report.problems.append(" ".join(str(error).split()))
        return None
    return model, processor


# ---------------------------------------------------------------- what a phase does


def _phase(
    recipe: P2ERecipe,
    phase: Phase,
    rows: Sequence[Record],
    model: tuple[NanoEmoXForConditionalGeneration, NanoEmoXProcessor] | None,
    tried: dict[str, Mapping[str, Tensor] | str],
    report: DryRun,
) -> float:
    """Plan and time one phase; returns the seconds that a clip takes to decode and encode."""
    try:
        scheduled = schedule(rows, phase, recipe.seed + recipe.phases.index(phase)) if rows else []
    except ValueError as error:
        report.problems.append(f"phase {phase.name}: {error}")
        scheduled = []
    counts = realised(scheduled, rows) if scheduled else {}
    clips = len({example.record for example in scheduled})
    row = PhaseRow(phase.name, phase.steps, phase.batch_size, clips, counts, 0, None)
    encode_s = 0.0
    if model is not None and scheduled:
        first = scheduled[: TIMED_STEPS * phase.batch_size]
        encode_s = _encode([rows[example.record] for example in first], *model, recipe, tried)
        readable = [example for example in first if not isinstance(tried[rows[example.record].id], str)]
        readable = readable[: len(readable) // phase.batch_size * phase.batch_size]
        if readable:
            whole: Any = start_model(recipe, phase.model_copy(update={"after": []}))
            whole = with_lora(whole, phase) if phase.lora else whole
            trained = sum(trainable_parts(whole, phase.train).values())
            stored = {name: value for name, value in tried.items() if not isinstance(value, str)}
            timed = time_steps(whole, Examples(rows, readable, stored, model[1]), phase)
            row = row._replace(trained=trained, step_s=timed.step_s)
            _memory(recipe, phase, trained, timed.memory_bytes, report)
    report.phases.append(row)
    return encode_s


def _encode(
    records: Sequence[Record],
    model: NanoEmoXForConditionalGeneration,
    processor: NanoEmoXProcessor,
    recipe: P2ERecipe,
    tried: dict[str, Mapping[str, Tensor] | str],
) -> float:
    """Decode and encode the records that were not tried yet; seconds a clip."""
    decode_s, encode_s, number = 0.0, 0.0, 0
    for record in records:
        if record.id in tried:
            continue
        started = time.perf_counter()
        try:
            media = processor.media(load_record(record, processor.compat))
        except (ValueError, OSError) as error:
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
    return max(decode_s / max(1, recipe.workers), encode_s) / max(1, number)


def time_steps(model: nn.Module, examples: Examples, phase: Phase) -> Timed:
    """Take steps of `phase.batch_size` examples each, as the trainer does; the first is a warm-up if there are more."""
    device = _device()
    model.to(device).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=phase.learning_rate)
    extra = diversity_loss(phase.diversity) if phase.diversity else None
    taken, losses = [], []
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with threads(phase.threads):
        for start in range(0, len(examples), phase.batch_size):
            began = time.perf_counter()
            rows = [examples[i] for i in range(start, start + phase.batch_size)]
            batch = {name: value.to(device) for name, value in examples.collate(rows).items()}
            with torch.autocast(device, torch.bfloat16, enabled=phase.bf16):
                loss = model(**batch).loss
                loss = loss if extra is None else loss + extra(model, batch)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, phase.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))  # waits for the device
            taken.append(time.perf_counter() - began)
    counted = sorted(taken[1:] or taken)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = peak if sys.platform == "darwin" else peak * 1024
    if device == "cuda":
        memory = torch.cuda.max_memory_allocated()
    return Timed(counted[len(counted) // 2], losses[0], memory)


# ---------------------------------------------------------------- what it takes


def _corpora(
    records: Mapping[str, Sequence[Record]],
    tried: Mapping[str, Mapping[str, Tensor] | str],
    report: DryRun,
) -> None:
    """Which of the clips that were tried cannot be read."""
    for i, row in enumerate(report.corpora):
        names = [record.id for record in records[row.manifest] if record.id in tried]
        broken = [name for name in names if isinstance(tried[name], str)]
        report.corpora[i] = row._replace(unreadable=broken, tried=len(names))
        for name in broken:
            if name not in row.missing:
                report.problems.append(
                    f"{row.manifest}: {name} cannot be read ({tried[name]}); run the doctor on it"
                )


def _memory(recipe: P2ERecipe, phase: Phase, trained: int, measured: int, report: DryRun) -> None:
    device = _device()
    weights = _weights_bytes(Path(recipe.model))
    least = weights + trained * ADAM_BYTES
    there = (
        torch.cuda.get_device_properties(0).total_memory
        if device == "cuda"
        else psutil.virtual_memory().total
    )
    report.facts[f"memory, phase {phase.name}"] = (
        f"{_size(least)} for weights, gradients and Adam; {_size(measured)} at most while its steps were timed; "
        f"{device} has {_size(there)}"
    )
    if least > there:
        report.problems.append(
            f"phase {phase.name}: needs at least {_size(least)}, {device} has {_size(there)}; use a larger one"
        )


def _disk(
    recipe: P2ERecipe,
    phases: Sequence[Phase],
    needed: Mapping[str, Record],
    model: NanoEmoXForConditionalGeneration,
    report: DryRun,
) -> None:
    stored, dtype = 0, recipe.features_dtype or "float32"
    if recipe.features and (Path(recipe.features) / "store.json").is_file():
        store = FeatureStore(recipe.features)
        stored, dtype = sum(name in store for name in needed), store.header["dtype"]
    each = clip_bytes(cast(NanoEmoXConfig, model.config), dtype)
    features = each * (len(needed) - stored) if recipe.features else 0
    weights = _weights_bytes(Path(recipe.model))
    trained = max((row.trained for row in report.phases), default=0)
    runs = weights * len(phases) + KEPT_CHECKPOINTS * (weights + 12 * trained)
    report.facts["disk, features"] = (
        f"{_size(features)}: {len(needed) - stored} clips of {each / 1000:.0f} kB ({dtype}), {stored} are there"
        if recipe.features
        else "none: clips are encoded at every step"
    )
    report.facts["disk, models"] = f"{_size(runs)}: {len(phases)} phases, and checkpoints while they run"
    places = Counter({_mounted(Path(recipe.output)): runs})
    places[_mounted(Path(recipe.features or recipe.output))] += features
    for place, size in places.items():
        free = shutil.disk_usage(place).free
        report.facts[f"disk, free at {place}"] = _size(free)
        if size > free:
            report.problems.append(
                f"{place}: {_size(size)} needed, {_size(free)} free; make room, or move it"
            )


def _mounted(path: Path) -> Path:
    """The nearest folder above that exists."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.is_dir())


def _weights_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _size(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"

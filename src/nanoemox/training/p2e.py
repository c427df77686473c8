"""P2E, the curriculum from perception to empathy (paper sec. 3.4), run from a recipe.

A phase trains some parts on some tasks through some modalities; all else is frozen, the encoders always. Each
phase leaves a folder that loads like any model, with `phase.json` (settings, realised counts, versions),
`diagnostics.json` and `log.jsonl` beside the weights. Phases build on the trained parts of those named under `after`.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import set_seed

from nanoemox import __version__
from nanoemox.checkpoints.check_folder import check_folder
from nanoemox.checkpoints.load import BUNDLED, load_config, load_model, load_processor, locate
from nanoemox.checkpoints.provenance import add_steps, tuned
from nanoemox.checkpoints.weight_files import Weights, open_weights, raise_problems
from nanoemox.data.decoded_clips import DecodedClips, LiveMedia, Tensors, decode_clips
from nanoemox.data.extract_features import extract_features
from nanoemox.data.feature_store import FeatureStore, StaleStoreError, origin_of
from nanoemox.data.filtering import LeftOut, read_usable_manifests, to_train_on, to_validate_on
from nanoemox.data.schema import Record
from nanoemox.files.atomic import whole_folder, write_json
from nanoemox.model.configuration_nanoemox import PARTS
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import lora_targets, part_of, skeleton_of, trainable_parts
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.training.diagnostics import FEW_CLIPS, diagnose
from nanoemox.training.distillation import is_head
from nanoemox.training.mixture import Examples, realised, schedule
from nanoemox.training.recipe import P2ERecipe, Phase, RecipeError
from nanoemox.training.remedies import missing_manifest, missing_model
from nanoemox.training.teacher import TaughtExamples, check_teacher, load_teacher, taught, teacher_name
from nanoemox.training.trainer import (
    ByLength,
    TrainingPlan,
    check_not_there,
    fit,
    on_cpu,
    work_folder,
)

logger = logging.getLogger(__name__)


class TrainingResult(NamedTuple):
    """What a training run leaves: the model folder that it wrote last, and the clips that it did without."""

    folder: Path
    left_out: LeftOut


@dataclass(frozen=True)
class _Run:
    """What all phases of a run share."""

    recipe: P2ERecipe
    processor: NanoEmoXProcessor
    store: Tensors
    validation: Sequence[Record]
    resume: bool
    device: str | None


def train_p2e(
    recipe: P2ERecipe,
    only: str | None = None,
    resume: bool = False,
    device: str | None = None,
    store: Tensors | None = None,
) -> TrainingResult:
    """Run the phases of a curriculum in order.

    Args:
        recipe: What to train, on what.
        only: The name of the one phase to run; None runs all of them.
        resume: Keep phases that are finished, and go on from the last checkpoint of one that is not.
        device: "cpu" or "cuda"; None takes a GPU where there is one.
        store: What the phases read of the clips, made by whoever knows that it fits the model's encoders; None opens or
            fills the store of the recipe.

    Returns:
        The folder of the last phase that ran, and the clips that were left out.

    Raises:
        NanoEmoXError: RecipeError for what the recipe names, WeightsError for its model folder, ManifestError and
            StaleStoreError for its data.
    """
    names = [phase.name for phase in recipe.phases]
    if only is not None and only not in names:
        raise RecipeError(f"unknown phase {only!r}; phases of {recipe.name} are: {', '.join(names)}")
    recipe = with_bundled(recipe)
    if not Path(recipe.model).is_dir():
        raise RecipeError(missing_model(recipe.model))
    for path in (path for paths in _manifests(recipe) for path in paths):
        if not Path(path).is_file():
            raise RecipeError(missing_manifest(path))
    check_folder(Path(recipe.model))
    running = [phase for phase in recipe.phases if only in (None, phase.name)]
    for phase in running:
        check_not_there(Path(recipe.output) / phase.name, resume)
    check_parts(recipe.model, running, skeleton_of(load_config(recipe.model)).parts())
    for phase in running:
        if phase.distillation is not None:
            check_teacher(phase.distillation.teacher)

    # Read everything that the phases need: the records, and what each of them looks and sounds like.
    processor = load_processor(recipe.model)
    output = Path(recipe.output)
    records, validation, left_out = read_records(recipe)
    needed = list({r.id: r for rows in (*records.values(), validation) for r in rows}.values())
    unreadable: dict[str, str] = {}
    if store is None:
        store, unreadable = _tensors(recipe, needed, processor, device)
    faults = {
        path: {r.id: unreadable.get(r.id, "has no features") for r in rows if r.id not in store}
        for path, rows in records.items()
    }
    left_out |= LeftOut(faults=faults)
    write_json(output / "left_out.json", left_out.to_dict())

    # Train the phases, one model folder each.
    run = _Run(recipe, processor, store, validation, resume, device)
    folder = output
    for phase in running:
        folder = output / phase.name
        if resume and _is_done(folder, phase):
            logger.info("phase %s: already there (%s)", phase.name, folder)
            continue
        rows = [r for path in phase.manifests or recipe.manifests for r in records[path] if r.id in store]
        _run_phase(run, phase, rows, folder)
    for line in left_out.summary():
        logger.info("%s", line)
    return TrainingResult(folder, left_out)


def check_parts(model: str, phases: Sequence[Phase], parts: Collection[str]) -> None:
    """Check that the model has all parts that the phases train; one without a face branch has no face adapter.

    Args:
        model: The name of the model, for the message.
        phases: What is to be trained.
        parts: The names of the parts that the model has.

    Raises:
        RecipeError: If a phase trains a part that the model lacks.
    """
    for phase in phases:
        missing = [part for part in phase.train if part not in (*parts, "lora")]
        if missing:
            raise RecipeError(
                f"phase {phase.name}: trains {', '.join(missing)}, but {model} has no such part; leave it out of "
                "`train`"
            )


def with_bundled(recipe: P2ERecipe) -> P2ERecipe:
    """The recipe with the name of a bundled model replaced by its folder. Raises ModelError if it is not there."""
    if recipe.model not in BUNDLED:
        return recipe
    return recipe.model_copy(update={"model": locate(recipe.model)})


class RunRecords(NamedTuple):
    """The records of a run: training records by manifest, those to validate on, and what was left out by name."""

    training: dict[str, list[Record]]
    validation: list[Record]
    left_out: LeftOut


def _manifests(recipe: P2ERecipe) -> tuple[list[str], list[str]]:
    """The manifests to train on, and those to validate on."""
    training = dict.fromkeys([*recipe.manifests, *(m for p in recipe.phases for m in p.manifests or [])])
    validation = [recipe.validation] if isinstance(recipe.validation, str) else recipe.validation or []
    return list(training), validation


def read_records(recipe: P2ERecipe) -> RunRecords:
    """Read the manifests of a recipe; validate on the first `diagnostic_clips`, evenly of each manifest."""
    training, validation = _manifests(recipe)
    usable, left_out = read_usable_manifests([*training, *validation], recipe.quarantine)
    several = [to_validate_on(usable[path]) for path in validation]
    in_turn = (r for row in zip_longest(*several) for r in row if r is not None)
    return RunRecords(
        {path: to_train_on(usable[path]) for path in training},
        list(islice(in_turn, recipe.diagnostic_clips)),
        left_out,
    )


def _tensors(
    recipe: P2ERecipe, records: Sequence[Record], processor: NanoEmoXProcessor, device: str | None
) -> tuple[Tensors, dict[str, str]]:
    """What the phases read of each record, features or media, and which clips cannot be read and why.

    Decoded clips are used where the recipe names them.
    """
    clips = decoded_clips(recipe.clips, records, processor, recipe.workers) if recipe.clips else None
    unreadable = {} if clips is None else clips.unreadable
    if recipe.features is None:
        return LiveMedia(records, processor, clips), unreadable
    model, _ = load_model(recipe.model, "cpu" if on_cpu(device) else "cuda", dtype="auto")
    media = None
    if clips is not None:
        records = [record for record in records if record.id in clips]

        def media(record: Record) -> Mapping[str, Tensor]:
            return clips.media(record.id, processor)

    store = extract_features(
        records,
        model,
        processor,
        recipe.features,
        recipe.workers,
        media=media,
        bf16=recipe.features_bf16,
        dtype=recipe.features_dtype,
    )
    return store, unreadable | store.unreadable


def decoded_clips(
    folder: str, records: Sequence[Record], processor: NanoEmoXProcessor, workers: int
) -> DecodedClips:
    """Clips that are decoded already, or else decoded now.

    Args:
        folder: Where decoded clips lie.
        records: The clips that are needed.
        processor: Makes tensors of them.
        workers: How many processes decode.

    Returns:
        Decoded clips that hold at least those of `records` that can be read.
    """
    if (Path(folder) / "index.json").is_file():
        clips = DecodedClips(folder)
        if all(record.id in clips.row for record in records) and clips.complete:
            return clips
    return decode_clips(records, processor, folder, workers)


def plan_phase(
    model: nn.Module,
    examples: Examples | TaughtExamples,
    phase: Phase,
    seed: int,
    device: str | None = None,
) -> TrainingPlan:
    """How a phase trains: its examples in batches of similar length, its learning rates, its penalty.

    Args:
        model: From `start_model`, wrapped by `with_lora` where the phase has LoRA, and by `taught` where it has a
            teacher.
        examples: steps * batch_size of them.
        phase: The settings.
        seed: The seed of the order of the examples, and of everything random in a step.
        device: As in `train_p2e`.

    Returns:
        What the trainer trains.
    """
    lora = phase.lora
    batches = 8 if phase.mixture == "share" else 1  # the other makes each batch of one corpus

    def rate_of(name: str) -> float | None:
        return lora.learning_rate if lora and not is_head(name) and part_of(name) == "lora" else None

    return TrainingPlan(
        model,
        ByLength(examples, examples.length, phase.batch_size, seed, batches),
        examples.collate,
        phase,
        seed,
        rates=rate_of if lora else None,
        extra_loss=diversity_loss(phase.diversity) if phase.diversity else None,
        device=device,
    )


def _run_phase(run: _Run, phase: Phase, records: Sequence[Record], folder: Path) -> None:
    """Train one phase on `records`, look at what came of it, and write its folder."""
    started = time.perf_counter()
    recipe, processor = run.recipe, run.processor
    seed = recipe.seed + recipe.phases.index(phase)

    # The model, with what earlier phases have trained; its encoders have to be those of the stored features.
    set_seed(seed)  # LoRA draws its first matrices: one seed has to give one model
    model: Any = start_model(recipe, phase)
    origin = origin_of(model, processor)
    if isinstance(run.store, FeatureStore) and origin != run.store.origin:
        raise StaleStoreError(
            f"{recipe.features}: features of other encoders than {recipe.model}'s; remove the folder"
        )
    if phase.lora is not None:
        model = with_lora(model, phase)
    trained = _trainable(model, phase)

    # The examples in their order, the teacher where there is one, and the training.
    learner, settings, teacher = model, phase.distillation, None
    if settings is not None:
        teacher = load_teacher(recipe, phase, records, processor, run.store, run.device)
        records = [record for record in records if record.id in teacher.store]
    scheduled = schedule(records, phase, seed)
    examples: Any = Examples(records, scheduled, run.store, processor)
    if settings is not None and teacher is not None:
        learner, examples = taught(model, examples, teacher, settings, seed)
    plan = plan_phase(learner, examples, phase, seed, run.device)
    ordered = cast(ByLength, plan.examples)

    def counts(step: int) -> dict[str, Any]:
        seen = realised([scheduled[i] for i in ordered.first(step * phase.batch_size)], records)
        return seen if settings is None else {**seen, "distillation": settings.model_dump()}

    parts = ", ".join(f"{part} ({number:,})" for part, number in trained.items())
    logger.info(
        "phase %s: %d steps of %d examples; trains %s", phase.name, phase.steps, phase.batch_size, parts
    )
    work = work_folder(folder)
    fit(plan, work, run.resume, counts)

    # The folder: weights, log, diagnostics on clips to validate on, and a note of how it came about.
    with whole_folder(folder, replace=True) as new:
        if phase.lora is not None:
            model.save_pretrained(new / "lora")
            model = model.merge_and_unload()
        used = {example.record for example in scheduled}
        corpora = Counter(records[number].source or "clips without a source" for number in used)
        name = None if settings is None else teacher_name(settings.teacher)
        add_steps(model.config, [tuned(recipe.name, phase.name, phase.train, corpora, name)])
        model.eval().save_pretrained(new)
        processor.save_pretrained(new)
        shutil.copy(work / "log.jsonl", new / "log.jsonl")
        model.to("cpu")
        if run.validation:
            report = diagnose(
                model,
                processor,
                run.validation,
                run.store,
                list(phase.tasks),
                phase.modalities,
                trained=phase.train,
            )
            logger.info("phase %s: %s", phase.name, report.summary())
            for alarm in report.alarms if report.clips >= FEW_CLIPS else ():
                logger.warning("phase %s: %s", phase.name, alarm)
            write_json(new / "diagnostics.json", report.to_dict())
        write_json(
            new / "phase.json",
            {
                "recipe": recipe.name,
                "settings": phase.model_dump(),
                "seed": seed,
                "trained_parameters": trained,
                "realised": realised(scheduled, records),
                "records": len(records),
                "encoders": origin.encoders,
                "seconds": round(time.perf_counter() - started, 1),
                "versions": {
                    "nanoemox": __version__,
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                },
            },
        )
    shutil.rmtree(work, ignore_errors=True)


def _trainable(model: nn.Module, phase: Phase) -> dict[str, int]:
    try:
        return trainable_parts(model, phase.train, phase.frozen)
    except ValueError as error:
        raise RecipeError(f"phase {phase.name}: {error}; correct the recipe") from error


def _is_done(folder: Path, phase: Phase) -> bool:
    """Whether this phase has been finished. Raises RecipeError if it was with other settings."""
    path = folder / "phase.json"
    if not path.is_file():
        return False
    try:
        before = Phase.model_validate(json.loads(path.read_text(encoding="utf-8"))["settings"]).model_dump()
    except (ValueError, KeyError, TypeError) as error:  # not JSON, or the settings of another version
        raise RecipeError(
            f"{path}: expected the settings of phase {phase.name}, but they cannot be read "
            f"({type(error).__name__}); remove {folder}, or write to another folder with --set output=NEW"
        ) from error
    now = phase.model_dump()
    if before != now:
        changed = [key for key, value in now.items() if before[key] != value]
        raise RecipeError(
            f"{folder}: was trained with other settings ({', '.join(changed)}); remove it, or write to another folder "
            "with --set output=NEW"
        )
    return True


def start_model(recipe: P2ERecipe, phase: Phase) -> NanoEmoXForConditionalGeneration:
    """The recipe's model with the parts that the phases under `after` have trained (later ones win).

    What this phase trains is in float32, whatever the folder holds: steps of a small learning rate are lost in
    bfloat16. What stays frozen keeps the folder's precision.
    """
    model, _ = load_model(recipe.model, dtype="auto")
    for part in phase.train:
        if part != "lora":  # peft makes its own, in float32
            model.parts()[part].float()
    trained = {earlier.name: earlier.train for earlier in recipe.phases}
    for name in phase.after:
        folder = Path(recipe.output) / name
        if not (folder / "phase.json").is_file():
            raise RecipeError(
                f"phase {phase.name} needs phase {name}, but {folder} is not finished; run it first"
            )
        with open_weights(folder) as weights:  # as stored: loading the whole folder would round them
            for part in trained[name]:
                _fill(model, "lm" if part == "lora" else part, weights)
        add_steps(model.config, load_config(folder).provenance or [])
    return model


def _fill(model: NanoEmoXForConditionalGeneration, part: str, weights: Weights) -> None:
    """Load one part out of a folder's weights. Raises WeightsError naming what is not there."""
    module, prefix = model.parts()[part], f"{PARTS[part]}."
    if part != "lm":
        module.float()
    own = module.state_dict()
    there = {name: weights[prefix + name].read() for name in own if prefix + name in weights}
    places = {own[name].data_ptr() for name in there}
    lost = [name for name in own if name not in there and own[name].data_ptr() not in places]  # else: tied
    raise_problems(weights.place, [f"{prefix}{name} is missing" for name in lost], "expected a whole phase")
    module.load_state_dict(there, strict=False)


def with_lora(model: NanoEmoXForConditionalGeneration, phase: Phase) -> nn.Module:
    """The outer model wrapped by peft: LoRA on the language model, the other trained parts saved whole."""
    assert phase.lora is not None
    saved = [PARTS[part] for part in phase.train if part != "lora"]
    config = LoraConfig(
        r=phase.lora.rank,
        lora_alpha=phase.lora.alpha,
        lora_dropout=phase.lora.dropout,
        target_modules=lora_targets(model),
        modules_to_save=saved,
    )
    wrapped: nn.Module = get_peft_model(model, config)
    return wrapped


def diversity_loss(weight: float) -> Callable[[nn.Module, Mapping[str, Tensor]], Tensor]:
    """A penalty on tokens of one clip that point the same way: `weight` times their mean squared cosine."""

    def penalty(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        inner: Any = getattr(model, "get_base_model", lambda: model)()  # under LoRA, what peft wrapped
        losses = []
        for name, adapter in (
            ("audio_features", inner.audio_adapter),
            ("video_features", inner.video_adapter),
        ):
            if name in inputs:
                rows = inputs[name][inputs[name].flatten(1).any(dim=1)]
                unit = nn.functional.normalize(adapter(rows), dim=-1)
                cosines = unit @ unit.transpose(1, 2)
                losses.append((cosines - torch.eye(cosines.shape[-1], device=cosines.device)).square().mean())
        return weight * torch.stack(losses).mean() if losses else torch.zeros(())

    return penalty

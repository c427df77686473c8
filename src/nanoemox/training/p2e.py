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
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from nanoemox import __version__
from nanoemox.checkpoints.load import BUNDLED, locate
from nanoemox.checkpoints.weight_files import Weights, open_weights, raise_problems
from nanoemox.data.decoded_clips import DecodedClips, LiveMedia, Tensors, decode_clips
from nanoemox.data.extract_features import extract_features
from nanoemox.data.feature_store import FeatureStore, StaleStoreError, origin_of
from nanoemox.data.filtering import LeftOut, distinct, read_usable, to_train_on, to_validate_on
from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_json, written_whole
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import LORA_TARGETS, PARTS, part_of, trainable_parts
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.training.diagnostics import diagnose
from nanoemox.training.mixture import Examples, realised, schedule
from nanoemox.training.recipe import P2ERecipe, Phase, RecipeError
from nanoemox.training.trainer import ByLength, fit

logger = logging.getLogger(__name__)
Say = Callable[[str], None]


def train_p2e(
    recipe: P2ERecipe,
    only: str | None = None,
    resume: bool = False,
    say: Say = logger.info,
    left_out: LeftOut | None = None,
) -> Path:
    """Run the phases of a curriculum in order; returns the folder of the last one that ran."""
    names = [phase.name for phase in recipe.phases]
    if only is not None and only not in names:
        raise RecipeError(f"unknown phase {only!r}; phases of {recipe.name} are: {', '.join(names)}")
    recipe = with_bundled(recipe)
    if not Path(recipe.model).is_dir():
        raise RecipeError(
            f"{recipe.model}: expected a model folder to start from, but there is none; make it first"
        )
    processor = NanoEmoXProcessor.from_pretrained(recipe.model)
    output = Path(recipe.output)
    left_out = LeftOut() if left_out is None else left_out
    records, validation = read_records(recipe, left_out)
    needed = list({r.id: r for rows in (*records.values(), validation) for r in rows}.values())
    store, unreadable = _tensors(recipe, needed, processor)
    for path, rows in records.items():
        lost = {r.id: unreadable.get(r.id, "has no features") for r in rows if r.id not in store}
        left_out.add_faults(path, lost)
    write_json(output / "left_out.json", left_out.to_dict())
    folder = output
    for phase in recipe.phases:
        if only is not None and phase.name != only:
            continue
        folder = output / phase.name
        if resume and _is_done(folder, phase):
            say(f"phase {phase.name}: already there ({folder})")
            continue
        rows = [r for path in phase.manifests or recipe.manifests for r in records[path] if r.id in store]
        _run_phase(recipe, phase, rows, validation, store, processor, folder, resume, say)
    for line in left_out.summary():
        say(line)
    return folder


def with_bundled(recipe: P2ERecipe) -> P2ERecipe:
    """The recipe with the name of a bundled model replaced by its folder. Errors: ModelError if it is not there."""
    if recipe.model not in BUNDLED:
        return recipe
    return recipe.model_copy(update={"model": locate(recipe.model)})


def read_records(recipe: P2ERecipe, left_out: LeftOut) -> tuple[dict[str, list[Record]], list[Record]]:
    """Usable training records by manifest, and the first `diagnostic_clips` to validate on, evenly of each manifest."""
    training = dict.fromkeys([*recipe.manifests, *(m for p in recipe.phases for m in p.manifests or [])])
    validation = [recipe.validation] if isinstance(recipe.validation, str) else recipe.validation or []
    usable = distinct(
        {path: read_usable(path, left_out, recipe.quarantine) for path in [*training, *validation]}
    )
    several = [to_validate_on(usable[path]) for path in validation]
    scheduled = (r for row in zip_longest(*several) for r in row if r is not None)
    return {path: to_train_on(usable[path]) for path in training}, list(
        islice(scheduled, recipe.diagnostic_clips)
    )


def _tensors(
    recipe: P2ERecipe, records: Sequence[Record], processor: NanoEmoXProcessor
) -> tuple[Tensors, dict[str, str]]:
    """What the phases read of each record, features or media, and which clips cannot be read and why.

    Decoded clips are used where the recipe names them.
    """
    clips = decoded_clips(recipe.clips, records, processor, recipe.workers) if recipe.clips else None
    unreadable = {} if clips is None else clips.unreadable
    if recipe.features is None:
        return LiveMedia(records, processor, clips), unreadable
    model = NanoEmoXForConditionalGeneration.from_pretrained(recipe.model).eval()
    if torch.cuda.is_available():
        model = model.to("cuda")
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
    """Clips that are decoded already, or else decoded now."""
    if (Path(folder) / "index.json").is_file():
        clips = DecodedClips(folder)
        if all(record.id in clips.row for record in records) and clips.complete:
            return clips
    return decode_clips(records, processor, folder, workers)


def _run_phase(
    recipe: P2ERecipe,
    phase: Phase,
    records: Sequence[Record],
    validation: Sequence[Record],
    store: Tensors,
    processor: NanoEmoXProcessor,
    folder: Path,
    resume: bool,
    say: Say,
) -> None:
    started = time.perf_counter()
    model: Any = start_model(recipe, phase)
    origin = origin_of(model, processor)
    if isinstance(store, FeatureStore) and origin != store.origin:
        raise StaleStoreError(
            f"{recipe.features}: features of other encoders than {recipe.model}'s; remove the folder"
        )
    rates = None
    if phase.lora is not None:
        settings, model = phase.lora, with_lora(model, phase)

        def rates(name: str) -> float | None:
            return settings.learning_rate if part_of(name) == "lora" else None

    trained = trainable_parts(model, phase.train)
    seed = recipe.seed + recipe.phases.index(phase)
    scheduled = schedule(records, phase, seed)
    examples = Examples(records, scheduled, store, processor)
    say(f"phase {phase.name}: {phase.steps} steps of {phase.batch_size}; training {trained}")
    work = folder.with_name(f".{phase.name}.work")
    extra = diversity_loss(phase.diversity) if phase.diversity else None
    batches = 8 if phase.mixture == "share" else 1  # the other makes each batch of one corpus
    ordered = ByLength(examples, examples.length, phase.batch_size, seed, batches)

    def counts(step: int) -> dict[str, dict[str, int]]:
        return realised([scheduled[i] for i in ordered.first(step * phase.batch_size)], records)

    fit(model, ordered, examples.collate, phase, work, seed, resume, rates, extra, counts)
    with written_whole(folder) as new:
        if phase.lora is not None:
            model.save_pretrained(new / "lora")
            model = model.merge_and_unload()
        model.eval().save_pretrained(new)
        processor.save_pretrained(new)
        shutil.copy(work / "log.jsonl", new / "log.jsonl")
        model.to("cpu")
        if validation:
            report = diagnose(model, processor, validation, store)
            say(f"phase {phase.name}: {report.table()}")
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


def _is_done(folder: Path, phase: Phase) -> bool:
    """Whether this phase has been finished. Errors: RecipeError if it was with other settings."""
    path = folder / "phase.json"
    if not path.is_file():
        return False
    settings = Phase.model_validate(json.loads(path.read_text(encoding="utf-8"))["settings"]).model_dump()
    if settings != phase.model_dump():
        changed = [key for key, value in phase.model_dump().items() if settings[key] != value]
        raise RecipeError(
            f"{folder}: was trained with other settings ({', '.join(changed)}); remove it, or run without --resume"
        )
    return True


def start_model(recipe: P2ERecipe, phase: Phase) -> NanoEmoXForConditionalGeneration:
    """The recipe's model with the parts that the phases under `after` have trained (later ones win).

    What this phase trains is in float32, whatever the folder holds: steps of a small learning rate are lost in
    bfloat16. What stays frozen keeps the folder's precision.
    """
    model = NanoEmoXForConditionalGeneration.from_pretrained(recipe.model)
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
    return model


def _fill(model: NanoEmoXForConditionalGeneration, part: str, weights: Weights) -> None:
    """Load one part out of a folder's weights. Errors: WeightsError naming what is not there."""
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
        target_modules=LORA_TARGETS,
        modules_to_save=saved,
    )
    return get_peft_model(model, config)


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

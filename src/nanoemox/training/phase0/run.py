"""Phase 0: everything `pico` would download if it could, made from Affect Theatre.

In order: clips are staged and decoded, a tokenizer is trained, then face, voice and scene encoder and the language
model, which do not depend on each other and train side by side; last, they are put together with untrained
adapters as one model folder that the three phases start from. Every step leaves a finished folder or none, so a
killed run goes on where it stopped. Text and clips come from the training split only.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

from nanoemox.checkpoints.load import HERE
from nanoemox.checkpoints.provenance import RANDOM, THEATRE, add_steps, tuned
from nanoemox.data.decoded_clips import DecodedClips, decode_clips
from nanoemox.data.manifest import read_manifest
from nanoemox.data.schema import Record
from nanoemox.files.atomic import whole_folder, write_json
from nanoemox.files.workers import check_workers_start
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import skeleton_of
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.model.tokenizer import train_tokenizer
from nanoemox.theatre.texts import theatre_texts
from nanoemox.training.phase0.adapter_init import calibrate
from nanoemox.training.phase0.chats import Chats, SchooledLM
from nanoemox.training.phase0.losses import FaceObjective, SceneObjective, VoiceObjective
from nanoemox.training.phase0.views import (
    FACE_CUES,
    VOICE_CUES,
    FaceViews,
    SceneViews,
    VoiceViews,
    action_units,
    audio_clusters,
    stack,
    stills,
)
from nanoemox.training.recipe import BackboneRecipe, Job, RecipeError
from nanoemox.training.trainer import ByLength, TrainingPlan, check_not_there, fit, work_folder

logger = logging.getLogger(__name__)
JOBS = ("face", "voice", "scene", "lm")
STAGES = ("theatre", "tokenizer", "decode", *JOBS, "assemble")
CALIBRATION_CLIPS = 96
PART_OF_JOB = {"face": "face_encoder", "voice": "audio_encoder", "scene": "vision_encoder"}


def make_backbones(
    recipe: BackboneRecipe, only: str | None = None, resume: bool = False, device: str | None = None
) -> Path:
    """Run phase 0.

    Args:
        recipe: The clips to make, and how long each backbone trains on them.
        only: The name of the one stage to run (of STAGES); None runs all of them.
        resume: Keep what is finished, and go on from the last checkpoint.
        device: "cpu" or "cuda"; None takes a GPU where there is one.

    Returns:
        The model folder, `OUTPUT/model`.

    Raises:
        RecipeError: For an unknown stage, a preset without one of the backbones, or a finished backbone that was
            trained with other settings.
    """
    if only is not None and only not in STAGES:
        raise RecipeError(f"unknown phase {only!r}; phases of {recipe.name} are: {', '.join(STAGES)}")
    parts = skeleton_of(NanoEmoXConfig.preset(recipe.preset)).parts()
    if missing := [part for part in PART_OF_JOB.values() if part not in parts]:
        raise RecipeError(
            f"{recipe.name}: trains {', '.join(missing)}, but preset {recipe.preset} has no such part; name another "
            "preset"
        )
    output = Path(recipe.output)
    wanted = STAGES if only is None else (only,)
    for job in JOBS:
        if job in wanted:
            check_not_there(output / job, resume)
    if "theatre" in wanted:
        _make_clips(recipe)
    if "tokenizer" in wanted and not (resume and (output / "tokenizer").is_dir()):
        logger.info("tokenizer: training")
        tokenizer = train_tokenizer(theatre_texts(recipe.tokenizer_scripts, recipe.seed), recipe.vocabulary)
        config = NanoEmoXConfig.preset(recipe.preset, tokenizer)
        config.training_domain = THEATRE
        with whole_folder(output / "tokenizer", replace=True) as new:
            NanoEmoXProcessor.from_config(config, tokenizer).save_pretrained(new)
            config.save_pretrained(new)
    if "decode" in wanted:
        decode_clips(_records(recipe), _processor(recipe), recipe.clips, recipe.workers)
        _stills(recipe)
    jobs = [job for job in JOBS if job in wanted and not (resume and _is_done(recipe, job))]
    _side_by_side(recipe, jobs, resume, device)
    if "assemble" in wanted:
        assemble(recipe)
        logger.info("phase 0 is done: %s", output / "model")
    return output / "model"


def _make_clips(recipe: BackboneRecipe) -> None:
    """Make the clips that are not there yet (a finished folder is recognised by its manifest)."""
    from nanoemox.theatre.make import make_theatre

    for part in recipe.theatre:
        manifest = Path(part.folder) / "manifest.jsonl"
        if manifest.is_file() and len(manifest.read_text(encoding="utf-8").splitlines()) == part.clips:
            logger.info("theatre: %d clips are there (%s)", part.clips, part.folder)
        else:
            workers = recipe.workers or None
            made = make_theatre(Path(part.folder), part.clips, part.seed, part.split, workers)
            logger.info("%s", made)


def _records(recipe: BackboneRecipe) -> list[Record]:
    return [r for part in recipe.theatre for r in read_manifest(Path(part.folder) / "manifest.jsonl")]


def _processor(recipe: BackboneRecipe) -> NanoEmoXProcessor:
    processor: NanoEmoXProcessor = NanoEmoXProcessor.from_pretrained(
        Path(recipe.output) / "tokenizer", **HERE
    )
    return processor


def _stills(recipe: BackboneRecipe) -> NDArray[np.uint8]:
    side = int(_processor(recipe).image_processor.crop_size["height"])
    return stills(recipe.stills, recipe.seed, side, Path(recipe.output) / "targets", recipe.workers)


def _is_done(recipe: BackboneRecipe, job: str) -> bool:
    """Whether this backbone has been finished. Raises RecipeError if it was with other settings."""
    path = Path(recipe.output) / job / "job.json"
    if not path.is_file():
        return False
    try:
        before = Job.model_validate(json.loads(path.read_text(encoding="utf-8"))["settings"])
    except (ValueError, KeyError, TypeError):  # damaged, so nobody knows what was trained
        before = None
    if before != getattr(recipe, job):
        raise RecipeError(
            f"{path.parent}: was trained with other settings; remove it, or write to another folder with "
            "--set output=NEW"
        )
    return True


def _side_by_side(recipe: BackboneRecipe, jobs: Sequence[str], resume: bool, device: str | None) -> None:
    """Train several backbones at once, each in a process of its own; their output goes to OUTPUT/<job>.txt."""
    if not jobs:
        return
    if len(jobs) == 1 or recipe.side_by_side == 1:
        for job in jobs:
            train_job(recipe, job, resume, device)
        return
    check_workers_start()
    waiting = list(jobs)
    running: dict[str, BaseProcess] = {}
    total = sum(getattr(recipe, job).steps for job in jobs)
    with tqdm(total=total, desc=" ".join(jobs), unit="step") as bar:
        try:
            while waiting or running:
                while waiting and len(running) < recipe.side_by_side:
                    job = waiting.pop(0)
                    process: BaseProcess = get_context("spawn").Process(
                        target=_job_process, args=(recipe, job, resume, device)
                    )
                    process.start()
                    running[job] = process
                for job, process in list(running.items()):
                    process.join(timeout=1.0)
                    if process.exitcode is not None:
                        del running[job]
                        if process.exitcode:
                            raise RuntimeError(
                                f"{job}: training failed; see {Path(recipe.output) / f'{job}.txt'}"
                            )
                        logger.info("%s: trained", job)
                bar.n = sum(_steps_done(Path(recipe.output), job, getattr(recipe, job).steps) for job in jobs)
                bar.refresh()
        finally:
            for process in running.values():
                process.terminate()


def _steps_done(output: Path, job: str, steps: int) -> int:
    if (output / job / "job.json").is_file():
        return steps
    log = work_folder(output / job) / "log.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return int(json.loads(lines[-1])["step"]) if lines else 0


def _job_process(recipe: BackboneRecipe, job: str, resume: bool, device: str | None) -> None:
    import contextlib

    with (
        (Path(recipe.output) / f"{job}.txt").open("a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        train_job(recipe, job, resume, device)


def train_job(recipe: BackboneRecipe, job: str, resume: bool, device: str | None = None) -> None:
    """Train one backbone into OUTPUT/<job>: `weights.safetensors` (or a Qwen2 folder), `job.json`, `log.jsonl`.

    Args:
        recipe: Of phase 0.
        job: One of JOBS.
        resume: Go on from the last checkpoint.
        device: As in `make_backbones`.
    """
    started = time.perf_counter()
    settings: Job = getattr(recipe, job)
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    output, work = Path(recipe.output), work_folder(Path(recipe.output) / job)
    seed = recipe.seed + 100 * (1 + JOBS.index(job))
    processor = _processor(recipe)
    config = NanoEmoXConfig.from_pretrained(output / "tokenizer", **HERE)
    torch.manual_seed(seed)
    model, examples, collate = _JOBS[job](recipe, settings, config, processor, seed)
    fit(TrainingPlan(model, examples, collate, settings, seed, device=device), work, resume)
    with whole_folder(output / job, replace=True) as new:
        if job == "lm":
            model.save_pretrained(new)
        else:
            save_file(model.encoder.state_dict(), new / "weights.safetensors")
        shutil.copy(work / "log.jsonl", new / "log.jsonl")
        seconds = round(time.perf_counter() - started, 1)
        write_json(new / "job.json", {"settings": settings.model_dump(), "seed": seed, "seconds": seconds})
    shutil.rmtree(work, ignore_errors=True)


_Made = tuple[Any, Any, Callable[[list[Any]], dict[str, torch.Tensor]]]


def _training_clips(recipe: BackboneRecipe) -> tuple[list[Record], DecodedClips]:
    clips = DecodedClips(recipe.clips)
    return [r for r in _records(recipe) if r.split == "train" and r.id in clips], clips


def _face(
    recipe: BackboneRecipe, settings: Job, config: NanoEmoXConfig, processor: NanoEmoXProcessor, seed: int
) -> _Made:
    records, clips = _training_clips(recipe)
    units = action_units(records, clips, Path(recipe.output) / "targets", recipe.workers)
    model = FaceObjective(config, units.shape[-1], len(FACE_CUES), len(FaceViews.GROUPS), settings.weights)
    number = settings.steps * settings.batch_size
    return model, FaceViews(records, clips, units, processor, number, seed), stack


def _voice(
    recipe: BackboneRecipe, settings: Job, config: NanoEmoXConfig, processor: NanoEmoXProcessor, seed: int
) -> _Made:
    records, clips = _training_clips(recipe)
    centres = audio_clusters(records, clips, seed)
    audio = config.audio_config
    audio.layerdrop = audio.hidden_dropout = audio.attention_dropout = audio.feat_proj_dropout = 0.0
    audio.activation_dropout = 0.0  # the sound itself is noisy enough, and dropout is slow here
    model = VoiceObjective(config, len(centres), 3, len(VOICE_CUES), len(VoiceViews.STYLES), settings.weights)
    number = settings.steps * settings.batch_size
    return model, VoiceViews(records, clips, centres, number, seed), stack


def _scene(
    recipe: BackboneRecipe, settings: Job, config: NanoEmoXConfig, processor: NanoEmoXProcessor, seed: int
) -> _Made:
    records, clips = _training_clips(recipe)
    tokenizer = processor.tokenizer
    end = tokenizer.convert_tokens_to_ids(processor.end_of_turn)
    classes = [len(names) for names in SceneViews.CLASSES]
    model = SceneObjective(config, len(tokenizer), end, classes, settings.weights)
    pictures = _stills(recipe)
    number = settings.steps * settings.batch_size
    views = SceneViews(records, clips, pictures, recipe.seed, processor, number, seed)
    return model, views, views.collate


def _lm(
    recipe: BackboneRecipe, settings: Job, config: NanoEmoXConfig, processor: NanoEmoXProcessor, seed: int
) -> _Made:
    text = config.text_config
    text.placeholder_ids = list(config.placeholder_ids.values())
    chats = Chats(processor, settings.steps * settings.batch_size, seed, settings.tasks or None)
    return SchooledLM(text), ByLength(chats, chats.length, settings.batch_size, seed), chats.collate


_JOBS: dict[str, Callable[..., _Made]] = {"face": _face, "voice": _voice, "scene": _scene, "lm": _lm}


def assemble(recipe: BackboneRecipe) -> Path:
    """Put the trained parts together with untrained adapters and fusion, in float32, as OUTPUT/model."""
    output = Path(recipe.output)
    config = NanoEmoXConfig.from_pretrained(output / "tokenizer", **HERE)
    torch.manual_seed(recipe.seed)
    model = NanoEmoXForConditionalGeneration(config)
    for job, part in PART_OF_JOB.items():
        model.parts()[part].load_state_dict(load_file(output / job / "weights.safetensors"))
    lm: nn.Module = SchooledLM.from_pretrained(output / "lm", **HERE)
    model.language_model.load_state_dict(lm.state_dict())
    records, clips = _training_clips(recipe)
    processor = _processor(recipe)
    calibrate(model.eval(), [clips.media(record.id, processor) for record in records[:CALIBRATION_CLIPS]])
    if recipe.task_max_new_tokens:
        model.generation_config.task_max_new_tokens = dict(recipe.task_max_new_tokens)
        model.generation_config.max_new_tokens = max(recipe.task_max_new_tokens.values())
    trained = tuned(recipe.name, "backbones", [*PART_OF_JOB.values(), "lm"], {THEATRE: len(records)})
    add_steps(model.config, [RANDOM, trained])
    with whole_folder(output / "model", replace=True) as new:
        model.eval().save_pretrained(new)
        processor.save_pretrained(new)
    return output / "model"

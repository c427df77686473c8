"""How phase 0 runs: what is kept of an earlier run, with which seeds, how many examples, in which order."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.training.phase0 import run
from nanoemox.training.recipe import BackboneRecipe, Job, RecipeError
from nanoemox.training.trainer import ByLength

STEPS = {"face": 2, "voice": 3, "scene": 4, "lm": 5}


@pytest.fixture
def recipe(tmp_path: Path) -> BackboneRecipe:
    """Four jobs of different lengths, one process."""
    jobs: dict[str, Any] = {
        job: {"steps": steps, "batch_size": 3, "learning_rate": 1e-3} for job, steps in STEPS.items()
    }
    return BackboneRecipe(
        kind="backbones", name="toy", output=str(tmp_path / "out"), clips=str(tmp_path / "decoded"), seed=7,
        theatre=[{"folder": str(tmp_path / "train"), "clips": 2, "seed": 1, "split": "train"}], workers=0,
        side_by_side=1, **jobs,
    )  # fmt: skip


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is done, in order, without doing it."""
    done: list[tuple[Any, ...]] = []

    def note(name: str) -> Any:
        return lambda *arguments, **_: done.append((name, *arguments[1:]))

    for name in ("_make_clips", "decode_clips", "_stills", "train_job", "assemble"):
        monkeypatch.setattr(run, name, note(name))
    monkeypatch.setattr(run, "_records", lambda recipe: ["records"])
    monkeypatch.setattr(run, "_processor", lambda recipe: "processor")

    def trained(texts: Any, vocabulary: int) -> Any:
        done.append(("tokenizer", texts, vocabulary))
        raise _Stop

    monkeypatch.setattr(run, "theatre_texts", lambda number, seed: (number, seed))
    monkeypatch.setattr(run, "train_tokenizer", trained)
    return done


class _Stop(Exception):
    """Ends a run where the tokenizer would be trained."""


def _finish(recipe: BackboneRecipe, job: str, **changes: Any) -> None:
    folder = Path(recipe.output) / job
    folder.mkdir(parents=True)
    settings = {**getattr(recipe, job).model_dump(), **changes}
    (folder / "job.json").write_text(json.dumps({"settings": settings}))


def test_each_stage_can_be_run_alone(recipe: BackboneRecipe, told: list[Any]) -> None:
    output = Path(recipe.output)
    assert run.make_backbones(recipe, "theatre") == output / "model" and told == [("_make_clips",)]
    told.clear()
    run.make_backbones(recipe, "decode")
    assert told == [("decode_clips", "processor", recipe.clips, 0), ("_stills",)]
    for job in run.JOBS:
        told.clear()
        run.make_backbones(recipe, job, device="cpu")
        assert told == [("train_job", job, False, "cpu")]
    told.clear()
    run.make_backbones(recipe, "assemble")
    assert told == [("assemble",)]


def test_what_is_finished_is_kept_where_a_run_goes_on(recipe: BackboneRecipe, told: list[Any]) -> None:
    (Path(recipe.output) / "tokenizer").mkdir(parents=True)
    _finish(recipe, "voice")
    run.make_backbones(recipe, resume=True)
    jobs = [("train_job", job, True, None) for job in ("face", "scene", "lm")]
    assert told == [
        ("_make_clips",), ("decode_clips", "processor", recipe.clips, 0), ("_stills",), *jobs, ("assemble",),
    ]  # fmt: skip


def test_the_tokenizer_is_trained_unless_it_is_there_and_the_run_goes_on(
    recipe: BackboneRecipe, told: list[Any]
) -> None:
    with pytest.raises(_Stop):  # goes on, but there is none
        run.make_backbones(recipe, "tokenizer", resume=True)
    assert told == [("tokenizer", (recipe.tokenizer_scripts, 7), recipe.vocabulary)]
    (Path(recipe.output) / "tokenizer").mkdir(parents=True)
    with pytest.raises(_Stop):  # there, but begins anew
        run.make_backbones(recipe, "tokenizer")
    run.make_backbones(recipe, "tokenizer", resume=True)
    assert len(told) == 2


def test_a_finished_job_is_not_begun_anew(recipe: BackboneRecipe, told: list[Any]) -> None:
    _finish(recipe, "scene")
    with pytest.raises(RecipeError, match="a finished run is there"):
        run.make_backbones(recipe, "scene")
    run.make_backbones(recipe, "face")  # another one does not mind
    with pytest.raises(
        RecipeError, match="unknown phase 'nose'; phases of toy are: theatre, tokenizer, decode"
    ):
        run.make_backbones(recipe, "nose")


def test_a_job_of_other_settings_or_damaged_is_told(recipe: BackboneRecipe) -> None:
    assert not run._is_done(recipe, "face")
    _finish(recipe, "face")
    assert run._is_done(recipe, "face")
    _finish(recipe, "voice", steps=99)
    _finish(recipe, "lm")
    for text in ("{", "{}", "[]", '{"settings": {"steps": "many"}}'):
        (Path(recipe.output) / "lm" / "job.json").write_text(text)
        with pytest.raises(RecipeError, match="trained with other settings"):
            run._is_done(recipe, "lm")
    with pytest.raises(RecipeError, match="trained with other settings"):
        run._is_done(recipe, "voice")


def test_steps_are_counted_from_the_log_while_a_job_runs(tmp_path: Path) -> None:
    assert run._steps_done(tmp_path, "face", 50) == 0
    work = tmp_path / ".face.work"
    work.mkdir()
    (work / "log.jsonl").write_text("")
    assert run._steps_done(tmp_path, "face", 50) == 0
    (work / "log.jsonl").write_text('{"step": 10}\n{"step": 20, "loss": 1}\n')
    assert run._steps_done(tmp_path, "face", 50) == 20
    (tmp_path / "face").mkdir()
    (tmp_path / "face" / "job.json").write_text("{}")
    assert run._steps_done(tmp_path, "face", 50) == 50


def test_clips_are_made_unless_as_many_are_there(
    recipe: BackboneRecipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Any] = []
    monkeypatch.setattr("nanoemox.theatre.make.make_theatre", lambda *a: made.append(a) or "made")
    folder = Path(recipe.theatre[0].folder)
    run._make_clips(recipe)
    folder.mkdir()
    (folder / "manifest.jsonl").write_text("{}\n")  # one of two
    run._make_clips(recipe.model_copy(update={"workers": 3}))
    assert made == [(folder, 2, 1, "train", None), (folder, 2, 1, "train", 3)]
    (folder / "manifest.jsonl").write_text("{}\n{}\n")
    run._make_clips(recipe)
    assert len(made) == 2


def test_stills_are_as_large_as_the_encoder_reads_them(
    recipe: BackboneRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = SimpleNamespace(image_processor=SimpleNamespace(crop_size={"height": 24}))
    monkeypatch.setattr(run, "_processor", lambda recipe: processor)
    monkeypatch.setattr(run, "stills", lambda *arguments: arguments)
    assert run._stills(recipe) == (recipe.stills, 7, 24, Path(recipe.output) / "targets", 0)


@pytest.mark.parametrize(("job", "seed"), [("face", 107), ("voice", 207), ("scene", 307), ("lm", 407)])
def test_each_job_has_a_seed_of_its_own_and_leaves_a_whole_folder(
    job: str, seed: int, recipe: BackboneRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Path(recipe.output)
    made: dict[str, Any] = {}
    encoder = torch.nn.Linear(2, 2)
    model = SimpleNamespace(
        encoder=encoder, save_pretrained=lambda new: (new / "config.json").write_text("{}")
    )
    monkeypatch.setattr(run, "_processor", lambda recipe: "processor")
    monkeypatch.setattr(run.NanoEmoXConfig, "from_pretrained", lambda *a, **k: "config")

    def make(*arguments: Any) -> Any:
        made.update(arguments=arguments, drawn=float(torch.rand(())))
        return model, "examples", "collate"

    def fit(plan: Any, folder: Path, resume: bool) -> None:
        made.update(plan=plan, folder=folder, resume=resume)
        folder.mkdir(parents=True)
        (folder / "log.jsonl").write_text("log")

    monkeypatch.setitem(run._JOBS, job, make)
    monkeypatch.setattr(run, "fit", fit)
    before = torch.get_num_threads()
    run.train_job(recipe, job, True, "cpu")
    torch.set_num_threads(before)
    settings: Job = getattr(recipe, job)
    assert made["arguments"] == (recipe, settings, "config", "processor", seed)
    assert made["drawn"] == float(torch.rand((), generator=torch.Generator().manual_seed(seed)))
    plan = made["plan"]
    assert (plan.model, plan.examples, plan.collate) == (model, "examples", "collate")
    assert (plan.schedule, plan.seed, plan.device) == (settings, seed, "cpu")
    assert made["folder"] == output / f".{job}.work" and made["resume"] is True
    assert not made["folder"].exists()
    told = json.loads((output / job / "job.json").read_text())
    assert told["settings"] == json.loads(settings.model_dump_json()) and told["seed"] == seed
    assert 0 <= told["seconds"] < 60
    assert (output / job / "log.jsonl").read_text() == "log"
    if job == "lm":
        assert (output / job / "config.json").is_file()
    else:
        weights = load_file(output / job / "weights.safetensors")
        assert torch.equal(weights["weight"], encoder.weight)


def test_jobs_of_one_process_run_in_turn(recipe: BackboneRecipe, told: list[Any]) -> None:
    run._side_by_side(recipe, [], False, None)
    assert told == []
    run._side_by_side(recipe, ["lm", "face"], False, "cpu")
    run._side_by_side(recipe.model_copy(update={"side_by_side": 4}), ["voice"], True, None)
    assert told == [
        ("train_job", "lm", False, "cpu"), ("train_job", "face", False, "cpu"), ("train_job", "voice", True, None),
    ]  # fmt: skip


class _Process:
    """Ends when it is asked for the second time."""

    running = most = 0
    status = 0
    ended: tuple[str, ...] = ()

    def __init__(self, target: Any, args: Any) -> None:
        self.job, self.asked, self.exitcode = args[1], 0, None

    def start(self) -> None:
        _Process.running += 1
        _Process.most = max(_Process.most, _Process.running)

    def join(self, timeout: float) -> None:
        self.asked += 1
        if self.asked == 2:
            _Process.running -= 1
            self.exitcode = _Process.status

    def terminate(self) -> None:
        _Process.ended += (self.job,)


def test_as_many_jobs_run_side_by_side_as_the_recipe_says(
    recipe: BackboneRecipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "get_context", lambda kind: SimpleNamespace(Process=_Process))
    monkeypatch.setattr(run, "check_workers_start", lambda: None)
    two = recipe.model_copy(update={"side_by_side": 2})
    with caplog.at_level(logging.INFO, "nanoemox"):
        run._side_by_side(two, run.JOBS, False, None)
    assert _Process.most == 2 and _Process.running == 0 and _Process.ended == ()
    assert [f"{job}: trained" in caplog.text for job in run.JOBS] == [True] * 4
    monkeypatch.setattr(_Process, "status", 3)
    with pytest.raises(RuntimeError, match=r"face: training failed; see .*face\.txt"):
        run._side_by_side(two, run.JOBS, False, None)
    assert _Process.ended == ("voice",)


def test_each_job_has_as_many_examples_as_its_steps_take(
    recipe: BackboneRecipe, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, tuple[Any, ...]] = {}

    def objective(name: str) -> Any:
        return lambda *arguments: given.setdefault(name, arguments)

    def viewer(kind: str, **constants: Any) -> Any:
        def made(cls: Any, *arguments: Any) -> Any:
            given[f"{kind}Views"] = arguments
            return SimpleNamespace(collate="collate")

        return type(kind, (), {**constants, "__new__": made})

    for kind, name in (("Face", "GROUPS"), ("Voice", "STYLES"), ("Scene", "CLASSES")):
        constants = {name: getattr(getattr(run, f"{kind}Views"), name)}
        monkeypatch.setattr(run, f"{kind}Objective", objective(f"{kind}Objective"))
        monkeypatch.setattr(run, f"{kind}Views", viewer(kind, **constants))
    monkeypatch.setattr(run, "_training_clips", lambda recipe: (["records"], "clips"))
    monkeypatch.setattr(run, "action_units", lambda *a: np.zeros((4, 2, 7)))
    monkeypatch.setattr(run, "audio_clusters", lambda *a: torch.zeros(8, 20))
    monkeypatch.setattr(run, "_stills", lambda recipe: "stills")
    config = NanoEmoXConfig.preset("pico", processor.tokenizer)
    for seed, job in enumerate(("face", "voice", "scene"), start=1):
        run._JOBS[job](recipe, getattr(recipe, job), config, processor, seed)
    weights = {job: getattr(recipe, job).weights for job in run.JOBS}
    tokenizer = processor.tokenizer
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert given["FaceObjective"] == (config, 7, len(run.FACE_CUES), 6, weights["face"])
    assert given["VoiceObjective"] == (config, 8, 3, len(run.VOICE_CUES), 6, weights["voice"])
    kinds = [len(names) for names in run.SceneViews.CLASSES]
    assert given["SceneObjective"] == (config, len(tokenizer), end, kinds, weights["scene"])
    assert given["FaceViews"][-2:] == (2 * 3, 1) and given["VoiceViews"][-2:] == (3 * 3, 2)
    assert given["SceneViews"][2:] == ("stills", 7, processor, 4 * 3, 3)
    audio = config.audio_config
    dropouts = ("layerdrop", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "activation_dropout")
    assert [getattr(audio, name) for name in dropouts] == [0.0] * 5


def test_the_language_model_reads_chats_of_similar_length(recipe: BackboneRecipe, processor: Any) -> None:
    from tests.tiny import tiny_config

    config = tiny_config(processor.tokenizer)
    model, examples, _ = run._lm(recipe, recipe.lm, config, processor, 5)
    assert isinstance(examples, ByLength) and len(examples) == 5 * 3
    assert (examples.batch_size, examples.seed) == (3, 5)
    assert model.config.placeholder_ids == list(config.placeholder_ids.values())
    assert set(examples.examples.tasks) >= {"emotion", "intent"}  # type: ignore[attr-defined]
    alone = recipe.lm.model_copy(update={"tasks": {"intent": 1.0}})
    _, examples, _ = run._lm(recipe, alone, config, processor, 5)
    assert set(examples.examples.tasks) == {"intent"}

"""Recipes, mixtures, and the promise that a killed run ends where an uninterrupted one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nanoemox.checkpoints.load import load_answer_limits, load_config
from nanoemox.data.manifest import ManifestError
from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_jsonl
from nanoemox.media.clip import AUDIO_WINDOWS, FRAMES_PER_CLIP
from nanoemox.tasks.closed import EMOTION, INTENT
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS
from nanoemox.training import p2e, run, trainer
from nanoemox.training.diagnostics import alarms
from nanoemox.training.mixture import realised, schedule_by_share, schedule_uniformly, spread
from nanoemox.training.recipe import P2ERecipe, RecipeError, load_recipe, shipped_recipes
from nanoemox.training.trainer import ByLength

EMOTIONS = ("anger", "fear")
LIMITS = {"reasoning": 12, "empathy": 12}  # random weights never end an answer
LABELS = {
    "intent": {"label": "ask for help"},
    "reasoning": {
        "text": "so it is",
        "cues": {"face": ["wide eyes"], "voice": ["a slow pace"], "words": ["thanks"]},
    },
    "empathy": {"reply": "I am here.", "emotion": "fear"},
    "open_vocabulary": {"labels": ["afraid"]},
}


def _records(folder: Path, number: int = 6) -> list[Record]:
    return [
        Record(
            id=f"r{i}",
            video=folder / f"r{i}.bin",
            text=f"words {i}",
            labels={"emotion": {"label": EMOTIONS[i % 2]}, **LABELS},
        )
        for i in range(number)
    ]


# ---------------------------------------------------------------- recipes


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_shipped_recipes_are_valid(name: str) -> None:
    assert load_recipe(name).name == name


def test_curriculum_trains_what_the_paper_says() -> None:
    from nanoemox.model.parts import PHASES

    for name in ("p2e_pico", "p2e_nano"):
        recipe = load_recipe(name)
        assert isinstance(recipe, P2ERecipe)
        assert {phase.name: sorted(phase.train) for phase in recipe.phases} == {
            n: sorted(p) for n, p in PHASES.items()
        }
        shares = recipe.phases[-1].tasks
        assert shares == {"emotion": 18, "open_vocabulary": 28, "intent": 5, "reasoning": 31, "empathy": 18}


def test_unknown_key_lists_what_exists(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    text = shipped_recipes()["p2e_pico"].read_text(encoding="utf-8")
    path.write_text(text.replace("learning_rate: 1.0e-3", "lerning_rate: 1e-3", 1), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert "lerning_rate" in str(caught.value) and "warmup_steps" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("phases.1a.tasks={emotoin: 1}", "sentiment"),
        ("phases.1a.train=[ears]", "audio_adapter"),
        ("phases.9.steps=3", "9"),
        ("phases.1b.step=3", "unknown key 'phases.1b.step' .*correct the recipe or --set"),
        ("phases.3.train=[fusion]", "lora"),
        ("nonsense", "key=value"),
        ("kind=backbones", "kind: input should be 'p2e', got 'backbones'; correct the recipe or --set"),
        ("seed=[", "expected a value in YAML"),
    ],
)
def test_wrong_values_are_told(override: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        load_recipe("p2e_pico", [override])


def test_numbers_may_be_text() -> None:
    recipe = load_recipe("p2e_pico", ["phases.1a.learning_rate=3e-4", "seed=5"])
    assert isinstance(recipe, P2ERecipe)
    assert recipe.phases[0].learning_rate == 3e-4 and recipe.seed == 5


def test_a_bundled_model_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("own")
    assert isinstance(recipe, P2ERecipe) and recipe.model == "pico"
    bundled = Path(p2e.with_bundled(recipe).model)
    assert bundled.is_absolute() and (bundled / "model.safetensors").is_file()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pico").mkdir()
    assert p2e.with_bundled(recipe).model == str(bundled)  # a folder that holds no model is not in the way
    (tmp_path / "pico" / "config.json").write_text("{}")
    assert p2e.with_bundled(recipe).model == "pico"
    other = recipe.model_copy(update={"model": "nowhere/model"})
    assert p2e.with_bundled(other) is other
    with pytest.raises(RecipeError, match="nowhere/model: no model folder to start from"):
        p2e.train_p2e(other)


def test_unknown_recipe_and_phase() -> None:
    with pytest.raises(RecipeError, match="p2e_pico"):
        load_recipe("nowhere")
    with pytest.raises(RecipeError, match="1a, 1b, 2, 3"):
        run.train("p2e_pico", phase="4")


# ---------------------------------------------------------------- mixtures


def test_shares_hold_at_every_moment() -> None:
    shares = {"emotion": 18.0, "open_vocabulary": 28.0, "intent": 5.0, "reasoning": 31.0, "empathy": 18.0}
    order = spread(shares, 1000)
    assert Counter(order) == {name: share * 10 for name, share in shares.items()}
    for end in (1, 10, 57, 400):
        for name, share in shares.items():
            assert abs(Counter(order[:end])[name] - share / 100 * end) <= 2


def test_turns_are_repeatable_and_use_every_record(tmp_path: Path) -> None:
    records = _records(tmp_path)
    arguments = (records, {"emotion": 1.0, "intent": 1.0}, ["video", "audio", "text"], {"video": 0.5}, 24)
    scheduled = schedule_by_share(*arguments, seed=3)
    assert scheduled == schedule_by_share(*arguments, seed=3) != schedule_by_share(*arguments, seed=4)
    assert Counter(t.record for t in scheduled if t.task == "emotion") == dict.fromkeys(range(6), 2)
    counts = realised(scheduled, records)
    assert counts["tasks"] == {"emotion": 12, "intent": 12}
    assert sum(n for names, n in counts["modalities"].items() if "video" not in names) in range(5, 20)


def test_a_task_without_labels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="sentiment"):
        schedule_by_share(_records(tmp_path), {"sentiment": 1}, ["text"], {}, 4, 0)


def test_targets_keep_to_what_is_shown() -> None:
    labels = Labels(**{"emotion": {"label": "fear"}, **LABELS})
    told = TASKS["reasoning"].target(labels, {"audio", "text"})
    assert told is not None and "slow pace" in told and "wide eyes" not in told


def test_labels_are_spelt_as_they_are_offered() -> None:
    assert INTENT.target(Labels(**LABELS)) == "Ask for help"
    same = [name.upper() for name in INTENT.defaults]  # the usual ones are not listed, whatever their case
    assert INTENT.target(Labels(intent={"label": "ASK FOR HELP", "candidates": same})) == "Ask for help"
    own = ["Anger", "Boredom"]
    assert "Anger" in (EMOTION.target(Labels(emotion={"label": "anger", "candidates": own})) or "")
    assert "Boredom" in EMOTION.answer_for("boredom", own) and "anger" in EMOTION.answer_for("Anger")


def _corpora(folder: Path) -> list[Record]:
    """12 clips of one corpus with emotions and intents, 4 of another with emotions alone."""
    first = [r.model_copy(update={"source": "one"}) for r in _records(folder, 12)]
    label = {"emotion": {"label": "fear"}}
    return first + [Record(id=f"b{i}", video=folder / "b", source="two", labels=label) for i in range(4)]


def test_shares_of_corpora_are_exact_and_tasks_hold_within_them(tmp_path: Path) -> None:
    records = _corpora(tmp_path)
    shares = {"emotion": 1.0, "intent": 3.0}
    scheduled = schedule_by_share(records, shares, ["video"], {}, 80, 3, {"one": 60, "two": 40})
    assert realised(scheduled, records)["corpora"] == {"one": 48, "two": 32}
    assert realised(scheduled, records)["tasks"] == {"emotion": 32 + 12, "intent": 36}
    for end in range(1, 81):
        seen = realised(scheduled[:end], records)["corpora"].get("two", 0)
        assert abs(seen - 0.4 * end) <= 1
    assert Counter(t.record for t in scheduled if t.record >= 12) == dict.fromkeys(range(12, 16), 8)
    with pytest.raises(RecipeError, match=r"three: no clip.*one, two"):
        schedule_by_share(records, shares, ["video"], {}, 8, 3, {"three": 1})


def test_subset_uniform_does_as_the_released_code(tmp_path: Path) -> None:
    records = _corpora(tmp_path)
    arguments = (records, ["emotion", "intent"], ["video"], {}, 400, 3)
    scheduled = schedule_uniformly(*arguments, seed=3, corpora={"one": 0.3, "two": 1})
    assert scheduled == schedule_uniformly(*arguments, seed=3, corpora={"one": 0.3, "two": 1})
    seen = Counter(t.record for t in scheduled)
    assert len([row for row in seen if row < 12]) == int(12 * 0.3)  # the others are never seen
    batches = [scheduled[i : i + 3] for i in range(0, 1200, 3)]
    corpora = [{records[t.record].source for t in batch} for batch in batches]
    assert all(len(names) == 1 for names in corpora)
    assert 160 < corpora.count({"one"}) < 240  # each corpus with equal chance, whatever its size
    ones = Counter(t.task for t in scheduled if t.record < 12)
    assert 0.4 < ones["intent"] / sum(ones.values()) < 0.6
    with pytest.raises(RecipeError, match="none of its 12 clips"):
        schedule_uniformly(*arguments, seed=3, corpora={"one": 0.01})


def test_a_batch_order_knows_what_it_has_read() -> None:
    examples = ByLength(list(range(50)), lambda i: -i % 7, 4, seed=1, batches=2)  # type: ignore[arg-type]
    for number in (0, 4, 8, 20, 44, 50):
        assert sorted(examples.first(number)) == sorted(examples[i] for i in range(number))


# ---------------------------------------------------------------- resume


class _Killed(Exception):
    pass


def _recipe(folder: Path, name: str, **changes: Any) -> list[str]:
    base = {"steps": 6, "batch_size": 2, "learning_rate": 1e-2, "save_every": 2, "log_every": 1, "threads": 1}
    recipe = {
        "kind": "p2e",
        "name": name,
        "model": str(folder / "model"),
        "output": str(folder / name),
        "manifests": [str(folder / "manifest.jsonl")],
        "validation": str(folder / "manifest.jsonl"),
        "features": str(folder / "features"),
        "workers": 0,
        "diagnostic_clips": 2,
        "phases": [
            {
                "name": "1a",
                "train": ["audio_adapter"],
                "tasks": {"emotion": 1},
                "modalities": ["audio", "text"],
                **base,
            },
            {
                "name": "3",
                "after": ["1a"],
                "train": ["audio_adapter", "video_adapter", "face_adapter", "fusion", "lora"],
                "lora": {"rank": 2, "alpha": 4, "dropout": 0.1, "learning_rate": 2e-2},
                "tasks": {"reasoning": 2, "emotion": 1},
                "modality_dropout": {"video": 0.3},
                "diversity": 0.1,
                **base,
            },
        ],
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return [str(path)]


@pytest.fixture
def workplace(model: Any, processor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny model, a manifest and media that need no decoding."""
    model.generation_config.task_max_new_tokens = LIMITS
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    records = _records(tmp_path)
    for record in records:
        assert record.video is not None
        record.video.write_bytes(record.id.encode())
    write_jsonl(tmp_path / "manifest.jsonl", [record.line(tmp_path) for record in records])

    def media(part: list[Record], *_: Any) -> Any:
        side = model.config.vision_config.image_size
        for record in part:
            random = torch.Generator().manual_seed(int(record.id[1:]))
            pixels = torch.randn(FRAMES_PER_CLIP, 3, side, side, generator=random)
            sound = torch.randn(AUDIO_WINDOWS, 1600, generator=random)
            yield record, {"pixel_values_videos": pixels, "face_pixel_values": pixels, "input_values": sound}

    monkeypatch.setattr("nanoemox.data.extract_features._media", media)
    return tmp_path


def test_a_killed_run_ends_bit_by_bit_where_another_does(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.train(*_recipe(workplace, "whole")).folder
    steps = {"n": 0}
    step = trainer.OrderedTrainer.training_step

    def killed_at_9(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps["n"] += 1
        if steps["n"] == 11:  # the fifth step of the second phase
            raise _Killed
        return step(self, *args, **kwargs)

    monkeypatch.setattr(trainer.OrderedTrainer, "training_step", killed_at_9)
    recipe = _recipe(workplace, "cut")
    with pytest.raises(_Killed):
        run.train(*recipe)
    assert not (workplace / "cut" / "3").exists()
    note = workplace / "cut" / ".3.work" / "checkpoints" / "checkpoint-4" / "mixture.json"
    counts = json.loads(note.read_text())
    assert sum(counts["tasks"].values()) == 8 and counts["corpora"] == {"unnamed": 8}
    counted = note.read_text()
    note.write_text(json.dumps({**counts, "corpora": {"other": 8}}))
    with pytest.raises(RecipeError, match="another mixture"):
        run.train(*recipe, resume=True)
    note.write_text(counted)
    cut = run.train(*recipe, resume=True).folder
    for name in ("model.safetensors", "lora/adapter_model.safetensors"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    logs = [
        [json.loads(line)["step"] for line in (f / "log.jsonl").read_text().splitlines()]
        for f in (whole, cut)
    ]
    assert logs[0] == logs[1] == [1, 2, 3, 4, 5, 6, 6]
    phase = json.loads((cut / "phase.json").read_text())
    assert phase["realised"]["tasks"] == {"emotion": 4, "reasoning": 8}
    diagnostics = json.loads((cut / "diagnostics.json").read_text())
    assert set(diagnostics["token_cosines"]) == {"audio", "face", "video", "fusion"}
    assert diagnostics["majority"]["emotion"]["accuracy"] == 0.5
    found = [diagnostics[name] for name in ("token_cosines", "tasks", "majority")]
    assert diagnostics["alarms"] == alarms(*found) != []  # untrained tokens and answers are alarming


def test_one_seed_gives_one_model_in_any_process(workplace: Path) -> None:
    """LoRA's matrices, which are drawn before the first step, included: a second process has another random state."""
    path = Path(_recipe(workplace, "here", validation=None)[0])
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipe["phases"] = [{**recipe["phases"][1], "after": [], "steps": 2}]  # as `own`: LoRA in the first phase
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    here = run.train(path).folder  # this also writes the features that the other process reads
    there = workplace / "there"
    code = f"from nanoemox.training.run import train; train({str(path)!r}, overrides=[{f'output={there}'!r}])"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    for name in ("model.safetensors", "lora/adapter_model.safetensors"):
        assert (here / name).read_bytes() == (there / "3" / name).read_bytes(), name


def test_finished_phases_are_kept_and_only_trained_parts_change(
    workplace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.torch import load_file

    recipe = _recipe(workplace, "kept")
    run.train(*recipe, phase="1a")
    before, after = (load_file(workplace / f / "model.safetensors") for f in ("model", "kept/1a"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"audio_adapter"}
    with caplog.at_level("INFO", "nanoemox"):
        run.train(*recipe, phase="1a", resume=True)
    assert "phase 1a: already there" in caplog.text
    with pytest.raises(RecipeError, match="steps"):
        run.train(*recipe, phase="1a", resume=True, overrides=["phases.1a.steps=7"])
    run.train(*recipe, phase="3")
    before, after = (load_file(workplace / f / "model.safetensors") for f in ("kept/1a", "kept/3"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"audio_adapter", "video_adapter", "face_adapter", "fusion", "language_model"}
    assert load_answer_limits(workplace / "kept/1a") == load_answer_limits(workplace / "kept/3") == LIMITS
    steps = load_config(workplace / "kept/3").provenance or []
    assert [(step["phase"], step["clips"]) for step in steps] == [("1a", 6), ("3", 6)]
    frozen = [
        n for n in before if n.endswith(("embed_tokens.weight", "norm.weight", "input_layernorm.weight"))
    ]
    assert all(torch.equal(before[n], after[n]) for n in frozen if n.startswith("language_model"))


def test_a_run_is_not_overwritten(workplace: Path) -> None:
    recipe = _recipe(workplace, "kept")
    folder = workplace / "kept" / "1a"
    run.train(*recipe, phase="1a")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(
        RecipeError, match=r"kept/1a: a finished run is there; .* --resume, .* --set output=NEW"
    ):
        run.train(*recipe, phase="1a")
    with pytest.raises(RecipeError, match="finished run"):
        run.train(*recipe)  # all phases, of which one is finished
    assert (folder / "model.safetensors").read_bytes() == before
    checkpoint = trainer.work_folder(folder) / "checkpoints" / "checkpoint-4"
    folder.rename(workplace / "moved")
    checkpoint.mkdir(parents=True)
    with pytest.raises(RecipeError, match="a run that was stopped is there"):
        run.train(*recipe, phase="1a")
    assert checkpoint.is_dir()


def test_what_is_missing_is_told_with_its_command(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    with pytest.raises(RecipeError, match="`nanoemox train pico_backbones`"):
        run.train("p2e_pico")
    with pytest.raises(RecipeError, match="`nanoemox assemble models/nano`"):
        run.train("p2e_nano")
    model = f"model={workplace / 'model'}"
    made = r"`nanoemox theatre make runs/pico/theatre/train --clips 4000 --seed 1 --split train`"
    with pytest.raises(RecipeError, match=made):
        run.train("p2e_pico", overrides=[model])
    with pytest.raises(RecipeError, match=r"`nanoemox corpora own TABLE clips/train.jsonl --split train`"):
        run.train("own", overrides=[model])
    with pytest.raises(RecipeError, match=r"modle: no model folder .* did you mean model\?"):
        run.train("own", overrides=["model=modle"])


def test_a_phase_without_its_predecessor_is_told(workplace: Path) -> None:
    with pytest.raises(RecipeError, match="needs phase 1a"):
        run.train(*_recipe(workplace, "alone"), phase="3")


def test_a_bfloat16_model_is_trained_in_float32(workplace: Path, model: Any) -> None:
    from safetensors.torch import load_file

    model.to(torch.bfloat16).save_pretrained(workplace / "model")
    recipe = _recipe(workplace, "fine")
    small = [f"phases.{name}.learning_rate=1e-6" for name in ("1a", "3")]  # far below bfloat16's steps
    run.train(*recipe, overrides=small)
    first, last = (load_file(workplace / "fine" / name / "model.safetensors") for name in ("1a", "3"))
    before = load_file(workplace / "model" / "model.safetensors")
    names = [name for name in before if name.startswith("audio_adapter")]
    assert {before[name].dtype for name in names} == {torch.bfloat16}
    assert {first[name].dtype for name in names} == {last[name].dtype for name in names} == {torch.float32}
    assert any(0 < (first[n] - before[n].float()).abs().max() < 1e-4 for n in names)
    assert first["vision_encoder.model.post_layernorm.weight"].dtype == torch.bfloat16
    loaded = load_recipe(*recipe)
    assert isinstance(loaded, P2ERecipe)
    started = p2e.start_model(loaded, loaded.phases[1]).state_dict()
    assert all(torch.equal(started[name], first[name]) for name in names)  # nothing is rounded on the way


# ---------------------------------------------------------------- with and without stored features, what is left out


def _losses(folder: Path) -> list[float]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line)["loss"] for line in lines if '"loss"' in line]


def test_training_from_a_store_has_the_same_loss_as_without(
    workplace: Path, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nanoemox.data.extract_features import _media

    def live(self: Any, record_id: str) -> Any:
        return next(tensors for _, tensors in _media([self.records[record_id]], processor, 0, None))

    monkeypatch.setattr("nanoemox.data.decoded_clips.LiveMedia.__getitem__", live)
    plain = ["phases.3.diversity=0", "features_dtype=float32"]
    stored = run.train(*_recipe(workplace, "stored"), overrides=plain).folder
    encoded = run.train(*_recipe(workplace, "encoded"), overrides=[*plain, "features=null"]).folder
    for name in ("1a", "3"):
        pairs = zip(_losses(stored.parent / name), _losses(encoded.parent / name), strict=True)
        assert max(abs(a - b) for a, b in pairs) <= 1e-6
    assert (stored / "diagnostics.json").is_file() and (encoded / "diagnostics.json").is_file()
    with pytest.raises(RecipeError, match="diversity"):
        run.train(*_recipe(workplace, "both"), overrides=["features=null"])


def test_what_is_left_out_is_told(
    workplace: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    from nanoemox.data.quarantine import quarantine_path, write_quarantine

    manifest = workplace / "manifest.jsonl"
    lines = manifest.read_text(encoding="utf-8").split("\n")
    lines[5] = json.dumps({**json.loads(lines[5]), "split": "test"})
    manifest.write_text("\n".join(lines), encoding="utf-8")
    write_quarantine(quarantine_path(manifest), {"r0": ["silent: all of it"]})
    write_quarantine(workplace / "mine.jsonl", {"r1": ["not wanted"], "elsewhere": ["x"]})
    (workplace / "r2.bin").unlink()
    recipe = _recipe(workplace, "left", quarantine=str(workplace / "mine.jsonl"))
    with caplog.at_level("INFO", "nanoemox"):
        folder, left_out = run.train(*recipe, phase="1a")
    assert json.loads((folder / "phase.json").read_text())["records"] == 2  # r3 and r4; r5 is to be tested on
    assert left_out.quarantined == {str(manifest): {"r0": "silent: all of it", "r1": "not wanted"}}
    assert not left_out.ok and set(left_out.faults[str(manifest)]) == {"r2"}
    told = caplog.messages
    assert any("r0: silent" in line for line in told)
    assert any("line 3, r2" in line and "r2.bin" in line for line in told)
    assert not any("{" in line or "alike" in line for line in told)  # no alarm from so few clips
    bar = capsys.readouterr().err
    assert "1a: 100%" in bar and "6/6" in bar and "loss " in bar
    assert json.loads((folder.parent / "left_out.json").read_text()) == left_out.to_dict()
    with pytest.raises(ManifestError, match="nowhere"):
        run.train(*_recipe(workplace, "none", quarantine=str(workplace / "nowhere")))

"""A model without a face branch (face_tokens = 0) goes all the way: features, four phases, diagnostics, answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from nanoemox.checkpoints.load import load_model
from nanoemox.data.extract_features import extract_features
from nanoemox.data.feature_store import FeatureStore, StaleStoreError, clip_bytes, origin_of
from nanoemox.data.manifest import read_manifest
from nanoemox.evaluation.evaluate import evaluate
from nanoemox.files.atomic import write_jsonl
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import parameter_report
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.tasks.task import TASKS
from nanoemox.training import run
from nanoemox.training.diagnostics import diagnose
from nanoemox.training.dry_run import dry_run
from nanoemox.training.phase0.adapter_init import calibrate
from nanoemox.training.recipe import RecipeError
from tests.media_files import make_media
from tests.tiny import tiny_config

LIMITS = dict.fromkeys(TASKS, 12)  # random weights never end an answer
WITHOUT_FACE = {"vision_encoder", "audio_encoder", "video_adapter", "audio_adapter", "fusion", "lm"}
# AffectGPT's parts, which read other features than the paper's.
AFFECTGPT = {
    "video_adapter_type": "attention",
    "audio_adapter_type": "attention",
    "fusion_type": "attention",
    "vision_projected": True,
    "video_tokens": 1,
    "audio_tokens": 1,
}
LABELS = {
    "sentiment": {"polarity": "negative"},
    "emotion": {"label": "anger"},
    "open_vocabulary": {"labels": ["angry"]},
    "intent": {"label": "complain"},
    "reasoning": {"text": "so it is", "cues": {"voice": ["a slow pace"], "words": ["thanks"]}},
    "empathy": {"reply": "I am here.", "emotion": "anger"},
}


@pytest.fixture(params=["the paper's parts", "AffectGPT's parts"])
def workplace(tokenizer: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with a tiny model without a face branch, and a manifest of four clips."""
    changes = {} if request.param == "the paper's parts" else AFFECTGPT
    torch.manual_seed(0)
    config = tiny_config(tokenizer, face_tokens=0, **changes)
    model = NanoEmoXForConditionalGeneration(config).eval()
    model.generation_config.task_max_new_tokens = LIMITS
    model.save_pretrained(tmp_path / "model")
    NanoEmoXProcessor.from_config(config, tokenizer).save_pretrained(tmp_path / "model")
    make_media(tmp_path / "both.mp4", 1.0)
    make_media(tmp_path / "mute.mp4", 1.0, audio=None)
    make_media(tmp_path / "sound.wav", 1.0, video=None, audio="pcm_s16le")
    make_media(tmp_path / "other.mp4", 1.4)
    clips = [{"video": "both.mp4"}, {"video": "mute.mp4"}, {"audio": "sound.wav"}, {"video": "other.mp4"}]
    lines = [{"id": f"r{i}", **clip, "text": f"words {i}", "labels": LABELS} for i, clip in enumerate(clips)]
    write_jsonl(tmp_path / "manifest.jsonl", lines)
    return tmp_path


def write_recipe(folder: Path, features: str | None = "features", **trained: list[str]) -> Path:
    """The four phases of the curriculum with what they train in a model without a face branch."""
    settings = {
        "steps": 2,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "save_every": 2,
        "log_every": 1,
        "threads": 1,
    }
    known = {"tasks": {"emotion": 1}, "modalities": ["video", "audio", "text"], **settings}
    adapters = ["video_adapter", "audio_adapter"]
    phases = [
        {"name": "1a", "train": ["audio_adapter"], **known, "modalities": ["audio", "text"]},
        {"name": "1b", "train": ["video_adapter"], **known, "modalities": ["video", "text"]},
        {
            "name": "2",
            "after": ["1a", "1b"],
            "train": [*adapters, "fusion"],
            "diversity": 0.1 if features else 0,
            **known,
        },
        {
            "name": "3",
            "after": ["2"],
            "train": [*adapters, "fusion", "lora"],
            "lora": {"rank": 2, "alpha": 4, "dropout": 0.1, "learning_rate": 2e-2},
            **known,
            "tasks": {"reasoning": 1, "empathy": 1},
        },
    ]
    for phase in phases:
        phase["train"] = trained.get(str(phase["name"]), phase["train"])
    recipe = {
        "kind": "p2e",
        "name": "without_face",
        "model": str(folder / "model"),
        "output": str(folder / "out"),
        "manifests": [str(folder / "manifest.jsonl")],
        "validation": str(folder / "manifest.jsonl"),
        "features": features and str(folder / features),
        "workers": 0,
        "diagnostic_clips": 4,
        "phases": phases,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def changed_parts(before: Path, after: Path) -> set[str]:
    from safetensors.torch import load_file

    old, new = (load_file(folder / "model.safetensors") for folder in (before, after))
    assert old.keys() == new.keys() and not any("face" in name for name in old)
    return {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}


def test_a_model_without_a_face_branch_goes_all_the_way(workplace: Path) -> None:
    recipe = write_recipe(workplace)
    found = dry_run(recipe, device="cpu")
    assert found.problems == () and [phase.name for phase in found.phases] == ["1a", "1b", "2", "3"]
    last = run.train(recipe, device="cpu").folder
    assert last == workplace / "out" / "3"

    # Every phase trains its parts, and its folder loads.
    out, start = workplace / "out", workplace / "model"
    assert changed_parts(start, out / "1a") == {"audio_adapter"}
    assert changed_parts(start, out / "1b") == {"video_adapter"}
    assert changed_parts(out / "1a", out / "2") == {"audio_adapter", "video_adapter", "fusion"}
    assert changed_parts(out / "2", last) == {"audio_adapter", "video_adapter", "fusion", "language_model"}
    model, processor = load_model(last)
    assert set(model.parts()) == WITHOUT_FACE and model.face_encoder is None
    assert parameter_report(model)["parameters"]["parts"]["face_encoder"] == 0

    # The store holds what the encoders give, at the size that was told before.
    store = FeatureStore(workplace / "features", origin_of(model, processor))
    assert len(store) == 4 and store.unreadable == {}
    assert not any("face" in name for record in ("r0", "r1", "r2") for name in store[record])
    assert sum(value.numel() * 4 for value in store["r0"].values()) == clip_bytes(model.config)

    # Diagnostics look at the adapters that are there.
    for name in ("1a", "1b", "2", "3"):
        report = json.loads((out / name / "diagnostics.json").read_text(encoding="utf-8"))
        assert set(report["token_cosines"]) <= {"audio", "video", "fusion"}
    assert set(report["token_cosines"]) == {"audio", "video", "fusion"}
    found_now = diagnose(model, processor, read_manifest(workplace / "manifest.jsonl"), store)
    assert set(found_now.tasks) == set(TASKS)

    # And it answers.
    report = evaluate(workplace / "manifest.jsonl", last, workplace / "scores", batch_size=2)
    assert report.n == 4 and set(report.tasks) == set(TASKS)
    analysis = EmotionAnalyzer.from_pretrained(last).analyze(workplace / "both.mp4", text="words 0")
    assert set(analysis.tasks) == set(TASKS) and analysis["emotion"].probabilities


def test_it_also_trains_from_the_files_themselves(workplace: Path) -> None:
    stored = run.train(write_recipe(workplace), phase="1b", device="cpu").folder
    losses = [json.loads((stored / "log.jsonl").read_text().splitlines()[0])["loss"]]
    live = run.train(
        write_recipe(workplace, features=None),
        phase="1b",
        device="cpu",
        overrides=[f"output={workplace / 'live'}"],
    ).folder
    losses.append(json.loads((live / "log.jsonl").read_text().splitlines()[0])["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("where", ["1b", "3"])
def test_training_the_missing_part_is_refused_before_any_work(workplace: Path, where: str) -> None:
    recipe = write_recipe(
        workplace, **{where: ["video_adapter", "face_adapter", *(["lora"] * (where == "3"))]}
    )
    wrong = rf"phase {where}: trains face_adapter, but {workplace / 'model'} has no such part; leave it out of `train`"
    with pytest.raises(RecipeError, match=wrong):
        run.train(recipe, device="cpu")
    assert not (workplace / "out").exists() and not (workplace / "features").exists()
    found = dry_run(recipe, device="cpu")
    assert [problem for problem in found.problems if "trains face_adapter" in problem]


def test_backbones_are_trained_only_for_presets_that_have_them() -> None:
    wrong = "pico_backbones: trains face_encoder, but preset affectgpt has no such part; name another preset"
    with pytest.raises(RecipeError, match=wrong):
        run.train("pico_backbones", overrides=["preset=affectgpt"])


def test_features_of_another_kind_of_model_are_stale(workplace: Path, model: Any, processor: Any) -> None:
    """The parts that both have are the same, bit by bit: only the face branch tells them apart."""
    without, own_processor = load_model(workplace / "model")
    for part, module in without.parts().items():
        if part.endswith("encoder") and module.state_dict().keys() == model.parts()[part].state_dict().keys():
            module.load_state_dict(model.parts()[part].state_dict())
    extract_features([], without, own_processor, workplace / "store")
    FeatureStore(workplace / "store", origin_of(without, own_processor))
    with pytest.raises(StaleStoreError, match="other encoders"):
        FeatureStore(workplace / "store", origin_of(model, processor))


def test_fresh_adapters_start_from_the_features_that_are_there(tokenizer: Any) -> None:
    config = tiny_config(tokenizer, face_tokens=0)
    torch.manual_seed(0)
    model = NanoEmoXForConditionalGeneration(config).eval()
    random = np.random.default_rng(0)

    def media() -> Mapping[str, torch.Tensor]:
        pixels = torch.from_numpy(random.normal(size=(4, 3, 24, 24)).astype(np.float32))
        sound = torch.from_numpy(random.normal(size=(3, 1600)).astype(np.float32))
        return {"pixel_values_videos": pixels, "face_pixel_values": pixels, "input_values": sound}

    clips = [media() for _ in range(4)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calibrate(model, clips)
    changed = {
        name.split(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(before[name], value)
    }
    assert changed == {"video_adapter", "audio_adapter", "fusion"}

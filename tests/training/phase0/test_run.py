"""Phase 0: tokenizer, chats of the language model, encoders' objectives, and the whole chain on a few clips."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from nanoemox.checkpoints.load import load_answer_limits
from nanoemox.model.configuration_nanoemox import PLACEHOLDERS, NanoEmoXConfig
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.model.tokenizer import train_tokenizer
from nanoemox.tasks.task import TASKS
from nanoemox.theatre.script import pair_split
from nanoemox.theatre.stills import stage_still
from nanoemox.theatre.texts import theatre_texts
from nanoemox.theatre.world import PLACES, PROPS
from nanoemox.training.phase0.chats import Chats, SchooledLM
from nanoemox.training.phase0.views import frame_tracks, stills
from nanoemox.training.recipe import RecipeError
from nanoemox.training.run import train
from nanoemox.training.trainer import ByLength


@pytest.fixture(scope="module")
def small() -> NanoEmoXProcessor:
    tokenizer = train_tokenizer(theatre_texts(200, seed=1), 1200)
    return NanoEmoXProcessor.from_config(NanoEmoXConfig.preset("pico", tokenizer), tokenizer)


def test_tokenizer_writes_anything_and_knows_theatre(small: NanoEmoXProcessor, tmp_path: Path) -> None:
    tokenizer = small.tokenizer
    assert len(tokenizer) <= 1200
    for text in ("Ask for help", "naïve 你好 🙂\n\ttabs", "  spaces  "):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    for token in (*PLACEHOLDERS.values(), "<|im_start|>", "<|im_end|>"):
        assert len(tokenizer(token)["input_ids"]) == 1
    small.save_pretrained(tmp_path)
    again = NanoEmoXProcessor.from_pretrained(tmp_path)
    assert (
        again.tokenizer("The emotion of the speaker is fear")["input_ids"]
        == (tokenizer("The emotion of the speaker is fear")["input_ids"])
    )


def test_chats_are_repeatable_and_ask_everything(small: NanoEmoXProcessor) -> None:
    chats = Chats(small, 120, seed=3)
    assert chats[7] == Chats(small, 120, seed=3)[7] != chats[8]
    assert Counter(chats.tasks) == dict.fromkeys(TASKS, 20)
    placeholders = [small.tokenizer.convert_tokens_to_ids(token) for token in PLACEHOLDERS.values()]
    as_text = 0
    for i in range(120):
        chat = chats[i]
        standing = sum(token in placeholders for token in chat.ids)
        assert standing == len(chat.mixtures) == len(chat.noise) == len(chat.loudness)
        as_text += not standing
        assert small.tokenizer.decode(chat.ids).endswith("<|im_end|>")
    assert 20 < as_text < 80


def test_every_cue_is_in_some_mixture(small: NanoEmoXProcessor) -> None:
    from nanoemox.theatre.script import stage_script

    chats = Chats(small, 60, seed=3)
    for i in range(60):
        chat = chats[i]
        if not chat.mixtures or len(chat.mixtures) < 21:
            continue
        heard = {token for mixture in chat.mixtures for token, _ in mixture}
        for cue in (c for s in ("face", "voice", "scene") for c in stage_script(i, 3, "train").cues()[s]):
            assert set(small.tokenizer(f" {cue}")["input_ids"]) <= heard, cue
        for mixture in filter(None, chat.mixtures):
            assert sum(w * w for _, w in mixture) == pytest.approx(1.0, abs=0.2)


def test_schooled_model_learns_and_loads_as_qwen2(small: NanoEmoXProcessor) -> None:
    config = NanoEmoXConfig.preset("pico", small.tokenizer)
    config.text_config.placeholder_ids = list(config.placeholder_ids.values())
    torch.manual_seed(0)
    model = SchooledLM(config.text_config)
    chats = Chats(small, 8, seed=1)
    batch = chats.collate([chats[i] for i in range(8)])
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = model(**batch).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    words = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "labels": batch["labels"],
    }
    assert torch.isfinite(model(**words).loss)  # as any Qwen2


def test_batches_of_similar_length_hold_the_same_examples() -> None:
    examples: Any = [("x" * (i * 7 % 13), i) for i in range(50)]
    ordered = ByLength(examples, lambda item: len(item[0]), batch_size=4, seed=1, batches=4)
    found = [ordered[i] for i in range(50)]
    assert sorted(found) == sorted(examples)
    assert [ordered[i] for i in (49, 3, 20)] == [found[i] for i in (49, 3, 20)]
    first = [len(text) for text, _ in found[:4]]
    assert max(first) - min(first) <= 4


def test_frame_tracks_hear_pitch_and_loudness() -> None:
    seconds = np.arange(32_000) / 16_000
    tone = sum(np.sin(2 * np.pi * 150 * 2 * k * seconds) / k for k in range(1, 5))  # 300 Hz
    tone[16_000:] *= 0.01
    tracks, bands = frame_tracks(torch.tensor(tone, dtype=torch.float32)[None])
    assert tracks.shape == (1, 99, 3) and bands.shape == (1, 99, 20)
    assert torch.allclose(tracks[0, 10:40, 2], torch.tensor(1.0), atol=0.1)  # an octave above 150 Hz
    assert tracks[0, :45, 0].mean() > tracks[0, 55:, 0].mean() + 0.5


def test_stills_are_repeatable_and_their_props_do_not_depend_on_the_place(tmp_path: Path) -> None:
    shown = [stage_still(i, 1) for i in range(600)]
    assert {(s.place, s.prop) for s in shown} > {
        (place, prop) for place in PLACES for prop in PROPS if pair_split(prop, place) == "test"
    }
    first = stills(3, 1, 32, tmp_path / "a", workers=1)
    assert first.shape == (3, 32, 32, 3) and np.array_equal(
        first, stills(3, 1, 32, tmp_path / "b", workers=1)
    )
    assert not np.array_equal(first[0], first[1])
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["stills-1-3-32.npy"]


def test_from_nothing_to_a_trained_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    jobs = {"steps": 2, "batch_size": 4, "learning_rate": "1e-3", "threads": 1, "log_every": 1}
    limits = dict.fromkeys(TASKS, 5)
    recipe = {
        "kind": "backbones",
        "name": "toy",
        "output": str(tmp_path / "backbones"),
        "clips": str(tmp_path / "decoded"),
        "theatre": [{"folder": str(tmp_path / "train"), "clips": 16, "seed": 1, "split": "train"}],
        "workers": 1,
        "side_by_side": 2,
        "vocabulary": 900,
        "tokenizer_scripts": 100,
        "stills": 8,
        "task_max_new_tokens": limits,
        **dict.fromkeys(("face", "voice", "scene", "lm"), jobs),
    }
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    model, left_out = train(path)
    assert left_out.ok
    assert {p.name for p in (tmp_path / "backbones").iterdir()} >= {
        "tokenizer",
        "face",
        "voice",
        "scene",
        "lm",
        "model",
    }
    with caplog.at_level("INFO", "nanoemox"):
        train(path, resume=True)
    assert "clips are there" in caplog.text
    manifest = str(tmp_path / "train" / "manifest.jsonl")
    overrides = [
        f"model={model}", f"output={tmp_path / 'p2e'}", f"manifests=[{manifest}]", f"validation={manifest}",
        f"features={tmp_path / 'features'}", f"clips={tmp_path / 'decoded'}", "diagnostic_clips=4", "workers=0",
        *(f"phases.{phase}.{key}=2" for phase in ("1a", "1b", "2", "3") for key in ("steps", "batch_size")),
    ]  # fmt: skip
    folder = train("p2e_pico", overrides=overrides).folder
    diagnostics = json.loads((folder / "diagnostics.json").read_text())
    assert load_answer_limits(model) == load_answer_limits(folder) == limits
    with pytest.raises(RecipeError, match="unknown task 'mood'"):
        train(path, overrides=["task_max_new_tokens.mood=3"])
    with pytest.raises(RecipeError, match="task_max_new_tokens"):
        train(path, overrides=["task_max_new_tokens.emotion=0"])
    assert diagnostics["clips"] == 4 and set(diagnostics["tasks"]) == set(TASKS) - {
        "sentiment"
    }  # never asked
    with pytest.raises(RecipeError, match="assemble"):
        train(path, phase="nonsense")

"""Where a model's weights come from: written by every step, read by every surface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nanoemox.checkpoints.assemble import assemble_random
from nanoemox.checkpoints.load import load_config
from nanoemox.checkpoints.model_card import model_card
from nanoemox.checkpoints.provenance import (
    RANDOM,
    add_steps,
    assembled,
    converted,
    domain_note,
    history,
    origin_warnings,
    random_by_record,
    random_parts,
    tuned,
)
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.page import render_report
from nanoemox.model.configuration_nanoemox import PARTS
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from tests.inference.test_analyzer import make_clip
from tests.tiny import tiny_config

OWN = tuned("own", "tuned", ["fusion", "lora"], {"labels": 8})
MADE = tuned("pico_backbones", "backbones", ["lm"], {"affect_theatre": 4000})


def test_the_history_is_told_in_order() -> None:
    phases = [tuned("p2e", name, ["fusion"], {"b": 2, "a": 1}) for name in ("1a", "1b")]
    steps = [
        RANDOM,
        assembled({"lm": "Qwen/Q", "face_encoder": "f.pt"}),
        converted(["x.pth"], ["lora"]),
        *phases,
        OWN,
    ]
    assert history(steps) == (
        "random",
        "assembled from Qwen/Q, f.pt",
        "converted from x.pth",
        "tuned on 3 clips of a, b (p2e: 1a, 1b)",
        "tuned on 8 clips of labels (own: tuned)",
    )
    assert history(None) == ()


def test_clips_of_another_world_end_the_old_worlds_note() -> None:
    config = tiny_config(training_domain="affect_theatre")
    add_steps(config, [RANDOM, MADE, tuned("p2e_pico", "3", ["fusion"], {"affect_theatre": 9})])
    assert "knows only Affect Theatre" in str(domain_note(config.training_domain, config.provenance))
    add_steps(config, [OWN])
    note = str(domain_note(config.training_domain, config.provenance))
    assert config.training_domain is None
    assert "tuned on 8 clips of labels" in note and "knows only" not in note
    real = [RANDOM, assembled({"lm": "x/y"}), MADE, OWN]
    assert domain_note(None, real) is None  # its backbones have seen the real world


def test_what_no_step_has_filled_is_random() -> None:
    assert random_by_record({}) is None
    assert random_by_record({"provenance": [dict(RANDOM)]}) == list(PARTS)
    assert random_by_record({"provenance": [dict(RANDOM)], "face_tokens": 0}) == [
        p for p in PARTS if "face" not in p
    ]
    left = random_by_record({"provenance": [dict(RANDOM), dict(OWN)]})
    assert left == [part for part in PARTS if part not in ("fusion", "lm")]


def test_a_model_is_random_until_its_weights_say_otherwise(tokenizer: Any) -> None:
    torch.manual_seed(0)
    model = NanoEmoXForConditionalGeneration(tiny_config(tokenizer))
    assert random_parts(model) == list(PARTS)
    with torch.no_grad():  # as any optimiser, also of a program that writes no provenance
        for parameter in model.fusion.parameters():
            parameter.add_(0.01)
    assert random_parts(model) == [part for part in PARTS if part != "fusion"]
    (warning,) = origin_warnings(model)
    assert warning.code == "random_weights" and "fusion" not in warning.text and "lm" in warning.text


@pytest.mark.parametrize("kind", ["qformer", "attention"])
def test_every_kind_of_adapter_is_told(tokenizer: Any, kind: str) -> None:
    changes = {f"{name}_type": kind for name in ("video_adapter", "audio_adapter", "fusion")}
    model = NanoEmoXForConditionalGeneration(tiny_config(tokenizer, **changes))
    assert random_parts(model) == list(model.parts())


def test_random_weights_are_told_on_every_surface(tmp_path: Path) -> None:
    folder = assemble_random("pico", tmp_path / "models" / "random", dtype="float32")
    assert load_config(folder).provenance == [{"step": "random"}]
    assert "all weights are random" in model_card(folder)
    analyzer = EmotionAnalyzer.from_pretrained(folder)
    result = analyzer.analyze(make_clip(), tasks=["sentiment"], max_new_tokens=1)
    told = result.to_dict()
    assert told["provenance"] == ["random"]
    assert "random_weights" in [warning["code"] for warning in told["warnings"]]
    assert "are random" in render_report(result).partition("<header>")[0]


def test_the_bundled_model_stays_affect_theatre() -> None:
    analyzer = EmotionAnalyzer.from_pretrained("pico")
    assert [warning.code for warning in analyzer.origin_warnings] == ["training_domain"]
    assert "knows only Affect Theatre" in analyzer.origin_warnings[0].text
    assert analyzer.provenance[0] == "random"
    assert analyzer.provenance[-1] == "tuned on 4000 clips of affect_theatre (p2e_pico: 1a, 1b, 2, 3)"


def test_the_card_tells_a_tuned_model(tmp_path: Path) -> None:
    config = {"provenance": [dict(RANDOM), dict(MADE), dict(OWN)]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "phase.json").write_text(json.dumps({"recipe": "own", "settings": {"name": "tuned"}}))
    text = model_card(tmp_path)
    assert "tuned on 8 clips of labels" in text and "knows only" not in text
    assert "license: mit" not in text

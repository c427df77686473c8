"""What a recipe may hold: the bounds of every number, and what belongs together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from nanoemox.training.recipe import BackboneRecipe, Job, Lora, P2ERecipe, Phase, Schedule, Section, Theatre

SCHEDULE: dict[str, Any] = {"steps": 1, "learning_rate": 0.1}
PHASE: dict[str, Any] = {**SCHEDULE, "name": "p", "train": ["fusion"], "tasks": {"emotion": 1}}
P2E: dict[str, Any] = {
    "kind": "p2e", "name": "r", "model": "m", "output": "o", "manifests": ["a"], "features": "f", "phases": [PHASE],
}  # fmt: skip
BACKBONES: dict[str, Any] = {
    "kind": "backbones", "name": "r", "output": "o", "theatre": [], "clips": "c",
    **dict.fromkeys(("face", "voice", "scene", "lm"), SCHEDULE),
}  # fmt: skip
GIVEN: dict[type[Section], dict[str, Any]] = {
    Schedule: SCHEDULE,
    Phase: PHASE,
    Job: SCHEDULE,
    Lora: {},
    Theatre: {"folder": "f", "clips": 1},
    P2ERecipe: P2E,
    BackboneRecipe: BACKBONES,
}


@pytest.mark.parametrize(
    ("section", "key", "lowest", "too_low"),
    [
        (Schedule, "steps", 1, 0),
        (Schedule, "batch_size", 1, 0),
        (Schedule, "learning_rate", 1e-9, 0),
        (Schedule, "final_learning_rate", 0, -1e-9),
        (Schedule, "warmup_steps", 0, -1),
        (Schedule, "warmup_from", 0, -1e-9),
        (Schedule, "weight_decay", 0, -1e-9),
        (Schedule, "max_grad_norm", 1e-9, 0),
        (Schedule, "save_every", 1, 0),
        (Schedule, "log_every", 1, 0),
        (Schedule, "threads", 1, 0),
        (Phase, "diversity", 0, -1e-9),
        (Lora, "rank", 1, 0),
        (Lora, "alpha", 1, 0),
        (Lora, "dropout", 0, -1e-9),
        (Lora, "learning_rate", 1e-9, 0),
        (Theatre, "clips", 1, 0),
        (P2ERecipe, "workers", 0, -1),
        (P2ERecipe, "diagnostic_clips", 0, -1),
        (BackboneRecipe, "workers", 0, -1),
        (BackboneRecipe, "side_by_side", 1, 0),
        (BackboneRecipe, "vocabulary", 301, 300),
        (BackboneRecipe, "tokenizer_scripts", 1, 0),
        (BackboneRecipe, "stills", 0, -1),
        (BackboneRecipe, "task_max_new_tokens", {"emotion": 1}, {"emotion": 0}),
        (Phase, "modality_dropout", {"text": 0.0}, {"text": -0.1}),
        (Phase, "corpora", {"a": 1e-9}, {"a": 0}),
        (Phase, "tasks", {"emotion": 1e-9, "intent": 0}, {"emotion": 0}),
    ],
)
def test_the_lowest_value_is_taken_and_less_is_not(
    section: type[Section], key: str, lowest: Any, too_low: Any
) -> None:
    assert getattr(section(**{**GIVEN[section], key: lowest}), key) == lowest
    with pytest.raises(ValidationError):
        section(**{**GIVEN[section], key: too_low})


@pytest.mark.parametrize(
    ("section", "key", "too_much"),
    [
        (Lora, "dropout", 1.0),
        (Phase, "modality_dropout", {"text": 1.0}),
        (Phase, "tasks", {"emotion": 2, "intent": -1}),
        (Phase, "tasks", {}),
        (Phase, "corpora", {}),
        (Phase, "modalities", ["smell"]),
        (Phase, "modality_dropout", {"smell": 0.1}),
        (Phase, "train", ["ears"]),
        (Phase, "mixture", "random"),
        (Schedule, "cosine", "never"),
        (P2ERecipe, "features_dtype", "float8"),
        (BackboneRecipe, "preset", "giant"),
        (BackboneRecipe, "task_max_new_tokens", {"mood": 3}),
    ],
)
def test_what_does_not_exist_is_refused(section: type[Section], key: str, too_much: Any) -> None:
    with pytest.raises(ValidationError):
        section(**{**GIVEN[section], key: too_much})


def test_sections_refuse_other_keys_and_cannot_be_changed() -> None:
    for section, given in GIVEN.items():
        with pytest.raises(ValidationError, match="stepps"):
            section(**{**given, "stepps": 1})
        with pytest.raises(ValidationError, match="frozen"):
            section(**given).name = "other"  # type: ignore[attr-defined]


def test_usual_values() -> None:
    """What a recipe that says nothing gets; the bundled model and finished runs rest on these."""
    schedule = Schedule(**SCHEDULE).model_dump()
    assert schedule == {
        "steps": 1, "batch_size": 16, "learning_rate": 0.1, "final_learning_rate": 0.0, "warmup_steps": 20,
        "warmup_from": 0.0, "cosine": "after_warmup", "weight_decay": 0.05, "max_grad_norm": 1.0, "save_every": 200,
        "log_every": 20, "threads": None, "bf16": False,
    }  # fmt: skip
    phase = Phase(**PHASE).model_dump()
    assert {key: value for key, value in phase.items() if key not in schedule and key not in PHASE} == {
        "corpora": None, "mixture": "share", "modalities": ["video", "audio", "text"], "after": [],
        "modality_dropout": {}, "diversity": 0.0, "lora": None, "distillation": None, "manifests": None,
        "withheld": {}, "frozen": [],
    }  # fmt: skip
    taught = Phase(**PHASE, distillation={"teacher": "t"}).model_dump()["distillation"]
    assert taught == {"teacher": "t", "weight": 1.0, "ramp_steps": 20, "directions": 100}
    recipe = P2ERecipe(**P2E).model_dump()
    assert {key: value for key, value in recipe.items() if key not in P2E} == {
        "validation": None, "quarantine": None, "features_dtype": None, "features_bf16": False, "clips": None,
        "workers": 2, "seed": 42, "diagnostic_clips": 200,
    }  # fmt: skip
    backbones = BackboneRecipe(**BACKBONES).model_dump()
    assert {key: value for key, value in backbones.items() if key not in BACKBONES} == {
        "preset": "pico", "workers": 4, "side_by_side": 4, "seed": 7, "vocabulary": 2000, "tokenizer_scripts": 4000,
        "stills": 0, "task_max_new_tokens": {},
    }  # fmt: skip


def test_what_belongs_together() -> None:
    with pytest.raises(ValidationError, match="belong together"):
        Phase(**{**PHASE, "train": ["lora"]})
    with pytest.raises(ValidationError, match="belong together"):
        Phase(**PHASE, lora={})
    with pytest.raises(ValidationError, match="two phases are called p"):
        P2ERecipe(**{**P2E, "phases": [PHASE, PHASE]})
    with pytest.raises(ValidationError, match="earlier phase"):
        P2ERecipe(**{**P2E, "phases": [{**PHASE, "after": ["later"]}, {**PHASE, "name": "later"}]})
    penal = {**PHASE, "diversity": 0.1}
    with pytest.raises(ValidationError, match="reads stored features"):
        P2ERecipe(**{**P2E, "features": None, "phases": [penal]})
    assert P2ERecipe(**{**P2E, "phases": [penal]}).phases[0].diversity == 0.1

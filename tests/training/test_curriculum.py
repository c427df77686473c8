"""The curriculum as it was published: what each phase trains, on what, through which modalities, from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_json
from nanoemox.model.configuration_nanoemox import PARTS, PLACEHOLDERS
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import LORA_ALPHA, LORA_DROPOUT, LORA_RANK
from nanoemox.training import p2e
from nanoemox.training.mixture import Examples, schedule
from nanoemox.training.recipe import P2ERecipe, Phase, RecipeError, load_recipe
from nanoemox.training.trainer import TrainingPlan, time_steps

PHASE_3_TASKS = {"emotion": 18, "open_vocabulary": 28, "intent": 5, "reasoning": 31, "empathy": 18}
EVERYTHING = ["audio", "text", "video"]


def _recipe(name: str) -> P2ERecipe:
    recipe = load_recipe(name)
    assert isinstance(recipe, P2ERecipe)
    return recipe


# ---------------------------------------------------------------- the recipes


def test_nano_is_the_published_curriculum() -> None:
    """Phase by phase: tasks, modalities, corpora and their shares, what it goes on from, extras that are all off."""
    found = {
        phase.name: (phase.tasks, sorted(phase.modalities), phase.corpora, phase.after)
        for phase in _recipe("p2e_nano").phases
    }
    assert found == {
        "1a": ({"emotion": 1}, ["audio", "text"], {"m3ed": 29, "crema_d": 9}, []),
        "1b": ({"emotion": 1}, ["video"], {"ferv39k": 46, "caer": 16}, []),
        "2": ({"intent": 1}, EVERYTHING, {"mintrec": 24, "mintrec2": 76}, ["1a", "1b"]),
        "3": (
            PHASE_3_TASKS,
            EVERYTHING,
            {"mer_caption_plus": 55, "merr": 5, "mintrec": 2, "mintrec2": 3, "avamerg": 35},
            ["2"],
        ),
    }
    for phase in _recipe("p2e_nano").phases:
        assert phase.mixture == "share" and phase.bf16
        assert not phase.diversity and not phase.modality_dropout


def test_nano_reads_one_manifest_for_each_corpus() -> None:
    recipe = _recipe("p2e_nano")
    for phase in recipe.phases:
        names = [Path(path).stem for path in phase.manifests or recipe.manifests]
        assert names == list(phase.corpora or {})
        assert all(Path(path).parent.name == Path(path).stem for path in phase.manifests or recipe.manifests)


def test_pico_is_trained_as_the_bundled_model_was() -> None:
    found = {
        phase.name: (phase.tasks, sorted(phase.modalities), phase.after, phase.weight_decay, phase.diversity)
        for phase in _recipe("p2e_pico").phases
    }
    assert found == {
        "1a": ({"emotion": 1, "reasoning": 2}, ["audio", "text"], [], 0.05, 0.05),
        "1b": ({"emotion": 1, "reasoning": 2, "open_vocabulary": 2}, ["video"], [], 1.0, 0.05),
        "2": ({"intent": 1}, EVERYTHING, ["1a", "1b"], 0.05, 0.0),
        "3": (PHASE_3_TASKS, EVERYTHING, ["2"], 0.05, 0.0),
    }
    dropout = [phase.modality_dropout for phase in _recipe("p2e_pico").phases]
    assert dropout == [{}, {}, {}, {"video": 0.06, "audio": 0.06, "text": 0.05}]


@pytest.mark.parametrize("name", ["p2e_pico", "p2e_nano", "p2e_open", "own"])
def test_lora_is_the_published_one(name: str) -> None:
    *others, last = _recipe(name).phases
    assert last.lora is not None and all(phase.lora is None for phase in others)
    assert (last.lora.rank, last.lora.alpha, last.lora.dropout) == (16, 32, 0.05)
    assert (LORA_RANK, LORA_ALPHA, LORA_DROPOUT) == (16, 32, 0.05)
    rates = {"p2e_pico": 5e-4, "p2e_nano": None, "p2e_open": None, "own": 5e-4}
    assert last.lora.learning_rate == rates[name]


# ---------------------------------------------------------------- LoRA


def _phase(**changes: Any) -> Phase:
    given: dict[str, Any] = {
        "name": "3",
        "train": ["fusion", "lora"],
        "tasks": {"emotion": 1},
        "steps": 1,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "lora": {"rank": 3, "alpha": 12, "dropout": 0.25, "learning_rate": 7e-3},
    }
    return Phase(**{**given, **changes})


def test_lora_adds_alpha_over_rank_times_its_two_matrices(model: Any) -> None:
    """W x + alpha / r * B A x, in every projection of the language model and in nothing else."""
    wrapped = p2e.with_lora(model, _phase())
    layers = {name: m for name, m in wrapped.named_modules() if hasattr(m, "lora_A")}
    assert len(layers) == 2 * 7 and all("language_model.model.layers" in name for name in layers)
    for layer in layers.values():
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        assert down.shape[0] == up.shape[1] == 3
        assert layer.lora_dropout["default"].p == 0.25
        assert not up.any() and down.any()  # so that training begins at the model that was given
        with torch.no_grad():
            up.normal_()
            x = torch.randn(4, down.shape[1])
            added = layer.eval()(x) - layer.get_base_layer()(x)
            torch.testing.assert_close(added, 12 / 3 * x @ down.T @ up.T, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("own", "expected"), [(7e-3, 7e-3), (None, None)])
def test_lora_learns_at_its_own_rate(model: Any, own: float | None, expected: float | None) -> None:
    phase = _phase(lora={"rank": 3, "alpha": 12, "learning_rate": own})
    wrapped = p2e.with_lora(model, phase)
    plan = p2e.plan_phase(wrapped, Examples([], [], {}, None), phase, 1)  # type: ignore[arg-type]
    assert plan.rates is not None
    found = {name: plan.rates(name) for name, _ in wrapped.named_parameters()}
    assert {rate for name, rate in found.items() if ".lora_" in name} == {expected}
    assert {rate for name, rate in found.items() if ".lora_" not in name} == {None}


# ---------------------------------------------------------------- the penalty on tokens that are alike


def test_diversity_is_the_mean_squared_cosine_between_the_tokens_of_a_clip(model: Any) -> None:
    features = {"audio_features": torch.randn(3, 3, 16), "video_features": torch.randn(3, 4, 16)}
    features["audio_features"][1] = 0  # a row without audio
    parts = []
    for name, adapter in (("audio_features", model.audio_adapter), ("video_features", model.video_adapter)):
        costs = []
        for row in features[name]:
            if not row.any():
                continue
            tokens = adapter(row[None])[0]
            for i, a in enumerate(tokens):
                for j, b in enumerate(tokens):
                    cosine = (a @ b) / (a.norm() * b.norm())
                    costs.append((cosine - float(i == j)) ** 2)
        parts.append(torch.stack(costs).mean())
    expected = 0.3 * (parts[0] + parts[1]) / 2
    torch.testing.assert_close(p2e.diversity_loss(0.3)(model, features), expected, atol=1e-5, rtol=1e-4)
    assert expected > 0 and float(p2e.diversity_loss(0.3)(model, {})) == 0


class _Twins(nn.Module):
    """One "clip" of two tokens at an angle; the loss of its own is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.tensor([[1.0, 0.2], [1.0, -0.2]]))

    def forward(self, x: torch.Tensor, labels: Any = None) -> dict[str, torch.Tensor]:
        return {"loss": 0.0 * self.tokens.sum() * x.sum()}

    def cosine(self) -> torch.Tensor:
        return nn.functional.cosine_similarity(self.tokens[0], self.tokens[1], dim=0)


def test_the_penalty_drives_tokens_apart() -> None:
    """An extra loss is added to the model's own and made smaller, not larger."""
    model = _Twins()
    before = float(model.cosine().detach())
    phase = _phase(train=["fusion"], lora=None, steps=20, batch_size=1, learning_rate=0.05, warmup_steps=0)
    time_steps(
        TrainingPlan(
            model,
            [1.0] * 20,  # type: ignore[arg-type]
            lambda batch: {"x": torch.tensor(batch)},
            phase,
            seed=1,
            extra_loss=lambda module, _: module.cosine().square(),  # type: ignore[operator]
            device="cpu",
        )
    )
    assert float(model.cosine().detach()) < before - 0.1


# ---------------------------------------------------------------- what an example shows


def _examples(phase: Phase, processor: Any) -> Examples:
    labels = {"emotion": {"label": "fear"}, "intent": {"label": "Joke"}}
    turns = [{"role": "speaker", "text": "an earlier turn"}]
    records = [
        Record(id=f"r{i}", video=f"/{i}.mp4", text="spoken words", dialogue=turns, labels=labels)
        for i in range(4)
    ]
    features = {
        "video_features": torch.ones(4, 16),
        "video_fusion_features": torch.ones(4, 48),
        "face_features": torch.ones(4, 8),
        "audio_features": torch.ones(3, 16),
        "audio_fusion_features": torch.ones(3, 48),
    }
    store = {record.id: features for record in records}
    return Examples(records, schedule(records, phase, 1), store, processor)  # type: ignore[arg-type]


@pytest.mark.parametrize("shown", [["video"], ["audio", "text"], ["audio"], ["text"], EVERYTHING])
def test_a_phase_shows_its_modalities_and_no_other(shown: list[str], processor: Any) -> None:
    """Text is one of them: in a phase of video alone neither the words nor the earlier turns are read."""
    for example in _examples(_phase(modalities=shown), processor):
        assert ("spoken words" in example.prompt) == ("text" in shown)
        assert ("an earlier turn" in example.prompt) == ("text" in shown)
        needed = {"audio": {"audio"}, "face": {"video"}, "video": {"video"}, "fusion": {"audio", "video"}}
        for kind, modalities in needed.items():
            assert (PLACEHOLDERS[kind] in example.prompt) == (modalities <= set(shown)), kind
        kinds = {name.split("_")[0].replace("face", "video") for name in example.features}
        assert kinds == set(shown) - {"text"}


def test_phase_2_asks_for_the_intent(processor: Any) -> None:
    for name in ("p2e_pico", "p2e_nano"):
        phase = next(p for p in _recipe(name).phases if p.name == "2")
        short = phase.model_copy(update={"steps": 2, "batch_size": 2, "corpora": None})
        assert [example.answer for example in _examples(short, processor)] == ["Joke"] * 4


# ---------------------------------------------------------------- where a phase goes on from


def test_a_phase_goes_on_from_all_that_earlier_ones_trained(
    model: Any, processor: Any, tmp_path: Path
) -> None:
    """After 1a and 1b: the parts of both; the later one wins where both trained a part; all else is the start's."""
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    trained = {"1a": ["audio_adapter", "fusion"], "1b": ["video_adapter", "face_adapter", "fusion"]}
    for number, (name, parts) in enumerate(trained.items(), start=1):
        with torch.no_grad():
            for part in PARTS:  # parts that the phase did not train are changed too: nobody may read them
                for parameter in model.parts()[part].parameters():
                    parameter.fill_(number if part in parts else 99.0)
        model.save_pretrained(tmp_path / "out" / name)
        write_json(tmp_path / "out" / name / "phase.json", {})
    settings: dict[str, Any] = {"tasks": {"emotion": 1}, "steps": 1, "learning_rate": 1}
    recipe = P2ERecipe(
        kind="p2e",
        name="r",
        model=str(tmp_path / "model"),
        output=str(tmp_path / "out"),
        manifests=[],
        features=None,
        phases=[
            *(Phase(name=name, train=parts, **settings) for name, parts in trained.items()),
            Phase(name="2", train=["fusion"], after=["1a", "1b"], **settings),
        ],
    )
    started = p2e.start_model(recipe, recipe.phases[-1])
    expected = {"audio_adapter": 1, "video_adapter": 2, "face_adapter": 2, "fusion": 2}
    for part, value in expected.items():
        assert all((p == value).all() for p in started.parts()[part].parameters()), part
    fresh = NanoEmoXForConditionalGeneration.from_pretrained(tmp_path / "model")
    for part in set(PARTS) - set(expected):
        before = fresh.parts()[part].state_dict()
        assert all(torch.equal(value, before[n]) for n, value in started.parts()[part].state_dict().items())
    (tmp_path / "out" / "1b" / "phase.json").unlink()
    with pytest.raises(RecipeError, match="phase 2 needs phase 1b"):
        p2e.start_model(recipe, recipe.phases[-1])

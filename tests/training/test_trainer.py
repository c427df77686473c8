"""How parameters learn, step by step, against formulas written out: learning rates, decay, clipping."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from nanoemox.training import trainer
from nanoemox.training.recipe import P2ERecipe, Phase, Schedule, load_recipe
from nanoemox.training.trainer import TrainingPlan, fit, last_checkpoint, rate_factor, time_steps


def _phases(name: str) -> dict[str, Phase]:
    recipe = load_recipe(name)
    assert isinstance(recipe, P2ERecipe)
    return {phase.name: phase for phase in recipe.phases}


# ---------------------------------------------------------------- the curve of the learning rate


def official_rate(step: int, steps: int, first: float, highest: float, last: float) -> float:
    """The official schedule: 5,000 steps up from `first`; then a cosine that has been counted from step 0."""
    if step < 5000:
        return first + (highest - first) * step / 5000
    return last + (highest - last) * (1 + math.cos(math.pi * step / steps)) / 2


@pytest.mark.parametrize(
    ("name", "steps", "first", "highest", "last"),
    [
        ("1a", 3 * 5000, 1e-6, 3e-4, 1e-4),
        ("1b", 5 * 5000, 1e-6, 3e-4, 1e-4),
        ("2", 1 * 5000, 5e-7, 1e-5, 1e-5),
        ("3", 60 * 5000, 5e-7, 8e-6, 8e-6),
    ],
)
def test_nano_learns_at_the_official_rate_at_every_step(
    name: str, steps: int, first: float, highest: float, last: float
) -> None:
    phase = _phases("p2e_nano")[name]
    assert (phase.steps, phase.batch_size, phase.weight_decay) == (steps, 3, 0.05)
    assert phase.max_grad_norm is None
    for step in [*range(min(steps, 25_000)), *range(25_000, steps, 997)]:
        ours = phase.learning_rate * rate_factor(phase, step)
        assert ours == pytest.approx(official_rate(step, steps, first, highest, last), rel=1e-9), step


def test_the_official_rate_where_it_was_looked_up() -> None:
    """1a and 1b after the warm-up, 2 at step 100: numbers calculated apart from any code."""
    phases = _phases("p2e_nano")
    rates = {name: phases[name].learning_rate * rate_factor(phases[name], 5000) for name in ("1a", "1b")}
    assert rates == pytest.approx({"1a": 2.5e-4, "1b": 2.809017e-4}, rel=1e-6)
    assert phases["2"].learning_rate * rate_factor(phases["2"], 100) == pytest.approx(6.9e-7)


@pytest.mark.parametrize("name", ["1a", "1b", "2", "3"])
def test_pico_learns_at_the_rates_that_it_was_made_with(name: str) -> None:
    """Bit by bit those of transformers' `cosine_with_min_lr`, which the bundled model was trained with."""
    phase = _phases("p2e_pico")[name]
    assert phase.warmup_steps == 50 and phase.max_grad_norm == 1.0
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=phase.learning_rate)
    theirs = get_cosine_with_min_lr_schedule_with_warmup(
        optimizer, 50, phase.steps, min_lr_rate=phase.final_learning_rate / phase.learning_rate
    )
    for step in range(phase.steps):
        assert rate_factor(phase, step) == theirs.lr_lambdas[0](step)


# ---------------------------------------------------------------- what a step does


class _Slope(nn.Module):
    """A loss whose gradient is known: `slope` in every number of `weight`, `bias` and `own`."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.own = nn.Linear(2, 2)
        self.shared = nn.Parameter(torch.ones(2))
        for parameter in self.parameters():
            nn.init.ones_(parameter)

    def forward(self, slope: torch.Tensor, labels: Any = None) -> dict[str, torch.Tensor]:
        total = torch.stack([parameter.sum() for parameter in self.parameters()]).sum()
        return {"loss": slope.mean() * total}


def _run(
    monkeypatch: pytest.MonkeyPatch, slopes: list[float], rates: Any = None, **changes: Any
) -> tuple[list[dict[str, torch.Tensor]], list[list[float]]]:
    """Train `_Slope` one step for each slope. The weights after each step, and each group's learning rates."""
    given = {"steps": len(slopes), "batch_size": 1, "learning_rate": 0.1, "warmup_steps": 0, "threads": 1}
    settings = Schedule(**{**given, **changes})
    model, weights, used = _Slope(), [], []

    class _Watch(trainer.StepTimes):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            super().on_step_end(args, state, control, **kwargs)
            weights.append({name: p.detach().clone() for name, p in model.named_parameters()})

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            used.append([group["lr"] for group in kwargs["optimizer"].param_groups])

    monkeypatch.setattr(trainer, "StepTimes", _Watch)
    time_steps(
        TrainingPlan(
            model,
            slopes,  # type: ignore[arg-type]
            lambda batch: {"slope": torch.tensor(batch)},
            settings,
            seed=1,
            rates=rates,
            device="cpu",
        )
    )
    return weights, used


def test_the_trainer_uses_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {
        "warmup_steps": 4,
        "warmup_from": 0.02,
        "final_learning_rate": 0.05,
        "cosine": "at_start",
    }
    _, used = _run(monkeypatch, [1.0] * 10, **changes)
    expected = [0.02 + 0.08 * step / 4 for step in range(4)]
    expected += [0.05 + 0.05 * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(4, 10)]
    assert [rates[0] for rates in used] == pytest.approx(expected)
    _, used = _run(monkeypatch, [1.0] * 10, warmup_steps=4)
    expected = [0.1 * step / 4 for step in range(4)]
    expected += [0.1 * (1 + math.cos(math.pi * (step - 4) / 6)) / 2 for step in range(4, 10)]
    assert [rates[0] for rates in used] == pytest.approx(expected)


def test_matrices_decay_and_biases_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a gradient AdamW only decays: w becomes w (1 - rate * decay) at every step."""
    weights, used = _run(monkeypatch, [0.0, 0.0], weight_decay=0.5, final_learning_rate=0.1)
    assert used == [[0.1, 0.1], [0.1, 0.1]]
    for name in ("linear.weight", "shared"):
        assert torch.allclose(weights[-1][name], torch.tensor(0.95**2)), name
    assert torch.equal(weights[-1]["linear.bias"], torch.ones(2))
    still, _ = _run(monkeypatch, [0.0, 0.0], weight_decay=0.0)
    assert all(torch.equal(value, torch.ones_like(value)) for value in still[-1].values())


def test_a_parameter_may_have_a_rate_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam's first step is as long as the learning rate, whatever the gradient."""

    def own(name: str) -> float | None:
        return 0.3 if name.startswith("own") else None

    weights, used = _run(monkeypatch, [2.0], own, weight_decay=0.0)
    assert torch.allclose(weights[0]["own.weight"], torch.tensor(1 - 0.3))
    assert torch.allclose(weights[0]["own.bias"], torch.tensor(1 - 0.3))
    assert torch.allclose(weights[0]["linear.weight"], torch.tensor(1 - 0.1))
    assert sorted({rate for rates in used for rate in rates}) == [0.1, 0.3]


def _adam_after(gradients: list[float], beta1: float = 0.9, beta2: float = 0.999) -> float:
    """One number from 1, rate 0.1 without decay, by Adam's formula."""
    value, first, second = 1.0, 0.0, 0.0
    for step, gradient in enumerate(gradients, start=1):
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        value -= 0.1 * (first / (1 - beta1**step)) / (math.sqrt(second / (1 - beta2**step)) + 1e-8)
    return value


def test_gradients_are_clipped_to_the_norm_or_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = sum(parameter.numel() for parameter in _Slope().parameters())
    slopes = [0.01, 5.0]  # the norms are slope * sqrt(numbers): below 1, and far above
    clipped = [0.01, 1 / math.sqrt(numbers)]
    settings = {"weight_decay": 0.0, "final_learning_rate": 0.1}
    weights, _ = _run(monkeypatch, slopes, **settings)
    assert weights[-1]["shared"].tolist() == pytest.approx([_adam_after(clipped)] * 2, rel=1e-4)
    whole, _ = _run(monkeypatch, slopes, max_grad_norm=None, **settings)
    assert whole[-1]["shared"].tolist() == pytest.approx([_adam_after(slopes)] * 2, rel=1e-4)
    assert abs(_adam_after(clipped) - _adam_after(slopes)) > 1e-3


def test_the_examples_have_to_fill_the_steps(tmp_path: Path) -> None:
    plan = TrainingPlan(
        _Slope(),
        [1.0],  # type: ignore[arg-type]
        lambda batch: {"slope": torch.tensor(batch)},
        Schedule(steps=2, batch_size=2, learning_rate=0.1),
        seed=1,
    )
    with pytest.raises(ValueError, match=r"expected 4 examples \(2 steps of 2\), got 1"):
        fit(plan, tmp_path)


# ---------------------------------------------------------------- what is written on the way


def test_the_last_whole_checkpoint_is_the_one_of_the_highest_step(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "nowhere") is None
    for step, state in ((9, "{}"), (10, "{}"), (100, "{")):  # the last was not written to its end
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-200").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_the_log_has_a_line_for_each_step_and_nothing_else_is_left(tmp_path: Path) -> None:
    plan = TrainingPlan(
        _Slope(),
        [1.0, 2.0, 4.0],  # type: ignore[arg-type]
        lambda batch: {"slope": torch.tensor(batch)},
        Schedule(steps=3, batch_size=1, learning_rate=1e-9, warmup_steps=0, log_every=1, save_every=2),
        seed=1,
        extra_loss=lambda model, inputs: inputs["slope"].mean() * 10,
        device="cpu",
    )
    (tmp_path / "checkpoints" / "checkpoint-7").mkdir(parents=True)  # of another run
    (tmp_path / "log.jsonl").write_text('{"step": 50}\n')
    fit(plan, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    ones = sum(parameter.numel() for parameter in _Slope().parameters())
    told = [(line["step"], round(line["loss"], 3), line["extra"]) for line in lines if "loss" in line]
    assert told == [(i + 1, slope * ones + slope * 10, slope * 10) for i, slope in enumerate([1.0, 2.0, 4.0])]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl"]


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with trainer.threads(3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before
    with trainer.threads(None):
        assert torch.get_num_threads() == before


@pytest.mark.parametrize("there", [True, False])
def test_training_computes_on_the_processor_where_asked_or_there_is_no_gpu(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert trainer.on_cpu("cpu")
    assert trainer.on_cpu(None) == trainer.on_cpu("cuda") == (not there)


def test_steps_are_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    from types import SimpleNamespace

    bar = trainer.StepBar("phase 1a")
    nothing: Any = None
    state: Any = SimpleNamespace(max_steps=4, global_step=1)  # resumed after the first step
    bar.on_train_begin(nothing, state, nothing)
    for step in (2, 3, 4):
        state.global_step = step
        bar.on_log(nothing, state, nothing, {"loss": 0.25} if step == 4 else {"eval": 1})
        bar.on_step_end(nothing, state, nothing)
    bar.close()
    bar.close()
    out, err = capsys.readouterr()
    assert out == "" and "{" not in err
    assert "phase 1a" in err and "4/4" in err and "loss 0.250" in err

"""Distillation: the distance, the weight, a student beside its teacher, and that nothing else is changed by either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from nanoemox.checkpoints.load import load_config
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import trainable_parts
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.training import run, trainer
from nanoemox.training.distillation import (
    Distilled,
    StudentHead,
    answer_states,
    ramped_weight,
    random_directions,
    sliced_wasserstein,
)
from nanoemox.training.recipe import Distillation, RecipeError, load_recipe
from tests.tiny import tiny_config
from tests.training.test_p2e import _Killed, _recipe
from tests.training.test_p2e import workplace as workplace  # the fixture

LORA = "lora/adapter_model.safetensors"

# ---------------------------------------------------------------- the distance


def _by_hand(student: Any, teacher: Any, counts: list[int], directions: Any, p: float) -> float:
    """Clip by clip, direction by direction."""
    of_clips = []
    for ours, theirs, count in zip(student, teacher, counts, strict=True):
        if count < 2:
            continue
        costs = []
        for direction in directions.tolist():
            one, other = (
                sorted(
                    sum(a * b for a, b in zip(row, direction, strict=True)) for row in rows[:count].tolist()
                )
                for rows in (ours, theirs)
            )
            costs.append(sum(abs(a - b) ** p for a, b in zip(one, other, strict=True)) / count)
        of_clips.append(sum(costs) / len(costs))
    return sum(of_clips) / len(of_clips) if of_clips else 0.0


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("counts", [[5, 2, 3], [1, 4, 0], [1, 0, 1]])
def test_the_distance_is_that_of_the_sorted_projections(counts: list[int], p: float) -> None:
    """What does not count may hold anything; clips with fewer than two positions are left out."""
    torch.manual_seed(1)
    student, teacher = torch.randn(3, 5, 4), torch.randn(3, 5, 4)
    mask = torch.arange(5) < torch.tensor(counts)[:, None]
    student[~mask], teacher[~mask] = 7.0, -7.0
    student.requires_grad_()
    directions = random_directions(6, 4, 1, 2)
    found = sliced_wasserstein(student, teacher, mask, directions, p)
    expected = _by_hand(student.detach(), teacher, counts, directions, p)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert student.grad is not None and student.grad.isfinite().all()
    assert bool(student.grad.any()) == (max(counts) > 1) and not student.grad[~mask].any()


def test_the_order_of_the_positions_does_not_matter() -> None:
    torch.manual_seed(2)
    states, mask = torch.randn(2, 6, 4), torch.ones(2, 6, dtype=torch.bool)
    directions = random_directions(50, 4, 0, 0)
    assert float(sliced_wasserstein(states, states[:, [3, 0, 5, 1, 4, 2]], mask, directions)) < 1e-12
    moved = float(sliced_wasserstein(states, states + 1.0, mask, directions))
    assert moved == pytest.approx(float(directions.sum(dim=1).square().mean()), rel=1e-4)


def test_answer_states_predict_the_answer() -> None:
    hidden = torch.arange(2 * 5 * 1.0).reshape(2, 5, 1)
    labels = torch.tensor([[-100, -100, 8, 9, -100], [-100, -100, -100, -100, 7]])
    found = answer_states(hidden, labels)
    assert found.mask.tolist() == [[True, True], [True, False]]
    assert found.states[found.mask].flatten().tolist() == [1.0, 2.0, 8.0]


def test_directions_are_new_at_every_step_and_the_same_again() -> None:
    drawn = random_directions(7, 5, 3, 4)
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(7))
    assert torch.equal(drawn, random_directions(7, 5, 3, 4))
    for seed, step in ((3, 5), (4, 4)):
        assert not torch.isclose(drawn, random_directions(7, 5, seed, step)).any()


def test_the_weight_climbs_in_a_straight_line() -> None:
    settings = Distillation(teacher="t", weight=2.0, ramp_steps=4)
    assert [ramped_weight(settings, step) for step in range(6)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    assert ramped_weight(Distillation(teacher="t", ramp_steps=0), 0) == 1.0


def test_the_head_begins_as_a_norm_alone() -> None:
    hidden = torch.randn(2, 3, 8)
    torch.testing.assert_close(StudentHead(8)(hidden), nn.functional.layer_norm(hidden, (8,)))


# ---------------------------------------------------------------- a student beside its teacher


@pytest.fixture
def teacher(tokenizer: Any) -> NanoEmoXForConditionalGeneration:
    """Wider and deeper than the student, with other encoders, and another number of tokens for the video."""
    torch.manual_seed(5)
    config = tiny_config(tokenizer, video_tokens=7)
    config.text_config.hidden_size, config.text_config.num_hidden_layers = 48, 3
    config.text_config.layer_types = None
    return NanoEmoXForConditionalGeneration(type(config).from_dict(config.to_dict())).eval()


def _pair(batch_of: Any, processor: Any, teacher: Any) -> dict[str, Any]:
    """A batch as both read it: one set of clips and answers, prompts with other numbers of placeholders."""
    own = batch_of(processor)
    lesson = batch_of(NanoEmoXProcessor.from_config(teacher.config, processor.tokenizer))
    return {**own, **{f"teacher.{name}": value for name, value in lesson.items()}}


def _batch_of(processor: Any) -> dict[str, Any]:
    from tests.tiny import make_batch

    return make_batch(processor, answers=["anger", "I am so happy for you.", "sad", "The voice trembles."])


def test_hidden_states_are_those_that_the_output_table_reads(model: Any, batch: dict[str, Any]) -> None:
    """So they come after the last norm."""
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True)
        logits = model.get_output_embeddings()(output.hidden_states[-1])
    torch.testing.assert_close(logits, output.logits)


def test_the_loss_is_cross_entropy_and_the_weighted_distance(
    model: Any, processor: Any, teacher: Any
) -> None:
    both = _pair(_batch_of, processor, teacher)
    assert both["input_ids"].shape != both["teacher.input_ids"].shape
    trainable_parts(model, ["fusion", "lm"])
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    distilled = Distilled(model, teacher, Distillation(teacher="t", weight=3.0, ramp_steps=2), seed=1).train()
    assert model.language_model.training and not any(m.training for m in teacher.modules())
    own = {name: value for name, value in both.items() if not name.startswith("teacher.")}
    torch.manual_seed(0)  # of the dropout
    found = [distilled(**both) for _ in range(3)]
    torch.manual_seed(0)
    assert list(found[0]["parts"]) == ["cross_entropy"]  # its weight is 0 at step 0
    torch.testing.assert_close(found[0]["loss"], model(**own).loss)
    for weight, output in zip((1.5, 3.0), found[1:], strict=True):
        parts = output["parts"]
        torch.testing.assert_close(output["loss"], parts["cross_entropy"] + weight * parts["distillation"])
    assert found[1]["parts"]["distillation"] != found[2]["parts"]["distillation"]  # other directions
    pulled = torch.autograd.grad(found[1]["parts"]["distillation"], model.language_model.model.norm.weight)
    assert pulled[0].any()  # the distance alone moves the student, not the head only
    found[2]["loss"].backward()
    assert distilled.head.linear.weight.grad.any() and distilled.head.norm.weight.grad.any()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    projection = distilled.teacher_projection
    assert projection.shape == (32, 48)
    torch.testing.assert_close(projection @ projection.T, torch.eye(32), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_taught_student_comes_nearer_to_its_teacher(
    tokenizer: Any, processor: Any, teacher: Any, seed: int
) -> None:
    """And learns the answers beside it. (`benchmarks/distillation.py` measures whether it learns them faster.)"""
    torch.manual_seed(seed)
    student = NanoEmoXForConditionalGeneration(tiny_config(tokenizer))
    trainable_parts(student, ["fusion", "lm"])
    distilled = Distilled(student, teacher, Distillation(teacher="t", ramp_steps=1), seed).train()
    both = _pair(_batch_of, processor, teacher)
    learned = [parameter for parameter in distilled.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=3e-3)
    losses = []
    for _ in range(20):
        output = distilled(**both)
        optimizer.zero_grad()
        output["loss"].backward()
        optimizer.step()
        losses.append({name: value.item() for name, value in output["parts"].items()})
    assert losses[-1]["distillation"] < 0.7 * losses[1]["distillation"]
    assert losses[-1]["cross_entropy"] < 0.5 * losses[0]["cross_entropy"]


def test_the_state_holds_what_is_trained_and_no_teacher(model: Any, processor: Any, teacher: Any) -> None:
    trainable_parts(model, ["fusion"])
    settings = Distillation(teacher="t", ramp_steps=0)
    distilled = Distilled(model, teacher, settings, seed=1).train()
    names = {name.split(".")[0] for name in distilled.state_dict()}
    assert names == {"student", "head", "teacher_projection", "step"}
    assert all(n.startswith("student.fusion.") for n in distilled.state_dict() if n.startswith("student."))
    distilled(**_pair(_batch_of, processor, teacher))
    kept = {name: value.clone() for name, value in distilled.state_dict().items()}
    for value in distilled.state_dict().values():
        value.zero_()
    distilled.load_state_dict(kept)
    assert int(distilled.step) == 1 and torch.equal(distilled.head.linear.weight, torch.eye(32))
    with pytest.raises(KeyError, match="on one side only"):
        distilled.load_state_dict({"step": kept["step"]})


# ---------------------------------------------------------------- a phase with a teacher


def _distilled(folder: Path, name: str, **settings: Any) -> str:
    """The recipe of `test_p2e` with a teacher in its second phase alone, which begins at the model."""
    path = Path(_recipe(folder, name, validation=None)[0])
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    phase = {**recipe["phases"][1], "after": []}
    if settings:
        phase["distillation"] = {
            "teacher": str(folder / "large"),
            "ramp_steps": 3,
            "directions": 9,
            **settings,
        }
    path.write_text(yaml.safe_dump({**recipe, "phases": [phase]}), encoding="utf-8")
    return str(path)


@pytest.fixture
def school(workplace: Path, processor: Any, teacher: Any) -> Path:
    """The workplace, with a teacher beside the model."""
    teacher.save_pretrained(workplace / "large")
    NanoEmoXProcessor.from_config(teacher.config, processor.tokenizer).save_pretrained(workplace / "large")
    return workplace


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_killed_run_with_a_teacher_ends_where_another_does(
    school: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.train(_distilled(school, "whole", weight=0.5)).folder
    lines = _lines(whole)[:6]
    assert "distillation" not in lines[0] and all(line["distillation"] > 0 for line in lines[1:])
    for step, line in enumerate(lines):
        parts = line["cross_entropy"] + 0.5 * min(1, step / 3) * line.get("distillation", 0) + line["extra"]
        assert line["loss"] == pytest.approx(parts, abs=2e-3)

    # What is left is a model as any other: with no head, with no teacher.
    names = [set(load_file(folder / "model.safetensors")) for folder in (whole, school / "model")]
    assert names[0] == names[1]
    assert not any("head" in name.split(".") or "teacher" in name for name in load_file(whole / LORA))
    assert (load_config(whole).provenance or [])[-1]["teacher"] == "large"
    assert (school / "features-large" / "store.json").is_file()  # its encoders are others

    # Killed at the fifth step, and gone on from the fourth.
    step_of, count = trainer.OrderedTrainer.training_step, {"n": 0}

    def killed_at_5(self: Any, *args: Any, **kwargs: Any) -> Any:
        count["n"] += 1
        if count["n"] == 5:
            raise _Killed
        return step_of(self, *args, **kwargs)

    monkeypatch.setattr(trainer.OrderedTrainer, "training_step", killed_at_5)
    recipe = _distilled(school, "cut", weight=0.5)
    with pytest.raises(_Killed):
        run.train(recipe)
    with pytest.raises(RecipeError, match="by another teacher"):
        run.train(recipe, resume=True, overrides=["phases.3.distillation.weight=1"])
    with pytest.raises(RecipeError, match="by another teacher"):
        run.train(recipe, resume=True, overrides=["phases.3.distillation=null"])
    cut = run.train(recipe, resume=True).folder
    for name in ("model.safetensors", LORA):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    assert [line["step"] for line in _lines(cut)] == [1, 2, 3, 4, 5, 6, 6]


def test_a_weight_of_nothing_changes_nothing(school: Path) -> None:
    """One step, at the foot of the ramp: bit by bit what it is without a teacher, with the teacher beside it."""
    one = ["phases.3.steps=1"]
    plain = run.train(_distilled(school, "plain"), overrides=one).folder
    taught = run.train(_distilled(school, "taught", weight=1.0), overrides=one).folder
    for name in ("model.safetensors", LORA):
        assert (plain / name).read_bytes() == (taught / name).read_bytes(), name
    assert {path.name for path in plain.iterdir()} == {path.name for path in taught.iterdir()}
    assert "teacher" not in (load_config(plain).provenance or [])[-1]


def test_a_teacher_with_the_same_encoders_reads_the_same_features(
    workplace: Path, model: Any, processor: Any
) -> None:
    model.save_pretrained(workplace / "large")
    processor.save_pretrained(workplace / "large")
    run.train(_distilled(workplace, "own", weight=1.0), overrides=["phases.3.steps=2"])
    assert sorted(p.name for p in workplace.glob("features*")) == ["features"]


def test_a_phase_with_a_teacher_needs_no_lora_and_no_store(
    school: Path, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nanoemox.data.extract_features import _media

    def live(self: Any, record_id: str) -> Any:
        return next(tensors for _, tensors in _media([self.records[record_id]], processor, 0, None))

    monkeypatch.setattr("nanoemox.data.decoded_clips.LiveMedia.__getitem__", live)
    changes = ["phases.3.train=[fusion, lm]", "phases.3.lora=null", "phases.3.diversity=0"]
    stored = run.train(_distilled(school, "stored", weight=1.0), overrides=changes).folder
    changes += ["features=null"]
    encoded = run.train(_distilled(school, "encoded", weight=1.0), overrides=changes).folder
    assert not (stored / "lora").exists()
    for ours, theirs in zip(_lines(stored)[1:6], _lines(encoded)[1:6], strict=True):
        assert ours["distillation"] == pytest.approx(theirs["distillation"], abs=1e-4)


def test_a_teacher_that_does_not_fit_is_told(school: Path, tokenizer: Any, teacher: Any) -> None:
    with pytest.raises(RecipeError, match=r"distillation\.weight"):
        load_recipe(_distilled(school, "wrong", weight=0))
    from nanoemox.files.errors import NanoEmoXError

    with pytest.raises(NanoEmoXError, match="nobody") as caught:
        run.train(_distilled(school, "missing", teacher=str(school / "nobody")))
    assert "\n" not in str(caught.value)
    assert not (school / "features-large").exists()

    # Another tokenizer is noticed before anything is encoded.
    path = school / "large" / "tokenizer.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    table["model"]["merges"] = []
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(RecipeError, match="into the same tokens"):
        run.train(_distilled(school, "other", weight=1.0))
    assert not (school / "features-large").exists()

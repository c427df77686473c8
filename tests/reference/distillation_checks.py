"""Parity of the distillation: the distance between hidden states, its weight, and the learning rates of its runs."""

from __future__ import annotations

from pathlib import Path

from nanoemox.training.distillation import (
    AnswerStates,
    StudentHead,
    answer_states,
    ramped_weight,
    sliced_wasserstein,
)
from nanoemox.training.recipe import Distillation, Schedule
from nanoemox.training.trainer import rate_factor
from tests.reference.common import Reference, Result, load_json

HEAD = "ot_hidden_proj.student_proj."
PROJECTION = "ot_hidden_proj.teacher_proj.weight"


def check_swdh(path: Path) -> Result:
    """From hidden states, labels and given directions to the loss."""
    reference, result = Reference.read(path), Result()
    given, expected, projection = reference.inputs, reference.outputs, reference.state[PROJECTION]
    head = StudentHead(reference.number("student_dim")).eval()
    names = {"linear.weight": "0.weight", "norm.weight": "1.weight", "norm.bias": "1.bias"}
    head.load_state_dict({ours: reference.state[HEAD + theirs] for ours, theirs in names.items()})

    # Theirs stand at their places in the sequence, ours are moved to the left.
    student = answer_states(given["student_hidden"], given["labels"])
    teacher = answer_states(given["teacher_hidden"], given["labels"])
    result.equal("positions", student.mask.sum(dim=1).tolist(), expected["mask"].sum(dim=1).tolist())
    ours = AnswerStates(head(student.states), student.mask)
    theirs = AnswerStates(teacher.states @ projection.T, teacher.mask)
    for name, states in (("projected_student", ours), ("projected_teacher", theirs)):
        result.compare(name, states.states[states.mask], expected[name][expected["mask"]])
    power = float(reference.metadata["p"])
    distance = sliced_wasserstein(ours.states, theirs.states, ours.mask, given["directions"], power)
    result.compare("loss", distance, expected["loss"])
    unpacked = (head(given["student_hidden"][:, :-1]), given["teacher_hidden"][:, :-1] @ projection.T)
    distance = sliced_wasserstein(*unpacked, expected["mask"], given["directions"], power)
    result.compare("loss with gaps between the positions", distance, expected["loss"])
    return result


def check_schedules(path: Path) -> Result:
    """The weight of the distance, and the learning rates.

    Their code counts epochs from 1 and steps from 0. So it warms up by the iteration within the epoch while one epoch
    and this iteration are fewer than the warm-up; then it reads the cosine one epoch ahead. Read at these places, the
    curve is ours.
    """
    table, result = load_json(path), Result()
    weight = table["distillation_weight"]
    settings = Distillation(teacher="any", weight=weight["target"], ramp_steps=weight["ramp_steps"])
    for step, expected in weight["step_weight"]:
        result.compare(f"weight at {step}", ramped_weight(settings, step), expected)
    for name in ("student", "teacher"):
        given = table[name]["settings"]
        schedule = Schedule(
            steps=given["max_epoch"] * given["iters_per_epoch"],
            learning_rate=given["init_lr"],
            final_learning_rate=given["min_lr"],
            warmup_steps=given["warmup_steps"],
            warmup_from=given["warmup_start_lr"],
            cosine="at_start",
        )
        for epoch, iteration, expected in table[name]["epoch_iteration_lr"]:
            ahead = epoch * given["iters_per_epoch"] + iteration
            step = iteration if ahead < given["warmup_steps"] else ahead
            rate = schedule.learning_rate * rate_factor(schedule, step)
            result.compare(f"{name}, epoch {epoch}, {iteration}", rate / expected, 1.0)
    return result

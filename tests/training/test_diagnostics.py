"""What diagnostics look at, and that their alarms ring."""

from __future__ import annotations

import math

import pytest
import torch

from nanoemox.training.diagnostics import COLLAPSED, Diagnosis, _mean_cosine, alarms

GOOD = {"audio": {"within_clip": 0.2, "across_clips": 0.4, "size": 1.0}}
OURS = {"emotion": {"accuracy": 0.6, "hit_rate": 0.6}}
MAJORITY = {"emotion": {"accuracy": 0.3, "hit_rate": 0.3}}


def test_a_healthy_model_rings_nothing() -> None:
    assert alarms(GOOD, OURS, MAJORITY) == []


@pytest.mark.parametrize(
    ("kind", "told"), [("within_clip", "of one clip"), ("across_clips", "of different clips")]
)
def test_tokens_that_are_alike_ring(kind: str, told: str) -> None:
    for value, rings in ((COLLAPSED - 0.01, False), (COLLAPSED + 0.01, True), (1.0, True)):
        found = alarms({"video": {**GOOD["audio"], kind: value}}, OURS, MAJORITY)
        assert bool(found) == rings
        assert not rings or (len(found) == 1 and "video" in found[0] and told in found[0])
        assert not rings or "; " in found[0]  # the remedy


def test_tokens_of_a_face_may_be_alike_within_a_clip() -> None:
    """In the shipped model they are, at every phase, and nothing is wrong with it."""
    shipped = {"face": {"within_clip": 0.9998, "across_clips": 0.35, "size": 30.0}}
    assert alarms(shipped, OURS, MAJORITY) == []
    assert alarms({"face": {**shipped["face"], "across_clips": 0.99}}, OURS, MAJORITY)


def test_a_phase_is_told_in_one_line() -> None:
    ours = {"emotion": {"accuracy": 0.6, "weighted_f1": 0.5}, "reasoning": {"cue_f1": None}}
    line = Diagnosis(200, ["audio"], GOOD, ours, MAJORITY, []).summary()
    assert line.startswith("emotion accuracy 0.600 (majority 0.300), on 200 clips") and "\n" not in line


@pytest.mark.parametrize(("value", "rings"), [(0.31, False), (0.3, True), (0.1, True), (None, False)])
def test_an_accuracy_of_the_majority_answer_rings(value: float | None, rings: bool) -> None:
    found = alarms(GOOD, {"emotion": {"accuracy": value}}, MAJORITY)
    assert bool(found) == rings
    assert not rings or ("emotion" in found[0] and "0.30" in found[0])


def test_a_figure_without_a_majority_rings_nothing() -> None:
    assert alarms(GOOD, OURS, {}) == []
    assert alarms(GOOD, OURS, {"emotion": {"accuracy": None}}) == []


def test_alarms_are_in_the_table() -> None:
    report = Diagnosis(4, ["audio"], GOOD, OURS, MAJORITY, ["emotion: too low"])
    table = report.table()
    assert "emotion: too low" in table and "0.600" in table and "0.300" in table


def test_the_mean_cosine_is_that_of_all_pairs_of_different_vectors() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(3, 4, 8)
    pairs = []
    for group in vectors:
        for i, a in enumerate(group):
            for j, b in enumerate(group):
                if i != j:
                    pairs.append(float(a @ b / (math.sqrt(a @ a) * math.sqrt(b @ b))))
    assert _mean_cosine(vectors) == pytest.approx(sum(pairs) / len(pairs), abs=1e-4)
    assert _mean_cosine(torch.ones(2, 3, 8)) == 1.0 and _mean_cosine(torch.ones(2, 1, 8)) == 0.0

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
        found = alarms({"face": {**GOOD["audio"], kind: value}}, OURS, MAJORITY)
        assert bool(found) == rings
        assert not rings or (len(found) == 1 and "face" in found[0] and told in found[0])


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

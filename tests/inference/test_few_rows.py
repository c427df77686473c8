"""Layers that take few rows the other way round compute the same numbers, and only where it pays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nanoemox.inference import few_rows
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.few_rows import MOST_ROWS, FewRowsLinear, for_few_rows
from tests.inference.test_analyzer import make_clip


@pytest.fixture
def _everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """On any processor, and for layers of any size."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(few_rows, "LEAST_WEIGHTS", 1)


def pair(bias: bool, dtype: torch.dtype) -> tuple[nn.Linear, nn.Linear]:
    """A layer as it was, and one that shares its weights."""
    torch.manual_seed(0)
    usual = nn.Linear(96, 40, bias=bias).to(dtype)
    other = nn.Sequential(nn.Linear(96, 40, bias=bias).to(dtype))
    other.load_state_dict({f"0.{name}": value for name, value in usual.state_dict().items()})
    for_few_rows(other)
    return usual, other[0]


@pytest.mark.usefixtures("_everywhere")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1), (4, 5), (1, MOST_ROWS), (2, MOST_ROWS), (0, 3)])
def test_both_ways_give_the_same_numbers(bias: bool, shape: tuple[int, int]) -> None:
    usual, other = pair(bias, torch.bfloat16)
    assert type(other) is FewRowsLinear and type(usual) is nn.Linear
    rows = torch.randn(*shape, 96, dtype=torch.bfloat16)
    with torch.inference_mode():
        expected, found = usual(rows), other(rows)
    assert found.shape == expected.shape == (*shape, 40) and found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.usefixtures("_everywhere")
def test_other_types_and_training_are_left_alone() -> None:
    usual, other = pair(True, torch.float32)
    rows = torch.randn(3, 96)
    with torch.inference_mode():
        assert torch.equal(usual(rows), other(rows))
    usual, other = pair(True, torch.bfloat16)
    rows = torch.randn(3, 96, dtype=torch.bfloat16)
    for layer in (usual, other):
        layer(rows).square().sum().backward()
    assert torch.equal(usual.weight.grad, other.weight.grad)


def test_small_layers_and_other_processors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    large = nn.Sequential(nn.Linear(1024, 512), nn.Linear(1024, 511))
    for_few_rows(large)
    assert [type(layer) for layer in large] == [FewRowsLinear, nn.Linear]
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    large = nn.Sequential(nn.Linear(1024, 512))
    for_few_rows(large)
    assert type(large[0]) is nn.Linear


@pytest.mark.usefixtures("_everywhere")
def test_the_analyzer_answers_through_them(
    model: Any, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = FewRowsLinear.forward

    def spy(layer: Any, value: torch.Tensor) -> torch.Tensor:
        rows.append(value.numel() // layer.in_features)
        return forward(layer, value)

    analyzer = EmotionAnalyzer(model.bfloat16(), processor, "toy")
    names = set(analyzer.model.state_dict())
    monkeypatch.setattr(FewRowsLinear, "forward", spy)
    result = analyzer.analyze(make_clip(), "Happy", ["reasoning", "empathy"], max_new_tokens=3)
    assert {1, 2} & set(rows) and result["reasoning"].text
    assert names == set(model.state_dict())

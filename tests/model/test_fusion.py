"""The experts and their gate."""

from __future__ import annotations

import pytest
import torch

from nanoemox.model.fusion import FusionEncoder
from tests.tiny import tiny_config


@pytest.fixture
def fusion() -> FusionEncoder:
    torch.manual_seed(0)
    return FusionEncoder(tiny_config(fusion_tokens=2)).eval()


def test_shapes_and_gate(fusion):
    tokens, gate = fusion(torch.randn(3, 5, 48), torch.randn(3, 4, 48))  # five frames, four audio windows
    assert tokens.shape == (3, 2, 32) and gate.shape == (3, 3)
    torch.testing.assert_close(gate.sum(dim=1), torch.ones(3))
    assert (gate > 0).all()
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1])  # one merged token, repeated


def test_gate_depends_on_the_clip(fusion):
    _, gate = fusion(3 * torch.randn(8, 4, 48), 3 * torch.randn(8, 4, 48))
    assert gate.std(dim=0).min() > 1e-3


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_each_depth_has_its_own_expert(fusion, depth):
    """Closing the gate on all experts but one leaves exactly that expert's view of its own depth."""
    video, audio = torch.randn(2, 4, 48), torch.randn(2, 4, 48)
    with torch.no_grad():
        fusion.gate[-1].bias[:] = -1e9
        fusion.gate[-1].bias[depth] = 0
    hidden, _ = fusion.mix(video, audio)
    part = slice(16 * depth, 16 * depth + 16)
    expert = fusion.experts[depth]
    expected = expert(fusion.audio_projection(audio[..., part]), fusion.video_projection(video[..., part]))
    torch.testing.assert_close(hidden, expected)

"""Calibrated parts do to raw features what fresh parts do to standardised ones."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import cosine_similarity

from nanoemox.calibration import calibrate

KINDS = {"video": (4, 16), "audio": (3, 16), "face": (4, 8)}


@pytest.fixture
def features():
    """Like real frozen features: a mean much larger than what differs between clips, and uneven scales."""
    torch.manual_seed(0)
    widths = {f"{kind}_features": (64, *shape) for kind, shape in KINDS.items()}
    widths |= {"video_taps": (64, 4, 48), "audio_taps": (64, 3, 48)}

    def draw(*shape):
        return torch.randn(shape) * (0.2 + torch.rand(shape[-1])) + 10 * torch.randn(shape[-1])

    return {name: draw(*shape) for name, shape in widths.items()}


def standardised(x):
    flat = x.flatten(0, -2)
    return (x - flat.mean(0)) / flat.std(0)


@pytest.mark.parametrize("kind", KINDS)
def test_same_as_standardising_first(model, features, kind):
    fresh = copy.deepcopy(model)
    size = model.get_input_embeddings().weight.std()
    assert calibrate(model, {f"{kind}_features": features[f"{kind}_features"]}) == [f"{kind}_adapter"]
    ours = getattr(model, f"get_{kind}_features")(features[f"{kind}_features"])
    expected = size * getattr(fresh, f"get_{kind}_features")(standardised(features[f"{kind}_features"]))
    torch.testing.assert_close(ours, expected, atol=2e-3, rtol=2e-3)


def test_clips_get_tokens_of_their_own(model, features):
    def across(x):
        tokens = model.get_video_features(x).mean(dim=1)
        return cosine_similarity(tokens[:1], tokens[1:], dim=-1).mean()

    assert across(features["video_features"]) > 0.99
    assert "fusion" in calibrate(model, features)
    assert across(features["video_features"]) < 0.9
    tokens, gate = model.get_fusion_features(features["video_taps"], features["audio_taps"])
    assert gate.std(dim=0).min() > 1e-3
    assert 0.2 < tokens.std() / model.get_input_embeddings().weight.std() < 5

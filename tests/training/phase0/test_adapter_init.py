"""Calibrated parts do to raw features what fresh parts do to standardised ones."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import cosine_similarity

from nanoemox.media.clip import AUDIO_WINDOWS, FRAMES_PER_CLIP
from nanoemox.training.phase0.adapter_init import calibrate
from tests.tiny import tiny_config

KINDS = {"video": (4, 16), "audio": (3, 16), "face": (4, 8)}


@pytest.fixture
def features():
    """Like real frozen features: a mean much larger than what differs between clips, and uneven scales."""
    torch.manual_seed(0)
    widths = {f"{kind}_features": (64, *shape) for kind, shape in KINDS.items()}

    def draw(*shape):
        return torch.randn(shape) * (0.2 + torch.rand(shape[-1])) + 10 * torch.randn(shape[-1])

    drawn = {name: draw(*shape) for name, shape in widths.items()}
    for kind in ("video", "audio"):  # one projection reads all three depths: here they are alike
        drawn[f"{kind}_fusion_features"] = draw(64, *KINDS[kind]).repeat(1, 1, 3)
    return drawn


def media_of(features):
    return [{name: value[i] for name, value in features.items()} for i in range(64)]


def standardised(x):
    flat = x.flatten(0, -2)
    return (x - flat.mean(0)) / flat.std(0)


@pytest.mark.parametrize("kind", KINDS)
def test_same_as_standardising_first(model, features, kind, monkeypatch):
    fresh = copy.deepcopy(model)
    monkeypatch.setattr(model, "encode", lambda **encoded: encoded)
    calibrate(model, media_of(features))
    ours = getattr(model, f"get_{kind}_features")(features[f"{kind}_features"])
    expected = getattr(fresh, f"get_{kind}_features")(standardised(features[f"{kind}_features"]))
    torch.testing.assert_close(ours, expected, atol=2e-3, rtol=2e-3)


def test_fusion_is_the_same_as_standardising_first(model, features, monkeypatch):
    fresh = copy.deepcopy(model)
    monkeypatch.setattr(model, "encode", lambda **encoded: encoded)
    calibrate(model, media_of(features))
    features_read = [features[name] for name in ("video_fusion_features", "audio_fusion_features")]
    tokens, gate = model.get_fusion_features(*features_read)
    expected, expected_gate = fresh.get_fusion_features(*map(standardised, features_read))
    torch.testing.assert_close(gate, expected_gate, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(tokens, expected, atol=2e-3, rtol=2e-3)


def test_clips_get_tokens_of_their_own(model, features, monkeypatch):
    def across(x):
        tokens = model.get_video_features(x).mean(dim=1)
        return cosine_similarity(tokens[:1], tokens[1:], dim=-1).mean()

    assert across(features["video_features"]) > 0.99
    monkeypatch.setattr(model, "encode", lambda **encoded: encoded)
    calibrate(model, media_of(features))
    assert across(features["video_features"]) < 0.9
    _, gate = model.get_fusion_features(features["video_fusion_features"], features["audio_fusion_features"])
    assert gate.std(dim=0).min() > 1e-3


def test_features_are_those_of_the_model(model):
    config, media = tiny_config(), []
    side = config.vision_config.image_size
    for i in range(20):
        random = torch.Generator().manual_seed(i)
        pixels = torch.randn(FRAMES_PER_CLIP, 3, side, side, generator=random) * 0.2 + 2  # nearly all alike
        sound = torch.randn(AUDIO_WINDOWS, 1600, generator=random)
        media.append({"pixel_values_videos": pixels, "face_pixel_values": pixels, "input_values": sound})
    features = model.encode(**{name: torch.stack([m[name] for m in media]) for name in media[0]})
    attention = model.face_adapter.attention
    width = config.face_feature_width
    before = attention.in_proj_weight[width:].clone()
    calibrate(model, media)
    flat = features["face_features"].flatten(0, 1)
    standard = (flat - flat.mean(dim=0)) / (flat.std(dim=0) + 1e-4)
    found = flat @ attention.in_proj_weight[width:].T + attention.in_proj_bias[width:]
    torch.testing.assert_close(found, standard @ before.T, atol=2e-2, rtol=1e-2)

"""Shapes of the frozen encoders, and that a clip's features do not depend on its batch mates."""

from __future__ import annotations

import pytest
import torch

from nanoemox.model.encoders import AudioEncoder, FaceEncoder, VisionEncoder
from tests.tiny import tiny_config


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_vision_features_and_taps_are_the_states_they_name():
    config = tiny_config()
    encoder = VisionEncoder(config).eval()
    pixels = torch.randn(2, 4, 3, 24, 24)
    features, taps = encoder(pixels)
    assert features.shape == (2, 4, 16) and taps.shape == (2, 4, 48)
    states = encoder.model(pixels.flatten(0, 1), output_hidden_states=True).hidden_states
    torch.testing.assert_close(features, states[-2][:, 0].unflatten(0, (2, 4)))
    torch.testing.assert_close(taps[..., 16:32], states[2][:, 0].unflatten(0, (2, 4)))


def test_audio_features_average_the_last_states_and_time():
    encoder = AudioEncoder(tiny_config()).eval()
    sound = torch.randn(2, 3, 8000)
    features, taps = encoder(sound)
    assert features.shape == (2, 3, 16) and taps.shape == (2, 3, 48)
    output = encoder.model(sound[0], output_hidden_states=True)
    last = torch.stack([output.hidden_states[-2], output.last_hidden_state]).mean(dim=(0, 2))
    torch.testing.assert_close(features[0], last)
    torch.testing.assert_close(taps[0, :, 32:], output.last_hidden_state.mean(dim=1))  # with the final norm


def test_two_seconds_are_ninety_nine_steps():
    encoder = AudioEncoder(tiny_config()).eval()
    assert encoder.model(torch.randn(1, 32_000)).last_hidden_state.shape[1] == 99


def test_face_stage_maps_are_taken_before_merging():
    encoder = FaceEncoder(tiny_config()).eval()
    maps = encoder.stage_maps(torch.randn(2, 3, 24, 24))
    assert [tuple(stage.shape) for stage in maps] == [(2, 8, 12, 12), (2, 16, 6, 6)]
    assert encoder.fuse(maps).shape == (2, 8)


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [(VisionEncoder, (3, 4, 3, 24, 24)), (AudioEncoder, (3, 3, 8000)), (FaceEncoder, (3, 4, 3, 24, 24))],
)
def test_batch_equals_single(encoder, shape):
    encoder = encoder(tiny_config()).eval()
    media = torch.randn(shape)
    media[1] *= 7  # a loud or bright neighbour changes nothing

    def features(x):
        output = encoder(x)
        return torch.cat(output, dim=-1) if isinstance(output, tuple) else output

    with torch.no_grad():
        together = features(media)
        alone = torch.cat([features(row[None]) for row in media])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)

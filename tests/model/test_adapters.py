"""Shapes and meaning of the adapters."""

from __future__ import annotations

import pytest
import torch

from nanoemox.model.adapters import FaceAdapter, QFormerAdapter
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from tests.tiny import tiny_config


@pytest.fixture
def qformer() -> QFormerAdapter:
    torch.manual_seed(0)
    return NanoEmoXForConditionalGeneration(tiny_config(max_frames=6)).eval().video_adapter


def test_shapes(qformer):
    assert qformer(torch.randn(2, 4, 16)).shape == (2, 5, 32)
    face = NanoEmoXForConditionalGeneration(tiny_config()).face_adapter
    assert isinstance(face, FaceAdapter)
    assert face(torch.randn(2, 7, 8)).shape == (2, 2, 32)


def test_order_of_steps_counts_for_the_qformer_only(qformer):
    features = torch.randn(1, 4, 16)
    assert (qformer(features) - qformer(features.flip(1))).abs().max() > 1e-2
    face = NanoEmoXForConditionalGeneration(tiny_config()).eval().face_adapter  # as in the official code
    frames = torch.randn(1, 4, 8)
    torch.testing.assert_close(face(frames), face(frames.flip(1)))


def test_too_many_steps_are_refused_with_both_numbers(qformer):
    with pytest.raises(ValueError, match="at most 6 time steps, got 7"):
        qformer(torch.randn(1, 7, 16))


def test_fresh_tokens_differ_within_a_clip_and_across_clips(qformer):
    """A Q-Former whose weights start too small gives every clip the same tokens."""
    tokens = qformer(torch.randn(32, 4, 16))
    within = torch.nn.functional.cosine_similarity(tokens[:, :1], tokens[:, 1:], dim=-1)
    across = torch.nn.functional.cosine_similarity(tokens[:1], tokens[1:], dim=-1)
    assert within.mean() < 0.7 and across.mean() < 0.9

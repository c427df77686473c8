"""What the small encoders learn from, against formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nanoemox.training.phase0.losses import (
    FaceObjective,
    SceneObjective,
    Standardised,
    VoiceObjective,
    strength_loss,
    weighted,
)
from nanoemox.training.phase0.views import _compatible, present
from tests.tiny import tiny_config

NAN = float("nan")


def cross_entropy(logits: Tensor, target: int) -> float:
    return float(logits.exp().sum().log() - logits[target])


def binary(logit: Tensor, truth: float) -> float:
    chance = 1 / (1 + math.exp(-float(logit)))
    return -(truth * math.log(chance) + (1 - truth) * math.log(1 - chance))


def smooth(difference: Tensor) -> float:
    size = difference.abs()
    return float(torch.where(size < 1, difference**2 / 2, size - 0.5).mean())


def test_parts_count_once_unless_they_have_a_weight() -> None:
    parts = {"a": torch.tensor(2.0, requires_grad=True), "b": torch.tensor(3.0)}
    found = weighted(parts, {"b": 0.5})
    assert float(found["loss"].detach()) == 2 + 0.5 * 3
    assert {name: float(value) for name, value in found["parts"].items()} == {"a": 2, "b": 3}
    assert not found["parts"]["a"].requires_grad and found["loss"].requires_grad


def test_strength_is_judged_among_clips_of_the_kind_where_it_is_known() -> None:
    logits = torch.tensor([[0.5, -1.0], [2.0, 0.3], [9.0, 9.0]])
    found = strength_loss(logits, torch.tensor([1, 0, 0]), torch.tensor([1.0, 0.0, NAN]))
    expected = (binary(logits[0, 1], 1) + binary(logits[1, 0], 0)) / 2
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(strength_loss(logits, torch.tensor([1, 0, 0]), torch.full((3,), NAN))) == 0


def test_standardised_reads_mean_0_and_variance_1() -> None:
    torch.manual_seed(0)
    layer = Standardised(4, 3).train()
    x = 5 + 3 * torch.randn(2, 50, 4)
    flat = x.flatten(0, 1)
    standard = (flat - flat.mean(0)) / flat.std(0, correction=0)
    expected = (standard @ layer.linear.weight.T + layer.linear.bias).unflatten(0, (2, 50))
    torch.testing.assert_close(layer(x), expected, atol=1e-4, rtol=1e-4)


def test_face_objective() -> None:
    torch.manual_seed(0)
    objective = FaceObjective(tiny_config(), 5, 3, 4, {"units": 2.0}).eval()
    pixels, units = torch.randn(3, 2, 3, 24, 24), torch.randn(3, 2, 5)
    cues, group = torch.tensor([[0.0, 1, 0], [1, 1, 0], [0, 0, 1]]), torch.tensor([3, 0, 1])
    with torch.no_grad():
        found = objective(pixels, units, cues, group, torch.tensor([1.0, NAN, 0.0]))
        features = objective.encoder(pixels)
        pooled = features.mean(dim=1)
        heads = [head(pooled) for head in objective.heads[1:]]
        expected = {
            "units": smooth(objective.heads[0](features) - units),
            "cues": sum(binary(heads[0][i, j], float(cues[i, j])) for i in range(3) for j in range(3)) / 9,
            "group": sum(cross_entropy(heads[1][i], int(group[i])) for i in range(3)) / 3,
            "strength": (binary(heads[2][0, 3], 1) + binary(heads[2][2, 1], 0)) / 2,
        }
    assert {name: float(value) for name, value in found["parts"].items()} == pytest.approx(expected, rel=1e-4)
    assert float(found["loss"]) == pytest.approx(sum(expected.values()) + expected["units"], rel=1e-4)


def test_voice_objective() -> None:
    """Clusters of masked steps of the last window alone; tracks of all; manner from the whole windows before it."""
    torch.manual_seed(0)
    config = tiny_config()
    objective = VoiceObjective(config, 6, 3, 4, 5, {"clusters": 0.3}).eval()
    sound = torch.randn(2, 3, 4000)
    steps = objective.encoder.model(sound[0]).last_hidden_state.shape[1]
    masked = torch.zeros(2, steps, dtype=torch.bool)
    masked[0, 2:5] = masked[1, 1:3] = True
    clusters, tracks = torch.randint(6, (2, steps)), torch.randn(2, 3, steps, 3)
    cues, style = torch.tensor([[0.0, 1, 0, 1], [1, 0, 0, 1]]), torch.tensor([4, 2])
    with torch.no_grad():
        found = objective(sound, masked, clusters, tracks, cues, style, torch.tensor([0.0, NAN]))
        where = torch.zeros(2, 3, steps, dtype=torch.bool)
        where[:, 2] = masked
        output = objective.encoder.model(
            sound.flatten(0, 1), mask_time_indices=where.flatten(0, 1), output_hidden_states=True
        )
        states = ((output.hidden_states[-2] + output.last_hidden_state) / 2).unflatten(0, (2, 3))
        told = [
            cross_entropy(objective.clusters(states[row, 2, step]), int(clusters[row, step]))
            for row in range(2)
            for step in range(steps)
            if masked[row, step]
        ]
        whole = states[:, :2].mean(dim=2)
        read = zip(objective.cues, (whole.mean(dim=1), whole[:, 0], whole[:, 1]), strict=True)
        pooled = sum(layer(features) for layer, features in read)
        expected = {
            "clusters": sum(told) / len(told),
            "tracks": smooth(objective.tracks(states) - tracks),
            "cues": sum(binary(pooled[i, j], float(cues[i, j])) for i in range(2) for j in range(4)) / 8,
            "strength": binary(objective.strength(whole.mean(dim=1))[0, 4], 0),
        }
    assert {name: float(value) for name, value in found["parts"].items()} == pytest.approx(expected, rel=1e-4)
    whole_loss = sum(expected.values()) - 0.7 * expected["clusters"]
    assert float(found["loss"]) == pytest.approx(whole_loss, rel=1e-4)


def test_scene_objective() -> None:
    """Pictures find their captions and captions their pictures, those that mean the same to equal shares."""
    torch.manual_seed(0)
    objective = SceneObjective(tiny_config(), 30, 2, [4, 5, 2], {"contrast": 0.5}).eval()
    pixels, ids = torch.randn(3, 3, 24, 24), torch.tensor([[5, 6, 2], [7, 8, 2], [5, 9, 2]])
    classes = torch.tensor([[3, 0, 1], [0, 4, 0], [1, 2, 1]])
    same = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    with torch.no_grad():
        found = objective(pixels, ids, torch.ones_like(ids), classes, same)
        output = objective.encoder.model(pixels, output_hidden_states=True)
        states = output.hidden_states[objective.encoder.feature_layer]
        read = objective.text(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output
        texts = objective.text_projection(read)
        costs = []
        for projection, view in zip(objective.projections, (states[:, 0], output.pooler_output), strict=True):
            seen = projection(view)
            cosines = torch.stack([torch.stack([a @ b / a.norm() / b.norm() for b in texts]) for a in seen])
            logits = cosines * math.exp(2.0)
            for scores in (logits, logits.T):
                for row in range(3):
                    shares = same[row] / same[row].sum()
                    costs.append(sum(float(shares[j]) * cross_entropy(scores[row], j) for j in range(3)))
        patches = objective.patch_head(states[:, 1:]).exp().sum(dim=1).log()
        expected = {"contrast": sum(costs) / len(costs)}
        for k, name in enumerate(("place", "prop", "light")):
            scores = objective.heads[k](states[:, 0])
            expected[name] = sum(cross_entropy(scores[i], int(classes[i, k])) for i in range(3)) / 3
        expected["prop_patches"] = sum(cross_entropy(patches[i], int(classes[i, 1])) for i in range(3)) / 3
    assert {name: float(value) for name, value in found["parts"].items()} == pytest.approx(expected, rel=1e-4)
    whole = sum(expected.values()) - 0.5 * expected["contrast"]
    assert float(found["loss"]) == pytest.approx(whole, rel=1e-4)


def test_captions_may_be_silent_about_the_face() -> None:
    seen = ("kitchen", "vase", "dim")
    assert _compatible((*seen, "smile"), (*seen, "smile")) and _compatible((*seen, ""), (*seen, "smile"))
    assert _compatible((*seen, "smile"), (*seen, "")) and not _compatible((*seen, "smile"), (*seen, "frown"))
    for place in range(3):
        other = [*seen, ""]
        other[place] = "another"
        assert not _compatible((*seen, ""), tuple(other))


def test_present_is_one_for_what_is_there() -> None:
    assert present(["b", "x"], ["a", "b", "c"]).tolist() == [0, 1, 0]

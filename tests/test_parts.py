"""benchmarks/parts.py: what it counts, on a tiny model and made-up numbers."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanoemox.data.schema import Record
from nanoemox.inference.analyzer import EmotionAnalyzer

PARTS = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "parts.py"))
T, C = 8, 8


def made(model: Any, number: int = 12) -> tuple[list[Record], dict[str, dict[str, torch.Tensor]]]:
    """Clips of four people whose features are their own, with two emotions."""
    random, records, store = torch.Generator().manual_seed(0), [], {}
    side = model.config.vision_config.image_size
    for i in range(number):
        records.append(
            Record(
                id=f"r{i}",
                text="words",
                labels={"emotion": {"label": ("anger", "fear")[i % 2]}},
                factors={"person": f"p{i % 4}", "face": "still", "voice": "flat", "prop": ("a", "b")[i % 2]},
            )
        )
        pixels = torch.randn(1, T, 3, side, side, generator=random)
        sound = torch.randn(1, C, 1600, generator=random)
        store[f"r{i}"] = {name: value[0] for name, value in model.encode(pixels, pixels, sound).items()}
    return records, store


def test_one_expert_alone_and_the_mean_stand_in_for_the_gate(model: Any, processor: Any) -> None:
    analyzer = EmotionAnalyzer(model, processor)
    records, store = made(model)
    features = {n: torch.stack([store[r.id][n] for r in records]) for n in store["r0"]}
    fed = (features["video_fusion_features"], features["audio_fusion_features"])
    seen: dict[str, Any] = {}

    def kept(records: Any, *_: Any) -> list[Any]:
        seen[str(len(seen))] = model.get_fusion_features(*fed)[1]
        return []

    PARTS["experts_of"].__globals__["answers"] = kept
    assert list(PARTS["experts_of"](analyzer, records, store)) == [
        "gate", "expert_0", "expert_1", "expert_2", "mean",
    ]  # fmt: skip
    assert torch.allclose(seen["2"], torch.tensor([0.0, 1.0, 0.0]).expand_as(seen["2"]), atol=1e-6)
    assert torch.allclose(seen["4"], torch.full_like(seen["4"], 1 / 3))
    assert torch.equal(model.get_fusion_features(*fed)[1], seen["0"])  # the gate is as it was
    gates = PARTS["gate_of"](analyzer, records, store)
    assert np.allclose(gates["mean"], seen["0"].detach().mean(dim=0).numpy(), atol=1e-4)
    assert sum(gates["largest"]) == 1 and set(gates["by_factor"]["emotion"]["mean"]) == {"anger", "fear"}


def test_attention_that_is_even_is_told(model: Any, processor: Any) -> None:
    records, store = made(model)
    PARTS["attention_of"].__wrapped__.__globals__["strength_over_time"] = lambda record: np.linspace(0, 1, T)
    for record in records:
        assert record.factors is not None
        record.factors["face"] = "smile"
    with torch.no_grad():
        width = model.config.face_width
        model.face_adapter.attention.in_proj_weight[width : 2 * width] = 0  # keys that say nothing
    even = PARTS["attention_of"](EmotionAnalyzer(model, processor), records, store)
    assert even["evenness"] == 1.0 and even["queries_differ_by"] == 0.0 and even["clips"] == 12
    assert even["relative_weight"]["apex"] == 1.0 and even["frames"]["rest"] == 24


def test_the_expression_rises_and_falls_as_the_clip_was_planned() -> None:
    strength = PARTS["strength_over_time"](Record(id="test-1-000001", text="x"))
    assert strength.shape == (T,) and strength[0] < 0.3 and strength.max() > 0.8


def test_probes_read_what_is_there_and_no_more() -> None:
    random = np.random.default_rng(0)
    people = [f"p{i % 15}" for i in range(90)]
    truth = [("a", "b")[i % 2] for i in range(90)]
    rows = random.normal(size=(90, 5))
    assert 0.2 < PARTS["probe"](rows, truth, people) < 0.8
    rows[:, 0] += [4.0 if value == "a" else -4.0 for value in truth]
    assert PARTS["probe"](rows, truth, people) > 0.95
    known, chance = PARTS["known_again"](rows, people)
    assert known < 0.4 and chance == round(1 / 15, 4)
    rows = np.concatenate([rows, 9 * np.eye(15)[[i % 15 for i in range(90)]]], axis=1)
    assert PARTS["known_again"](rows, people)[0] > 0.9
    assert PARTS["known_again"](rows[:4], people[:4]) == (None, None)

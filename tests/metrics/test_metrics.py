"""Scores against scikit-learn, hand-made cases and the official scorers' recorded results."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from nanoemox.metrics import bootstrap, classification, label_sets
from nanoemox.metrics.text import corpus_dist_n, cue_f1, dist_n, distinct

REFERENCE = Path(os.environ.get("NANOEMOX_REFERENCE", Path(__file__).parents[2].parent / "shared" / "golden"))


def recorded(name: str) -> Any:
    path = REFERENCE / name
    if not path.is_file():
        pytest.skip(f"no recorded results at {path}; set NANOEMOX_REFERENCE")
    return json.loads(path.read_text(encoding="utf-8"))


def labels(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    truth = rng.choices("abc", [5, 3, 1], k=n)
    return truth, [t if rng.random() < 0.6 else rng.choice("abcd") for t in truth]


def test_accuracy_and_f1_agree_with_scikit_learn() -> None:
    truth, said = labels(300)
    assert classification.accuracy(truth, said)["value"] == pytest.approx(
        reference.accuracy_score(truth, said), abs=1e-6
    )
    expected = reference.f1_score(truth, said, average="weighted", zero_division=0)
    assert classification.weighted_f1(truth, said)["value"] == pytest.approx(expected, abs=1e-6)
    expected = reference.f1_score(truth, said, average="macro", labels=["a", "b", "c"])
    assert classification.macro_f1(truth, said)["value"] == pytest.approx(expected, abs=1e-6)


def test_no_answer_counts_as_wrong() -> None:
    figure = classification.accuracy(["a", "a"], ["a", None])
    assert (figure["value"], figure["n"]) == (0.5, 2)
    assert classification.weighted_f1(["a", "a"], ["a", None])["value"] == pytest.approx(2 / 3, abs=1e-6)


def test_nothing_to_score_is_no_value() -> None:
    assert classification.accuracy([], []) == {"value": None, "low": None, "high": None, "n": 0}
    assert cue_f1([{}], [{}])["value"] is None
    assert label_sets.set_scores([set()], [{"a"}])["f1"]["n"] == 0
    assert dist_n(["one"])["value"] is None


def test_interval_holds_the_value_is_repeatable_and_wider_for_few_speakers() -> None:
    truth, said = labels(200)
    by_clip = classification.accuracy(truth, said)
    assert by_clip["low"] < by_clip["value"] < by_clip["high"]
    assert by_clip == classification.accuracy(truth, said)
    # One speaker always right and one always wrong: clips of one speaker tell the same thing twice.
    hits, speakers = [1.0] * 50 + [0.0] * 50, ["p"] * 50 + ["q"] * 50
    clustered, plain = bootstrap.mean(hits, speakers), bootstrap.mean(hits)
    assert clustered["high"] - clustered["low"] > 3 * (plain["high"] - plain["low"])


def test_interval_covers_the_truth_about_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        rows = np.stack([(rng.random(80) < 0.7).astype(float), np.ones(80)], axis=1)
        figure = bootstrap.estimate(rows, lambda s: s[..., 0] / s[..., 1], seed=seed)
        covered += figure["low"] <= 0.7 <= figure["high"]
    assert 0.88 <= covered / 200 <= 0.99


def test_set_scores_take_means_first() -> None:
    scores = label_sets.set_scores([{"a", "b"}, {"c"}], [{"a"}, set()])
    assert scores["precision"]["value"] == 0.5
    assert scores["recall"]["value"] == 0.25
    assert scores["f1"]["value"] == pytest.approx(1 / 3, abs=1e-6)


def test_words_of_one_group_are_one_answer() -> None:
    assert label_sets.groups_of(["delighted", "Joyful", "zesty"]) == {"joyful", "zesty"}


def test_more_labels_buy_hits_and_cost_precision() -> None:
    truth = ["angry", "sad", "of no list"]
    few = label_sets.hit_rate(truth, [["furious"], ["happy"], []])
    many = label_sets.hit_rate(truth, [["furious", "happy"], ["happy", "sad"], ["of no list", "sad"]])
    assert [few[key]["value"] for key in few] == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert [many[key]["value"] for key in many] == pytest.approx([1.0, 0.5, 2.0])
    assert label_sets.hit_rate([], [])["hit_rate"]["value"] is None


def test_cue_f1_counts_pairs_and_tells_sources_apart() -> None:
    truth = [{"face": ["wide eyes", "raised brows"], "voice": ["a lively pace"]}, {"face": ["a still face"]}]
    said = [{"face": ["Wide eyes"], "scene": ["a spider"]}, {"voice": ["a still face"]}]
    assert cue_f1(truth, said)["value"] == pytest.approx(2 * 1 / (4 + 3), abs=1e-6)
    assert cue_f1(truth, said, "face")["value"] == pytest.approx(2 * 1 / (3 + 1), abs=1e-6)
    assert cue_f1(truth, said, "words")["value"] is None


def test_distinct_pairs() -> None:
    assert distinct("a b a b") == pytest.approx(2 / 3)
    assert dist_n(["a b a b", "x y"])["value"] == pytest.approx(5 / 6, abs=1e-6)
    assert corpus_dist_n(["a b", "a b"])["value"] == 0.5


def test_published_dist_n() -> None:
    for case in recorded("metrics_avamerg.json")["dist"]:
        for n in (1, 2, 3):
            value = dist_n(case["responses"], n)["value"] or 0.0
            assert value == pytest.approx(case[f"dist{n}"], abs=2e-6)


def test_published_intent_scores() -> None:
    for case in recorded("metrics_mintrec.json")["cases"]:
        if case["mapping"] is not None:
            continue
        pairs = [(t, case["name2pred"].get(name)) for name, t in case["name2gt"].items()]
        pairs = [
            (t, s) for t, s in pairs if s is not None
        ]  # their scorer skips clips without an answer; ours does not
        if not pairs:
            continue
        truth, said = zip(*pairs, strict=True)
        assert 100 * classification.accuracy(truth, said)["value"] == pytest.approx(
            case["result"]["Intent_Accuracy"], abs=6e-3
        )
        assert 100 * classification.weighted_f1(truth, said)["value"] == pytest.approx(
            case["result"]["Weighted_F1"], abs=6e-3
        )


def test_scores_on_wheels_by_hand() -> None:
    """ "grateful" shares the basic emotion of "joyful" and no sector of another wheel."""
    truth, said = [["joyful"], ["sad", "zesty"]], [["grateful"], ["gloomy"]]
    scores = label_sets.wheel_scores(truth, said)
    assert scores["f1_basic"]["value"] == pytest.approx(2 * 1 * 0.75 / 1.75, abs=1e-6)
    for wheel in ("plutchik", "parrott", "willcox"):
        assert scores[f"f1_{wheel}"]["value"] == pytest.approx(2 * 0.5 * 0.25 / 0.75, abs=1e-6)
    mean = (2 * 0.75 / 1.75 + 3 * (2 * 0.125 / 0.75)) / 4
    assert scores["f1"]["value"] == pytest.approx(mean, abs=1e-6)
    assert scores["precision"]["value"] == pytest.approx((1 + 3 * 0.5) / 4)
    assert scores["f1"]["low"] <= scores["f1"]["value"] <= scores["f1"]["high"]
    assert label_sets.wheel_scores([["calm"]], [[]])["f1"]["value"] == 0
    assert label_sets.wheel_scores([[]], [["calm"]])["f1"]["value"] is None


def test_several_statistics_of_one_drawing_are_those_of_each_alone() -> None:
    rows = np.random.default_rng(1).random((50, 2))
    parts = {"a": lambda s: s[..., 0], "b": lambda s: s[..., 1]}
    both = bootstrap.estimates(rows, parts, seed=4)
    assert both == {name: bootstrap.estimate(rows, part, seed=4) for name, part in parts.items()}

"""Classes, confusion and calibration, against scikit-learn and cases counted by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sklearn import metrics as reference

from nanoemox.data.schema import Prediction
from nanoemox.scoring.class_report import break_down, calibration, class_figures, confusion
from nanoemox.tasks.labels import Labels

LABELS = ["anger", "fear", "happiness"]


def prediction(clip: str, task: str, **fields: Any) -> Prediction:
    return Prediction(id=clip, task=task, task_version=1, **fields)


def sample(n: int = 200) -> tuple[list[str], list[str]]:
    rng = random.Random(3)
    truth = [rng.choice(LABELS) for _ in range(n)]
    return truth, [t if rng.random() < 0.6 else rng.choice([*LABELS, "awe", ""]) for t in truth]


def test_classes_are_those_of_scikit_learn() -> None:
    truth, said = sample()
    precision, recall, f1, n = reference.precision_recall_fscore_support(truth, said, labels=LABELS)
    for i, row in enumerate(class_figures(truth, said)):
        assert (row["label"], row["true"], row["said"]) == (LABELS[i], n[i], said.count(LABELS[i]))
        assert row["precision"]["value"] == pytest.approx(precision[i], abs=1e-6)
        assert row["recall"]["value"] == pytest.approx(recall[i], abs=1e-6)
        assert row["f1"]["value"] == pytest.approx(f1[i], abs=1e-6)
        assert row["f1"]["low"] < row["f1"]["value"] < row["f1"]["high"]


def test_a_class_that_is_never_said_has_no_precision_and_an_f1_of_nought() -> None:
    (row,) = class_figures(["anger", "anger"], ["", "fear"])
    assert (row["precision"]["value"], row["recall"]["value"], row["f1"]["value"]) == (None, 0.0, 0.0)


def test_no_clip_is_missing_from_the_confusion_matrix() -> None:
    truth, said = sample()
    table = confusion(truth, said, order=["happiness", "calm"])
    assert table["true"] == ["happiness", "anger", "fear"]
    assert table["said"] == ["happiness", "anger", "fear", "another label", "no answer"]
    assert sum(map(sum, table["counts"])) == len(truth)
    assert sum(row[3] for row in table["counts"]) == said.count("awe")
    assert sum(row[4] for row in table["counts"]) == said.count("")
    assert table["counts"][1][1] == sum(t == s == "anger" for t, s in zip(truth, said, strict=True))


def test_calibration_by_hand() -> None:
    shares = [{"Anger": 0.8, "Fear": 0.2}] * 4 + [{"Anger": 0.45, "Fear": 0.55}] * 2 + [{}]
    truth = ["anger", "anger", "fear", "fear", "fear", "fear", "fear"]
    found = calibration(truth, shares)
    assert found["ece"]["value"] == pytest.approx((4 * 0.3 + 2 * 0.45) / 6, abs=1e-6)
    assert found["overconfidence"]["value"] == pytest.approx((4 * 0.3 - 2 * 0.45) / 6, abs=1e-6)
    assert found["ece"]["n"] == 6
    full = [row for row in found["bins"] if row["n"]]
    assert [(row["n"], row["confidence"], row["accuracy"]) for row in full] == [(2, 0.55, 1.0), (4, 0.8, 0.5)]
    assert calibration(["fear"], [{"Fear": 1.0}])["ece"]["value"] == 0


def test_groups_by_what_was_present_hold_every_clip_once() -> None:
    labels = {name: Labels(emotion={"label": "fear"}) for name in "abcd"}
    lines = [
        prediction("a", "emotion", label="fear", modalities={"video": "present", "text": "no words"}),
        prediction("b", "emotion", label="awe", modalities={"video": "present", "audio": "present"}),
        prediction("c", "emotion", error="it is empty"),
    ]
    found = break_down(labels, lines)
    assert found.routes["emotion"] == {"no answer": 3}
    groups = found.by_modalities
    assert {name: group["clips"] for name, group in groups.items()} == {
        "video": 1,
        "audio + video": 1,
        "could not be read": 1,
        "no answer": 1,
    }
    values = {name: group["figures"]["emotion.accuracy"]["value"] for name, group in groups.items()}
    assert values == {"video": 1, "audio + video": 0, "could not be read": 0, "no answer": 0}


def test_routes_say_how_labels_were_found() -> None:
    lines = [
        prediction("a", "open_vocabulary", text="The character's emotional state is sad."),
        prediction("b", "open_vocabulary", text="I think that she feels rather sad about it."),
        prediction("c", "open_vocabulary", error="it is empty"),
    ]
    labels = {name: Labels(open_vocabulary={"labels": ["sad"]}) for name in "abc"}
    routes = break_down(labels, lines, tasks=["open_vocabulary"]).routes
    assert routes == {
        "open_vocabulary": {"answer grammar": 1, "words in running text": 1, "no answer": 1},
    }

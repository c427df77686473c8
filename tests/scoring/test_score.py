"""Figures of predictions against labels: perfect answers, missing ones, constant ones."""

from __future__ import annotations

from typing import Any

import pytest

from nanoemox.data.schema import Prediction
from nanoemox.scoring.score import Scores, constant_predictions, majority, score
from nanoemox.tasks.grammar import Answer
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS
from nanoemox.theatre.script import stage_script

_LABELS: dict[str, dict[str, Any]] = {
    "a": {
        "sentiment": {"polarity": "positive"},
        "emotion": {"label": "happiness"},
        "open_vocabulary": {"labels": ["delighted", "proud"]},
        "intent": {"label": "ask for help"},
        "reasoning": {
            "text": "x",
            "cues": {"face": ["cheeks raised"], "words": ["words of praise"]},
        },
        "empathy": {
            "emotion": "happiness",
            "cause": "the trophy",
            "reply": "Well done!",
            "cause_in_words": True,
        },
    },
    "b": {
        "sentiment": {"valence": -0.6},
        "emotion": {"label": "Anger"},
        "open_vocabulary": {"labels": ["furious"]},
        "intent": {"label": "Complain"},
        "reasoning": {"text": "x", "cues": {"voice": ["a harsh tone"]}},
        "empathy": {
            "emotion": "anger",
            "cause": "the late clock",
            "reply": "I see.",
            "cause_in_words": False,
        },
    },
}


LABELS = {clip: Labels(**labels) for clip, labels in _LABELS.items()}


def perfect() -> list[Prediction]:
    """Predictions that say just what the labels say."""
    return [
        Prediction.of(clip, name, task.parse(task.target(labels) or ""))
        for clip, labels in LABELS.items()
        for name, task in TASKS.items()
    ]


def test_the_labels_themselves_score_one() -> None:
    figures = score(LABELS, perfect())
    free = {"labels_per_answer", "off_list_rate", "dist_1", "dist_2", "dist_2_corpus"}
    for task, row in figures.items():
        for name, figure in row.items():
            if name not in free and figure["value"] is not None:
                assert figure["value"] == 1, (task, name)
    assert figures["intent"]["off_list_rate"]["value"] == 0
    assert figures["empathy"]["cause_accuracy_unmentioned"]["n"] == 1
    assert figures["reasoning"]["cue_f1_scene"]["value"] is None


def test_the_figure_of_causes_is_split_by_whether_the_words_mention_them() -> None:
    """Four clips mention the cause, of which three are named rightly; of two that do not, none is."""
    labels: dict[str, Labels] = {}
    answers: list[Prediction] = []
    for index, (mentioned, right) in enumerate([(True, i < 3) for i in range(4)] + [(False, False)] * 2):
        known = {"emotion": "anger", "cause": "the clock", "reply": "Oh.", "cause_in_words": mentioned}
        labels[str(index)] = Labels(empathy=known)
        said = "the clock" if right else "a parcel"
        answer = Answer(thinking={"emotion": "anger", "cause": said}, reply="Oh.")
        answers.append(Prediction.of(str(index), "empathy", answer))
    figures = score(labels, answers, tasks=["empathy"])["empathy"]
    found = {
        name: (figure["value"], figure["n"]) for name, figure in figures.items() if name.startswith("cause")
    }
    assert found == {
        "cause_accuracy": (0.5, 6),
        "cause_accuracy_mentioned": (0.75, 4),
        "cause_accuracy_unmentioned": (0.0, 2),
    }


def test_theatre_labels_survive_the_way_to_text_and_back() -> None:
    """What a model is trained to write scores 1 everywhere, so the figures leave room for a perfect model."""
    labels = {str(i): Labels(**stage_script(i, 4, "test").record()["labels"]) for i in range(60)}
    lines: list[Prediction] = []
    for clip, known in labels.items():
        for name, task in TASKS.items():
            answer = task.parse(task.target(known) or "")
            assert answer.warnings == ()
            lines.append(Prediction.of(clip, name, answer))
    free = {"labels_per_answer", "off_list_rate", "dist_1", "dist_2", "dist_2_corpus"}
    for row in score(labels, lines).values():
        assert {figure["value"] for name, figure in row.items() if name not in free} == {1.0}


def test_missing_answers_count_as_wrong_and_order_does_not_matter() -> None:
    lines = [line for line in perfect() if line.id == "a"]
    lines.append(Prediction.of("b", "emotion", Answer(), error="unreadable"))
    figures = score(LABELS, lines)
    assert figures == score(LABELS, reversed(lines))
    for task in ("emotion", "intent"):
        assert figures[task]["accuracy"]["value"] == 0.5
        assert figures[task]["accuracy"]["n"] == 2
    assert figures["sentiment"]["accuracy_from_open_vocabulary"]["value"] == 0.5
    assert figures["reasoning"]["cue_f1"]["value"] == pytest.approx(0.8)
    assert figures["empathy"]["reply_rate"]["value"] == 0.5


def test_an_answer_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'a', emotion"):
        score(LABELS, [*perfect(), perfect()[1]])


def test_majority_is_the_best_constant_answer() -> None:
    train = [LABELS["a"], LABELS["a"], LABELS["b"]]
    constant = majority(train, list(TASKS))
    assert constant["emotion"] == Answer(label="happiness")
    assert constant["sentiment"] == Answer(polarity="positive")
    assert constant["open_vocabulary"].labels == ("joyful", "proud")
    assert constant["reasoning"].cues["face"] == ("cheeks raised",)
    assert constant["reasoning"].text.endswith("Together this points to happiness.")
    assert constant["empathy"].thinking["cause"] == "the trophy"
    assert majority([Labels()], list(TASKS)) == {}


def test_the_majority_answer_scores_as_often_as_it_is_right() -> None:
    constant = constant_predictions(LABELS, majority([LABELS["a"]], ["emotion", "intent"]))
    scores = score(LABELS, constant)
    assert list(scores) == ["emotion", "intent"] and len(scores) == 2
    assert scores.headline("emotion") == scores.value("intent", "accuracy") == 0.5
    assert scores.value("emotion", "no such figure") is None and scores.value("empathy", "dist_1") is None
    assert scores.to_dict()["emotion"]["accuracy"]["n"] == 2


def test_polarity_is_read_off_open_words_only_where_these_were_asked_for() -> None:
    lines = [line for line in perfect() if line.task == "sentiment"]
    assert "weighted_f1_from_open_vocabulary" not in score(LABELS, lines)["sentiment"]
    assert score(LABELS, perfect())["sentiment"]["accuracy_from_open_vocabulary"]["value"] == 1
    assert Scores() == score({}, perfect())

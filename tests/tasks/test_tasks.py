"""Questions frozen in golden files, answers that survive the way back, and parsers that forgive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanoemox.tasks.closed import EMOTION, ClosedTask
from nanoemox.tasks.empathy import names_same
from nanoemox.tasks.grammar import Answer
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.reasoning import Cues
from nanoemox.tasks.sentiment import SENTIMENT, polarity_of
from nanoemox.tasks.task import TASKS, select

GOLDEN = Path(__file__).parent / "golden" / "tasks.json"
LABELS: dict[str, Any] = {
    "sentiment": {"polarity": "negative", "valence": -0.8, "range": [-1, 1]},
    "emotion": {"label": "anger"},
    "open_vocabulary": {"labels": ["furious", "resentful"]},
    "intent": {"label": "Ask for help"},
    "reasoning": {
        "text": "The brows are lowered.",
        "cues": {
            "face": ["lowered brows", "pressed lips"],
            "voice": ["a harsh tone"],
            "scene": ["a broken vase"],
            "words": ["words of praise"],
        },
    },
    "empathy": {
        "event": "an accident",
        "emotion": "anger",
        "cause": "the broken vase",
        "goal": "calm the speaker",
        "reply": "That vase meant a lot. I understand.",
    },
}


KNOWN = Labels(**LABELS)


def prompts_and_answers() -> dict[str, dict[str, Any]]:
    """What a model is asked and trained to answer, word for word."""
    return {
        name: {"version": task.version, "question": task.question(), "answer": task.target(KNOWN)}
        for name, task in TASKS.items()
    } | {
        "emotion, own candidates": {"question": TASKS["emotion"].question(["joy", "grief"])},
        "sentiment, a number": {
            "question": SENTIMENT.question_in(-1, 1),
            "answer": SENTIMENT.target_in(KNOWN),
        },
        "reasoning, sound only": {"answer": TASKS["reasoning"].target(KNOWN, ["audio"])},
    }


def test_prompts_are_as_recorded() -> None:
    """A change of wording needs a new version in the task file and a new golden file (delete it, run)."""
    now = prompts_and_answers()
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(now, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert now == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_six_tasks_with_the_published_tags() -> None:
    tags = {name: task.tag for name, task in TASKS.items()}
    assert tags == {
        "sentiment": "",
        "emotion": "[Recognition]",
        "open_vocabulary": "[Recogn_OV]",
        "intent": "[Intent]",
        "reasoning": "[Inference]",
        "empathy": "[Interaction]",
    }
    closed = {name: len(task.defaults) for name, task in TASKS.items() if isinstance(task, ClosedTask)}
    assert closed == {"sentiment": 3, "emotion": 7, "intent": 20}


def test_default_candidates_are_not_listed_and_others_are() -> None:
    task = EMOTION
    assert task.question(["Sadness", *task.defaults[:5], "surprise"]) == task.question()
    assert "joy, grief" in task.question(["joy", "grief"])
    assert task.candidates(Labels(emotion={"label": "joy", "candidates": ["joy", "grief"]})) == [
        "joy",
        "grief",
    ]
    assert task.candidates(Labels()) == task.candidates() == list(task.defaults)
    assert TASKS["empathy"].candidates(Labels()) is None


@pytest.mark.parametrize("name", TASKS)
def test_no_label_no_target(name: str) -> None:
    assert TASKS[name].target(Labels()) is None


def test_a_target_reads_back_as_its_labels() -> None:
    answers = {name: task.parse(task.target(KNOWN) or "") for name, task in TASKS.items()}
    assert answers["sentiment"].polarity == "negative"
    assert answers["emotion"].label == "anger"
    assert answers["open_vocabulary"].labels == ("furious", "resentful")
    assert answers["intent"].label == "Ask for help"
    assert {k: list(v) for k, v in answers["reasoning"].cues.items()} == LABELS["reasoning"]["cues"]
    assert answers["reasoning"].label == "anger"
    assert answers["empathy"].reply == LABELS["empathy"]["reply"]
    assert dict(answers["empathy"].thinking) == {k: v for k, v in LABELS["empathy"].items() if k != "reply"}
    assert all(answer.warnings == () for answer in answers.values())


def test_polarity_follows_from_valence() -> None:
    assert (
        TASKS["sentiment"].target(Labels(sentiment={"valence": 0.4}))
        == "The character's sentiment state is positive."
    )
    assert [polarity_of(v) for v in (-0.1, 0.0, 0.1)] == ["negative", "neutral", "positive"]
    assert TASKS["sentiment"].parse("The valence score is -0.50.").valence == -0.5
    assert TASKS["sentiment"].parse("9" * 400).valence is None  # more than a number can hold
    assert SENTIMENT.target_in(Labels(sentiment={"polarity": "neutral"})) is None


def test_reasons_keep_to_the_modalities_that_were_perceived() -> None:
    task = TASKS["reasoning"]
    assert task.target(KNOWN, ["video"]) == (
        "Face: lowered brows, pressed lips. Scene: a broken vase. Together this points to anger."
    )
    assert task.target(KNOWN, []) is None
    assert task.target(Labels(reasoning={"text": "free text"})) == "free text"
    assert Cues(voice=["x"], face=[]).of() == {"voice": ("x",)}


@pytest.mark.parametrize(
    ("name", "text", "label", "listed"),
    [
        ("emotion", "The most likely label is Anger.", "anger", True),
        ("emotion", "the MOST LIKELY label is: anger", "anger", True),
        ("emotion", "anger", "anger", True),
        ("emotion", "The character's emotional state is sadness.", "sadness", True),
        ("emotion", "I would say that it is fear.", "fear", True),
        ("emotion", "<think>anger or fear?</think> The most likely label is fear.", "fear", True),
        ("emotion", "The most likely label is angst.", "angst", False),
        ("emotion", "anger or fear", "anger or fear", False),
        ("emotion", "", None, False),
        ("intent", "ask for help", "Ask for help", True),
        ("intent", " Complain.\n", "Complain", True),
        ("intent", "Complaining", "Complaining", False),
        ("sentiment", "Negative", "negative", True),
        ("sentiment", "The character's sentiment state is mixed.", "mixed", False),
    ],
)
def test_closed_labels_are_read_tolerantly(name: str, text: str, label: str | None, listed: bool) -> None:
    answer = TASKS[name].parse(text)
    assert answer.label == label
    assert (answer.warnings == ()) == listed


@pytest.mark.parametrize(
    "text",
    [
        "The character's emotional state is sad, calm.",
        "the character's emotional states are sad, calm, sad",
        "[sad, 'calm']",
        "sad and calm",
        "The character's emotional state is sad, calm. And then some more.",
    ],
)
def test_label_lists_are_read_tolerantly(text: str) -> None:
    assert TASKS["open_vocabulary"].parse(text).labels == ("sad", "calm")


CHAIN = (
    "Firstly, the event scenario of this conversation is: a delay\n"
    "secondly, The Emotion of the speaker is Fear.\n"
)
REST = "Thirdly, the emotion cause is c\nFourthly, the goal to response is g\n"


@pytest.mark.parametrize(
    ("text", "reply", "complaints"),
    [
        (
            f"<think>\n{CHAIN}{REST}</think>\nHi.",
            "Hi.",
            [],
        ),
        (
            f"<think>\n{CHAIN}Thirdly, the emotion cause is: c\nFourthly, the goal to response is: g\nHi.",
            "Hi.",
            ["closed"],
        ),
        (
            f"{CHAIN}Thirdly, the emotion cause is c\nFourthly, the goal to response is g\n</think> Hi.",
            "Hi.",
            [],
        ),
        (f"<THINK>{CHAIN}Thirdly, the emotion cause is c", None, ["closed", "goal", "no reply"]),
    ],
)
def test_the_chain_is_read_from_closed_and_unclosed_blocks(
    text: str, reply: str | None, complaints: list[str]
) -> None:
    answer = TASKS["empathy"].parse(text)
    assert answer.thinking["event"] == "a delay"
    assert answer.thinking["emotion"] == "fear"
    assert answer.thinking["cause"] == "c"
    assert answer.reply == reply
    assert len(answer.warnings) == len(complaints)
    assert all(word in warning.text for word, warning in zip(complaints, answer.warnings, strict=True))


def test_a_bare_reply_is_a_reply() -> None:
    answer = TASKS["empathy"].parse("That sounds hard.")
    assert (answer.reply, dict(answer.thinking)) == ("That sounds hard.", {})
    assert TASKS["empathy"].target(Labels(empathy={"reply": "That sounds hard."})) == "That sounds hard."


def test_cut_and_free_reasons() -> None:
    cut = TASKS["reasoning"].parse("face: Wide Eyes, raised brows, wide eyes. Voice: a har")
    assert cut.cues == {"face": ("wide eyes", "raised brows"), "voice": ("a har",)}
    assert cut.label is None
    assert TASKS["reasoning"].parse("He smiles.").warnings != ()


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "text", ["", "\n", "<think>", "</think>", "Face:", "[]", ".", "is is is", "\x00�🙂" * 50]
)
def test_no_text_breaks_a_parser(name: str, text: str) -> None:
    assert isinstance(TASKS[name].parse(text), Answer)


def test_unknown_tasks_are_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'mood'; tasks are: sentiment, emotion"):
        select(["emotion", "mood"])
    with pytest.raises(ValueError, match="no task was named"):
        select([])
    assert [task.name for task in select(["empathy", "emotion"])] == ["emotion", "empathy"]


def test_a_chain_in_one_line_is_read_link_by_link() -> None:
    chain = (
        "<think>Firstly, the event scenario of this conversation is: a lost key. Secondly, the emotion of the speaker "
        "is sad. Thirdly, the emotion cause is: the key; fourthly, the goal to response is: comfort.</think> I see."
    )
    answer = TASKS["empathy"].parse(chain)
    assert answer.thinking == {
        "event": "a lost key",
        "emotion": "sad",
        "cause": "the key",
        "goal": "comfort",
    }
    assert answer.reply == "I see."


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("the late clock", True),
        ("Late clock.", True),
        ("the late clock in the station", True),
        ("the clock", False),
        ("the trophy, the vase, the letter, the spider and the late clock", False),
        ("", False),
    ],
)
def test_naming_a_cause(given: str, same: bool) -> None:
    assert names_same("the late clock", given) == same


def test_labels_know_the_tasks_and_nothing_else() -> None:
    labels = Labels(emotion={"label": "joy"})
    assert labels.get("emotion") == labels.emotion == EMOTION.label(labels)
    assert labels.get("intent") is None and labels.intent is None and labels.tasks == ("emotion",)
    assert labels == Labels(emotion=labels.emotion) != Labels()
    with pytest.raises(AttributeError):
        labels.mood  # noqa: B018
    with pytest.raises(ValueError, match="mood"):
        Labels(mood={})


def test_another_systems_answer_is_read_with_its_route_and_faults() -> None:
    sentiment = TASKS["sentiment"]
    assert sentiment.stated({"valence": 0.0, "label": "positive"}) == 0.0  # nought is a valence too
    assert sentiment.stated({"polarity": "", "label": "positive"}) == "positive"
    reading = sentiment.read("rather mixed")
    assert reading.route == "label" and [fault.kind for fault in reading.faults] == ["label outside the list"]
    emotion = EMOTION.read("The most likely label is fear, anger.")
    assert (emotion.route, emotion.answer.labels) == ("answer grammar", ("fear", "anger"))
    assert TASKS["open_vocabulary"].label_from("...") is None
    assert (
        TASKS["intent"].stated({"label": "Thank"}) == "Thank"
        and TASKS["empathy"].stated({"label": "x"}) is None
    )

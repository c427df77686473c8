"""The facade with a toy model: a shared prefix changes nothing, what is absent is said, chances add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nanoemox.checkpoints.load import ModelError, load_config
from nanoemox.files.errors import ArgumentError
from nanoemox.inference import decoding
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Request
from nanoemox.media.clip import Clip, empty_clip
from nanoemox.tasks.closed import EMOTION
from nanoemox.tasks.task import TASKS
from tests.tiny import tiny_clip


def make_clip(seed: int = 0, *, video: bool = True, audio: bool = True, **changes: Any) -> Clip:
    """A `Clip` of the toy model's shapes."""
    toy = tiny_clip(seed, video=video, audio=audio)
    values: dict[str, Any] = {
        "path": f"clip-{seed}.mp4",
        "frames": toy.frames,
        "audio_windows": toy.audio_windows,
        "frame_times_s": (0.0, 1.0, 2.0, 3.0) if video else (),
        "audio_starts_s": (0.0, 0.5, 1.0) if audio else (),
        "duration_s": 4.0,
        "audio_coverage": 1.0 if audio else None,
        "waveform": None,
        "modalities": {
            "video": "present" if video else "the file has no pictures",
            "audio": "present" if audio else "the file has no sound",
        },
        "warnings": (),
    }
    return Clip(**values | changes)


@pytest.fixture
def analyzer(model: Any, processor: Any) -> EmotionAnalyzer:
    return EmotionAnalyzer(model, processor, "toy")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights never end an answer: cut them early."""
    for name, task in TASKS.items():
        monkeypatch.setitem(TASKS, name, replace(task, max_new_tokens=6))


def prompt_ids(analyzer: EmotionAnalyzer, modalities: set[str], task: str = "emotion") -> torch.Tensor:
    prompt = analyzer.processor.prompt(TASKS[task].question(), modalities=modalities, text="I am so happy")
    return analyzer.processor.training_batch([prompt])["input_ids"]


@pytest.mark.parametrize("modalities", [{"video", "audio"}, {"audio"}, {"video"}, set()])
def test_shared_prefix_gives_what_generate_gives(analyzer: EmotionAnalyzer, modalities: set[str]) -> None:
    clip = make_clip(video="video" in modalities, audio="audio" in modalities)
    media = {name: value[None] for name, value in analyzer.processor.media(clip).items()}
    rows = [prompt_ids(analyzer, modalities, task) for task in TASKS]
    model, limits = analyzer.model, [12, 3, 9, 1, 12, 5]
    branches, gate = decoding.read_prompts(model, [[row[0].tolist() for row in rows]], model.encode(**media))
    answers = decoding.write(model, branches, limits, analyzer._ends)
    assert (gate is not None) == (modalities == {"video", "audio"})
    for row, limit, (tokens, ended) in zip(rows, limits, answers, strict=True):
        expected = model.generate(
            input_ids=row,
            attention_mask=torch.ones_like(row),
            **media,
            max_new_tokens=limit,
            do_sample=False,
            eos_token_id=analyzer.processor.end_ids,
            pad_token_id=0,
            suppress_tokens=list(model.config.placeholder_ids.values()),
        )[0, row.shape[1] :].tolist()
        assert tokens == [token for token in expected if token not in analyzer.processor.end_ids]
        assert ended == (len(tokens) < limit)


def test_likelihood_is_that_of_the_loss(analyzer: EmotionAnalyzer) -> None:
    clip, task, model = make_clip(), EMOTION, analyzer.model
    media = {name: value[None] for name, value in analyzer.processor.media(clip).items()}
    row = prompt_ids(analyzer, {"video", "audio"})
    answers = analyzer._answer_ids(task, ["anger", "fear", "happiness"])
    branches, _ = decoding.read_prompts(model, [[row[0].tolist()]], model.encode(**media))
    scores = decoding.log_likelihoods(model, branches, [(0, answers)])[0].log_p
    for answer, score in zip(answers, scores.tolist(), strict=True):
        ids = torch.cat([row, torch.tensor([answer])], dim=1)
        labels = torch.cat([torch.full_like(row, -100), torch.tensor([answer])], dim=1)
        with torch.no_grad():
            loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, **media).loss
        assert score == pytest.approx(-loss.item() * len(answer), rel=1e-4)


def test_candidates_in_parts_score_alike(analyzer: EmotionAnalyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    row = prompt_ids(analyzer, set())[0].tolist()
    branches, _ = decoding.read_prompts(analyzer.model, [[row, [*row, 5]]], {})
    answers = [[7, 8, 1], [9, 1], [4, 5, 6, 1]]
    whole = decoding.log_likelihoods(analyzer.model, branches, [(0, answers), (1, answers[:1])])
    monkeypatch.setattr(decoding, "ROWS_AT_ONCE", 2)
    parts = decoding.log_likelihoods(analyzer.model, branches, [(0, answers), (1, answers[:1])])
    assert [len(p.log_p) for p in parts] == [3, 1]
    torch.testing.assert_close(torch.cat([p.log_p for p in parts]), torch.cat([w.log_p for w in whole]))
    assert [p.start for p in parts] == [w.start for w in whole]
    # Long prompts count by their tokens: each candidate has a copy of them.
    monkeypatch.setattr(decoding, "TOKENS_AT_ONCE", len(row) + 1)
    took: list[int] = []
    take = decoding.Branches.take
    monkeypatch.setattr(
        decoding.Branches, "take", lambda self, rows: took.append(len(rows)) or take(self, rows)
    )
    one_by_one = decoding.log_likelihoods(analyzer.model, branches, [(0, answers), (1, answers[:1])])
    assert took == [1] * 4
    torch.testing.assert_close(torch.cat([o.log_p for o in one_by_one]), torch.cat([w.log_p for w in whole]))


@pytest.mark.usefixtures("short")
def test_six_answers(analyzer: EmotionAnalyzer) -> None:
    result = analyzer.analyze(make_clip(), text="I am so happy for you.")
    assert list(result) == list(TASKS)
    assert result.modalities == {"video": "present", "audio": "present", "text": "present"}
    assert result.experts is not None
    assert sum(result.experts) == pytest.approx(1, abs=1e-4)
    for name in ("sentiment", "emotion", "intent"):
        closed = result[name]
        assert set(closed.probabilities) == set(TASKS[name].candidates() or ())
        assert sum(closed.probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert closed.label == max(closed.probabilities, key=closed.probabilities.__getitem__)
        assert closed.answer == closed.label
    chances = result["sentiment"].probabilities
    assert result["sentiment"].score == pytest.approx(chances["positive"] - chances["negative"], abs=1e-5)
    assert result["sentiment"].polarity == result["sentiment"].label
    assert ("answer_cut", "the answer was cut at 6 tokens") in result["empathy"].warnings
    written = json.loads(json.dumps(result.to_dict()))
    assert {"clip", "model", "modalities", "tasks", "warnings", "timing_s"} <= written.keys()
    assert written["clip"] == "clip-0.mp4"
    assert set(written["tasks"]["emotion"]) >= {"answer", "label", "probabilities", "text"}
    assert set(result.timing_s) == {"load", "encode", "answer", "total"}


def cut_at(analyzer: EmotionAnalyzer, answers: Any) -> dict[str, int]:
    """At how many tokens each answer was cut, as its warning says; random weights never end one."""
    cut = {
        name: [w.text for w in result.warnings if w.code == "answer_cut"] for name, result in answers.items()
    }
    return {name: int(text.split()[-2]) for name, (text,) in cut.items()}


@pytest.mark.usefixtures("short")
def test_an_answer_is_as_long_as_the_user_the_model_or_the_task_allows(
    analyzer: EmotionAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[list[int]] = []
    write = decoding.write

    def spy(model: Any, branches: Any, most: Any, *rest: Any) -> Any:
        limits.append(list(most))
        return write(model, branches, most, *rest)

    monkeypatch.setattr(decoding, "write", spy)
    tasks, clip = ["emotion", "empathy"], make_clip()
    assert cut_at(analyzer, analyzer.analyze(clip, tasks=tasks)) == {"emotion": 6, "empathy": 6}
    analyzer.model.generation_config.task_max_new_tokens = {"empathy": 3, "of another world": 9}
    assert cut_at(analyzer, analyzer.analyze(clip, tasks=tasks)) == {"emotion": 6, "empathy": 3}
    asked = [Request(clip, None, None, tasks, max_new_tokens=number) for number in (5, None)]
    first, second = (cut_at(analyzer, answers.tasks) for answers in analyzer.answer_batch(asked))
    assert first == {"emotion": 5, "empathy": 5} and second == {"emotion": 6, "empathy": 3}
    assert cut_at(analyzer, analyzer.analyze(clip, tasks=tasks, max_new_tokens=2)) == dict.fromkeys(tasks, 2)
    assert limits == [[6, 6], [6, 3], [5, 5, 6, 3], [2, 2]]
    with pytest.raises(ArgumentError, match="max_new_tokens: expected a whole number above 0, got 0"):
        analyzer.analyze(clip, tasks=tasks, max_new_tokens=0)


@pytest.mark.usefixtures("short")
def test_the_prompt_makes_room_for_the_answer(analyzer: EmotionAnalyzer) -> None:
    analyzer.model.config.text_config.max_position_embeddings = 400

    def cut(number: int | None) -> bool:
        asked = analyzer.analyze(make_clip(), "happy " * 10, ["emotion"], max_new_tokens=number)
        return any(warning.code == "text_cut" for warning in asked.warnings)

    prompt = analyzer.processor.prompt(
        TASKS["emotion"].question(), modalities={"video", "audio"}, text="happy " * 10
    )
    room = 400 - analyzer.processor.training_batch([prompt])["input_ids"].shape[1]
    assert not cut(None) and not cut(room) and cut(room + 1)
    analyzer.model.generation_config.task_max_new_tokens = {"emotion": room + 1}
    assert cut(None)
    with pytest.raises(
        ArgumentError, match=r"prompt of at most 20 tokens.*an answer may have 380.*max_new_tokens"
    ):
        analyzer.analyze(make_clip(), "happy", ["emotion"], max_new_tokens=380)


@pytest.mark.usefixtures("short")
def test_a_batch_answers_as_one_clip_alone(analyzer: EmotionAnalyzer) -> None:
    requests = [
        Request(make_clip(1), "So happy.", None, ["emotion", "empathy"]),
        Request(make_clip(2, video=False), None, [{"role": "user", "text": "Why?"}], ["intent"]),
        Request(
            make_clip(3, audio=False), "A somewhat longer line of words than the first.", None, ["emotion"]
        ),
        Request(empty_clip("only words"), "Happy", None, ["sentiment", "reasoning"]),
    ]
    together = analyzer.answer_batch(requests)
    for request, batched in zip(requests, together, strict=True):
        alone = analyzer.answer_batch([request])[0]
        assert batched.modalities == alone.modalities
        assert (batched.experts is None) == (alone.experts is None)
        for name, result in alone.tasks.items():
            assert batched.tasks[name].text == result.text
            assert batched.tasks[name].probabilities == pytest.approx(result.probabilities, abs=1e-4)


@pytest.mark.usefixtures("short")
def test_stored_features_answer_as_their_clip(analyzer: EmotionAnalyzer) -> None:
    clip = make_clip(4)
    media = {name: value[None] for name, value in analyzer.processor.media(clip).items()}
    stored = {name: value[0] for name, value in analyzer.model.encode(**media).items()}
    other = Request(make_clip(5), "Happy", None, ["emotion"])
    from_clip = analyzer.answer_batch([Request(clip, "Happy", None, ["emotion"]), other])
    from_store = analyzer.answer_batch([Request(stored, "Happy", None, ["emotion"]), other])
    for mine, theirs in zip(from_store, from_clip, strict=True):
        expected = theirs.tasks["emotion"].probabilities
        assert mine.tasks["emotion"].probabilities == pytest.approx(expected, abs=1e-4)
        assert mine.modalities == theirs.modalities


@pytest.mark.usefixtures("short")
def test_only_some_modalities(analyzer: EmotionAnalyzer) -> None:
    clip = make_clip(6)
    narrowed = analyzer.answer_batch([Request(clip, "Happy", None, ["emotion"], {}, {"audio"})])[0]
    sound = analyzer.answer_batch([Request(make_clip(6, video=False), None, None, ["emotion"])])[0]
    expected = sound.tasks["emotion"].probabilities
    assert narrowed.tasks["emotion"].probabilities == pytest.approx(expected, abs=1e-5)
    assert narrowed.modalities == {
        "video": "left out on request",
        "audio": "present",
        "text": "left out on request",
    }


@pytest.mark.usefixtures("short")
def test_what_is_missing_is_said(analyzer: EmotionAnalyzer) -> None:
    result = analyzer.analyze(make_clip(video=False, audio_coverage=0.4), tasks=["emotion"])
    assert result.experts is None
    assert ("no_video", "no video: the file has no pictures") in result.warnings
    assert ("no_text", "no text: no words were given") in result.warnings
    assert "only 40% of the audio" in {warning.code: warning.text for warning in result.warnings}["audio_cut"]
    silent = make_clip(video=False, audio_windows=np.zeros((3, 8000), np.float32))
    assert "audio_silent" in {w.code for w in analyzer.analyze(silent, tasks=["emotion"]).warnings}
    words = analyzer.analyze(None, text="I am so happy.", tasks=["emotion"])
    assert words.modalities["video"] != "present"
    with pytest.raises(ValueError, match="give the text"):
        analyzer.analyze(None)


@pytest.mark.usefixtures("short")
def test_own_candidates(analyzer: EmotionAnalyzer) -> None:
    result = analyzer.analyze(
        make_clip(), tasks=["emotion"], candidates={"emotion": ["joy", "grief", "awe", "a very long label"]}
    )
    assert list(result["emotion"].probabilities) == ["joy", "grief", "awe", "a very long label"]


@pytest.mark.usefixtures("short")
def test_a_model_of_a_generated_world_says_so(analyzer: EmotionAnalyzer) -> None:
    analyzer.model.config.training_domain = "affect_theatre"
    warnings = {w.code: w.text for w in analyzer.analyze(make_clip(), tasks=["emotion"]).warnings}
    assert "Affect Theatre" in warnings["training_domain"]
    assert "never trained" in warnings["random_weights"]  # the tests' models are


@pytest.mark.usefixtures("short")
def test_too_many_words_are_cut_and_told(analyzer: EmotionAnalyzer) -> None:
    analyzer.model.config.text_config.max_position_embeddings = 400
    turns = [{"role": "user", "text": "Why? " * 30}] * 5
    result = analyzer.analyze(make_clip(), text="happy", dialogue=turns, tasks=["emotion"])
    assert any(w.code == "dialogue_cut" and "last" in w.text for w in result.warnings)
    result = analyzer.analyze(make_clip(), text="happy " * 2000, tasks=["emotion"])
    assert any(w.code == "text_cut" and "characters" in w.text for w in result.warnings)


def test_a_misspelt_task_is_told_first(analyzer: EmotionAnalyzer) -> None:
    with pytest.raises(ValueError, match="unknown task 'mood'"):
        analyzer.analyze("no-such-file.mp4", tasks=["mood"])


@pytest.mark.usefixtures("short")
def test_saved_models_load_and_answer_alike(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    analyzer.model.save_pretrained(tmp_path)
    analyzer.processor.save_pretrained(tmp_path)
    loaded = EmotionAnalyzer.from_pretrained(tmp_path)
    first, again = (a.analyze(make_clip(), "Happy", ["emotion"]) for a in (analyzer, loaded))
    assert again["emotion"].probabilities == pytest.approx(first["emotion"].probabilities, abs=1e-5)
    assert load_config(tmp_path).video_tokens == 5


def test_models_that_do_not_exist_are_told_in_one_line(tmp_path: Path) -> None:
    for name, expected in ((tmp_path, "a model folder with config.json"), (tmp_path / "none", "pico")):
        with pytest.raises(ValueError, match=expected) as error:
            EmotionAnalyzer.from_pretrained(name)
        assert "\n" not in str(error.value)
    assert load_config("nano").text_config.hidden_size == 1536
    with pytest.raises(ValueError, match=r"config\.json"):
        load_config(tmp_path)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_told_at_once(device, tmp_path):
    with pytest.raises(ModelError, match=f"device {device}: cannot be used here"):
        EmotionAnalyzer.from_pretrained(tmp_path, device=device)

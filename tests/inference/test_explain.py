"""What an answer hangs on: muting is what absence is, nothing is encoded twice, and pictures show what was measured."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.explain import Explanation
from nanoemox.inference.explained import explained
from nanoemox.inference.page import render_report
from nanoemox.inference.results import Analysis, Request
from nanoemox.media.clip import empty_clip
from tests.inference.test_analyzer import analyzer as analyzer  # the fixture
from tests.inference.test_analyzer import make_clip
from tests.inference.test_analyzer import short as short
from tests.inference.test_page import Page
from tests.made_up import result

TASKS = ["emotion", "intent", "reasoning"]


def explain(analyzer: EmotionAnalyzer, clip: Any = None, text: str | None = "So happy.") -> Explanation:
    found = analyzer.analyze(clip or make_clip(), text=text, tasks=TASKS, explain=True).explanation
    assert found is not None
    return found


@pytest.mark.usefixtures("short")
def test_muted_is_absent(analyzer: EmotionAnalyzer) -> None:
    found = explain(analyzer)
    assert list(found.without) == ["video", "audio", "text"]
    for name, answers in found.without.items():
        left = {"video", "audio", "text"} - {name}
        request = Request(make_clip(), "So happy.", None, TASKS, modalities=left)
        alone = analyzer.answer_batch([request])[0]
        for task in TASKS:
            assert answers[task].probabilities == pytest.approx(alone.tasks[task].probabilities, abs=2e-6)
            assert answers[task].text == alone.tasks[task].text
            if answers[task].probabilities:
                assert sum(found.change(task, name).values()) == pytest.approx(0, abs=1e-5)
                assert 0 <= found.moved(task, name) <= 1


@pytest.mark.usefixtures("short")
def test_encoders_run_once_and_the_answer_stays(
    analyzer: EmotionAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = analyzer.analyze(make_clip(), text="So happy.", tasks=TASKS)
    calls: list[int] = []
    encode = type(analyzer.model).encode

    def spy(self: Any, *media: Any, **named: Any) -> Any:
        calls.append(sum(value is not None for value in (*media, *named.values())))
        return encode(self, *media, **named)

    monkeypatch.setattr(type(analyzer.model), "encode", spy)
    told = analyzer.analyze(make_clip(), text="So happy.", tasks=TASKS, explain=True)
    assert [number for number in calls if number] == [3]  # pixels twice, and sound
    assert {task: each.to_dict() for task, each in told.items()} == {
        task: each.to_dict() for task, each in plain.items()
    }
    assert plain.explanation is None and "explanation" not in plain.to_dict()


@pytest.mark.usefixtures("short")
def test_the_face_queries_attend_to_frames(analyzer: EmotionAnalyzer) -> None:
    clip = make_clip()
    found = explain(analyzer, clip)
    adapter = analyzer.model.face_adapter
    assert adapter is not None and found.face_attention is not None
    assert len(found.face_attention) == analyzer.model.config.face_tokens
    for row in found.face_attention:
        assert len(row) == 4 and sum(row) == pytest.approx(1, abs=1e-4)
    assert sum(found.frame_shares()) == pytest.approx(1, abs=1e-4)
    # A frame with other features gets other attention: the weights are those that pool the values.
    features = analyzer.model.encode(**{k: v[None] for k, v in analyzer.processor.media(clip).items()})
    faces = features["face_features"]
    with torch.no_grad():
        pooled, weights = adapter.attention(adapter.query_tokens[None], faces, faces, need_weights=True)
        same, _ = adapter.attention(adapter.query_tokens[None], faces, faces, need_weights=False)
    assert torch.allclose(pooled, same, atol=1e-5) and weights is not None
    assert torch.allclose(weights[0], torch.tensor(found.face_attention), atol=1e-5)


@pytest.mark.usefixtures("short")
def test_what_is_alone_cannot_be_muted(analyzer: EmotionAnalyzer) -> None:
    found = explain(analyzer, empty_clip("only words"))
    assert found.without == {} and found.face_attention is None and found.matters_most("emotion") is None
    sound = explain(analyzer, make_clip(video=False), text=None)
    assert sound.without == {} and sound.experts is None
    two = explain(analyzer, make_clip(video=False))
    assert list(two.without) == ["audio", "text"]
    assert "only one modality" in (render_report(told(found)))
    json.dumps(two.to_dict())


def told(explanation: Explanation) -> Analysis:
    clip = make_clip()
    return Analysis(
        clip, "toy", dict(explanation.answers), clip.modalities, None, (), {}, explanation=explanation
    )


def made() -> Explanation:
    """Anger by the voice: without it, sadness."""

    def both(anger: float) -> dict[str, Any]:
        label = "anger" if anger > 0.5 else "sadness"
        emotion = result("emotion", label, label=label, probabilities={"anger": anger, "sadness": 1 - anger})
        return {"emotion": emotion, "empathy": result("empathy", f"{label}!", f"{label}!")}

    return Explanation(
        both(0.9),
        {"video": both(0.85), "audio": both(0.2)},
        (0.1, 0.9, 0.0),
        ((0.5, 0.25, 0.25), (0.1, 0.8, 0.1)),
    )


def test_which_modality_matters_most() -> None:
    found = made()
    assert found.moved("emotion", "audio") == pytest.approx(0.7) and found.matters_most("emotion") == "audio"
    assert found.change("emotion", "audio") == {"anger": 0.7, "sadness": -0.7}
    assert found.matters_most("empathy") is None and found.frame_shares() == pytest.approx(
        (0.3, 0.525, 0.175)
    )
    little = Explanation(found.answers, {"video": found.answers, "audio": found.answers})
    assert little.matters_most("emotion") is None
    whole = found.to_dict()
    assert whole["tasks"]["emotion"]["matters_most"] == "audio"
    assert whole["tasks"]["empathy"]["without"]["audio"] == {
        "answer": "sadness!", "same": False, "text": "sadness!"
    }  # fmt: skip


def test_the_page_shows_it_as_pictures() -> None:
    chart = explained(made())
    assert chart is not None
    [emotion] = chart["closed"]
    video, audio = emotion["rows"]
    assert (audio["other"], video["other"], audio["share"], emotion["most"]) == (
        "sadness",
        None,
        "20\u00a0%",
        "audio",
    )
    assert audio["length"] == pytest.approx(0.7 * (emotion["right"] - emotion["left"]))
    page = Page(render_report(told(made())))
    assert "without audio" in page.text and "20 % · sadness" in page.text
    assert "Most moves without audio : 70 %" in page.text and "30 %" in page.text
    assert sum(tag == "svg" for tag, _ in page.tags) == 2
    cells = [a for tag, a in page.tags if tag == "rect" and "opacity" in (a.get("style") or "")]
    assert len(cells) == 6

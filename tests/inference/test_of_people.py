"""Answers for each person: who gets which crops, audio and text, and what is said of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.of_people import SOMEBODY_ELSE
from nanoemox.inference.results import Analysis
from nanoemox.media.clip import clip_of_arrays
from nanoemox.media.load import load_clip
from tests.people.pictures import WALL, drawn, talking, voice, write

pytest.importorskip("cv2", reason="faces are found with OpenCV (nanoemox[people])")


@pytest.fixture(scope="module")
def pico() -> EmotionAnalyzer:
    return EmotionAnalyzer.from_pretrained("pico", check=False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    places = [(10, 20, 160), (220, 20, 160)]
    frames = [drawn(["a", "b"], places, (400, 192), [0.0, float(mouth)]) for mouth in talking(1.0)]
    return write(tmp_path_factory.mktemp("pair") / "pair.mp4", frames, voice(1.0))


@pytest.fixture(scope="module")
def answered(pico: EmotionAnalyzer, pair: Path) -> Analysis:
    return pico.analyze(pair, text="It was you.", tasks=["emotion"], people=True)


def test_the_listener_gets_no_audio_and_no_words(answered: Analysis) -> None:
    assert answered.people is not None
    speaker, listener = answered.people
    assert set(speaker.modalities.values()) == {"present"}
    assert listener.modalities == {"video": "present", "audio": SOMEBODY_ELSE, "text": SOMEBODY_ELSE}
    assert {warning.code for warning in listener.warnings} == {"no_audio", "no_text"}
    assert all(SOMEBODY_ELSE in warning.text for warning in listener.warnings)


def test_the_answer_is_that_of_the_first_person(answered: Analysis) -> None:
    assert answered.people is not None
    assert answered["emotion"] == answered.people[0].tasks["emotion"]
    assert answered["emotion"].probabilities != answered.people[1].tasks["emotion"].probabilities
    assert answered.text == "It was you." and answered.clip.face_frames is None


def test_what_people_share_is_encoded_once_and_each_answer_is_that_of_a_clip_alone(
    pico: EmotionAnalyzer, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = load_clip(pair)
    encoders = {name: getattr(pico.model, f"{name}_encoder") for name in ("vision", "audio", "face")}
    calls: Counter[str] = Counter()
    with monkeypatch.context() as patched:
        for name, encoder in encoders.items():

            def counted(*given: Any, name: str = name, forward: Any = encoder.forward) -> Any:
                calls[name] += 1
                return forward(*given)

            patched.setattr(encoder, "forward", counted)
        result = pico.analyze(clip, text="It was you.", tasks=["emotion"], people=True)
    assert calls == {"vision": 1, "audio": 1, "face": 2}
    assert result.people is not None
    speaker, listener = result.people
    alone = pico.analyze(replace(clip, face_frames=speaker.person.crops), "It was you.", ["emotion"])
    assert speaker.tasks["emotion"] == alone["emotion"]
    silent = {**clip.modalities, "audio": SOMEBODY_ELSE}
    own = replace(clip, face_frames=listener.person.crops, audio_windows=None, modalities=silent)
    assert listener.tasks["emotion"] == pico.analyze(own, None, ["emotion"])["emotion"]


def test_what_was_cropped_is_in_the_report_and_on_the_page(answered: Analysis) -> None:
    report = json.loads(answered.forms()[".json"]())
    assert report["face_detector"].startswith("BlazeFace") and len(report["people"]) == 2
    for person in report["people"]:
        assert len(person["crops"]) == 8 and person["crop_side_px"] == 224
        assert all(0 <= value <= 1 for crop in person["crops"] for value in crop["box"])
        assert "emotion" in person["tasks"]
    page = answered.forms()[".html"]()
    assert page.count("data:image/jpeg") == 8 + 16 and "2 people were found" in page


def test_without_people_nothing_changes(pico: EmotionAnalyzer, pair: Path) -> None:
    plain = pico.analyze(pair, tasks=["emotion"])
    assert (
        plain.people is None and "people" not in plain.to_dict() and "data:image" in plain.forms()[".html"]()
    )


def test_without_a_face_the_whole_frames_are_answered(pico: EmotionAnalyzer) -> None:
    clip = clip_of_arrays(np.full((8, 96, 96, 3), WALL, np.uint8), voice(2.0))
    plain, looked = (pico.analyze(clip, tasks=["emotion"], people=people) for people in (False, True))
    assert looked["emotion"] == plain["emotion"] and looked.people == ()
    assert [w.code for w in looked.warnings if w not in plain.warnings] == ["no_face"]
    assert "No face was found" in looked.forms()[".html"]()


def test_text_alone_has_no_people(pico: EmotionAnalyzer) -> None:
    with pytest.raises(ArgumentError, match="people"):
        pico.analyze(None, text="Hello.", people=True)


def test_the_official_reading_keeps_whole_frames(
    pico: EmotionAnalyzer, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pico.processor, "compat", "official")
    plain, looked = (pico.analyze(pair, tasks=["emotion"], people=people) for people in (False, True))
    assert looked["emotion"] == plain["emotion"]
    assert looked.people is not None and len(looked.people) == 2 and looked.people[0].tasks == {}
    assert "faces_not_used" in {warning.code for warning in looked.warnings}


def test_a_model_of_crops_gets_aligned_ones_blue_first(
    pico: EmotionAnalyzer, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pico.processor, "compat", "official")
    monkeypatch.setattr(pico.processor, "pictures", "opencv")
    seen = []
    prepared = pico.processor.image_processor

    class Watch:
        crop_size = prepared.crop_size

        def __call__(self, frames, **settings):  # type: ignore[no-untyped-def]
            seen.append(np.stack(frames))
            return prepared(frames, **settings)

    monkeypatch.setattr(pico.processor, "image_processor", Watch())
    from nanoemox.people.find import find_people

    clip = load_clip(pair, compat="official")
    person = find_people(clip).persons[0]
    pico.processor.media(replace(clip, face_frames=person.aligned))
    side = prepared.crop_size["height"]
    assert seen[0].shape == (8, side, side, 3)
    mean = person.aligned.reshape(-1, 3).mean(axis=0)
    assert np.allclose(seen[0].reshape(-1, 3).mean(axis=0), mean[::-1], atol=2)


def test_answers_for_people_are_written_as_those_of_a_clip_alone(
    pico: EmotionAnalyzer, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside open questions closed ones are written; alone they are not, unless that is asked for."""
    seen: list[Any] = []
    answers = pico.answer_batch

    def watched(requests: Any, *more: Any, **named: Any) -> Any:
        seen.extend(request.write for request in requests)
        return answers(requests, *more, **named)

    monkeypatch.setattr(pico, "answer_batch", watched)
    for tasks, asked in ((["emotion", "reasoning"], None), (["emotion"], None), (["emotion"], True)):
        pico.analyze(pair, text="It was you.", tasks=tasks, write=asked, people=True, max_new_tokens=2)
    assert seen == [True, True, False, False, True, True]

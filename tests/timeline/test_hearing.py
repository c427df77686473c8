"""A timeline whose sentences are heard: stretch after stretch, in rows and windows, and on where a run was stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.clip import CodedWarning
from nanoemox.media.subtitles import Sentence
from nanoemox.media.transcribe import SpeechModel, load_speech_model, sentences_heard
from nanoemox.timeline import iterate
from nanoemox.timeline.hearing import Hearing
from nanoemox.timeline.make import make_timeline
from nanoemox.timeline.progress import FILE
from nanoemox.timeline.read import open_recording
from tests.media_files import make_media
from tests.speech import model_folder, pause, said, write_wav

TALK = [Sentence(at, at + 1.6, f"At {at:g}.") for at in (0.3, 2.5, 4.2, 6.9, 9.1, 11.0, 13.4)]
MODEL = SpeechModel("fake", SimpleNamespace(supported_languages=["en", "de"]))


@pytest.fixture(autouse=True)
def stretches(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sections of 5 s, stretches of 6 s, a model that hears TALK; and where the stretches began that were heard."""
    begun: list[float] = []

    def heard(
        path: Path, model: Any, told: Any, start_s: float, end_s: float | None, *tell: Any
    ) -> Iterator[Any]:
        begun.append(round(start_s, 3))
        end_s = end_s or 99.0
        found = [each for each in TALK if each.end_s > start_s + 0.1 and each.start_s < end_s]
        for each in found:
            tell[0]("en")
            yield Sentence(max(each.start_s, start_s), min(each.end_s, end_s), each.text)
        if not found:
            tell[1](CodedWarning("no_speech", "no speech was heard in the audio"))

    for module in ("read", "iterate"):
        monkeypatch.setattr(f"nanoemox.timeline.{module}.SECTION_S", 5.0)
    monkeypatch.setattr("nanoemox.timeline.hearing.HEARD_S", 6.0)
    monkeypatch.setattr("nanoemox.timeline.hearing.sentences_heard", heard)
    return begun


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_media(tmp_path / "a.mkv", 16.0, gop=30)


@pytest.mark.parametrize("by_sentence", [True, False])
def test_sentences_that_are_heard_count_as_those_of_subtitles(
    analyzer: EmotionAnalyzer, video: Path, stretches: list[float], by_sentence: bool
) -> None:
    heard = list(iterate.timeline(analyzer, video, by_sentence=by_sentence, speech=MODEL))
    assert len(stretches) > 2
    assert heard == list(iterate.timeline(analyzer, video, sentences=TALK, by_sentence=by_sentence))
    if by_sentence:
        assert [row.text for row in heard] == [each.text for each in TALK]


@pytest.mark.parametrize("by_sentence", [True, False])
def test_a_run_that_was_stopped_goes_on_hearing_where_it_was(
    analyzer: EmotionAnalyzer,
    video: Path,
    tmp_path: Path,
    stretches: list[float],
    monkeypatch: pytest.MonkeyPatch,
    by_sentence: bool,
) -> None:
    recording = open_recording(video)

    def make(out: str) -> Any:
        return make_timeline(
            analyzer, recording, tmp_path / out, by_sentence=by_sentence, hearing=Hearing(recording, MODEL)
        )

    whole = make("whole")
    assert whole.to_dict()["text_source"] == {"kind": "speech", "name": "fake", "language": "en"}
    all_begun = stretches.copy()
    stretches.clear()
    with monkeypatch.context() as stopped:
        rows = iterate.Sections.rows

        def failing(self: Any, number: int) -> Iterator[Any]:
            if number == 2:
                raise KeyboardInterrupt
            return rows(self, number)

        stopped.setattr(iterate.Sections, "rows", failing)
        with pytest.raises(KeyboardInterrupt):
            make("out")
    assert (tmp_path / "out" / FILE).is_file()
    assert make("out").to_dict() == whole.to_dict()
    assert stretches == all_begun  # none is heard twice
    assert json.loads((tmp_path / "out" / "timeline.json").read_text("utf-8")) == whole.to_dict()


def test_where_nobody_speaks_it_is_said_once(
    analyzer: EmotionAnalyzer, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = open_recording(video)
    assert "no_speech" not in Hearing(recording, MODEL).warnings
    monkeypatch.setitem(globals(), "TALK", TALK[:1])  # the later stretches are silent
    some = make_timeline(analyzer, recording, tmp_path / "some", hearing=Hearing(recording, MODEL))
    monkeypatch.setitem(globals(), "TALK", [])
    none = make_timeline(analyzer, recording, tmp_path / "none", hearing=Hearing(recording, MODEL))
    codes = [[warning.code for warning in made.warnings].count("no_speech") for made in (some, none)]
    assert codes == [0, 1]


def test_a_language_that_the_model_does_not_know_is_told_at_once(video: Path) -> None:
    with pytest.raises(ArgumentError, match="hears 2 languages"):
        Hearing(open_recording(video), MODEL, "xx")


def test_a_talk_is_heard_sentence_by_sentence(
    analyzer: EmotionAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_speech_model(model_folder())
    monkeypatch.setattr("nanoemox.timeline.hearing.sentences_heard", sentences_heard)
    texts = ["Hello, how are you today?", "Nobody knows why the train was late."]
    sound = np.concatenate([pause(1), said(texts[0]), pause(3), said(texts[1]), pause(1)])
    rows = iterate.timeline(analyzer, write_wav(tmp_path / "a.wav", sound), by_sentence=True, speech=model)
    assert [row.text for row in rows] == texts

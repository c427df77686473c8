"""The rows of a recording: as `analyze` reads each window, and each frame and piece of audio encoded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.subtitles import Sentence
from nanoemox.timeline.ask import valence_of
from nanoemox.timeline.iterate import Sections, timeline
from nanoemox.timeline.read import open_recording
from nanoemox.timeline.rows import Row
from nanoemox.timeline.windows import grid_of
from tests.media_files import make_media, tone, write_wav

TASKS = ["emotion", "sentiment"]


def differs(row: Row, analysis: Any) -> float:
    """The largest difference between the probabilities of a row and of an analysis."""
    pairs = [(row.probabilities, analysis["emotion"].probabilities)]
    pairs += [(row.sentiment, analysis["sentiment"].probabilities)]
    assert [set(a) for a, _ in pairs] == [set(b) for _, b in pairs]
    return max(abs(a[label] - b[label]) for a, b in pairs for label in a)


@pytest.mark.parametrize(("window_s", "hop_s", "fps"), [(4, 1, 25), (4, 4, 24), (2, 0.5, 24)])
def test_a_window_of_video_is_what_analyze_reads(
    analyzer: EmotionAnalyzer, tmp_path: Path, window_s: float, hop_s: float, fps: int
) -> None:
    path = make_media(tmp_path / "a.mkv", 8.0, audio=None, fps=fps)
    rows = list(timeline(analyzer, path, window_s, hop_s))
    assert [row.start_s for row in rows] == [i * hop_s for i in range(round((8 - window_s) / hop_s) + 1)]
    assert len({row.valence for row in rows}) > 1  # the frames matter
    for row in rows[:: max(1, len(rows) // 3)]:
        assert row.warnings == ("no_audio",)
        alone = analyzer.analyze(path, start_s=row.start_s, end_s=row.end_s, tasks=TASKS)
        assert differs(row, alone) < 1e-5
        assert row.valence == pytest.approx(alone["sentiment"].score, abs=1e-5)


def test_a_window_of_steady_audio_is_what_analyze_reads(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    """Where all pieces of a window have the same loudness, and the grid has the steps of `analyze` (16 s)."""
    path = write_wav(tmp_path / "a.wav", 0.3 * np.sin(2 * np.pi * 220 * np.arange(24 * 16_000) / 16_000))
    rows = list(timeline(analyzer, path, 16, 8))
    assert [row.end_s for row in rows] == [16, 24]
    for row in rows:
        alone = analyzer.analyze(path, start_s=row.start_s, end_s=row.end_s, tasks=TASKS)
        assert row.warnings == ("no_video",) and differs(row, alone) < 1e-4


def test_where_loudness_changes_a_piece_has_the_loudness_of_the_window_that_ends_with_it(
    analyzer: EmotionAnalyzer, tmp_path: Path
) -> None:
    """This is where a window's answer is not that of `analyze`, as the documentation says."""
    samples = tone(24, 16_000)[0] * np.linspace(0.05, 1, 24 * 16_000)
    path = write_wav(tmp_path / "a.wav", samples)
    (row, *_) = timeline(analyzer, path, 16, 8)
    alone = analyzer.analyze(path, start_s=0, end_s=16, tasks=TASKS)
    assert 1e-6 < differs(row, alone) < 0.2


def test_a_sentence_is_what_analyze_reads(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mkv", 8.0, audio="pcm_s16le")
    said = [
        Sentence(1.0, 3.0, "I am so happy for you.", "Ann"),
        Sentence(4.0, 5.0, "Why?", "Ben"),
        Sentence(7.0, 30.0, "Words", None),
    ]
    rows = list(timeline(analyzer, path, sentences=said, by_sentence=True))
    assert [(row.start_s, row.end_s, row.text, row.speaker) for row in rows] == [
        (1.0, 3.0, "I am so happy for you.", "Ann"),
        (4.0, 5.0, "Why?", "Ben"),
        (7.0, pytest.approx(8.0, abs=0.1), "Words", None),
    ]
    for row in rows[:2]:
        alone = analyzer.analyze(path, row.text, TASKS, start_s=row.start_s, end_s=row.end_s)
        assert differs(row, alone) < 1e-4


def test_windows_hear_the_words_that_are_said_in_them(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mkv", 6.0, audio=None)
    said = [Sentence(0.5, 1.5, "Happy", "Ann"), Sentence(4.5, 5.5, "Why?", "Ben")]
    rows = list(timeline(analyzer, path, 2, 2, said))
    assert [(row.text, row.speaker) for row in rows] == [("Happy", "Ann"), (None, None), ("Why?", "Ben")]
    alone = analyzer.analyze(path, "Happy", TASKS, start_s=0, end_s=2)
    assert differs(rows[0], alone) < 1e-5


def test_encoders_run_once_for_each_frame_and_piece(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mkv", 14.0)
    counts = {}
    for hop_s in (4.0, 1.0):
        sections = Sections(analyzer, open_recording(path), grid_of(4, hop_s))
        rows = [row for number in range(1) for row in sections.rows(number)]
        assert len(rows) >= 10 / hop_s
        counts[hop_s] = sections.counts
    assert counts[1.0]["frames"] == counts[4.0]["frames"] <= 29 and counts[1.0]["pieces"] <= 14


def test_sections_give_what_one_reading_gives(
    analyzer: EmotionAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_media(tmp_path / "a.mkv", 20.0, audio="pcm_s16le", gop=40)
    whole = list(timeline(analyzer, path, 4, 1.5))
    for module in ("read", "iterate"):
        monkeypatch.setattr(f"nanoemox.timeline.{module}.SECTION_S", 7.0)
    parts = list(timeline(analyzer, path, 4, 1.5))
    assert [row.start_s for row in parts] == [row.start_s for row in whole]
    for one, other in zip(whole, parts, strict=True):
        assert max(abs(one.probabilities[k] - other.probabilities[k]) for k in one.probabilities) < 1e-4


def test_a_track_that_ends_early_is_told(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mkv", 4.0, sound=tone(12, 16_000))
    rows = list(timeline(analyzer, path, 2, 2))
    assert [row.start_s for row in rows if "no_video" in row.warnings] == [6, 8, 10]
    assert not any("no_audio" in row.warnings for row in rows)


def test_silence_is_told(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(9 * 16_000))
    rows = list(timeline(analyzer, path, 4, 2))
    assert rows and all(row.warnings[:2] == ("no_video", "audio_silent") for row in rows)
    assert all(np.isfinite(list(row.probabilities.values())).all() for row in rows)


def test_valence() -> None:
    assert valence_of({"negative": 0.1, "neutral": 0.2, "positive": 0.7}) == pytest.approx(0.6)
    assert valence_of({"anger": 0.5, "happiness": 0.25, "neutral": 0.25}) == pytest.approx(-0.25)

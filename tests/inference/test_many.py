"""Many clips: each gets what it gets alone, in order and as soon as it is there; a bad one costs only itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nanoemox.data import records
from nanoemox.data.schema import Record
from nanoemox.files.errors import ArgumentError
from nanoemox.inference import decoding
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.decoding import LogitsError
from nanoemox.inference.results import Analysis
from nanoemox.media.clip import Clip
from nanoemox.media.subtitles import Sentence, Spoken, TextSource
from nanoemox.media.transcribe import SpeechModel, load_speech_model
from nanoemox.media.untrusted import MediaError
from tests.inference.test_analyzer import analyzer as analyzer  # the fixture
from tests.inference.test_analyzer import make_clip
from tests.inference.test_analyzer import short as short
from tests.media_files import make_media, tone
from tests.speech import model_folder, pause, said, write_wav
from tests.subtitle_files import srt

CLOSED = ["sentiment", "emotion", "intent"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three media files and one that is none, in an order that is not that of their lengths."""
    folder = tmp_path_factory.mktemp("many")
    for name, seconds in (("a.mp4", 2.0), ("c.mkv", 0.6), ("d.mp4", 1.0)):
        make_media(folder / name, seconds, sound=tone(seconds, 16_000))
    (folder / "b.mp4").write_bytes(b"no media at all" * 99)
    return sorted(folder.iterdir())


def answers(analysis: Analysis | None) -> Any:
    """Everything that an analysis holds but its times."""
    assert analysis is not None
    return {key: value for key, value in analysis.to_dict().items() if key != "timing_s"}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("workers", [0, 1])
def test_each_gets_what_it_gets_alone(analyzer: EmotionAnalyzer, files: list[Path], workers: int) -> None:
    tasks = ["emotion", "intent", "empathy"]
    found = list(analyzer.analyze_many(files, tasks, batch_size=3, workers=workers))
    assert [each.source for each in found] == files
    for path, each in zip(files, found, strict=True):
        if path.name == "b.mp4":
            assert each.analysis is None and each.error and each.error.startswith(str(path))
            continue
        mine, alone = answers(each.analysis), answers(analyzer.analyze(path, tasks=tasks))
        for task in tasks:
            likely = [each["tasks"][task].pop("probabilities", {}) for each in (mine, alone)]
            assert likely[0] == pytest.approx(likely[1], abs=2e-6)
        assert mine.pop("experts") == pytest.approx(alone.pop("experts"), abs=2e-6)
        assert mine == alone


def test_in_another_type_each_is_a_batch_of_its_own(
    analyzer: EmotionAnalyzer, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    whole = EmotionAnalyzer.answer_batch

    def spy(self: EmotionAnalyzer, requests: Any, features: Any = None) -> Any:
        sizes.append(len(requests))
        return whole(self, requests, features)

    monkeypatch.setattr(EmotionAnalyzer, "answer_batch", spy)
    list(analyzer.analyze_many(files, ["emotion"], workers=0))
    assert sizes == [3]
    analyzer.model.bfloat16()
    found = list(analyzer.analyze_many(files, ["emotion"], workers=0))
    assert sizes == [3, 1, 1, 1]
    alone = answers(analyzer.analyze(files[0], tasks=["emotion"], write=False))
    assert answers(found[0].analysis) == alone  # to the last digit


def test_closed_tasks_alone_write_no_token(
    analyzer: EmotionAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [make_clip(1), make_clip(2, audio=False)]
    before = [analyzer.analyze(clip, tasks=CLOSED, max_new_tokens=2) for clip in clips]
    limits: list[list[int]] = []
    write = decoding.write

    def spy(model: Any, branches: Any, most: Any, *rest: Any) -> Any:
        limits.append(list(most))
        return write(model, branches, most, *rest)

    monkeypatch.setattr(decoding, "write", spy)
    found = [each.analysis for each in analyzer.analyze_many(clips, CLOSED)]
    assert limits == [[0] * 6]
    for alone, mine in zip(before, found, strict=True):
        assert mine is not None
        for task in CLOSED:
            assert mine[task].label == alone[task].label and mine[task].answer == alone[task].answer
            assert mine[task].probabilities == pytest.approx(alone[task].probabilities, abs=2e-6)
            assert mine[task].text == "" and not mine[task].warnings
    list(analyzer.analyze_many(clips[:1], ["emotion", "reasoning"], max_new_tokens=3))
    assert limits[1:] == [[3, 3]]


def test_results_come_before_the_iterable_has_ended(analyzer: EmotionAnalyzer) -> None:
    taken: list[int] = []

    def without_end() -> Iterator[Clip]:
        while True:
            taken.append(1)
            yield make_clip(len(taken))

    results = analyzer.analyze_many(without_end(), ["emotion"], batch_size=2, workers=1)
    assert next(results).name == "clip-1.mp4" and next(results).name == "clip-2.mp4"
    assert len(taken) < 8
    results.close()  # type: ignore[attr-defined]


def test_a_batch_that_fails_is_asked_one_by_one(
    analyzer: EmotionAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = EmotionAnalyzer.answer_batch

    def fail(self: EmotionAnalyzer, requests: Any, features: Any = None) -> Any:
        if any(request.source.path == "clip-2.mp4" for request in requests):
            raise LogitsError("expected finite numbers")
        return whole(self, requests, features)

    monkeypatch.setattr(EmotionAnalyzer, "answer_batch", fail)
    found = list(analyzer.analyze_many([make_clip(i) for i in (1, 2, 3)], ["emotion"]))
    assert [each.error for each in found] == [None, "clip-2.mp4: expected finite numbers", None]


def test_records_bring_their_text_and_their_cut(analyzer: EmotionAnalyzer, files: list[Path]) -> None:
    record = Record(id="one", video=files[0], text="I am so happy.", start_s=0.5, end_s=1.5)
    only_text = Record(id="two", text="Happy")
    first, second = analyzer.analyze_many([record, only_text], ["emotion"], start_s=0.2, workers=0)
    assert first.analysis and second.analysis
    assert (first.name, first.analysis.text, first.analysis.start_s) == ("one", "I am so happy.", 0.5)
    assert first.analysis.clip.duration_s == pytest.approx(1.0, abs=0.05)
    assert second.analysis.modalities["text"] == "present" and second.analysis.clip.frames is None


def test_what_cannot_be_asked_is_refused_at_once(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    for asked, told in (
        ({"tasks": ["mood"]}, "mood"),
        ({"batch_size": 0}, "batch_size"),
        ({"workers": -1}, "workers"),
        ({"candidates": {"reasoning": ["a", "b"]}}, "reasoning"),
    ):
        with pytest.raises(ArgumentError, match=told):
            analyzer.analyze_many(["gone.mp4"], **asked)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"expected video, audio or image files, found none"):
        analyzer.analyze_many(tmp_path)


def test_a_bug_in_reading_one_file_does_not_stop_the_others(
    analyzer: EmotionAnalyzer, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = records.load_clip

    def broken(path: Path, **options: Any) -> Clip:
        if path.name == "c.mkv":
            raise KeyError("oh")
        return load(path, **options)

    monkeypatch.setattr(records, "load_clip", broken)
    found = list(analyzer.analyze_many([files[0], files[2]], ["emotion"], workers=0))
    assert found[0].analysis is not None and found[1].analysis is None
    assert found[1].error and "KeyError: 'oh' (a bug of nanoemox" in found[1].error


# ---------------------------------------------------------------- words
def test_words_are_given_then_read_beside_then_heard(
    analyzer: EmotionAnalyzer, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, Any, Any]] = []

    def hear(path: Path, model: SpeechModel, language: Any, start_s: Any, end_s: Any) -> Spoken:
        heard.append((path.name, start_s, end_s))
        if path.name == "deaf.wav":
            raise MediaError("deaf.wav: cannot be heard")
        return Spoken((Sentence(0.0, 0.2, "Heard."),), TextSource("speech", model.name, "en"))

    monkeypatch.setattr("nanoemox.inference.words.transcribe", hear)
    paths = [tmp_path / f"{name}.wav" for name in ("given", "beside", "heard", "deaf", "wrong")]
    for path in paths:
        write_wav(path, pause(0.5))
    paths[1].with_suffix(".SRT").write_text(srt("Read."), "utf-8")
    paths[4].with_suffix(".vtt").write_text("no subtitles", "utf-8")
    record = Record(id="given", video=paths[0], text="Given.", start_s=0.1, end_s=0.4)
    silent = record.model_copy(update={"id": "cut", "text": None})
    speech = SpeechModel("fake", SimpleNamespace(supported_languages=["en", "de"]))
    many = analyzer.analyze_many(
        [record, *paths[1:], silent], ["emotion"], transcribe=speech, subtitles_beside=True, workers=0
    )
    results = {result.name.rpartition("/")[2]: result for result in many}
    assert [result.analysis and result.analysis.text for result in results.values()] == [
        "Given.",
        "Read.",
        "Heard.",
        None,
        None,
        "Heard.",
    ]
    sources = [str(result.analysis.text_source) for result in results.values() if result.analysis]
    assert sources == ["given", "subtitles beside.SRT", "heard by fake (en)", "heard by fake (en)"]
    assert results["deaf.wav"].error.endswith("cannot be heard")
    assert "wrong.vtt" in results["wrong.wav"].error
    assert sorted(heard) == [("deaf.wav", None, None), ("given.wav", 0.1, 0.4), ("heard.wav", None, None)]
    with pytest.raises(ArgumentError, match="hears 2 languages"):
        analyzer.analyze_many(paths, transcribe=speech, language="xx")
    with pytest.raises(ArgumentError, match="is about hearing"):
        analyzer.analyze_many(paths, language="en")


def test_many_files_are_heard_by_one_model(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    speech = load_speech_model(model_folder())
    talk = write_wav(tmp_path / "a.wav", said("Nobody knows why the train was late."))
    quiet = write_wav(tmp_path / "b.wav", pause(1))
    first, second = analyzer.analyze_many([talk, quiet], ["emotion"], transcribe=speech, workers=0)
    assert first.analysis is not None and second.analysis is not None
    assert first.analysis.text == "Nobody knows why the train was late."
    assert second.analysis.modalities["text"] == "no speech was heard"
    assert "no_speech" in {warning.code for warning in second.analysis.warnings}

"""What is said, heard: words and times, where nobody speaks, and what a user is told where it cannot work."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.media.subtitles import TextSource
from nanoemox.media.transcribe import SpeechModel, Word, _sentences, load_speech_model, transcribe
from nanoemox.media.untrusted import MediaError
from tests.media_files import make_media
from tests.speech import NO_EXTRA, model_folder, pause, said, write_wav


@pytest.fixture(scope="module")
def model() -> SpeechModel:
    return load_speech_model(model_folder())


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sentences: one at 2 s, the other 70 s later."""
    first, second = said("Hello, how are you today?"), said("Nobody knows why the train was late.")
    sound = np.concatenate([pause(2), first, pause(70), second, pause(1)])
    return write_wav(tmp_path_factory.mktemp("talk") / "talk.wav", sound)


# ---------------------------------------------------------------- hearing
def test_sentences_are_heard_with_their_times(model: SpeechModel, talk: Path) -> None:
    spoken = transcribe(talk, model)
    assert [sentence.text for sentence in spoken] == [
        "Hello, how are you today?",
        "Nobody knows why the train was late.",
    ]
    length_s = len(said("Hello, how are you today?")) / 22_050
    assert spoken[0].start_s == pytest.approx(2.0, abs=0.4)
    assert spoken[0].end_s == pytest.approx(2.0 + length_s, abs=0.6)
    assert spoken[1].start_s == pytest.approx(72.0 + length_s, abs=0.4)
    assert spoken.source == TextSource("speech", model.name, "en")
    assert not spoken.warnings


def test_a_cut_hears_what_is_said_in_it(model: SpeechModel, talk: Path) -> None:
    spoken = transcribe(talk, model, start_s=60, end_s=90)
    assert spoken.text == "Nobody knows why the train was late."
    assert 72 < spoken[0].start_s < 76


def test_channels_that_cancel_each_other_are_heard(model: SpeechModel, tmp_path: Path) -> None:
    sound = np.concatenate([pause(0.5), said("Nobody knows why the train was late."), pause(0.5)])
    path = write_wav(tmp_path / "a.wav", sound, -sound)
    assert transcribe(path, model).text == "Nobody knows why the train was late."


def test_a_talk_without_a_pause_is_heard_to_its_end(
    model: SpeechModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoemox.media.transcribe.HELD_S", 12.0)
    monkeypatch.setattr("nanoemox.media.transcribe.STRETCH_S", 7.0)
    colours = ["red", "green", "yellow", "white", "black", "brown"]
    sound = np.concatenate(
        [said(f"The {colour} house stands behind the garden")[:-6000] for colour in colours]
    )
    spoken = transcribe(write_wav(tmp_path / "a.wav", sound), model)
    assert spoken[-1].end_s == pytest.approx(len(sound) / 22_050, abs=1)
    assert sum(colour in spoken.text.casefold() for colour in colours) >= 5
    assert 5 <= spoken.text.casefold().count("garden") <= 7  # a word that is cut may be heard twice


@pytest.mark.parametrize("kind", ["silence", "music", "noise"])
def test_where_nobody_speaks_nothing_is_heard(model: SpeechModel, tmp_path: Path, kind: str) -> None:
    at = np.arange(16_000 * 90) / 16_000
    sound = {
        "silence": np.zeros_like(at),
        "music": sum(
            3000 * np.sin(2 * np.pi * hz * at) * (1 + np.sin(2 * np.pi * at)) for hz in (220, 277, 330)
        ),
        "noise": np.random.default_rng(0).normal(0, 2000, len(at)),
    }[kind]
    spoken = transcribe(write_wav(tmp_path / "a.wav", sound.astype(np.int16), rate_hz=16_000), model)
    assert len(spoken) == 0
    assert [warning.code for warning in spoken.warnings] == ["no_speech"]
    assert spoken.source.language is None


def test_a_file_without_audio_says_so(model: SpeechModel, tmp_path: Path) -> None:
    spoken = transcribe(make_media(tmp_path / "a.mp4", audio=None), model)
    assert [str(warning) for warning in spoken.warnings] == [
        "no speech was heard: the file has no audio track"
    ]


def test_a_file_that_is_none_is_an_error(model: SpeechModel, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        transcribe(tmp_path / "a.mp4", model)
    with pytest.raises(MediaError, match="cannot be cut"):
        transcribe(write_wav(tmp_path / "a.wav", pause(1)), model, start_s=3, end_s=2)


def test_what_the_model_says_again_and_again_is_not_taken() -> None:
    def segment(text: str, ratio: float) -> Any:
        words = [SimpleNamespace(start=0, end=1, word=f" {word}") for word in text.split()]
        return SimpleNamespace(text=text, compression_ratio=ratio, words=words, start=0.0, end=1.0)

    class Whisper:
        def transcribe(self, samples: Any, **options: Any) -> Any:
            heard = [
                segment(" Hello.", 1.0),
                segment(" the" * 90, 9.0),
                segment(" no no no", 9.0),
                segment(" [Music]", 1.0),
            ]
            return heard, SimpleNamespace(language="en", language_probability=0.9)

    words, language, _ = SpeechModel("fake", Whisper()).hear(np.zeros(16_000, np.float32), None)
    assert [word.text for word in words] == [" Hello.", " no", " no", " no"]
    assert language == "en"


# ---------------------------------------------------------------- sentences
def test_words_become_sentences_at_full_stops_and_in_pauses() -> None:
    texts = [" Dr.", " Who", " came.", " Why?", " So", " he", " said,", " well", " then", " no."]
    words = [
        Word(0.5 * i + (2.0 if i > 7 else 0.0), 0.5 * i + 0.4 + (2.0 if i > 7 else 0.0), t)
        for i, t in enumerate(texts)
    ]
    found = list(_sentences(words, 10.0, 20.0))
    assert [each.text for each in found] == ["Dr. Who came.", "Why?", "So he said, well", "then no."]
    assert [each.start_s for each in found] == [10.0, 11.5, 12.0, 16.0]
    assert all(each.end_s > each.start_s for each in found)


def test_times_beyond_the_stretch_are_brought_back_into_it() -> None:
    (found,) = _sentences([Word(3.0, 9.0, " Late.")], 0.0, 5.0)
    assert (found.start_s, found.end_s) == (3.0, 5.0)


# ---------------------------------------------------------------- models
def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ArgumentError, match=r"nanoemox\[speech\].*pip install faster-whisper"):
        load_speech_model("tiny.en")


def test_an_unknown_name_lists_the_known_ones() -> None:
    pytest.importorskip("faster_whisper", reason=NO_EXTRA)
    with pytest.raises(ArgumentError, match=r"smal: no speech model of this name.*tiny.en"):
        load_speech_model("smal")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Each look for a model, and whether it was on this machine alone; there is none anywhere."""
    utils = pytest.importorskip("faster_whisper.utils", reason=NO_EXTRA)
    local: list[bool] = []

    def download(name: str, local_files_only: bool = False) -> str:
        local.append(local_files_only)
        raise ConnectionError("the network\nis down")

    monkeypatch.setattr(utils, "download_model", download)
    return local


def test_nothing_is_fetched_unless_it_is_named(asked: list[bool]) -> None:
    with pytest.raises(ArgumentError, match=r"none is fetched unless it is named; name one, such as .*base"):
        load_speech_model()
    assert asked == [True]


def test_a_model_that_cannot_be_fetched_is_one_line(asked: list[bool]) -> None:
    with pytest.raises(ArgumentError, match="small is not on this machine and cannot be fetched") as error:
        load_speech_model("small")
    assert asked == [True, False]
    assert "\n" not in str(error.value)


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper", reason=NO_EXTRA)
    with pytest.raises(ArgumentError, match=r"found no model.bin and no config.json and no tokenizer.json"):
        load_speech_model(tmp_path)


def test_a_damaged_model_is_one_line(tmp_path: Path) -> None:
    folder = model_folder()
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:10_000])
    with pytest.raises(ArgumentError, match="cannot be loaded as a Whisper model"):
        load_speech_model(tmp_path)


def test_a_language_that_the_model_does_not_know_is_refused(model: SpeechModel, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="hears English only"):
        transcribe(write_wav(tmp_path / "a.wav", pause(1)), model, language="de")

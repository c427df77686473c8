"""What is said in a clip: typed, read from subtitles, or heard; of one clip, or of each of many."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nanoemox.data.schema import Record
from nanoemox.files.errors import ArgumentError
from nanoemox.files.text import given_text
from nanoemox.media.clip import CodedWarning
from nanoemox.media.subtitles import Spoken, TextSource, beside, read_subtitles
from nanoemox.media.transcribe import SpeechModel, checked_language, load_speech_model, transcribe

NOT_GIVEN = "no words were given"


class Words(NamedTuple):
    """What is said in one clip: the text or None, its sentences where it was read or heard, and why there is none."""

    text: str | None
    spoken: Spoken | None = None
    no_text: str = NOT_GIVEN

    @classmethod
    def of(cls, spoken: Spoken) -> Words:
        """What was read or heard."""
        heard = spoken.source.kind == "speech"
        why = "no speech was heard" if heard else "the subtitles say nothing in the cut"
        return cls(given_text(spoken.text), spoken, why)


def check_words(clip: Any, text: str | Spoken | None, model: bool | str | Path | SpeechModel) -> None:
    """Refuse what cannot be heard, before any file is read.

    Args:
        clip: The file, or what was loaded of it.
        text: What is said, where it is known.
        model: What hears it, where it is not known; False, nothing.

    Raises:
        ArgumentError: If there is both a text and a model, or no file to hear.
    """
    if text is not None and not isinstance(text, str | Spoken):
        raise ArgumentError(
            f"text: expected a text, or what read_subtitles or transcribe gives, got {text!r:.60}; correct it"
        )
    if isinstance(text, str):
        given_text(text)
    if model is False:
        return
    if isinstance(text, Spoken) or given_text(text):
        raise ArgumentError("transcribe: expected no text beside it, got one; leave out one of them")
    if not isinstance(clip, str | os.PathLike):
        raise ArgumentError(
            "transcribe: expected the path of a file to hear, got a clip that was read already, or none; give the "
            "path, or the text that `nanoemox.media.transcribe.transcribe` gives"
        )


def words_of(
    clip: Any,
    text: str | Spoken | None,
    model: bool | str | Path | SpeechModel,
    start_s: float | None,
    end_s: float | None,
) -> Words:
    """What is said.

    Args:
        clip: The file, or what was loaded of it.
        text: What is said, where it is known; of sentences with times only those in the cut count.
        model: What hears it, where it is not known; False, nothing.
        start_s: The beginning of the cut.
        end_s: Its end.

    Returns:
        The words.

    Raises:
        NanoEmoXError: If the file or the model cannot be read.
    """
    if model is not False:
        name = None if model is True else model
        return Words.of(transcribe(clip, name, start_s=start_s, end_s=end_s))
    if isinstance(text, Spoken):
        return Words.of(text if start_s is None and end_s is None else text.between(start_s, end_s))
    return Words(given_text(text))


# ---------------------------------------------------------------- of many clips
@dataclass(frozen=True)
class WordsAsked:
    """Where the words of each of many clips come from, where it has no text of its own.

    Attributes:
        beside: From a file of subtitles of the same name beside it, where there is one.
        model: Else heard by this model; None, nothing is heard.
        language: The language that is heard; None finds it out.
    """

    beside: bool = False
    model: SpeechModel | None = None
    language: str | None = None

    @classmethod
    def of(
        cls, transcribe: bool | str | Path | SpeechModel, language: str | None, subtitles_beside: bool
    ) -> WordsAsked:
        """Load the model that hears, once for all clips.

        Args:
            transcribe: The name or folder of a model, a model, True for the usual one, False for none.
            language: The language that is heard.
            subtitles_beside: Whether files of subtitles beside the clips count.

        Returns:
            Where the words come from.

        Raises:
            ArgumentError: If the model cannot be had, does not know the language, or there is none to know it.
        """
        if transcribe is False:
            if language is not None:
                raise ArgumentError(
                    f"language {language!r}: is about hearing; give transcribe, or leave it out"
                )
            return cls(subtitles_beside)
        name = None if transcribe is True else transcribe
        model = name if isinstance(name, SpeechModel) else load_speech_model(name)
        checked_language(model, language)
        return cls(subtitles_beside, model, language)

    def subtitles_of(self, source: Path | Record) -> Path | None:
        """The file of subtitles that counts for a clip; None where it has a text, or no such file is there."""
        if not self.beside or (isinstance(source, Record) and source.text):
            return None
        media = (source.video or source.audio or source.frames_dir) if isinstance(source, Record) else source
        return None if media is None else beside(media)

    def words(self, source: Path | Record, start_s: float | None, end_s: float | None) -> Words:
        """What is said in a clip.

        Args:
            source: Its path, or what a manifest says of it, whose text comes first.
            start_s: The beginning of the cut.
            end_s: Its end.

        Returns:
            The words, and where they come from.

        Raises:
            NanoEmoXError: If a file cannot be read.
        """
        if isinstance(source, Record) and source.text:
            return Words(source.text)
        if found := self.subtitles_of(source):
            return Words.of(read_subtitles(found, None, start_s, end_s))
        if self.model is None:
            return Words(None)
        path = (source.audio or source.video) if isinstance(source, Record) else source
        if path is None or path.is_dir():
            silent = CodedWarning("no_speech", "no speech was heard: there is no audio")
            return Words.of(Spoken((), TextSource("speech", self.model.name), (silent,)))
        return Words.of(transcribe(path, self.model, self.language, start_s, end_s))

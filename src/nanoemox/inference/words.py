"""What is said in a clip: typed, read from subtitles, or heard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nanoemox.files.errors import ArgumentError
from nanoemox.files.text import given_text
from nanoemox.media.subtitles import Spoken
from nanoemox.media.transcribe import SpeechModel, transcribe

NOT_GIVEN = "no words were given"


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
) -> tuple[str | None, Spoken | None, str]:
    """What is said.

    Args:
        clip: The file, or what was loaded of it.
        text: What is said, where it is known; of sentences with times only those in the cut count.
        model: What hears it, where it is not known; False, nothing.
        start_s: The beginning of the cut.
        end_s: Its end.

    Returns:
        The text or None, its sentences where it was read or heard, and why there is none where there is none.

    Raises:
        NanoEmoXError: If the file or the model cannot be read.
    """
    if model is not False:
        spoken = transcribe(clip, None if model is True else model, start_s=start_s, end_s=end_s)
        return given_text(spoken.text), spoken, "no speech was heard"
    if isinstance(text, Spoken):
        spoken = text if start_s is None and end_s is None else text.between(start_s, end_s)
        why = (
            "no speech was heard"
            if spoken.source.kind == "speech"
            else "the subtitles say nothing in the cut"
        )
        return given_text(spoken.text), spoken, why
    return given_text(text), None, NOT_GIVEN

"""What `nanoemox analyze` takes for the words of a clip where they are not typed: subtitles, or what is heard."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nanoemox.cli.console import note
from nanoemox.files.errors import ArgumentError

if TYPE_CHECKING:
    from nanoemox.media.subtitles import Spoken, SubtitleTrack

TRACK = "track:"
BESIDE = "beside"
SubtitlesOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE_OR_TRACK",
        help="Take what is said from subtitles: an SRT, WebVTT or ASS file, or a track inside CLIP, such as track:0 or "
        "track:eng, or with the word beside, the file that has the name of CLIP (a.mp4, a.srt).",
    ),
]
TranscribeOption = Annotated[
    bool,
    typer.Option(
        "--transcribe", help="Hear what is said, with Whisper, on this machine; it needs nanoemox[speech]."
    ),
]
SpeechModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME_OR_FOLDER",
        help="The Whisper model for --transcribe, such as small or tiny.en, or a folder. One that is named and not "
        "here is fetched; without it, base is taken and never fetched.",
    ),
]
LanguageOption = Annotated[
    str | None,
    typer.Option(
        metavar="CODE", help="The language that --transcribe hears, such as en. Without it, it is found out."
    ),
]


def check_words(
    clip: str | None,
    text: str | None,
    subtitles: str | None,
    transcribe: bool,
    speech_model: str | None,
    language: str | None,
    many: bool = False,
) -> None:
    """Refuse options that do not go together.

    Args:
        clip: The file.
        text: What --text says.
        subtitles: What --subtitles says.
        transcribe: Whether --transcribe was given.
        speech_model: What --speech-model says.
        language: What --language says.
        many: Of many files, some may have subtitles, and the others be heard.
    """
    given = {"--text": text, "--subtitles": subtitles, "--transcribe": transcribe}
    asked = [name for name, value in given.items() if value]
    if len(asked) > 1 and not (many and text is None):
        raise ArgumentError(
            f"expected one of {', '.join(given)}, got {' and '.join(asked)}; leave out all but one"
        )
    if (subtitles or transcribe) and clip is None:
        raise ArgumentError(f"{asked[0]}: expected a CLIP whose words they are; name it, or use --text")
    for name, value in (("--speech-model", speech_model), ("--language", language)):
        if value and not transcribe:
            raise ArgumentError(
                f"{name} {value}: expected --transcribe beside it; add it, or leave {name} out"
            )


def spoken_in(
    clip: str,
    subtitles: str | None,
    transcribe: bool,
    speech_model: str | None,
    language: str | None,
    start_s: float | None,
    end_s: float | None,
    device: str,
) -> Spoken | None:
    """What is said in a clip, as the options ask; None where they ask for nothing.

    Args:
        clip: The file.
        subtitles: What --subtitles says.
        transcribe: Whether --transcribe was given.
        speech_model: What --speech-model says.
        language: What --language says.
        start_s: What --start says.
        end_s: What --end says.
        device: Where the speech model computes.

    Returns:
        The sentences in the cut, and where they come from.
    """
    if subtitles:
        from nanoemox.media.subtitles import read_subtitles

        if subtitles == BESIDE and not Path(subtitles).exists():
            return read_subtitles(subtitles_beside(clip), None, start_s, end_s)
        if subtitles.startswith(TRACK) and not Path(subtitles).exists():
            return read_subtitles(clip, subtitles[len(TRACK) :], start_s, end_s)
        return read_subtitles(subtitles, None, start_s, end_s)
    if transcribe:
        from nanoemox.media.transcribe import load_speech_model
        from nanoemox.media.transcribe import transcribe as hear

        return hear(clip, load_speech_model(speech_model, device), language, start_s, end_s)
    return None


def subtitles_beside(clip: str) -> Path:
    """The file of subtitles that has the name of a clip. Errors: ArgumentError, where there is none."""
    from nanoemox.media.subtitles import ENDINGS, beside

    found = beside(clip)
    if found is None:
        raise ArgumentError(
            f"--subtitles {BESIDE}: expected a file with the name of {clip} and one of the endings "
            f"{', '.join(ENDINGS)} in its folder, found none; name the file"
        )
    return found


def offer_tracks(clip: str) -> None:
    """Tell of the subtitles inside a file, which nobody asked for."""
    from nanoemox.media.subtitles import subtitle_tracks
    from nanoemox.media.untrusted import MediaError

    tracks: tuple[SubtitleTrack, ...] = ()
    with suppress(MediaError):  # what is wrong with the file was said when its frames were read
        tracks = subtitle_tracks(clip)
    if tracks:
        languages = ", ".join(track.language for track in tracks)
        readable = next((track for track in tracks if track.readable), None)
        use = f"; --subtitles {TRACK}{readable.number} takes one as the text" if readable else ""
        note(f"subtitle tracks: {len(tracks)} ({languages}){use}")

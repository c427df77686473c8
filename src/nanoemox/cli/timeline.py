"""`nanoemox timeline`: the emotion over the time of a recording."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nanoemox.cli.console import JsonOption, check_json, console, note, write_result
from nanoemox.cli.options import CheckOption, DeviceOption, DtypeOption, OptionalModelOption
from nanoemox.cli.people import FaceDetectorOption, PeopleOption, detector_of
from nanoemox.cli.words import (
    BESIDE,
    LanguageOption,
    SpeechModelOption,
    TranscribeOption,
    check_words,
    subtitles_beside,
)
from nanoemox.files.errors import ArgumentError


class By(StrEnum):
    """What a row stands for."""

    window = "window"
    sentence = "sentence"


def timeline(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The video or audio file to read, of any length.")
    ],
    window: Annotated[float, typer.Option(metavar="SECONDS", help="How long a window is.")] = 4.0,
    hop: Annotated[
        float, typer.Option(metavar="SECONDS", help="From the beginning of one window to that of the next.")
    ] = 2.0,
    by: Annotated[
        By, typer.Option(help="Give one row a window, or one row a sentence of --subtitles or --transcribe.")
    ] = By.window,
    subtitles: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What is said when: a file of subtitles (SRT, WebVTT or ASS), or with the word beside, the one that "
            "has the name of FILE (a.mp4, a.srt).",
        ),
    ] = None,
    people: PeopleOption = False,
    face_detector: FaceDetectorOption = None,
    transcribe: TranscribeOption = False,
    speech_model: SpeechModelOption = None,
    language: LanguageOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder that gets timeline.json, .csv, .srt, .eaf and .html. Without it, FILE.timeline in the "
            "folder where you are.",
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="A segment ends when another emotion is likelier by more than this share of 1.",
        ),
    ] = 0.15,
    model: OptionalModelOption = None,
    json_file: JsonOption = None,
    check: CheckOption = True,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = None,
) -> None:
    """Read a recording of any length: emotion and valence over time, as tables, subtitles, ELAN and a page.

    Give the same command again after a run was stopped, and it goes on where it was.
    """
    # Check what was asked for: nothing that is slow to import or to load comes before.
    if by is By.sentence and subtitles is None and not transcribe:
        raise ArgumentError(
            "--by sentence: expected the sentences; name their file with --subtitles FILE, or hear them with "
            "--transcribe"
        )
    subtitles_name = None if subtitles is None else str(subtitles)
    check_words(str(file), None, subtitles_name, transcribe, speech_model, language)
    check_json(json_file, source=str(file))
    if subtitles_name == BESIDE and not Path(BESIDE).exists() and file.is_file():
        subtitles = subtitles_beside(str(file))
    if people and by is By.sentence:
        raise ArgumentError(
            "--people: people are told apart in windows alone; leave --by sentence or --people out"
        )
    faces = detector_of(people, face_detector, str(file))

    from nanoemox.timeline.read import open_recording
    from nanoemox.timeline.segments import check_margin
    from nanoemox.timeline.windows import grid_of

    check_margin(margin)
    if by is By.window:
        grid_of(window, hop)
    recording = open_recording(file)  # before the model: a bad file fails at once
    spoken = None
    if subtitles is not None:
        from nanoemox.media.subtitles import read_subtitles

        spoken = read_subtitles(subtitles)
    hearing = None
    if transcribe:
        from nanoemox.media.transcribe import load_speech_model
        from nanoemox.timeline.hearing import Hearing

        hearing = Hearing(recording, load_speech_model(speech_model, device), language)

    from nanoemox.checkpoints.load import default_model
    from nanoemox.inference.analyzer import EmotionAnalyzer
    from nanoemox.timeline.make import make_timeline

    analyzer = EmotionAnalyzer.from_pretrained(
        model or default_model(), device=device, dtype=dtype, check=check
    )
    folder = out or Path(f"{file.name}.timeline")
    report = make_timeline(
        analyzer,
        recording,
        folder,
        window_s=window,
        hop_s=hop,
        sentences=list(spoken or ()),
        by_sentence=by is By.sentence,
        margin=margin,
        warnings=spoken.warnings if spoken is not None else (),
        text_source=spoken.source if spoken is not None else None,
        hearing=hearing,
        faces=faces,
    )
    for ending in report.forms():
        note(f"wrote {folder / 'timeline'}{ending}")
    if not write_result(report.to_dict(), json_file):
        from nanoemox.cli.terminal import show_timeline

        show_timeline(console(), report)

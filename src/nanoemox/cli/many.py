"""`analyze --out`: many files into a folder, with a bar; and the options that belong to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nanoemox.cli.console import console, note, printable, write_result
from nanoemox.cli.words import BESIDE
from nanoemox.files.errors import ArgumentError

if TYPE_CHECKING:
    from nanoemox.inference.page import Pictures
    from nanoemox.inference.results_folder import ManyReport

_SHOWN = 20  # files that could not be read, in the terminal
_PANEL = "Many files"

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        rich_help_panel=_PANEL,
        help="Answer every media file of a folder, of a pattern such as 'clips/*.mp4', or of a manifest (.jsonl), into "
        "this folder: answers.jsonl, answers.csv and index.html. A run that was stopped goes on where it was. The "
        "exit status is 1 if a file could not be read.",
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        rich_help_panel=_PANEL,
        help="How many files are answered at once. Without it, 16 where the model computes in float32, else 1: in "
        "other types answers depend a little on their batch.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        rich_help_panel=_PANEL,
        help="How many processes read files while the model answers. Without it, one for each core but one.",
    ),
]
PagesOption = Annotated[
    bool,
    typer.Option(
        "--pages", rich_help_panel=_PANEL, help="Write a page for each file, too, like that of --html."
    ),
]
TextFilesOption = Annotated[
    bool,
    typer.Option(
        "--text-files",
        rich_help_panel=_PANEL,
        help="What is said in a file stands in a text file of the same name beside it (a.mp4, a.txt).",
    ),
]
ExplainOption = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Say what the answers hang on: mute each modality in turn, and show where the face is read.",
    ),
]
NoFramesOption = Annotated[
    bool, typer.Option("--no-frames", help="Leave the frames of the clip out of the pages that are written.")
]
ShareOption = Annotated[
    bool,
    typer.Option(
        "--share", help="Write pages that can be passed on: nobody can be made out in their frames."
    ),
]


FacesOnlyOption = Annotated[
    bool,
    typer.Option(
        "--faces-only",
        help="With --share, keep what is around the faces that are found. A head that is turned away may be missed: "
        "look at the page before you pass it on.",
    ),
]


def pictures_of(no_frames: bool, share: bool, faces_only: bool, pages: bool) -> Pictures:
    """How pages have their frames.

    Args:
        no_frames: Whether --no-frames is given.
        share: Whether --share is given.
        faces_only: Whether --faces-only is given.
        pages: Whether any page is written.

    Returns:
        "shown", "blurred", "faces blurred" or "none".

    Raises:
        ArgumentError: If no page is written that these could be about, or --faces-only has no --share.
    """
    if faces_only and (no_frames or not share):
        raise ArgumentError("--faces-only: is only used with --share; add it, or leave --faces-only out")
    if (no_frames or share) and not pages:
        given = "--no-frames" if no_frames else "--share"
        raise ArgumentError(f"{given}: is about pages; write one with --html FILE, or --out DIR with --pages")
    if no_frames or not share:
        return "none" if no_frames else "shown"
    return "faces blurred" if faces_only else "blurred"


def analyze_files(
    names: Sequence[str],
    out: Path,
    model: str | None,
    asked: Mapping[str, Any],
    refused: Mapping[str, Any],
    json_file: str | None,
    text_files: bool,
    subtitles: str | None,
    hear: Mapping[str, Any],
    pages: Pictures | None,
    sample_seed: int | None,
    batch_size: int | None,
    workers: int | None,
    load: Mapping[str, Any],
) -> None:
    """Answer many files into a folder, say what came of it, and end with status 1 if some could not be read.

    Args:
        names: Folders, files, patterns and manifests.
        out: The folder of the results.
        model: The model; None, the one that was fetched, else the bundled one.
        asked: What each file is asked, as in `Question.of`.
        refused: Options that make no sense here: name -> what was given.
        json_file: Where the report of the run is written as JSON.
        text_files: What is said stands in text files beside the clips.
        subtitles: What --subtitles says; only "beside" makes sense here.
        hear: What --transcribe, --speech-model and --language say: transcribe, speech_model, language.
        pages: Write a page for each file, with frames like this.
        sample_seed: Draw the answers with this seed.
        batch_size: Files that are answered at once.
        workers: Processes that read files.
        load: How the model is loaded: device, dtype, check.
    """
    # Check everything that is cheap before anything that is slow.
    if not names:
        raise ArgumentError("CLIP is missing: name a folder, a pattern, a manifest or files")
    if given := [name for name, value in refused.items() if value]:
        raise ArgumentError(
            f"{given[0]}: is about one clip, not about many files; leave it out, or put it into a manifest"
            + (" (or use --text-files)" if given[0] == "--text" else "")
        )
    if subtitles not in (None, BESIDE):
        raise ArgumentError(
            f"--subtitles {printable(subtitles)}: of many files, expected {BESIDE}, which takes the subtitles of the "
            "same name beside each file; or analyse one clip without --out"
        )
    from nanoemox.inference.sources import found_in, with_text_files

    run = {
        "source": [name if _is_pattern(name) else str(Path(name).resolve()) for name in names],
        "start_s": asked["start_s"],
        "end_s": asked["end_s"],
        "candidates": dict(asked["candidates"] or {}),
        "explain": asked["explain"],
        "as_video": asked["as_video"],
        "text_files": text_files,
        "pages": pages,
        "subtitles": subtitles,
        "transcribe": hear["transcribe"] or None,  # a run of before --transcribe could be asked has neither
        "language": hear["language"],
    }
    found = found_in(names, asked["as_video"], without=out)
    items = with_text_files(found.items) if text_files else list(found.items)
    notes = []
    if found.no_media:
        notes.append(f"{found.no_media} other files were passed over: their endings are none of media")
    if found.frame_folders:
        more = f" and {len(found.frame_folders) - 1} more" if len(found.frame_folders) > 1 else ""
        notes.append(
            f"{found.frame_folders[0]}{more}: images that are numbered like the frames of a video were taken one by "
            "one; --as-video takes the images of each folder as one video"
        )
    for line in notes:
        note(f"note: {line}")

    from nanoemox.inference.results_folder import analyze_into, check_results_folder

    check_results_folder(out, run)
    from nanoemox.inference.analyzer import EmotionAnalyzer
    from nanoemox.inference.many import Question, usual_batch_size
    from nanoemox.inference.words import WordsAsked

    words = WordsAsked(subtitles == BESIDE)
    if hear["transcribe"]:
        from nanoemox.media.transcribe import load_speech_model

        speech = load_speech_model(hear["speech_model"], load["device"])
        check_results_folder(out, {**run, "speech_model": speech.name})
        words = WordsAsked.of(speech, hear["language"], words.beside)
    if model is None:
        from nanoemox.checkpoints.load import default_model

        model = default_model()
    analyzer = EmotionAnalyzer.from_pretrained(model, **load)
    sampling = None if sample_seed is None else analyzer.published_sampling(sample_seed)
    question = Question.of(analyzer, **{**asked, "sampling": sampling, "words": words})
    if batch_size is None and usual_batch_size(analyzer) == 1 and len(items) > 1 and question.write:
        note(
            "note: files are answered one at a time, since in this type answers depend a little on their batch; "
            "--dtype float32 or --batch-size 16 is faster"
        )
    about_model = [warning.text for warning in analyzer.origin_warnings]

    # Answer, and say what came of it.
    report = analyze_into(
        out, analyzer, items, question, run, batch_size, workers, pages, [*about_model, *notes]
    )
    if not write_result(report.to_dict(), json_file):
        _show(report)
    for line in about_model:
        note(f"note: {line}")
    for reason in list(report.failed.values())[:_SHOWN]:
        note(f"not answered: {printable(reason)}")
    if len(report.failed) > _SHOWN:
        note(f"… and {len(report.failed) - _SHOWN} more in {out / 'failed.txt'}")
    for name in ("answers.jsonl", "answers.csv", "index.html"):
        note(f"wrote {out / name}")
    if report.failed:
        raise typer.Exit(1)


def _is_pattern(name: str) -> bool:
    return not Path(name).exists() and any(sign in name for sign in "*?[")


def _show(report: ManyReport) -> None:
    """How many files were answered, and how often each label came."""
    lines = [f"{report.files} files: {report.files - len(report.failed)} answered, {len(report.failed)} not"]
    if report.kept:
        lines[0] += f" ({report.kept} by an earlier run)"
    for task, labels in report.counts.items():
        ranked = sorted(labels.items(), key=lambda pair: -pair[1])
        lines.append(f"{task:<10} " + " · ".join(f"{label} {n}" for label, n in ranked if n))
    for line in lines:
        console().print(printable(line), markup=False, soft_wrap=True, highlight=False)

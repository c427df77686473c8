"""The command line: a thin layer of options over the functions that do the work.

Everything heavy is imported inside the command that needs it, so `nanoemox --help` answers at once, and
cheap checks (names, files, folders) come before the model is loaded. Results go to standard output, progress and
notes to standard error. A user's fault (NanoEmoXError, or a file that cannot be read or written) is one line and exit
status 2; set NANOEMOX_DEBUG=1 to see its traceback. Any other exception is a bug of ours and shows its traceback.
Files are written whole or not at all.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from nanoemox.cli.console import (
    JsonOption,
    check_json,
    check_page,
    check_table,
    console,
    note,
    printable,
    show_log,
    write_report,
    write_result,
)
from nanoemox.cli.corpora import corpora
from nanoemox.cli.get import get
from nanoemox.cli.live import live
from nanoemox.cli.many import (
    BatchOption,
    ExplainOption,
    FacesOnlyOption,
    NoFramesOption,
    OutOption,
    PagesOption,
    ShareOption,
    TextFilesOption,
    WorkersOption,
    analyze_files,
    pictures_of,
)
from nanoemox.cli.models import assemble, classify, convert, export
from nanoemox.cli.options import (
    TASK_NAMES,
    CheckOption,
    DeviceOption,
    DtypeOption,
    LimitOption,
    ModelOption,
    OptionalModelOption,
    QuarantineOption,
    TableOption,
    UntrainedOption,
)
from nanoemox.cli.people import FaceDetectorOption, PeopleOption, detector_of
from nanoemox.cli.questions import CandidatesOption, DialogueOption, candidates_of, read_turns
from nanoemox.cli.recipes import recipes
from nanoemox.cli.reproduce import reproduce
from nanoemox.cli.scores import calibrate, compare, score
from nanoemox.cli.serve import serve
from nanoemox.cli.study import study
from nanoemox.cli.timeline import timeline
from nanoemox.cli.training import curves, features, train
from nanoemox.cli.words import (
    LanguageOption,
    SpeechModelOption,
    SubtitlesOption,
    TranscribeOption,
    check_words,
    offer_tracks,
    spoken_in,
)
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.files.text import given_text

# The commands show what a person can act on; the libraries below keep quiet. Set the variables to hear them.
for _name, _value in {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}.items():
    os.environ.setdefault(_name, _value)

app = typer.Typer(
    name="nanoemox",
    help="Nano-EmoX reads emotion, intent and reasons from video, audio and text, and replies with empathy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from nanoemox import __version__

        typer.echo(f"nanoemox {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Nano-EmoX reads emotion, intent and reasons from video, audio and text, and replies with empathy."""


theatre = typer.Typer(help="Make clips of Affect Theatre, the generated world.", no_args_is_help=True)
app.add_typer(theatre, name="theatre")
app.add_typer(corpora, name="corpora")
app.add_typer(recipes, name="recipes")


class Split(StrEnum):
    """The three parts of Theatre; they share no person, voice, wording or combination."""

    train = "train"
    val = "val"
    test = "test"


# ---------------------------------------------------------------------- analyze
@app.command()
def analyze(
    clips: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CLIP",
            help="The video, audio or image file to read; with --out, folders, files, patterns or manifests. Put -- "
            "before a name that begins with a dash.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="What is said in the clip.")] = None,
    subtitles: SubtitlesOption = None,
    transcribe: TranscribeOption = False,
    speech_model: SpeechModelOption = None,
    language: LanguageOption = None,
    dialogue: DialogueOption = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            "--tasks",
            "-t",
            metavar="NAME",
            help="Ask only this task; for several, repeat the option, or put commas between them. The tasks are "
            f"{TASK_NAMES}.",
        ),
    ] = None,
    candidates: CandidatesOption = None,
    explain: ExplainOption = False,
    model: OptionalModelOption = None,
    json_file: JsonOption = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page that shows the result, in one HTML file."),
    ] = None,
    no_frames: NoFramesOption = False,
    share: ShareOption = False,
    faces_only: FacesOnlyOption = False,
    start: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Read the clip from this second on.")
    ] = None,
    end: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Read the clip up to this second.")
    ] = None,
    as_video: Annotated[
        bool,
        typer.Option(
            "--as-video",
            help="CLIP is a folder of images: read them as the frames of one video, in their order. With --out, the "
            "images of each folder are one video.",
        ),
    ] = False,
    text_only: Annotated[
        bool, typer.Option("--text-only", help="Answer from --text and --dialogue alone, without a clip.")
    ] = False,
    max_new_tokens: LimitOption = None,
    untrained: UntrainedOption = False,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample",
            help="Draw the answers as the model's authors do, instead of taking the likeliest word each time.",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(metavar="S", min=0, help="With --sample, the same seed draws the same answers.")
    ] = 0,
    people: PeopleOption = False,
    face_detector: FaceDetectorOption = None,
    check: CheckOption = True,
    device: DeviceOption = "cpu",
    out: OutOption = None,
    pages: PagesOption = False,
    text_files: TextFilesOption = False,
    batch_size: BatchOption = None,
    workers: WorkersOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Answer six questions about one clip: sentiment, emotion, every emotion, intent, reasons, an empathetic reply.

    With --out, about every file of a folder.
    """
    from nanoemox.tasks.task import TASKS

    # Check what was asked for: nothing that is slow to import or to load comes before.
    text = given_text(text, "--text")
    task = [name.strip() for names in task for name in names.split(",")] if task else None
    unknown = [name for name in task or () if name not in TASKS]
    if unknown:
        raise ArgumentError(f"unknown task {', '.join(unknown)}: expected some of {', '.join(TASKS)}")
    clip = clips[0] if clips else None
    if text_only and (clip or not (text or dialogue)):
        raise ArgumentError(
            "--text-only: expected --text or --dialogue, and no CLIP; give the text, leave the clip out"
        )
    if not text_only and not clip:
        raise ArgumentError(
            "CLIP is missing: name a video, audio or image file, or use --text-only --text TEXT"
        )
    check_words(clip, text, subtitles, transcribe, speech_model, language, many=out is not None)
    detector = detector_of(people, face_detector, clip)
    check_json(json_file, html, source=clip)
    check_page(html)
    offered = candidates_of(candidates, task)
    pictures = pictures_of(no_frames, share, faces_only, bool(html) or (pages and out is not None))
    if out is not None:
        analyze_files(
            clips or [],
            out,
            model,
            {
                "tasks": task,
                "start_s": start,
                "end_s": end,
                "candidates": offered,
                "max_new_tokens": max_new_tokens,
                "untrained": untrained,
                "explain": explain,
                "as_video": as_video,
            },
            {
                "--text": text,
                "--text-only": text_only,
                "--dialogue": dialogue,
                "--html": html,
                "--people": people,
            },
            json_file,
            text_files,
            subtitles,
            {"transcribe": transcribe, "speech_model": speech_model, "language": language},
            pictures if pages else None,
            seed if sample else None,
            batch_size,
            workers,
            {"device": device, "dtype": dtype, "check": check},
        )
        return
    given = {"--pages": pages, "--text-files": text_files, "--batch-size": batch_size, "--workers": workers}
    if alone := [name for name, value in given.items() if value is not None and value is not False]:
        raise ArgumentError(f"{alone[0]}: is about many files; give the folder of the results, --out DIR")
    if len(clips or ()) > 1 or (clip and clip.endswith(".jsonl")):
        many = f"{len(clips or ())} files" if len(clips or ()) > 1 else f"a manifest, {clip}"
        raise ArgumentError(f"expected one CLIP, got {many}; answer them into a folder with --out DIR")
    turns = read_turns(dialogue)

    from nanoemox.media.clip import empty_clip
    from nanoemox.media.load import load_clip, load_frames_dir

    # Read the clip.
    started = time.perf_counter()
    read = load_frames_dir if as_video else load_clip
    loaded = (
        empty_clip("not asked for (--text-only)")
        if clip is None
        else read(clip, start_s=start, end_s=end)  # before the model: a bad file fails at once
    )

    # Read or hear what is said.
    spoken = None
    if clip is not None:
        spoken = spoken_in(clip, subtitles, transcribe, speech_model, language, start, end, device)
        if spoken is None and not text:
            offer_tracks(clip)
    load_s = time.perf_counter() - started

    from nanoemox.inference.analyzer import EmotionAnalyzer

    # Answer. Whoever names no model gets the one that they have fetched, else the bundled one.
    if model is None:
        from nanoemox.checkpoints.load import default_model

        model = default_model()
    analyzer = EmotionAnalyzer.from_pretrained(model, device=device, dtype=dtype, check=check)
    sampling = analyzer.published_sampling(seed) if sample else None
    if clip is not None and analyzer.processor.compat:  # a converted model reads other audio windows
        loaded = read(clip, start_s=start, end_s=end, compat=analyzer.processor.compat)
    analysis = analyzer.analyze(
        loaded,
        text=text if spoken is None else spoken,
        dialogue=turns,
        tasks=task,
        candidates=offered,
        max_new_tokens=max_new_tokens,
        untrained=untrained,
        sampling=sampling,
        explain=explain,
        people=people,
        face_detector=detector,
        start_s=start,
        end_s=end,
    )
    timing = {**analysis.timing_s, "load": round(load_s, 4)}
    timing["total"] = round(sum(timing.values()) - timing.get("total", 0.0), 4)
    analysis = replace(analysis, timing_s=timing, start_s=start or 0.0)

    # Write the results.
    shown = {}
    if html:
        from nanoemox.inference.page import render_report

        shown[html] = render_report(analysis, pictures)
    if not write_result(analysis.to_dict(), json_file, shown):
        from nanoemox.cli.terminal import show_analysis

        show_analysis(console(), analysis)


# ---------------------------------------------------------------------- theatre, evaluate
@theatre.command("make")
def theatre_make(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder that gets the clips and manifest.jsonl.")
    ],
    clips: Annotated[int, typer.Option(metavar="N", min=1, help="How many clips to make.")] = 100,
    seed: Annotated[
        int, typer.Option(metavar="S", min=0, help="The same seed always makes the same clips.")
    ] = 0,
    split: Annotated[
        Split,
        typer.Option(help="Which part of the world to make. The parts share no person, voice or wording."),
    ] = Split.train,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="How many processes work at once. Without it, one per core."),
    ] = None,
    dial: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Set a dial of the world; may be given several times. intensity, noise, occlusion, motion, conflict, "
            "music, timing, language (en, zh), wordings (first, more).",
        ),
    ] = None,
) -> None:
    """Write, render and label clips of Affect Theatre. A run that was stopped goes on where it was."""
    from nanoemox.theatre.dials import dials_of
    from nanoemox.theatre.make import make_theatre

    made = make_theatre(out, clips, seed, split.value, workers, dials=dials_of(dial or ()))
    console().print(str(made), markup=False, soft_wrap=True, highlight=False)


@app.command()
def evaluate(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A JSONL file with one labelled clip per line.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="The folder that gets report.json, report.html and predictions.jsonl."
        ),
    ],
    model: ModelOption = "pico",
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            "-t",
            metavar="NAME",
            help=f"Score only this task; repeat the option for several. The tasks are {TASK_NAMES}.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Score only the first N clips.")
    ] = None,
    modalities: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Give the model only this modality (text, video or audio); repeat the option for several.",
        ),
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Score the model with each of the three modalities alone, too.")
    ] = False,
    majority_from: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            help="Take the answers of the majority baseline from the train split of this manifest.",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many clips the model answers at once.")
    ] = 16,
    seed: Annotated[
        int, typer.Option(metavar="S", min=0, help="The seed of the intervals. The answers need none.")
    ] = 0,
    device: DeviceOption = "cpu",
    dtype: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The type of the weights: float32, bfloat16 or float16. Only in float32 do answers not depend "
            "on the batch.",
        ),
    ] = "float32",
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Score only the clips of train, val or test.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--features", metavar="DIR", help="Read the features that `nanoemox features` has written here."
        ),
    ] = None,
    quarantine: QuarantineOption = None,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many threads read clips while the model answers.")
    ] = 2,
    max_new_tokens: LimitOption = None,
    untrained: UntrainedOption = False,
    check: CheckOption = True,
    json_file: JsonOption = None,
    table: TableOption = None,
) -> None:
    """Score a model on a labelled manifest, with intervals. Writes report.json, and report.html to look at.

    The exit status is 1 if a clip could not be read.
    """
    check_table(table)
    check_json(json_file, table)

    from nanoemox.evaluation.evaluate import evaluate as run

    report = run(
        manifest,
        model=model,
        out=out,
        tasks=task,
        batch_size=batch_size,
        seed=seed,
        modalities=modalities,
        alone=alone,
        majority_from=majority_from,
        limit=limit,
        device=device,
        dtype=dtype,
        split=split,
        features=store,
        quarantine=quarantine,
        workers=workers,
        max_new_tokens=max_new_tokens,
        check=check,
        untrained=untrained,
    )

    # Show the figures, and say where everything is.
    if not write_report(report, json_file, table):
        from nanoemox.cli.terminal import show_scores

        show_scores(console(), report)
    for line in report.left_out:
        note(line)
    for name in ("report.json", "report.html"):
        note(f"wrote {out / name}")
    if report.errors["clips"]:
        raise typer.Exit(1)


# ---------------------------------------------------------------------- info
@app.command()
def info(model: ModelOption = "pico", json_file: JsonOption = None) -> None:
    """Show how many parameters each part has and each phase trains. `nano` is the paper's model."""
    check_json(json_file)

    from nanoemox.checkpoints.load import load_config
    from nanoemox.model.parts import parameter_report

    sizes = parameter_report(load_config(model))
    if model == "nano":
        from nanoemox.model.parts import OFFICIAL_NANO

        sizes["official"] = OFFICIAL_NANO
    if not write_result(sizes, json_file):
        from nanoemox.cli.terminal import show_sizes

        show_sizes(console(), model, sizes)


# ---------------------------------------------------------------------- errors
for _command in (
    timeline,
    live,
    score,
    compare,
    reproduce,
    train,
    curves,
    features,
    study,
    export,
    get,
    assemble,
    convert,
    calibrate,
    classify,
    serve,
):  # after the three above
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. A user's fault becomes one line and exit status 2; a bug shows its traceback."""
    for stream in (sys.stdout, sys.stderr):  # a file's name may hold bytes that no encoding knows
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with show_log(), warnings.catch_warnings():
            if not sys.warnoptions:  # what transformers will change is no news for who runs a command
                warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
            sys.exit(app(args=words, prog_name="nanoemox", standalone_mode=False) or 0)
    except (NanoEmoXError, OSError) as error:  # OSError: files that are missing, forbidden, on a full disk
        if os.environ.get("NANOEMOX_DEBUG"):
            raise
        sys.stderr.write(f"nanoemox: {_one_line(error)}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("nanoemox: stopped\n")
        sys.exit(130)
    except Exception as error:
        if not hasattr(error, "format_message"):  # of click, whichever typer brings
            raise
        sys.stderr.write(_wrong_use(error, words))
        sys.exit(2)


def _wrong_use(error: Any, words: Sequence[str]) -> str:
    """Help where nothing was asked, else what is wrong with the words of the command, in one line."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return f"{error.format_message()}\n"
    remedy = f"see {context.command_path} --help" if context else "see nanoemox --help"
    dashed = [word for word in words if word.startswith("-") and Path(word).exists()]
    if dashed and "--" not in words:
        remedy = f"put -- before {dashed[0]}, the name of a file that begins with a dash"
    return f"nanoemox: {_one_line(ArgumentError(error.format_message().rstrip('.')))}; {remedy}\n"


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.filename:
        text = f"{error.filename}: {error.strerror}"
    return printable(" ".join(text.split()) or type(error).__name__)


if __name__ == "__main__":
    main()

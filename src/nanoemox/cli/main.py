"""The command line: a thin layer of options over the functions that do the work.

Everything heavy is imported inside the command that needs it, so `nanoemox --help` answers at once, and
cheap checks (names, files, folders) come before the model is loaded. A fault of the input is one line on
standard error and exit status 2; set NANOEMOX_DEBUG=1 to see the traceback instead. Files are written whole
or not at all.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nanoemox.cli.corpora import corpora
from nanoemox.cli.models import assemble, classify, convert, export
from nanoemox.cli.scores import TASK_NAMES, compare, score
from nanoemox.cli.training import features, train
from nanoemox.files.atomic import check_outputs, write_all

if TYPE_CHECKING:
    from rich.console import Console


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
    help="Emotion, intent, reasons and an empathic reply from a clip: video, voice and words.",
    no_args_is_help=True,
    add_completion=False,
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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Emotion, intent, reasons and an empathic reply from a clip: video, voice and words."""


theatre = typer.Typer(help="Affect Theatre, the generated world.", no_args_is_help=True)
app.add_typer(theatre, name="theatre")
app.add_typer(corpora, name="corpora")

ModelOption = Annotated[
    str, typer.Option("--model", "-m", metavar="NAME_OR_PATH", help="pico, a model folder or a Hub id.")
]


class Split(StrEnum):
    """The three parts of Theatre; they share no person, voice, wording or combination."""

    train = "train"
    val = "val"
    test = "test"


# ---------------------------------------------------------------------- analyze
@app.command()
def analyze(
    clip: Annotated[
        str | None,
        typer.Argument(
            metavar="CLIP", help="A video, sound or picture file; put -- before a name with a dash."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="What is said in the clip.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", "-t", metavar="NAME", help=f"Ask only this; repeatable: {TASK_NAMES}."),
    ] = None,
    model: ModelOption = "pico",
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the result as JSON (-: print it)."),
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page to look at, in one HTML file.")
    ] = None,
    start: Annotated[float | None, typer.Option(metavar="SECONDS", help="Begin here.")] = None,
    end: Annotated[float | None, typer.Option(metavar="SECONDS", help="End here.")] = None,
    text_only: Annotated[bool, typer.Option("--text-only", help="No CLIP: answer from --text.")] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="Where torch computes, such as cuda.")] = "cpu",
) -> None:
    """Six answers about one clip: sentiment, emotion, every emotion, intent, reasons, an empathic reply."""
    from nanoemox.tasks.task import TASKS

    unknown = [name for name in task or () if name not in TASKS]
    if unknown:
        raise ValueError(f"unknown task {', '.join(unknown)}: expected some of {', '.join(TASKS)}")
    if text_only and (clip or not text):
        raise ValueError("--text-only: expected --text and no CLIP; give the words, leave the clip out")
    if not text_only and not clip:
        raise ValueError("CLIP is missing: name a video, sound or picture, or use --text-only --text TEXT")
    outputs = [Path(name) for name in (json_file, html) if name and name != "-"]
    check_outputs(outputs, clip)

    from nanoemox.media.clip import empty_clip
    from nanoemox.media.load import load_clip

    started = time.perf_counter()
    loaded = (
        empty_clip("not asked for (--text-only)")
        if clip is None
        else load_clip(clip, start_s=start, end_s=end)  # before the model: a bad file fails at once
    )

    load_s = time.perf_counter() - started

    # Threads that wait sleep: beside other work, spinning ones cost ten times the answer's own time. Before torch.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from nanoemox.inference.analyzer import EmotionAnalyzer

    analyzer = EmotionAnalyzer.from_pretrained(model, device=device)
    if clip is not None and analyzer.processor.compat:  # a converted model hears other windows of the sound
        loaded = load_clip(clip, start_s=start, end_s=end, compat=analyzer.processor.compat)
    analysis = analyzer.analyze(loaded, text=text, tasks=task)
    timing = {**analysis.timing_s, "load": round(load_s, 4)}
    timing["total"] = round(sum(timing.values()) - timing.get("total", 0.0), 4)
    analysis = replace(analysis, timing_s=timing)

    files: dict[Path, str] = {}
    as_json = json.dumps(analysis.to_dict(), ensure_ascii=False, indent=2) + "\n"
    if json_file and json_file != "-":
        files[Path(json_file)] = as_json
    if html:
        from nanoemox.inference.page import render_report

        files[Path(html)] = render_report(analysis, text, start or 0.0)
    write_all(files)
    if json_file == "-":
        sys.stdout.write(as_json)
        return
    from nanoemox.cli.terminal import show_analysis

    console = _console()
    show_analysis(console, analysis)
    for path in files:
        console.print(f"[dim]wrote[/] {path}", soft_wrap=True, highlight=False)


# ---------------------------------------------------------------------- theatre, evaluate
@theatre.command("make")
def theatre_make(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for clips and manifest.jsonl.")],
    clips: Annotated[int, typer.Option(metavar="N", min=1, help="How many clips.")] = 100,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The same seed stages the same clips.")] = 0,
    split: Annotated[Split, typer.Option(help="Splits share no person, voice or wording.")] = Split.train,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes; else one a core.")
    ] = None,
) -> None:
    """Stage, render and label clips of Affect Theatre. Goes on where an earlier run stopped."""
    from nanoemox.theatre.make import MakeError, make_theatre

    try:
        made = make_theatre(out, clips, seed, split.value, workers)
    except MakeError as error:
        raise ValueError(str(error)) from error
    _console().print(str(made), markup=False, soft_wrap=True, highlight=False)


@app.command()
def evaluate(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSONL, one labelled clip a line.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the report and predictions.jsonl.")],
    model: ModelOption = "pico",
    task: Annotated[
        list[str] | None,
        typer.Option("--task", "-t", metavar="NAME", help=f"Score only this; repeatable: {TASK_NAMES}."),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N clips.")] = None,
    modalities: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Give the model only this: text, video, audio; repeatable."),
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Also give it each of the three alone.")] = False,
    majority_from: Annotated[
        Path | None, typer.Option(metavar="MANIFEST", help="Read the best constant answers off this one.")
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Clips at a time.")] = 16,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the intervals; answers are greedy.")] = 0,
    device: Annotated[str, typer.Option(metavar="NAME", help="Where torch computes, such as cuda.")] = "cpu",
    dtype: Annotated[
        str, typer.Option(metavar="NAME", help="Of the weights; in bfloat16 answers depend on the batch.")
    ] = "float32",
    split: Annotated[str | None, typer.Option(metavar="NAME", help="Only train, val or test.")] = None,
    store: Annotated[
        Path | None, typer.Option("--features", metavar="DIR", help="Read what `features` has computed.")
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Leave these out too, beside MANIFEST's own list.")
    ] = None,
) -> None:
    """Score a model on a labelled manifest, with intervals: report.json, and report.html to look at.

    Exit status 1 if a clip could not be read.
    """
    from nanoemox.cli.terminal import show_scores
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
    )
    console = _console()
    show_scores(console, report)
    for line in report.left_out:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for name in ("report.json", "report.html"):
        console.print(f"[dim]wrote[/] {out / name}", soft_wrap=True, highlight=False)
    if report.errors["clips"]:
        raise typer.Exit(1)


# ---------------------------------------------------------------------- info
@app.command()
def info(
    model: ModelOption = "pico",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Sizes: parameters of every part, and how many each phase trains. `nano` is the paper's 2.2B shape."""
    from nanoemox.checkpoints.load import load_config
    from nanoemox.model.modeling_nanoemox import parameter_report

    sizes = parameter_report(load_config(model))
    if model == "nano":
        from nanoemox.model.parts import OFFICIAL_NANO

        sizes["official"] = OFFICIAL_NANO
    if as_json:
        sys.stdout.write(json.dumps(sizes, indent=2) + "\n")
        return
    from nanoemox.cli.terminal import show_sizes

    show_sizes(_console(), model, sizes)


# ---------------------------------------------------------------------- files and errors
def _console() -> Console:
    from rich.console import Console

    return Console()


for _command in (
    score,
    compare,
    train,
    features,
    export,
    assemble,
    convert,
    classify,
):  # after the three above
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; faults of the input become one line and exit status 2."""
    for stream in (sys.stdout, sys.stderr):  # a file's name may hold bytes that no encoding knows
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        sys.exit(app(args=words, prog_name="nanoemox", standalone_mode=False) or 0)
    except (ValueError, OSError) as error:  # MediaError is a ValueError; others are names, paths, files
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
    return f"nanoemox: {_one_line(ValueError(error.format_message().rstrip('.')))}; {remedy}\n"


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.filename:
        text = f"{error.filename}: {error.strerror}"
    text = " ".join(text.split()) or type(error).__name__
    return "".join(c if c.isprintable() else "\ufffd" for c in text)  # names may hold terminal commands


if __name__ == "__main__":
    main()

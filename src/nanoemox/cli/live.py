"""`nanoemox live`: the emotion of now, from a camera, a stream, or a file at its own speed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from nanoemox.cli.console import console, note
from nanoemox.cli.options import CheckOption, DeviceOption, DtypeOption, OptionalModelOption
from nanoemox.files.errors import ArgumentError

Taker = Callable[[Mapping[str, Any]], None]


def live(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="camera, camera:1 or /dev/video0; an address that begins with rtsp://; or a file, which is read at "
            "its own speed.",
        ),
    ],
    window: Annotated[float, typer.Option(metavar="SECONDS", help="How long the window is.")] = 4.0,
    hop: Annotated[
        float, typer.Option(metavar="SECONDS", help="From one answer to the next, in seconds.")
    ] = 1.0,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="SOURCE is a file that is still being written: wait at its end for more."
        ),
    ] = False,
    browser: Annotated[
        bool,
        typer.Option("--browser", help="Show the answers on a page, too, which only this machine can open."),
    ] = False,
    port: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=65535, help="The port of the page; 0 takes one that is free."),
    ] = 0,
    jsonl: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the answers to this file, one JSON object a line."),
    ] = None,
    model: OptionalModelOption = None,
    check: CheckOption = True,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = None,
) -> None:
    """Show the emotion of now, again and again, until the source ends or you press Ctrl-C. No frame is kept.

    Tell everyone who is seen or heard, before you begin: in the European Union the law requires it.
    """
    # Check what was asked for: nothing that is slow to import or to load comes before.
    from nanoemox.timeline.windows import grid_of

    grid = grid_of(window, hop)
    if grid.window_s > 60:
        raise ArgumentError(
            f"--window: expected at most 60 seconds, got {grid.window_s:g}; choose a shorter one"
        )
    from nanoemox.timeline.sources import LiveReader, live_source

    watched = live_source(source, follow)
    if jsonl is not None and not jsonl.absolute().parent.is_dir():
        raise ArgumentError(f"{jsonl}: the folder {jsonl.parent} does not exist; make it first")
    if jsonl is not None and jsonl.exists():
        raise ArgumentError(f"{jsonl}: is there already and is not overwritten; name another file")

    from nanoemox.checkpoints.load import default_model
    from nanoemox.files.atomic import json_text
    from nanoemox.inference.analyzer import EmotionAnalyzer
    from nanoemox.inference.notice import NOTICE
    from nanoemox.timeline.ask import untrained
    from nanoemox.timeline.live import moments, warm_up

    analyzer = EmotionAnalyzer.from_pretrained(
        model or default_model(), device=device, dtype=dtype, check=check
    )
    notes = [*(warning.text for warning in analyzer.origin_warnings), *untrained(analyzer).values()]
    for line in (NOTICE, *notes):
        note(line)
    warm_up(analyzer, grid)
    with ExitStack() as stack:
        takers: list[Taker] = []
        if browser:
            from nanoemox.timeline.live_page import LivePage

            page = stack.enter_context(LivePage(watched.shown, analyzer.name, notes, port))
            note(f"open {page.url} in a browser on this machine")
            takers.append(page.show)
        if jsonl is not None:
            file = stack.enter_context(jsonl.open("x", encoding="utf-8", newline="\n", buffering=1))
            takers.append(lambda answer: file.writelines([json_text(answer, jsonl, indent=None)]))
        if sys.stdout.isatty():
            from nanoemox.cli.terminal import LiveView

            takers.append(stack.enter_context(LiveView(console(), watched.shown)).show)
        else:
            takers.append(_print)
        reader = stack.enter_context(LiveReader(watched, grid.frame_step_s))
        for moment in moments(analyzer, reader, grid):
            answer = {
                "row": moment.row.to_dict(),
                "behind_s": round(moment.behind_s, 3),
                "skipped": moment.skipped,
            }
            for take in takers:
                take(answer)


def _print(answer: Mapping[str, Any]) -> None:
    """One plain line, where the output is no terminal."""
    row = answer["row"]
    share = row["probabilities"][row["emotion"]]
    line = f"{row['start_s']:.1f}-{row['end_s']:.1f} s {row['emotion']} {share:.0%} valence {row['valence']:+.2f}"
    sys.stdout.write(f"{line} ({answer['behind_s']:.1f} s behind)\n")
    sys.stdout.flush()

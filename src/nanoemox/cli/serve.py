"""`serve`: a model behind HTTP, or as a tool for agents."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Annotated

import typer

from nanoemox.cli.console import note
from nanoemox.cli.options import CheckOption, DeviceOption, DtypeOption
from nanoemox.files.errors import ArgumentError

_KEY = "NANOEMOX_SERVE_KEY"
_NEEDED = ("fastapi", "uvicorn", "multipart", "openai", "prometheus_client", "mcp")


def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="The model: pico, one that `nanoemox get` has fetched, a model folder, or a Hub id. Without it, "
            "light-mer if it has been fetched, else pico.",
        ),
    ] = None,
    mcp: Annotated[
        bool,
        typer.Option("--mcp", help="Be a tool of the Model Context Protocol on standard input and output."),
    ] = False,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help=f"Listen here. Beyond this machine only with {_KEY} set.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Listen on this port; 0 takes a free one.")
    ] = 8000,
    max_mb: Annotated[
        int, typer.Option(metavar="MB", min=1, help="Refuse requests with more than this many million bytes.")
    ] = 64,
    max_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Refuse clips that last longer.")
    ] = 600.0,
    max_new_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="The most tokens that a request may ask for.")
    ] = 1024,
    queue: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="How many requests may wait; others get status 429."),
    ] = 32,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="How many clips are answered at once.")] = 8,
    readers: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many processes read media files.")
    ] = 2,
    fetch_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Also fetch clips whose address is on this host; repeat the option for several. Without it, none.",
        ),
    ] = None,
    check: CheckOption = True,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = None,
) -> None:
    """Serve a model: six answers about an upload, OpenAI's chat completions, or a tool for agents. Keeps nothing."""
    _check_installed()
    from nanoemox.server.settings import Settings

    settings = Settings(
        host=host,
        port=port,
        key=os.environ.get(_KEY) or None,
        hosts=tuple(fetch_from or ()),
        max_body_bytes=max_mb * 1_000_000,
        max_clip_s=max_seconds,
        max_new_tokens=max_new_tokens,
        queue=queue,
        batch=batch,
        readers=readers,
    )
    if model is None:
        from nanoemox.checkpoints.load import default_model

        model = default_model()

    from nanoemox.inference.analyzer import EmotionAnalyzer

    if mcp:
        from nanoemox.server.tool import build_tool_server

        build_tool_server(EmotionAnalyzer.from_pretrained(model, device, dtype, check=check), settings).run(
            "stdio"
        )
        return

    # The address before the model: one that is taken is told at once.
    from nanoemox.server import run

    listening = run.listen(settings)
    with listening:
        analyzer = EmotionAnalyzer.from_pretrained(model, device, dtype, check=check)
        shown = f"[{host}]" if ":" in host else host
        note(f"serving {analyzer.name} at http://{shown}:{listening.getsockname()[1]}/v1 (Ctrl+C ends it)")
        for warning in analyzer.origin_warnings:
            note(f"warning: {warning}")
        run.serve(analyzer, settings, listening)


def _check_installed() -> None:
    """Raise ArgumentError unless the packages of the extra are there."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ArgumentError(
            f"serve: expected the extra `serve`, found no {', '.join(missing)}; run pip install '.[serve]' in the "
            "folder of the source"
        )

"""`get`: a published model, from the Hub or from a folder, ready for the other commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nanoemox.cli.console import JsonOption, check_json, note, write_result

# As checkpoints.releases.RELEASES has them, written out: reading them would slow every --help down.
RELEASE_NAMES = "light-mer, light-mer-teacher"


def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"The model: {RELEASE_NAMES}.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Fetch nothing; take the checkpoint and its backbones from this folder, wherever in it they lie.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The folder to write; it must not exist yet. Without it, where --model NAME finds the model.",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The type of the weights: float32, bfloat16 or float16. Without it, float32 for light-mer, which "
            "keeps its answers as they are, and bfloat16 for its teacher.",
        ),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Fetch a published model, check every tensor, and write a model folder with a card. It asks nothing.

    Then `nanoemox analyze CLIP --model NAME` answers with it. A download that was stopped goes on where it was.
    """
    check_json(json_file)

    from nanoemox.checkpoints.get import described, downloads, release_of
    from nanoemox.checkpoints.get import get as run
    from nanoemox.checkpoints.load import models_folder
    from nanoemox.checkpoints.weight_files import check_dtype
    from nanoemox.files.atomic import check_new_folder

    release = release_of(name)
    if dtype is not None:
        check_dtype(dtype)
    if out is not None:
        check_new_folder(out)
    wanted = None
    if source is None:
        wanted = downloads(release)
        for line in described(release, wanted, out or models_folder() / name):
            note(line)
    place, report = run(name, out, source=source, wanted=wanted, dtype=dtype)
    if not write_result({"folder": str(place), **report.to_dict()}, json_file):
        typer.echo(
            f"{len(report.dropped)} tensors that nothing reads were left out; all others have their place"
        )
    note(f"wrote {place}")
    note(f"now: nanoemox analyze clip.mp4 --model {name if out is None else out}")

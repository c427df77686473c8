"""The options of `analyze` that concern the people in the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nanoemox.files.errors import ArgumentError

if TYPE_CHECKING:
    from nanoemox.people.detector import Detector

PeopleOption = Annotated[
    bool,
    typer.Option(
        "--people", help="Find the faces, follow them and answer for each person. Needs the extra people."
    ),
]
FaceDetectorOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="With --people, find faces with YuNet from this file, face_detection_yunet_….onnx.",
    ),
]


def detector_of(people: bool, file: Path | None, clip: str | None) -> Detector | None:
    """The detector that was asked for, so that a missing library or a bad file is told before anything is read.

    Args:
        people: Whether people are looked for.
        file: YuNet's file, if one was named.
        clip: The clip that was named.

    Returns:
        The detector; None where people are not looked for.

    Raises:
        NanoEmoXError: If the options do not go together, or the detector cannot be loaded.
    """
    if file is not None and not people:
        raise ArgumentError("--face-detector: is only used with --people; add it")
    if not people:
        return None
    if clip is None:
        raise ArgumentError("--people: expected a CLIP with pictures; name one, or leave --people out")
    from nanoemox.people.detector import load_detector

    return load_detector(file)

"""Frames for pages that are passed on: unrecognisable as a whole, or the faces in them alone.

A face that the detector misses would stay readable. So a frame keeps its surroundings only where a face was found in it
and no frame of the same clip shows more faces: whoever is missed in one frame is mostly found in another. Every other
frame is made unrecognisable as a whole, and so is every frame where no detector is installed. This does not help
where somebody is turned away in all frames, so whole frames are what a page has unless its maker asks for more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nanoemox.people.detector import Box, Detector, PeopleError, distinct, load_detector

PATCHES = 10  # along the longer side of a frame that is blurred as a whole
FACE_PATCHES = 4  # along the longer side of a blurred face with its margin, of which the face itself has two
MARGIN = 0.6  # around a face, in sizes of its box: hair, ears and chin lie outside the box
ABOVE = 0.9  # likewise, above it

Frames = Sequence[NDArray[np.uint8]]


def shareable(frames: Frames, detector: Detector | None = None) -> list[NDArray[np.uint8]]:
    """Frames [H, W, 3] of one clip in which no face that is found can be made out.

    Args:
        frames: RGB.
        detector: Finds the faces. None takes the one that comes along; where OpenCV is not installed, all frames
            are made unrecognisable as a whole.

    Returns:
        New frames of the same sizes.
    """
    if detector is None:
        try:
            detector = load_detector()
        except PeopleError:
            return [unrecognisable(frame) for frame in frames]
    found = [_faces(frame, detector) for frame in frames]
    most = max(map(len, found), default=0)
    return [
        without(frame, boxes) if boxes and len(boxes) == most else unrecognisable(frame)
        for frame, boxes in zip(frames, found, strict=True)
    ]


def _faces(frame: NDArray[np.uint8], detector: Detector) -> list[Box]:
    """Every face, also of those that are found in the mirrored picture alone."""
    width = frame.shape[1]
    faces = detector.faces(frame, closely=True)
    for face in detector.faces(np.ascontiguousarray(frame[:, ::-1]), closely=True):
        left, top, right, bottom = face.box
        faces.append(face._replace(box=(width - right, top, width - left, bottom)))
    return [face.box for face in distinct(faces)]


def without(frame: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    """An RGB frame [H, W, 3] in which these faces and what is around them are unrecognisable."""
    height, width = frame.shape[:2]
    shown = frame.copy()
    for left, top, right, bottom in boxes:
        size = max(right - left, bottom - top)
        rows = slice(max(0, int(top - ABOVE * size)), min(height, int(bottom + MARGIN * size) + 1))
        columns = slice(max(0, int(left - MARGIN * size)), min(width, int(right + MARGIN * size) + 1))
        if rows.start < rows.stop and columns.start < columns.stop:
            shown[rows, columns] = unrecognisable(frame[rows, columns], FACE_PATCHES)
    return shown


def unrecognisable(frame: NDArray[np.uint8], patches: int = PATCHES) -> NDArray[np.uint8]:
    """An RGB frame [H, W, 3] of which only large patches of colour are left, so that nobody can be made out.

    The picture is averaged over patches first, and only these means are drawn: nothing that was lost can be computed
    back.

    Args:
        frame: The frame.
        patches: How many patches lie along its longer side.

    Returns:
        A new frame of the same size.
    """
    height, width = frame.shape[:2]
    scale = patches / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(frame).resize(size, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))

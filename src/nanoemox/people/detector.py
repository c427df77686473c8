"""Where the faces of a picture are: BlazeFace out of this package, or YuNet from a file that the user names.

Both run in OpenCV (the extra `people`). BlazeFace sees 128 x 128 pixels, so a picture is looked at more
than once: whole, in squares along its longer side and, where it is large and asked for, in squares of half that size.
`docs/people.md` says by which measurements it was chosen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nanoemox.files.errors import NanoEmoXError

SIDE_PX = 128  # of what BlazeFace sees
SURE = 0.5  # the least score of a face that is found in a part of the picture at its own shape
SMALL_PX = 480  # pictures whose shorter side is at least this are looked at closely when asked for
_SAME = 0.3  # two boxes that share more than this of their union are one face
_MOSTLY_INSIDE = 0.7  # a box that lies this far within a larger one is a part of the same face
_AROUND = 3.0  # how much of the surroundings of a known face is looked at, in sizes of its box
_EDGE = 0.01  # of a square: a box that is so near to an edge within the picture is cut off there
_LEAST_PX = 10  # a face that is smaller shows nothing
_FILE = "face_detection_short_range.tflite"
_SHA256 = "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the frame


class PeopleError(NanoEmoXError):
    """People cannot be looked for: a library or a detector's file is missing or damaged, or the clip is too long."""


class Face(NamedTuple):
    """One face in one frame."""

    box: Box
    score: float
    landmarks: NDArray[
        np.float64
    ]  # [4, 2], in pixels: the eyes from left to right, the nose's tip, the mouth's middle


@dataclass(frozen=True)
class Detector:
    """A loaded detector: `name` is what reports call it, `look` finds the faces of one part of a picture."""

    name: str
    look: Callable[[NDArray[np.uint8]], list[Face]]

    def faces(self, frame: NDArray[np.uint8], near: Sequence[Box] = (), closely: bool = False) -> list[Face]:
        """The faces of one frame, the surest first.

        Args:
            frame: RGB [H, W, 3].
            near: Where faces were a moment ago; those that are too small for a look at the whole are looked for there.
            closely: Look for small faces in large pictures everywhere, which takes several times as long.

        Returns:
            The faces.
        """
        height, width = frame.shape[:2]
        short = min(height, width)
        parts = [(0, 0, width, height), *_squares(width, height, short)]
        if closely and short >= SMALL_PX:
            parts += _squares(width, height, short // 2)
        found = self._in(frame, parts)
        missed = [box for box in near if all(shared(box, face.box) < _SAME for face in found)]
        found += self._in(frame, [_around(box, width, height) for box in missed])
        return distinct(found)

    def _in(self, frame: NDArray[np.uint8], parts: Sequence[tuple[int, int, int, int]]) -> list[Face]:
        height, width = frame.shape[:2]
        found = []
        for left, top, right, bottom in dict.fromkeys(parts):
            if right - left < _LEAST_PX or bottom - top < _LEAST_PX:
                continue
            for face in self.look(frame[top:bottom, left:right]):
                a, b, c, d = face.box
                box = (a + left, b + top, c + left, d + top)
                if min(c - a, d - b) < _LEAST_PX or not _inside(box, width, height):
                    continue
                near_px = _EDGE * max(right - left, bottom - top)
                cut = (
                    (left > 0 and a < near_px)
                    or (top > 0 and b < near_px)
                    or (right < width and c > right - left - near_px)
                    or (bottom < height and d > bottom - top - near_px)
                )
                if not cut:
                    found.append(Face(box, face.score, face.landmarks + np.array([left, top])))
        return found


def load_detector(path: str | Path | None = None) -> Detector:
    """A detector of faces.

    Args:
        path: YuNet's file (`face_detection_yunet_….onnx`, from OpenCV's model zoo). None: BlazeFace, which comes along.

    Returns:
        The detector.

    Raises:
        PeopleError: If OpenCV is not installed, or the file is missing or damaged.
    """
    cv2 = opencv()
    if path is None:
        return Detector("BlazeFace (short range)", _blazeface(cv2))
    path = Path(path)
    if not path.is_file():
        raise PeopleError(
            f"{path}: no such file; expected YuNet's, face_detection_yunet_….onnx; name it, or leave the detector out"
        )
    if path.suffix.lower() != ".onnx":
        raise PeopleError(
            f"{path}: expected YuNet's file, whose name ends in .onnx; name it, or leave it out"
        )
    return Detector(f"YuNet ({path.name})", _yunet(cv2, path))


def opencv() -> Any:
    """The module cv2. Errors: PeopleError, if it is not installed."""
    try:
        return import_module("cv2")
    except ImportError as error:
        raise PeopleError(
            "faces are found with OpenCV, which is not installed: pip install 'opencv-python-headless<5'"
        ) from error


# ---------------------------------------------------------------- BlazeFace


def _blazeface(cv2: Any, data: bytes | None = None) -> Callable[[NDArray[np.uint8]], list[Face]]:
    """BlazeFace's short-range network: 896 anchors, a score, a box and six points for each."""
    if data is None:
        file = files("nanoemox") / "weights" / "blazeface" / _FILE
        try:
            data = file.read_bytes()
        except OSError as error:
            raise PeopleError(f"{file}: cannot be read ({error.strerror}); install nanoemox again") from error
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise PeopleError(f"{_FILE}: damaged (its checksum is another); install nanoemox again")
    try:
        net = cv2.dnn.readNetFromTFLite(np.frombuffer(data, np.uint8))
        outputs = net.getUnconnectedOutLayersNames()
        net.setInput(np.zeros((1, 3, SIDE_PX, SIDE_PX), np.float32))
        if sorted(each.size for each in net.forward(outputs)) != [896, 896 * 16]:
            raise ValueError("other outputs")  # OpenCV 5.0 gives one of the two
    except (cv2.error, AttributeError, ValueError) as error:
        raise PeopleError(
            f"OpenCV {cv2.__version__} cannot read BlazeFace, 4.11 to 4.13 can: pip install 'opencv-python-headless<5'"
        ) from error
    anchors = np.array(
        [
            ((x + 0.5) / cells, (y + 0.5) / cells)
            for cells, each in ((16, 2), (8, 6))
            for y in range(cells)
            for x in range(cells)
            for _ in range(each)
        ]
    )  # [896, 2], in shares of the picture

    def look(picture: NDArray[np.uint8]) -> list[Face]:
        height, width = picture.shape[:2]
        scale = SIDE_PX / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        at = np.array([(SIDE_PX - size[0]) // 2, (SIDE_PX - size[1]) // 2])
        square = np.zeros((SIDE_PX, SIDE_PX, 3), np.float32)
        square[at[1] : at[1] + size[1], at[0] : at[0] + size[0]] = small
        net.setInput(np.ascontiguousarray(((square - 127.5) / 127.5).transpose(2, 0, 1)[None]))
        rows = [each.reshape(len(anchors), -1) for each in net.forward(outputs)]
        scores, places = sorted(rows, key=lambda each: each.shape[1])  # [896, 1] and [896, 16]
        sure = 1 / (1 + np.exp(-np.clip(scores[:, 0].astype(np.float64), -50, 50)))
        found = []
        for i in np.flatnonzero(sure >= SURE):
            points = places[i].astype(np.float64).reshape(8, 2)  # middle, size, six points
            middle = (points[0] + anchors[i] * SIDE_PX - at) / scale
            half = points[1] / 2 / scale
            marks = (points[2:6] + anchors[i] * SIDE_PX - at) / scale
            found.append(Face((*(middle - half), *(middle + half)), float(sure[i]), marks))
        return distinct(found)

    return look


# ---------------------------------------------------------------- YuNet


def _yunet(cv2: Any, path: Path) -> Callable[[NDArray[np.uint8]], list[Face]]:
    """YuNet by OpenCV's own class. A file that is no YuNet fails at the trial."""
    try:
        net = cv2.FaceDetectorYN.create(str(path), "", (64, 64), 0.6, 0.3, 100)
        net.detect(np.zeros((64, 64, 3), np.uint8))
    except cv2.error as error:
        raise PeopleError(
            f"{path}: OpenCV {cv2.__version__} cannot use it as YuNet (damaged, or for another version of OpenCV); "
            "get the file again, or leave the detector out"
        ) from error

    def look(picture: NDArray[np.uint8]) -> list[Face]:
        net.setInputSize(picture.shape[1::-1])
        _, rows = net.detect(np.ascontiguousarray(picture[..., ::-1]))
        return [] if rows is None else [yunet_face(row) for row in rows]

    return look


def yunet_face(row: NDArray[np.float32]) -> Face:
    """A row of YuNet's: left, top, width, height, both eyes, nose, both corners of the mouth, score."""
    left, top, width, height = (float(value) for value in row[:4])
    points = row[4:14].astype(np.float64).reshape(5, 2)
    marks = np.stack([*points[:3], points[3:].mean(axis=0)])
    return Face((left, top, left + width, top + height), float(row[14]), marks)


# ---------------------------------------------------------------- boxes


def shared(a: Box, b: Box) -> float:
    """The part that two boxes share, of their union."""
    both = _both(a, b)
    return both / (_area(a) + _area(b) - both) if both else 0.0


def distinct(faces: Sequence[Face]) -> list[Face]:
    """Each face once: the surest of those that lie over each other."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda each: -each.score):
        if all(
            shared(face.box, other.box) < _SAME
            and _both(face.box, other.box) < _MOSTLY_INSIDE * min(_area(face.box), _area(other.box))
            for other in kept
        ):
            kept.append(face)
    return kept


def _both(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _inside(box: Box, width: int, height: int) -> bool:
    """Whether the middle of a box lies in the picture."""
    return 0 <= (box[0] + box[2]) / 2 < width and 0 <= (box[1] + box[3]) / 2 < height


def _squares(width: int, height: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    """Squares of one size that overlap by half and cover the picture."""
    if max(width, height) < 1.1 * side:
        return

    def starts(length: int) -> list[int]:
        steps = -(-2 * (length - side) // side)
        return [round(i * (length - side) / steps) for i in range(steps + 1)] if steps > 0 else [0]

    for top in starts(height):
        for left in starts(width):
            yield left, top, left + side, top + side


def _around(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """A square around a box, as far as it lies in the picture."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = _AROUND * max(box[2] - box[0], box[3] - box[1]) / 2
    return (
        max(0, round(x - half)),
        max(0, round(y - half)),
        min(width, round(x + half)),
        min(height, round(y + half)),
    )

"""Pictures of one face: a square around it, and the aligned form that models trained on OpenFace's crops want."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanoemox.people.detector import Face

CROP_PX = 224  # of the square around a face
ALIGNED_PX = 112  # of an aligned face
# Where OpenFace's mean face has its eyes, the tip of its nose and the middle of its mouth at 112 px and a scale of 0.7.
_MEAN_FACE = np.array([(33.0, 29.2), (79.0, 29.2), (56.9, 50.1), (56.2, 76.3)])
SURROUNDINGS = 2.4  # the side of the square around a face, in heights of its box


def around(cv2: Any, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """The square around a face, [CROP_PX, CROP_PX, 3]; beyond the picture's edge its edge is repeated.

    Args:
        cv2: The module, from `detector.opencv`.
        frame: RGB [H, W, 3].
        face: Where the face is.

    Returns:
        The picture, RGB.
    """
    left, top, right, bottom = face.box
    side = SURROUNDINGS * max(right - left, bottom - top)
    scale = CROP_PX / side
    corner = np.array([(left + right) / 2, (top + bottom) / 2]) - side / 2
    turn = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    return _taken(cv2, frame, turn, CROP_PX)


def aligned(cv2: Any, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """The face turned upright and scaled as OpenFace does it, [ALIGNED_PX, ALIGNED_PX, 3]; its mask is left out.

    Args:
        cv2: The module, from `detector.opencv`.
        frame: RGB [H, W, 3].
        face: Where the face and its landmarks are.

    Returns:
        The picture, RGB.
    """
    return _taken(cv2, frame, similarity(face.landmarks, _MEAN_FACE), ALIGNED_PX)


def similarity(points: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """The turn, scale and shift [2, 3] that brings points nearest to where they are wanted (least squares)."""
    z, w = points[:, 0] + 1j * points[:, 1], wanted[:, 0] + 1j * wanted[:, 1]
    z0, w0 = z.mean(), w.mean()
    spread = float((abs(z - z0) ** 2).sum())
    turn = (np.conj(z - z0) * (w - w0)).sum() / spread if spread > 0 else 1.0 + 0j
    shift = w0 - turn * z0
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _taken(cv2: Any, frame: NDArray[np.uint8], turn: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """The part of a frame that `turn` brings into a square. What is made smaller is smoothed before."""
    scale = float(np.hypot(turn[0, 0], turn[1, 0]))
    if scale < 0.5:
        frame = cv2.resize(frame, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        turn = np.concatenate([turn[:, :2] / (2 * scale), turn[:, 2:]], axis=1)
    taken: NDArray[np.uint8] = cv2.warpAffine(
        frame, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return taken

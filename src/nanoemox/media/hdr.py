"""HDR frames -> the ordinary range, as a person would see them on an ordinary screen.

Without this a film in PQ or HLG looks grey and flat: its code values mean up to 10,000 or 1,000 cd/m2. The way is that
of ITU-R BT.2408 and BT.2446: to light, to the primaries of BT.709, diffuse white (203 cd/m2) to white, what is brighter
compressed into the last part of the range, and to the code values of a screen (BT.1886).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanoemox.media import old_pyav

TRANSFERS = {16: "PQ", 18: "HLG"}  # H.273's numbers
_LINEAR = 8
_BT2020 = 9  # primaries and, as 9 and 10, matrices
_WHITE = 203.0  # cd/m2
_PEAK = 1000.0 / _WHITE  # what becomes as bright as the screen can be
_KNEE = 0.5  # up to here light stays as it is
_SCREEN = 1 / 2.4
# PQ (SMPTE ST 2084) and HLG (ARIB STD-B67)
_M1, _M2, _C1, _C2, _C3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)

Pixels = NDArray[np.float32]


def needs_mapping(frame: Any) -> bool:
    """Whether a frame has another transfer, or other primaries, than a screen shows as they are."""
    if not old_pyav.TELLS_COLOURS:
        return False
    transfer, primaries = getattr(frame, "color_trc", 0), getattr(frame, "color_primaries", 0)
    return transfer in TRANSFERS or transfer == _LINEAR or primaries == _BT2020


def mapped(frame: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame for an ordinary screen.

    Args:
        frame: one for which `needs_mapping` is true.
        size: width and height that are wanted.

    Returns:
        uint8 [H, W, 3].
    """
    matrix = (
        {}
        if frame.format.is_rgb
        else {"src_colorspace": 9 if frame.colorspace in (9, 10) else frame.colorspace}
    )
    same = {"dst_color_trc": frame.color_trc, "dst_color_primaries": frame.color_primaries}
    wide = frame.reformat(
        *size, format="rgb48le", interpolation="BICUBIC", **matrix, **same, **old_pyav.ONE_THREAD
    )
    code: Pixels = wide.to_ndarray().astype(np.float32) / 65535
    light = _light(code, frame.color_trc)
    if frame.color_primaries == _BT2020:
        light = light @ _TO_BT709.T
    light = np.maximum(light, 0.0)
    if frame.color_trc in TRANSFERS:
        brightest = light.max(axis=-1, keepdims=True)
        light = light * (_compressed(brightest) / np.maximum(brightest, 1e-6))
    screen = np.clip(light, 0.0, 1.0) ** _SCREEN
    return np.round(screen * 255).astype(np.uint8)


def _light(code: Pixels, transfer: int) -> Pixels:
    """Code values -> light on the screen, 1 at diffuse white."""
    if transfer == 16:
        root = code ** (1 / _M2)
        return (10_000 / _WHITE) * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)
    if transfer == 18:
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - _C) / _A) + _B) / 12).astype(np.float32)
        luminance = (scene @ _LUMINANCE)[..., None]
        return (1000 / _WHITE) * scene * np.maximum(luminance, 1e-6) ** np.float32(0.2)
    return code if transfer == _LINEAR else code**2.4


def _compressed(light: Pixels) -> Pixels:
    """Light up to the knee as it is; from there to the peak on a curve that begins as steep and ends at 1."""
    above = np.maximum(light - _KNEE, 0.0)
    steepness = 1 / (1 - _KNEE) - 1 / (_PEAK - _KNEE)
    return np.where(light <= _KNEE, light, _KNEE + above / (1 + steepness * above)).astype(np.float32)

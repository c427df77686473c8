"""What PyAV 15 to 17.0 lacks, so that files are read there as by later versions.

All of it goes when the lowest version that pyproject.toml allows is 17.1 or later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from PIL import Image

from nanoemox.media.untrusted import MAX_PIXELS, open_file

_VERSION = tuple(int(number) for number in av.__version__.split(".")[:2])
_ORIENTATION = 0x0112  # the tag of EXIF
# What each orientation asks for, as the display matrix a, b, c, d (x' = a x + c y, y' = b x + d y).
_TURNS = {
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}

# From 17.0 PyAV scales with many threads unless one is asked for; before, it has no choice but one.
ONE_THREAD: dict[str, Any] = {"threads": 1} if _VERSION >= (17, 0) else {}
# From 17.0 a frame tells its transfer and primaries, and scaling can keep them.
TELLS_COLOURS = _VERSION >= (17, 0) and hasattr(av.VideoFrame, "color_trc")
# Before 17.1 PyAV must get no options of codecs on opening: it frees memory that is not its own when a stream
# turns up after the header, as in FLV. So a picture that is too large is refused there only after the probing.
PROBING = {"max_pixels": str(MAX_PIXELS)} if _VERSION >= (17, 1) else {}


def skip(stream: Any) -> None:
    """Have FFmpeg leave a stream out. Before 17.1 its packets are read, and dropped by PyAV."""
    if _VERSION >= (17, 1):
        stream.discard = av.stream.Discard.all


def index_entries(stream: Any) -> Any:
    """The file's index of a stream, None where PyAV does not give it (before 17.0)."""
    return getattr(stream, "index_entries", None)


def turn_of_picture(path: Path) -> tuple[int, int, int, int] | None:
    """How EXIF says that a PNG, WebP or TIFF is turned, which FFmpeg itself tells from 17.1 on."""
    if _VERSION >= (17, 1):
        return None
    try:
        with open_file(path) as file, Image.open(file, formats=("PNG", "WEBP", "TIFF")) as picture:
            return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # whatever is wrong with the note, FFmpeg could show the picture
        return None

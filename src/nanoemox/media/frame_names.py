"""Whether the images of a folder are the frames of one video, told by their names.

Video tools write frames as numbers (`0001.png`), with a word for a frame before them (`frame_0001.png`,
`img_00012.jpg`); cameras and people name photos otherwise (`IMG_2041.JPG`, `anna.jpg`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

# What video tools write before the number, in small letters: cameras write capitals.
_WORDS = r"(?:[a-z0-9]+[_-])*(?:frames?|frm|fr|f|img|images?|out|output|aligned)"
_NUMBERED = re.compile(rf"(?P<before>|{_WORDS}[_-]?|[Ff]rames?[ _-]?|frame_det_\d+_)(?P<number>\d+)")
_LARGEST_GAP = 60  # numbers between two frames, on average: frames are sampled, and some are lost


def are_frame_numbers(names: Sequence[str]) -> bool:
    """Whether names of images are numbers of frames: the same word before each, and numbers that lie close.

    Args:
        names: The names of the files, with their endings.

    Returns:
        Whether they are. A single image is no video.
    """
    found = [_NUMBERED.fullmatch(PurePath(name).stem) for name in names]
    matches = [match for match in found if match]
    if len(matches) < len(names) or len(names) < 2 or len({match["before"] for match in matches}) > 1:
        return False
    numbers = sorted(int(match["number"]) for match in matches)
    different = len(set(numbers)) == len(numbers)
    return different and numbers[-1] - numbers[0] <= _LARGEST_GAP * (len(numbers) - 1)

"""What a mistyped name was probably meant to be."""

from __future__ import annotations

import difflib
from pathlib import Path

CUTOFF = 0.7  # of difflib's ratio


def near_folders(path: str | Path, holds: str = "config.json") -> list[str]:
    """Folders whose name is like that of one that is not there, likeliest first.

    A mistyped folder on the way counts, too: `modles/nano` is near `models/nano`.

    Args:
        path: The folder that is not there.
        holds: A file that the folder must hold.

    Returns:
        At most three paths, written as `path` is.
    """
    parts = Path(path).expanduser().parts
    start = Path(parts[0]) if Path(path).is_absolute() else Path()
    reached = [start]
    for part in parts[1:] if Path(path).is_absolute() else parts:
        reached = [found for place in reached for found in _children_like(place, part)]
    return [str(found) for found in reached if (found / holds).is_file()][:3]


def _children_like(place: Path, name: str) -> list[Path]:
    try:
        children = [child.name for child in place.iterdir() if child.is_dir()]
    except OSError:
        return []
    like = [name] if name in children else difflib.get_close_matches(name, children, 3, CUTOFF)
    return [place / child for child in like]

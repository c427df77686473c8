"""What there is to analyse under a name: the media files of a folder or a pattern, or the lines of a manifest."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nanoemox.data.manifest import read_manifest
from nanoemox.data.schema import Record
from nanoemox.files.errors import ArgumentError
from nanoemox.files.text import given_text
from nanoemox.media.endings import MEDIA_ENDINGS, PICTURE_ENDINGS
from nanoemox.media.frame_names import are_frame_numbers
from nanoemox.media.load import natural_order

MANIFEST_ENDING = ".jsonl"
_LONGEST_TEXT_BYTES = 1 << 20


class Item(NamedTuple):
    """One clip: what rows call it, and its path or record."""

    name: str
    source: Path | Record


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        items: The clips, in the order of their names or of the manifest.
        no_media: How many files were passed over, as their endings are none of media.
        frame_folders: Folders whose pictures are numbered like the frames of a video, and were taken one by one.
    """

    items: tuple[Item, ...]
    no_media: int = 0
    frame_folders: tuple[str, ...] = ()


def found_in(
    names: Sequence[str | os.PathLike[str]], as_video: bool = False, without: Path | None = None
) -> Found:
    """The clips under some names.

    A folder is searched with all folders in it; hidden files and files with endings of other things are passed over.
    A file that is named is always taken.

    Args:
        names: Folders, files, patterns such as "clips/**/*.mp4", or manifests (.jsonl).
        as_video: The pictures of a folder are the frames of one video, which is one clip.
        without: A folder in which nothing is looked for, such as that of the results.

    Returns:
        The clips.

    Raises:
        ArgumentError: If there is none, naming what was looked at.
        ManifestError: If a manifest cannot be used.
    """
    items: list[Item] = []
    passed, frames = 0, []
    for given in names:
        name = os.fspath(given)
        paths = [Path(name)]
        matched = not Path(name).exists() and glob.has_magic(name)
        if matched:
            names_found = glob.glob(name, recursive=True)  # noqa: PTH207 (a pattern may be absolute)
            paths = [Path(found) for found in sorted(names_found, key=natural_order)]
        single = len(names) == 1 and not matched
        if (
            single and not Path(name).exists()
        ):  # of several names, one that is missing does not stop the others
            raise ArgumentError(f"{name}: no such file or folder; check the path")
        for path in paths:
            if path.is_dir():
                for folder, files in _folders(path, without):
                    media = [file for file in files if Path(file).suffix.lower() in MEDIA_ENDINGS]
                    passed += len(files) - len(media)
                    pictures = [file for file in media if Path(file).suffix.lower() in PICTURE_ENDINGS]
                    if as_video and pictures:
                        items.append(Item(_shown(folder, path, single) or path.name, folder))
                        media = [file for file in media if file not in set(pictures)]
                    elif are_frame_numbers(pictures):
                        frames.append(str(folder))
                    items += [Item(_shown(folder / file, path, single), folder / file) for file in media]
            elif path.suffix.lower() == MANIFEST_ENDING:
                items += [Item(record.id, record) for record in read_manifest(path)]
            elif matched and path.suffix.lower() not in MEDIA_ENDINGS:
                passed += 1
            else:
                items.append(Item(path.name if single else path.as_posix(), path))
    shown = ", ".join(os.fspath(name) for name in names)
    if not items:
        seen = f" ({passed} other files were passed over)" if passed else ""
        raise ArgumentError(
            f"{shown}: expected video, audio or image files, found none{seen}; check the path, or the endings of the "
            "files"
        )
    return Found(_with_own_names(items), passed, tuple(frames))


def with_text_files(items: Iterable[Item]) -> list[Item]:
    """Clips with what is said in them, from a text file of the same name beside each (`a.mp4`, `a.txt`).

    Args:
        items: The clips. Records of a manifest have their text already.

    Returns:
        The clips; those with a text file are records now.

    Raises:
        ArgumentError: If a text file is too large or not UTF-8.
    """
    found = []
    for item in items:
        if isinstance(item.source, Record) or not (beside := item.source.with_suffix(".txt")).is_file():
            found.append(item)
            continue
        if beside.stat().st_size > _LONGEST_TEXT_BYTES:
            raise ArgumentError(f"{beside}: expected what is said in a clip, got more than 1 MiB; remove it")
        try:
            text = given_text(beside.read_text("utf-8-sig").strip(), str(beside))
        except UnicodeDecodeError as error:
            raise ArgumentError(
                f"{beside}: expected text in UTF-8, got other bytes; save it again"
            ) from error
        kind = "frames_dir" if item.source.is_dir() else "video"  # a record's video is whatever a file holds
        found.append(
            Item(item.name, Record.model_validate({"id": item.name, kind: item.source, "text": text}))
        )
    return found


def _folders(top: Path, without: Path | None) -> Iterator[tuple[Path, list[str]]]:
    """Each folder with its files, in the order in which people count; hidden ones are left out."""
    barred = without.resolve() if without else None

    def refuse(error: OSError) -> None:
        raise ArgumentError(
            f"{error.filename}: is a folder that cannot be listed ({(error.strerror or '').casefold()}); change its "
            "permissions, or name the files"
        ) from error

    for folder, inside, files in os.walk(top, onerror=refuse):
        inside[:] = sorted(
            (name for name in inside if not name.startswith(".") and Path(folder, name).resolve() != barred),
            key=natural_order,
        )
        yield Path(folder), sorted((name for name in files if not name.startswith(".")), key=natural_order)


def _shown(path: Path, top: Path, single: bool) -> str:
    """A path as rows have it: from the folder on that was named, or in full where there are several."""
    relative = path.relative_to(top).as_posix()
    return ("" if relative == "." else relative) if single else path.as_posix()


def _with_own_names(items: Sequence[Item]) -> tuple[Item, ...]:
    """Each clip once, and no two with one name."""
    once: dict[str, Item] = {}
    for item in items:
        before = once.get(item.name)
        if before is not None and before.source != item.source:
            raise ArgumentError(
                f"{item.name}: two clips have this name; analyse them in two runs, or rename one of them"
            )
        once[item.name] = item
    return tuple(once.values())

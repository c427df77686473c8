"""CAER and FERV39k as one list, in which the clips' original names are lost; the published recipe uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError, chats

LIST = "caer_ferv39k_ann.json"


def read(folder: Folder) -> Iterator[Line]:
    """The list of the published loaders."""
    folder.layout = "processed"
    folder.assume("the list names no split: every line is train, as the published recipe uses it")

    def line(row: Row) -> dict[str, Any]:
        path = _listed(folder, PurePosixPath(row["file"]))
        key = "frames_dir" if path.is_dir() else "video"
        name = path if path.is_dir() else path.with_suffix("")
        return {
            "id": folder.short(name),  # stems repeat from scene to scene, paths do not
            key: path,
            "split": "train",
            "labels": {"emotion": emotion(row["label"])},
        }

    yield from folder.each(chats(folder.need(LIST)), line, "train")


def _listed(folder: Folder, file: PurePosixPath) -> Path:
    """The file that a list from another machine means: the one that shares the longest end of the path."""
    parts = file.with_suffix("").parts
    for length in range(min(len(parts), 4), 0, -1):
        end = "/".join(parts[-length:])
        stem = end.rsplit("/", 1)[-1].lower()
        if found := folder.video(end) or folder.frames(end):
            several = len(folder.videos.get(stem, ())) + len(folder.pictures.get(stem, ()))
            if length == 1 and several > 1:
                raise RowError(
                    f"{file.name} may be any of {several} files; unpack them into the listed folders"
                )
            return found
    raise RowError(f"there is no clip {file.name!r}")


CORPUS = Corpus(
    name="caer_ferv39k",
    title="CAER and FERV39k as one list",
    tasks=("emotion",),
    language="und",
    size="as many as the list names",
    licence="those of CAER and FERV39k",
    where="the list comes with the published Nano-EmoX; the clips from both corpora",
    read=read,
)

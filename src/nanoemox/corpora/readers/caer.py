"""CAER (Lee et al. 2019): seven emotions to be seen in clips of TV shows, no words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion, split_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers import caer_ferv39k
from nanoemox.corpora.tables import Row


def read(folder: Folder) -> Iterator[Line]:
    """`CAER/{train,validation,test}/{Anger,…}/NNNN.avi`: numbers repeat, so folders are part of the id."""
    if folder.file(caer_ferv39k.LIST):
        folder.assume(
            f"{caer_ferv39k.LIST} mixes CAER and FERV39k and does not tell them apart: both were read"
        )
        yield from caer_ferv39k.read(folder)
        return
    folder.layout = "original"
    clips = [path for paths in folder.videos.values() for path in paths if _placed(path)]
    if not clips:
        folder.need(caer_ferv39k.LIST, "CAER/train/Anger/0001.avi")
    clips.sort()
    stills = sum(len(paths) for paths in folder.pictures.values())
    if stills:
        folder.assume(f"{stills} folders of still pictures (CAER-S is another corpus) were not read")

    def line(row: Row) -> dict[str, Any]:
        path = Path(row["path"])
        return {
            "id": "/".join((*path.parts[-3:-1], path.stem)),
            "video": path,
            "split": split_of(path.parts[-3]),
            "labels": {"emotion": emotion(path.parts[-2])},
        }

    yield from folder.each((Row({"path": str(path)}, folder.short(path)) for path in clips), line)


def _placed(path: Path) -> bool:
    return path.parts[-3].lower() in ("train", "validation", "test") if len(path.parts) > 3 else False


CORPUS = Corpus(
    name="caer",
    title="CAER",
    tasks=("emotion",),
    language="en",
    size="about 13,200 clips from 79 TV shows",
    licence="research only",
    where="caer-dataset.github.io (request form)",
    read=read,
)

"""FERV39k (Wang et al. 2022): seven emotions to be seen in 22 scenes, no words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers import caer_ferv39k
from nanoemox.corpora.tables import Row


def read(folder: Folder) -> Iterator[Line]:
    """`4_setups/All_scenes/{train,test}_All.csv` and folders of frames: cropped faces, else whole scenes."""
    if folder.file(caer_ferv39k.LIST):
        folder.assume(
            f"{caer_ferv39k.LIST} mixes CAER and FERV39k and does not tell them apart: both were read"
        )
        yield from caer_ferv39k.read(folder)
        return
    folder.layout = "original"
    inside = _pictures_of(folder, "2_ClipsforFaceCrop") or _pictures_of(folder, "3_ClipsforScenImages")
    folder.assume(f"pictures were taken from {inside[0] if inside else 'wherever the names lead'}")
    folder.need("train_All.csv", caer_ferv39k.LIST)
    for split in filter(folder.reads, ("train", "test")):
        path = folder.need(f"{split}_All.csv")
        rows = folder.rows(path, header=("clip", "label"), delimiter=" ")
        yield from folder.each(rows, partial(_line, folder, split, inside))


def _line(folder: Folder, split: str, inside: tuple[str, ...], row: Row) -> dict[str, Any]:
    name = row["clip"].strip("/")
    media = folder.media(name, inside=inside)
    return {"id": name, **media, "split": split, "labels": {"emotion": emotion(row["label"])}}


def _pictures_of(folder: Folder, name: str) -> tuple[str, ...]:
    """The folder `name`, if there are pictures below it."""
    paths = (path for paths in folder.pictures.values() for path in paths)
    return (name,) if any(part.lower() == name.lower() for path in paths for part in path.parts) else ()


CORPUS = Corpus(
    name="ferv39k",
    title="FERV39k",
    tasks=("emotion",),
    language="und",
    size="38,935 clips of 22 scenes",
    licence="non-commercial research only",
    where="wangyanckxx.github.io/Proj_CVPR2022_FERV39k.html (a password by e-mail)",
    read=read,
)

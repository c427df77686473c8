"""CAER (Lee et al. 2019) and FERV39k (Wang et al. 2022): seven emotions to be seen, no words.

The published recipe uses both through one list, in which the clips' original names are lost; it is read as
the corpus `caer_ferv39k`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion, split_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError, chats

_LIST = "caer_ferv39k_ann.json"


def read_both(folder: Folder) -> Iterator[Line]:
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

    yield from folder.each(chats(folder.need(_LIST)), line)


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


def read_caer(folder: Folder) -> Iterator[Line]:
    """`CAER/{train,validation,test}/{Anger,…}/NNNN.avi`: numbers repeat, so folders are part of the id."""
    if folder.file(_LIST):
        folder.assume(f"{_LIST} mixes CAER and FERV39k and does not tell them apart: both were read")
        yield from read_both(folder)
        return
    folder.layout = "original"
    clips = [path for paths in folder.videos.values() for path in paths if _placed(path)]
    if not clips:
        folder.need(_LIST, "CAER/train/Anger/0001.avi")
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


def read_ferv39k(folder: Folder) -> Iterator[Line]:
    """`4_setups/All_scenes/{train,test}_All.csv` and folders of frames: cropped faces, else whole scenes."""
    if folder.file(_LIST):
        folder.assume(f"{_LIST} mixes CAER and FERV39k and does not tell them apart: both were read")
        yield from read_both(folder)
        return
    folder.layout = "original"
    inside = _pictures_of(folder, "2_ClipsforFaceCrop") or _pictures_of(folder, "3_ClipsforScenImages")
    folder.assume(f"pictures were taken from {inside[0] if inside else 'wherever the names lead'}")
    folder.need("train_All.csv", _LIST)
    for split in ("train", "test"):
        path = folder.need(f"{split}_All.csv")
        rows = folder.rows(path, header=("clip", "label"), delimiter=" ")
        yield from folder.each(rows, partial(_ferv39k, folder, split, inside))


def _ferv39k(folder: Folder, split: str, inside: tuple[str, ...], row: Row) -> dict[str, Any]:
    name = row["clip"].strip("/")
    media = folder.media(name, inside=inside)
    return {"id": name, **media, "split": split, "labels": {"emotion": emotion(row["label"])}}


def _pictures_of(folder: Folder, name: str) -> tuple[str, ...]:
    """The folder `name`, if there are pictures below it."""
    paths = (path for paths in folder.pictures.values() for path in paths)
    return (name,) if any(part.lower() == name.lower() for path in paths for part in path.parts) else ()


CAER = Corpus(
    name="caer",
    title="CAER",
    tasks=("emotion",),
    language="en",
    size="about 13,200 clips from 79 TV shows",
    licence="research only",
    where="caer-dataset.github.io (request form)",
    read=read_caer,
)
FERV39K = Corpus(
    name="ferv39k",
    title="FERV39k",
    tasks=("emotion",),
    language="und",
    size="38,935 clips of 22 scenes",
    licence="non-commercial research only",
    where="wangyanckxx.github.io/Proj_CVPR2022_FERV39k.html (a password by e-mail)",
    read=read_ferv39k,
)
CAER_FERV39K = Corpus(
    name="caer_ferv39k",
    title="CAER and FERV39k as one list",
    tasks=("emotion",),
    language="und",
    size="as many as the list names",
    licence="those of CAER and FERV39k",
    where="the list comes with the published Nano-EmoX; the clips from both corpora",
    read=read_both,
)

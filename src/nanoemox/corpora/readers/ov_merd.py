"""OV-MERD and OV-MERD+ of MER2025: Chinese film and TV with open labels that people gave."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from nanoemox.corpora.corpus import Corpus, transcripts_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import mer


def read(folder: Folder) -> Iterator[Line]:
    """OV-MERD+ as prepared for evaluation (`ovlabel.csv`), or the part of OV-MERD used in training."""
    if path := folder.file("ovlabel.csv"):
        folder.layout = "processed"
        words = transcripts_of(folder, "subtitle_eng.csv", mer.SUBTITLES)
        rows = folder.rows(path, ("name", "openset"))
        yield from folder.each(rows, partial(mer.open_line, folder, words, {}, "test"))
        return
    folder.need("track2_train_ovmerd.csv", "ovlabel.csv")
    folder.assume(
        "track2_train_ovmerd.csv is both trained and evaluated on by the official code: split is train"
    )
    yield from mer.read_both_tracks(folder, "ovmerd", "train")


CORPUS = Corpus(
    name="ov_merd",
    title="OV-MERD and OV-MERD+",
    tasks=("open_vocabulary", "reasoning"),
    size="332 clips; OV-MERD+ 532",
    read=read,
    counts={"original": {"train": 332}, "processed": {"test": 532}},
    **mer.FAMILY,
)

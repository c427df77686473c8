"""MERR-Fine (Cheng et al. 2024): clips of MER2023, and what a machine saw and heard in them and concluded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import merr
from nanoemox.corpora.tables import entries


def read(folder: Folder) -> Iterator[Line]:
    """`MERR_fine_grained.json`: one object by name."""
    folder.layout = "original"
    yield from folder.each(entries(folder.need("MERR_fine_grained.json")), partial(merr.clip_line, folder))


CORPUS = Corpus(
    name="merr",
    title="MERR-Fine",
    size="4,487 clips",
    read=read,
    counts={"original": {"train": 4487}},
    **merr.CARD,
)

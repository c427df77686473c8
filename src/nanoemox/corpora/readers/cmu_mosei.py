"""CMU-MOSEI (Zadeh et al. 2018): opinions on YouTube, sentiment from -3 to 3."""

from __future__ import annotations

from collections.abc import Iterator

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import cmu

_COUNTS = {"train": 16326, "val": 1871, "test": 4659}


def read(folder: Folder) -> Iterator[Line]:
    """All layouts of CMU-MOSEI."""
    yield from cmu.read(folder, "mosei")


CORPUS = Corpus(
    name="cmu_mosei",
    title="CMU-MOSEI",
    size="22,856 segments of 3,228 videos",
    licence="academic research; videos belong to their makers",
    read=read,
    counts={"processed": _COUNTS, "original": _COUNTS},
    **cmu.CARD,
)

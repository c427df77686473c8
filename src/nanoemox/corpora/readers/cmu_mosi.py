"""CMU-MOSI (Zadeh et al. 2016): opinions on YouTube, sentiment from -3 to 3."""

from __future__ import annotations

from collections.abc import Iterator

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import cmu

_COUNTS = {"train": 1284, "val": 229, "test": 686}


def read(folder: Folder) -> Iterator[Line]:
    """All layouts of CMU-MOSI."""
    yield from cmu.read(folder, "mosi")


CORPUS = Corpus(
    name="cmu_mosi",
    title="CMU-MOSI",
    size="2,199 segments of 93 videos",
    licence="academic research; videos belong to their makers",
    read=read,
    counts={"processed": _COUNTS, "original": _COUNTS},
    **cmu.CARD,
)

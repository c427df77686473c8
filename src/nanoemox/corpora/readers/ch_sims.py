"""CH-SIMS (Yu et al. 2020): sentiment from -1 to 1, also per modality."""

from __future__ import annotations

from collections.abc import Iterator

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import sims

_COUNTS = {"train": 1368, "val": 456, "test": 457}


def read(folder: Folder) -> Iterator[Line]:
    """`metadata/` of the original release, MMSA's `label.csv`, or the published preparation."""
    yield from sims.read(folder, "sims-process", "label.csv")


CORPUS = Corpus(
    name="ch_sims",
    title="CH-SIMS",
    size="2,281 clips of 60 videos",
    where="github.com/thuiar/MMSA",
    read=read,
    counts={"original": _COUNTS, "processed": _COUNTS},
    **sims.CARD,
)

"""CH-SIMS v2 (Liu et al. 2022): sentiment from -1 to 1, also per modality."""

from __future__ import annotations

from collections.abc import Iterator

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import sims

_COUNTS = {"train": 2722, "val": 647, "test": 1034}


def read(folder: Folder) -> Iterator[Line]:
    """`meta.csv` of the official code, or the published preparation."""
    yield from sims.read(folder, "simsv2-process", "meta.csv", "label.csv")


CORPUS = Corpus(
    name="ch_sims_v2",
    title="CH-SIMS v2",
    size="4,403 labelled clips",
    where="github.com/thuiar/ch-sims-v2",
    read=read,
    counts={"original": _COUNTS, "processed": _COUNTS},
    **sims.CARD,
)

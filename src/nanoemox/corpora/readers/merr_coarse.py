"""MERR-Coarse (Cheng et al. 2024): more clips of MERR, with coarser descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import merr
from nanoemox.corpora.tables import entries


def read(folder: Folder) -> Iterator[Line]:
    """`MERR_coarse_grained.json`; its keys are taken to be those of the fine part."""
    folder.layout = "original"
    folder.assume("the coarse part is taken to have the keys of the fine part")
    yield from folder.each(entries(folder.need("MERR_coarse_grained.json")), partial(merr.clip_line, folder))


CORPUS = Corpus(
    name="merr_coarse",
    title="MERR-Coarse",
    size="28,618 clips",
    read=read,
    counts={"original": {"train": 28618}},
    **merr.CARD,
)

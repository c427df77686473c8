"""MER-Caption+ of MER2025: Chinese film and TV with labels and descriptions that a machine made."""

from __future__ import annotations

from collections.abc import Iterator

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import mer


def read(folder: Folder) -> Iterator[Line]:
    """`track2_train_mercaptionplus.csv` (labels) and `track3_…` (descriptions), joined by name."""
    yield from mer.read_both_tracks(folder, "mercaptionplus", "train")


CORPUS = Corpus(
    name="mer_caption_plus",
    title="MER-Caption+",
    tasks=("open_vocabulary", "reasoning"),
    size="31,327 clips with machine-made labels and descriptions",
    read=read,
    counts={"original": {"train": 31327}},
    **mer.FAMILY,
)

"""MER2023 (Lian et al.): Chinese film and TV, six emotions and a valence."""

from __future__ import annotations

from collections.abc import Iterator

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import mer

_TABLES = {
    "train": ("train-label.csv",),
    "test1": ("test1-label.csv", "test-multi-label.csv"),
    "test2": ("test2-label.csv", "test-noise-label.csv"),
    "test3": ("test3-label.csv", "test-semi-label.csv"),
}


def read(folder: Folder) -> Iterator[Line]:
    """`train-label.csv`, `test1-label.csv`, …, or the published preparation with English subtitles."""
    yield from mer.read_challenge(
        folder, "mer2023-dataset-process", "english", ("transcription-engchi-polish.csv",), _TABLES
    )


CORPUS = Corpus(
    name="mer2023",
    title="MER2023",
    size="5,030 labelled clips",
    where="merchallenge.cn (EULA by e-mail)",
    read=read,
    counts={"processed": {"train": 3373, "test": 411, "none": 412 + 834}},
    **mer.CHALLENGE,
)

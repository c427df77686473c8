"""MER2024 (Lian et al.): Chinese film and TV, six emotions and a valence."""

from __future__ import annotations

from collections.abc import Iterator

from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import mer

_TABLES = {
    "train": ("label-disdim.csv",),
    "test1": ("reference-semi.csv", "semi-label.csv"),
    "test2": ("reference-noise.csv", "noise-label.csv"),
}


def read(folder: Folder) -> Iterator[Line]:
    """`label-disdim.csv`, `reference-semi.csv`, …, or the published preparation with Chinese subtitles."""
    names = ("transcription_merge.csv", "transcription-engchi-polish.csv", "label-transcription.csv")
    yield from mer.read_challenge(folder, "mer2024-dataset-process", "chinese", names, _TABLES)


CORPUS = Corpus(
    name="mer2024",
    title="MER2024",
    size="7,369 labelled clips",
    where="zeroqiaoba.github.io/MER2024-website (EULA by e-mail)",
    read=read,
    counts={"processed": {"train": 5030, "test": 1169, "none": 1170}},
    **mer.CHALLENGE,
)

"""`label.npz` of the official preparations: {split: {name: {"emo": …, "val": …}}}, read without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanoemox.corpora.tables import CorpusError, Row
from nanoemox.files.npz import ArchiveError, read_npz


def label_rows(path: Path, *splits: str) -> Iterator[tuple[str, Row]]:
    """(split as the file names it, row of name, emo and val) for every clip of the archive."""
    for split, known in labels_in(path).items():
        if splits and split not in splits:
            continue
        for name, values in known.items():
            where = f"{path.name}[{split}][{name}]"
            fault = "" if isinstance(values, dict) else f"is {type(values).__name__}, expected emo and val"
            yield split, Row({"name": name, **values} if not fault else {}, where, fault)


def labels_in(path: Path) -> dict[str, dict[str, Any]]:
    """{split: {name: values}}; "train_corpus" becomes "train"."""
    try:
        arrays = read_npz(path, "train_corpus and the like")
    except ArchiveError as error:
        raise CorpusError(str(error)) from error
    found = {name.removesuffix("_corpus"): known for name, known in arrays.items() if isinstance(known, dict)}
    if not found:
        raise CorpusError(f"{path}: holds no labels (expected train_corpus and the like); check the file")
    return found

"""What MIntRec and MIntRec2.0 share: the names of splits, and the lists of the published loaders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nanoemox.corpora.corpus import one_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, chats

SPLITS = {"train": "train", "dev": "val", "test": "test"}


def read_lists(folder: Folder, key: str, intents: Sequence[str]) -> Iterator[Line]:
    """`train_…_ann.json` and `test_…_ann.json` of the published loaders.

    Args:
        folder: the folder of the corpus.
        key: the part of both lists' names that names the corpus.
        intents: the intents of the corpus.

    Yields:
        The lines of the manifest.
    """
    folder.layout = "processed"

    def line(row: Row, split: str) -> dict[str, Any]:
        name, text = Path(row["file"]).stem, row["text"]
        return {
            "id": name,
            **folder.media(name, text=text),
            "text": text,
            "split": split,
            "labels": {
                "intent": {"label": one_of(row["label"], intents, "intent"), "candidates": list(intents)}
            },
        }

    for split in ("train", "test"):
        if path := folder.file(f"{split}_{key}_ann.json"):
            yield from folder.each(chats(path), partial(line, split=split), split)
        else:
            folder.assume(f"there is no {split}_{key}_ann.json: no {split} lines")

"""Small folder trees laid out as corpora are: text files as given, media as placeholders."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from nanoemox.corpora.prepare import PrepareReport, prepare
from nanoemox.data.manifest import read_manifest
from nanoemox.data.schema import Record


def plant(root: Path, files: Mapping[str, Any] | None = None, media: str = "") -> Path:
    """Write `files` (text, bytes, or JSON for lists and dicts) and empty `media` (paths, blank-separated)."""
    for name, content in (files or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            path.write_text(text, encoding="utf-8")
    for name in media.split():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"placeholder")
    return root


def read(name: str, root: Path) -> tuple[PrepareReport, dict[str, Record]]:
    """Prepare a corpus inside its folder and read the manifest back, as training would."""
    report = prepare(name, root, root / "manifest.jsonl")
    records = {record.id: record for record in read_manifest(root / "manifest.jsonl")}
    assert len(records) == report.lines
    for record in records.values():
        for kind in ("video", "audio", "frames_dir"):
            path = getattr(record, kind)
            assert path is None or path.exists(), path
    return report, records


def wheres(report: PrepareReport) -> list[str]:
    """Where the skipped lines are."""
    return [problem.where for problem in report.skipped]


def chat(kind: str, *items: tuple[str, str, str]) -> list[dict[str, Any]]:
    """The list form of the published loaders: (file, words, label)."""
    return [
        {
            "messages": [{"role": "user", "content": words}, {"role": "assistant", "content": label}],
            kind: [f"/home/someone/data/{file}"],
        }
        for file, words, label in items
    ]


def label_archive(**splits: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A label.npz as numpy writes it."""
    file = BytesIO()
    np.savez(file, **{name: np.array(known, dtype=object) for name, known in splits.items()})  # type: ignore[arg-type]
    return file.getvalue()


def poisoned_archive() -> bytes:
    """A label.npz whose pickle would run a command."""

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            import os

            return os.system, ("touch /tmp/should-not-exist",)

    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train_corpus.npy", header.getvalue() + pickle.dumps(Bomb()))
    return file.getvalue()

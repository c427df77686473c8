"""Archives, tables, predictions and recipes of strangers: bounded in time and memory, and one line for each."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from nanoemox.files.npz import ArchiveError, read_npz
from tests.adversarial import tables


def one_line(error: BaseException) -> str:
    """The message of an error, which must be one short line."""
    text = str(error)
    assert "\n" not in text and 20 < len(text) < 600, text[:1000]
    return text


# ---------------------------------------------------------------- npz


@pytest.mark.parametrize("kind", tables.ARCHIVES)
def test_a_hostile_archive_is_one_line_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("nanoemox.files.plain_pickle.MOST_STEPS", 200_000)  # the same, only sooner
    make, expected = tables.ARCHIVES[kind]
    path = make(tmp_path / "a.npz")
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArchiveError, match=rf"a\.npz: .*({expected})") as raised:
        read_npz(path, "labels")
    one_line(raised.value)
    assert time.process_time() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10  # KiB

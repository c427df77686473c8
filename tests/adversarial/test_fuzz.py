"""The first files of `make fuzz`, so that it keeps working."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest

from nanoemox.files.errors import NanoEmoXError
from tests.adversarial import fuzz


@pytest.mark.parametrize("kind", ["media", "npz", "json", "recipes"])
def test_each_reader_ends_in_a_value_or_in_one_line(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("hypothesis")
    for label, path, reader in islice(fuzz.KINDS[kind](tmp_path, random.Random(7)), 8):
        try:
            reader(path)
        except NanoEmoXError as error:
            assert "\n" not in str(error), label

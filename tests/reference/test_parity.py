"""The parity checks as tests, one for each file of the reference folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .parity import check_file, check_for, main

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("NANOEMOX_REFERENCE", ROOT.parent / "shared" / "golden"))
FILES = sorted(path for path in FOLDER.iterdir() if check_for(path)) if FOLDER.is_dir() else []


@pytest.mark.skipif(
    not FILES, reason=f"no reference vectors in {FOLDER}; set NANOEMOX_REFERENCE to their folder"
)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file(path):
    result = check_file(path)
    assert result is not None and result.passed, result


def test_unknown_files_are_named_and_nothing_checked_is_a_failure(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("hello")
    assert main([str(tmp_path)]) == 1
    assert "skipped  notes.txt" in capsys.readouterr().out


def test_a_wrong_value_is_found(tmp_path, capsys):
    (tmp_path / "rule_check.json").write_text(
        '{"u": [{"i": 0, "salt": 1, "first_four": [-0.7785]}], "values": {}}'
    )
    assert main([str(tmp_path)]) == 0
    (tmp_path / "rule_check.json").write_text(
        '{"u": [{"i": 0, "salt": 1, "first_four": [-0.7795]}], "values": {}}'
    )
    assert main([str(tmp_path)]) == 1
    assert "FAILED   rule_check.json" in capsys.readouterr().out

"""The parity checks as tests, one for each file of the reference folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reference.parity import check_file, check_for, files_of, main

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("NANOEMOX_REFERENCE", ROOT.parent / "shared" / "golden"))
FILES = [path for path in files_of(FOLDER) if check_for(path)]


@pytest.mark.skipif(
    not FILES, reason=f"no reference vectors in {FOLDER}; set NANOEMOX_REFERENCE to their folder"
)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_file(path):
    result = check_file(path)
    assert result is not None
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.passed, result


def test_scores_without_word_lists_are_skipped_with_the_reason(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NANOEMOX_TABLES", "")  # so that it is put back
    monkeypatch.delenv("NANOEMOX_TABLES")
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "metrics_hitrate.json").write_text('{"cases": [], "hit_or_not": []}')
    assert main([str(tmp_path / "golden")]) == 1  # nothing was checked
    told = capsys.readouterr().out
    assert "skipped" in told and "no word lists" in told and "--tables" in told and "FAILED" not in told
    assert main([str(tmp_path / "golden"), "--tables", str(tmp_path / "none")]) == 1  # named, so a fault
    assert "FAILED" in capsys.readouterr().out


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

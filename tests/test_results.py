"""The figures of Affect Theatre in docs/results.md and README.md are those of the committed file, to the last digit."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "docs" / "results" / "theatre-seeds.json"
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "theatre_seeds.py"))


def figures() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
    return read


def test_the_page_of_results_has_the_table_that_the_script_prints() -> None:
    assert SCRIPT["table"](figures()) in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_the_readme_has_its_rows() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = SCRIPT["short_table"](figures()).splitlines()
    assert len(rows) == 6 and all(row.removesuffix("|").rstrip() in readme for row in rows)


def test_there_are_three_sets_of_600_clips() -> None:
    assert figures()["clips"] == 1800 and len(figures()["sets"]) == 3

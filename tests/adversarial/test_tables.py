"""Archives, tables, predictions and recipes of strangers: bounded in time and memory, and one line for each."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.corpora.doctor import doctor
from nanoemox.corpora.prepare import prepare_own
from nanoemox.corpora.tables import CorpusError, entries, rows
from nanoemox.data.manifest import ManifestError, read_manifest
from nanoemox.data.quarantine import read_quarantine
from nanoemox.data.schema import Record
from nanoemox.files.errors import ArgumentError
from nanoemox.files.npz import ArchiveError, read_npz
from nanoemox.files.yaml_text import read_yaml
from nanoemox.scoring.prediction_files import read_rows
from nanoemox.training.recipe import RecipeError, load_recipe
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


# ---------------------------------------------------------------- lines of JSON


@pytest.mark.parametrize("kind", tables.JSON_VALUES)
def test_a_hostile_line_is_named_and_costs_no_other(tmp_path: Path, kind: str) -> None:
    value, expected = tables.JSON_VALUES[kind]
    good = [json.dumps({"id": name, "text": "well", "extra": {"n": 1}}) for name in "ab"]
    bad = f'{{"id": "c", "text": "well", "extra": {value}}}'
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join([good[0], bad, good[1]]) + "\n", "utf-8")
    with pytest.raises(ManifestError, match=rf"(?i)m\.jsonl, line 2: .*({expected})") as raised:
        read_manifest(path)
    one_line(raised.value)
    report = doctor(path, workers=0, progress=False)
    assert report.checked == 2 and [(f.line, f.kind) for f in report.findings] == [(2, "malformed")]

    table = tmp_path / "t.jsonl"
    table.write_text(
        "\n".join(f'{{"id": "{i}", "text": "well", "mood": {v}}}' for i, v in enumerate((1, value, 2))),
        "utf-8",
    )
    made = prepare_own(table, tmp_path / "own.jsonl")
    assert made.lines == 2 and [problem.where for problem in made.skipped] == ["t.jsonl:2"]
    assert all(len(problem.what) < 300 and "\n" not in problem.what for problem in made.skipped)
    assert len(read_manifest(tmp_path / "own.jsonl")) == 2


def test_entries_of_a_document_that_cannot_be_used_cost_no_other(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(
        '{"a": {"n": 1}, "b": {"n": NaN}, "c": {"n": ' + "9" * 5_000 + '}, "d": {"n": 1e999}, '
        '"e": {"n": 2}, "e": {"n": 3}}',
        "utf-8",
    )
    rows = {row.where: row for row in entries(path)}
    assert {where for where, row in rows.items() if row.fault} == {
        "d.json",
        "d.json[b]",
        "d.json[c]",
        "d.json[d]",
    }
    assert "the key 'e' twice" in rows["d.json"].fault and rows["d.json[e]"].get("n") == "3"


def test_numbers_that_cannot_be_written_are_refused_wherever_they_come_from() -> None:
    for wrong in (float("nan"), [{"a": float("inf")}]):
        with pytest.raises(ValueError, match="expected finite numbers"):
            Record.model_validate({"id": "a", "text": "x", "extra": {"n": wrong}})


@pytest.mark.parametrize("line", ['{"id": "a", "why": "silent"}', '{"id": ["a"], "why": []}', "[" * 100_000])
def test_a_hostile_quarantine_list(tmp_path: Path, line: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"id": "b", "why": ["x"]}\n' + line + "\n", "utf-8")
    with pytest.raises(ManifestError, match=r"q\.jsonl, line 2: expected"):
        read_quarantine(path)


# ---------------------------------------------------------------- recipes


@pytest.mark.parametrize("kind", tables.RECIPES)
def test_a_hostile_recipe_is_one_line_soon(tmp_path: Path, kind: str) -> None:
    text, expected = tables.RECIPES[kind]
    path = tmp_path / "r.yaml"
    path.write_text(text, "utf-8")
    started = time.process_time()
    with pytest.raises(RecipeError, match=rf"r\.yaml: .*({expected})") as raised:
        load_recipe(path)
    one_line(raised.value)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "value", ["*a", "[" * 5_000, "!!python/name:os.system", "2020-13-45", ".inf", "{a: 1, a: 2}"]
)
def test_a_hostile_setting_is_one_line(value: str) -> None:
    with pytest.raises(RecipeError) as raised:
        load_recipe("own", [f"phases.tuned.learning_rate={value}"])
    one_line(raised.value)


def test_anchors_and_merge_keys_of_ordinary_recipes_are_read() -> None:
    text = "base: &base {steps: 3, rate: 1.5}\nphases:\n  - {<<: *base, steps: 4}\n  - *base\n"
    assert read_yaml(text)["phases"] == [{"steps": 4, "rate": 1.5}, {"steps": 3, "rate": 1.5}]


# ---------------------------------------------------------------- predictions


@pytest.mark.parametrize("kind", tables.JSON_VALUES)
def test_a_hostile_answer_costs_no_other(tmp_path: Path, kind: str) -> None:
    value, _ = tables.JSON_VALUES[kind]
    lines = [
        '{"id": "a", "text": "anger"}',
        f'{{"id": "b", "text": "x", "more": {value}}}',
        '{"id": "c", "text": "joy"}',
    ]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    rows, faults = read_rows(path)
    assert {"a", "c"} <= {row["id"] for row in rows} and len(rows) + len(faults) >= 3
    assert all(fault.name == "line 2" for fault in faults)
    whole = tmp_path / "p.json"
    whole.write_text("[" + ",\n".join(lines) + "]", "utf-8")
    try:
        assert {"a", "c"} <= {row["id"] for row in read_rows(whole)[0]}
    except ArgumentError as error:
        assert "p.json" in one_line(error)


@pytest.mark.parametrize(
    "arrays",
    [
        {"filenames": np.array("a"), "fileitems": np.array("b")},
        {"filenames": np.array([["a"], ["b"]]), "fileitems": np.array([["a"], ["b"]])},
        {"filenames": np.array({"a": 1}, dtype=object), "fileitems": np.array(["b"])},
        {"filenames": np.array(["a", "b"]), "fileitems": np.array(["b"])},
        {"name2reason": np.array(["a"], dtype=object)},
        {"x" * 5000: np.arange(3)},
    ],
)
def test_an_archive_of_another_form_is_one_line(tmp_path: Path, arrays: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=r"p\.npz") as raised:
        read_rows(tables.written_by_numpy(tmp_path / "p.npz", **arrays))
    one_line(raised.value)


# ---------------------------------------------------------------- spreadsheets


@pytest.mark.parametrize("kind", tables.SHEETS)
def test_a_hostile_spreadsheet_is_one_line_or_its_rows_soon(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("openpyxl")
    make, expected = tables.SHEETS[kind]
    path = make(tmp_path / "t.xlsx")
    started = time.process_time()
    try:
        found = [row.values for row in rows(path)]
        assert found == expected
    except CorpusError as error:
        assert isinstance(expected, str) and expected in one_line(error)
    assert time.process_time() - started < 10

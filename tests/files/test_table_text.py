"""Tables as text: what a cell holds never changes the table."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.files.report import TableReport
from nanoemox.files.table_text import INTERVAL, Table, csv_text, latex_text, markdown_text

HOSTILE = 'a|b & 50% of $x_1 {c}\\d ~^#"e", <b>`f`</b>\nnew [g](h) *i* -- ; \x1b[2J 映画'
TABLE = Table(
    ["name", "value", INTERVAL, "n"],
    [
        [HOSTILE, 0.123456, (0.1, 0.2), 7],
        ["weighted_f1", None, (None, None), None],
        ["=1+1", 0.0001, (-0.5, 0.5), 12],
        ["[*", 1.0, (0.9, 1.0), 3],
    ],
    "a & b | c_",
)


def test_csv_is_read_back_in_full() -> None:
    heads, *rows = csv.reader(io.StringIO(csv_text(TABLE)))
    assert heads == ["name", "value", "low", "high", "n"]
    assert rows[0] == [HOSTILE, "0.123456", "0.1", "0.2", "7"]
    assert rows[1] == ["weighted_f1", "", "", "", ""]
    assert rows[2][0] == "'=1+1" and rows[2][1] == "0.0001"  # no formula for a spreadsheet


def test_markdown_keeps_its_columns_and_shows_no_markup() -> None:
    caption, blank, heads, rule, *rows = markdown_text(TABLE).splitlines()
    assert caption == r"a \& b \| c\_" and blank == "" and rule == "| --- | --: | --: | --: |"
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in (heads, *rows)]
    assert all(len(row) == 4 for row in cells) and len(rows) == 4
    assert [cell.strip() for cell in cells[1][1:]] == ["0.123", "0.100 to 0.200", "7"]
    assert cells[2][0].strip() == "weighted_f1" and cells[3][1].strip() == "0.0001"
    first = cells[1][0]
    for mark in "|<>`[]*$&~#":
        assert not re.search(rf"(?<!\\){re.escape(mark)}", first), mark
    assert "\x1b" not in first and "映画" in first


def test_latex_compiles_to_the_same_letters() -> None:
    text = latex_text(TABLE)
    assert r"\begin{tabular}{lrrr}" in text and r"\caption{a \& b | c\_}".replace("|", r"\textbar{}") in text
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    rows = [row for row in body.split("\\\\\n") if row.strip()]
    assert len(rows) == 4 and all(len(re.findall(r"(?<!\\)&", row)) == 3 for row in rows)
    for command in (r"\textbackslash{}d", r"\{c\}", r"50\%", r"\$x\_1", r"\#", r"\textasciitilde{}", r"-{}-"):
        assert command in rows[0], command
    assert "& $-$0.500 to 0.500 &" in rows[2]
    assert rows[3].strip().startswith("{[}*")  # not the argument of the line before
    assert "\x1b" not in text


@pytest.mark.parametrize("empty", [Table(["a", "b"], []), Table(["a"], [[None]])])
def test_a_table_without_rows_is_a_table(empty: Table) -> None:
    assert csv_text(empty).startswith("a")
    assert markdown_text(empty).startswith("| a ")
    assert r"\toprule" in latex_text(empty)


class Two(TableReport):
    """A result of one number."""

    def to_dict(self) -> dict[str, float]:
        return {"a": 0.5}

    def to_table(self) -> Table:
        return Table(["a"], [[0.5]])


def test_the_ending_of_a_name_chooses_the_form(tmp_path: Path) -> None:
    for name, begins in (("a.json", "{"), ("a.CSV", "a\n0.5"), ("a.md", "| a |"), ("b/a.tex", "% needs")):
        Two().save_report(tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)
    for name in ("a.pdf", "a", ".csv", "a.html"):
        with pytest.raises(ArgumentError, match=r"ends in \.json, \.csv, \.md or \.tex"):
            Two().save_report(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "a.CSV", "a.md", "b"}

"""Cells of tables: as the csv module reads them, without its limit, and without making one cell of all the rest."""

from __future__ import annotations

import csv
import io

import pytest

from nanoemox.files.separated import Layout, TableError, layout_of, rows_of

TABLES = [
    "a,b\n1,2\n",
    "a,b\r\n1,2",
    "a,b\r1,2\r",
    'a,b\n"x, y","he said ""no"""\n',
    'a,b\n"two\nlines",1\n"two\r\nlines",""\n',
    'a,b\n"quoted"and more,1\nit\'s "fine",2\n',
    "a,b\n,\n,,\nx\n",
    '"a"\n""\n',
    "",
    "\n\n",
    'a,"b"\n"1\n\n\n2",3\nlast,row',
]


@pytest.mark.parametrize("text", TABLES)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_cells_are_those_of_the_csv_module(text: str, separator: str) -> None:
    text = text.replace(",", separator)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    expected = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    assert [(row.last_line, row.cells) for row in rows_of(text, Layout(separator))] == expected


def test_a_quote_that_is_never_closed_is_an_error_at_its_line() -> None:
    with pytest.raises(TableError, match="never closed") as raised:
        rows_of('a,b\n1,2\n3,"4\n5,6\n', Layout(","))
    assert raised.value.line == 3
    assert [row.cells for row in rows_of('a,b\n3,"4\n', Layout(","), quoted=False)][1] == ["3", '"4']


def test_a_long_cell_needs_no_limit_of_the_process() -> None:
    before = csv.field_size_limit()
    long = "x" * (before + 1)
    assert rows_of(f'a,"{long}"\n', Layout(","))[0].cells == ["a", long]
    assert layout_of(f"id;{long}\n", ",", {"id"}).separator == ";"
    assert csv.field_size_limit() == before

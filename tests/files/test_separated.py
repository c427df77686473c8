"""Tables as spreadsheets write them: encodings and separators are found out, and nothing else is taken for them."""

from __future__ import annotations

import csv
import io

import pytest

from nanoemox.files.separated import Layout, TableError, decoded, layout_of, rows_of


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "gb18030"]
)
def test_the_encoding_is_found_out(encoding: str) -> None:
    text = "id,text\na,生气了，很生气\nb,fine\n"
    found = decoded(text.encode(encoding))
    assert (found.text, found.damaged_lines) == (text, ())
    assert found.sure == (encoding not in ("utf-16-le", "utf-16-be", "gb18030"))


def test_western_text_is_not_taken_for_chinese() -> None:
    data = "id,text\na,naïve café\nb,Ärger über Gefühle – “so”\n".encode("cp1252")
    assert decoded(data, "cp1252") == (data.decode("cp1252"), "cp1252", False, ())
    assert decoded(data).damaged_lines == (2, 3)
    assert decoded(b"") == ("", "UTF-8", True, ())


@pytest.mark.parametrize(
    ("text", "usual", "separator"),
    [
        ("id;label\na;b\n", ",", ";"),
        ("id\tlabel\na\tb\n", ",", "\t"),
        ("id|label\na|b\n", ",", "|"),
        ("id,label\na,b\n", "\t", ","),
        ("id,a;b;c;label\na,b\n", ",", ","),  # one known name each: the usual one
        ("id;text, spoken;label\na;b;c\n", ",", ";"),
        ("id\na\n", ",", ","),
        ("x;y\n1;2\n", ",", ";"),  # no known name, but several even columns
        ("x,y\n1;2\n", ",", ","),
        ("", ",", ","),
    ],
)
def test_the_heading_tells_the_separator(text: str, usual: str, separator: str) -> None:
    assert layout_of(text, usual, {"id", "label"}) == Layout(separator)


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_first_line_names_the_separator(line: str) -> None:
    text = f"{line}\r\nid;label\r\na;b\r\n"
    layout = layout_of(text, ",", set())
    assert layout == Layout(";", 1)
    assert [(row.first_line, row.cells) for row in rows_of(text, layout)] == [
        (2, ["id", "label"]),
        (3, ["a", "b"]),
    ]


def test_rows_know_their_lines_and_the_limit_of_csv_stays() -> None:
    before = csv.field_size_limit()
    text = 'id,text\n\n"a","two\nlines"\nb,' + "x" * 200_000 + "\n"
    rows = rows_of(text, Layout(","))
    assert [(row.first_line, row.last_line) for row in rows] == [(1, 1), (3, 4), (5, 5)]
    assert len(rows[2].cells[1]) == 200_000 and csv.field_size_limit() == before
    assert rows_of('a\t"b\n', Layout("\t"), quoted=False)[0].cells == ["a", '"b']
    old = "id;label\ra;b\r"  # line ends of old Macs
    assert [row.cells for row in rows_of(old, layout_of(old, ",", {"id"}))] == [["id", "label"], ["a", "b"]]
    with pytest.raises(TableError) as failed:
        rows_of(text, Layout(","), longest=1000)
    assert failed.value.line == 5 and csv.field_size_limit() == before


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
    assert layout_of('"id\n1";"lab', ",", {"id"}).separator in ",;"


def test_a_heading_of_any_length_needs_no_limit_of_the_process() -> None:
    before = csv.field_size_limit()
    assert layout_of(f"id;{'x' * (before + 1)}\n", ",", {"id"}).separator == ";"
    assert csv.field_size_limit() == before

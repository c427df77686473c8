"""A table of figures as text: CSV for programs, Markdown for notes, LaTeX for papers.

What a cell holds never changes the table: every form escapes what would act in it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Interval: TypeAlias = tuple[float | None, float | None]
INTERVAL = "95 % interval"  # the heading of the column of intervals
Cell: TypeAlias = str | int | float | Interval | None

_MINUS = re.compile(r"(?<![^ ])-")  # of a number; a hyphen is shorter
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings.

    Attributes:
        columns: The headings.
        rows: As many cells each. A cell is a text, a whole number, a number, an interval of two numbers, or None
            where there is nothing.
        caption: What the table is about.
    """

    columns: Sequence[str]  # at most one of them holds intervals
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


def csv_text(table: Table) -> str:
    """The table as CSV: numbers in full, and an interval as two columns, `low` and `high`."""
    intervals = {i for row in table.rows for i, cell in enumerate(row) if isinstance(cell, tuple)}
    heads = [
        name
        for i, column in enumerate(table.columns)
        for name in (("low", "high") if i in intervals else (column,))
    ]
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(heads)
    for row in table.rows:
        cells: list[str | int | float | None] = []
        for i, cell in enumerate(row):
            pair = cell if isinstance(cell, tuple) else (None, None)
            cells += pair if i in intervals else [_inert(cell) if isinstance(cell, str) else cell]  # type: ignore[list-item]
        write(cells)
    return out.getvalue()


def _inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def markdown_text(table: Table) -> str:
    """The table in Markdown, as GitHub and most others read it; numbers have three decimals."""
    numeric = _numeric(table)
    lines = [
        [_in_markdown(column) for column in table.columns],
        ["--:" if i in numeric else "---" for i in range(len(table.columns))],
        *([_in_markdown(_shown(cell)) for cell in row] for row in table.rows),
    ]
    body = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return f"{_in_markdown(table.caption)}\n\n{body}" if table.caption else body


def _in_markdown(text: str) -> str:
    text = re.sub(r"[\\`*<>\[\]|~&$#]", r"\\\g<0>", _one_line(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # inside a word an underscore is only itself


def latex_text(table: Table) -> str:
    """The table in LaTeX, to be put into a paper with \\input; numbers have three decimals."""
    numeric = _numeric(table)
    form = "".join("r" if i in numeric else "l" for i in range(len(table.columns)))
    lines = [[_in_latex(column) for column in table.columns]]
    lines += [
        [_in_latex(cell) if isinstance(cell, str) else _MINUS.sub("$-$", _shown(cell)) for cell in row]
        for row in table.rows
    ]
    heads, *rows = [" & ".join(cells) + r" \\" for cells in lines]
    caption = [f"  \\caption{{{_in_latex(table.caption)}}}"] if table.caption else []
    return "\n".join(
        [
            "% needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}",
            r"\begin{table}",
            r"  \centering",
            *caption,
            f"  \\begin{{tabular}}{{{form}}}",
            *(f"    {line}" for line in (r"\toprule", heads, r"\midrule", *rows, r"\bottomrule")),
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _in_latex(text: str) -> str:
    escaped = "".join(_LATEX.get(letter, letter) for letter in _one_line(text))
    # After \\ an opening bracket would be its argument, and dashes would join to one.
    return re.sub(r"^([\[*])", r"{\1}", escaped).replace("--", "-{}-")


def _numeric(table: Table) -> set[int]:
    """The columns that hold no text."""
    texts = {i for row in table.rows for i, cell in enumerate(row) if isinstance(cell, str)}
    return set(range(len(table.columns))) - texts


def _shown(cell: Cell) -> str:
    """A cell for the eye."""
    if isinstance(cell, tuple):
        return "" if None in cell else " to ".join(_shown(bound) for bound in cell)
    if isinstance(cell, float):
        return f"{cell:.1g}" if 0 < abs(cell) < 0.0005 else f"{cell:.3f}"  # what is nearly nothing is not 0
    return "" if cell is None else str(cell)


def _one_line(text: str) -> str:
    """Without line ends and without what a terminal or a compiler would act on."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text).split())


TABLE_FORMS: Final[Mapping[str, Callable[[Table], str]]] = {
    ".csv": csv_text,
    ".md": markdown_text,
    ".tex": latex_text,
}

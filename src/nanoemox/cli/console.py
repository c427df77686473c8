"""Where the commands write: results to standard output, progress and notes to standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nanoemox.files.atomic import check_outputs, json_text, write_texts

if TYPE_CHECKING:
    from rich.console import Console

    from nanoemox.files.report import TableReport

STANDARD_OUTPUT = "-"  # what --json says to print the result
JsonOption = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the whole result as JSON to FILE; with - print it, and nothing else, to standard output.",
    ),
]


def console() -> Console:
    """The console for results. Rich is imported only here, so that --help stays quick."""
    from rich.console import Console

    return Console()


def note(line: str) -> None:
    """Print one plain line on standard error, such as the name of a file that was written."""
    sys.stderr.write(f"{printable(line)}\n")


def printable(text: str) -> str:
    """Text without what could command a terminal: names of files and answers of models may hold anything."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


# ---------------------------------------------------------------------- the log
class _PlainLines(logging.Handler):
    """Prints each record as one plain line on standard error, above the progress bars that are shown there."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        kind = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        try:
            tqdm.write(printable(f"{kind}{record.getMessage()}"), file=sys.stderr)
        except Exception:
            self.handleError(record)


@contextmanager
def show_log() -> Iterator[None]:
    """Print what the package logs, from INFO on, while a command runs.

    The library itself only logs: who imports it sees what their own configuration of `logging` shows.
    """
    logger = logging.getLogger("nanoemox")
    handler, level = _PlainLines(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


# ---------------------------------------------------------------------- results as JSON
def check_json(json_file: str | None, *others: Path | None, source: str | None = None) -> None:
    """Before any work: can the files be written, and is none of them the file that is read?

    Args:
        json_file: What --json says.
        others: Other files that the command will write.
        source: The file that the command reads.
    """
    json_path = Path(json_file) if json_file and json_file != STANDARD_OUTPUT else None
    check_outputs([path for path in (json_path, *others) if path], source)
    if json_path and json_path.suffix:
        from nanoemox.files.report import check_ending

        check_ending(json_path, {".json": None})


def check_page(page: Path | None) -> None:
    """Before any work: does the name that --html gives end in that of a page?"""
    if page:
        from nanoemox.files.report import check_ending

        check_ending(page, {".html": None, ".htm": None})


def check_table(table: Path | None) -> None:
    """Before any work: does the name that --table gives end in that of a table?"""
    if table:
        from nanoemox.files.report import check_ending
        from nanoemox.files.table_text import TABLE_FORMS

        check_ending(table, TABLE_FORMS)


def write_report(report: TableReport, json_file: str | None, table: Path | None) -> bool:
    """Write a report as --json and --table say, all files or none.

    Args:
        report: The report.
        json_file: A file, "-" for standard output, or None for nowhere.
        table: A .csv, .md or .tex file, or None.

    Returns:
        Whether the report was printed. Then the command prints nothing else on standard output.
    """
    tables = {table: report.forms()[table.suffix.lower()]()} if table else {}
    return write_result(report.to_dict(), json_file, tables)


def write_result(
    result: Mapping[str, Any], json_file: str | None, others: Mapping[Path, str] | None = None
) -> bool:
    """Write a result as --json says, all files or none.

    Args:
        result: What is written as one JSON object.
        json_file: A file, "-" for standard output, or None for nowhere.
        others: More files to write with it: path -> text.

    Returns:
        Whether the result was printed. Then the command prints nothing else on standard output.
    """
    text = json_text(result, "--json" if json_file in (None, STANDARD_OUTPUT) else json_file)
    files = dict(others or {})
    if json_file and json_file != STANDARD_OUTPUT:
        files[Path(json_file)] = text
    write_texts(files)
    for path in files:
        note(f"wrote {path}")
    if json_file == STANDARD_OUTPUT:
        sys.stdout.write(text)
    return json_file == STANDARD_OUTPUT

"""What every result can do: become JSON, and be written in the form that the ending of a file names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nanoemox.files.atomic import json_text, write_texts
from nanoemox.files.errors import ArgumentError
from nanoemox.files.short_repr import ShortRepr
from nanoemox.files.table_text import TABLE_FORMS, Table


class Report(ShortRepr, ABC):
    """A result that can be saved."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON types."""

    def to_json(self) -> str:
        """The result as the text of a JSON file, as `--json` writes it."""
        return json_text(self.to_dict(), type(self).__name__)

    def forms(self) -> Mapping[str, Callable[[], str]]:
        """Ending of a file -> the function that makes its text."""
        return {".json": self.to_json}

    def save_report(self, path: str | Path) -> None:
        """Write the result to a file, in the form that its ending names.

        Args:
            path: The file to write; the ending is one of those in `forms()`.

        Raises:
            ArgumentError: If the ending is another one.
            OutputError: If the file cannot be written.
        """
        forms = self.forms()
        write_texts({Path(path): forms[check_ending(path, forms)]()})


class TableReport(Report):
    """A result that is a table of figures, too."""

    @abstractmethod
    def to_table(self) -> Table:
        """The figures as rows."""

    def forms(self) -> Mapping[str, Callable[[], str]]:
        tables = {ending: partial(self._as, form) for ending, form in TABLE_FORMS.items()}
        return {**super().forms(), **tables}

    def _as(self, form: Callable[[Table], str]) -> str:
        return form(self.to_table())


def check_ending(path: str | Path, endings: Mapping[str, Any]) -> str:
    """The ending of a file's name, in small letters; ArgumentError unless it is one of `endings`."""
    ending = Path(path).suffix.lower()
    if ending not in endings:
        *others, last = endings
        expected = f"{', '.join(others)} or {last}" if others else last
        raise ArgumentError(f"{path}: expected a name that ends in {expected}; rename it")
    return ending

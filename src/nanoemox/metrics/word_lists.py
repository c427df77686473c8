"""The word lists of the official scorer, read from a folder of the user's; none of them ships with the package.

The folder holds the files of the released repositories as they are (AffectGPT, Nano-EmoX): `wheel1.xlsx` to
`wheel5.xlsx` (level1, level2, level3; a blank cell inherits from above), `synonym.xlsx` (word_run1 and
synonym_run1 to run 8), `format.csv` (name, format) and, for AvaMERG, `avamerg_tables.json`. A label is
traced backward: its inflected form to base words, those to words of the wheels, and the alphabetically first
that a wheel knows to that wheel's cluster. What no list knows has no cluster.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nanoemox.files.errors import ArgumentError

WHEELS = 5
RUNS = 8  # runs of the synonym lists
LEVELS = (1, 2)


@dataclass(frozen=True)
class Wheel:
    """One wheel: every word it has -> its cluster at level 1 and at level 2."""

    level1: Mapping[str, str]
    level2: Mapping[str, str]

    def clusters(self, level: int) -> Mapping[str, str]:
        if level not in LEVELS:
            raise ArgumentError(f"level: expected one of {LEVELS}, got {level}")
        return self.level1 if level == 1 else self.level2


@dataclass(frozen=True)
class AvaMergTables:
    """The label tables of the released AvaMERG scorer."""

    ground_truth: Mapping[str, str]  # applied once to the ground truth
    eight_way: Mapping[str, str]  # applied to both sides for the hit rate; a label it lacks raises KeyError
    keywords: tuple[tuple[str, tuple[str, ...]], ...]  # in the order in which they are searched


@dataclass(frozen=True)
class WordLists:
    """Five wheels, and the ways from any word form to their words."""

    wheels: tuple[Wheel, ...]
    synonyms: Mapping[str, frozenset[str]]  # base word -> words of the wheels
    forms: Mapping[str, frozenset[str]]  # inflected form -> base words
    avamerg: AvaMergTables | None = None
    _found: dict[tuple[str, int], tuple[str | None, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> WordLists:
        """Read a folder; whatever is missing is named, with what was expected."""
        folder = Path(folder)
        names = [f"wheel{i}.xlsx" for i in range(1, WHEELS + 1)] + ["synonym.xlsx", "format.csv"]
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ArgumentError(
                f"{folder}: expected the word lists of the official scorer, but {', '.join(missing)} "
                "cannot be found there; give --tables the folder that holds them"
            )
        words = [_wheel_rows(folder / f"wheel{i}.xlsx") for i in range(1, WHEELS + 1)]
        synonyms = _synonyms(folder / "synonym.xlsx", {w for rows in words for row in rows for w in row})
        tables = folder / "avamerg_tables.json"
        return cls(
            tuple(_wheel(rows) for rows in words),
            synonyms,
            _forms(folder / "format.csv", synonyms),
            _avamerg(tables) if tables.is_file() else None,
        )

    @cached_property
    def wheel_words(self) -> frozenset[str]:
        return frozenset(word for wheel in self.wheels for word in wheel.level1)

    def base_words(self, label: str) -> list[str]:
        """The base words of a label, alphabetically."""
        return sorted(self.forms.get(label.lower().strip(), ()))

    def clusters(self, label: str, level: int = 1) -> tuple[str | None, ...]:
        """The cluster of a label in each wheel; None where a wheel has none."""
        key = (label, level)
        if key not in self._found:
            candidates = sorted({w for base in self.base_words(label) for w in self.synonyms.get(base, ())})
            self._found[key] = tuple(
                next((known[w] for w in candidates if w in known), None)
                for known in (wheel.clusters(level) for wheel in self.wheels)
            )
        return self._found[key]

    def first_synonym(self, label: str) -> str | None:
        """The official scorer's other mapping: the first wheel word of the first base word that has one."""
        for base in self.base_words(label):
            if base in self.synonyms:
                return min(self.synonyms[base])
        return None

    def avamerg_tables(self) -> AvaMergTables:
        if self.avamerg is None:
            raise ArgumentError(
                "the published AvaMERG figures need avamerg_tables.json in the folder of the word lists; add it"
            )
        return self.avamerg


def _rows(path: Path) -> Iterator[tuple[Any, ...]]:
    """Rows of a spreadsheet below its heading."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise ArgumentError(f"{path}: spreadsheets need openpyxl; pip install openpyxl") from error
    book = load_workbook(path, read_only=True, data_only=True)
    try:
        rows = book.active.iter_rows(values_only=True)
        next(rows, None)
        yield from rows
    finally:
        book.close()


def _plain(value: object) -> str:
    return str(value).strip(" \t\r\n\"'").lower()


def _wheel_rows(path: Path) -> list[tuple[str, str, str]]:
    rows, level1, level2 = [], "", ""
    for row in _rows(path):
        if len(row) < 3 or row[2] is None:
            raise ArgumentError(
                f"{path}: expected level1, level2, level3 in every row, got {row}; restore the file"
            )
        level1 = _plain(row[0]) if row[0] else level1
        level2 = _plain(row[1]) if row[1] else level2
        rows.append((level1, level2, _plain(row[2])))
    return rows


def _wheel(rows: Iterable[tuple[str, str, str]]) -> Wheel:
    level1: dict[str, str] = {}
    level2: dict[str, str] = {}
    inner: dict[str, set[str]] = {}
    for first, second, third in rows:
        level1 |= {first: first, second: first, third: first}
        level2 |= {second: second, third: second}
        inner.setdefault(first, set()).add(second)
    for first, below in inner.items():  # a word of level 1 stands for the first of its level 2
        level2.setdefault(first, min(below))
    return Wheel(level1, level2)


def _synonyms(path: Path, wheel_words: Iterable[str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {word: {word} for word in wheel_words}
    for row in _rows(path):
        for word, synonyms in zip(row[0 : 2 * RUNS : 2], row[1 : 2 * RUNS : 2], strict=True):
            if word is not None and synonyms is not None:
                for synonym in filter(None, map(_plain, str(synonyms).split(","))):
                    found.setdefault(synonym, set()).add(_plain(word))
    return {word: frozenset(words) for word, words in found.items()}


def _forms(path: Path, synonyms: Iterable[str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {word: {word} for word in synonyms}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            name = _plain(row["name"])
            for form in filter(None, [name, *map(_plain, (row["format"] or "").split(","))]):
                found.setdefault(form, set()).add(name)
    return {form: frozenset(names) for form, names in found.items()}


def _avamerg(path: Path) -> AvaMergTables:
    tables = json.loads(path.read_text(encoding="utf-8"))
    return AvaMergTables(
        tables["ground_truth_projection"],
        tables["eight_way_projection"],
        tuple((label, tuple(words)) for label, words in tables["keyword_table_in_search_order"]),
    )

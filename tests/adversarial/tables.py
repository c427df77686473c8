"""Archives, tables and recipes that somebody broke on purpose, each in a few bytes."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

# ---------------------------------------------------------------- npz


def header(descr: str = "|O", shape: str = "()", version: bytes = b"\x01\x00") -> bytes:
    """The beginning of a .npy member; `shape` is written as it stands."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text


def npz(path: Path, **members: bytes) -> Path:
    """An archive of members as they are given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def nested_keys(depth: int = 60) -> bytes:
    """A key that is a tuple of twice a tuple of twice …: its hash takes 2 to the `depth` steps."""
    tuples = b"".join(b"2\x86" for _ in range(depth))  # DUP, TUPLE2
    return b"\x80\x02}\x8c\x01a" + tuples + b"K\x01s."


def deep(depth: int = 100_000) -> bytes:
    """Lists within lists."""
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def many(steps: int = 300_000) -> bytes:
    """A list of empty dictionaries: a byte each in the pickle, 64 in memory, almost none in the archive."""
    return b"\x80\x02](" + b"}" * steps + b"e."


def _set_claimed_size(path: Path, size: int) -> Path:
    """Say in both headers of every member that it unpacks to `size` bytes."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset : at + offset + 4] = struct.pack("<I", size)
            at = data.find(mark, at + 4)
    path.write_bytes(data)
    return path


def _flagged(path: Path) -> Path:
    """The same archive, said to be encrypted."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    return path


def _packed(path: Path, method: int) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a.npy", header("|u1", f"({1 << 20},)") + bytes(1 << 20))
    return path


def _twice(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in ("a.npy", "b.npy"):
            file.writestr(name, header("|u1", "(1,)") + b"x")
    path.write_bytes(path.read_bytes().replace(b"b.npy", b"a.npy"))
    return path


def _broken(path: Path) -> Path:
    np.savez_compressed(path, a=np.arange(1000))
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    return path


def _text(data: bytes) -> bytes:
    """A pickle of one text."""
    return b"\x80\x02X" + struct.pack("<I", len(data)) + data + b"."


# Name -> what writes the archive to a path, and what the error must say.
ARCHIVES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "keys that take ages to hash": (lambda p: npz(p, a=header() + nested_keys()), "key of type tuple"),
    "a set that takes ages to hash": (
        lambda p: npz(p, a=header() + b"\x80\x04\x8f(" + nested_keys()[3:-3] + b"\x90."),
        "key of type tuple|holds a set",
    ),
    "lists within lists": (lambda p: npz(p, a=header() + deep()), "nested more than 32 deep"),
    "many steps": (lambda p: npz(p, a=header() + many()), "takes more than"),
    "one member of 1 GiB": (
        lambda p: _set_claimed_size(npz(p, a=header("|u1", "(1073741824,)")), 1 << 30),
        "unpacks to more than",
    ),
    "many members": (
        lambda p: _set_claimed_size(npz(p, **{f"m{i}": b"" for i in range(3)}), 100 << 20),
        "unpacks to more than 256 MiB",
    ),
    "more in a member than it says": (
        lambda p: _set_claimed_size(npz(p, a=header("|u1", "(90,)") + bytes(50 << 20)), 200),
        "another size|Bad CRC",
    ),
    "very many members": (
        lambda p: npz(p, **{f"m{i}": b"" for i in range(2000)}),
        "2,000 members",
    ),
    "packed with bzip2": (lambda p: _packed(p, zipfile.ZIP_BZIP2), "packed as numpy does not"),
    "packed with lzma": (lambda p: _packed(p, zipfile.ZIP_LZMA), "packed as numpy does not"),
    "encrypted": (lambda p: _flagged(npz(p, a=header() + b"N.")), "encrypted"),
    "two members of one name": (_twice, "in it twice"),
    "corrupt data": (_broken, "npz"),
    "no npy at all": (lambda p: npz(p, a=b"hello"), "cannot be read safely"),
    "an empty member": (lambda p: npz(p, a=b""), "cannot be read safely"),
    "a version of tomorrow": (lambda p: npz(p, a=header(version=b"\x09\x00") + b"N."), "version 9.0"),
    "a shape below nothing": (lambda p: npz(p, a=header("<f8", "(-1,)") + bytes(8)), "its shape is"),
    "a shape without end": (lambda p: npz(p, a=header("<f8", f"({10**15},)") + bytes(8)), "its shape is"),
    "fewer items than its shape": (lambda p: npz(p, a=header("|O", "(3,)") + b"]N."), "do not fill|safely"),
    "a header of brackets": (lambda p: npz(p, a=header("|O", "(" * 4000)), "cannot be read safely"),
    "a header that is code": (lambda p: npz(p, a=header("|O", "__import__('os')")), "cannot be read safely"),
    "dates": (lambda p: npz(p, a=header("<M8[D]", "(1,)") + bytes(8)), "expected text or numbers"),
    "text beyond Unicode": (lambda p: npz(p, a=header("<U1", "(1,)") + b"\xff" * 4), "cannot be read"),
    "half a surrogate": (lambda p: npz(p, a=header() + _text(b"\xed\xa0\x80")), "surrogates not allowed"),
    "half a surrogate in an array": (
        lambda p: npz(p, a=header("<U1", "(1,)") + struct.pack("<I", 0xD800)),
        "surrogates not allowed",
    ),
    "an integer of 10,000 bytes": (
        lambda p: npz(p, a=header() + b"\x80\x02\x8b" + struct.pack("<i", 10_000) + b"\x01" * 10_000 + b"."),
        "more than 64 bits",
    ),
    "an integer of 100,000 digits": (lambda p: npz(p, a=header() + b"I" + b"9" * 100_000 + b"\n."), "safely"),
    "no end": (lambda p: npz(p, a=header() + b"\x80\x02]"), "cannot be read safely"),
    "more taken than there is": (lambda p: npz(p, a=header() + b"\x80\x02a."), "not there"),
    "a memo that is not there": (lambda p: npz(p, a=header() + b"\x80\x02h\x05."), "cannot be read safely"),
    "a name called on nothing": (
        lambda p: npz(p, a=header() + b"cnumpy.core.multiarray\nscalar\n)R."),
        "calls scalar",
    ),
    "an array of no kind": (
        lambda p: npz(
            p, a=header() + pickle.dumps(np.array({"a": np.datetime64("2020-01-01")}, dtype=object), 2)
        ),
        "cannot be read safely",
    ),
}


def written_by_numpy(path: Path, **arrays: Any) -> Path:
    """An archive as numpy writes it."""
    buffer = BytesIO()
    np.savez(buffer, **arrays)
    path.write_bytes(buffer.getvalue())
    return path


# ---------------------------------------------------------------- lines of JSON

# Name -> a value for a key of a line, and what the error must say.
JSON_VALUES: dict[str, tuple[str, str]] = {
    "nested 100,000 deep": ("[" * 100_000 + "]" * 100_000, "recursion limit|nested too deeply"),
    "nested 150 deep": ('{"a": ' + "[" * 150 + "]" * 150 + "}", "recursion limit|nested too deeply"),
    "never closed": ("[" * 100_000, "recursion limit|nested too deeply|json"),
    "an integer of 5,000 digits": ('{"n": ' + "9" * 5_000 + "}", "digits|out of range"),
    "an integer of 400 digits": ('{"n": ' + "9" * 400 + "}", "digits|out of range"),
    "not a number": ('{"n": NaN}', "NaN"),
    "infinity": ('{"n": -Infinity}', "Infinity"),
    "a number beyond all floats": ('{"n": 1e999}', "too large|NaN or Infinity"),
    "a key twice": ('{"n": 1, "m": 2, "n": 3}', "'n' stands twice"),
    "a key twice deep inside": ('{"a": [{"n": 1, "n": 3}]}', "'n' stands twice"),
    "half a surrogate": ('{"n": "\\ud800"}', "half of a character|hex escape|surrogate"),
}

# ---------------------------------------------------------------- recipes

_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
# Name -> what stands in a recipe, and what the error must say.
RECIPES: dict[str, tuple[str, str]] = {
    "a list for the kind": ("kind: [p2e]", r"got \['p2e'\]"),
    "a mapping for the kind": ("kind: {p2e: 1}", "expected `kind: p2e`"),
    "a number for the kind": ("kind: 3", "expected `kind: p2e`"),
    "nested flow": ("kind: p2e\nx: " + "[" * 100_000, "line 2, .*nested more than"),
    "nested mappings": ("kind: p2e\nx: " + "{a: " * 2_000, "line 2, .*nested more than"),
    "nested blocks": ("- " * 2_000 + "a", "line 1, .*nested more than"),
    "an alias of nothing": ("kind: p2e\nx: *a", "line 2, .*undefined alias"),
    "an alias of itself": ("kind: p2e\nx: &a [*a]", "within what it stands for"),
    "aliases that explode": ("kind: p2e\n" + _BOMB + "manifests: *a8", "stand for more than"),
    "a Python object": ("kind: p2e\nx: !!python/object/apply:os.system [ls]", "line 2, .*tag"),
    "a Python name": ("!!python/name:os.system", "line 1, .*tag"),
    "a tag of somebody": ("kind: !mine p2e", "line 1, .*tag"),
    "a key twice": ("kind: p2e\nseed: 1\nname: a\nseed: 2", "line 4, .*'seed' is also on line 2"),
    "a key twice inside": ("kind: p2e\nphases:\n  - {name: a, name: b}", "line 3, .*'name'"),
    "a thirteenth month": ("kind: p2e\nx: 2020-13-45", "line 2, .*month"),
    "an integer of 5,000 digits": ("kind: p2e\nseed: " + "9" * 5_000, "line 2, .*5000 digits"),
    "no time": ("kind: p2e\nx: !!timestamp soon", "line 2, .*'soon'"),
    "no number": ("kind: p2e\nx: !!int soon", "line 2, .*'soon'"),
    "no bytes": ("kind: p2e\nx: !!binary 'ö'", "line 2"),
    "a list as a key": ("kind: p2e\n? [a]\n: b", "line 2, .*unhashable"),
    "a character that YAML has not": ("kind: p2e\nx: \x00", "not allowed"),
    "two documents": ("kind: p2e\n---\nkind: p2e", "line 2, .*another document"),
    "no end of a quote": ("kind: 'p2e", "line 1"),
    "a tab": ("kind: p2e\nphases:\n\t- a", "line 3"),
    "a megabyte": ("kind: p2e\nx: " + "a" * (2 << 20), "longer than"),
}


# ---------------------------------------------------------------- spreadsheets


def sheet(path: Path, **replaced: dict[str, str]) -> Path:
    """A spreadsheet of one row, with text of its parts (by the end of their names) replaced."""
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["text", "emotion"])  # type: ignore[union-attr]
    book.active.append(["Well.", "joy"])  # type: ignore[union-attr]
    book.save(path)
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            for old, new in replaced.get(Path(name).stem, {}).items():
                assert old.encode() in data
                data = data.replace(old.encode(), new.encode())
            file.writestr(name, data)
    return path


_LAUGHS = "<!DOCTYPE x [<!ENTITY a0 'ha'>" + "".join(
    f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 10)
)
_ROW = [{"text": "Well.", "emotion": "joy"}]

# Name -> what writes the spreadsheet, and its rows or what the error must say.
SHEETS: dict[str, tuple[Callable[[Path], Path], Any]] = {
    "an ordinary one": (sheet, _ROW),
    "a million columns and rows claimed": (lambda p: sheet(p, sheet1={"A1:B2": "A1:XFD1048576"}), _ROW),
    "a row far below": (lambda p: sheet(p, sheet1={'row r="2"': 'row r="1048576"'}), _ROW),
    "parts of 3 GiB": (lambda p: _set_claimed_size(sheet(p), 1 << 30), "unpacks to more than"),
    "entities that explode": (
        lambda p: sheet(p, sheet1={"<worksheet ": _LAUGHS + "]><worksheet ", "Well.": "&a9;"}),
        "not a readable .xlsx",
    ),
    "XML that breaks off": (lambda p: sheet(p, sheet1={"</sheetData>": "<"}), "not a readable .xlsx"),
    "no sheet": (lambda p: npz(p, a=b""), "not a readable .xlsx"),
}

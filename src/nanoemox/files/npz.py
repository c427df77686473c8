"""`.npz` files that nobody vouches for, read without running what is in them.

The official code stores dictionaries and lists of strings as numpy object arrays, that is, as pickles, and a
pickle can call any function. This reader knows only the names that numpy itself writes, and puts inert stand-ins
of ours in their place; every other name is refused. No numpy constructor and no foreign code runs.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from nanoemox.files.errors import NanoEmoXError

MEMBER_BYTES = 512 << 20  # a larger member is not a list of answers or labels
_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}
_KINDS = re.compile(r"[USifub]\d{1,6}")  # text and numbers, as numpy spells them: U12, f8


class ArchiveError(NanoEmoXError):
    """An .npz file that cannot be read, or that holds more than plain data. One line with the remedy."""


def read_npz(path: str | Path, expected: str) -> dict[str, Any]:
    """Name -> array of text or numbers, or what an object array holds: the item itself (0-d) or a list.

    Args:
        path: the archive.
        expected: what it should hold, for the error message.

    Returns:
        Text, numbers, None, and lists and dictionaries of them, keys as text; arrays of text or numbers.

    Raises:
        ArchiveError: where it is no archive, is damaged, or asks for anything but plain data.
    """
    found: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    continue
                if member.file_size > MEMBER_BYTES:
                    raise ArchiveError(
                        f"{path}: {member.filename} unpacks to more than {MEMBER_BYTES >> 20} MiB "
                        f"(expected {expected}); check the file"
                    )
                found[member.filename.removesuffix(".npy")] = _member(archive.read(member), path, expected)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise ArchiveError(
            f"{path}: is not a readable .npz archive ({error}; expected {expected}); copy or download it again"
        ) from error
    return found


def _member(data: bytes, path: str | Path, expected: str) -> Any:
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(file)
        if not dtype.hasobject:
            array = np.frombuffer(file.read(), dtype=dtype)
            return array.reshape(shape, order="F" if by_columns else "C")
        stand_in = _Reader(file).load()
        items = stand_in.items if isinstance(stand_in, _Array) else [stand_in]
        return _plain(items[0] if shape == () else items, {})
    except Exception as error:  # a damaged pickle fails in as many ways as there are instructions
        why = str(error) if isinstance(error, pickle.UnpicklingError) else f"{type(error).__name__}: {error}"
        raise ArchiveError(
            f"{path}: cannot be read safely ({' '.join(why.split())[:200]}; expected {expected}); "
            "do not trust it"
        ) from error


class _Reader(pickle.Unpickler):
    """A pickle machine that knows stand-ins only: it builds dictionaries, lists, text and numbers."""

    def find_class(self, module: str, name: str) -> Any:
        # Functions are made anew each time, since a pickle may set attributes on whatever it is given.
        known = {
            "ndarray": _Array,
            "dtype": _Kind,
            "_reconstruct": lambda *_: _Array(),
            "scalar": lambda kind, data=b"": _decoded(kind, data)[0],
        }
        if module in _MODULES and name in known:
            return known[name]
        if (module, name) == ("_codecs", "encode"):  # how bytes are written in pickles of protocol 2
            return lambda text, _="latin1": str(text).encode("latin-1")
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain data does not need")

    def persistent_load(self, _: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside the file")


class _Kind:
    """Stands for numpy.dtype: remembers how it was spelt, such as "O8" or "U12"."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: Any) -> None:
        self.order = ">" if state[1] == ">" else "<"


class _Array:
    """Stands for numpy.ndarray: keeps the items of an object array."""

    def __init__(self, *_: Any) -> None:
        self.shape: tuple[int, ...] = ()
        self.items: Any = []

    def __setstate__(self, state: Any) -> None:
        _, self.shape, kind, _, items = state
        self.items = items if isinstance(items, list) else _decoded(kind, items)


def _decoded(kind: Any, data: Any) -> list[Any]:
    """Items of an array of text or numbers that lies inside the pickle."""
    code = kind.code if isinstance(kind, _Kind) else ""
    if not _KINDS.fullmatch(code) or not isinstance(data, bytes):
        raise pickle.UnpicklingError(f"expected text or numbers, found an array of {code or 'unknown kind'}")
    return list(np.frombuffer(data, dtype=np.dtype(kind.order + code)).tolist())


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Stand-ins turned into lists; anything but text, numbers, lists and dictionaries is refused.

    Args:
        value: what the pickle built.
        done: what has been turned already, by identity: a small pickle can refer to one list a billion times.

    Returns:
        Text, numbers, lists and dictionaries.
    """
    if value is None or isinstance(value, str | bytes | int | float | bool):
        return value
    if id(value) in done:
        return done[id(value)]
    result: Any
    if isinstance(value, _Array):
        result = _plain(value.items[0] if value.shape == () else value.items, done)
    elif isinstance(value, dict):
        if odd := next((key for key in value if not isinstance(key, str | bytes | int | float)), None):
            raise pickle.UnpicklingError(
                f"it holds a key of type {type(odd).__name__}, which is no plain data"
            )
        result = {str(key): _plain(item, done) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        result = [_plain(item, done) for item in value]
    else:
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__}, which is no plain data")
    done[id(value)] = result
    return result

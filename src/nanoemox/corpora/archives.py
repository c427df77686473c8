"""`label.npz` of the published preparations, read without unpickling anything.

Each entry is a numpy array of no dimensions that holds a pickled dictionary {name: {"emo": …, "val": …}}.
Pickles can run code, so here the pickle machine finds none: the only names it may look up are stand-ins
below, which keep what they are given. Any other name is refused.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from nanoemox.corpora.tables import CorpusError, Row

_LARGEST_BYTES = 1 << 28
_NUMBERS = {"f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "b1"}


def label_rows(path: Path, *splits: str) -> Iterator[tuple[str, Row]]:
    """(split as the file names it, row of name, emo and val) for every clip of the archive."""
    for split, known in labels_in(path).items():
        if splits and split not in splits:
            continue
        for name, values in known.items():
            where = f"{path.name}[{split}][{name}]"
            fault = "" if isinstance(values, dict) else f"is {type(values).__name__}, expected emo and val"
            yield split, Row({"name": name, **values} if not fault else {}, where, fault)


def labels_in(path: Path) -> dict[str, dict[str, Any]]:
    """{split: {name: values}}; "train_corpus" becomes "train"."""
    found: dict[str, dict[str, Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.file_size > _LARGEST_BYTES:
                    raise CorpusError(
                        f"{path}: {entry.filename} unpacks to more than 256 MiB; check the file"
                    )
                value = _array(archive.read(entry), path)
                if isinstance(value, dict):
                    name = entry.filename.removesuffix(".npy").removesuffix("_corpus")
                    found[name] = {str(key): inner for key, inner in value.items()}
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise CorpusError(f"{path}: is not a readable .npz archive ({error}); download it again") from error
    if not found:
        raise CorpusError(f"{path}: holds no labels (expected train_corpus and the like); check the file")
    return found


def _array(raw: bytes, path: Path) -> Any:
    """The dictionary inside a .npy file of no dimensions, or None for other arrays."""
    file = io.BytesIO(raw)
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype != np.dtype(object) or shape != ():
            return None
        array = _Reader(file).load()
        return array.content if isinstance(array, _Array) else None
    except CorpusError:
        raise
    except Exception as error:  # a damaged pickle fails in as many ways as there are instructions
        raise CorpusError(f"{path}: its labels cannot be read ({type(error).__name__}: {error})") from error


class _Reader(pickle.Unpickler):
    """A pickle machine that knows stand-ins only: it builds dictionaries, lists, text and numbers."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            "_reconstruct": lambda *args: _Array(),
            "ndarray": _Array,
            "dtype": _Dtype,
            "scalar": _scalar,
            "encode": lambda text, encoding: text.encode("latin-1"),
        }
        if module.split(".")[0] in ("numpy", "_codecs") and name in known:
            return known[name]
        raise CorpusError(f"the archive asks for {module}.{name}, which labels do not need; do not trust it")


class _Array:
    """Keeps what an array of objects holds."""

    content: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        content = state[4]
        self.content = content[0] if isinstance(content, list) and state[1] == () else content


class _Dtype:
    """Keeps the code of a type, such as "f8"."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


def _scalar(dtype: _Dtype, raw: bytes) -> Any:
    """A numpy number as Python's."""
    if dtype.code not in _NUMBERS and not dtype.code.startswith("U"):
        raise CorpusError(f"the archive holds a value of type {dtype.code!r}, expected numbers and text")
    return np.frombuffer(raw, dtype=np.dtype(dtype.code).newbyteorder("<"))[0].item()

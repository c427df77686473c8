"""Published .npz files without running what is in them.

The release stores dictionaries and lists of strings as numpy object arrays, that is, as pickles, and a pickle
can call any function. This reader knows four names only, those that numpy itself writes, and puts inert
stand-ins of ours in their place; every other name is refused. No numpy constructor and no foreign code runs.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

MEMBER_BYTES = 512 * 1024**2  # a larger member is not a list of answers
_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}


class _Kind:
    """Stands for numpy.dtype: remembers how it was spelt, such as "O8" or "U12"."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = str(code)

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"


class _Array:
    """Stands for numpy.ndarray: keeps the items of an object array."""

    def __init__(self, *_: Any) -> None:
        self.shape: tuple[int, ...] = ()
        self.items: Any = []

    def __setstate__(self, state: Any) -> None:
        _, self.shape, kind, _, items = state
        if not isinstance(items, list):
            items = _decoded(kind, items)
        self.items = items


def _decoded(kind: Any, data: Any) -> list[Any]:
    """Items of an array of strings or numbers that lies inside the pickle."""
    code = getattr(kind, "code", "")
    if code[:1] not in "USifb" or not isinstance(data, bytes):
        raise pickle.UnpicklingError(f"expected text or numbers, found an array of {code or 'unknown kind'}")
    return list(
        np.frombuffer(data, dtype=np.dtype(getattr(kind, "order", "<").replace("|", "") + code)).tolist()
    )


def _rebuilt(*_: Any) -> _Array:
    return _Array()


def _scalar(kind: Any, data: Any = b"") -> Any:
    return _decoded(kind, data)[0]


_KNOWN: dict[str, Any] = {"ndarray": _Array, "dtype": _Kind, "_reconstruct": _rebuilt, "scalar": _scalar}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in _MODULES and name in _KNOWN:
            return _KNOWN[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a list of answers does not need")

    def persistent_load(self, _: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside the file")


def read_npz(path: str | Path) -> dict[str, Any]:
    """Name -> array of text or numbers, or what an object array holds: the item itself (0-d) or a list."""
    found: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    continue
                if member.file_size > MEMBER_BYTES:
                    raise ValueError(
                        f"{path}: {member.filename} is larger than {MEMBER_BYTES >> 20} MiB; refused"
                    )
                found[member.filename.removesuffix(".npy")] = _member(archive.read(member))
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        EOFError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:
        raise ValueError(
            f"{path}: cannot be read safely ({error}); expected the published form, name2reason or "
            "filenames and fileitems"
        ) from error
    return found


def _member(data: bytes) -> Any:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if not dtype.hasobject:
        return np.frombuffer(file.read(), dtype=dtype).reshape(shape)
    stand_in = _Reader(file).load()
    items = stand_in.items if isinstance(stand_in, _Array) else [stand_in]
    return _plain(items[0] if shape == () else items)


def _plain(value: Any) -> Any:
    """Stand-ins turned into lists; anything but text, numbers, lists and dictionaries is refused."""
    if isinstance(value, _Array):
        return _plain(value.items[0] if value.shape == () else value.items)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bytes | int | float | bool):
        return value
    raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")

"""`.npz` files that nobody vouches for, read without running what is in them, in bounded time and memory.

The official code stores dictionaries and lists of strings as numpy object arrays, that is, as pickles; those are read
by `plain_pickle`. The archive around them is not trusted either: what it says about the size of its members is only
used to refuse them, and no more than that is ever unpacked.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from nanoemox.files.errors import NanoEmoXError
from nanoemox.files.plain_pickle import MOST_STEPS, NotPlainError, check_plain, read_pickle

FILE_BYTES = 64 << 20  # a larger file holds features, not labels or answers
MEMBER_BYTES = 128 << 20  # a larger member is not a list of answers or labels
ARCHIVE_BYTES = 256 << 20  # of all members together
MOST_MEMBERS = 1000
_NUMPY_PACKS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # others unpack without a limit
_ENCRYPTED = 0x1  # a bit of a member's flags


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
        ArchiveError: where it is no archive, is damaged, unpacks to too much, or asks for anything but plain data.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise _unreadable(path, "there is no such file", expected, "check the path")
        if path.stat().st_size > FILE_BYTES:
            raise _unreadable(path, f"larger than {FILE_BYTES >> 20} MiB", expected, "check the file")
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            _check(members, path, expected)
            return {
                info.filename.removesuffix(".npy"): _member(_unpacked(archive, info), path, expected)
                for info in members
            }
    except ArchiveError:
        raise
    except Exception as error:  # a damaged archive fails in as many ways as it has fields
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise _unreadable(path, reason, expected, "copy or download it again") from error


def _unreadable(path: Path, reason: str, expected: str, remedy: str) -> ArchiveError:
    return ArchiveError(f"{path}: is not a readable .npz archive ({reason}; expected {expected}); {remedy}")


def _check(members: list[zipfile.ZipInfo], path: Path, expected: str) -> None:
    """Refuse members before anything is unpacked."""
    names = [info.filename for info in members]
    if len(members) > MOST_MEMBERS:
        raise _unreadable(path, f"it has {len(members):,} members", expected, "check the file")
    for info in members:
        if info.file_size > MEMBER_BYTES:
            raise ArchiveError(
                f"{path}: {info.filename} unpacks to more than {MEMBER_BYTES >> 20} MiB "
                f"(expected {expected}); check the file"
            )
        if info.flag_bits & _ENCRYPTED:
            raise _unreadable(path, f"{info.filename} is encrypted", expected, "write it without a password")
        if info.compress_type not in _NUMPY_PACKS:
            raise _unreadable(
                path, f"{info.filename} is packed as numpy does not", expected, "write it again"
            )
        if names.count(info.filename) > 1:
            raise _unreadable(path, f"{info.filename} is in it twice", expected, "remove one")
    if sum(info.file_size for info in members) > ARCHIVE_BYTES:
        raise ArchiveError(
            f"{path}: unpacks to more than {ARCHIVE_BYTES >> 20} MiB (expected {expected}); check the file"
        )


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A member's bytes. Read in one piece without a size, a member that lies about it would be unpacked whole."""
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} has another size than the archive says")
    return data


def _member(data: bytes, path: Path, expected: str) -> Any:
    file = BytesIO(data)
    try:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise NotPlainError(f"it is of version {version[0]}.{version[1]}, which numpy does not write")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        with warnings.catch_warnings():  # such as one about a header written by Python 2
            warnings.simplefilter("ignore")
            shape, by_columns, dtype = read(file)
        if min(shape, default=0) < 0 or math.prod(shape) > MOST_STEPS:
            raise NotPlainError(f"its shape is {shape!s:.40}")
        if dtype.hasobject and dtype.kind == "O":
            value = read_pickle(file)
            if shape == ():
                return value
            if not isinstance(value, list) or len(value) != math.prod(shape):
                raise NotPlainError(f"its items do not fill its shape {shape!s:.40}")
            return value
        if dtype.kind not in "USifub":
            raise NotPlainError(f"expected text or numbers, found an array of {dtype!s:.40}")
        array = np.frombuffer(data, dtype=dtype, offset=file.tell())
        if dtype.kind == "U":
            for text in array.tolist():
                check_plain(text)
        return array.reshape(shape, order="F" if by_columns else "C")
    except Exception as error:  # a damaged pickle fails in as many ways as there are instructions
        why = str(error) if isinstance(error, NotPlainError) else f"{type(error).__name__}: {error}"
        raise ArchiveError(
            f"{path}: cannot be read safely ({' '.join(why.split())[:200]}; expected {expected}); "
            "do not trust it"
        ) from error

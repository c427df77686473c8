"""The one place where files and folders are written: whole, or not at all.

What is new is written beside its place and moved there in one step, so a reader finds the old file or the new
one, never half of one. Nothing is left of a write that failed; of a process that was killed, a hidden
`.….unfinished` may be. New files have the permissions of any new file (umask).
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanoemox.files.errors import ArgumentError, OutputError

if TYPE_CHECKING:
    from pydantic import BaseModel

UNFINISHED = ".unfinished"  # how the names end of what is being written
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# safetensors, PyTorch and NumPy tell what the disk refused in errors of their own, in these words.
_WRAPPED = re.compile(
    r"\(os error (\d+)\)|PytorchStreamWriter failed|unexpected pos \d+ vs \d+|requested and \d+ written"
)


def check_outputs(outputs: Sequence[Path], source: str | None) -> None:
    """Before any work: can these files be written, and is none of them the source? Errors: ArgumentError."""
    for path in outputs:
        _check_place(path)
        if not path.absolute().parent.is_dir():
            raise ArgumentError(f"{path}: the folder {path.parent} does not exist; make it first")
        if source and path.exists() and Path(source).exists() and path.samefile(source):
            raise ArgumentError(f"{path}: this is the file that is read; choose another name to write to")
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise ArgumentError(f"{outputs[0]}: two options name the same file; choose two names")


def write_texts(files: Mapping[Path, str]) -> None:
    """Write all of these text files, or none. Errors: OutputError."""
    with ExitStack() as stack:
        for path, text in files.items():
            temporary = stack.enter_context(whole_file(path))
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_new(path: Path, text: str) -> None:
    """Write a text file that is not there yet; one that is stays as it is. Errors: OutputError."""
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; make it first")
    with _disk_errors(path, path):
        try:
            file = path.open("x", encoding="utf-8", newline="\n")  # it is made here, or this fails
        except FileExistsError as error:
            raise OutputError(
                f"{path}: is there already and is not overwritten; name another file"
            ) from error
        try:
            with file:
                file.write(text)
        except OSError:
            path.unlink()
            raise


def json_text(value: Any, name: str | os.PathLike[str], indent: int | None = 2) -> str:
    """One JSON value as text with a line end, as every reader of JSON takes it: NaN and Infinity are no JSON.

    Args:
        value: What is written.
        name: What the error calls it, such as the file.
        indent: Spaces for each level; None writes one line.

    Returns:
        The text.

    Raises:
        OutputError: If a number in it is not finite.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        found = _not_finite(value)
        if found is None:
            raise
        at, number = found
        raise OutputError(
            f"{name}: expected finite numbers, got {number} at {at or 'the top'}, which JSON cannot hold; "
            "look for what made it, such as a damaged model or an empty group"
        ) from error


def _not_finite(value: Any, at: str = "") -> tuple[str, float] | None:
    """The first number that is not finite, with its place (`tasks.emotion.score`); None if there is none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else (at, value)
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    inside = (_not_finite(item, f"{at}.{key}" if at else str(key)) for key, item in items)
    return next((found for found in inside if found), None)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write one JSON value. Errors: OutputError, also for a number that is not finite."""
    write_texts({Path(path): json_text(value, path)})


def write_jsonl(path: str | os.PathLike[str], lines: Iterable[Mapping[str, Any] | BaseModel]) -> int:
    """Write one object a line and return their number; an error while they are made keeps the old file.

    Errors: OutputError.
    """
    count = 0
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            if not isinstance(line, Mapping):
                line = line.model_dump(mode="json", exclude_none=True)
            file.write(json_text(line, path, indent=None))
            count += 1
    return count


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty file beside `path` to write into; it takes its place when the block ends without an error.

    Folders that are missing on the way to `path` are made. Errors: OutputError where the disk or the permissions
    do not allow it; ArgumentError where `path` is a folder or a device.
    """
    place = Path(os.path.realpath(path))  # a link stays, and the file that it names is written
    temporary = place.with_name(f".{place.name[:40]}.{secrets.token_hex(4)}{UNFINISHED}")
    with _disk_errors(Path(path), temporary):
        _check_place(Path(path))
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            mode = temporary.stat().st_mode & 0o777
            yield temporary
            temporary.chmod(mode)  # safetensors writes for the owner alone
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())  # without it, a power cut soon after could leave an empty file
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)


def check_new_folder(folder: str | os.PathLike[str], replace: bool = False) -> None:
    """Before any work: can this folder be written?

    Args:
        folder: where the new folder is to be.
        replace: whether it may take the place of one that is there.

    Raises:
        OutputError: where something is there already, or a file is in the way, or the permissions do not allow it.
    """
    place = Path(os.path.realpath(folder))
    if place.exists() and (not place.is_dir() or (not replace and any(place.iterdir()))):
        raise OutputError(f"{folder}: exists already and is not empty; name a new folder, or remove it")
    above = next(parent for parent in place.parents if parent.exists())
    if not above.is_dir():
        raise OutputError(f"{folder}: {above} is a file (expected a folder); name another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(
            f"{folder}: could not be written ({above} is read-only); change the permissions of its folder, or name "
            "another place"
        )


@contextmanager
def whole_folder(
    folder: str | os.PathLike[str], replace: bool = False, needed_bytes: int = 0
) -> Iterator[Path]:
    """Give an empty folder beside `folder` to write into; it takes its place when the block ends without an error.

    Folders that are missing on the way are made. A killed run leaves a hidden `.NAME.unfinished` beside it, which the
    next run removes first.

    Args:
        folder: where the new folder is to be.
        replace: let it take the place of one that is there.
        needed_bytes: how much room the disk must have, looked at before any work.

    Yields:
        The folder to write into.

    Raises:
        OutputError: where something is there already, or the disk or the permissions do not allow it.
    """
    place = Path(os.path.realpath(folder))
    temporary = place.with_name(f".{place.name}{UNFINISHED}")
    with _disk_errors(Path(folder), temporary):
        check_new_folder(folder, replace)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        free = shutil.disk_usage(place.parent).free
        if free < needed_bytes:
            raise OutputError(
                f"{folder}: expected {needed_bytes / 1e9:.1f} GB of room on its disk, found {free / 1e9:.1f}; "
                "make room"
            )
        try:
            temporary.mkdir()
            yield temporary
            mode = temporary.stat().st_mode & 0o666
            for file in temporary.rglob("*"):
                if file.is_file():
                    file.chmod(mode)  # safetensors writes for the owner alone, and copies keep their mode
            _move_folder(temporary, place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _move_folder(new: Path, place: Path) -> None:
    """Put `new` where `place` is; what is there goes only once the new one has its place."""
    if not place.exists():
        new.rename(place)
        return
    old = place.with_name(f".{place.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    place.rename(old)
    try:
        new.rename(place)
    except OSError:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check_place(path: Path) -> None:
    """Refuse to write a file where there is a folder, a pipe or a device."""
    if path.is_dir():
        raise ArgumentError(f"{path}: expected a file name to write to, this is a folder")
    if path.exists() and not path.is_file():
        raise ArgumentError(
            f"{path}: expected a file name to write to, this is a pipe or device; name a file, or - to print"
        )


@contextmanager
def _disk_errors(path: Path, temporary: Path) -> Iterator[None]:
    """Raise what the disk refuses as an OutputError about `path`; let every other error pass.

    Args:
        path: what is being written, as the user named it.
        temporary: where it is written for now. Other files may be read meanwhile, and their errors are not ours.
    """
    try:
        yield
    except OutputError as error:  # of a file inside a folder that is not in its place yet
        raise OutputError(str(error).replace(str(temporary), str(path))) from error
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = error.strerror if isinstance(error, OSError) else None
        wrapped = None if number else _WRAPPED.search(str(error))
        if wrapped and wrapped[1]:
            number = int(wrapped[1])
        elif wrapped:
            number = errno.ENOSPC  # the likeliest reason; these errors tell none
            reason = " ".join(str(error).split())[:160]
        name = getattr(error, "filename", None)
        ours = number in _FULL or (name is None and number == errno.EIO)
        if isinstance(name, str):  # of the file, of what is in the folder, or of a folder on the way
            at = Path(name)
            ours |= at == path or at.is_relative_to(temporary) or temporary.is_relative_to(at)
        if number is None or not ours:
            raise
        raise OutputError(
            f"{path}: could not be written ({reason or os.strerror(number)}); {_remedy(number)}, "
            "or name another place"
        ) from error


def _remedy(number: int) -> str:
    if number in _FULL:
        return "make room"
    return "change the permissions of its folder" if number in _FORBIDDEN else "check the path and the disk"

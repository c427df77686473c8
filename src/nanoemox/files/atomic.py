"""Files that a command writes: checked before any work, and then written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel


def check_outputs(outputs: Sequence[Path], clip: str | None) -> None:
    """Before any work: can these files be written, and is none of them the clip itself?"""
    for path in outputs:
        if path.is_dir():
            raise ValueError(f"{path}: expected a file name to write to, this is a folder")
        if path.exists() and not path.is_file():
            raise ValueError(
                f"{path}: expected a file name to write to, this is a pipe or device; name a file, or - to print"
            )
        if not path.absolute().parent.is_dir():
            raise ValueError(f"{path}: the folder {path.parent} does not exist; make it first")
        if clip and path.exists() and Path(clip).exists() and path.samefile(clip):
            raise ValueError(f"{path}: this is the clip itself; choose another name to write to")
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise ValueError(f"{outputs[0]}: --json and --html name the same file; choose two names")


def write_all(files: Mapping[Path, str]) -> None:
    """Write all files beside their place first, then move each into it."""
    with ExitStack() as cleanup:
        ready: dict[Path, str] = {}
        for path, text in files.items():
            handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=".nanoemox-", suffix=".tmp")
            cleanup.callback(Path(name).unlink, missing_ok=True)
            try:
                with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(text)
            except OSError as error:
                why = f"could not be written ({error.strerror}); make room, or name another place"
                raise OSError(error.errno, why, str(path)) from error
            Path(name).chmod(0o666 & ~_umask())  # mkstemp's files are for the owner alone
            ready[path] = name
        for path, name in ready.items():
            Path(name).replace(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A new folder that takes its place only when the block has ended without an error."""
    temporary = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    if folder.exists():
        shutil.rmtree(folder)
    temporary.rename(folder)


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader finds the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.unfinished")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def write_jsonl(path: str | os.PathLike[str], lines: Iterable[Mapping[str, Any] | BaseModel]) -> int:
    """Write one object a line, all of them or none, and return their number; an error keeps the old file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".unfinished")
    count = 0
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            for line in lines:
                if not isinstance(line, Mapping):
                    line = line.model_dump(mode="json", exclude_none=True)
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # as any new file; a temporary one is private
        os.replace(name, path)  # noqa: PTH105 (one step, on every system)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return count

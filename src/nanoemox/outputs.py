"""Files that a command writes: checked before any work, and then written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path


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
        raise ValueError(f"{outputs[0]}: --json and --report name the same file; choose two names")


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

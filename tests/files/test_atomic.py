"""Files and folders are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from nanoemox.files.atomic import (
    check_outputs,
    json_text,
    whole_file,
    whole_folder,
    write_json,
    write_jsonl,
    write_texts,
)
from nanoemox.files.errors import ArgumentError, OutputError

Write = Callable[[Path], object]


def write_in_folder(path: Path) -> None:
    with whole_folder(path, replace=True) as new:
        write_json(new / "a.json", "new")


FILES: dict[str, Write] = {
    "texts": lambda path: write_texts({path: '"new"\n'}),
    "json": lambda path: write_json(path, "new"),
    "jsonl": lambda path: write_jsonl(path, [{"new": 1}]),
}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


# ---------------------------------------------------------------- what is written


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    write_texts({tmp_path / "a.txt": "é\n", tmp_path / "b.txt": "\udc80"})
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()
    assert (tmp_path / "b.txt").read_bytes() == b"\\udc80"  # a name of the disk that is no text
    write_json(tmp_path / "new" / "c.json", {"a": ["é", 1.5]})
    assert json.loads((tmp_path / "new" / "c.json").read_text(encoding="utf-8")) == {"a": ["é", 1.5]}
    assert write_jsonl(tmp_path / "d.jsonl", ({"n": n} for n in range(3))) == 3
    assert (tmp_path / "d.jsonl").read_bytes() == b'{"n": 0}\n{"n": 1}\n{"n": 2}\n'
    with whole_folder(tmp_path / "model") as new:
        (new / "e.txt").write_text("e")
    assert names(tmp_path) == ["a.txt", "b.txt", "c.json", "d.jsonl", "e.txt", "model", "new"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_new_files_have_the_permissions_of_any_new_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        for name, write in FILES.items():
            write(tmp_path / name)
        with whole_folder(tmp_path / "folder") as new:
            (new / "private").touch(mode=0o600)
            (new / "locked").touch(mode=0o444)
        with whole_file(tmp_path / "weights") as temporary:
            temporary.chmod(0o600)
    finally:
        os.umask(before)
    for path in [
        *(tmp_path / name for name in FILES),
        tmp_path / "weights",
        *(tmp_path / "folder").iterdir(),
    ]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path.name


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.json").write_text("old")
    (tmp_path / "a.json").symlink_to(tmp_path / "far" / "a.json")
    write_json(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").is_symlink()
    assert (tmp_path / "far" / "a.json").read_text() == '"new"\n'
    assert names(tmp_path) == ["a.json", "a.json", "far"]


def test_long_names_can_be_written(tmp_path: Path) -> None:
    for name in ("a" * 250 + ".json", "é" * 120 + ".json", "字" * 80):
        write_json(tmp_path / name, 1)
        assert (tmp_path / name).read_text() == "1\n"


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EACCES, "change the permissions of its folder"),
        (errno.EROFS, "change the permissions of its folder"),
        (errno.EIO, "check the path and the disk"),
    ],
)
def test_a_disk_that_refuses_is_one_line_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, remedy: str
) -> None:
    """Both when the file is opened and at the very end, when what was buffered reaches the disk."""
    path = tmp_path / "out"
    path.write_text("old")
    forbidden = number in (errno.EACCES, errno.EROFS)

    def refuse(place: Any, *_: Any) -> int:
        raise OSError(number, os.strerror(number), os.fspath(place))

    def refuse_at_last(_: int) -> None:
        raise OSError(number, os.strerror(number))

    for target, function in (("open", refuse), ("fsync", refuse_at_last)):
        if target == "fsync" and forbidden:  # that shows when a file is opened
            continue
        with monkeypatch.context() as patch:
            patch.setattr(os, target, function)
            with pytest.raises(OutputError) as caught:
                FILES[name](path)
        message = f"{path}: could not be written ({os.strerror(number)}); {remedy}, or name another place"
        assert str(caught.value) == message
        assert path.read_text() == "old" and names(tmp_path) == ["out"]


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from safetensors.torch import save_file
from nanoemox.files.atomic import whole_file, whole_folder, write_json, write_jsonl, write_texts
from nanoemox.files.errors import OutputError

folder = Path(sys.argv[1])
tensor = torch.zeros(1 << 16)

def through_file(save):
    def write(path):
        with whole_file(path) as temporary:
            save(temporary)
    return write

def through_folder(save):
    def write(path):
        with whole_folder(path, replace=True) as new:
            save(new / "inside")
    return write

def save_array(path):
    with path.open("wb") as file:
        np.save(file, tensor.numpy())

savers = {
    "tensors": lambda path: save_file({"a": tensor}, path),
    "pickle": lambda path: torch.save({"a": tensor}, path),
    "array": save_array,
    "json": lambda path: write_json(path, [0] * 100_000),
}
ways = {
    "text": lambda path: write_texts({path: "a" * 200_000}),
    "json": lambda path: write_json(path, [0] * 100_000),
    "jsonl": lambda path: write_jsonl(path, ({"n": n} for n in range(100_000))),
    **{f"file-{name}": through_file(save) for name, save in savers.items() if name != "json"},
    **{f"folder-{name}": through_folder(save) for name, save in savers.items()},
}
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for name, write in ways.items():
    try:
        write(folder / name)
    except OutputError as error:
        print(error)
    else:
        print(f"{name}: was written")
"""


def test_a_disk_that_is_really_full_is_one_line_whoever_writes(tmp_path: Path) -> None:
    """A limit on the size of files stands for it: the writers of NumPy, PyTorch and safetensors run into it."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    ways = ["text", "json", "jsonl", "file-tensors", "file-pickle", "file-array"]
    ways += ["folder-tensors", "folder-pickle", "folder-array", "folder-json"]
    assert len(lines) == len(ways)
    for way, line in zip(ways, lines, strict=True):
        assert line.startswith(str(tmp_path / way)) and ": could not be written (" in line, line
        assert line.endswith("; make room, or name another place") and ".unfinished" not in line
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        OSError("65536 requested and 0 written"),
    ],
)
def test_errors_of_libraries_that_stand_for_a_full_disk(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(OutputError, match=r"a: could not be written \(.*\); make room"),
        whole_file(tmp_path / "a"),
    ):
        raise error
    with (
        pytest.raises(OutputError, match=r"b: could not be written \(.*\); make room"),
        whole_folder(tmp_path / "b"),
    ):
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a bug"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "elsewhere/clip.mp4"),
        PermissionError(errno.EACCES, "Permission denied", "elsewhere/clip.mp4"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        SafetensorError("No such file or directory: /elsewhere/model.safetensors (os error 2)"),
        KeyboardInterrupt(),
    ],
)
def test_errors_of_what_is_read_meanwhile_pass_and_keep_what_was_there(
    tmp_path: Path, error: BaseException
) -> None:
    (tmp_path / "a.jsonl").write_text("old")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").touch()

    def lines() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        raise error

    with pytest.raises(type(error)) as caught:
        write_jsonl(tmp_path / "a.jsonl", lines())
    assert caught.value is error
    with pytest.raises(type(error)) as caught, whole_folder(tmp_path / "b", replace=True) as new:
        (new / "half").touch()
        raise error
    assert caught.value is error
    assert (tmp_path / "a.jsonl").read_text() == "old" and names(tmp_path) == ["a.jsonl", "b", "old"]


def test_several_files_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/b: could not be written \(.*\); check the path"):
        write_texts({tmp_path / "a": "new", tmp_path / "file" / "b": "new"})
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a", "file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    for write in (*FILES.values(), write_in_folder):
        with pytest.raises(OutputError, match=r"locked/a: could not be written .*change the permissions"):
            write(tmp_path / "locked" / "a")


KILLED = """
import os, signal, sys
from pathlib import Path
from nanoemox.files.atomic import whole_folder, write_jsonl

path = Path(sys.argv[1])

def lines():
    yield {"n": "half " * 10_000}
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "file":
    write_jsonl(path, lines())
with whole_folder(path, replace=True) as new:
    (new / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_process_killed_in_between_leaves_the_old_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    FILES["json"](path) if kind == "file" else write_in_folder(path)
    run = subprocess.run([sys.executable, "-c", KILLED, str(path), kind], timeout=60, check=False)
    assert run.returncode == -signal.SIGKILL
    left = [entry.name for entry in tmp_path.iterdir() if entry.name != "out"]
    assert len(left) == 1 and left[0].startswith(".out.") and left[0].endswith(".unfinished")
    if kind == "file":
        assert path.read_text() == '"new"\n'
        return
    assert names(path) == ["a.json"]
    write_in_folder(path)  # the next run removes what the killed one left
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


# ---------------------------------------------------------------- folders


def test_what_is_there_is_replaced_only_on_demand(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as new:  # an empty one is in nobody's way
        (new / "first").touch()
    with (
        pytest.raises(OutputError, match=r"out: exists already and is not empty"),
        whole_folder(tmp_path / "out"),
    ):
        pytest.fail("nothing must be done in vain")
    with whole_folder(tmp_path / "out", replace=True) as new:
        assert names(tmp_path / "out") == ["first"]  # until the very end
        (new / "second").touch()
    assert names(tmp_path) == ["out", "second"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="exists already"), whole_folder(tmp_path / "file", replace=True):
        pytest.fail("nothing must be done in vain")


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("a file")
    match = r"new/out: .*new is a file \(expected a folder\); name another place"
    with pytest.raises(OutputError, match=match), whole_folder(tmp_path / "new" / "out"):
        pytest.fail("nothing must be done in vain")
    (tmp_path / "new").unlink()
    with whole_folder(tmp_path / "new" / "out"):
        pass
    assert names(tmp_path) == ["new", "out"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_in_folder(tmp_path / "out")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.endswith(".unfinished"):
            raise OSError(errno.EACCES, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match=r"out: could not be written \(Permission denied\)"):
        write_in_folder(tmp_path / "out")
    assert names(tmp_path) == ["a.json", "out"]


def test_a_disk_without_room_is_refused_before_the_work(tmp_path: Path) -> None:
    match = r"out: expected 1000000000\.0 GB of room on its disk, found"
    with pytest.raises(OutputError, match=match), whole_folder(tmp_path / "out", needed_bytes=10**18):
        pytest.fail("nothing must be done in vain")
    assert names(tmp_path) == []


# ---------------------------------------------------------------- places


def test_folders_pipes_and_devices_are_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for write in FILES.values():
        with pytest.raises(ArgumentError, match="this is a folder"):
            write(tmp_path / "folder")
        for device in (tmp_path / "pipe", Path("/dev/null")):
            with pytest.raises(ArgumentError, match="this is a pipe or device; name a file, or - to print"):
                write(device)
    assert names(tmp_path) == ["folder", "pipe"]


def test_outputs_are_checked_before_the_work(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    check_outputs([tmp_path / "a", tmp_path / "b"], str(clip))
    check_outputs([clip], None)
    for outputs, wrong in (
        ([tmp_path], "this is a folder"),
        ([tmp_path / "no" / "a"], "the folder .*no does not exist; make it first"),
        ([clip], "this is the file that is read"),
        ([tmp_path / "a", tmp_path / "a"], "name the same file; choose two names"),
    ):
        with pytest.raises(ArgumentError, match=wrong):
            check_outputs(outputs, str(clip))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("indent", [2, None])
def test_a_number_that_is_not_finite_is_told_with_its_place(number: float, indent: int | None) -> None:
    value = {"tasks": {"emotion": {"probabilities": [0.5, number]}}}
    with pytest.raises(
        OutputError, match=rf"r\.json: expected finite numbers, got {number} at tasks\.emotion\.prob"
    ):
        json_text(value, "r.json", indent)


def test_a_number_that_is_not_finite_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"score": 0.5})
    for write in (write_json, lambda path, value: write_jsonl(path, [value])):
        with pytest.raises(OutputError, match="got nan at score"):
            write(path, {"score": float("nan")})
        assert json.loads(path.read_text()) == {"score": 0.5}
        assert [file.name for file in tmp_path.iterdir()] == ["result.json"]

"""Archives of strangers are read as data, and nothing in them runs."""

from __future__ import annotations

import os
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanoemox.corpora.archives import labels_in
from nanoemox.corpora.tables import CorpusError
from nanoemox.files.npz import ArchiveError, read_npz
from nanoemox.scoring.prediction_files import read_rows


def archive(path: Path, *, name: str = "name2reason", shape: tuple[int, ...] = (), raw: bytes) -> Path:
    """An .npz with one member whose pickle is `raw`."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.npy", header.getvalue() + raw)
    return path


def calls(function: Any, *arguments: Any) -> Any:
    class Bomb:
        def __reduce__(self) -> Any:
            return function, arguments

    return Bomb()


def test_what_numpy_writes_comes_back_as_plain_data(tmp_path: Path) -> None:
    values = {
        "a": {"emo": np.int64(3), "val": np.float32(0.5), "ok": np.bool_(True), "none": None},
        "b": np.array(["x", "yy"]),
        "c": np.array([1.5, 2.5]),
        "d": [("t", b"raw")],
        "e": np.array([{"n": 1}, "z"], dtype=object),
        "f": np.str_("é"),
    }
    path = tmp_path / "a.npz"
    np.savez_compressed(
        path,
        one=np.array(values, dtype=object),
        many=np.array(["ä", None, 2], dtype=object),
        text=np.array(["ab", "c"]),
        columns=np.asfortranarray(np.arange(6).reshape(2, 3)),
        big=np.array([1, 2], dtype=">i4"),
    )
    found = read_npz(path, "anything")
    assert found["one"] == {
        "a": {"emo": 3, "val": 0.5, "ok": True, "none": None},
        "b": ["x", "yy"],
        "c": [1.5, 2.5],
        "d": [["t", b"raw"]],
        "e": [{"n": 1}, "z"],
        "f": "é",
    }
    assert type(found["one"]["a"]["emo"]) is int
    assert found["many"] == ["ä", None, 2]
    assert found["text"].tolist() == ["ab", "c"] and found["big"].tolist() == [1, 2]
    assert found["columns"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("protocol", range(5))  # numpy writes none that is newer
def test_every_protocol_of_pickle(tmp_path: Path, protocol: int) -> None:
    values = np.array({"a": np.float64(0.25), "b": np.array(["x"]), "c": b"\xff"}, dtype=object)
    path = archive(tmp_path / "a.npz", raw=pickle.dumps(values, protocol))
    assert read_npz(path, "anything") == {"name2reason": {"a": 0.25, "b": ["x"], "c": b"\xff"}}


# ---------------------------------------------------------------- what is refused


ROUTES: dict[str, tuple[Callable[[Path], object], type[ValueError]]] = {
    "read_npz": (lambda path: read_npz(path, "anything"), ArchiveError),
    "labels": (labels_in, CorpusError),
    "predictions": (read_rows, ArchiveError),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("place", ["alone", "item", "key"])
@pytest.mark.parametrize(
    "function", ["mkdir", "eval", "numpy", "getattr"], ids=["os", "builtins", "numpy's own", "attributes"]
)
def test_no_pickle_runs_code(tmp_path: Path, route: str, place: str, function: str) -> None:
    bomb = {
        "mkdir": lambda: calls(os.mkdir, str(tmp_path / "ran")),
        "eval": lambda: calls(eval, f"__import__('os').mkdir({str(tmp_path / 'ran')!r})"),
        "numpy": lambda: calls(np.fromfile, str(tmp_path / "secret")),
        "getattr": lambda: calls(getattr, "a", "upper"),
    }[function]()
    (tmp_path / "secret").write_bytes(bytes(8))
    value = {"alone": lambda: bomb, "item": lambda: {"a": bomb}, "key": lambda: {bomb: "a"}}[place]()
    path = archive(tmp_path / "p.npz", raw=pickle.dumps(np.array(value, dtype=object), 2))
    read, kind = ROUTES[route]
    with pytest.raises(kind, match=r"p\.npz: cannot be read safely \(it asks for .*do not trust it"):
        read(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["p.npz", "secret"]


@pytest.mark.parametrize("route", ROUTES)
def test_faults_have_the_error_of_their_route(tmp_path: Path, route: str) -> None:
    read, kind = ROUTES[route]
    (tmp_path / "p.npz").write_bytes(b"PK nothing")
    with pytest.raises(kind, match=r"p\.npz: is not a readable \.npz archive .*; copy or download it again"):
        read(tmp_path / "p.npz")
    whole = pickle.dumps({"a": "b"}, 2)
    with pytest.raises(kind, match=r"p\.npz: cannot be read safely"):
        read(archive(tmp_path / "p.npz", raw=whole[:-3]))


def test_a_large_member_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanoemox.files.npz.MEMBER_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1 << 20))
    with pytest.raises(ArchiveError, match=r"a\.npz: a\.npy unpacks to more than 1 MiB"):
        read_npz(tmp_path / "a.npz", "anything")


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({1, 2}, "it holds a set"),
        ({("a", "b"): 1}, "it holds a key of type tuple"),
        (1 + 2j, "it asks for builtins.complex, which plain data does not need"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "found an array of M8"),
    ],
)
def test_only_plain_data(tmp_path: Path, value: Any, wrong: str) -> None:
    holder = np.empty((), dtype=object)
    holder[()] = [value]
    with pytest.raises(ArchiveError, match=wrong):
        read_npz(archive(tmp_path / "a.npz", raw=pickle.dumps(holder, 4)), "anything")


def test_a_reference_to_something_outside(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", raw=b"\x80\x02X\x01\x00\x00\x00aQ.")
    with pytest.raises(ArchiveError, match="refers to something outside the file"):
        read_npz(path, "anything")


def test_one_list_referred_to_many_times_stays_one_list(tmp_path: Path) -> None:
    def nested(depth: int) -> Path:
        value: Any = ["x"] * 10
        for _ in range(depth):
            value = [value] * 10
        raw = pickletools.optimize(pickle.dumps({"a": value}, 2))
        assert len(raw) < 10_000
        return archive(tmp_path / "a.npz", raw=raw)

    found = read_npz(nested(4), "anything")["name2reason"]["a"]
    assert found[0] is found[9] and len(found) == 10
    with pytest.raises(ArchiveError, match="holds more than 3,000,000 items"):  # for whoever goes through it
        read_npz(nested(12), "anything")


def test_a_list_that_holds_itself_is_refused(tmp_path: Path) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ArchiveError, match="nested more than 32 deep, or holds itself"):
        read_npz(archive(tmp_path / "a.npz", raw=pickle.dumps(value, 2)), "anything")


def test_a_pickle_cannot_change_the_reader(tmp_path: Path) -> None:
    """BUILD sets attributes on whatever is on the stack, also on a function that a name stands for."""
    raw = b"\x80\x02cnumpy.core.multiarray\nscalar\n}X\x04\x00\x00\x00markK\x01sb."
    with pytest.raises(ArchiveError):
        read_npz(archive(tmp_path / "a.npz", raw=raw), "anything")
    raw = b"\x80\x02cnumpy\ndtype\nN}X\x04\x00\x00\x00codeX\x02\x00\x00\x00O8s\x86b."
    with pytest.raises(ArchiveError):
        read_npz(archive(tmp_path / "a.npz", raw=raw), "anything")
    values = np.array({"a": np.float64(0.25)}, dtype=object)
    path = archive(tmp_path / "a.npz", raw=pickle.dumps(values, 2))
    assert read_npz(path, "anything") == {"name2reason": {"a": 0.25}}

"""What a run uses of its manifests is returned, together with what it leaves out and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanoemox.data.filtering import LeftOut, read_usable, read_usable_manifests
from nanoemox.data.manifest import ManifestError
from nanoemox.data.quarantine import quarantine_path, write_quarantine


def _manifest(folder: Path, name: str, *ids: str) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text(
        "".join(json.dumps({"id": i, "text": f"{name} {i}"}) + "\n" for i in ids), encoding="utf-8"
    )
    return path


def test_two_of_them_together_hold_what_either_left_out() -> None:
    first = LeftOut(quarantined={"m": {"a": "silent"}}, faults={"m": {"b": "gone"}, "empty": {}})
    second = LeftOut(quarantined={"n": {"a": "black"}}, faults={"m": {"c": "locked"}})
    both = first | second
    assert both.quarantined == {"m": {"a": "silent"}, "n": {"a": "black"}}
    assert both.faults == {"m": {"b": "gone", "c": "locked"}}
    assert first.faults == {"m": {"b": "gone"}, "empty": {}}  # neither is changed
    assert not both.ok and LeftOut(quarantined=both.quarantined).ok and LeftOut().ok
    assert both.to_dict() == {"quarantined": both.quarantined, "could_not_be_used": both.faults}


def test_both_lists_leave_out_by_name(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "m", "a", "b", "c")
    write_quarantine(quarantine_path(manifest), {"a": ["silent"]})
    write_quarantine(tmp_path / "mine.jsonl", {"b": ["not wanted"], "z": ["of another manifest"]})
    usable = read_usable(manifest, tmp_path / "mine.jsonl")
    assert [record.id for record in usable.records] == ["c"]
    assert usable.left_out.quarantined == {str(manifest): {"a": "silent", "b": "not wanted"}}
    assert usable.left_out.summary() == [
        f"{manifest}: 2 clips left out by the quarantine list",
        "  a: silent",
        "  b: not wanted",
    ]


def test_several_manifests_are_told_apart_and_read_once(tmp_path: Path) -> None:
    one, two = _manifest(tmp_path, "one", "a", "b"), _manifest(tmp_path, "two", "a", "c")
    write_quarantine(quarantine_path(one), {"b": ["black"]})
    write_quarantine(quarantine_path(two), {"c": ["silent"]})
    records, left_out = read_usable_manifests([one, two, one])
    assert {name: [r.id for r in rows] for name, rows in records.items()} == {
        str(one): ["a"],
        str(two): ["a"],
    }
    assert left_out.quarantined == {str(one): {"b": "black"}, str(two): {"c": "silent"}}


def test_a_list_that_is_not_there_or_leaves_nothing_is_refused(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "m", "a")
    with pytest.raises(ManifestError, match="no such file"):
        read_usable(manifest, tmp_path / "nowhere.jsonl")
    write_quarantine(quarantine_path(manifest), {"a": ["silent"]})
    with pytest.raises(ManifestError, match="every clip is quarantined"):
        read_usable(manifest)

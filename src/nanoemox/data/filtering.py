"""Which clips a run uses, and what it had to do without.

Clips on a quarantine list (beside their manifest, or named) are left out by name, which is expected; a clip that
turns out to be unreadable is not, and the run that went on without it says so at its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanoemox.data.manifest import ManifestError, manifest_lines, read_manifest
from nanoemox.data.quarantine import read_quarantine, without_quarantined
from nanoemox.data.records import media_of
from nanoemox.data.schema import Record

SHOWN = 10  # names that a summary lists before it only counts


@dataclass
class LeftOut:
    """What a run did without, by manifest: id -> why. Quarantined clips were expected to be missing, faults not."""

    quarantined: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is missing that was not expected to be."""
        return not any(self.faults.values())

    def add_faults(self, manifest: str, why: Mapping[str, str]) -> None:
        """Clips of a manifest that could not be used."""
        if why:
            self.faults.setdefault(manifest, {}).update(why)

    def summary(self) -> list[str]:
        """Lines that a person reads; none where nothing was left out."""
        told = []
        for manifest, why in self.quarantined.items():
            told.append(f"{manifest}: {len(why)} clips left out by the quarantine list")
            told += [f"  {name}: {reason}" for name, reason in list(why.items())[:SHOWN]]
            told += [f"  … and {len(why) - SHOWN} more"] * (len(why) > SHOWN)
        for manifest, why in self.faults.items():
            lines = _line_numbers(manifest)
            told.append(f"{manifest}: {len(why)} clips could not be used")
            for name, reason in list(why.items())[:SHOWN]:
                told.append(f"  line {lines.get(name, '?')}, {name}: {reason}")
            told += [f"  … and {len(why) - SHOWN} more"] * (len(why) > SHOWN)
        return told

    def to_dict(self) -> dict[str, Any]:
        """All of it for a JSON file."""
        return {"quarantined": self.quarantined, "could_not_be_used": self.faults}


def read_usable(
    manifest: str | Path, left_out: LeftOut, quarantine: str | Path | None = None
) -> list[Record]:
    """The records of a manifest without those on the list beside it and on the named one.

    Errors: ManifestError, also where the named list does not exist or nothing is left.
    """
    records, why = without_quarantined(read_manifest(manifest), manifest)
    if quarantine is not None:
        if not Path(quarantine).is_file():
            raise ManifestError(f"{quarantine}: no such file (expected a quarantine list); check the path")
        named = read_quarantine(quarantine)
        why |= {record.id: named[record.id] for record in records if record.id in named}
        records = [record for record in records if record.id not in named]
    if why:
        left_out.quarantined[str(manifest)] = why
    if not records:
        raise ManifestError(
            f"{manifest}: every clip is quarantined; look at the list, or run the doctor again"
        )
    return records


def to_train_on(records: Iterable[Record]) -> list[Record]:
    """Without what belongs to another split: nothing that is to be tested on is ever trained on."""
    return [record for record in records if record.split in (None, "train")]


def to_validate_on(records: Sequence[Record]) -> list[Record]:
    """The `val` split where the lines name one, else all of them."""
    return [record for record in records if record.split == "val"] or list(records)


def distinct(groups: Mapping[str, Sequence[Record]]) -> dict[str, list[Record]]:
    """Records by manifest, so that an id means one clip: where manifests share an id and not its media, the later
    manifest's name opens it."""
    known: dict[str, Any] = {}
    result: dict[str, list[Record]] = {}
    for manifest, records in groups.items():
        result[manifest] = []
        for record in records:
            if known.setdefault(record.id, media_of(record)) != media_of(record):
                record = record.model_copy(update={"id": f"{manifest}:{record.id}"})
                known[record.id] = media_of(record)
            result[manifest].append(record)
    return result


def _line_numbers(manifest: str) -> dict[str, int]:
    """Record id (also as `distinct` makes it) -> line of the manifest; only for messages."""
    return {key: n for n, name in _ids(manifest) for key in (name, f"{manifest}:{name}")}


def _ids(manifest: str) -> Iterator[tuple[int, str]]:
    try:
        for number, raw in manifest_lines(Path(manifest)):
            yield number, json.loads(raw)["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return

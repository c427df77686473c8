"""Which clips a run uses, and what it had to do without.

Clips on a quarantine list (beside their manifest, or named) are left out by name, which is expected; a clip that
turns out to be unreadable is not, and the run that went on without it says so at its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from nanoemox.data.manifest import ManifestError, manifest_lines, read_manifest
from nanoemox.data.quarantine import read_quarantine, without_quarantined
from nanoemox.data.records import media_of
from nanoemox.data.schema import Record
from nanoemox.files.short_repr import ShortRepr

SHOWN = 10  # names that a summary lists before it only counts


Reasons: TypeAlias = Mapping[str, str]  # record id -> why it was left out


@dataclass(frozen=True, repr=False)
class LeftOut(ShortRepr):
    """The clips that a run did without, by manifest. `left_out | other` holds those of both.

    Attributes:
        quarantined: Clips on a quarantine list; they were expected to be missing.
        faults: Clips that could not be used although no list names them.
    """

    quarantined: Mapping[str, Reasons] = field(default_factory=dict)
    faults: Mapping[str, Reasons] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is missing that was not expected to be."""
        return not any(self.faults.values())

    def __or__(self, other: LeftOut) -> LeftOut:
        return LeftOut(_merged(self.quarantined, other.quarantined), _merged(self.faults, other.faults))

    def summary(self) -> list[str]:
        """Lines that a person reads; none where nothing was left out."""
        lines = []
        for manifest, reasons in self.quarantined.items():
            lines.append(f"{manifest}: {len(reasons)} clips left out by the quarantine list")
            lines += [f"  {name}: {reason}" for name, reason in list(reasons.items())[:SHOWN]]
            lines += [f"  … and {len(reasons) - SHOWN} more"] * (len(reasons) > SHOWN)
        for manifest, reasons in self.faults.items():
            numbers = _line_numbers(manifest)
            lines.append(f"{manifest}: {len(reasons)} clips could not be used")
            for name, reason in list(reasons.items())[:SHOWN]:
                lines.append(f"  line {numbers.get(name, '?')}, {name}: {reason}")
            lines += [f"  … and {len(reasons) - SHOWN} more"] * (len(reasons) > SHOWN)
        return lines

    def to_dict(self) -> dict[str, Any]:
        """All of it for a JSON file."""
        return {
            "quarantined": {manifest: dict(reasons) for manifest, reasons in self.quarantined.items()},
            "could_not_be_used": {manifest: dict(reasons) for manifest, reasons in self.faults.items()},
        }


def _merged(first: Mapping[str, Reasons], second: Mapping[str, Reasons]) -> dict[str, Reasons]:
    """Both by manifest, without manifests of which nothing was left out."""
    every = {name: {**first.get(name, {}), **second.get(name, {})} for name in (*first, *second)}
    return {name: reasons for name, reasons in every.items() if reasons}


class UsableRecords(NamedTuple):
    """The records of a manifest that a run may use, and what was left out of them by name."""

    records: list[Record]
    left_out: LeftOut


class UsableManifests(NamedTuple):
    """The same for several manifests: usable records by manifest, in which an id means one clip."""

    records: dict[str, list[Record]]
    left_out: LeftOut


def read_usable(manifest: str | Path, quarantine: str | Path | None = None) -> UsableRecords:
    """The records of a manifest without those on the list beside it and on the named one.

    Args:
        manifest: the manifest to read.
        quarantine: a list of clips to leave out, beside the manifest's own.

    Returns:
        The records that are left, and what was left out and why.

    Raises:
        ManifestError: Also where the named list does not exist, and where no record is left.
    """
    records, reasons = without_quarantined(read_manifest(manifest), manifest)
    if quarantine is not None:
        if not Path(quarantine).is_file():
            raise ManifestError(f"{quarantine}: no such file (expected a quarantine list); check the path")
        named = read_quarantine(quarantine)
        reasons |= {record.id: named[record.id] for record in records if record.id in named}
        records = [record for record in records if record.id not in named]
    if not records:
        raise ManifestError(
            f"{manifest}: every clip is quarantined; look at the list, or run the doctor again"
        )
    return UsableRecords(records, LeftOut(quarantined={str(manifest): reasons} if reasons else {}))


def read_usable_manifests(
    manifests: Iterable[str | Path], quarantine: str | Path | None = None
) -> UsableManifests:
    """The usable records of several manifests. Raises what `read_usable` raises, for the first bad one."""
    left_out = LeftOut()
    records = {}
    for manifest in dict.fromkeys(map(str, manifests)):
        usable = read_usable(manifest, quarantine)
        records[manifest] = usable.records
        left_out |= usable.left_out
    return UsableManifests(distinct(records), left_out)


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
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return

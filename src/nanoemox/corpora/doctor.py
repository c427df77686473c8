"""Look at every clip of a manifest before hours are spent on it, and write down what to leave out.

Clips are decoded in parallel; only a few are under way at once and of each only a digest is kept, so memory
does not grow with the corpus. A clip that makes the decoder crash or hang costs that clip, not the run. Where the
processes themselves cannot work, that is an error, and the list on the disk stays as it is.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nanoemox.corpora.examine import Limits, Result, examine
from nanoemox.data.manifest import (
    ManifestError,
    WrongLineError,
    checked_line,
    leads_outside,
    manifest_lines,
    may_lead_outside,
)
from nanoemox.data.quarantine import quarantine_path, write_quarantine
from nanoemox.data.schema import MEDIA, Record
from nanoemox.files.machine import usable_cores
from nanoemox.files.short_repr import ShortRepr
from nanoemox.files.workers import WorkerPool, WorkersError, started_pool

_AHEAD = 4  # clips given to each process at once
_RETIRE_AFTER = 5000  # clips, so that whatever a decoder leaks is given back

# What can be found -> whether it puts a clip on the quarantine list.
KINDS = {
    "malformed": False,  # a line of the manifest, not a clip
    "duplicate_id": False,
    "bug": False,  # of ours, not of the clip
    "outside": True,
    "missing": True,
    "empty": True,
    "unreadable": True,
    "crashed": True,
    "timeout": True,
    "too_long": True,
    "no_video": True,
    "blank": True,
    "leak": True,
    "known_fault": True,
    "no_audio": False,
    "black": False,
    "silent": False,
    "damaged": False,
    "duplicate": False,
    "length_mismatch": False,
}
_FIRST = {"test": 0, "val": 1}  # which of two equal clips is kept


class Finding(NamedTuple):
    """Something wrong with a line: its number, its id, what (of KINDS), and the details."""

    line: int
    id: str
    kind: str
    detail: str


@dataclass(frozen=True, repr=False)
class DoctorReport(ShortRepr):
    """What was found. quarantined: id -> reasons, as written to `quarantine`. cpu_s: of all processes together."""

    manifest: Path
    quarantine: Path
    lines: int
    checked: int
    seconds: float
    cpu_s: float
    workers: int
    findings: tuple[Finding, ...]
    quarantined: Mapping[str, tuple[str, ...]]

    @property
    def ok(self) -> bool:
        """Whether nothing has to be left out and every line could be read."""
        return not self.quarantined and not any(
            f.kind in ("malformed", "duplicate_id", "bug") for f in self.findings
        )

    @property
    def clips_per_core_hour(self) -> float:
        """How fast it was, by the time that processors spent on it."""
        return self.checked / max(self.cpu_s, 1e-9) * 3600

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> how many, in the order of KINDS."""
        counted = Counter(finding.kind for finding in self.findings)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    def summary(self, most: int = 20) -> str:
        """The report in lines a person reads, with up to `most` of the findings."""
        shown = [
            f"{self.manifest}: {self.checked} clips of {self.lines} lines checked in {self.seconds:.1f} s "
            f"({self.workers} processes, {self.clips_per_core_hour:,.0f} clips an hour and core)"
        ]
        shown += [f"  {kind}: {n}" + " (quarantined)" * KINDS[kind] for kind, n in self.counts.items()]
        shown += [f"  line {f.line}, {f.id or '?'}: {f.kind}: {f.detail}" for f in self.findings[:most]]
        if len(self.findings) > most:
            shown.append(f"  … and {len(self.findings) - most} more")
        shown.append(f"  {len(self.quarantined)} clips to be left out are listed in {self.quarantine}")
        return "\n".join(shown)

    def to_dict(self) -> dict[str, Any]:
        """The whole report for a JSON file."""
        names = ("lines", "checked", "seconds", "cpu_s", "workers", "clips_per_core_hour", "counts")
        return {
            "manifest": str(self.manifest),
            "quarantine": str(self.quarantine),
            **{name: getattr(self, name) for name in names},
            "findings": [finding._asdict() for finding in self.findings],
            "quarantined": {name: list(why) for name, why in self.quarantined.items()},
        }


def doctor(
    manifest: str | os.PathLike[str],
    workers: int | None = None,
    *,
    quarantine: str | os.PathLike[str] | None = None,
    limits: Limits = Limits(),  # noqa: B008 (immutable)
    allow_outside: bool | None = None,
    progress: bool = True,
) -> DoctorReport:
    """Decode every clip of a manifest; report what is wrong and write the quarantine list.

    Args:
        manifest: the file to check.
        workers: processes; None, one for each core; 0, this process alone, which a crashing decoder then ends.
        quarantine: where to write the list; None, beside the manifest, where training and evaluation look.
        limits: what counts as too long, too slow, black and silent.
        allow_outside: accept paths that lead out of the manifest's folder; as in `read_manifest`.
        progress: show a bar on standard error.

    Returns:
        What was found, by clip.

    Raises:
        ManifestError: if the manifest cannot be opened. What is wrong inside it is in the report.
        WorkersError: if the processes cannot be started, or if each of them died; then no list is written. A script
            that calls this has to do so under `if __name__ == "__main__":`, or with workers=0.
    """
    # Count the lines first, for the bar.
    manifest = Path(manifest)
    listed = Path(quarantine) if quarantine else quarantine_path(manifest)
    if workers is None:
        workers = usable_cores()
    total = _count(manifest)
    findings: list[Finding] = []
    seen = _Seen()
    checked, cpu_s = 0, 0.0
    started = perf_counter()

    # Decode every clip that can be found.
    with _bar(progress) as bar:
        task = bar.add_task("decoding", total=total)

        def readable() -> Iterator[tuple[int, Record]]:
            for line in _lines(manifest, allow_outside):
                if isinstance(line, Finding):
                    findings.append(line)
                    bar.advance(task)
                else:
                    yield line

        for number, record, result in _examined(readable(), workers, limits):
            findings += [Finding(number, record.id, kind, detail) for kind, detail in result.findings]
            if result.fingerprint is not None:
                seen.add(result.fingerprint, number, record)
            checked += 1
            cpu_s += result.cpu_s
            bar.advance(task)

    # One clip can kill a process. When nothing else comes back, the processes are to blame and not the clips.
    crashed = sum(finding.kind == "crashed" for finding in findings)
    if 1 < crashed == checked:
        raise WorkersError(
            f"{manifest}: all {crashed} worker processes died, one for each clip (out of memory, or a broken "
            "installation), so nothing is known about the clips and no list was written; try workers=1 or workers=0"
        )

    # Clips that are there twice are known only at the end.
    findings += seen.repeated()
    findings.sort(key=lambda finding: (finding.line, list(KINDS).index(finding.kind)))

    # Write the list of the clips that training and evaluation leave out.
    quarantined: dict[str, tuple[str, ...]] = {}
    for finding in findings:
        if KINDS[finding.kind]:
            reasons = quarantined.get(finding.id, ())
            quarantined[finding.id] = (*reasons, f"{finding.kind}: {finding.detail}")
    write_quarantine(listed, quarantined)
    seconds = perf_counter() - started
    return DoctorReport(
        manifest, listed, total, checked, seconds, cpu_s, max(workers, 1), tuple(findings), quarantined
    )


# ---------------------------------------------------------------- the manifest, forgivingly


def _count(manifest: Path) -> int:
    try:
        return sum(1 for _ in manifest_lines(manifest))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).casefold()
        raise ManifestError(f"{manifest}: cannot be read ({reason}); expected a JSONL file") from error


def _lines(manifest: Path, allow_outside: bool | None) -> Iterator[Finding | tuple[int, Record]]:
    """The number and record of each line whose clip can be looked at; of other lines, what is wrong with them."""
    lines: dict[str, int] = {}
    for number, raw in manifest_lines(manifest):
        wrong = None
        try:
            record = checked_line(raw, Record)
        except WrongLineError as error:
            wrong = Finding(number, _id_in(raw), "malformed", str(error))
        else:
            outside = [k for k in MEDIA if (path := getattr(record, k)) and leads_outside(path)]
            if record.id in lines:
                wrong = Finding(number, record.id, "duplicate_id", f"also on line {lines[record.id]}")
            elif outside and not may_lead_outside(allow_outside):
                where = f"{outside[0]} {getattr(record, outside[0])} leads out of the manifest's folder"
                wrong = Finding(number, record.id, "outside", where)
            lines.setdefault(record.id, number)
        if wrong:
            yield wrong
            continue
        paths = {kind: manifest.parent / path for kind in MEDIA if (path := getattr(record, kind))}
        yield number, record.model_copy(update=paths)


def _id_in(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


# ---------------------------------------------------------------- many clips at once


def _examined(
    clips: Iterable[tuple[int, Record]], workers: int, limits: Limits
) -> Iterator[tuple[int, Record, Result]]:
    """Every clip with its result, in no particular order."""
    waiting = iter(clips)
    if workers <= 0:
        for number, record in waiting:
            yield number, record, examine(record, limits)
        return
    pool = _pool(workers)
    under_way: dict[Future[Result], tuple[int, Record]] = {}
    try:
        exhausted = False
        while under_way or not exhausted:
            lost: list[tuple[int, Record]] = []
            try:
                while not exhausted and len(under_way) < workers * _AHEAD:
                    clip = next(waiting, None)
                    if clip is None:
                        exhausted = True
                        break
                    lost = [clip]
                    under_way[pool.submit(examine, clip[1], limits)] = clip
                    lost = []
                if not under_way:
                    break
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    number, record = under_way.pop(future)
                    yield number, record, result
            except BrokenProcessPool:
                pool.end()
                yield from _one_by_one([*under_way.values(), *lost], limits)
                under_way = {}
                pool = _pool(workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_by_one(clips: Iterable[tuple[int, Record]], limits: Limits) -> Iterator[tuple[int, Record, Result]]:
    """The clips that were under way when a process died, to find out which of them it was."""
    pool = _pool(1)
    try:
        for number, record in clips:
            try:
                result = pool.submit(examine, record, limits).result()
            except BrokenProcessPool:
                result = Result([("crashed", "the process that decoded it died")], None, 0.0)
                pool.end()
                pool = _pool(1)
            yield number, record, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(workers: int) -> WorkerPool:
    # The module is imported once, not in every process.
    return started_pool(workers, "forkserver", [examine.__module__], max_tasks_per_child=_RETIRE_AFTER)


class _Seen:
    """Which clips show and sound the same."""

    def __init__(self) -> None:
        self.groups: dict[bytes, list[tuple[int, int, str, str]]] = {}

    def add(self, fingerprint: bytes, number: int, record: Record) -> None:
        split = record.split or ""
        self.groups.setdefault(fingerprint, []).append((_FIRST.get(split, 2), number, record.id, split))

    def repeated(self) -> Iterator[Finding]:
        """All but the first of each group, test before val before train: what leaks is a train clip."""
        for group in self.groups.values():
            (_, _, kept, kept_split), *others = sorted(group)
            for _, number, name, split in others:
                if split != kept_split:
                    detail = f"the same as {kept}, which is {kept_split or 'of no split'}"
                    yield Finding(number, name, "leak", detail)
                else:
                    yield Finding(number, name, "duplicate", f"the same as {kept}")


def _bar(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )

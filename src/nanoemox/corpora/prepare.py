"""Public corpora -> manifests: one reader each, for the download and for the published preparation of it.

```python
from nanoemox.corpora.prepare import prepare

print(prepare("meld", "downloads/MELD.Raw", "downloads/MELD.Raw/meld.jsonl").summary())
```

A reader finds out which layout it has before it, keeps the official split, and leaves nothing out without
saying so: its report names every line and clip that could not be used, and what the corpus left open.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nanoemox.corpora import own as own_clips
from nanoemox.corpora.corpus import Corpus
from nanoemox.corpora.folder import Folder, Problem
from nanoemox.corpora.readers import (
    avamerg,
    caer,
    caer_ferv39k,
    ch_sims,
    ch_sims_v2,
    cmu_mosei,
    cmu_mosi,
    crema_d,
    dfew,
    emer,
    emodb,
    ferv39k,
    iemocap,
    m3ed,
    meld,
    mer2023,
    mer2024,
    mer2025,
    mer2026,
    mer_caption_plus,
    merr,
    merr_coarse,
    mintrec,
    mintrec2,
    ov_merd,
    ravdess,
)
from nanoemox.corpora.tables import CorpusError
from nanoemox.data.manifest import wrong_line
from nanoemox.data.schema import MEDIA, Record
from nanoemox.files.atomic import write_jsonl
from nanoemox.files.listed import one_or_more
from nanoemox.files.short_repr import ShortRepr
from nanoemox.media.clip import CodedWarning
from nanoemox.tasks.task import closed_tasks

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        crema_d.CORPUS,
        m3ed.CORPUS,
        caer.CORPUS,
        ferv39k.CORPUS,
        caer_ferv39k.CORPUS,
        mintrec.CORPUS,
        mintrec2.CORPUS,
        mer_caption_plus.CORPUS,
        ov_merd.CORPUS,
        mer2025.CORPUS,
        mer2026.CORPUS,
        merr.CORPUS,
        merr_coarse.CORPUS,
        avamerg.CORPUS,
        meld.CORPUS,
        iemocap.FOUR_WAY,
        iemocap.SIX_WAY,
        cmu_mosi.CORPUS,
        cmu_mosei.CORPUS,
        ch_sims.CORPUS,
        ch_sims_v2.CORPUS,
        mer2023.CORPUS,
        mer2024.CORPUS,
        emer.CORPUS,
        dfew.CORPUS,
        ravdess.CORPUS,
        emodb.CORPUS,
    )
}


_SHOWN = 30  # labels that a summary counts by name


@dataclass(frozen=True, repr=False)
class PrepareReport(ShortRepr):
    """What came of preparing a corpus.

    splits, tasks, media: lines of each split, with labels of each task, with each kind of media or words.
    labels: task -> label -> lines that have it, for the tasks whose answer is one of a list. questions: what looks
    like a slip.
    expected: lines of each split as published for this layout, where known. skipped: rows and clips that are
    not in the manifest, and why. faults: clips known to be broken, marked in it. assumptions: sentence -> how
    often it applied. outside: paths lead out of the manifest's folder.
    """

    corpus: str
    layout: str
    manifest: Path
    lines: int
    splits: Mapping[str, int]
    tasks: Mapping[str, int]
    media: Mapping[str, int]
    expected: Mapping[str, int]
    skipped: tuple[Problem, ...]
    faults: tuple[Problem, ...]
    assumptions: Mapping[str, int]
    questions: tuple[CodedWarning, ...]
    labels: Mapping[str, Mapping[str, int]]
    outside: bool

    @property
    def ok(self) -> bool:
        """Whether everything that was found is in the manifest."""
        return not self.skipped

    def summary(self, most: int = 20) -> str:
        """The report in lines a person reads, with up to `most` of the problems."""
        shown = [f"{self.corpus} ({self.layout}): {self.lines} lines in {self.manifest}"]
        for name, counts in (("splits", self.splits), ("tasks", self.tasks), ("with", self.media)):
            shown.append(f"  {name}: " + ", ".join(f"{key} {count}" for key, count in counts.items()))
        for task, known in self.labels.items():
            frequent = sorted(known.items(), key=lambda pair: (-pair[1], pair[0]))
            more = f", … and {len(frequent) - _SHOWN} more" if len(frequent) > _SHOWN else ""
            listed = ", ".join(f"{label} {count}" for label, count in frequent[:_SHOWN])
            shown.append(f"  {task}: {listed}{more}")
        for split, count in self.expected.items():
            if self.splits.get(split, 0) != count:
                shown.append(f"  {split}: {self.splits.get(split, 0)} of the {count} lines published")
        shown += [f"  assumed: {what}" + f" ({n} times)" * (n > 1) for what, n in self.assumptions.items()]
        shown += [f"  please check: {question}" for question in self.questions]
        if self.outside:
            shown.append(
                "  the manifest lies outside the corpus, and so its paths lead out of its own folder, "
                "which is refused unless allowed; write it into the corpus folder"
            )
        shown += [f"  known fault: {fault.where}: {fault.what}" for fault in self.faults]
        shown += [f"  skipped {where}: {what}" for where, what in self.skipped[:most]]
        if len(self.skipped) > most:
            shown.append(f"  … and {len(self.skipped) - most} more")
        shown.append(f"  skipped in all: {len(self.skipped)}" if self.skipped else "  nothing was skipped")
        return "\n".join(shown)

    def to_dict(self) -> dict[str, Any]:
        """The whole report for a JSON file."""
        return {
            **{name: getattr(self, name) for name in ("corpus", "layout", "lines", "outside")},
            "manifest": str(self.manifest),
            **{
                name: dict(getattr(self, name))
                for name in ("splits", "tasks", "media", "expected", "assumptions")
            },
            "labels": {task: dict(known) for task, known in self.labels.items()},
            "questions": [question._asdict() for question in self.questions],
            **{name: [p._asdict() for p in getattr(self, name)] for name in ("skipped", "faults")},
        }


def list_corpora() -> list[Corpus]:
    """Every corpus that can be prepared, by name."""
    return [CORPORA[name] for name in sorted(CORPORA)]


def prepare(
    name: str, root: str | os.PathLike[str], out: str | os.PathLike[str], splits: str | Collection[str] = ()
) -> PrepareReport:
    """Write the manifest of an unpacked corpus; all of it or nothing.

    Args:
        name: the corpus, as `list_corpora` names it.
        root: the folder that it was unpacked into.
        out: the manifest to write.
        splits: write only these of train, val, test; all of them if none is named.

    Returns:
        What was written, and what was left out and why.

    Raises:
        CorpusError: for a name, a folder or a table that cannot be read at all, in one line.
    """
    corpus = CORPORA.get(name.lower().replace("-", "_"))
    if corpus is None:
        raise CorpusError(f"unknown corpus {name!r}: expected one of {', '.join(sorted(CORPORA))}")
    return _prepare(corpus, Path(root), Path(out), one_or_more(splits))


def prepare_own(
    table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    columns: str | Sequence[str] = (),
    where: str | Sequence[str] = (),
    splits: str | Collection[str] = (),
) -> PrepareReport:
    """Write the manifest of your own clips from a table and the files that it names below its folder.

    Args:
        table: CSV, TSV, XLSX or JSONL.
        out: the manifest to write.
        columns: `emotion=label` reads our `emotion` from the table's `label` (names: `own.COLUMNS`).
        where: `set=ravdess` or `label!=fear` keeps the rows for which all of these are true.
        splits: write only these of train, val, test; all of them if none is named.

    Returns:
        What was written, and what was left out and why.

    Raises:
        CorpusError: if the table cannot be read at all, or `out` is the table itself.
    """
    path = Path(table)
    if not path.is_file():
        raise CorpusError(f"{path}: no such file (expected a CSV, TSV, XLSX or JSONL table); check the path")
    if Path(out).exists() and path.samefile(out):
        raise CorpusError(f"{path}: is the table itself; choose another name for the manifest")
    return _prepare(
        own_clips.own_corpus(own_clips.table_of(path, one_or_more(columns), one_or_more(where))),
        path.parent,
        Path(out),
        one_or_more(splits),
    )


def _prepare(corpus: Corpus, root: Path, manifest: Path, splits: Collection[str]) -> PrepareReport:
    if manifest.is_dir():
        raise CorpusError(
            f"{manifest}: is a folder (expected a file name for the manifest); name a file in it"
        )
    folder = Folder(root, corpus.tables, splits=splits)
    counts: dict[str, Counter[str]] = {"splits": Counter(), "tasks": Counter(), "media": Counter()}
    labels: dict[str, Counter[str]] = {}
    lines = write_jsonl(manifest, _lines(corpus, folder, manifest.absolute().parent, counts, labels))
    expected = corpus.counts.get(folder.layout, {})
    return PrepareReport(
        corpus=corpus.name,
        layout=folder.layout,
        manifest=manifest,
        lines=lines,
        **{name: dict(counted) for name, counted in counts.items()},
        expected={split: n for split, n in expected.items() if not splits or split in splits},
        skipped=tuple(folder.skipped),
        faults=tuple(folder.faults),
        assumptions=dict(folder.assumptions),
        questions=tuple(folder.questions),
        labels={task: dict(counted) for task, counted in labels.items()},
        outside=not folder.root.is_relative_to(manifest.absolute().parent),
    )


def _lines(
    corpus: Corpus,
    folder: Folder,
    base: Path,
    counts: Mapping[str, Counter[str]],
    labels: dict[str, Counter[str]],
) -> Iterator[dict[str, Any]]:
    """Checked manifest lines with paths relative to `base`; what cannot be one is reported."""
    seen: dict[str, str] = {}
    others: Counter[str] = Counter()
    common = {"source": corpus.name, **({"licence": corpus.licence} if corpus.licence else {})}
    for where, values in corpus.read(folder):
        if corpus.language and values.get("text") and "language" not in values:
            values["language"] = corpus.language
        if not folder.reads(values.get("split", "none")):
            folder.elsewhere += 1
            others[values.get("split", "none")] += 1
            continue
        odd = [values[kind] for kind in MEDIA if kind in values and not _writable(values[kind])]
        if odd:
            folder.skip(where, f"the name {odd[0].name!r} is not text and cannot be written; rename the file")
            continue
        try:
            record = Record.model_validate({**common, **values})
        except ValidationError as error:
            folder.skip(where, wrong_line(error, Record))
            continue
        if record.id in seen:
            folder.skip(where, f"its id {record.id!r} was taken by {seen[record.id]}")
            continue
        seen[record.id] = where
        counts["splits"][record.split or "none"] += 1
        counts["tasks"].update(record.labels.tasks)
        for name, task in closed_tasks().items():
            label = task.label(record.labels)
            if label is not None and (spelt := task.spelt(label)):
                labels.setdefault(name, Counter())[spelt] += 1
        counts["media"].update(kind for kind in (*MEDIA, "text", "dialogue") if getattr(record, kind))
        yield record.line(base)
    if folder.elsewhere and not seen and not folder.skipped:
        wanted = " or ".join(sorted(folder.splits))
        remedy = next((q.text for q in folder.questions if q.code == "no_test"), None)
        there = ", ".join(f"{split} {count}" for split, count in others.items())
        found = f", only in others ({there})" if there else ""
        raise CorpusError(f"{folder.root}: no line is in {wanted}{found}; {remedy or 'leave --split out'}")
    if not seen:
        first = f" (first: {folder.skipped[0].where}: {folder.skipped[0].what})" if folder.skipped else ""
        raise CorpusError(
            f"{folder.root}: not one line could be read, {len(folder.skipped)} were skipped{first}"
        )


def _writable(path: Path) -> bool:
    """Whether a path can stand in a UTF-8 file; names on disk are bytes."""
    try:
        return bool(str(path).encode("utf-8"))
    except UnicodeEncodeError:
        return False

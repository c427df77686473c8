"""What the corpora of the MER challenges share (Lian et al.): tables of labels, of subtitles, and of open labels.

MER2023 and MER2024 come with one table a track, or in the published preparation. One download holds the MER2025
family: tables by track, one table of subtitles, one folder of clips.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from nanoemox.corpora.archives import label_rows
from nanoemox.corpora.corpus import emotion, preparation, text_fields, transcripts_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError, listed, plain

EMOTIONS = ("neutral", "anger", "happiness", "sadness", "worried", "surprise")
SUBTITLES = "subtitle_chieng.csv"
_NOTHING = -10.0  # valence of a clip that has none
_SPLITS = {"train": "train", "test1": "test"}  # what the official code trains and evaluates on


def read_challenge(
    folder: Folder,
    process: str,
    prefer: str,
    transcripts: tuple[str, ...],
    tables: Mapping[str, tuple[str, ...]],
) -> Iterator[Line]:
    """MER2023 or MER2024: the tables of labels, or the published preparation.

    Args:
        folder: the folder of the corpus.
        process: the name of the preparation's folder.
        prefer: the language whose transcript is the text: english or chinese.
        transcripts: names that the table of transcripts may have.
        tables: part of the challenge -> names that its table may have.

    Yields:
        The lines of the manifest.
    """
    archive = preparation(folder, process, "label-6way.npz")
    found = {part: path for part, names in tables.items() if (path := folder.file(*names))}
    if not archive and not found:
        folder.need("label-6way.npz", *(name for names in tables.values() for name in names))
    words = transcripts_of(folder, *transcripts)
    folder.assume("the range of valence is not published with the labels: none is stated")
    if archive:
        folder.layout = "processed"
        for part, row in label_rows(archive):
            yield from folder.each([row], partial(_challenge_line, folder, words, prefer, part, "emo", "val"))
        return
    folder.layout = "original"
    for part, path in found.items():
        rows = folder.rows(path, ("name", "discrete"))
        yield from folder.each(
            rows, partial(_challenge_line, folder, words, prefer, part, "discrete", "valence")
        )


def _challenge_line(
    folder: Folder, words: dict[str, Row], prefer: str, part: str, label: str, valence: str, row: Row
) -> dict[str, Any]:
    name = row["name"]
    transcript = text_fields(words.get(name), prefer)
    if part not in _SPLITS:
        folder.assume(
            f"{part} is another track of the challenge: its lines have no split, extra.part tells them"
        )
    labels: dict[str, Any] = {"emotion": emotion(row[label], EMOTIONS)}
    if row.get(valence) and (value := row.number(valence)) != _NOTHING:
        labels["sentiment"] = {"valence": value}
    return {
        "id": name,
        **folder.media(name, text=transcript.get("text", "")),
        **transcript,
        **({"split": _SPLITS[part]} if part in _SPLITS else {}),
        "labels": labels,
        "extra": {**transcript.get("extra", {}), "part": part},
    }


def read_both_tracks(folder: Folder, which: str, split: str) -> Iterator[Line]:
    """`track2_train_….csv` (labels) and `track3_train_….csv` (descriptions), joined by name.

    Args:
        folder: the folder of the corpus.
        which: the part of both tables' names that names the corpus.
        split: the split of every line.

    Yields:
        The lines of the manifest; a clip with a description alone comes last.
    """
    folder.layout = "original"
    labels = folder.need(f"track2_train_{which}.csv")
    words = transcripts_of(folder, SUBTITLES)
    reasons: dict[str, Row] = {}
    if path := folder.file(f"track3_train_{which}.csv"):
        reasons = _by_name(folder, folder.rows(path, ("name", "reason")))
    else:
        folder.assume(f"there is no track3_train_{which}.csv: the lines have labels and no descriptions")
    seen: set[str] = set()

    def line(row: Row) -> dict[str, Any]:
        seen.add(row["name"])
        return open_line(folder, words, reasons, split, row)

    yield from folder.each(folder.rows(labels, ("name", "openset")), line)
    rest = [
        Row({"name": name, "openset": ""}, row.where) for name, row in reasons.items() if name not in seen
    ]
    if rest:
        folder.assume(
            f"{len(rest)} clips are described but have no labels: their lines hold the description alone"
        )
    yield from folder.each(rest, partial(open_line, folder, words, reasons, split, bare=True))


def open_line(
    folder: Folder, words: dict[str, Row], reasons: dict[str, Row], split: str, row: Row, bare: bool = False
) -> dict[str, Any]:
    """A line with open labels, and the description where there is one.

    Args:
        folder: the folder of the corpus.
        words: clip -> its row in the table of transcripts.
        reasons: clip -> its row in the table of descriptions.
        split: the split of the clip.
        row: the clip's row in the table of labels.
        bare: an empty list of labels means that there are none; without it, neutral.

    Returns:
        The manifest line.
    """
    name = row["name"]
    found = listed(row.get("openset"))
    if not found and not bare:
        folder.assume("empty lists of labels count as neutral, as in the official code")
        found = ["neutral"]
    labels: dict[str, Any] = {"open_vocabulary": {"labels": found}} if found else {}
    if name in reasons:
        labels["reasoning"] = {"text": plain(reasons[name]["reason"])}
    transcript = text_fields(words.get(name))
    return {
        "id": name,
        **folder.media(name, text=transcript.get("text", "")),
        **transcript,
        "split": split,
        "labels": labels,
    }


def _by_name(folder: Folder, rows: Iterable[Row]) -> dict[str, Row]:
    known: dict[str, Row] = {}
    for row in rows:
        try:
            if row.fault:
                raise RowError(row.fault)
            if row["name"] in known:
                raise RowError(f"{row['name']} is also in {known[row['name']].where}")
            row["reason"]
            known[row["name"]] = row
        except RowError as error:
            folder.skip(row.where, str(error))
    return known


# What the cards of the corpora share.
CHALLENGE: dict[str, Any] = {
    "tasks": ("emotion", "sentiment"),
    "language": "zh",
    "licence": "EULA: academic research only, not to be handed on",
    "tables": "gb18030",
}
FAMILY: dict[str, Any] = {
    "language": "zh",
    "licence": "CC BY-NC 4.0 under the challenge's EULA, research only",
    "where": "huggingface.co/datasets/MERChallenge/MER2025 (gated)",
    "tables": "gb18030",
}

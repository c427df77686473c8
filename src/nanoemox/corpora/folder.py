"""A downloaded corpus on disk: its files wherever they were unpacked, its rows, and what is wrong with them.

Archives are unpacked one level deeper than their page says, names change case, and copies carry macOS litter.
So a folder is walked once, and files are found by the end of their path. Rows that cannot be used are
reported by file and line and left out; nothing is dropped without a word. Links are followed, but no folder
is entered twice.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nanoemox.corpora.tables import CorpusError, Row, RowError, rows
from nanoemox.media.clip import CodedWarning
from nanoemox.media.endings import AUDIO_ENDINGS, PICTURE_ENDINGS, VIDEO_ENDINGS

_DEEPEST = 16
MISSING = (
    "missing"  # in the place of a clip's files: what is not there, told once the split of the row is known
)


class Problem(NamedTuple):
    """What is wrong, and where: a file and line, a path or the id of a clip."""

    where: str
    what: str


class Line(NamedTuple):
    """One manifest line in the making: its keys, media as paths on this machine, and where it was read."""

    where: str
    values: dict[str, Any]


@dataclass
class Folder:
    """The files of one corpus below `root`, and what was noticed while reading them.

    files, videos, sounds: lower-case name (media: without suffix) -> paths; pictures: folder name -> folders
    of them.
    """

    root: Path
    encoding: str = "cp1252"  # of tables that are not UTF-8
    layout: str = ""
    files: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    videos: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    sounds: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    pictures: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    skipped: list[Problem] = field(default_factory=list)
    faults: list[Problem] = field(default_factory=list)
    assumptions: dict[str, int] = field(default_factory=dict)  # sentence -> how often it applied
    questions: list[CodedWarning] = field(default_factory=list)
    splits: Collection[str] = ()  # only these are read; none named: all
    elsewhere: int = 0  # rows of other splits, which are not looked at
    _waits: bool = False  # whether the split of the row that is read is only known when its line is made
    _places: dict[int, dict[str, list[Path]]] = field(
        default_factory=dict
    )  # of an index: parent/name -> paths

    def __post_init__(self) -> None:
        self.root = Path(self.root).absolute()
        if not self.root.is_dir():
            raise CorpusError(f"{self.root}: no such folder (expected the unpacked corpus); check the path")
        self._walk(self.root, set(), 0)
        for index in (self.files, self.videos, self.sounds, self.pictures):
            for paths in index.values():
                paths.sort(key=lambda path: (len(path.parts), str(path)))

    def _walk(self, folder: Path, seen: set[tuple[int, int]], depth: int) -> None:
        try:
            about = folder.stat()
            if (about.st_dev, about.st_ino) in seen or depth > _DEEPEST:
                return
            seen.add((about.st_dev, about.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.skip(
                self.short(folder), f"the folder cannot be listed ({(error.strerror or '').casefold()})"
            )
            return
        pictured = False
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue  # among them ._x.mp4, which macOS leaves beside x.mp4
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 (a million names)
            if suffix in PICTURE_ENDINGS:
                if not pictured:
                    self.pictures[folder.name.lower()].append(folder)
                pictured = True
            elif _is_folder(entry):
                self._walk(folder / entry.name, seen, depth + 1)
            elif suffix in VIDEO_ENDINGS or suffix in AUDIO_ENDINGS:
                index = self.videos if suffix in VIDEO_ENDINGS else self.sounds
                index[entry.name[: -len(suffix)].lower()].append(folder / entry.name)
            else:
                self.files[entry.name.lower()].append(folder / entry.name)

    # ------------------------------------------------------------ finding

    @property
    def has_media(self) -> bool:
        """Whether there is anything to look at or to hear."""
        return bool(self.videos or self.sounds or self.pictures)

    def narrow(self, name: str) -> None:
        """Look only into the folders called `name` from here on, if there are any."""
        for index in (self.files, self.videos, self.sounds, self.pictures):
            kept = {
                key: [path for path in paths if _within(path, self.root, (name,))]
                for key, paths in index.items()
            }
            if any(kept.values()) and self.root.name != name:
                index.clear()
                index.update({key: paths for key, paths in kept.items() if paths})
        self._places.clear()

    def file(self, *names: str) -> Path | None:
        """The first of `names` that exists; a name may be the end of a path, such as "metadata/label.csv"."""
        for name in names:
            *parents, last = name.lower().split("/")
            found = [path for path in self.files.get(last, ()) if _below(path.parent, parents)]
            if len(found) > 1:
                self.assume(f"{name} is there {len(found)} times; {self.short(found[0])} was read")
            if found:
                return found[0]
        return None

    def need(self, *names: str) -> Path:
        """As `file`, but its absence is an error."""
        found = self.file(*names)
        if found is None:
            raise CorpusError(f"{self.root}: expected {' or '.join(names)} somewhere below; {self.holds()}")
        return found

    def video(self, name: str, *inside: str) -> Path | None:
        """A video by its name without suffix, or by the end of its path; `inside`: folders it may lie in."""
        return self._one(self.videos, name, inside)

    def sound(self, name: str, *inside: str) -> Path | None:
        """The same for a sound file."""
        return self._one(self.sounds, name, inside)

    def frames(self, name: str, *inside: str) -> Path | None:
        """The same for a folder of pictures."""
        return self._one(self.pictures, name, inside)

    def media(
        self, *names: str, inside: tuple[str, ...] = (), sound_inside: tuple[str, ...] = (), text: str = ""
    ) -> dict[str, Path]:
        """The files of one clip: `video` or `frames_dir`, and `audio`.

        Args:
            *names: names that the clip may have, without an ending.
            inside: the video must lie in one of these folders, if any is named.
            sound_inside: the audio must lie in one of these folders, if any is named.
            text: what is said. Where the whole corpus has no media, a text is still worth a line.

        Returns:
            Key of a manifest line -> path; empty where only the text is there. `MISSING` -> what is not there, where
            the row may be of a split that is not asked for.

        Raises:
            RowError: if there is no such clip.
        """
        found: dict[str, Path] = {}
        for name in names:
            if "video" not in found and (path := self.video(name, *inside)):
                found["video"] = path
            if "audio" not in found and (path := self.sound(name, *(sound_inside or inside))):
                found["audio"] = path
        if "video" not in found:
            folders = [path for name in names if (path := self.frames(name, *inside))]
            found |= dict.fromkeys(["frames_dir"], folders[0]) if folders else {}
        if not found and (self.has_media or not text):
            wrong = f"there is no clip {names[0]!r}" + (f" in {' or '.join(inside)}" if inside else "")
            if self._waits:
                return {MISSING: Path(wrong)}
            raise RowError(wrong)
        if not found:
            self.assume("there is neither video nor sound in the folder: the lines hold words alone")
        return found

    def _one(self, index: dict[str, list[Path]], name: str, inside: tuple[str, ...]) -> Path | None:
        *parents, last = name.lower().split("/")
        paths = self._placed(index).get(f"{parents[-1]}/{last}", []) if parents else index.get(last, [])
        if len(paths) > 1 or parents or inside:
            paths = [
                path
                for path in paths
                if _below(path.parent, parents) and (not inside or _within(path, self.root, inside))
            ]
        if len(paths) > 1:
            kept = {path.suffix for path in paths}
            if len(kept) == 1:
                self.assume(
                    f"some names stand for several files ({self.short(paths[0])}, {self.short(paths[1])}); "
                    "the first was taken"
                )
        return paths[0] if paths else None

    def _placed(self, index: dict[str, list[Path]]) -> dict[str, list[Path]]:
        """The index by parent and name, since numbers repeat from folder to folder by the thousand."""
        if id(index) not in self._places:
            places: dict[str, list[Path]] = defaultdict(list)
            for name, paths in index.items():
                for path in paths:
                    places[f"{path.parent.name.lower()}/{name}"].append(path)
            self._places[id(index)] = places
        return self._places[id(index)]

    # ------------------------------------------------------------ reading and reporting

    def rows(self, path: Path, columns: Iterable[str] = (), **options: Any) -> Iterator[Row]:
        """The rows of a table (`tables.rows`); what had to be assumed about it is noted."""
        return rows(path, columns, assume=self.assume, **{"fallback": self.encoding, **options})

    def reads(self, split: str | None) -> bool:
        """Whether the rows of a split are asked for; those whose split is not known are."""
        return not self.splits or split is None or split in self.splits

    def each(
        self,
        rows: Iterable[Row],
        make: Callable[[Row], dict[str, Any] | None],
        split: str | Callable[[Row], str | None] | None = None,
    ) -> Iterator[Line]:
        """Lines out of rows; a row that cannot be used is reported.

        Args:
            rows: The rows of a table.
            make: A row -> its line; None means that it is not part of the corpus.
            split: The split of all rows, or a row -> its split. Rows of a split that is not asked for are not looked
                at, as their clips may never have been downloaded.

        Yields:
            The lines.
        """
        for row in rows:
            of = split if isinstance(split, str) or split is None else None if row.fault else split(row)
            if not self.reads(of):
                self.elsewhere += 1
                continue
            if row.fault:
                self.skip(row.where, row.fault)
                continue
            self._waits = bool(self.splits) and of is None
            try:
                values = make(row)
            except RowError as error:
                self.skip(row.where, str(error))
                continue
            finally:
                self._waits = False
            missing = None if values is None else values.pop(MISSING, None)
            if values is not None and missing is not None:
                if self.reads(values.get("split", "none")):
                    self.skip(row.where, str(missing))
                else:
                    self.elsewhere += 1
            elif values is not None:
                yield Line(row.where, values)

    def skip(self, where: str, what: str) -> None:
        """Something that was left out, and why."""
        self.skipped.append(Problem(where, what))

    def fault(self, clip: str, what: str) -> dict[str, str]:
        """A clip that is known to be broken stays in the manifest, marked. -> its `extra`."""
        self.faults.append(Problem(clip, what))
        return {"known_fault": what}

    def assume(self, what: str) -> None:
        """Something the corpus does not say and the reader took for granted."""
        self.assumptions[what] = self.assumptions.get(what, 0) + 1

    def ask(self, questions: Iterable[CodedWarning]) -> None:
        """What looks like a slip, and only its author can tell."""
        self.questions += questions

    def short(self, path: Path) -> str:
        """A path as seen from the corpus."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def holds(self) -> str:
        """What is there instead, for an error."""
        there = (path for path in self.root.iterdir() if not path.name.startswith("."))
        names = sorted(path.name + "/" * path.is_dir() for path in there)[:8]
        return f"the folder holds {', '.join(names)}" if names else "the folder is empty"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def _below(folder: Path, parents: list[str]) -> bool:
    """Whether `folder` ends in `parents` (lower-case)."""
    return not parents or [part.lower() for part in folder.parts[-len(parents) :]] == parents


def _within(path: Path, root: Path, inside: tuple[str, ...]) -> bool:
    parts = {part.lower() for part in path.relative_to(root).parts[:-1]}
    return any(name.lower() in parts for name in inside)

"""The benchmarks that can be reproduced, as `benchmarks.yaml` has them, and where their corpora lie on a disk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from nanoemox.files.errors import ArgumentError

_FILE = resources.files("nanoemox") / "evaluation" / "benchmarks.yaml"
# Folders that a corpus is unpacked into whose names are none of its own, and what distributors add to others.
_FOLDERS = {"ch_sims_v2": "chsimsv2s", "mintrec2": "mintrec20"}
_SUFFIXES = re.compile(r"(datasetprocess|dataset|process|plus|fullrelease|release|raw)+$")


@dataclass(frozen=True)
class BenchmarkCell:
    """One figure of a benchmark: of which corpus and task, in our scoring and in the official one.

    `clips`: how many clips the published figures are of, where that is known.
    """

    name: str
    corpus: str
    task: str
    figure: str
    official: str | None = None
    clips: int | None = None


@dataclass(frozen=True)
class Published:
    """What a paper reports, in percent, in the order of the cells."""

    model: str
    source: str
    values: list[float | None]


@dataclass(frozen=True)
class Benchmark:
    """One entry of benchmarks.yaml: what is asked of which corpora. `mean`: whether the mean of its cells counts."""

    name: str
    title: str
    about: str
    asks: list[str]
    mean: bool
    cells: list[BenchmarkCell]
    published: list[Published]

    @property
    def corpora(self) -> list[str]:
        """The corpora, each once."""
        return list(dict.fromkeys(cell.corpus for cell in self.cells))


def benchmarks() -> dict[str, Benchmark]:
    """Every benchmark, by name."""
    return {
        name: Benchmark(
            name=name,
            cells=[BenchmarkCell(**cell) for cell in entry.pop("cells")],
            published=[Published(**paper) for paper in entry.pop("published")],
            **entry,
        )
        for name, entry in yaml.safe_load(_FILE.read_text("utf-8")).items()
    }


def find_corpora(
    names: Sequence[str], root: str | Path | None, given: Mapping[str, str | Path] | None = None
) -> tuple[dict[str, Path], dict[str, str]]:
    """The folder of each corpus: the one that was named, else a folder of the corpus' name in `root`.

    Of a single corpus, `root` itself may be the folder.

    Args:
        names: The corpora.
        root: The folder that holds one folder for each corpus; upper case, `-`, `_` and endings such as `-process`
            or `.Raw` do not matter.
        given: Corpus -> its folder, for other names.

    Returns:
        Corpus -> its folder, and corpus -> why there is none.

    Raises:
        ArgumentError: For a folder that does not exist, a corpus that is not asked for, or two folders of one name.
    """
    given = dict(given or {})
    if unknown := [name for name in given if name not in names]:
        raise ArgumentError(
            f"{', '.join(unknown)}: expected corpora of this benchmark ({', '.join(names)}); leave the others out"
        )
    for folder in [*given.values(), *([root] if root is not None else [])]:
        if not Path(folder).is_dir():
            raise ArgumentError(f"{folder}: no such folder (expected unpacked corpora); check the path")
    inside: dict[str, list[Path]] = {}
    for folder in sorted(Path(root).iterdir()) if root is not None else ():
        if folder.is_dir():
            inside.setdefault(_bare(folder.name), []).append(folder)
    found, missing = {name: Path(folder) for name, folder in given.items()}, {}
    for name in names:
        if name in found:
            continue
        bare = _bare(name)
        spellings = (bare, bare.removeprefix("cmu").removeprefix("ch"), _FOLDERS.get(name, bare))
        places = next((inside[spelling] for spelling in spellings if spelling in inside), [])
        if len(places) > 1:
            listed = ", ".join(place.name for place in places)
            raise ArgumentError(
                f"{root}: expected one folder of {name}, found {listed}; choose with --corpus {name}=FOLDER"
            )
        if places:
            found[name] = places[0]
        elif root is not None and len(names) == 1:
            found[name] = Path(root)
        elif root is not None:
            missing[name] = f"no folder of that name in {root}; --corpus NAME=FOLDER names another"
        else:
            missing[name] = "no folder was named"
    return found, missing


def _bare(name: str) -> str:
    """A folder's name as corpora are compared by it."""
    return _SUFFIXES.sub("", re.sub(r"[^a-z0-9]", "", name.lower()))

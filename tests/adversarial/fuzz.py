"""Random and damaged files for every reader, under a watchdog for time and memory.

    python -m tests.adversarial.fuzz [--minutes 10] [--only media npz json recipes folders] [--seed N] [--keep FOLDER]

Each reader works in a process of its own. What counts as a failure: the process dies, one file takes longer than 30 s
or 1 GB more memory, or anything but the library's own error comes out. The first failures are named, and with
`--keep` their files are copied. Exit status 1 if there were any.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nanoemox.files.errors import NanoEmoXError
from tests.adversarial import mutations

TIME_S = 30.0  # for one file
MEMORY = 1 << 30  # bytes more than before
SOURCE = Path(__file__).parents[2] / "src" / "nanoemox"
Case = tuple[str, Path, Callable[[Path], object]]  # a name, a file, and what reads it


def damaged(data: bytes, dice: random.Random) -> bytes:
    """The bytes after one to four random kinds of damage."""
    for _ in range(dice.randint(1, 4)):
        if len(data) < 100:
            return data
        data = mutations.KINDS[dice.choice(list(mutations.KINDS))](bytearray(data), dice)
    return data


def drawn(strategy: Any, dice: random.Random) -> Any:
    """One example of a strategy of hypothesis; `dice` decides which."""
    from hypothesis import HealthCheck, Phase, given, seed, settings

    found: list[Any] = []

    @seed(dice.randrange(1 << 60))
    @settings(
        max_examples=5,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return found[-1]


def values() -> Any:
    """Values as JSON and YAML hold them, with keys that our files have."""
    from hypothesis import strategies as st

    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    keys = (
        st.sampled_from(["id", "video", "audio", "text", "emotion", "labels", "kind", "phases", "steps"])
        | st.text()
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner, max_size=6), max_leaves=30
    )


# ---------------------------------------------------------------- what is read, and by what


def media(folder: Path, dice: random.Random) -> Iterator[Case]:
    from nanoemox.media.load import load_clip

    whole = {}
    while True:
        name = dice.choice(list(mutations.SEEDS))
        if name not in whole:
            whole[name] = mutations.make_seed(folder, name).read_bytes()
        path = folder / f"damaged{Path(name).suffix}"
        path.write_bytes(damaged(whole[name], dice))
        start_s = dice.choice([None, None, 0.4])
        yield name, path, lambda path, start_s=start_s: load_clip(path, start_s=start_s)


def npz(folder: Path, dice: random.Random) -> Iterator[Case]:
    from hypothesis import strategies as st

    from nanoemox.files.npz import read_npz

    path = folder / "a.npz"
    while True:
        if dice.random() < 0.5:
            packed = io.BytesIO()
            objects = np.array([{"a": 1}, "b", None], dtype=object)
            save: Any = np.savez_compressed if dice.random() < 0.5 else np.savez
            save(packed, x=np.arange(60.0).reshape(6, 10), y=np.array(["a", "bc"]), z=objects)
            path.write_bytes(damaged(packed.getvalue(), dice))
        else:
            with zipfile.ZipFile(path, "w") as archive:
                head = b"\x93NUMPY\1\0v\0" + drawn(st.text(max_size=118), dice).encode()
                archive.writestr("x.npy", head + drawn(st.binary(max_size=300), dice))
        yield "npz", path, lambda path: read_npz(path, "arrays")


def json_files(folder: Path, dice: random.Random) -> Iterator[Case]:
    from nanoemox.data.manifest import read_manifest, read_predictions
    from nanoemox.scoring.prediction_files import read_rows

    lines = [{"id": f"clip{i}", "video": f"{i}.mp4", "task": "emotion", "answer": "joy"} for i in range(5)]
    readers = [read_manifest, read_predictions, read_rows]
    while True:
        path = folder / dice.choice(["a.jsonl", "a.json"])
        if dice.random() < 0.5:
            path.write_bytes(damaged("\n".join(map(json.dumps, lines)).encode(), dice))
        else:
            path.write_text("\n".join(json.dumps(drawn(values(), dice)) for _ in range(3)))
        reader: Callable[[Path], object] = dice.choice(readers)
        yield reader.__name__, path, reader


def recipes(folder: Path, dice: random.Random) -> Iterator[Case]:
    import yaml

    from nanoemox.training.recipe import load_recipe

    shipped = [path.read_bytes() for path in sorted((SOURCE / "recipes").glob("*.yaml"))]
    path = folder / "a.yaml"
    while True:
        if dice.random() < 0.6:
            path.write_bytes(damaged(dice.choice(shipped), dice))
        else:
            data = yaml.safe_load(dice.choice(shipped))
            data[dice.choice(list(data))] = drawn(values(), dice)
            path.write_text(yaml.safe_dump(data))
        yield "recipe", path, load_recipe


def folders(folder: Path, dice: random.Random) -> Iterator[Case]:
    from nanoemox.inference.analyzer import EmotionAnalyzer

    whole, model = SOURCE / "weights" / "pico", folder / "model"
    names = [path.name for path in whole.iterdir() if path.is_file() and path.suffix != ".py"]
    while True:
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(whole, model, ignore=shutil.ignore_patterns("*.py"))
        name = dice.choice(names)
        (model / name).write_bytes(damaged((model / name).read_bytes(), dice))
        yield name, model, lambda path: EmotionAnalyzer.from_pretrained(path)


KINDS = {"media": media, "npz": npz, "json": json_files, "recipes": recipes, "folders": folders}


# ---------------------------------------------------------------- one reader, in a process of its own


def work(kind: str, seed: int) -> None:
    """Read file after file; before and after each one a line goes to standard output."""
    with tempfile.TemporaryDirectory() as name:
        cases = KINDS[kind](Path(name), random.Random(seed))
        for label, path, reader in cases:
            print(json.dumps({"begin": label, "path": str(path)}), flush=True)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            word, said = "read", ""
            try:
                reader(path)
            except NanoEmoXError as error:
                word, said = "refused", str(error)
                if "\n" in said:
                    word = "not one line"
            except Exception:
                word, said = "traceback", traceback.format_exc()[-600:]
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            if grown > MEMORY:
                word, said = "memory", f"{grown >> 20} MB"
            print(json.dumps({"end": word, "said": said}), flush=True)


def watch(kind: str, seed: int, until: float, keep: Path | None) -> tuple[Counter[str], list[str]]:
    """Run one worker until the time is over, it dies, or a file takes too long."""
    counts, failures = Counter[str](), list[str]()
    command = [sys.executable, "-m", "tests.adversarial.fuzz", "--worker", kind, "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        assert worker.stdout is not None
        selector = selectors.DefaultSelector()
        selector.register(worker.stdout, selectors.EVENT_READ)
        label, path, began = "start", "", time.monotonic()
        while time.monotonic() < until:
            word = said = ""
            if not selector.select(timeout=1.0):
                if time.monotonic() - began > TIME_S + (60 if label == "start" else 0):
                    word = "hang"
            elif line := worker.stdout.readline():
                try:
                    told = json.loads(line)
                except ValueError:
                    continue  # an encoder that talks
                if "begin" in told:
                    label, path, began = told["begin"], told["path"], time.monotonic()
                    continue
                word, said = told["end"], told["said"]
            else:
                word = "died"
            if not word:
                continue
            counts[word] += 1
            if word not in ("read", "refused"):
                failures.append(f"{kind} {label} {word}: {said}")
                if keep is not None and Path(path).exists():
                    place = keep / f"{kind}_{seed}_{counts.total()}_{Path(path).name}"
                    (shutil.copytree if Path(path).is_dir() else shutil.copy)(path, place)
            if word in ("hang", "died"):
                break
        worker.kill()
    return counts, failures


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--keep", type=Path, help="a folder for the files that failed")
    parser.add_argument("--worker", choices=list(KINDS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.seed)
        return 0
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    share_s = 60 * options.minutes / len(options.only)
    failed = False
    print(f"seed {options.seed}")
    for kind in options.only:
        until, seed, total = time.monotonic() + share_s, options.seed, Counter[str]()
        while time.monotonic() < until:
            counts, failures = watch(kind, seed, until, options.keep)
            total, seed = total + counts, seed + 1
            for failure in failures[:5]:
                print(failure)
        failed |= any(word not in ("read", "refused") for word in total)
        print(f"{kind}: {total.total()} files, {dict(total)}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

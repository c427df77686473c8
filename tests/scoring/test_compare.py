"""Two systems compared: the difference, how likely chance gives it, and the clips."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from nanoemox.cli.main import main
from nanoemox.scoring.compare import FLIPS, compare, paired, sign_flip_p


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    manifest, a, b = (tmp_path / name for name in ("manifest.jsonl", "a.csv", "b.csv"))
    clips = [f"c{i}" for i in range(40)]
    manifest.write_text(
        "".join(
            json.dumps({"id": c, "text": "hm", "labels": {"emotion": {"label": "anger"}}}) + "\n"
            for c in clips
        )
    )
    a.write_text(
        "id,label\n" + "".join(f"{c},{'anger' if i < 20 else 'fear'}\n" for i, c in enumerate(clips))
    )
    b.write_text(
        "id,label\n" + "".join(f"{c},{'anger' if i < 35 else 'fear'}\n" for i, c in enumerate(clips))
    )
    return manifest, a, b


def test_a_clear_difference_is_found(files: tuple[Path, Path, Path]) -> None:
    manifest, a, b = files
    row = compare(a, b, manifest, "emotion").tasks["emotion"]
    assert (row["a"], row["b"], row["b_better"], row["a_better"]) == (0.5, 0.875, 15, 0)
    assert row["p"] < 0.001 and row["low"] > 0
    assert [clip["id"] for clip in row["clips"]] == [f"c{i}" for i in range(20, 35)]


def test_no_difference_has_p_one(files: tuple[Path, Path, Path]) -> None:
    manifest, a, _ = files
    assert compare(a, a, manifest, "emotion").tasks["emotion"]["p"] == 1.0


def test_few_differences_have_an_exact_p() -> None:
    rng = np.random.default_rng(0)
    for number in (1, 2, 5, 9, 13):
        differences = rng.choice([-1.0, -0.5, 2 / 3, 1.0], size=number)
        sums = np.array(list(product((-1, 1), repeat=number))) @ differences
        exact = float((np.abs(sums) >= abs(differences.sum()) - 1e-9).mean())
        padded = np.append(differences, np.zeros(40))  # clips on which both systems are worth the same
        assert sign_flip_p(differences, 1) == sign_flip_p(padded, 2) == pytest.approx(exact, abs=1e-12)


def test_many_differences_have_a_p_within_the_error_of_drawing() -> None:
    for ahead, behind in ((60, 40), (52, 48)):
        n = ahead + behind
        exact = binomtest(ahead, n).pvalue  # of differences of one size, the sign test counts all flips
        drawn = [sign_flip_p(np.repeat([1.0, -1.0], [ahead, behind]), seed) for seed in range(3)]
        error = math.sqrt(exact * (1 - exact) / FLIPS)
        assert all(abs(p - exact) < 4 * error for p in drawn), (exact, drawn)
        assert len(set(drawn)) > 1  # the seed decides what is drawn ...
        assert (
            sign_flip_p(np.repeat([1.0, -1.0], [ahead, behind]), 2) == drawn[2]
        )  # ... and nothing else does
    assert sign_flip_p(np.ones(60)) == pytest.approx(1 / (FLIPS + 1))  # never 0: the observed signs count


def test_chance_gives_small_p_about_as_often_as_it_says() -> None:
    rng, small = np.random.default_rng(0), 0
    clips = [str(i) for i in range(30)]
    for seed in range(50):
        a, b = rng.integers(0, 2, (2, 30)).astype(float)
        small += paired(a.tolist(), b.tolist(), clips, clips, seed)["p"] < 0.1
    assert small <= 11


def test_what_one_system_has_not_answered_is_named(files: tuple[Path, Path, Path]) -> None:
    manifest, a, b = files
    a.write_text("id,label\nc0,anger\nc0,fear\nc1,\nzzz,anger\n")
    b.write_text("id,label\nc0,anger\nc1,anger\nc2,anger\n")
    report = compare(a, b, manifest, "emotion")
    row = report.tasks["emotion"]
    assert (row["n"], row["answered_by_neither"], row["b_better"]) == (3, 37, 2)
    names = {kind: fault["names"] for kind, fault in report.faults["a"].items()}
    assert names["emotion: no prediction (counts as wrong)"] == ["c2"]
    assert names["emotion: duplicate id (the first one counts)"] == ["c0"]
    assert names["emotion: id without a label (not compared)"] == ["zzz"]
    assert names["emotion: empty answer"] == ["c1"]
    assert report.faults["b"] == {}
    b.write_text("id,label\nq,anger\n")
    a.write_text("id,label\nq,anger\n")
    with pytest.raises(ValueError, match="none of their ids"):
        compare(a, b, manifest, "emotion")


def test_command_and_its_faults(files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    manifest, a, b = files
    with pytest.raises(SystemExit) as stop:
        main(["compare", str(a), str(b), "--manifest", str(manifest), "-t", "emotion"])
    assert not stop.value.code and "differs on c20" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["compare", str(a), str(b), "--manifest", str(manifest)])
    assert stop.value.code == 2 and "--task" in capsys.readouterr().err

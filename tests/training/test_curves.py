"""The picture of a training run: every phase, whatever its log holds."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from nanoemox.cli import main as cli
from nanoemox.files.errors import ArgumentError
from nanoemox.training.curves import draw_curves, nice_ticks, read_logs, running_mean, write_curves

SVG = "{http://www.w3.org/2000/svg}"


def write_log(folder: Path, losses: Sequence[float | None], every: int = 20, **more: Any) -> Path:
    """A log as the trainer writes it, with the line that ends a training."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"step": every * i, "loss": loss, **more} for i, loss in enumerate(losses, 1)]
    lines.append({"step": every * len(losses), "train_runtime": 1.0, "train_loss": 0.5})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def paths(svg: str, colour: str = "#1f5f99") -> list[list[tuple[float, float]]]:
    """The points of each line of a colour that is a curve."""
    root = ElementTree.fromstring(svg)
    curves = [p for p in root.iter(f"{SVG}path") if p.get("stroke") == colour and p.get("fill") == "none"]
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([-\d.]+)", p.get("d", ""))]
        for p in curves
    ]


def test_a_falling_loss_is_a_line_that_falls(tmp_path: Path) -> None:
    write_log(tmp_path / "1a", [2.0, 1.0, 0.5], learning_rate=1e-4)
    write_log(tmp_path / "1b", [4.0] * 50)
    svg = write_curves(tmp_path).read_text(encoding="utf-8")
    first, raw, smooth = paths(svg)
    assert [x for x, _ in first] == sorted(x for x, _ in first) and len(first) == 3
    assert [y for _, y in first] == sorted(y for _, y in first)  # down on a picture is more
    (_, top), (_, middle), (_, low) = first
    assert (middle - top) / (low - middle) == pytest.approx(2.0, abs=0.05)  # drawn to scale
    assert len(raw) == len(smooth) == 50
    words = [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert {"1a", "1b", "60 steps, loss 0.5 at the end", "learning rate, up to 1.0e-04"} <= set(words)


def test_gaps_single_points_and_names_are_drawn_as_they_are() -> None:
    lines = [
        {"step": 1.0, "loss": 1.0, "<b>": 2.0},
        {"step": 2.0, "loss": math.nan},
        {"step": 3.0, "loss": -0.5},
    ]
    svg = draw_curves({"<i>": lines, "one": [{"step": 20.0, "loss": 0.0}]})
    root = ElementTree.fromstring(svg)
    gap, dot = (
        p for p in root.iter(f"{SVG}path") if p.get("stroke") == "#1f5f99" and p.get("fill") == "none"
    )
    assert gap.get("d", "").count("M") == 2 and "nan" not in svg
    assert dot.get("stroke-width") == "5"
    assert {"<i>", "<b>"} <= {text.text for text in root.iter(f"{SVG}text")}
    assert not re.search(r"https?://(?!www\.w3\.org)", svg)


def test_a_run_that_goes_on_is_read(tmp_path: Path) -> None:
    old = write_log(tmp_path / "tuned", [9.0]) / "log.jsonl"
    new = write_log(tmp_path / ".tuned.work", [1.0, None, 3.0]) / "log.jsonl"
    with new.open("a") as file:
        file.write('[1]\n{"step": 20, "loss": 1.5}\n{"step": 80, "lo')
    later = old.stat().st_mtime_ns + 10**9
    os.utime(new, ns=(later, later))
    (lines,) = read_logs(tmp_path).values()
    assert [line["step"] for line in lines] == [20, 40, 60]
    assert lines[0]["loss"] == 1.5 and math.isnan(lines[1]["loss"]) and lines[2]["loss"] == 3.0
    assert list(read_logs(tmp_path / "tuned")) == ["tuned"]


def test_the_command_writes_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path / "run" / "1a", [1.0, 0.5])
    with pytest.raises(SystemExit) as ended:
        cli.main(["curves", str(tmp_path / "run")])
    assert ended.value.code == 0 and "curves.svg" in capsys.readouterr().err
    write_curves(tmp_path / "run" / "1a", tmp_path / "a.SVG")
    assert (tmp_path / "a.SVG").read_text().startswith("<svg")


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path) -> None:
    write_log(tmp_path / "run" / "1a", [])
    for run in (tmp_path / "run", tmp_path / "nowhere", tmp_path):
        with pytest.raises(ArgumentError, match="expected the folder of a training run"):
            write_curves(run)
    with pytest.raises(ArgumentError, match=r"ends in \.svg"):
        write_curves(tmp_path / "run", "a.png")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 3.7, [0, 1, 2, 3, 4]),
        (0.0, 0.0, None),
        (-0.5, 0.5, [-0.5, 0, 0.5]),
        (0.0, 6000, [0, 2000, 4000, 6000]),
        (0.0, 1e-15, None),
        (0.0, 1e12, None),
    ],
)
def test_ticks_are_round_and_hold_the_values(low: float, high: float, expected: list[float] | None) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 8
    if expected is not None:
        assert ticks == pytest.approx(expected)


def test_a_running_mean_is_the_mean_of_what_is_near() -> None:
    assert running_mean([1.0, 2.0, 6.0, math.nan], 3) == [1.5, 3.0, 4.0, 6.0]
    assert math.isnan(running_mean([math.nan], 3)[0])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.5, 1.0]),
        (2.0, 2.0, [2.0, 2.5]),  # all alike: an axis as long as the value, of which one step is drawn
        (0.5, 0.5, [0.5, 1.0]),
        (0.0, 0.0, [0.0, 0.5]),
        (-40.0, -40.0, [-40.0, -30.0]),
        (300.0, 300.0, [300.0, 400.0]),
    ],
)
def test_the_axis_of_values_that_are_all_alike(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == ticks

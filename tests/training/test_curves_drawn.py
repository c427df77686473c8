"""The picture of a training run, point by point: axes, curves, the running mean and the key."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from nanoemox.training import curves
from nanoemox.training.curves import draw_curves, has_losses, nice_ticks, running_mean

SVG = "{http://www.w3.org/2000/svg}"
LEFT, RIGHT, TOP, BOTTOM, HEIGHT, WIDTH = 58, 184, 34, 34, 250, 760  # as the module says
PLOT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
BLUE, GREY = "#1f5f99", "#999"


def _lines(losses: Sequence[float], every: int = 10, **more: Sequence[float]) -> list[dict[str, float]]:
    return [
        {"step": float(every * i), "loss": loss, **{name: values[i - 1] for name, values in more.items()}}
        for i, loss in enumerate(losses, 1)
    ]


def _curves(svg: str, colour: str) -> list[Any]:
    root = ElementTree.fromstring(svg)
    return [p for p in root.iter(f"{SVG}path") if p.get("stroke") == colour and p.get("fill") == "none"]


def _points(path: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path.get("d"))]


def _texts(svg: str) -> list[Any]:
    return list(ElementTree.fromstring(svg).iter(f"{SVG}text"))


def test_axes_stand_where_the_formula_says() -> None:
    """The second of two panels. Losses to 4, steps to 40: ticks 0 1 2 3 4 and 0 10 20 30 40."""
    svg = draw_curves({"a": _lines([4.0, 2.0, 1.0, 3.0]), "b": _lines([4.0, 2.0, 1.0, 3.0])})
    root = ElementTree.fromstring(svg)
    assert (root.get("width"), root.get("height")) == ("760", "500") and root.get("viewBox") == "0 0 760 500"
    assert svg.endswith("</svg>\n")
    right, bottom, top = WIDTH - RIGHT, 250 + HEIGHT - BOTTOM, 250 + TOP
    rows = [bottom - PLOT[1] * value / 4 for value in range(5)]
    assert rows[-1] == top
    lines = [p.get("d") for p in root.iter(f"{SVG}path") if p.get("stroke") == "#e2e2e2"]
    assert lines[5:] == [f"M58 {row:.1f}H576" for row in rows]
    texts = [(t.text, float(t.get("x")), float(t.get("y")), t.get("text-anchor")) for t in _texts(svg)]
    below = texts[len(texts) // 2 :]
    assert below[0] == ("b", LEFT, 270, None)
    assert below[1] == ("40 steps, loss 3 at the end", right, 270, "end")
    assert below[2:7] == [
        (str(value), LEFT - 8, pytest.approx(row + 4, abs=0.06), "end") for value, row in enumerate(rows)
    ]
    assert below[7:12] == [
        (str(10 * i), pytest.approx(LEFT + PLOT[0] * i / 4, abs=0.06), bottom + 18, "middle")
        for i in range(5)
    ]


def test_curves_go_through_their_points() -> None:
    lines = _lines(
        [4.0, -1.0, 1.0], learning_rate=[0.0, 2e-4, 1e-4], text=[1.0, 2.0, 3.0], voice=[3.0, 2.0, 1.0]
    )
    svg = draw_curves({"a": lines})
    ticks, steps = nice_ticks(-1.0, 4.0), nice_ticks(0.0, 30.0)
    assert ticks[0] == -2 and ticks[-1] == 4 and steps[-1] == 30

    def at(step: float, value: float) -> tuple[Any, Any]:
        x = LEFT + PLOT[0] * step / 30
        y = HEIGHT - BOTTOM - PLOT[1] * (value + 2) / 6
        return pytest.approx(x, abs=0.06), pytest.approx(y, abs=0.06)

    (loss,) = _curves(svg, BLUE)
    assert _points(loss) == [at(10, 4), at(20, -1), at(30, 1)] and loss.get("opacity") is None
    for colour, values in (("#b3541e", (1, 2, 3)), ("#3f7d3a", (3, 2, 1))):  # text and voice, by the alphabet
        (part,) = _curves(svg, colour)
        assert _points(part) == [at(10 * i, value) for i, value in enumerate(values, 1)]
    (rate,) = _curves(svg, GREY)
    heights = [0.0, 0.95, 0.475]  # as shares of the plot: the highest rate reaches 95 % of it
    assert [y for _, y in _points(rate)] == pytest.approx([216 - PLOT[1] * h for h in heights], abs=0.06)
    assert [x for x, _ in _points(rate)] == pytest.approx(
        [LEFT + PLOT[0] * i / 3 for i in (1, 2, 3)], abs=0.06
    )
    assert rate.get("stroke-dasharray") == "4 3"
    # The key: the loss first, 18 units apart.
    keys = [t for t in _texts(svg) if t.get("font-size") == "10"]
    assert [t.text for t in keys] == ["loss", "learning rate, up to 2.0e-04", "text", "voice"]
    assert [float(t.get("y")) for t in keys] == [TOP + 8 + 18 * i + 4 for i in range(4)]
    assert {t.get("x") for t in keys} == {str(WIDTH - RIGHT + 32)}
    root = ElementTree.fromstring(svg)
    marks = [p for p in root.iter(f"{SVG}path") if p.get("d", "").endswith("h14")]
    assert [(p.get("d"), p.get("stroke")) for p in marks] == [
        (f"M588 {TOP + 8 + 18 * i}h14", colour) for i, colour in enumerate((BLUE, GREY, "#b3541e", "#3f7d3a"))
    ]


@pytest.mark.parametrize(("number", "window"), [(39, 0), (40, 3), (100, 5)])
def test_a_running_mean_is_drawn_over_forty_points_or_more(number: int, window: int) -> None:
    losses = [1.0 + (i * 7 % 5) for i in range(number)]
    svg = draw_curves({"a": _lines(losses, every=1)})
    found = _curves(svg, BLUE)
    assert len(found) == (2 if window else 1)
    if window:
        faint, smooth = found
        assert faint.get("opacity") == "0.35" and smooth.get("stroke-width") == "2"
        ticks = nice_ticks(0.0, 5.0)
        half = window // 2
        means = []
        for i in range(number):
            near = losses[max(0, i - half) : i + half + 1]
            means.append(sum(near) / len(near))
        expected = [216 - PLOT[1] * mean / ticks[-1] for mean in means]
        assert [y for _, y in _points(smooth)] == pytest.approx(expected, abs=0.06)
        assert [x for x, _ in _points(smooth)] == [x for x, _ in _points(faint)]
    label = next(t.text for t in _texts(svg) if t.get("font-size") == "10")
    assert label == ("loss, and its running mean" if window else "loss")


def test_colours_of_the_parts_begin_again_after_the_fifth() -> None:
    lines = _lines([1.0, 2.0], **{f"part{i}": [1.0, 1.0] for i in range(6)})
    svg = draw_curves({"a": lines})
    assert [len(_curves(svg, colour)) for colour in curves.COLOURS] == [1, 2, 1, 1, 1, 1]


def test_what_is_no_curve_is_left_out() -> None:
    numbers = {
        "epoch": [1.0, 2.0],
        "grad_norm": [50.0, 60.0],
        "total_flos": [1e9, 1e9],
        "learning_rate": [0.0, 0.0],
    }
    svg = draw_curves({"a": _lines([1.0, 2.0], **numbers)})
    assert [t.text for t in _texts(svg) if t.get("font-size") == "10"] == ["loss"]
    assert not _curves(svg, GREY) and len(_curves(svg, BLUE)) == 1


def test_a_broken_line_and_a_dot() -> None:
    svg = draw_curves({"a": _lines([1.0, math.nan, 3.0, 2.0, math.nan])})
    (loss,) = _curves(svg, BLUE)
    assert re.fullmatch(r"M[\d.]+ [\d.]+h0M[\d.]+ [\d.]+h0L[\d.]+ [\d.]+", loss.get("d"))
    assert loss.get("stroke-width") is None
    assert any(t.text == "50 steps, loss 2 at the end" for t in _texts(svg))
    none = draw_curves({"a": _lines([math.nan, math.nan])})
    assert any(t.text == "20 steps" for t in _texts(none))
    (dot,) = _curves(draw_curves({"a": _lines([1.0])}), BLUE)
    assert dot.get("stroke-width") == "5"


@pytest.mark.parametrize("about", [2, 4, 7])
def test_ticks_are_the_smallest_round_step_that_takes_few_enough(about: int) -> None:
    for low, high in (
        (0.0, 1.0),
        (0.0, 4.0),
        (0.0, 7.3),
        (-3.0, 11.0),
        (0.02, 0.9),
        (5.0, 1234.0),
        (0.0, 8.0),
    ):
        span = high - low
        rounds = [10.0**power * factor for power in range(-4, 6) for factor in (1, 2, 5)]
        step = min(r for r in rounds if r * about >= span * 0.999)
        first, last = math.floor(low / step), math.ceil(high / step)
        ticks = nice_ticks(low, high, about)
        assert ticks == pytest.approx([step * i for i in range(first, last + 1)])


@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_running_means_by_the_formula(window: int) -> None:
    values = [3.0, 1.0, math.inf, 4.0, 1.0, 5.0]
    expected = []
    for i in range(6):
        near = [values[j] for j in range(6) if abs(i - j) <= window // 2 and math.isfinite(values[j])]
        expected.append(sum(near) / len(near) if near else math.nan)
    assert running_mean(values, window) == pytest.approx(expected, nan_ok=True)


def test_whether_there_is_anything_to_draw(tmp_path: Path) -> None:
    assert not has_losses(tmp_path)
    (tmp_path / "1a").mkdir()
    (tmp_path / "1a" / "log.jsonl").write_text('{"step": 1, "train_loss": 2}\n')
    assert not has_losses(tmp_path)
    (tmp_path / "1a" / "log.jsonl").write_text('{"step": 1, "loss": 2}\n')
    assert has_losses(tmp_path)

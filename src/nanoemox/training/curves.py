"""The curves of a training run as one picture: the loss and the learning rate of every phase, from its log.

The picture is an SVG file, which every browser shows. It is drawn here, since a library that draws is larger than all
that this package needs otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from nanoemox.files.atomic import write_texts
from nanoemox.files.errors import ArgumentError

LOG = "log.jsonl"  # as the trainer writes it
_RUNNING = ".work"  # ends the name of the hidden folder of a phase that is being trained
WIDTH, PANEL_HEIGHT = 760, 250  # user units
LEFT, RIGHT, TOP, BOTTOM = 58, 184, 34, 34  # around the plot of a panel
SMOOTH_FROM = 40  # points from which a running mean is drawn over the loss
COLOURS = ("#1f5f99", "#b3541e", "#3f7d3a", "#7a4d9b", "#8a6d1f", "#a33b55")
_NOT_CURVES = {"step", "loss", "epoch", "learning_rate", "grad_norm", "total_flos"}

Line = Mapping[str, float]
Point = tuple[float, float]


def write_curves(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the curves of a run into a file.

    Args:
        run: The folder of a run (a recipe's `output`), or of one of its phases; the run may still be going on.
        out: The file to write; None, `curves.svg` in that folder.

    Returns:
        The file that was written.

    Raises:
        ArgumentError: If the folder has no log with a loss, or the file's name does not end in .svg.
        OutputError: If the file cannot be written.
    """
    place = Path(out) if out is not None else Path(run) / "curves.svg"
    if place.suffix.lower() != ".svg":
        raise ArgumentError(f"{place}: expected a name that ends in .svg; rename it")
    logs = {name: lines for name, lines in read_logs(run).items() if lines}
    if not logs:
        raise ArgumentError(
            f"{run}: expected the folder of a training run, with {LOG} in it or in the folders of its phases, "
            "found none that has a loss; name the recipe's `output`, or train for more steps"
        )
    write_texts({place: draw_curves(logs)})
    return place


def read_logs(run: str | Path) -> dict[str, list[Line]]:
    """Phase -> the lines of its log that have a loss; of two logs of a phase, the one that was written last."""
    folder = Path(run)
    if (folder / LOG).is_file():
        return {folder.resolve().name: _lines(folder / LOG)}
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*/{LOG}"), key=lambda path: path.stat().st_mtime_ns):
        found[path.parent.name.removeprefix(".").removesuffix(_RUNNING)] = path
    return {name: _lines(found[name]) for name in sorted(found)}


def _lines(path: Path) -> list[Line]:
    lines: dict[float, Line] = {}  # by step: a run that went on from a checkpoint may repeat some
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # the last line of a run that is going on may be half written
        if not isinstance(line, dict):
            continue
        numbers = {key: float(value) for key, value in line.items() if isinstance(value, int | float)}
        if "loss" in line and "step" in numbers:
            lines[numbers["step"]] = {"loss": math.nan, **numbers}  # a loss that is no number leaves a gap
    return [lines[step] for step in sorted(lines)]


# ---------------------------------------------------------------------- drawing
def draw_curves(logs: Mapping[str, Sequence[Line]]) -> str:
    """The picture as the text of an SVG file.

    Args:
        logs: Phase -> the lines of its log, each with at least `step` and `loss`.

    Returns:
        The SVG.
    """
    height = PANEL_HEIGHT * len(logs)
    panels = [_panel(name, lines, PANEL_HEIGHT * i) for i, (name, lines) in enumerate(logs.items())]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#333">',
            "<title>Loss and learning rate by step</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            *panels,
            "</svg>",
            "",
        ]
    )


def _panel(name: str, lines: Sequence[Line], y0: float) -> str:
    """One phase: axes, the loss with its parts, and the learning rate as a share of its highest value."""
    # The scales.
    parts = sorted({key for line in lines for key in line} - _NOT_CURVES)
    values = [
        line[key] for line in lines for key in ("loss", *parts) if math.isfinite(line.get(key, math.nan))
    ]
    ticks = nice_ticks(min(0.0, *values, 0.0), max(values, default=1.0))
    steps = nice_ticks(0.0, max(line["step"] for line in lines))
    right, bottom = WIDTH - RIGHT, y0 + PANEL_HEIGHT - BOTTOM

    def x(step: float) -> float:
        return LEFT + (right - LEFT) * step / steps[-1]

    def y(value: float) -> float:
        return bottom - (bottom - y0 - TOP) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    # The title and the axes.
    last = next((line["loss"] for line in reversed(lines) if math.isfinite(line["loss"])), None)
    ends = "" if last is None else f", loss {last:.3g} at the end"
    shapes = [
        f'<text x="{LEFT}" y="{y0 + 20:g}" font-size="14" font-weight="bold">{escape(name)}</text>',
        f'<text x="{right}" y="{y0 + 20:g}" text-anchor="end">{lines[-1]["step"]:,.0f} steps{ends}</text>',
    ]
    for tick in ticks:
        shapes.append(f'<path d="M{LEFT} {y(tick):.1f}H{right}" stroke="#e2e2e2"/>')
        shapes.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in steps:
        shapes.append(f'<text x="{x(tick):.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{tick:,g}</text>')

    # The learning rate behind, the parts of the loss, and the loss itself on top.
    entries: list[tuple[str, str]] = []
    rates = [(line["step"], line["learning_rate"]) for line in lines if "learning_rate" in line]
    highest = max((rate for _, rate in rates), default=0.0)
    if highest > 0:
        curve = [(x(step), bottom - (bottom - y0 - TOP) * 0.95 * rate / highest) for step, rate in rates]
        shapes.append(_line(curve, "#999", 'stroke-dasharray="4 3"'))
        entries.append(("#999", f"learning rate, up to {highest:.1e}"))
    for i, key in enumerate(parts):
        colour = COLOURS[1:][i % (len(COLOURS) - 1)]
        shapes.append(_line([(x(line["step"]), y(line.get(key, math.nan))) for line in lines], colour))
        entries.append((colour, key))
    losses = [(line["step"], line["loss"]) for line in lines]
    faint = len(losses) >= SMOOTH_FROM
    shapes.append(_line([(x(a), y(b)) for a, b in losses], COLOURS[0], 'opacity="0.35"' if faint else ""))
    if faint:
        smooth = running_mean([b for _, b in losses], max(3, len(losses) // 20))
        curve = [(x(a), y(b)) for (a, _), b in zip(losses, smooth, strict=True)]
        shapes.append(_line(curve, COLOURS[0], 'stroke-width="2"'))
    entries.insert(0, (COLOURS[0], "loss" if not faint else "loss, and its running mean"))

    # The key, at the right.
    for i, (colour, label) in enumerate(entries):
        at = y0 + TOP + 8 + 18 * i
        shapes.append(f'<path d="M{right + 12} {at:g}h14" stroke="{colour}" stroke-width="2"/>')
        shapes.append(f'<text x="{right + 32}" y="{at + 4:g}" font-size="10">{escape(label)}</text>')
    return "\n".join(shapes)


def _line(points: Sequence[Point], colour: str, more: str = "") -> str:
    """A line through points on the picture; it is broken where a value is no number, and one point is a dot."""
    path, pen = [], "M"
    more += ' stroke-width="5"' if len(points) == 1 else ""
    for x, y in points:
        if math.isfinite(y):
            path.append(f"{pen}{x:.1f} {y:.1f}" + ("h0" if pen == "M" else ""))
            pen = "L"
        else:
            pen = "M"
    return f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-linecap="round" {more}/>'


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from at most `low` to at least `high`.

    Args:
        low: The lowest value.
        high: The highest value.
        about: How many steps there should be between them, roughly.

    Returns:
        Two numbers or more, equally far apart.
    """
    span = high - low if high > low else max(abs(high), 1.0)
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * about >= span * 0.999)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [float(f"{step * i:.12g}") for i in range(first, last + 1)]


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of the finite values around each place; NaN where there are none.

    Args:
        values: The values in their order.
        window: How many values one mean takes in.

    Returns:
        As many means.
    """
    means = []
    for i in range(len(values)):
        near = [v for v in values[max(0, i - window // 2) : i + window // 2 + 1] if math.isfinite(v)]
        means.append(sum(near) / len(near) if near else math.nan)
    return means


def has_losses(run: str | Path) -> bool:
    """Whether there is anything to draw."""
    return any(read_logs(run).values())

"""The picture of a study: the difference of each arm with its interval, and the losses over the steps, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from nanoemox.training.curves import COLOURS, nice_ticks, running_mean
from nanoemox.training.study.results import Mean

WIDTH, ROW = 760, 24  # user units
LEFT, RIGHT, TOP, BOTTOM = 150, 30, 52, 40
LOSSES = 300  # height of the lower panel
SMOOTH = 9  # logged losses in a running mean


def draw_study(
    rows: Sequence[tuple[str, Mean]], losses: Mapping[str, Sequence[tuple[float, float]]], title: str
) -> str:
    """Draw the picture.

    Args:
        rows: Arm and how it differs from the reference.
        losses: Arm -> steps and losses.
        title: What stands over the differences.

    Returns:
        The text of an SVG file.
    """
    upper = TOP + ROW * max(1, len(rows)) + BOTTOM
    height = upper + (LOSSES if losses else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT}" y="40" fill="#666">mean over seeds, 95 % interval; a hollow dot has none yet</text>',
        *_differences(rows, upper),
        *(_losses(losses, upper) if losses else []),
        "</svg>",
        "",
    ]
    return "\n".join(parts)


def _differences(rows: Sequence[tuple[str, Mean]], bottom: float) -> list[str]:
    if not rows:
        return [f'<text x="{LEFT}" y="{TOP + 16}">no pair of results yet</text>']
    ends = [
        value for _, mean in rows for value in (mean.value - (mean.half or 0), mean.value + (mean.half or 0))
    ]
    ticks = nice_ticks(max(-1.0, min(0.0, *ends)), min(1.0, max(0.0, *ends)))
    right = WIDTH - RIGHT

    def x(value: float) -> float:
        share = (min(max(value, ticks[0]), ticks[-1]) - ticks[0]) / (ticks[-1] - ticks[0])
        return LEFT + (right - LEFT) * share

    shapes = []
    for tick in ticks:
        strong = "#555" if tick == 0 else "#e2e2e2"
        shapes.append(f'<path d="M{x(tick):.1f} {TOP}V{bottom - BOTTOM}" stroke="{strong}"/>')
        shapes.append(
            f'<text x="{x(tick):.1f}" y="{bottom - BOTTOM + 18}" text-anchor="middle">{tick:+g}</text>'
        )
    for i, (name, mean) in enumerate(rows):
        y = TOP + ROW * (i + 0.5)
        colour = ("#b3541e", "#777", "#1f5f99")[mean.sign + 1]
        shapes.append(f'<text x="{LEFT - 10}" y="{y + 4:g}" text-anchor="end">{escape(name)}</text>')
        if mean.half is not None:
            ends_at = f"M{x(mean.value - mean.half):.1f} {y:g}H{x(mean.value + mean.half):.1f}"
            shapes.append(f'<path d="{ends_at}" stroke="{colour}" stroke-width="2"/>')
        fill = "#fff" if mean.half is None else colour
        place = f'cx="{x(mean.value):.1f}" cy="{y:g}" r="4.5"'
        shapes.append(f'<circle {place} fill="{fill}" stroke="{colour}" stroke-width="2"/>')
    return shapes


def _losses(losses: Mapping[str, Sequence[tuple[float, float]]], top: float) -> list[str]:
    right, bottom = WIDTH - 150, top + LOSSES - BOTTOM
    highest = max(value for curve in losses.values() for _, value in curve)
    ticks = nice_ticks(0.0, highest)
    steps = nice_ticks(0.0, max(step for curve in losses.values() for step, _ in curve))

    def x(step: float) -> float:
        return 60 + (right - 60) * step / steps[-1]

    def y(value: float) -> float:
        return bottom - (bottom - top - 34) * value / ticks[-1]

    title = "Loss over the steps, mean of the seeds"
    shapes = [f'<text x="60" y="{top + 18:g}" font-size="14" font-weight="bold">{title}</text>']
    for tick in ticks:
        shapes.append(f'<path d="M60 {y(tick):.1f}H{right}" stroke="#e2e2e2"/>')
        shapes.append(f'<text x="52" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for step in steps:
        shapes.append(f'<text x="{x(step):.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{step:,g}</text>')
    for i, (name, curve) in enumerate(losses.items()):
        colour, smooth = COLOURS[i % len(COLOURS)], running_mean([value for _, value in curve], SMOOTH)
        points = [(x(step), y(value)) for (step, _), value in zip(curve, smooth, strict=True)]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        shapes.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        at = top + 44 + 18 * i
        shapes.append(f'<path d="M{right + 12} {at:g}h14" stroke="{colour}" stroke-width="2"/>')
        shapes.append(f'<text x="{right + 32}" y="{at + 4:g}">{escape(name)}</text>')
    return shapes

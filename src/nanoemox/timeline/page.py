"""A timeline as a page: the recording beside a chart that can be scrubbed. It asks nothing of the network.

`page.html.jinja` holds the looks and the script. The recording is not embedded: the page names it by a relative path,
and plays it where it lies. Shapes are computed here, in user units of the SVG that the browser stretches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nanoemox import __version__
from nanoemox.checkpoints.provenance import ORIGIN_CODES
from nanoemox.inference.notice import NOTICE
from nanoemox.inference.page import NO_TINT, TINTS, page_template
from nanoemox.media.endings import AUDIO_ENDINGS
from nanoemox.timeline.read import clock
from nanoemox.timeline.rows import Row
from nanoemox.timeline.segments import people_of, spans

if TYPE_CHECKING:
    from nanoemox.timeline.report import TimelineReport

WIDTH, SHARES_HEIGHT, VALENCE_HEIGHT = 1000.0, 100.0, 60.0
COLUMNS = 2000  # of a chart; rows of a long recording are averaged into so many
SEGMENTS_LISTED = 2000


def render_timeline(report: TimelineReport, media: str) -> str:
    """The page of a timeline.

    Args:
        report: The timeline.
        media: The recording's URL, as seen from the page.

    Returns:
        The text of an HTML file.
    """
    labels = list(dict.fromkeys(label for row in report.rows for label in row.probabilities))
    notes = [w.text for w in report.warnings if w.code in ORIGIN_CODES]
    by_sentence = report.settings.get("by") == "sentence"
    return page_template("timeline/page.html.jinja").render(
        version=__version__,
        name=report.file.name,
        media=media,
        audio_only=report.file.suffix.lower() in AUDIO_ENDINGS,
        model=report.model,
        provenance=report.provenance,
        length=clock(report.length_s),
        length_s=report.length_s,
        settings=report.settings,
        stopped=report.stopped,
        notice=NOTICE,
        world_notes=[note[:1].upper() + note[1:] for note in notes],
        warnings=[w.text for w in report.warnings if w.code not in ORIGIN_CODES],
        labels=[{"name": label, "colour": colour_of(label)} for label in labels],
        charts=[_chart(report, labels, person) for person in people_of(report.rows)],
        segments=[_listed(each) for each in report.segments[:SEGMENTS_LISTED]],
        more_segments=max(0, len(report.segments) - SEGMENTS_LISTED),
        sentences=[_sentence(row) for row in report.rows] if by_sentence else [],
        data=_data(report, labels),
        width=WIDTH,
        shares_height=SHARES_HEIGHT,
        valence_height=VALENCE_HEIGHT,
    )


def colour_of(label: str) -> str:
    """The colour of an emotion in charts, for CSS; of any other label a plain one."""
    hue, saturation = TINTS.get(label.casefold(), NO_TINT)
    return f"hsl({hue} {saturation}% 52%)"


def _chart(report: TimelineReport, labels: Sequence[str], person: str | None) -> dict[str, Any]:
    """The shapes of one person's chart."""
    rows = [row for row in report.rows if row.person == person]
    length_s = max(report.length_s, 1e-6)
    columns = _columns(rows, labels)

    # Stacked shares: each label lies on those before it. Where rows lie apart, the areas do, too.
    areas = []
    for i, label in enumerate(labels):
        path = []
        for start_s, end_s, shares, _ in columns:
            low, high = sum(shares[:i]), sum(shares[: i + 1])
            left, right = (WIDTH * at / length_s for at in (start_s, end_s))
            top, bottom = (SHARES_HEIGHT * (1 - share) for share in (high, low))
            path.append(f"M{left:.2f} {top:.1f}H{right:.2f}V{bottom:.1f}H{left:.2f}Z")
        areas.append({"name": label, "colour": colour_of(label), "path": "".join(path)})

    # Valence as steps around the middle.
    line, before_s = [], None
    for start_s, end_s, _, valence in columns:
        left, right = (WIDTH * at / length_s for at in (start_s, end_s))
        y = VALENCE_HEIGHT / 2 * (1 - valence)
        joined = before_s is not None and start_s - before_s < 1e-3
        line.append(f"{'L' if joined else 'M'}{left:.2f} {y:.1f}H{right:.2f}")
        before_s = end_s

    ribbon = [
        {
            "x": f"{WIDTH * each.start_s / length_s:.2f}",
            "width": f"{WIDTH * (each.end_s - each.start_s) / length_s:.2f}",
            "colour": colour_of(each.emotion),
        }
        for each in report.segments
        if each.person == person
    ]
    return {"person": person, "areas": areas, "valence": "".join(line), "ribbon": ribbon}


def _columns(rows: Sequence[Row], labels: Sequence[str]) -> list[tuple[float, float, list[float], float]]:
    """Where each column begins and ends, the shares of the labels, and the valence; means over neighbours."""
    placed = list(zip(rows, spans(rows), strict=True))
    size = -(-len(placed) // COLUMNS) or 1
    columns = []
    for first in range(0, len(placed), size):
        part = placed[first : first + size]
        shares = [sum(row.probabilities.get(label, 0.0) for row, _ in part) / len(part) for label in labels]
        valence = sum(row.valence for row, _ in part) / len(part)
        columns.append((part[0][1][0], part[-1][1][1], shares, valence))
    return columns


def _listed(segment: Any) -> dict[str, Any]:
    return {
        "start_s": segment.start_s,
        "start": clock(segment.start_s, tenths=True),
        "end": clock(segment.end_s, tenths=True),
        "person": segment.person,
        "emotion": segment.emotion,
        "colour": colour_of(segment.emotion),
        "share": f"{segment.probability:.0%}",
        "valence": f"{segment.valence:+.2f}",
    }


def _sentence(row: Row) -> dict[str, Any]:
    return {
        "start_s": row.start_s,
        "start": clock(row.start_s),
        "speaker": row.speaker,
        "text": row.text or "",
        "emotion": row.emotion,
        "colour": colour_of(row.emotion),
    }


def _data(report: TimelineReport, labels: Sequence[str]) -> dict[str, Any]:
    """What the script shows at the moment that is played: for each row its stretch and its numbers."""
    rows = []
    for person in people_of(report.rows):
        mine = [row for row in report.rows if row.person == person]
        for row, (start_s, end_s) in zip(mine, spans(mine), strict=True):
            shares = [round(100 * row.probabilities.get(label, 0.0), 1) for label in labels]
            rows.append([start_s, end_s, shares, round(row.valence, 3), person or ""])
    return {"length": report.length_s, "labels": list(labels), "rows": rows}

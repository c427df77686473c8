"""An analysis as one page to look at: a single HTML file that asks nothing of the network and runs no script.

`page.html.jinja` holds the words and the looks; this file turns an `Analysis` into what the page shows:
frames as data URIs, the waveform and the valence gauge as SVG geometry, probabilities as sorted bars.
Everything that comes from a file name, a text or a model is escaped by the template, never marked safe.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from nanoemox import __version__
from nanoemox.checkpoints.provenance import ORIGIN_CODES
from nanoemox.inference.explained import explained
from nanoemox.inference.notice import NOTICE
from nanoemox.inference.share import shareable, unrecognisable
from nanoemox.media.clip import AUDIO_WINDOW_S, PRESENT
from nanoemox.tasks.base import PagePart
from nanoemox.tasks.reasoning import SOURCES, SOURCES_OF
from nanoemox.tasks.task import TASKS

if TYPE_CHECKING:
    from jinja2 import Template
    from numpy.typing import NDArray

    from nanoemox.inference.results import Analysis, TaskResult
    from nanoemox.media.clip import Clip

FRAME_SIDE_PX = 320  # longest side of a frame on the page; sharp at its column width on dense screens
JPEG_QUALITY = 84
WAVE_BINS = 360  # columns of the drawn waveform
WAVE_WIDTH, WAVE_HEIGHT = 1000, 120  # user units of its SVG, stretched to the page's width
WINDOW_ROW_PX = 5  # height of a row of audio windows below the waveform
SENTENCES_SHOWN = 200
BARS_SHOWN = 7  # of a long list of labels; the others are folded away
GAUGE_RADIUS = 84  # user units

# Hue of each emotion in degrees, saturation in per cent; lightness follows the reader's light or dark scheme.
TINTS = {
    "anger": (6, 68),
    "disgust": (96, 42),
    "fear": (276, 46),
    "happiness": (40, 88),
    "neutral": (210, 12),
    "sadness": (220, 58),
    "surprise": (186, 72),
}
NO_TINT = (210, 24)
EXPERT_NAMES = ("shallow layers", "middle layers", "deep layers")
CHAIN_TITLES = {
    "event": "What happened",
    "emotion": "What is felt",
    "cause": "Why",
    "goal": "What the reply is for",
}
# How a page has the frames of a clip.
Pictures = Literal["shown", "blurred", "faces blurred", "none"]
READINGS = ("gauge", "bars", "words", "text")  # the parts of "What it points to", in order


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart; `share` of 1."""

    label: str
    share: float
    leads: bool = False

    @property
    def percent(self) -> str:
        """For reading: whole per cent, but no "0 %" for what is possible and no "100 %" for what is not certain."""
        if self.share < 0.01:
            return "<\u202f1\u00a0%"
        return ">\u202f99\u00a0%" if 0.99 < self.share < 1 else f"{100 * self.share:.0f}\u00a0%"


def render_report(analysis: Analysis, pictures: Pictures = "shown") -> str:
    """The page of an analysis, as the text of an HTML file, with its frames as they are, blurred, or without them."""
    clip = analysis.clip
    heading = _heading(analysis)
    tint = TINTS.get((heading.label or "").casefold(), NO_TINT) if heading else NO_TINT
    absent = {f"no_{name}" for name in analysis.modalities}  # the chips at the top say this already
    notes = [warning.text for warning in analysis.warnings if warning.code in ORIGIN_CODES]
    warnings = [w.text for w in analysis.warnings if w.code not in {*ORIGIN_CODES, *absent}]
    own = [f"{TASKS[task].title}: {w.text}" for task, result in analysis.items() for w in result.warnings]
    return page_template("inference/page.html.jinja").render(
        version=__version__,
        name=Path(clip.path).name or "Words alone",
        model=analysis.model,
        provenance=analysis.provenance,
        duration=f"{clip.duration_s:.1f} s" if clip.duration_s else None,
        world_notes=[note[:1].upper() + note[1:] for note in notes],
        warnings=[*warnings, *own],
        modalities=analysis.modalities,
        text=analysis.text,
        text_source=None if analysis.spoken is None else str(analysis.spoken.source),
        sentences=_sentences(analysis),
        dialogue=analysis.dialogue,
        hue=tint[0],
        saturation=tint[1],
        heading=heading,
        lead=_lead(analysis, heading),
        first=next(iter(analysis.values()), None),
        frames=[] if pictures == "none" else _film_strip(clip, pictures),
        pictures=pictures,
        notice=NOTICE,
        explained=explained(analysis.explanation),
        people=people_shown(analysis, pictures),
        wave=_waveform(clip, analysis.start_s),
        readings=_readings(analysis, heading),
        bars_shown=BARS_SHOWN,
        reasons=[_reasons(result, analysis.modalities) for result in _shown_as(analysis, "reasons")],
        replies=[
            {
                "title": TASKS[result.task].title,
                "chain": _chain(result),
                "reply": result.reply or result.answer,
            }
            for result in _shown_as(analysis, "reply")
        ],
        experts=_experts(analysis.experts),
        timing=analysis.timing_s,
    )


@cache
def page_template(name: str) -> Template:
    """A page's template; a name it uses and is not given is an error."""
    environment = Environment(
        loader=PackageLoader("nanoemox", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def bars(result: TaskResult) -> list[Bar]:
    """Probabilities as bars, the likeliest first; empty when the task has none."""
    ranked = sorted(result.probabilities.items(), key=lambda pair: -pair[1])
    return [Bar(label, share, leads=label == result.label) for label, share in ranked]


def _sentences(analysis: Analysis) -> list[dict[str, str]]:
    """Sentences with their times, where there are several: the first ones."""
    sentences = (analysis.spoken or ())[:SENTENCES_SHOWN]
    if len(sentences) < 2:
        return []
    return [
        {"time": f"{each.start_s:.1f} s", "speaker": each.speaker or "", "text": each.text}
        for each in sentences
    ]


# ---------------------------------------------------------------------- pictures and sound
def people_shown(analysis: Analysis, pictures: str) -> list[dict[str, Any]] | None:
    """Each person's crops, as the model saw them, and answers; None where people were not looked for.

    `pictures` says whether crops are shown, blurred in any way, or left out ("none").
    """
    if analysis.people is None:
        return None

    def source(crop: NDArray[np.uint8]) -> str:
        return _data_uri(crop if pictures == "shown" else unrecognisable(crop))

    return [
        {
            "name": each.person.name,
            "speech": each.person.speech,
            "seen": f"{each.person.boxes[0][0]:.1f} to {each.person.boxes[-1][0]:.1f} s",
            "speaks": ", ".join(f"{a:.1f} to {b:.1f} s" for a, b in each.person.speaks_s),
            "crops": [
                {"source": source(crop), "time": f"{at_s:.1f} s"}
                for crop, at_s in zip(
                    each.person.crops if each.shown is None else each.shown,
                    each.person.crop_times_s,
                    strict=True,
                )
                if pictures != "none"
            ],
            "answers": [
                {"title": TASKS[task].title, "answer": result.answer, "bars": bars(result)[:BARS_SHOWN]}
                for task, result in each.tasks.items()
            ],
        }
        for each in analysis.people
    ]


def _film_strip(clip: Clip, pictures: Pictures) -> list[dict[str, str]]:
    if clip.frames is None:
        return []
    times = [*clip.frame_times_s, *[None] * len(clip.frames)][: len(clip.frames)]
    frames = list(clip.frames)
    if pictures != "shown":
        frames = (
            shareable(frames) if pictures == "faces blurred" else [unrecognisable(each) for each in frames]
        )
    return [
        {"source": _data_uri(frame), "time": "" if time is None else f"{time:.1f} s"}
        for frame, time in zip(frames, times, strict=True)
    ]


def _data_uri(frame: NDArray[np.uint8]) -> str:
    """An RGB frame [H, W, 3] as a JPEG inside the page."""
    picture = Image.fromarray(frame)
    picture.thumbnail((FRAME_SIDE_PX, FRAME_SIDE_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _waveform(clip: Clip, start_s: float) -> dict[str, Any] | None:
    """Outline of the sound, windows that the model read and moments of the frames, over the clip's time.

    Windows count from the cut's beginning, frames from the file's (see `Clip`). Places are per cent.
    """
    if clip.waveform is None or len(clip.waveform) < 2:
        return None
    duration_s = max(clip.duration_s, 1e-3)
    width = AUDIO_WINDOW_S / duration_s
    lefts = [start / duration_s for start in clip.audio_starts_s]
    rows = _rows_without_overlap(lefts, width)
    moments = [(time_s - start_s) / duration_s for time_s in clip.frame_times_s]
    step_s = max(1, math.ceil(duration_s / 8))
    return {
        "path": outline(clip.waveform),
        "width": WAVE_WIDTH,
        "height": WAVE_HEIGHT,
        "windows": [
            {"left": 100 * left, "width": 100 * min(width, 1 - left), "top": WINDOW_ROW_PX * (index % rows)}
            for index, left in enumerate(lefts)
            if left < 1
        ],
        "windows_height": WINDOW_ROW_PX * rows,
        "window_s": AUDIO_WINDOW_S,
        "moments": [100 * moment for moment in moments if 0 <= moment <= 1],
        "ticks": [
            {"left": 100 * second / duration_s, "label": f"{start_s + second:g} s"}
            for second in range(0, math.ceil(0.94 * duration_s), step_s)
        ],
        "coverage": clip.audio_coverage,
    }


def _rows_without_overlap(lefts: Sequence[float], width: float) -> int:
    """How many rows keep equally wide windows apart when they are dealt out in turn."""
    for rows in range(1, len(lefts)):
        if all(later - earlier >= width for earlier, later in zip(lefts, lefts[rows:], strict=False)):
            return rows
    return max(1, len(lefts))


def outline(envelope: NDArray[np.float32]) -> str:
    """Min/max pairs in [-1, 1] -> a closed SVG path in which the loudest point almost fills the height."""
    pairs = np.asarray(envelope[: len(envelope) // 2 * 2], dtype=np.float64).reshape(-1, 2)
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    edges = np.linspace(0, len(pairs), min(WAVE_BINS, len(pairs)) + 1).astype(int)[:-1]
    low, high = np.minimum.reduceat(low, edges), np.maximum.reduceat(high, edges)
    scale = 0.46 * WAVE_HEIGHT / max(float(np.abs(pairs).max()), 1e-3)
    x = np.linspace(0, WAVE_WIDTH, len(low))
    upper = [f"{a:.1f} {WAVE_HEIGHT / 2 - scale * max(b, 0.004):.1f}" for a, b in zip(x, high, strict=True)]
    lower = [f"{a:.1f} {WAVE_HEIGHT / 2 - scale * min(b, -0.004):.1f}" for a, b in zip(x, low, strict=True)]
    return "M" + " L".join([*upper, *reversed(lower)]) + " Z"


# ---------------------------------------------------------------------- answers
def _shown_as(analysis: Analysis, part: PagePart) -> list[TaskResult]:
    """The answers that the page shows in one way."""
    return [result for task, result in analysis.items() if TASKS[task].page_part == part]


def _heading(analysis: Analysis) -> TaskResult | None:
    """The answer that is the page's heading."""
    return next((result for task, result in analysis.items() if TASKS[task].page_heading), None)


def _lead(analysis: Analysis, heading: TaskResult | None) -> dict[str, Any] | None:
    """What stands below the heading: how sure it is, and the labels of the other closed questions."""
    if heading is None:
        return None
    others = [result for result in _shown_as(analysis, "bars") if result is not heading and result.label]
    return {
        "bars": bars(heading),
        "kind": f"{TASKS[heading.task].title.lower()}s",
        "others": [{"title": TASKS[each.task].title.lower(), "label": each.label} for each in others],
    }


def _readings(analysis: Analysis, heading: TaskResult | None) -> list[dict[str, Any]]:
    """The blocks of "What it points to": the heading's bars, gauges, other bars, words, then what has no form."""
    results = sorted(
        (result for task, result in analysis.items() if TASKS[task].page_part in READINGS),
        key=lambda result: (result is not heading, READINGS.index(TASKS[result.task].page_part)),
    )
    return [
        {
            "part": TASKS[result.task].page_part,
            "title": TASKS[result.task].title,
            "result": result,
            "bars": bars(result),
            "gauge": _gauge(result),
        }
        for result in results
    ]


def _gauge(result: TaskResult) -> dict[str, Any] | None:
    """Where the needle of the valence gauge points: -1 left, 0 up, +1 right."""
    value = result.valence if result.valence is not None else result.score
    if value is None:
        return None
    x, y = _on_arc(value, GAUGE_RADIUS - 22)
    return {
        "value": value,
        "shown": f"{value:+.2f}".replace("-", "−"),
        "label": result.label,
        "x": x,
        "y": y,
        "track": _arc(-1, 1),
        "reach": _arc(min(0.0, value), max(0.0, value)) if abs(value) >= 0.02 else None,
        "shares": bars(result),
    }


def _on_arc(value: float, radius: float) -> tuple[float, float]:
    """The point of a valence on a half circle around (100, 100)."""
    angle = math.pi * (1 - max(-1.0, min(1.0, value))) / 2
    return round(100 + radius * math.cos(angle), 2), round(100 - radius * math.sin(angle), 2)


def _arc(start: float, end: float) -> str:
    """The SVG path along the gauge from one valence to a higher one."""
    (x0, y0), (x1, y1) = _on_arc(start, GAUGE_RADIUS), _on_arc(end, GAUGE_RADIUS)
    return f"M{x0} {y0} A{GAUGE_RADIUS} {GAUGE_RADIUS} 0 0 1 {x1} {y1}"


def _reasons(result: TaskResult, modalities: Mapping[str, str]) -> dict[str, Any]:
    """Cues by where they come from; a source that was not there says so."""
    carrier = {source: name for name, sources in SOURCES_OF.items() for source in sources}
    columns = []
    for source in SOURCES:
        state = modalities.get(carrier[source], PRESENT)
        columns.append(
            {
                "source": source,
                "cues": result.cues.get(source, ()),
                "absent": None if state == PRESENT else state,
            }
        )
    return {"columns": columns, "text": result.text}


def _chain(result: TaskResult) -> list[dict[str, str]]:
    thinking = result.thinking
    return [
        {"title": title, "text": thinking[link]} for link, title in CHAIN_TITLES.items() if thinking.get(link)
    ]


def _experts(weights: Sequence[float] | None) -> list[Bar]:
    if not weights:
        return []
    names = EXPERT_NAMES if len(weights) == len(EXPERT_NAMES) else range(1, len(weights) + 1)
    top = max(weights)
    return [Bar(str(name), float(w), leads=w == top) for name, w in zip(names, weights, strict=True)]

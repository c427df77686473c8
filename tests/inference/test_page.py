"""The page: complete, self-contained, escaped, and honest about what was missing."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from nanoemox.inference.page import Bar, _gauge, _rows_without_overlap, bars, outline, render_report
from tests.made_up import HOSTILE, make_analysis, result

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags are closed in order and keeps what a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_page_shows_every_answer_and_what_it_rests_on() -> None:
    page = Page(render_report(replace(make_analysis(), text="I watered it every day.")))
    for shown in ("sadness", "70 %", "−0.75", "lonely", "inner brows raised", "a plant has died"):
        assert shown in page.text, shown
    assert "I watered it every day." in page.text
    assert "This model knows only Affect Theatre" in page.text
    assert "the sound track is silent" in page.text
    assert page.text.count("I am so sorry.") == 1
    assert page.text.count("deep layers") == 1


def test_moments_of_a_cut_lie_inside_it() -> None:
    analysis = make_analysis()
    later = replace(analysis.clip, frame_times_s=tuple(t + 60 for t in analysis.clip.frame_times_s))
    text = render_report(replace(analysis, clip=later, start_s=60.0))
    moments = [float(a["x1"] or 0) for t, a in Page(text).tags if t == "line" and (a["y2"] == "120")]
    assert moments == pytest.approx([62.5 + 125 * i for i in range(8)])
    assert ">61 s<" in text and "at 60.2 s" in text


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = render_report(replace(make_analysis(name=f"{HOSTILE}.mp4"), text=f"{HOSTILE} & 'quotes'"))
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert HOSTILE in page.text and HOSTILE not in text
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name != "href"
            assert name != "src" or (value or "").startswith("data:image/jpeg;base64,")
    assert "url(" not in text and "@import" not in text and "http://" not in text and "https://" not in text


def test_frames_are_pictures_with_a_text_for_those_who_cannot_see_them() -> None:
    images = [attributes for tag, attributes in Page(render_report(make_analysis())).tags if tag == "img"]
    assert [image["alt"] for image in images[:2]] == ["Frame 1 of 8, at 0.2 s", "Frame 2 of 8, at 0.8 s"]
    assert len(images) == 8
    data = base64.b64decode((images[0]["src"] or "").partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (64, 48)


@pytest.mark.parametrize(
    ("video", "audio", "told"),
    [
        (False, True, "no video: the file has no pictures"),
        (True, False, "no audio: the file has no sound track"),
    ],
)
def test_a_missing_modality_is_told_once(video: bool, audio: bool, told: str) -> None:
    page = Page(render_report(make_analysis(video=video, audio=audio)))
    assert page.text.count(told) == 1
    assert "they need both video and audio" in page.text
    assert any(tag == "img" for tag, _ in page.tags) is video
    assert ("windows" in page.text) is audio


@pytest.mark.parametrize("task", list(make_analysis()))
def test_any_single_task_makes_a_page(task: str) -> None:
    assert Page(render_report(make_analysis([task]))).text


def test_bars_are_sorted_and_an_unlikely_label_is_not_impossible() -> None:
    rows = bars(make_analysis()["emotion"])
    assert [row.share for row in rows] == sorted((row.share for row in rows), reverse=True)
    assert rows[0].leads and not any(row.leads for row in rows[1:])
    assert rows[-1].percent.startswith("<")
    shown = {share: Bar("", share).percent for share in (0.0, 0.0099, 0.5, 0.9899, 0.9951, 1.0)}
    assert list(shown.values()) == [
        "<\u202f1\u00a0%",
        "<\u202f1\u00a0%",
        "50\u00a0%",
        "99\u00a0%",
        ">\u202f99\u00a0%",
        "100\u00a0%",
    ]
    assert bars(result("empathy")) == []


@pytest.mark.parametrize(("value", "x", "y"), [(-1, 38, 100), (0, 100, 38), (1, 162, 100), (7, 162, 100)])
def test_the_needle_points_where_the_valence_is(value: float, x: float, y: float) -> None:
    gauge = _gauge(result("sentiment", score=value))
    assert gauge is not None
    assert (gauge["x"], gauge["y"]) == pytest.approx((x, y))
    assert _gauge(result("sentiment")) is None


@pytest.mark.parametrize("points", [2, 3, 50, 2000])
def test_the_outline_stays_inside_its_picture(points: int) -> None:
    path = outline(np.random.default_rng(0).uniform(-1, 1, points).astype(np.float32))
    numbers = np.array(re.findall(r"-?[\d.]+", path), dtype=float).reshape(-1, 2)
    assert numbers.min() >= 0 and numbers[:, 0].max() <= 1000 and numbers[:, 1].max() <= 120


def test_silence_has_an_outline_too() -> None:
    assert "nan" not in outline(np.zeros(40, dtype=np.float32))


def test_windows_that_overlap_get_rows_of_their_own() -> None:
    assert _rows_without_overlap([0.0, 0.5, 1.0], 0.5) == 1
    assert _rows_without_overlap([0.0, 0.25, 0.5], 0.5) == 2
    assert _rows_without_overlap([0.0, 0.0, 0.0], 1.0) == 3
    assert _rows_without_overlap([0.0], 1.0) == 1


def test_the_turns_before_the_clip_are_shown_and_escaped() -> None:
    turns = ({"role": "user", "text": HOSTILE}, {"role": "<b>", "text": "I am here."})
    text = render_report(replace(make_analysis(), dialogue=turns))
    assert HOSTILE not in text and "I am here." in Page(text).text and "&lt;b&gt;" in text

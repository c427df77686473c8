"""Rows for each person: who is seen keeps a name over windows, sections and a stop, and nothing is encoded twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.people.detector import Detector, load_detector
from nanoemox.timeline import iterate
from nanoemox.timeline.iterate import Sections, timeline
from nanoemox.timeline.make import make_timeline
from nanoemox.timeline.people import LEAST_SEEN, Following
from nanoemox.timeline.read import Samples, open_recording
from nanoemox.timeline.windows import grid_of
from tests.people.pictures import drawn, talking, voice, write

pytest.importorskip("cv2", reason="faces are found with OpenCV (nanoemox[people])")

PLACES = [(10, 20, 160), (220, 20, 160)]
SIZE = (400, 192)
SECONDS = 8.0


@pytest.fixture(scope="module")
def blazeface() -> Detector:
    return load_detector()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ "a" is there for 6 s; "b" talks, is away from 2 to 5 s, and stays to 6 s; then nobody."""
    pictures: dict[Any, Any] = {}
    frames = []
    for k, open_ in enumerate(talking(SECONDS, 12.5)):
        at_s = k / 12.5
        who = "" if at_s >= 6 else "a" if 2 <= at_s < 5 else "ab"
        mouth = round(float(open_), 1)
        if (who, mouth) not in pictures:
            pictures[who, mouth] = drawn(list(who), PLACES[: len(who)], SIZE, [0.0, mouth][: len(who)])
        frames += [pictures[who, mouth]] * 2  # 25 frames a second
    return write(tmp_path_factory.mktemp("people") / "two.mp4", frames, voice(SECONDS))


def of_person(rows: Any, name: str | None) -> list[float]:
    return [row.start_s for row in rows if row.person == name]


def test_each_person_has_rows_under_one_name(
    analyzer: EmotionAnalyzer, recording: Path, blazeface: Detector
) -> None:
    rows = list(timeline(analyzer, recording, 1, 1, faces=blazeface))
    assert of_person(rows, "person 1") == [0, 1, 2, 3, 4, 5]
    assert of_person(rows, "person 2") == [0, 1, 5]  # the one who came back is not a third one
    assert of_person(rows, None) == [6, 7]
    assert [row.start_s for row in rows if "no_face" in row.warnings] == [6, 7]
    assert {row.person for row in rows} == {"person 1", "person 2", None}
    both = [row for row in rows if row.start_s == 0]
    assert both[0].probabilities != both[1].probabilities  # each has features of its own
    listener, speaker = sorted(both, key=lambda row: row.person or "")
    assert speaker.speech is not None and speaker.speech > 0.5 and "listens" in listener.warnings
    for row, (left, top, side) in ((listener, PLACES[0]), (speaker, PLACES[1])):
        assert row.box is not None
        middle = (row.box[0] + row.box[2]) / 2 * SIZE[0], (row.box[1] + row.box[3]) / 2 * SIZE[1]
        assert left < middle[0] < left + side and top < middle[1] < top + side


def test_a_stop_changes_nothing_and_names_go_on(
    analyzer: EmotionAnalyzer,
    recording: Path,
    blazeface: Detector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("read", "iterate"):
        monkeypatch.setattr(f"nanoemox.timeline.{module}.SECTION_S", 3.0)

    def run(out: Path) -> Any:
        return make_timeline(analyzer, open_recording(recording), out, 1, 1, faces=blazeface)

    report = run(tmp_path / "whole")
    assert of_person(report.rows, "person 2") == [0, 1, 5]  # over the border at 3 s
    rows = iterate.Sections.rows

    def failing(self: Sections, number: int) -> Any:
        if number == 1:
            raise KeyboardInterrupt
        return rows(self, number)

    with monkeypatch.context() as patched:
        patched.setattr(iterate.Sections, "rows", failing)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "out")
    run(tmp_path / "out")
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()

    # Every form tells the people apart.
    whole = tmp_path / "whole"
    table = list(csv.DictReader((whole / "timeline.csv").open(encoding="utf-8")))
    assert {row["person"] for row in table} == {"person 1", "person 2", ""}
    assert "person 2: " in (whole / "timeline.srt").read_text("utf-8")
    tiers = ElementTree.parse(whole / "timeline.eaf").getroot().iter("TIER")
    assert {"person 1", "person 2"} <= {tier.get("PARTICIPANT") for tier in tiers}
    page = (whole / "timeline.html").read_text("utf-8")
    assert page.count('class="chart"') == 3 and 'data-person="person 2"' in page and "Nobody seen" in page
    written = json.loads((whole / "timeline.json").read_text("utf-8"))
    assert {segment.get("person") for segment in written["segments"]} == {"person 1", "person 2", None}
    assert written["settings"]["face_detector"] == blazeface.name


def test_overlapping_windows_encode_nothing_twice(
    analyzer: EmotionAnalyzer, recording: Path, blazeface: Detector
) -> None:
    counts = {}
    for hop_s in (1.0, 0.5):
        sections = Sections(analyzer, open_recording(recording), grid_of(1, hop_s), faces=blazeface)
        assert list(sections.rows(0))
        counts[hop_s] = sections.counts
    assert counts[0.5]["frames"] == counts[1.0]["frames"] <= 65
    assert 60 <= counts[0.5]["faces"] == counts[1.0]["faces"] <= 74


def test_what_is_remembered_does_not_grow(blazeface: Detector) -> None:
    frame = drawn(["a"], PLACES[:1], SIZE)
    following = Following(blazeface)
    for k in range(40):
        following.look(k / 12.5, frame)
        following.forget(k / 12.5 - 1)
    [track] = following._tracks
    assert len(track.times_s) == len(track.faces) == 1 and len(following._looks) <= 14
    assert len(json.dumps(following.state())) < 4000
    for k in range(3):  # noise that shows a face for less than a name needs is forgotten
        following.look(10 + 20 * k, np.zeros_like(frame))
    assert following.state()["names"] == 1


def test_who_is_away_is_known_after_going_on(blazeface: Detector) -> None:
    following = Following(blazeface)
    for k in range(LEAST_SEEN):
        following.look(k / 12.5, drawn(["a", "b"], PLACES, SIZE))
    again = Following(blazeface, state=json.loads(json.dumps(following.state())))
    again.look(30, drawn([], [], SIZE))
    for k in range(LEAST_SEEN):
        again.look(60 + k / 12.5, drawn(["b"], PLACES[:1], SIZE))
    sound = Samples()
    sound.from_s, sound.samples = 0.0, np.zeros(0, np.float32)
    [seen] = again.between(60, 61, sound)
    first = following.between(0, 1, sound)
    assert seen.name in {each.name for each in first} and again.state()["names"] == 2
    at = {each.name: each.box[0] for each in first}
    assert at[seen.name] > 0.5  # "b" stood on the right


def test_what_cannot_be_told_apart_is_refused(
    analyzer: EmotionAnalyzer, recording: Path, blazeface: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArgumentError, match="windows"):
        list(timeline(analyzer, recording, by_sentence=True, faces=blazeface))
    monkeypatch.setattr(analyzer.processor, "compat", "official")
    with pytest.raises(ArgumentError, match="whole frames only"):
        list(timeline(analyzer, recording, faces=blazeface))

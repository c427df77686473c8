"""The files that a timeline becomes: tables, subtitles, ELAN annotations, and a page that can be scrubbed."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nanoemox.media.clip import CodedWarning
from nanoemox.media.subtitles import read_subtitles
from nanoemox.timeline.report import TimelineReport, relative_url
from nanoemox.timeline.rows import Row
from tests.media_files import make_media
from tests.timeline.chromium import CHROMIUM, probe

JOY, ANGER = {"joy": 0.9, "anger": 0.1}, {"joy": 0.2, "anger": 0.8}


def report_of(file: Path, rows: list[Row], by: str = "window", length_s: float = 8.0) -> TimelineReport:
    settings = {"by": by, "window_s": 4.0, "hop_s": 2.0, "margin": 0.15}
    warnings = (CodedWarning("video_damaged", "the video is <damaged>"),)
    return TimelineReport(file, "tiny", length_s, rows, settings, warnings)


@pytest.fixture
def rows() -> list[Row]:
    sentiment = {"negative": 0.1, "neutral": 0.2, "positive": 0.7}
    return [
        Row(0, 4, "joy", JOY, 0.6, sentiment),
        Row(2, 6, "joy", JOY, 0.6, sentiment),
        Row(4, 8, "anger", ANGER, -0.5, sentiment, warnings=("no_audio", "cut_short")),
    ]


def test_rows_survive_their_json(rows: list[Row]) -> None:
    rows.append(Row(8, 9, "joy", JOY, 0.1, text="=1+1", speaker="Ann", person="P1"))
    for row in rows:
        assert Row.from_dict(json.loads(json.dumps(row.to_dict()))) == row


def test_json(rows: list[Row]) -> None:
    found = json.loads(report_of(Path("a.mp4"), rows).to_json())
    assert found["complete"] and found["read_until_s"] == 8 and "Article 50(3)" in found["notice"]
    assert [each["emotion"] for each in found["segments"]] == ["joy", "anger"]
    assert found["rows"][2]["warnings"] == ["no_audio", "cut_short"] and "person" not in found["rows"][0]


def test_csv_has_one_column_a_label_and_no_formula(rows: list[Row]) -> None:
    rows[0] = Row(0, 4, "joy", JOY, 0.6, text="=HYPERLINK(1)", speaker="@ann")
    table = list(csv.DictReader(io.StringIO(report_of(Path("a.mp4"), rows).forms()[".csv"]())))
    assert [float(row["joy"]) for row in table] == [0.9, 0.9, 0.2]
    assert table[0]["text"] == "'=HYPERLINK(1)" and table[0]["speaker"] == "'@ann"
    assert table[1]["positive"] == "0.7" and table[2]["warnings"] == "no_audio cut_short"


def test_srt_can_be_read_back(rows: list[Row], tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(report_of(Path("a.mp4"), rows).to_srt(), encoding="utf-8")
    read = read_subtitles(tmp_path / "a.srt")
    assert [(each.start_s, each.end_s) for each in read] == [(0, 5), (5, 8)]
    assert read[0].text == "joy 90% · valence +0.60"


def test_elan_annotations_lie_in_order_and_do_not_overlap(rows: list[Row], tmp_path: Path) -> None:
    rows = [
        Row(0, 3, "joy", JOY, 0.6, text="Hello \x00 & goodbye", speaker="Ann"),
        Row(2, 4, "anger", ANGER, -0.5, text="No.", speaker="Ben"),
        Row(2.5, 2.5, "joy", JOY, 0.5, text="Oh", speaker="Ann"),
    ]
    report = report_of(tmp_path / "a b#1.mp4", rows, by="sentence")
    document = ElementTree.fromstring(report.forms()[".eaf"]())
    assert document.tag == "ANNOTATION_DOCUMENT" and document.get("FORMAT") == "3.0"
    media = document.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None and media.get("RELATIVE_MEDIA_URL") == "./a%20b%231.mp4"
    times = {
        slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE") or -1) for slot in document.iter("TIME_SLOT")
    }
    types = {each.get("LINGUISTIC_TYPE_ID") for each in document.iter("LINGUISTIC_TYPE")}
    names, identifiers = [], []
    for tier in document.iter("TIER"):
        names.append(tier.get("TIER_ID"))
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        end = 0
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            identifiers.append(annotation.get("ANNOTATION_ID"))
            first, last = (times[annotation.get(f"TIME_SLOT_REF{i}")] for i in (1, 2))
            assert end <= first < last
            end = last
    assert names == ["emotion", "valence", "text Ann", "text Ben"] and len(set(identifiers)) == len(
        identifiers
    )
    assert "Hello \ufffd & goodbye" in [value.text for value in document.iter("ANNOTATION_VALUE")]


def test_people_have_tiers_and_charts_of_their_own(tmp_path: Path) -> None:
    people = [Row(0, 4, "joy", JOY, 0.6, person="P1"), Row(0, 4, "anger", ANGER, -0.5, person="P2")]
    report = report_of(tmp_path / "a.mp4", people)
    tiers = ElementTree.fromstring(report.forms()[".eaf"]()).iter("TIER")
    assert [(tier.get("TIER_ID"), tier.get("PARTICIPANT")) for tier in tiers][::2] == [
        ("emotion P1", "P1"),
        ("emotion P2", "P2"),
    ]
    assert report.forms()[".html"]().count('class="chart"') == 2
    assert "P2: anger 80%" in report.to_srt()


def test_the_page_names_the_recording_by_a_relative_path_and_asks_for_nothing_else(
    rows: list[Row], tmp_path: Path
) -> None:
    name = '"><script>alert(1)</script>.mp4'
    rows[0] = Row(0, 4, "joy", JOY, 0.6, text="</script><b>")
    report = report_of(tmp_path / "films" / name, rows, by="sentence")
    page = report.forms_in(tmp_path / "out")[".html"]()
    (media,) = re.findall(r'<video[^>]* src="([^"]*)"', page)
    assert media.startswith("../films/%22%3E%3Cscript%3Ealert%281%29")
    assert "<script>alert" not in page and "</script><b>" not in page
    assert not re.findall(r'(?:src|href)="(?:https?:|//)', page) and "default-src 'none'" in page
    assert "&lt;damaged&gt;" in page and "Article 50(3)" in page


def test_what_was_stopped_says_so(rows: list[Row], tmp_path: Path) -> None:
    report = report_of(tmp_path / "a.mp4", rows)
    part = TimelineReport(report.file, "tiny", 99, rows, report.settings, stopped="stopped at 0:08 of 1:39")
    assert "This timeline is not complete: stopped at 0:08 of 1:39" in part.forms()[".html"]()
    assert not json.loads(part.to_json())["complete"]


def test_a_timeline_without_rows_is_valid(tmp_path: Path) -> None:
    for form in report_of(tmp_path / "a.mp4", []).forms().values():
        assert isinstance(form(), str)


def test_a_long_recording_makes_a_page_of_bounded_size(tmp_path: Path) -> None:
    shares = dict.fromkeys("abcdefg", 1 / 7)
    rows = [Row(2.0 * i, 2.0 * i + 4, "abcdefg"[i % 7], shares, 0.0) for i in range(5_400)]  # three hours
    page = report_of(tmp_path / "a.mp4", rows, length_s=10_802).forms()[".html"]()
    assert len(page) < 1_200_000


def test_relative_urls(tmp_path: Path) -> None:
    assert relative_url(tmp_path / "ü.mp4", tmp_path) == "./%C3%BC.mp4"
    assert relative_url(tmp_path / "a.mp4", tmp_path / "b" / "c") == "../../a.mp4"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_scrubbing_the_chart_moves_the_video_and_the_numbers(rows: list[Row], tmp_path: Path) -> None:
    film = make_media(tmp_path / "a film.mp4", 8.0)
    (tmp_path / "out").mkdir()
    page = report_of(film, rows).forms_in(tmp_path / "out")[".html"]()
    script = """
      const media = document.getElementById("media"), chart = document.querySelector(".chart"), states = [];
      const box = () => chart.getBoundingClientRect(), text = id => document.getElementById(id).textContent;
      const press = share => chart.dispatchEvent(new PointerEvent("pointerdown", {
        clientX: box().left + box().width * share, clientY: box().top + 9, pointerId: 1, bubbles: true}));
      const note = () => states.push([media.currentTime, text("at"), text("now"), text("valence")]);
      const steps = [
        () => press(0.75), note,
        () => document.querySelector("button[data-at]").click(), note,
        () => chart.dispatchEvent(new KeyboardEvent("keydown", {key: "End"})), note,
        () => tell({states, duration: media.duration, missing: !document.getElementById("missing").hidden})];
      const run = () => steps.forEach((step, i) => setTimeout(step, 500 * i));
      media.readyState > 0 ? run() : media.addEventListener("loadedmetadata", run);
      media.addEventListener("error", () => tell({error: media.error.message}));
    """
    found = probe(page, tmp_path / "out", script)
    assert found["duration"] == pytest.approx(8.0, abs=0.2) and not found["missing"]
    pressed, clicked, ended = found["states"]
    assert pressed == [pytest.approx(6.0, abs=0.1), "0:06", "anger", "-0.50"]
    assert clicked == [0, "0:00", "joy", "+0.60"]
    assert ended[0] == pytest.approx(8.0, abs=0.2) and ended[2] == "anger"

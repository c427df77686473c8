"""Subtitles: their forms, encodings, speakers, times and tracks; and files that were made to do harm."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.media.subtitles import (
    Sentence,
    Spoken,
    SubtitleTrack,
    TextSource,
    _chosen,
    read_subtitles,
    subtitle_tracks,
)
from nanoemox.media.untrusted import MediaError
from tests.subtitle_files import ass, black_mp4, silent_mkv, srt

Write = Callable[[str, "str | bytes"], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return file


def spoken_by(path: Path) -> list[tuple[str | None, str]]:
    return [(sentence.speaker, sentence.text) for sentence in read_subtitles(path)]


# ---------------------------------------------------------------- forms
def test_an_srt_gives_sentences_with_times_and_no_markup(write: Write) -> None:
    spoken = read_subtitles(write("a.srt", srt("<i>Hi</i> {\\an8}you", "It was\n1984")))
    assert list(spoken) == [Sentence(0.0, 1.5, "Hi you"), Sentence(2.0, 3.5, "It was 1984")]
    assert spoken.source == TextSource("subtitles", "a.srt")
    assert spoken.text == "Hi you It was 1984"
    assert not spoken.warnings


def test_a_webvtt_gives_voices_and_none_of_its_notes(write: Write) -> None:
    text = (
        "WEBVTT - a title\n\nNOTE nobody says this\n\nSTYLE\n::cue { color: red }\n\nintro\n00:01.000 --> 00:03.000\n"
        "<v.loud Anna>Fish &amp; chips</v> <v Bob>Bye</v>\n\nNOTE nor this\n\n00:05.000 --> 00:06.000\n<c.x>Well</c>\n"
    )
    assert spoken_by(write("a.vtt", text)) == [("Anna", "Fish & chips"), ("Bob", "Bye"), (None, "Well")]


def test_an_ass_gives_names_and_neither_comments_nor_drawings(write: Write) -> None:
    text = ass(
        "Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,nobody says this",
        "Dialogue: 0,0:00:03.00,0:00:04.00,Default,Anna,0,0,0,,{\\b1}Hi, there{\\b0}\\Nyou",
        "Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}",
        "Dialogue: broken",
    )
    assert list(read_subtitles(write("a.ass", text))) == [Sentence(3.0, 4.0, "Hi, there you", "Anna")]


def test_the_form_is_told_by_the_content_and_not_by_the_name(write: Write) -> None:
    assert spoken_by(write("a.txt", srt("Hello"))) == [(None, "Hello")]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace(" --> ", "-->"),
        lambda text: text.replace(",", "."),
        lambda text: text.replace("00:00:0", "00:0"),  # no hours
        lambda text: text.replace("\n\n", "\n"),
        lambda text: "\n\n\ufeff" + text,
        lambda text: re.sub(r"(?m)^\d\n", "", text),
    ],
    ids=["crlf", "cr", "no spaces", "full stops", "no hours", "no blank lines", "late mark", "no numbers"],
)
def test_srt_as_people_write_it_is_read(write: Write, change: Callable[[str], str]) -> None:
    spoken = read_subtitles(write("a.srt", change(srt("Hello", "Bye"))))
    assert list(spoken) == [Sentence(0.0, 1.5, "Hello"), Sentence(2.0, 3.5, "Bye")]


def test_webvtt_without_a_blank_line_and_ass_behind_a_comment_are_read(write: Write) -> None:
    assert spoken_by(write("a.vtt", "WEBVTT\n00:00:01.000 --> 00:00:02.000\nHi\n")) == [(None, "Hi")]
    text = "; made by hand\n" + ass("Dialogue: 0,0:00:03.00,0:00:04.00,Default,Anna,0,0,0,,Hi")
    assert spoken_by(write("a.ass", text)) == [("Anna", "Hi")]


def test_signs_that_are_no_markup_stay(write: Write) -> None:
    text = srt('<font color="#ff0000">3</font> < 5 & 7 > 2 &amp; so on', "-5 degrees")
    assert [text for _, text in spoken_by(write("a.srt", text))] == ["3 < 5 & 7 > 2 & so on", "-5 degrees"]


# ---------------------------------------------------------------- speakers
def test_dashes_part_two_people_who_share_the_time_by_what_they_say(write: Write) -> None:
    found = list(read_subtitles(write("a.srt", srt("- Yes?\n- I do not know."))))
    assert [each.text for each in found] == ["Yes?", "I do not know."]
    assert found[0].end_s == found[1].start_s == pytest.approx(1.5 * 4 / 18, abs=1e-3)
    assert found[1].end_s == 1.5


def test_arrows_part_people_too(write: Write) -> None:
    assert spoken_by(write("a.srt", srt(">> Hello.\n>> ANNA: Hi."))) == [(None, "Hello."), ("ANNA", "Hi.")]


def test_names_in_capitals_are_speakers(write: Write) -> None:
    text = srt("ANNA: No.\nDR. WHO: Why?", "It is 10:30 now", "ANNA: [laughs]")
    assert spoken_by(write("a.srt", text)) == [
        ("ANNA", "No."),
        ("DR. WHO", "Why?"),
        (None, "It is 10:30 now"),
    ]


def test_other_names_are_speakers_where_they_come_twice(write: Write) -> None:
    text = srt("Anna: No.", "Remember: never.", "Anna: Yes.", "小明：你好", "小明：再见")
    assert spoken_by(write("a.srt", text)) == [
        ("Anna", "No."), (None, "Remember: never."), ("Anna", "Yes."), ("小明", "你好"), ("小明", "再见"),
    ]  # fmt: skip


def test_what_only_describes_sounds_is_not_said(write: Write) -> None:
    text = srt("[door slams]", "(sighs)", "♪ ♪", "♪ La la ♪", "[laughs] Well...", "...")
    assert [text for _, text in spoken_by(write("a.srt", text))] == ["La la", "[laughs] Well..."]


def test_captions_that_roll_up_are_read_once(write: Write) -> None:
    text = (
        "WEBVTT\n\n00:00.000 --> 00:02.000\n \nhello<00:00:00.500><c> there</c>\n\n00:02.000 --> 00:02.010\n"
        "hello there\n \n\n00:02.010 --> 00:04.000\nhello there\nhow are<00:00:03.5><c> you</c>\n\n"
        "00:04.000 --> 00:04.010\nhow are you\n \n"
    )
    assert [text for _, text in spoken_by(write("a.vtt", text))] == ["hello there", "how are you"]
    once = srt("No.", "No.", "I said it.", "So.", "Really.", "Well.", "Good.")
    assert len(read_subtitles(write("b.srt", once))) == 7  # people repeat themselves, too


# ---------------------------------------------------------------- encodings
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_in_any_form_is_read_without_a_word(write: Write, encoding: str) -> None:
    spoken = read_subtitles(write("a.srt", srt("Hé", "второй", "你好吗").encode(encoding)))
    assert [each.text for each in spoken] == ["Hé", "второй", "你好吗"]
    assert not spoken.warnings


@pytest.mark.parametrize(
    ("encoding", "text", "named"),
    [
        ("gb18030", "你好，我是小明。你在这里做什么？我不知道。", "Chinese"),
        ("latin-1", "Ça va très bien, merci à vous", "Western"),
        ("cp1252", "“Schön”, sagte er – größer als früher", "Western"),
    ],
)
def test_other_encodings_are_found_out_and_told(write: Write, encoding: str, text: str, named: str) -> None:
    spoken = read_subtitles(write("a.srt", srt(text).encode(encoding)))
    assert spoken.text == text
    (warning,) = spoken.warnings
    assert warning.code == "subtitles_encoding"
    assert named in warning.text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Привет, как дела у тебя? Хорошо, спасибо"),
        ("koi8-r", "Привет, как дела у тебя? Хорошо, спасибо"),
        ("euc-kr", "안녕하세요 반갑습니다 나는 학교에 갑니다 그리고 집에"),
        ("shift-jis", "こんにちは、元気ですか"),
        ("big5", "你好，我是小明，你在這裡做什麼"),
        ("cp1250", "Cześć, jak się masz? Żółta łódź"),
    ],
)
def test_what_cannot_be_told_is_refused_and_never_guessed(write: Write, encoding: str, text: str) -> None:
    with pytest.raises(MediaError, match=r"encoding that cannot be told.*iconv"):
        read_subtitles(write("a.srt", srt(text).encode(encoding)))


def test_a_few_broken_bytes_leave_utf8_what_it_is(write: Write) -> None:
    spoken = read_subtitles(write("a.srt", srt("Schön, für dich", "Grüße").encode() + b"\xff"))
    assert spoken[0].text == "Schön, für dich"
    assert [(w.code, "line 9" in w.text) for w in spoken.warnings] == [("subtitles_damaged", True)]


# ---------------------------------------------------------------- times
def test_lines_out_of_order_are_sorted_and_overlapping_ones_kept(write: Write) -> None:
    text = "2\n00:00:05,000 --> 00:00:08,000\nlater\n\n1\n00:00:01,000 --> 00:00:06,000\nearlier\n"
    spoken = read_subtitles(write("a.srt", text))
    assert list(spoken) == [Sentence(1.0, 6.0, "earlier"), Sentence(5.0, 8.0, "later")]
    assert [warning.code for warning in spoken.warnings] == ["subtitles_unordered"]


def test_an_end_before_the_beginning_or_far_behind_is_set(write: Write) -> None:
    text = "1\n00:00:02,000 --> 00:00:01,000\nbackwards\n\n2\n00:00:09,000 --> 09:00:10,000\nfor ever and ever, amen\n"
    spoken = read_subtitles(write("a.srt", text))
    assert all(0 < each.end_s - each.start_s <= 60 for each in spoken)
    assert [each.start_s for each in spoken] == [2.0, 9.0]
    assert "subtitles_times" in {warning.code for warning in spoken.warnings}


def test_a_cut_takes_the_sentences_whose_middle_is_in_it(write: Write) -> None:
    path = write("a.srt", srt("one", "two", "three"))
    assert [each.text for each in read_subtitles(path, start_s=0.9, end_s=2.9)] == ["two"]
    assert [each.text for each in read_subtitles(path, end_s=0.8)] == ["one"]
    assert [each.text for each in read_subtitles(path, start_s=0.1, end_s=0.3)] == ["one"]  # it fills the cut
    assert not read_subtitles(path, start_s=50)


# ---------------------------------------------------------------- tracks
def test_tracks_inside_a_video_are_listed_and_read(tmp_path: Path) -> None:
    path = silent_mkv(
        tmp_path / "a.mkv",
        [
            (srt("Hello", "- A.\n- B."), "srt", "eng"),
            (ass("Dialogue: 0,0:00:05.00,0:00:06.00,Default,Bob,0,0,0,,{\\b1}Hi, there\\Nyou"), "ass", "deu"),
            ("WEBVTT\n\n00:01.000 --> 00:03.000\n<v Anna>Hello &amp; you</v>\n", "webvtt", "fra"),
        ],
    )
    assert [(track.number, track.language) for track in subtitle_tracks(path)] == [
        (0, "eng"),
        (1, "deu"),
        (2, "fra"),
    ]
    assert read_subtitles(path, 0).text == "Hello A. B."
    german = read_subtitles(path, "deu")
    assert list(german) == [Sentence(5.0, 6.0, "Hi, there you", "Bob")]
    assert german.source == TextSource("subtitles", "a.mkv track:1", "deu")
    assert list(read_subtitles(path, 2)) == [Sentence(1.0, 3.0, "Hello & you", "Anna")]
    assert read_subtitles(path, 0, start_s=1.9, end_s=3.5).text == "A. B."
    with pytest.raises(ArgumentError, match="choose one of track:0 eng, track:1 deu, track:2 fra"):
        read_subtitles(path, 9)
    with pytest.raises(MediaError, match="name the video and the track"):
        read_subtitles(path)


def test_a_track_of_an_mp4_is_read(tmp_path: Path) -> None:
    path = black_mp4(tmp_path / "a.mp4", [(1.0, 2.0, "Hello"), (5.0, 6.0, "Grüße")])
    assert list(read_subtitles(path, "eng")) == [Sentence(1.0, 2.0, "Hello"), Sentence(5.0, 6.0, "Grüße")]


def test_a_track_of_pictures_is_no_text(tmp_path: Path) -> None:
    tracks = [SubtitleTrack(0, "eng", "", "dvd_subtitle"), SubtitleTrack(1, "deu", "", "subrip")]
    with pytest.raises(MediaError, match="pictures of text in track:0"):
        _chosen(tmp_path / "a.mkv", tracks, "eng")
    assert _chosen(tmp_path / "a.mkv", tracks, 1) == tracks[1]


def test_a_file_without_tracks_says_so(tmp_path: Path) -> None:
    path = silent_mkv(tmp_path / "a.mkv", [], seconds=1)
    assert subtitle_tracks(path) == ()
    with pytest.raises(ArgumentError, match="there are none; give subtitles as a file"):
        read_subtitles(path, 0)


# ---------------------------------------------------------------- harm
@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("", "is empty"),
        ("hello there", "no line with times"),
        ("a --> b\n", "no line with times"),
        (bytes(range(256)) * 20, "is no text"),
        ("WEBVTT\n", "no line with times"),
        ("\x00" * 1000, "is no text"),
        ("-->" * 7_000_000, "more than 20 MB"),
    ],
)
def test_what_holds_no_subtitles_is_refused_in_one_line(
    write: Write, content: str | bytes, wrong: str
) -> None:
    with pytest.raises(MediaError, match=wrong) as error:
        read_subtitles(write("a.srt", content))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["<" * 2_000_000, "<a " * 500_000, "{\\" * 500_000, "\n" * 2_000_000, "- " * 500_000, "[" * 500_000,
     "." * 1999 + "x"],
    ids=["angles", "tags", "braces", "lines", "dashes", "brackets", "dots"],
)  # fmt: skip
def test_text_that_was_made_to_take_long_takes_no_time(write: Write, text: str) -> None:
    path = write(
        "a.srt", f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n\n2\n00:00:03,000 --> 00:00:04,000\nok\n"
    )
    started = time.process_time()
    assert read_subtitles(path)[-1].text == "ok"
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "text",
    [
        "[Events]\n" * 200_000,
        " " * 3_000_000 + "-->",
        "WEBVTT\n" + "0" * 3_000_000,
        "00:01,000 --> x\n" * 100_000,
    ],
)
def test_headings_that_were_made_to_take_long_take_no_time(write: Write, text: str) -> None:
    started = time.process_time()
    with pytest.raises(MediaError, match="no line with times"):
        read_subtitles(write("a.srt", text))
    assert time.process_time() - started < 5


def test_a_stray_zero_is_told_and_harms_nothing(write: Write) -> None:
    spoken = read_subtitles(write("a.srt", srt("He\0llo", "you")))
    assert spoken.text == "Hello you"
    assert [warning.code for warning in spoken.warnings] == ["subtitles_damaged"]


def test_a_spoken_text_shows_itself_in_one_line() -> None:
    spoken = Spoken((Sentence(0, 1, "a\nb" * 100),), TextSource("speech", "tiny.en", "en"))
    assert repr(spoken).endswith("heard by tiny.en (en))")
    assert len(repr(spoken)) < 200

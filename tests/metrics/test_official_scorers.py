"""The official scorer's figures: word lists read from a folder made here, and the quirks by name."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from nanoemox.metrics import official_scorers
from nanoemox.metrics.word_lists import WordLists

openpyxl = pytest.importorskip("openpyxl")


def sheet(path: Path, *rows: tuple[str | None, ...]) -> None:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    head = ("level1", "level2", "level3")
    rows = [head, ("Glad", "Merry", "Jolly"), (None, None, "Sunny"), ("Blue", "Low", "Flat")]
    for i in range(1, 5):
        sheet(tmp_path / f"wheel{i}.xlsx", *rows)
    sheet(tmp_path / "wheel5.xlsx", head, ("Blue", "Low", "Flat"))
    names = tuple(f"{kind}_run{i}" for i in range(1, 9) for kind in ("word", "synonym"))
    sheet(tmp_path / "synonym.xlsx", names, ("Jolly", "cheery, bright") + (None,) * 14)
    (tmp_path / "format.csv").write_text('name,format\ncheery,"cheerier,cheeriest"\n', encoding="utf-8")
    (tmp_path / "avamerg_tables.json").write_text(
        json.dumps(
            {
                "ground_truth_projection": {"gloom": "blue"},
                "eight_way_projection": {"blue": "blue", "glad": "glad"},
                "keyword_table_in_search_order": [["glad", ["glad", "joll"]], ["blue", ["blue"]]],
            }
        ),
        encoding="utf-8",
    )
    return tmp_path


def test_a_label_is_traced_to_its_cluster(tables: Path) -> None:
    words = WordLists.read(tables)
    assert words.clusters(" Cheeriest ") == ("glad",) * 4 + (None,)
    assert words.clusters("glad", level=2) == ("merry",) * 4 + (None,)
    assert words.clusters("qwerty") == (None,) * 5


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"wheel1\.xlsx.*--tables"):
        WordLists.read(tmp_path)


def test_undefined_f_is_nan_as_in_the_release(tables: Path) -> None:
    words = WordLists.read(tables)
    f, precision, recall = official_scorers.open_vocabulary({"a": "jolly"}, {"a": "flat"}, words)
    assert math.isnan(f) and math.isnan(precision) and math.isnan(recall)  # the fifth wheel has no clip
    f, precision, recall = official_scorers.open_vocabulary({"a": "flat"}, {"a": "[low, sunny]"}, words)
    assert (precision, recall) == (pytest.approx(0.6), 1.0)


def test_more_labels_never_lower_the_hit_rate(tables: Path) -> None:
    words = WordLists.read(tables)
    truth = {"a": "flat", "b": "qwerty"}
    rate, mscore, _ = official_scorers.hit_rate(truth, {"a": "jolly, sunny, flat", "b": ""}, words)
    assert (rate, mscore) == (1.0, 1.0)


def test_sentiment_reads_exact_words_only() -> None:
    assert official_scorers.sentiment({"a": 1.0, "b": 0.0}, {"a": "Positive", "b": "positive"}) == (0.0, 0.0)


def test_a_perfect_answer_may_count_as_wrong(tables: Path) -> None:
    words = WordLists.read(tables).avamerg_tables()
    truth = official_scorers.projected_truth({"a": "gloom"}, words)
    response = "<think>\nSecondly, the emotion of the speaker is gloom\n</think> oh no"
    with pytest.raises(KeyError, match="gloom"):
        official_scorers.avamerg(truth, {"a": response}, words)
    assert official_scorers.spoken_emotion("a jolly good one", words) == "glad"


@pytest.mark.parametrize(
    ("truth", "given", "hit"),
    [
        ("jolly, unknownword", "unknownword", False),  # what no wheel knows vanishes from both sides
        ("unknownword", "unknownword", False),
        ("QWERTY", ["QWERTY"], False),
        ("jolly", "[cheeriest]", True),  # one cluster, two words
        ("jolly", "flat", False),
        ("neutral", "neutral", True),
        ("neutral, jolly", "[flat, neutral]", True),
        ("neutral", "Neutral", False),  # only the literal word
        ("neutral", "flat", False),
        ("", "neutral", True),  # an empty list is neutral
        ("[]", "['']", True),
        ([], "flat, unknownword", False),
        ("", "unknownword", False),  # a list of unknown words is not empty
        ("jolly", "", False),
    ],
)
def test_a_hit_is_a_shared_cluster_or_neutral_on_both_sides(
    tables: Path, truth: str | list[str], given: str | list[str], hit: bool
) -> None:
    words = WordLists.read(tables)
    assert official_scorers.hit_or_not(truth, given, words) is hit
    assert official_scorers.hit_or_not(given, truth, words) is hit

"""The checks of recorded scores: each case of a metrics_*.json against ours, to 1e-9.

They need the word lists of the official scorer: the folder `--tables`, NANOEMOX_TABLES or `emotion_wheel`
beside the reference folder.
"""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path
from typing import Any

from nanoemox.metrics import official_scorers
from nanoemox.metrics.word_lists import WordLists
from tests.reference.common import Result, load_json

EXACT = 1e-9


class TablesMissing(Exception):
    """No word lists were named, and none lie beside the reference folder."""


def tables_folder(path: Path) -> Path:
    named = os.environ.get("NANOEMOX_TABLES")
    return Path(named) if named else path.resolve().parent.parent / "emotion_wheel"


@cache
def _word_lists(folder: Path) -> WordLists:
    return WordLists.read(folder)


def word_lists(path: Path) -> WordLists:
    folder = tables_folder(path)
    if not folder.is_dir() and "NANOEMOX_TABLES" not in os.environ:
        raise TablesMissing(f"no word lists in {folder}; give --tables or set NANOEMOX_TABLES")
    return _word_lists(folder)


class _Scores(Result):
    """Numbers, None for NaN, in nested lists; anything beyond 1e-9 is a problem."""

    def number(self, name: str, ours: Any, expected: Any) -> None:
        if isinstance(expected, list | tuple):
            if ours is None or len(ours) != len(expected):
                self.equal(name, ours, expected)
                return
            for i, (mine, theirs) in enumerate(zip(ours, expected, strict=True)):
                self.number(f"{name}.{i}", mine, theirs)
            return
        ours = None if ours is None or math.isnan(ours) else float(ours)
        self.entries += 1
        if ours is None or expected is None:
            if ours is not expected:
                self.problems.append(f"{name}: {ours}, expected {expected}")
            return
        error = abs(ours - expected)
        self.float32 = max(self.float32, error)
        if error > EXACT:
            self.problems.append(f"{name}: {ours}, expected {expected}")


def check_wordmap(path: Path) -> Result:
    table, words, result = load_json(path), word_lists(path), _Scores()
    result.equal("wheel words", len(words.wheel_words), table["sizes"]["wheel_words"])
    result.equal("synonyms", len(words.synonyms), table["sizes"]["synonym_keys"])
    result.equal("forms", len(words.forms), table["sizes"]["format_keys"])
    for word, expected in table["words"].items():
        ours = [found or "" for level in (1, 2) for found in words.clusters(word, level)]
        base = words.base_words(word)
        ours += [base[0] if base else "", words.first_synonym(word) or ""]
        result.equal(word, ours, expected)
    return result


def check_open_vocabulary(path: Path) -> Result:
    table, words, result = load_json(path), word_lists(path), _Scores()
    truth, said = table["name2gt"], table["name2pred"]
    for name, expected in table["parsed"].items():
        ours = [official_scorers.label_list(truth[name]), official_scorers.label_list(said[name])]
        result.equal(f"list {name}", ours, expected)
    for wheel, by_name in table["clusters_level1"].items():
        for name, expected in by_name.items():
            index = int(wheel[-1]) - 1
            ours = [sorted(official_scorers.clusters(side[name], words)[index]) for side in (truth, said)]
            result.equal(f"{wheel} {name}", ours, expected)
    for level in (1, 2):
        scores = official_scorers.precision_recall(truth, said, words, level)
        for wheel in range(len(words.wheels)):
            for name, expected in table["per_sample_precision_recall"][
                f"wheel{wheel + 1}_level{level}"
            ].items():
                row = scores[name][wheel]
                result.number(f"wheel{wheel + 1} level{level} {name}", row or (None, None), expected)
        for subset, names in table["subsets"].items():
            recorded = table["aggregate"][subset][f"level{level}"]
            part = {name: scores[name] for name in names}
            means = official_scorers.wheel_means(part)
            for wheel, expected in recorded["per_wheel_precision_recall"].items():
                result.number(f"{subset} level{level} {wheel}", means[int(wheel[-1]) - 1], expected)
            means3 = official_scorers.set_means(part)
            result.number(f"{subset} level{level}", means3, recorded["mean_fscore_precision_recall"])
    return result


def check_hit_rate(path: Path) -> Result:
    table, words, result = load_json(path), word_lists(path), _Scores()
    for i, case in enumerate(table["cases"]):
        truth, said = case["name2gt"], case["name2pred"]
        rate, mscore, per_wheel = official_scorers.hit_rate(truth, said, words)
        result.number(f"case {i}", (rate, mscore), case["mean_hitrate_mscore"])
        for wheel, expected in case["per_wheel_hitrate_mscore"].items():
            result.number(f"case {i} {wheel}", per_wheel[int(wheel[-1]) - 1], expected)
        scores = official_scorers.hits(truth, said, words)
        for wheel, by_name in case["per_sample_hits"].items():
            for name, expected in by_name.items():
                row = scores[name][int(wheel[-1]) - 1]
                result.number(f"case {i} {wheel} {name}", None if row is None else row[0], expected)
    for truth, said, expected in table["hit_or_not"]:
        result.equal(f"{truth} / {said}", official_scorers.hit_or_not(truth, said, words), expected)
    return result


def check_sentiment(path: Path) -> Result:
    result = _Scores()
    for i, case in enumerate(load_json(path)["cases"]):
        ours = official_scorers.sentiment(case["name2gt"], case["name2sentiment"])
        result.number(f"case {i}", ours, (case["waf"], case["acc"]))
    return result


def check_intent(path: Path) -> Result:
    result = _Scores()
    for i, case in enumerate(load_json(path)["cases"]):
        ours = official_scorers.intent(case["name2gt"], case["name2pred"], case["mapping"])
        for name, expected in case["result"].items():
            result.number(f"case {i} {name}", ours[name], expected)
    return result


def check_avamerg(path: Path) -> Result:
    table, tables, result = load_json(path), word_lists(path).avamerg_tables(), _Scores()
    for text, expected in table["extract"]:
        result.equal(text, official_scorers.spoken_emotion(text, tables), expected)
    mapping = table["extract_with_map"]["map"]
    for text, expected in table["extract_with_map"]["rows"]:
        result.equal(text, official_scorers.spoken_emotion(text, tables, mapping), expected)
    for i, case in enumerate(table["dist"]):
        for n in (1, 2, 3):
            result.number(f"dist {i}", official_scorers.dist(case["responses"], n), case[f"dist{n}"])
    for i, case in enumerate(table["hitrate_accuracy"]):
        try:
            ours = official_scorers.emotion_rates(case["name2gt"], case["name2pred"], tables)
        except KeyError as error:
            expected = {name: case.get(name) for name in ("raises", "key")}
            result.equal(f"rates {i}", {"raises": "KeyError", "key": error.args[0]}, expected)
            continue
        result.number(f"rates {i}", ours, (case["hitrate"], case["accuracy"]))
    result.equal("projection keys", sorted(tables.eight_way), table["projection_keys"])
    for i, case in enumerate(table["full"]):
        try:
            figures = official_scorers.avamerg(case["name2gt"], case["name2response"], tables)
        except KeyError as error:
            result.equal(f"full {i}", {"raises": "KeyError", "key": error.args[0]}, case["result"])
            continue
        for name, expected in case["result"].items():
            result.number(f"full {i} {name}", figures.get(name), expected)
    return result

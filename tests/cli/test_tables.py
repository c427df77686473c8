"""--table, to_json and save_report: the same figures in every form."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from nanoemox.cli import main as cli
from nanoemox.files.errors import ArgumentError
from nanoemox.metrics.bootstrap import Figure
from nanoemox.scoring.compare import compare
from nanoemox.scoring.external import score_file
from nanoemox.scoring.score import Scores
from tests.made_up import HOSTILE, make_analysis, make_report


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A manifest of three clips and the answers of two systems, one of which has a name that is hard to write."""
    truth = {"a": "anger", "b": "fear", "c": "anger"}
    lines = [
        {"id": name, "text": "Oh.", "labels": {"emotion": {"label": label}}} for name, label in truth.items()
    ]
    answers = {"one.csv": "anger anger anger", "two_50%.csv": "anger fear anger"}
    for name, labels in answers.items():
        rows = "".join(f"{clip},{label}\n" for clip, label in zip(truth, labels.split(), strict=True))
        (tmp_path / name).write_text("id,label\n" + rows)
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {name: tmp_path / name for name in ("m.jsonl", *answers)}


def run(*arguments: Any, status: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    assert ended.value.code == status


def test_score_writes_its_figures_as_a_table(files: dict[str, Path], tmp_path: Path) -> None:
    report = score_file(files["one.csv"], "emotion", files["m.jsonl"])
    about = ["score", files["one.csv"], "-t", "emotion", "--manifest", files["m.jsonl"]]
    for ending in (".csv", ".md", ".tex"):
        run(*about, "--table", tmp_path / f"t{ending}")
        assert (tmp_path / f"t{ending}").read_text(encoding="utf-8") == report.forms()[ending]()
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["figure"]: row for row in csv.DictReader(file)}
    assert report.standard is not None
    for name, figure in report.standard.items():
        assert float(rows[name]["value"]) == figure["value"] and rows[name]["n"] == "3"
    assert json.loads(report.to_json()) == json.loads(json.dumps(report.to_dict()))


def test_compare_writes_both_means(files: dict[str, Path], tmp_path: Path) -> None:
    a, b = files["one.csv"], files["two_50%.csv"]
    report = compare(a, b, files["m.jsonl"], "emotion")
    run("compare", a, b, "--manifest", files["m.jsonl"], "-t", "emotion", "--table", tmp_path / "t.tex")
    text = (tmp_path / "t.tex").read_text(encoding="utf-8")
    assert text == report.forms()[".tex"]() and r"two\_50\%.csv" in text
    assert "emotion & right label & 0.667 & 1.000 & 0.333 &" in text


def test_a_table_of_another_ending_is_refused_before_any_work(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = sorted(tmp_path.iterdir())
    for command in (
        ["score", files["one.csv"], "-t", "emotion", "--manifest", files["m.jsonl"]],
        ["compare", files["one.csv"], files["two_50%.csv"], "--manifest", files["m.jsonl"]],
        ["evaluate", files["m.jsonl"], "--out", tmp_path / "out"],
    ):
        run(*command, "--table", tmp_path / "t.xlsx", status=2)
        assert "expected a name that ends in .csv, .md or .tex" in capsys.readouterr().err
    run("score", files["one.csv"], "-t", "emotion", "--table", files["one.csv"], status=2)
    assert "the file that is read" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == known


def test_an_evaluation_is_saved_in_five_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Figure(value=0.5, low=0.25, high=1.0, n=2)
    scores = {"tasks": Scores({"emotion": {"accuracy": figure}}), "world_note": "a drawn world"}
    majority = {"majority": Scores({"emotion": {"accuracy": figure | {"value": 0.125}}})}  # type: ignore[dict-item]
    report = make_report(**scores, baselines=majority, ceilings={"all": {"emotion": 0.75}})
    monkeypatch.setattr("nanoemox.evaluation.evaluate.evaluate", lambda *_, **__: report)
    run("evaluate", "m.jsonl", "--out", tmp_path, "--table", tmp_path / "t.csv")
    heads, row = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    assert heads == "task,figure,value,low,high,n,majority,ceiling"
    assert row == "emotion,accuracy,0.5,0.25,1.0,2,0.125,0.75"
    for ending, held in (
        (".md", "a drawn world"),
        (".tex", "a drawn world"),
        (".html", "<html"),
        (".json", "0.125"),
    ):
        report.save_report(tmp_path / f"t{ending}")
        assert held in (tmp_path / f"t{ending}").read_text(encoding="utf-8"), ending


def test_an_analysis_is_saved_as_json_and_as_a_page(tmp_path: Path) -> None:
    analysis = make_analysis()
    assert json.loads(analysis.to_json()) == json.loads(json.dumps(analysis.to_dict()))
    analysis.save_report(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == analysis.to_json()
    analysis.save_report(str(tmp_path / "a.HTML"))
    page = (tmp_path / "a.HTML").read_text(encoding="utf-8")
    assert "I am so sorry." in page and HOSTILE not in page
    with pytest.raises(ArgumentError, match=r"ends in \.json or \.html"):
        analysis.save_report(tmp_path / "a.pdf")

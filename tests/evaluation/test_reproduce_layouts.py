"""Benchmarks from toy corpora as they are downloaded, with films that are read; and what cannot be measured."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from nanoemox.cli import main as cli
from nanoemox.evaluation import predict as predictions
from nanoemox.evaluation.benchmarks import benchmarks, find_corpora
from nanoemox.evaluation.reproduce import reproduce
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from tests.evaluation import toy_benchmarks as toy
from tests.test_docs import DOCS, blocks, plain


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every corpus of every benchmark."""
    root = tmp_path_factory.mktemp("downloads")
    for plant in (toy.merunibench, toy.mintrec, toy.mintrec2, toy.avamerg, toy.emer):
        plant(root)
    return root


@pytest.fixture
def analyzer(model: Any, processor: Any) -> EmotionAnalyzer:
    return EmotionAnalyzer(model, processor, "toy")


@pytest.mark.parametrize("name", list(benchmarks()))
def test_every_benchmark_is_measured_from_the_original_layouts(
    name: str, downloads: Path, tmp_path: Path, analyzer: EmotionAnalyzer
) -> None:
    report = reproduce(name, analyzer, downloads, tmp_path / "out", max_new_tokens=4)
    plan = benchmarks()[name]
    assert not report.missing and [corpus.corpus for corpus in report.corpora] == plan.corpora
    for corpus in report.corpora:
        assert (corpus.clips, corpus.skipped, corpus.broken) == (2, 0, {}), corpus
        known = corpus.corpus in ("ov_merd", "emer")
        assert corpus.layout == (
            {"ov_merd": "processed", "emer": "v1"}[corpus.corpus] if known else "original"
        )
    # Of a reply of one word there is no pair of words; every other figure is of both clips.
    assert all(cell.n == 2 for cell in report.cells if cell.name != "Dist-2")
    assert all(len(paper["values"]) == len(report.cells) for paper in report.published)


def test_one_clip_is_enough_to_go_on_after_a_kill(
    downloads: Path, tmp_path: Path, analyzer: EmotionAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reproduce("merunibench", analyzer, downloads, tmp_path / "whole", max_new_tokens=4)
    answer, asked = predictions._answer, []

    def die_in_the_third_corpus(*arguments: Any, **named: Any) -> Any:
        asked.append([record.id for record, _ in arguments[1]])
        if len(asked) == 6:  # the second clip of the third corpus
            raise KeyboardInterrupt
        return answer(*arguments, **named)

    monkeypatch.setattr(predictions, "_answer", die_in_the_third_corpus)
    with pytest.raises(KeyboardInterrupt):
        reproduce("merunibench", analyzer, downloads, tmp_path / "out", max_new_tokens=4, batch_size=1)
    assert not (tmp_path / "out" / "report.json").exists()
    resumed = reproduce("merunibench", analyzer, downloads, tmp_path / "out", max_new_tokens=4, batch_size=1)
    assert len(asked) == 6 + 18 - 5  # five were answered, and the one that died is asked again
    assert resumed.cells == whole.cells


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_new_tokens": 5}, "max_new_tokens"),
        ({"benchmark": "mintrec2"}, "benchmark"),
        ({"name": "another"}, "model"),
    ],
)
def test_another_protocol_is_refused_before_a_clip_is_asked(
    change: dict[str, Any], named: str, downloads: Path, tmp_path: Path, analyzer: EmotionAnalyzer
) -> None:
    reproduce("mintrec", analyzer, downloads, tmp_path / "out", max_new_tokens=4)
    before = sorted(tmp_path.rglob("predictions.jsonl"))
    analyzer.name = change.pop("name", analyzer.name)
    arguments = {"benchmark": "mintrec", "max_new_tokens": 4} | change
    benchmark = str(arguments.pop("benchmark"))
    with pytest.raises(
        ArgumentError, match=rf"answers of another run are there \(.*{named}.*choose a new folder"
    ):
        reproduce(benchmark, analyzer, downloads, tmp_path / "out", **arguments)
    assert sorted(tmp_path.rglob("predictions.jsonl")) == before


def test_a_question_in_other_words_is_another_protocol(
    downloads: Path, tmp_path: Path, analyzer: EmotionAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reproduce("mintrec", analyzer, downloads, tmp_path / "out", max_new_tokens=4)
    monkeypatch.setattr(type(analyzer.tasks), "question", lambda self, task, candidates: "What is meant?")
    with pytest.raises(ArgumentError, match=r"another run are there \(questions\)"):
        reproduce("mintrec", analyzer, downloads, tmp_path / "out", max_new_tokens=4)
    (tmp_path / "out" / "protocol.json").write_text("{")
    with pytest.raises(NanoEmoXError, match=r"protocol\.json: is no protocol"):
        reproduce("mintrec", analyzer, downloads, tmp_path / "out", max_new_tokens=4)


def test_a_corpus_that_is_half_there_is_measured_and_told(
    downloads: Path, tmp_path: Path, analyzer: EmotionAnalyzer
) -> None:
    data = tmp_path / "data"
    shutil.copytree(downloads / "MOSI", data / "MOSI")
    shutil.copytree(downloads / "MELD.Raw", data / "MELD.Raw")
    (data / "MOSI" / "Raw" / "abc" / "2.mp4").unlink()  # one clip
    for clip in (data / "MELD.Raw" / "test").rglob("*.mp4"):  # words alone: the clips are another download
        clip.unlink()
    report = reproduce("merunibench", analyzer, data, tmp_path / "out", max_new_tokens=4)
    by_name = {corpus.corpus: corpus for corpus in report.corpora}
    assert (by_name["cmu_mosi"].clips, by_name["cmu_mosi"].skipped) == (1, 1)
    assert by_name["cmu_mosi"].published_clips == 686 and by_name["cmu_mosi"].without_media == 0
    assert (by_name["meld"].clips, by_name["meld"].without_media) == (2, 2)
    assert set(report.missing) == {
        "mer2023",
        "mer2024",
        "iemocap",
        "cmu_mosei",
        "ch_sims",
        "ch_sims_v2",
        "ov_merd",
    }
    assert report.mean is None


def test_a_clip_that_is_damaged_counts_as_wrong(
    downloads: Path, tmp_path: Path, analyzer: EmotionAnalyzer
) -> None:
    data = tmp_path / "data"
    shutil.copytree(downloads / "MIntRec", data / "MIntRec")
    (data / "MIntRec" / "raw_data" / "S05" / "E01" / "2.mp4").write_bytes(b"no film")
    report = reproduce("mintrec", analyzer, data, tmp_path / "out", max_new_tokens=4)
    (corpus,) = report.corpora
    assert list(corpus.broken) == ["S05_E01_2"] and report.cells[0].n == 2


def test_of_a_single_corpus_the_folder_itself_may_be_named(downloads: Path, tmp_path: Path) -> None:
    assert find_corpora(["mintrec"], downloads / "MIntRec")[0] == {"mintrec": downloads / "MIntRec"}
    assert find_corpora(["mintrec2"], downloads)[0] == {"mintrec2": downloads / "MIntRec2.0"}
    assert find_corpora(["ch_sims_v2", "ch_sims"], downloads)[0] == {
        "ch_sims_v2": downloads / "ch-simsv2s",
        "ch_sims": downloads / "SIMS",
    }


def _one_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", *arguments])
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert ended.value.code == 2 and line.startswith("nanoemox: ")
    return line


def test_a_wrong_folder_of_a_single_corpus_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "holiday").mkdir()
    line = _one_line(capsys, "mintrec", "--data", str(tmp_path / "holiday"), "--out", str(tmp_path / "out"))
    assert "MIntRec: expected at least one of its corpora" in line and "test.tsv" in line


@pytest.mark.parametrize("name", ["merunibench", "avamerg"])
def test_the_table_fits_a_terminal_of_eighty_columns(
    name: str, downloads: Path, tmp_path: Path, analyzer: EmotionAnalyzer
) -> None:
    from io import StringIO

    from rich.console import Console

    from nanoemox.cli.terminal import show_reproduction

    report = reproduce(name, analyzer, downloads, tmp_path / "out", limit=1, max_new_tokens=4)
    console = Console(file=StringIO(), width=80)
    show_reproduction(console, report)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown
    assert all(f"{value:.2f}" in shown for paper in report.published for value in paper["values"] if value)
    assert all(cell.name.split()[0] in shown for cell in report.cells)


def test_a_model_is_calibrated_on_the_other_clips_of_a_prepared_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The validation clips of a benchmark's corpus, by the same reader, and then the benchmark with that model."""
    root = toy.prepared_mosi(tmp_path / "data")
    manifest = root / "cmumosi-process" / "manifest.jsonl"
    folder = tmp_path / "pico"
    shutil.copytree(str(resources.files("nanoemox") / "weights" / "pico"), folder)
    for arguments in (
        ["corpora", "prepare", "cmu_mosi", str(manifest.parent), str(manifest)],
        ["calibrate", str(folder), str(manifest), "--json", "-"],
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert not ended.value.code
    found = json.loads(capsys.readouterr().out)["tasks"]
    assert found["sentiment"]["n"] == 12
    stored = json.loads((folder / "processor_config.json").read_text())["temperatures"]
    assert stored == {"sentiment": found["sentiment"]["temperature"]}
    report = reproduce("merunibench", folder, root, tmp_path / "out", limit=1)
    assert [corpus.corpus for corpus in report.corpora] == ["cmu_mosi"] and report.corpora[0].clips == 1


def test_the_page_shows_what_the_command_prints(
    downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(downloads, tmp_path / "toy", ignore=shutil.ignore_patterns("SIMS"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    found = dict(blocks(DOCS / "reproduce.md"))
    command = next(line for line in found["sh"].splitlines() if line.startswith("nanoemox"))
    with pytest.raises(SystemExit):
        cli.main(command.split()[1:])
    assert plain(capsys.readouterr().out) == plain(found["text"])
    assert json.loads((tmp_path / "results" / "report.json").read_text())["model"] == "pico"

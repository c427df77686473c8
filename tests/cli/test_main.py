"""The command line: quick to answer, one line for a fault, files written whole or not at all."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nanoemox import __version__
from nanoemox.cli import main as cli
from nanoemox.cli.options import TASK_NAMES
from nanoemox.data.filtering import LeftOut
from nanoemox.evaluation.report import EvaluationReport
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.inference.results import Analysis
from nanoemox.metrics.bootstrap import Figure
from nanoemox.scoring.score import Scores
from nanoemox.tasks.task import TASKS
from nanoemox.theatre.dials import DEFAULT
from nanoemox.training.p2e import TrainingResult
from tests.made_up import HOSTILE, make_analysis, make_clip, make_report
from tests.media_files import make_media

HEAVY = ("torch", "transformers", "numpy", "av", "PIL", "pydantic", "yaml")


class Analyzer:
    """Stands in for `EmotionAnalyzer`: remembers what it was asked and answers something made up."""

    asked: dict[str, Any]
    processor = SimpleNamespace(compat=None)

    def analyze(self, clip: Any, **asked: Any) -> Analysis:
        type(self).asked = {"clip": clip, **asked}
        return replace(make_analysis(asked["tasks"] or ["emotion", "empathy"]), text=asked["text"])


@pytest.fixture
def analyzer(monkeypatch: pytest.MonkeyPatch) -> type[Analyzer]:
    def load_clip(path: str, **_: Any) -> Any:
        return make_clip(Path(path).name)

    def from_pretrained(*_: Any, **__: Any) -> Analyzer:
        return Analyzer()

    monkeypatch.setattr("nanoemox.media.load.load_clip", load_clip)
    monkeypatch.setattr("nanoemox.inference.analyzer.EmotionAnalyzer.from_pretrained", from_pretrained)
    return Analyzer


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Runs a command that has to fail, and returns its one line."""

    def run(*arguments: str | Path) -> str:
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert exit_.value.code == 2
        assert out == ""
        assert err.count("\n") == 1 and "Traceback" not in err, err
        return err

    return run


def run(*arguments: str | Path) -> None:
    """Run a command in this process; it has to succeed."""
    with pytest.raises(SystemExit) as exit_:
        cli.main([str(argument) for argument in arguments])
    assert exit_.value.code == 0


# ---------------------------------------------------------------------- answering at once
def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from nanoemox.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "analyze" in done.stdout and done.stdout.splitlines()[-1] == "heavy:"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, nanoemox; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_offers_its_names() -> None:
    import nanoemox

    for name in nanoemox.__all__:
        assert getattr(nanoemox, name) is not None
    with pytest.raises(AttributeError, match="EmotionAnalyzer"):
        _ = nanoemox.Emotion


@pytest.mark.parametrize(
    "command", ["analyze", "theatre make", "train", "evaluate", "info", "corpora prepare", "corpora doctor"]
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(*command.split(), "--help")
    assert "Usage" in capsys.readouterr().out


# ---------------------------------------------------------------------- analyze
def test_analyze_shows_a_table_and_writes_both_files(
    analyzer: type[Analyzer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--json", tmp_path / "out.json", "--html", tmp_path / "out.html"]
    run("analyze", "clip.mp4", "--text", "Oh no.", "--max-new-tokens", "9", *wanted)
    out, err = capsys.readouterr()
    for shown in ("sadness", "70%", "a plant has died", "I am so sorry.", "Affect Theatre"):
        assert shown in " ".join(out.split()), shown
    assert sorted(err.split("\n")) == [
        "",
        *(f"wrote {tmp_path / f'out.{kind}'}" for kind in ("html", "json")),
    ]
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert set(written) >= {"clip", "model", "modalities", "tasks", "warnings", "timing_s"}
    assert written["tasks"]["emotion"]["label"] == "sadness"
    assert "Oh no." in (tmp_path / "out.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "out.json"]
    assert analyzer.asked["text"] == "Oh no." and analyzer.asked["tasks"] is None
    assert analyzer.asked["max_new_tokens"] == 9


def test_json_to_standard_output_is_nothing_but_json(
    analyzer: type[Analyzer], capsys: pytest.CaptureFixture[str]
) -> None:
    run("analyze", "clip.mp4", "--json", "-", "--task", "emotion", "--task", "reasoning")
    out, err = capsys.readouterr()
    written = json.loads(out)
    assert err == "" and list(written["tasks"]) == ["emotion", "reasoning"]
    assert HOSTILE in written["tasks"]["reasoning"]["text"]


def test_words_alone_need_no_file(analyzer: type[Analyzer]) -> None:
    run("analyze", "--text-only", "--text", "Oh no.")
    assert analyzer.asked["clip"].frames is None
    assert "--text-only" in analyzer.asked["clip"].modalities["audio"]


def test_a_name_may_begin_with_a_dash(analyzer: type[Analyzer]) -> None:
    run("analyze", "--", "-v.mp4")
    assert analyzer.asked["clip"].path.endswith("-v.mp4")


# ---------------------------------------------------------------------- refusing
def test_an_unknown_task_is_told_what_exists(refused: Any) -> None:
    line = refused("analyze", "clip.mp4", "--task", "mood")
    assert "mood" in line and "open_vocabulary" in line and "empathy" in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["analyze"], "CLIP is missing"),
        (["analyze", "--text-only"], "--text"),
        (["analyze", "x.mp4", "--max-new-tokens", "0"], "max-new-tokens"),
        (["analyze", "x.mp4", "--text-only", "--text", "y"], "no CLIP"),
        (["analyze", "x.mp4", "--json", "nowhere/x.json"], "nowhere"),
        (["analyze", "x.mp4", "--json", "same", "--html", "same"], "same file"),
        (["analyze", "missing.mp4"], "missing.mp4"),
        (["analyze", "missing – ✓ 映画.mp4"], "映画"),
        (["analyze", "two\nlines \x1b[2J.mp4"], "two"),
    ],
)
def test_a_fault_is_one_line(
    arguments: list[str], told: str, refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused(*arguments)
    assert told in line and "\x1b" not in line
    assert list(tmp_path.iterdir()) == []


def test_the_clip_itself_is_never_overwritten(refused: Any, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"precious")
    assert "the file that is read" in refused("analyze", clip, "--json", clip)
    assert clip.read_bytes() == b"precious"


@pytest.mark.parametrize("model", ["mini", "./no/folder", "nano"])
def test_an_unknown_model_is_told_at_once_what_exists(
    model: str, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoemox.media.load.load_clip", lambda path, **_: make_clip(path))
    line = refused("analyze", "x.mp4", "--model", model)
    assert model in line and "pico" in line and "folder" in line


def test_a_folder_cannot_be_written_to(refused: Any, tmp_path: Path) -> None:
    assert "folder" in refused("analyze", "x.mp4", "--html", tmp_path)


def test_text_renamed_to_mp4_leaves_no_files(refused: Any, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_text("not a video\n" * 50)
    line = refused("analyze", clip, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    assert "clip.mp4" in line
    assert list(tmp_path.iterdir()) == [clip]


def test_nothing_is_written_when_one_file_cannot_be(
    analyzer: type[Analyzer], refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise ArgumentError("no page today")

    monkeypatch.setattr("nanoemox.inference.page.render_report", broken)
    (tmp_path / "a.json").write_text("before")
    wanted = ["--json", tmp_path / "a.json", "--html", tmp_path / "a.html"]
    assert "no page today" in refused("analyze", "clip.mp4", *wanted)
    assert (tmp_path / "a.json").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_words_of_a_command_that_are_wrong_take_one_line(refused: Any) -> None:
    told = refused("analyse")
    assert "No such command 'analyse'" in told and "see nanoemox --help" in told
    assert "No such option: --mood" in refused("analyze", "a.mp4", "--mood", "emotion")
    assert "see nanoemox evaluate --help" in refused("evaluate", "m.jsonl")
    assert "--split" in refused("theatre", "make", "out", "--split", "other")


def test_a_name_with_a_dash_is_told_how(
    refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, analyzer: type[Analyzer]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-clip.mp4").write_bytes(b"x")
    assert "put -- before -clip.mp4" in refused("analyze", "-clip.mp4")
    run("analyze", "--", "-clip.mp4")
    assert analyzer.asked["clip"].path.endswith("/-clip.mp4")


def test_help_names_the_tasks_there_are_and_begins_with_analyze(capsys: pytest.CaptureFixture[str]) -> None:
    assert ", ".join(TASKS) == TASK_NAMES
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    commands = [line.split()[1] for line in capsys.readouterr().out.split("\n") if re.match("│ [a-z]", line)]
    assert commands[:2] == ["analyze", "evaluate"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"nanoemox {__version__}\n"


def test_nothing_asked_gets_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([])
    said = capsys.readouterr()
    assert "Usage" in said.out + said.err and "analyze" in said.out + said.err


def test_a_disk_that_is_full_names_the_file(
    refused: Any, tmp_path: Path, analyzer: type[Analyzer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert "r.json: could not be written (No space left" in refused(
        "analyze", "a.mp4", "--json", tmp_path / "r.json"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_never_replaced_by_a_file(refused: Any, tmp_path: Path, analyzer: type[Analyzer]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "this is a pipe or device" in refused("analyze", "a.mp4", "--json", tmp_path / "pipe")


def test_a_traceback_is_there_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANOEMOX_DEBUG", "1")
    with pytest.raises(ValueError, match="CLIP is missing"):
        cli.main(["analyze"])


# ---------------------------------------------------------------------- a fault, and a bug
@pytest.mark.parametrize("error", sorted(NanoEmoXError.__subclasses__(), key=lambda error: error.__name__))
def test_every_error_of_ours_is_one_line(
    error: type[NanoEmoXError], refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raised = error.__new__(error)
        ValueError.__init__(
            raised, "m.jsonl: cannot be used; use another"
        )  # whatever the class asks for beside it
        raise raised

    monkeypatch.setattr("nanoemox.evaluation.evaluate.evaluate", broken)
    line = refused("evaluate", "m.jsonl", "--out", "o")
    assert line == "nanoemox: m.jsonl: cannot be used; use another\n"


def test_a_file_that_may_not_be_read_is_one_line(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", "m.jsonl")

    monkeypatch.setattr("nanoemox.evaluation.evaluate.evaluate", locked)
    assert refused("evaluate", "m.jsonl", "--out", "o") == "nanoemox: m.jsonl: Permission denied\n"


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, RuntimeError, AssertionError])
def test_a_bug_is_not_told_as_a_fault_of_the_user(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise error("a bug of ours")

    monkeypatch.setattr("nanoemox.evaluation.evaluate.evaluate", broken)
    with pytest.raises(error, match="a bug of ours"):
        cli.main(["evaluate", "m.jsonl", "--out", "o"])
    assert "nanoemox:" not in capsys.readouterr().err


def test_a_value_error_of_numpy_shows_its_traceback(tmp_path: Path) -> None:
    make_media(tmp_path / "clip.mp4", 1.0)
    code = (
        "import sys, numpy\n"
        "def broken(*args, **kwargs): raise ValueError('operands could not be broadcast together')\n"
        "numpy.concatenate = numpy.stack = broken\n"
        "from nanoemox.cli.main import main\n"
        "main(['analyze', sys.argv[1]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "clip.mp4")], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stdout == ""
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.rstrip().endswith("ValueError: operands could not be broadcast together")


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "nanoemox", "analyze"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("nanoemox: CLIP is missing")


def test_a_shell_is_told_the_commands() -> None:
    asked = {"_NANOEMOX_COMPLETE": "complete_bash", "COMP_WORDS": "nanoemox eval", "COMP_CWORD": "1"}
    code = "from nanoemox.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked}
    )
    assert done.stdout.split() == ["evaluate"]


# ---------------------------------------------------------------------- what the other commands pass on
def test_train_passes_its_options_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}
    faults: dict[str, Any] = {}

    def train(recipe: str, **options: Any) -> TrainingResult:
        asked.update(recipe=recipe, **options)
        logging.getLogger("nanoemox.training.p2e").info("phase %s [3/9]", "1a")
        return TrainingResult(Path("runs/x"), LeftOut(faults=faults))

    monkeypatch.setattr("nanoemox.training.run.train", train)
    options = ["--phase", "1a", "--resume", "--set", "phases.1a.steps=3", "--workers", "4", "--device", "cpu"]
    run("train", "p2e_pico", *options)
    assert asked == {
        "recipe": "p2e_pico",
        "phase": "1a",
        "resume": True,
        "overrides": ["phases.1a.steps=3", "workers=4"],
        "device": "cpu",
    }
    assert capsys.readouterr() == ("", f"phase 1a [3/9]\nwrote {Path('runs/x')}\n")
    faults["m.jsonl"] = {"a": "gone"}
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "p2e_pico"])
    assert ended.value.code == 1


def test_evaluate_passes_its_options_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def evaluate(manifest: Path, **options: Any) -> EvaluationReport:
        asked.update(manifest=manifest, **options)
        return make_report(tasks=Scores({"emotion": {"accuracy": Figure(value=0.5, low=0.0, high=1.0, n=2)}}))

    monkeypatch.setattr("nanoemox.evaluation.evaluate.evaluate", evaluate)
    run(
        "evaluate",
        "m.jsonl",
        "--out",
        "o",
        "--task",
        "emotion",
        "--modalities",
        "text",
        "--alone",
        "--seed",
        "7",
        "--workers",
        "3",
        "--max-new-tokens",
        "9",
    )
    assert asked["manifest"] == Path("m.jsonl") and asked["out"] == Path("o")
    assert asked["tasks"] == ["emotion"] and asked["modalities"] == ["text"]
    assert asked["max_new_tokens"] == 9
    assert asked["alone"] is True and asked["seed"] == 7 and asked["workers"] == 3 and asked["limit"] is None
    out, err = capsys.readouterr()
    assert "emotion" in out and "accuracy" in out and "report.html" not in out
    assert err == f"wrote {Path('o/report.json')}\nwrote {Path('o/report.html')}\n"
    run("evaluate", "m.jsonl", "--out", "o", "--json", "-")
    assert json.loads(capsys.readouterr().out)["n"] == 2


def test_theatre_passes_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "nanoemox.theatre.make.make_theatre", lambda *given, **named: asked.extend([*given, named])
    )
    run("theatre", "make", "out", "--clips", "3", "--seed", "5", "--split", "test", "--workers", "2")
    assert asked == [Path("out"), 3, 5, "test", 2, {"dials": DEFAULT}]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "no_such_recipe"], "no_such_recipe"),
        (["evaluate", "no_such_manifest.jsonl", "--out", "out"], "no_such_manifest.jsonl"),
        (["corpora", "prepare", "no_such_corpus", ".", "x.jsonl"], "crema_d"),
        (["corpora", "doctor", "no_such_manifest.jsonl"], "no_such_manifest.jsonl"),
    ],
)
def test_other_commands_refuse_in_one_line_too(
    arguments: list[str], told: str, refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in refused(*arguments)


def test_corpora_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    run("corpora", "list")
    assert "crema_d" in capsys.readouterr().out
    run("corpora", "list", "--json", "-")
    assert json.loads(capsys.readouterr().out)["crema_d"]["title"] == "CREMA-D"


def test_the_doctor_says_by_its_status_whether_clips_have_to_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"id": "a", "video": "missing.mp4"}\n')
    with pytest.raises(SystemExit) as exit_:
        cli.main(["corpora", "doctor", str(manifest), "--workers", "0", "--json", str(tmp_path / "r.json")])
    assert exit_.value.code == 1
    assert "missing" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["quarantined"].keys() == {"a"}


# ---------------------------------------------------------------------- info
def test_info_names_every_part_of_the_papers_model(capsys: pytest.CaptureFixture[str]) -> None:
    run("info", "--model", "nano", "--json", "-")
    sizes = json.loads(capsys.readouterr().out)
    assert sizes["parameters"]["total"] == 2_319_130_683
    assert sum(sizes["parameters"]["parts"].values()) == sizes["parameters"]["total"]
    assert sizes["trainable"] == {"1a": 20_905_472, "1b": 22_572_800, "2": 50_835_203, "3": 69_299_971}

"""The scripts in benchmarks/ still run: all of them up to their help, the cheap ones at their smallest size."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.metrics.test_official_scorers import tables as tables  # the fixture

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # as Python does itself for a script that is started
    runpy.run_path(str(BENCHMARKS / name), run_name="__main__")


@pytest.mark.parametrize("name", sorted(path.name for path in BENCHMARKS.glob("*.py")))
def test_each_starts_and_says_what_it_measures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, name, "--help")
    first_line = (BENCHMARKS / name).read_text("utf-8").splitlines()[0].removeprefix('"""')
    assert ended.value.code == 0 and first_line in " ".join(capsys.readouterr().out.split())


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What a benchmark printed: one line of JSON."""
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    found: dict[str, Any] = json.loads(lines[0])
    return found


def test_scoring(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "scoring.py", "--n", "40", "--resamples", "1")  # fails if two ways of scoring disagree
    found = result(capsys)
    assert found["benchmark"] == "scoring" and found["predictions"] == 40 and found["figures"] > 5


@pytest.fixture
def reasons(tmp_path: Path) -> Path:
    """Two clips and what two systems wrote about them."""
    truth = [
        {"id": "a", "emotion": "anger", "reason": "He shouts with wide eyes. He is angry."},
        {"id": "b", "emotion": "worried", "reason": "She looks down and sighs. She is sad."},
    ]
    answers = {
        "one": ["He shouts. He is angry.", "She sighs. She is sad and afraid."],
        "two": ["He is calm.", "She looks down. She is happy."],
    }
    (tmp_path / "systems").mkdir()
    (tmp_path / "emer_v1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in truth))
    for system, texts in answers.items():
        lines = [{"id": name, "output": text} for name, text in zip("ab", texts, strict=True)]
        (tmp_path / "systems" / f"{system}.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines)
        )
    return tmp_path


def test_reasons(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reasons: Path) -> None:
    run(monkeypatch, "reasons.py", reasons)
    found = result(capsys)
    assert found["clips"] == 2 and found["runs"]["one"]["ours"] > found["runs"]["two"]["ours"]
    assert found["altered"]["denied"] < found["altered"]["as it is"]


def test_speed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    model: Any,
    processor: Any,
) -> None:
    model.save_pretrained(tmp_path / "toy")
    processor.save_pretrained(tmp_path / "toy")
    with pytest.raises(SystemExit) as ended:
        run(
            monkeypatch,
            "speed.py",
            *("--model", tmp_path / "toy", "--parts", "six", "closed", "step", "encoders"),
            *("--repeats", "1", "--no-warm", "--threads", "1", "--share-of-lengths", "0.1"),
        )
    assert ended.value.code == 0
    found = result(capsys)
    assert found["model"] == "toy" and found["dtype"] == "float32"
    assert found["six"]["new_tokens"]["empathy"] == 8 and found["six"]["ratio"]["seconds"] > 0
    assert found["step"]["rows_6"]["share_of_bandwidth_step"]["processor_s"] > 0
    assert found["closed"]["same_texts"] is True
    assert found["encoders"]["ratio"]["processor_s"] > 0

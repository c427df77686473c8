"""The scripts in examples/, each run as a user runs it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nanoemox.tasks.task import TASKS
from tests.media_files import tone, write_wav

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SAMPLE = ROOT / "demo" / "sample.mp4"
NUMBER = r"(\d\.\d{3})"


def run(script: str, *arguments: str | Path, status: int = 0) -> list[str]:
    """The lines that an example prints; its errors come after them."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    return (done.stdout + done.stderr * bool(status)).splitlines()


def readings(lines: list[str]) -> dict[str, dict[str, float]]:
    """`task: label` and the lines `label probability` below it -> task -> labels and probabilities, as printed."""
    found: dict[str, dict[str, float]] = {}
    task = ""
    for line in lines:
        if row := re.fullmatch(rf"  (\S.*?) +{NUMBER}", line):
            found[task][row[1]] = float(row[2])
        else:
            task = line.partition(":")[0]
            found.setdefault(task, {})
    return {task: rows for task, rows in found.items() if rows}


def test_analyze_clip() -> None:
    lines = run("analyze_clip.py")
    found = readings(lines)
    assert set(found) == {"emotion", "intent"} and all(len(rows) == 3 for rows in found.values())
    for task, rows in found.items():
        shown = list(rows.values())
        assert shown == sorted(shown, reverse=True) and 0.5 < sum(shown) <= 1.002
        assert f"{task}: {next(iter(rows))}" in lines
    assert next(iter(found["emotion"])) == "sadness"
    parts = dict(line.split(": ", 1) for line in lines if ": " in line)
    assert parts["cause"] == "the late clock" and len(parts["reply"]) > 20
    assert parts["video"] == parts["audio"] == parts["text"] == "present"
    assert "Affect Theatre" in parts["warning"]


def test_analyze_folder(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copy(SAMPLE, clips)
    shutil.copy(ROOT / "demo" / "sample.txt", clips)
    (clips / "broken.mp4").write_bytes(SAMPLE.read_bytes()[:2000])
    write_wav(clips / "alone.wav", tone(1.0, 16_000)[0])
    lines = run("analyze_folder.py", clips, tmp_path / "answers.csv", status=1)
    assert lines[0].endswith("2 of 3 files were analysed") and lines[-1].startswith(
        "1 files could not be read"
    )
    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        alone, broken, sample = csv.DictReader(file)
    assert [row["file"] for row in (alone, broken, sample)] == ["alone.wav", "broken.mp4", "sample.mp4"]
    assert sample["emotion"] == "sadness" and float(sample["probability"]) > 0.9
    assert float(sample["valence"]) < -0.5 and "no text" not in sample["warnings"] and not sample["error"]
    assert "no video" in alone["warnings"] and "no text" in alone["warnings"] and alone["emotion"]
    assert "broken.mp4" in broken["error"] and not broken["emotion"]


def test_own_labels() -> None:
    lines = run("own_labels.py", "--emotion", "calm,cross", "--intent", "Ask,Refuse,Agree")
    found = readings(lines)
    assert {task: set(rows) for task, rows in found.items()} == {
        "emotion": {"calm", "cross"},
        "intent": {"Ask", "Refuse", "Agree"},
    }
    for task, rows in found.items():
        assert sum(rows.values()) == pytest.approx(1, abs=0.002)
        assert f"{task}: {max(rows, key=lambda label: rows[label])}" in lines


def test_fine_tune(tmp_path: Path) -> None:
    lines = run("fine_tune.py", tmp_path / "out", "--steps", "1")
    model = tmp_path / "out" / "run" / "tuned"
    assert any("2 lines in" in line for line in lines)
    told, _, label = lines[-1].rpartition(" is ")
    assert told == f"{model}: the emotion of sample-0-2" and label in TASKS["emotion"].defaults
    assert json.loads((model / "phase.json").read_text("utf-8"))["realised"]["tasks"] == {"emotion": 2}
    bundled = ROOT / "src" / "nanoemox" / "weights" / "pico" / "model.safetensors"
    assert (model / "model.safetensors").read_bytes() != bundled.read_bytes()


def test_score_peer(tmp_path: Path) -> None:
    lines = run("score_peer.py")
    assert lines[0] == "30 labelled clips"
    figures = {
        row[1]: [float(number) for number in row.groups()[1:]]
        for line in lines
        if (row := re.fullmatch(rf"(\w+) +{NUMBER}  \(95 %: {NUMBER} to {NUMBER}\)", line))
    }
    # Of 30 answers 8 are "sadness" and wrong, of which one is missing; one is empty, and one is not offered.
    assert figures["accuracy"][0] == 0.667 and figures["off_list_rate"][0] == 0.033
    assert all(low <= value <= high for value, low, high in figures.values())
    assert figures["accuracy"][1] < 0.6 < 0.7 < figures["accuracy"][2]
    faults = dict(line.split(": ", 1) for line in lines[len(figures) + 1 :])
    assert [faults[kind] for kind in sorted(faults)] == [
        "clip-01", "clip-07", "clip-99", "clip-09: 'bored'", "clip-20",
    ]  # fmt: skip

    (tmp_path / "m.jsonl").write_text(
        '{"id": "a", "text": "Hm.", "labels": {"intent": {"label": "Thank"}}}\n', encoding="utf-8"
    )
    (tmp_path / "a.csv").write_text("id,label\na,Thank\n", encoding="utf-8")
    lines = run("score_peer.py", tmp_path / "a.csv", tmp_path / "m.jsonl", "--task", "intent")
    assert lines[0] == "1 labelled clips" and "accuracy             1.000" in lines[1]


def test_the_readme_names_every_example_and_the_command_that_its_docstring_gives() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert re.findall(r"\]\((\w+\.py)\)", page) and len(scripts) == 5
    for script in scripts:
        (command,) = re.findall(
            rf"^Run it:  (python examples/{script.name}.*)$", script.read_text("utf-8"), re.M
        )
        assert f"[{script.name}]({script.name})" in page and f"`{command}`" in page

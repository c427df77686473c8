"""The wheel: it holds the package and nothing else, and it works where nothing but its dependencies is installed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "nanoemox"
SAMPLE = ROOT / "demo" / "sample.mp4"


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a command prints; the test fails with its errors if it fails. It sees no package but the installed one."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, (
        f"{shlex.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel of the working tree, built with the build backend that is installed here."""
    path = os.environ.get("PYTHONPATH", "")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT, PYTHONPATH=path)
    (wheel,) = folder.glob("nanoemox-*-py3-none-any.whl")
    return wheel


def test_the_wheel_holds_the_whole_package_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(tmp_path)) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        about = {name.partition(".dist-info/")[2]: name for name in wheel.namelist() if name not in held}
        commands = wheel.read(about["entry_points.txt"]).decode()
    there = {
        f"nanoemox/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == there
    kinds = {Path(name).suffix for name in held} | {Path(name).name for name in held}
    assert kinds >= {".yaml", ".jinja", ".json", ".safetensors", ".md", "py.typed", "__main__.py"}
    assert set(about) == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert "nanoemox = nanoemox.cli.main:main" in commands


@pytest.mark.slow
def test_the_wheel_answers_in_an_empty_environment_as_the_working_tree_does(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "-w", tmp_path, ROOT, cwd=tmp_path, PYTHONPATH=os.environ.get("PYTHONPATH", ""))
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "empty", cwd=tmp_path)
    commands = tmp_path / "empty" / "bin"
    sources = shlex.split(os.environ.get("PIP_ARGS", ""))
    pins = ["-c", str(ROOT / "constraints.txt")]
    run(commands / "python", "-m", "pip", "install", "--quiet", *sources, *pins, wheel, cwd=tmp_path)
    run(commands / "python", "-m", "pip", "check", cwd=tmp_path)

    home = run(commands / "python", "-c", "import nanoemox; print(nanoemox.__file__)", cwd=tmp_path)
    assert Path(home.strip()).is_relative_to(tmp_path / "empty")
    question = ["analyze", SAMPLE, "--text", (ROOT / "demo" / "sample.txt").read_text("utf-8").strip()]
    page = tmp_path / "report.html"
    theirs = answers(run(commands / "nanoemox", *question, "--json", "-", "--html", page, cwd=tmp_path))
    ours = answers(
        run(
            sys.executable,
            "-m",
            "nanoemox",
            *question,
            "--json",
            "-",
            cwd=tmp_path,
            PYTHONPATH=str(ROOT / "src"),
        )
    )
    assert theirs == ours and theirs["tasks"]["empathy"]["reply"]
    assert page.read_text("utf-8").startswith("<!doctype html>")


def answers(printed: str) -> dict[str, Any]:
    """The result without its times; numbers to four digits, as another build of torch may differ in the last ones."""
    result = json.loads(printed, parse_float=lambda text: round(float(text), 4))
    del result["timing_s"]
    return result

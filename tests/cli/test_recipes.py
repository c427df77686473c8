"""`nanoemox recipes`: what there is, and a copy that never takes the place of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanoemox.cli import main as cli
from nanoemox.training.recipe import find_recipe, load_recipe, shipped_recipes


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["recipes", *map(str, arguments)])
    assert ended.value.code == status
    out, err = capsys.readouterr()
    return out, err


def test_every_recipe_is_listed_with_its_phases(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = json.loads(run(capsys, "--json", "-")[0])
    assert list(known) == list(shipped_recipes())
    assert known["p2e_pico"]["phases"] == ["1a", "1b", "2", "3"]
    assert known["pico_backbones"]["kind"] == "backbones"
    assert all(about["about"] and "#" not in about["about"] for about in known.values())
    monkeypatch.setenv("COLUMNS", "200")
    shown = run(capsys)[0]
    assert all(name in shown for name in known) and "fine-tuned on your own clips" in shown


def test_a_copy_is_the_recipe_and_can_be_trained_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    err = run(capsys, "copy", "own")[1]
    assert "wrote own.yaml" in err and "nanoemox train own.yaml" in err
    assert Path("own.yaml").read_bytes() == shipped_recipes()["own"].read_bytes()
    assert load_recipe("own.yaml") == load_recipe("own") and find_recipe("own.yaml") == Path("own.yaml")
    (tmp_path / "folder").mkdir()
    run(capsys, "copy", "p2e_pico", "folder")
    run(capsys, "copy", "p2e_pico", "mine.yaml")
    assert load_recipe("mine.yaml") == load_recipe("folder/p2e_pico.yaml")


def test_nothing_is_ever_overwritten(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("mine")
    Path("link.yaml").symlink_to("gone.yaml")
    for arguments, told in (
        (["own"], "is not overwritten"),
        (["own", "own.yaml"], "is not overwritten"),
        (["own", "."], "is not overwritten"),
        (["own", "link.yaml"], "is not overwritten"),
        (["own", "nowhere/own.yaml"], "make it first"),
        (["mine"], "choose one of own, "),
    ):
        err = run(capsys, "copy", *arguments, status=2)[1]
        assert told in err and err.count("\n") == 1
    assert Path("own.yaml").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "own.yaml"]

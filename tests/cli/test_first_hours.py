"""The first hours of a new user: what the README says runs in its order, and what is printed helps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from PIL import Image

from nanoemox.checkpoints.export import export
from nanoemox.cli import main as cli
from nanoemox.media.frame_names import are_frame_numbers
from nanoemox.training.recipe import find_recipe

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "nanoemox").rglob("*.py"))


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


# ---------------------------------------------------------------- the README's training block
def test_each_command_of_the_training_block_finds_what_an_earlier_one_wrote() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Train\n")[2]
    lines = text.partition("```\n")[2].partition("```")[0].splitlines()
    there = {"clips/labels.csv"}  # the reader's own
    trained = 0
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[1:3] == ["theatre", "make"]:
            there.add(f"{words[3]}/manifest.jsonl")
            assert Path(words[3]).name == words[words.index("--split") + 1]
        elif words[1:3] == ["corpora", "own"]:
            assert words[3] in there
            there.add(words[4])
        elif words[1] == "train":
            recipe = yaml.safe_load(find_recipe(words[2]).read_text(encoding="utf-8"))
            needed = [
                *recipe.get("manifests", []),
                *([recipe["validation"]] if recipe.get("validation") else []),
            ]
            needed += [] if recipe.get("model") in (None, "pico") else [recipe["model"]]
            assert not [path for path in needed if path not in there], line
            there.add(f"{recipe['output']}/model")
            trained += 1
    assert trained >= 4


def _commands(app: Any, before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in app.commands.items():
        found |= {f"{before}{name}": command}
        if hasattr(command, "commands"):
            found |= _commands(command, f"{before}{name} ")
    return found


def test_every_command_that_a_message_names_exists() -> None:
    known = _commands(typer.main.get_command(cli.app))
    named = 0
    for path in SOURCES:
        joined = re.sub(r'"\n\s+f?"', "", path.read_text(encoding="utf-8"))
        for told in re.findall(r"`nanoemox ([a-z][^`\n]*)`", joined):
            words = [word for word in told.split() if "{" not in word]
            group = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
            assert group in known, f"{path.name}: nanoemox {told}"
            options = {option for parameter in known[group].params for option in parameter.opts}
            for word in words:
                assert not word.startswith("--") or word.partition("=")[0] in options, f"{path.name}: {told}"
            named += 1
    assert named > 20


# ---------------------------------------------------------------- what is written where
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["analyze", "x.mp4", "--html", "out.pdf"], "out.pdf: expected a name that ends in .html or .htm"),
        (["analyze", "x.mp4", "--html", "out"], "ends in .html"),
        (["analyze", "x.mp4", "--json", "out.csv"], "out.csv: expected a name that ends in .json"),
        (["corpora", "own", "labels.csv", "train.csv"], "train.csv: expected a name that ends in .jsonl"),
        (["corpora", "prepare", "meld", ".", "meld.json"], "meld.json: expected a name that ends in .jsonl"),
    ],
)
def test_a_form_that_is_not_written_is_refused(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_addresses_are_not_broken(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from nanoemox.corpora.prepare import list_corpora

    monkeypatch.setenv("COLUMNS", "60")
    assert run("corpora", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    for corpus in list_corpora():
        assert any(corpus.where in line for line in lines), corpus.name


def test_an_address_is_not_taken_for_a_path(capsys: Any) -> None:
    for name in ("https://example.org/a.mp4", "s3://bucket/a.mp4"):
        with pytest.raises(SystemExit):
            cli.main(["analyze", name])
        told = capsys.readouterr().err
        assert "addresses are not opened" in told and "download the file" in told and told.count("\n") == 1


def test_the_bundled_model_can_be_exported(tmp_path: Path) -> None:
    out = export("pico", tmp_path / "models" / "mine")
    assert (out / "model.safetensors").is_file()
    assert "only Affect Theatre" in (out / "README.md").read_text(encoding="utf-8")


# ---------------------------------------------------------------- columns of other names
def test_columns_of_other_names(tmp_path: Path, capsys: Any) -> None:
    table = tmp_path / "p.csv"
    table.write_text("clip_name,label,model_output,gold\na,joy,angry,anger\nb,joy,happy,happiness\n")
    named = ["--column", "id=clip_name", "--column", "text=model_output", "--column", "truth=gold"]
    assert run("score", table, "-t", "emotion", *named) == 0
    assert "accuracy            1.000" in capsys.readouterr().out  # not read from the column `label`
    assert run("score", table, "-t", "emotion", "--column", "id=clip_name", "--column", "text=outptu") == 2
    assert "no column 'outptu', only clip_name, label, model_output, gold" in capsys.readouterr().err
    for wrong in ("text", "txt=model_output", "text="):
        assert run("score", table, "-t", "emotion", "--column", wrong) == 2
        assert "expected one of id, text, answer, label, truth" in capsys.readouterr().err
    assert run("score", table, "-t", "emotion") == 2
    assert "--column id=COLUMN" in capsys.readouterr().err
    lines = tmp_path / "p.jsonl"
    lines.write_text('{"Name": "a", "out": "angry", "gold": "anger"}\n')
    named = ["--column", "id=name", "--column", "answer=out", "--column", "truth=gold"]
    assert run("score", lines, "-t", "emotion", *named) == 0
    assert "1.000" in capsys.readouterr().out


# ---------------------------------------------------------------- folders of photos
@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["0001.png", "0002.png", "0003.png"], True),
        (["1.jpg", "10.jpg", "2.jpg"], True),
        (["frame_0001.png", "frame_0026.png"], True),
        (["frame_det_00_000001.bmp", "frame_det_00_000004.bmp"], True),
        (["img_00001.jpg", "img_00002.jpg"], True),
        (["reg_img46.jpg", "reg_img47.jpg"], True),
        (["IMG_2041.JPG", "IMG_2042.JPG"], False),
        (["DSC00017.jpg", "DSC00018.jpg"], False),
        (["anna.jpg", "ben.jpg"], False),
        (["photo1.jpg", "photo2.jpg"], False),
        (["20240101_120000.jpg", "20240102_101500.jpg"], False),
        (["1998.jpg", "2024.jpg", "cover.jpg"], False),
        (["20240101.jpg", "20250704.jpg"], False),
        (["frame_1.png", "img_2.png"], False),
        (["1.png", "01.png"], False),
        (["0001.png"], False),
    ],
)
def test_names_of_frames(names: list[str], frames: bool) -> None:
    assert are_frame_numbers(names) == frames


def test_a_folder_of_photos_is_no_video_unless_it_is_asked_for(tmp_path: Path, capsys: Any) -> None:
    for name in ("anna.png", "ben.png"):
        Image.new("RGB", (40, 40), "red").save(tmp_path / name)
    asked = ["--task", "sentiment", "--max-new-tokens", "1"]
    assert run("analyze", tmp_path, *asked) == 2
    told = capsys.readouterr().err
    assert "2 images" in told and "--as-video" in told and told.count("\n") == 1
    assert run("analyze", tmp_path, "--as-video", *asked) == 0
    assert run("analyze", tmp_path / "anna.png", "--as-video", *asked) == 2
    assert "not a folder" in capsys.readouterr().err

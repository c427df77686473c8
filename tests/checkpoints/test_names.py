"""A mistyped name of a model is told in seconds, with what is like it, and nothing is asked in vain."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from nanoemox.checkpoints.hub import find_part
from nanoemox.checkpoints.load import find_folder, locate
from nanoemox.checkpoints.names import hub_problem, is_hub_id
from nanoemox.files.errors import NanoEmoXError
from nanoemox.files.near import near_folders


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two models, and a Hub that cannot be reached."""
    for name in ("models/nano", "models/nano-tuned", "runs/own/tuned"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("models/nanno", "models/nano"),
        ("models/nano-tunde", "models/nano-tuned"),
        ("runs/own/tunned", "runs/own/tuned"),
        ("./models/nanno", "models/nano"),
        ("model", None),
        ("~/nowhere", None),
    ],
)
def test_a_mistyped_folder_is_not_asked_for(
    name: str, near: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("huggingface_hub.model_info", ask)
    for find in (locate, find_part):
        with pytest.raises(NanoEmoXError, match="no such") as error:
            find(name)
        assert "\n" not in str(error.value)
        assert (f"did you mean {near}" if near else "check the path") in str(error.value)


def test_an_id_is_asked_for_once_and_quickly(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def ask(name: str, **options: Any) -> None:
        asked.append(options)
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.model_info", ask)
    started = time.perf_counter()
    with pytest.raises(
        NanoEmoXError, match=r"modles/nano: .* cannot be reached .* did you mean models/nano\?"
    ):
        find_folder("modles/nano")
    assert time.perf_counter() - started < 2
    assert len(asked) == 1 and asked[0]["timeout"] <= 10
    (here / "cache" / "models--owner--name" / "snapshots" / "abc").mkdir(parents=True)
    assert hub_problem("owner/name") is None  # it is in the cache
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in str(hub_problem("owner/other"))
    assert len(asked) == 1


@pytest.mark.usefixtures("here")
def test_what_is_an_id() -> None:
    assert is_hub_id("Qwen/Qwen2.5-1.5B-Instruct")
    for name in ("models/x", "a", "a/b/c", "../a", "./a", "/a/b", "~/a", "a/", "/a", "a b/c"):
        assert not is_hub_id(name), name


def test_only_folders_that_hold_what_is_wanted_are_near(here: Path) -> None:
    assert near_folders(here / "modls" / "nano") == [str(here / "models" / "nano")]
    assert near_folders("runs/ownn") == []  # a folder, but no model

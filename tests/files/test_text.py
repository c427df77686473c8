"""Blank text is no text, wherever it comes from, and bytes that are not UTF-8 are one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nanoemox.cli import main as cli
from nanoemox.data.schema import Record
from nanoemox.files.errors import ArgumentError
from nanoemox.files.text import given_text, is_blank

BLANK = ["", " ", "\n\t ", "\u00a0", "\u200b", "\ufeff\u2060", "\u3164", "\u2800", "\x00", "\u2029 \u3000"]


@pytest.mark.parametrize("text", BLANK)
def test_blank_text_is_no_text(text: str) -> None:
    assert is_blank(text) and given_text(text) is None
    assert Record(id="a", audio=Path("a.wav"), text=text).text is None
    for nothing in ({"text": text}, {"dialogue": [{"role": "a", "text": text}]}):
        with pytest.raises(ValidationError, match="expected something to look at, hear or read"):
            Record(id="a", **nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["?", "a", " a ", "。", "🙂", "\u200ba"])
def test_a_single_sign_is_text(text: str) -> None:
    assert not is_blank(text) and given_text(text) == text
    assert Record(id="a", text=text).text == text


def test_blank_turns_are_no_turns() -> None:
    turns: Any = [{"role": "a", "text": " "}, {"role": "b", "text": "Well."}]
    assert Record(id="a", dialogue=turns).turns == [{"role": "b", "text": "Well."}]
    for wrong in ({"id": " "}, {"speaker": "\t"}, {"dialogue": [{"role": " ", "text": "x"}]}):
        with pytest.raises(ValidationError):
            Record(**({"id": "a", "text": "x"} | wrong))  # type: ignore[arg-type]


def test_bytes_that_are_not_utf_8_are_told() -> None:
    for text in ("caf\udce9", "\ud800", "a" * 500 + "\udcff"):
        with pytest.raises(
            ArgumentError, match=r"--text: expected UTF-8, got bytes that are not UTF-8 after"
        ):
            given_text(text, "--text")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--text-only", "--text", "caf\udce9 noir"], "nanoemox: --text: expected UTF-8"),
        (
            ["--text-only", "--text", " \u200b"],
            "nanoemox: --text-only: expected --text or --dialogue, and no CLIP",
        ),
    ],
)
def test_the_command_says_so_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["analyze", *arguments])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and told.startswith(expected) and told.count("\n") == 1

"""The turns before a clip: from a file or a text, and one line for what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanoemox.data.schema import DialogueTurn
from nanoemox.files.errors import ArgumentError
from nanoemox.inference.dialogue import MOST_BYTES, checked_turns, read_dialogue

TURNS = [{"role": "user", "text": "I wanted to talk."}, {"role": "assistant", "text": "I am here: go on."}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("turns.json", json.dumps(TURNS)),
        ("turns.jsonl", "".join(json.dumps(turn) + "\n\n" for turn in TURNS)),
        ("turns.txt", "\ufeffUser: I wanted to talk.\r\n\r\nassistant: I am here: go on.\r\n"),
        ("turns.txt", json.dumps(TURNS, indent=2)),
        ("turns", "I wanted to talk.\nassistant:\tI am here: go on."),
    ],
)
def test_a_file_in_any_form_gives_the_same_turns(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_dialogue(str(tmp_path / name)) == TURNS
    assert read_dialogue(tmp_path / name) == TURNS


@pytest.mark.parametrize(
    ("line", "role", "text"),
    [
        ("Dr. Anne-Marie Smith: yes", "Dr. Anne-Marie Smith", "yes"),
        ("小明：你好", "小明", "你好"),
        ("At 10:30 we met", "user", None),
        ("https://example.org was down", "user", None),
        ("[sighs] It is gone.", "user", None),
        ("ASSISTANT: no", "assistant", "no"),
        ("I told him what I thought of all of this: nothing", "user", None),
        ("x" * 50_000, "user", None),
    ],
)
def test_a_line_of_text_is_a_turn(line: str, role: str, text: str | None) -> None:
    assert read_dialogue(line) == [{"role": role, "text": text or line}]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"caf\xe9", "expected text in UTF-8"),
        ("a.txt", "a".encode("utf-16"), "expected text in UTF-8"),
        ("a.txt", b" \n", "found nothing"),
        ("a.json", b"[]", "found nothing"),
        ("a.json", b'{"role": "user"', "mend the JSON"),
        ("a.json", b'[{"role": "user"}]', "turn 1: .*text: field required"),
        ("a.json", b'["hello"]', "turn 1"),
        ("a.json", b"[" * 100_000, "nested too deep"),
        ("a.json", b"[" + b"1" * 10_000 + b"]", "mend the JSON"),
        (
            "a.jsonl",
            b'{"role": "user", "text": "a"}\n{"speaker": "b", "text": "c"}',
            "a.jsonl:2: .*'speaker'",
        ),
        ("a.txt", b"a" * (MOST_BYTES + 1), "at most 1,000,000 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArgumentError, match=told) as error:
        read_dialogue(tmp_path / name)
    assert "\n" not in str(error.value) and name in str(error.value)


def test_a_file_that_is_not_there_is_no_text(tmp_path: Path) -> None:
    for name in (str(tmp_path / "turns.json"), str(tmp_path), tmp_path / "turns"):
        with pytest.raises(ArgumentError, match="expected a file with the turns"):
            read_dialogue(name)


def test_bytes_of_the_shell_that_are_no_text_are_refused() -> None:
    with pytest.raises(ArgumentError, match="expected text in UTF-8"):
        read_dialogue("user: caf\udce9")


@pytest.mark.parametrize(
    "wrong", ["user: hello", {"role": "user", "text": "hello"}, 3, [{"text": "a"}], ["a"]]
)
def test_python_is_told_the_form_of_a_turn(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match=r'"role": "user"'):
        checked_turns(wrong)


def test_turns_of_a_record_are_turns() -> None:
    assert checked_turns([DialogueTurn(role="user", text="a")]) == [{"role": "user", "text": "a"}]  # type: ignore[list-item]
    assert checked_turns([]) is None and checked_turns(None) is None

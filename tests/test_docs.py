"""The pages that show code: what stands in a text block is what the block before it prints."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from nanoemox.cli import main as cli
from nanoemox.data.schema import Record
from nanoemox.tasks.task import TASKS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    DOCS / "how-a-clip-becomes-an-answer.md",
    DOCS / "analyze.md",
    *sorted((DOCS / "tasks").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The code blocks of a page: language and content."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def printed_by_python(code: str, names: dict[str, Any]) -> str:
    """What a block prints; `names` goes from block to block."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "<docs>", "exec"), names)
    return out.getvalue()


def printed_by_command(command: str) -> str:
    """What a `nanoemox` command prints."""
    name, *arguments = shlex.split(command)
    assert name == "nanoemox", command
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 0
    return out.getvalue()


def plain(text: str) -> str:
    """Without blanks at the ends of lines, which an editor may remove from a page."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_its_code_prints(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    names: dict[str, Any] = {}
    printed = ""
    shown = 0
    for language, content in blocks(page):
        if language == "python":
            printed = printed_by_python(content, names)
        elif language == "sh":
            printed = printed_by_command(content)
        elif language == "text":
            assert plain(content) == plain(printed)
            shown += 1
    assert shown


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_page_with_its_own_words(name: str) -> None:
    task, page = TASKS[name], DOCS / "tasks" / f"{name.replace('_', '-')}.md"
    text = page.read_text(encoding="utf-8")
    assert task.question() in text
    lines = [content for language, content in blocks(page) if language == "json"]
    assert lines
    for line in lines:
        assert name in Record.model_validate_json(line).labels.tasks
    assert f"| `{task.headline}`" in text and "the main figure" in text

"""The documentation: pages show what their code prints, and the builder notices what a reader would miss."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import runpy
import shlex
import tomllib
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
    DOCS / "words.md",
    DOCS / "many-files.md",
    *sorted((DOCS / "tasks").glob("*.md")),
]
BUILD = runpy.run_path(str(DOCS / "build.py"), run_name="build")
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
    name, *arguments = shlex.split(command.replace("\\\n", " "))
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


def test_the_navigation_has_every_page() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert list(BUILD["navigation"](nav, DOCS)) == []


def test_the_builder_names_pages_that_are_missing_on_either_side(tmp_path: Path) -> None:
    (tmp_path / "new.md").touch()
    new, gone = BUILD["navigation"]([{"Part": [{"Gone": "gone.md"}]}], tmp_path)
    assert new.startswith("docs/new.md is not in the navigation")
    assert gone.startswith("docs/gone.md is in the navigation")


def test_the_builder_names_missing_files_and_what_would_be_loaded_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "there.html").touch()
    page = """<a href="there.html#part">yes</a> <a href="https://example.org">only a link</a> <a href="#top">yes</a>
        <img src="gone.png"> <a href="../outside.txt">no</a> <script src="https://example.org/x.js"></script>
        <link rel="stylesheet" href="//example.org/x.css"> <pre class="mermaid"></pre>"""
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    faults = " ".join(BUILD["references"](tmp_path))
    for address in (
        "gone.png",
        "../outside.txt",
        "https://example.org/x.js",
        "//example.org/x.css",
        "mermaid",
    ):
        assert address in faults
    assert faults.count("page.html:") == 5


def words_of_the_sources() -> str:
    """Every text in the sources, with … in place of what is filled in."""
    texts = []
    for path in (ROOT / "src" / "nanoemox").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


# Of pip, of the shell, of torch, and of things that are no message.
NOT_OURS = {
    "No matching distribution found for nanoemox", "requires a different Python", "nanoemox: command not found",
    "CUDA out of memory", "test", "NaN", "curves.svg", "ends in .csv, .md or .tex",
}  # fmt: skip


def test_troubleshooting_quotes_what_the_code_says() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    assert all(len(row) == 3 and all(cell.strip("| ") for cell in row) for row in rows)
    quoted = {words for row in rows for words in re.findall("`([^`]+)`", row[0])} - NOT_OURS
    said = words_of_the_sources()
    assert len(quoted) > 40 and [words for words in sorted(quoted) if words not in said] == []


def test_terms_stand_in_alphabetical_order_once() -> None:
    page = (DOCS / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| (.+?) \|", page, re.MULTILINE)[1:]
    folded = [term.replace("`", "").casefold() for term in terms if term != "---"]
    assert len(folded) > 50 and folded == sorted(set(folded))


def test_nobody_is_sent_to_an_index_that_does_not_have_the_package() -> None:
    pages = [
        *ROOT.glob("*.md"),
        *(p for n in ("docs", "examples", "integrations", "src") for p in (ROOT / n).rglob("*")),
    ]
    for page in pages:
        if page.suffix in (".md", ".py", ".jinja"):
            text = page.read_text(encoding="utf-8")
            assert not re.search(r"pip install ['\"]?nanoemox", text), page

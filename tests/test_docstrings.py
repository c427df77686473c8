"""Every public function with three or more arguments says what they are, what comes back, and what it raises.

ruff (D417) and pydoclint compare the names in the sections with the signature; this test asks that the sections
are there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "nanoemox"
MANY = 3  # arguments, from which on sections are asked for
# The files that draw and speak Affect Theatre may not change by a byte (their hash decides what is rendered anew).
FROZEN = PACKAGE / "theatre"
# What transformers, torch or pydantic call by a signature that is not ours.
INHERITED = {
    "compute_loss",
    "on_log",
    "on_save",
    "on_train_begin",
    "on_step_end",
    "log",
    "create_optimizer",
    "find_class",
}


def public_functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef, str]]:
    """Name, function and docstring (of a constructor: that of its class) of what a file offers."""

    def inside(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
                yield from inside(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.FunctionDef):
                constructor = child.name == "__init__" and isinstance(node, ast.ClassDef)
                if constructor or not child.name.startswith("_"):
                    text = ast.get_docstring(child) or ""
                    if constructor:
                        text += ast.get_docstring(node) or ""
                    yield f"{prefix}{child.name}", child, text

    yield from inside(ast.parse(path.read_text(encoding="utf-8")), "")


def arguments(function: ast.FunctionDef) -> list[str]:
    """The names of the arguments that a caller gives."""
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [each.arg for each in every if each.arg not in ("self", "cls")]


def raises(function: ast.FunctionDef) -> bool:
    """Whether the function itself raises an error of a named class."""
    return any(
        isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
        for node in ast.walk(function)
    )


def missing_sections(path: Path) -> list[str]:
    """What the docstrings of a file lack, one sentence each."""
    found = []
    for name, function, text in public_functions(path):
        if len(arguments(function)) < MANY or function.name in INHERITED:
            continue
        returned = ast.unparse(function.returns) if function.returns else "None"
        wanted = ["Args:"]
        if returned not in ("None", "NoReturn") and function.name != "__init__":
            wanted.append("Yields:" if returned.startswith(("Iterator", "Generator")) else "Returns:")
        if raises(function):
            wanted.append("Raises:")
        lacking = [section for section in wanted if section not in text]
        if lacking:
            found.append(f"{path.relative_to(PACKAGE)}: {name} lacks {', '.join(lacking)}")
    return found


# A command's options carry their own help, and its docstring is what `--help` prints.
COMMANDS = PACKAGE / "cli"
COPIES = PACKAGE / "weights"  # of the code that travels with the weights
FILES = sorted(path for path in PACKAGE.rglob("*.py") if not {FROZEN, COMMANDS, COPIES} & set(path.parents))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_function_with_many_arguments_explains_them(path: Path) -> None:
    assert not missing_sections(path)


def test_the_check_sees_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "example.py"
    file.write_text(
        'def add(a: int, b: int, c: int) -> int:\n    """Add."""\n'
        '    if a < 0:\n        raise ValueError("a")\n    return a + b + c\n'
    )
    monkeypatch.setattr("tests.test_docstrings.PACKAGE", tmp_path)
    assert missing_sections(file) == ["example.py: add lacks Args:, Returns:, Raises:"]

"""Regular expressions in a tokenizer are programs that come with a model. They are tried before any text meets them.

An expression such as `(a+)+$` takes minutes on a line of some dozen letters, or stops the library with a panic. So
those that are not our own are first run over lines made to be hard for them, in a process that has little time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from nanoemox.checkpoints.weight_files import WeightsError

_MOST_CPU_S, _MOST_WALL_S, _MOST_BYTES = 4, 60, 1_000_000_000
_MOST_PATTERNS, _MOST_CHARACTERS = 50, 5000
_AGAIN = "take the tokenizer as the model's makers gave it"

# What the child does: each expression over rows of its own letters, of one kind, of two and of all, that end otherwise.
_CHILD = r"""
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (%(memory)d, %(memory)d))
    resource.setrlimit(resource.RLIMIT_CPU, (%(cpu)d, %(cpu)d))
except (ImportError, ValueError, OSError):
    pass
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split
for pattern in json.load(sys.stdin):
    own = [c for c in dict.fromkeys(pattern) if c not in "\\()[]{}?*+|^$"][:40]
    letters = dict.fromkeys([*own, *"aA1 \n.!'_-\u00e9\u4e2d\U0001f600"])
    rows = [c for c in letters] + [c + d for c in own[:6] for d in own[:6] if c != d] + ["".join(own), "aA1 .", "a "]
    for row in rows:
        for end in ("!", "\0" + pattern + "P"):  # behind something else, all that the expression may ask for
            try:
                Split(Regex(pattern), "isolated").pre_tokenize_str((row * 500)[:500] + end)
            except BaseException as error:
                print(" ".join(str(error).split())[:120] or type(error).__name__)
                sys.exit(0)
print("fine")
"""


def check_patterns(path: Path, tokenizer: Any) -> None:
    """Try the regular expressions of a tokenizer.

    Args:
        path: Its file, tokenizer.json.
        tokenizer: What the file holds.

    Raises:
        WeightsError: If one of them is too long, is none, or takes too long on a line of text.
    """
    patterns = list(dict.fromkeys(_patterns(tokenizer)))
    foreign = [pattern for pattern in patterns if pattern != PRETOKENIZE_REGEX]
    if not foreign:
        return
    if len(foreign) > _MOST_PATTERNS or max(map(len, foreign)) > _MOST_CHARACTERS:
        wrong = f"expected at most {_MOST_PATTERNS} regular expressions of {_MOST_CHARACTERS} characters"
        raise WeightsError(f"{path}: {wrong}; {_AGAIN}")
    problem = _problem(foreign)
    if problem is not None:
        raise WeightsError(f"{path}: its regular expressions cannot be used ({problem}); {_AGAIN}")


def _patterns(value: Any) -> Iterator[str]:
    """Every regular expression in a tokenizer's file."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            if isinstance(here.get("Regex"), str):
                yield here["Regex"]
            # The vocabulary holds none, and is long.
            waiting += [
                inner for key, inner in here.items() if key not in ("vocab", "merges", "added_tokens")
            ]
        elif isinstance(here, list):
            waiting += here


def _problem(patterns: list[str]) -> str | None:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _CHILD % {"memory": _MOST_BYTES, "cpu": _MOST_CPU_S}],
            input=json.dumps(patterns),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_MOST_WALL_S,
        )
    except subprocess.TimeoutExpired:
        return f"they take more than {_MOST_WALL_S} s"
    if done.returncode:
        return f"they take more than {_MOST_CPU_S} s" if done.returncode < 0 else "their trial failed"
    said = done.stdout.strip()
    return None if said == "fine" else said

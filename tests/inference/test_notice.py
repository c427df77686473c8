"""inference/notice.py: one text, and nowhere another one."""

from __future__ import annotations

from pathlib import Path

from nanoemox.inference.notice import NOTICE

SOURCE = Path(__file__).parents[2] / "src" / "nanoemox"


def test_the_notice_says_what_the_law_and_decency_ask() -> None:
    for fact in (
        "AI system",
        "not what a person feels",
        "must not decide",
        "inform the people",
        "Article 50(3)",
    ):
        assert fact in NOTICE


def test_no_other_file_words_it_anew() -> None:
    files = [path for ending in ("py", "jinja") for path in SOURCE.rglob(f"*.{ending}")]
    having = [
        path.relative_to(SOURCE).as_posix() for path in files if "Article 50(3)" in path.read_text("utf-8")
    ]
    assert having == ["inference/notice.py"]

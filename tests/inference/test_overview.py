"""The page of many files: sortable, one script that the browser knows by its hash, everything else escaped."""

from __future__ import annotations

import base64
import hashlib
import re

from nanoemox.inference.notice import NOTICE
from nanoemox.inference.overview import render_overview
from tests.inference.test_page import Page
from tests.made_up import HOSTILE

RUN = {"tasks": {"emotion": 1, "empathy": 1}, "model": "/somewhere/my-model"}


def overview() -> str:
    rows = {
        name: [
            {
                "file": name,
                "task": "emotion",
                "answer": label,
                "label": label,
                "probabilities": {"anger": share},
            },
            {"file": name, "task": "empathy", "answer": f"{HOSTILE} there", "text": "x"},
        ]
        for name, label, share in (("a.mp4", "anger", 0.7), (f"{HOSTILE}.mp4", "anger", 0.2))
    }
    rows["bad.mp4"] = [{"file": "bad.mp4", "task": "emotion", "error": f"bad.mp4: {HOSTILE}"}]
    failed = {"bad.mp4": f"bad.mp4: {HOSTILE}"}
    pages = {"a.mp4": "pages/a.html"}
    return render_overview(rows, RUN, {"emotion": {"anger": 2, "fear": 0}}, failed, pages, ["a note"])


def test_the_overview_shows_every_file_and_what_failed() -> None:
    page = Page(overview())
    for shown in ("3 files", "2 answered, 1 could not be read", "my-model", "70 %", "a note", NOTICE):
        assert shown in page.text, shown
    assert ("a", {"href": "pages/a.html"}) in page.tags
    buttons = [tag for tag, _ in page.tags if tag == "button"]
    assert len(buttons) == 4  # file, emotion, how likely, reply
    values = [a["data-value"] for tag, a in page.tags if tag == "td" and "data-value" in a]
    assert values == ["0.700000", "0.200000"]
    assert "fear" not in page.text  # it never came


def test_its_only_script_is_known_by_its_hash() -> None:
    text = overview()
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "default-src 'none'" in text
    page = Page(text)
    assert HOSTILE in page.text and HOSTILE not in text
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert {"link", "iframe", "img"}.isdisjoint(tag for tag, _ in page.tags)

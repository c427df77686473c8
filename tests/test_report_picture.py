"""docs/figures/make_report_picture.py: where it cuts the page, and what it leaves behind."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location(
        "make_report_picture", ROOT / "docs" / "figures" / "make_report_picture.py"
    )
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sections_begin_at_lines_across_the_whole_column(script: ModuleType) -> None:
    page = np.full((100, 400, 3), 250, dtype=np.uint8)
    page[20:22] = script.RULE  # two pixels thick
    page[40, 80:-80] = script.RULE  # the edge of a box is shorter
    page[60] = 0
    page[99] = script.RULE
    assert script.section_tops(page) == [20, 99]


def test_the_line_has_the_colour_that_the_page_gives_it(script: ModuleType) -> None:
    css = (ROOT / "src" / "nanoemox" / "inference" / "page.css.jinja").read_text("utf-8")
    light = re.findall(r"--line: #(\w{6})", css)[0]
    assert tuple(bytes.fromhex(light)) == script.RULE


def test_the_picture_in_the_repository_is_of_the_promised_size(script: ModuleType) -> None:
    assert script.PICTURE.stat().st_size <= script.MOST_BYTES == 300_000
    with Image.open(script.PICTURE) as picture:
        assert picture.width == script.WIDTH_PX * script.SCALE and picture.height > picture.width


def test_without_a_browser_it_says_what_to_install(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="found none; on Debian: apt install chromium"):
        script.find_browser()
    (tmp_path / "google-chrome").write_text("#!/bin/sh\n")
    (tmp_path / "google-chrome").chmod(0o755)
    assert script.find_browser() == str(tmp_path / "google-chrome")

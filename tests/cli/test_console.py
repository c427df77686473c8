"""What the commands print, and where: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from nanoemox.cli.console import check_json, printable, show_log, write_result
from nanoemox.files.errors import ArgumentError


def test_the_log_is_shown_plainly_while_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("nanoemox.training.p2e")
    before = logging.getLogger("nanoemox").level
    with show_log():
        logger.info("[bold]step[/] %d of 3", 1)
        logger.debug("too much to tell")
        logger.warning("left out: \x1b[2Jclip")
        logging.getLogger("elsewhere").info("of another library")
    logger.info("after it")
    assert capsys.readouterr() == ("", "[bold]step[/] 1 of 3\nwarning: left out: \ufffd[2Jclip\n")
    assert logging.getLogger("nanoemox").level == before and not logging.getLogger("nanoemox").handlers


def test_the_library_itself_prints_nothing() -> None:
    code = (
        "import logging\n"
        "from nanoemox.training import p2e\n"
        "p2e.logger.info('step 1')\n"
        "logging.basicConfig(level='INFO', format='%(name)s %(message)s')\n"
        "p2e.logger.info('step 2')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "" and done.stderr == "nanoemox.training.p2e step 2\n"


def test_a_result_goes_where_json_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = {"label": "Freude – ✓"}
    assert not write_result(result, None)
    assert capsys.readouterr() == ("", "")
    assert write_result(result, "-")
    out, err = capsys.readouterr()
    assert json.loads(out) == result and err == ""
    page = tmp_path / "page.html"
    assert not write_result(result, str(tmp_path / "r.json"), {page: "<p>"})
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == result
    assert page.read_text(encoding="utf-8") == "<p>"
    assert capsys.readouterr() == ("", f"wrote {page}\nwrote {tmp_path / 'r.json'}\n")


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    source = tmp_path / "predictions.csv"
    source.write_text("id", encoding="utf-8")
    check_json("-", None, source=str(source))
    with pytest.raises(ArgumentError, match="this is the file that is read"):
        check_json(str(source), source=str(source))
    with pytest.raises(ArgumentError, match="nowhere does not exist"):
        check_json(str(tmp_path / "nowhere" / "r.json"))
    with pytest.raises(ArgumentError, match="two options name the same file"):
        check_json(str(tmp_path / "r"), tmp_path / "r")


def test_names_cannot_command_the_terminal() -> None:
    assert printable("a\x1b]0;b\x07\nc") == "a\ufffd]0;b\ufffd\nc"

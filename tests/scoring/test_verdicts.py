"""The command with a server: the cost is told first, failures are named, what was asked once is not asked again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from nanoemox.cli.main import main

REASON = "He shouts with wide eyes. He is angry."


class Handler(BaseHTTPRequestHandler):
    """Scores 7 and 3, labels [sad]; what holds "nonsense" gets no number, what holds "crash" a 400."""

    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append(body)
        question = body["messages"][0]["content"]
        reply = "7" if "posture" in question else "[sad]" if "square brackets" in question else "Score: 3"
        reply = "hard to say" if "nonsense" in question else reply
        self.send_response(400 if "crash" in question else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"choices": [{"message": {"content": reply}}]}).encode())

    def log_message(self, format: str, *values: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Handler.asked = []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def manifest(folder: Path, labels: dict[str, Any], names: str = "abcd") -> str:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps({"id": n, "text": "hm", "labels": labels}) + "\n" for n in names))
    return str(path)


def score(folder: Path, task: str, truth: str, *options: str) -> Any:
    out = folder / "report.json"
    out.unlink(missing_ok=True)
    with pytest.raises(SystemExit) as stop:
        main(
            [
                *("score", str(folder / "p.csv"), "-t", task, "--manifest", truth, "--json", str(out)),
                *("--server-model", "m", "--cache", str(folder / "cache"), *options),
            ]
        )
    return json.loads(out.read_text()) if out.exists() else stop.value.code


def test_a_judge_of_reasons(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    truth = manifest(tmp_path, {"reasoning": {"text": REASON}})
    (tmp_path / "p.csv").write_text("id,text\na,He is angry and loud.\nb,nonsense\nc,crash\nd,\n")
    assert not score(tmp_path, "reasoning", truth, "--server", url, "--only-estimate", "--prices", "1", "2")
    told = capsys.readouterr().err
    assert "6 questions" in told and "cost 0.0" in told and Handler.asked == []
    report = score(tmp_path, "reasoning", truth, "--server", url)
    assert "6 questions" in capsys.readouterr().err
    clues, labels = (report["judge"]["figures"][f"judge_{part}"] for part in ("clues", "labels"))
    assert (clues["value"], labels["value"], clues["n"]) == (4.0, 2.0, 2)  # d has no answer and gets a 1
    names = report["faults"]["no verdict of the judge (not in its means)"]["names"]
    assert [name[:2] for name in names] == ["b:", "c:"] and "HTTP 400" in names[1]
    assert report["faults"]["empty answer"]["names"] == ["d"]
    assert report["standard"]["agreement"]["n"] == 4 and report["standard"]["agreement"]["value"] > 0
    assert all(body["temperature"] == 0 for body in Handler.asked)
    before = len(Handler.asked)
    assert score(tmp_path, "reasoning", truth, "--server", url)["judge"]["known"] == 3
    assert len(Handler.asked) == before + 1  # c alone: b's useless reply is known


def test_labels_from_a_server_where_no_rule_reads_them(tmp_path: Path, url: str) -> None:
    truth = manifest(tmp_path, {"open_vocabulary": {"labels": ["sad"]}})
    (tmp_path / "p.csv").write_text(
        "id,output\na,[sad]\nb,one could well say that she is not at her best today\n"
        "c,crash and the person feels so very lonely about it\nd,\n"
    )
    report = score(tmp_path, "open_vocabulary", truth, "--server", url)
    assert report["routes"] == {"label list": 1, "server": 1, "words in running text": 1, "none": 1}
    assert report["standard"]["set_recall"]["value"] == 0.5
    assert report["faults"]["no labels from the server (those found by rule count)"]["n"] == 1
    assert len(Handler.asked) == 2


def test_a_server_is_refused_where_it_cannot_help(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = manifest(tmp_path, {"intent": {"label": "Thank"}})
    (tmp_path / "p.csv").write_text("id,text\na,Thank\n")
    assert score(tmp_path, "intent", truth, "--server", url) == 2
    assert score(tmp_path, "intent", truth, "--only-estimate") == 2
    assert score(tmp_path, "intent", truth, "--server", "ftp://x") == 2
    told = capsys.readouterr().err
    assert "not with intent" in told and "expected --server URL" in told and "http://" in told
    assert not (tmp_path / "cache").exists()

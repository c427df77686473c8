"""The judge behind a made-up server: retries, the cache, and failures that are told."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Mapping
from pathlib import Path

import pytest

from nanoemox.scoring.judge import Judge, estimate, questions_about


class Server:
    def __init__(self, *replies: str | int) -> None:
        self.replies, self.requests = list(replies), []

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> bytes:
        self.requests.append(json.loads(body))
        reply = self.replies.pop(0)
        if isinstance(reply, int):
            raise urllib.error.HTTPError(url, reply, "no", None, None)  # type: ignore[arg-type]
        return json.dumps({"choices": [{"message": {"content": reply}}]}).encode()


def judge(tmp_path: Path, server: Server) -> Judge:
    return Judge("http://here/v1", "m", tmp_path / "cache", pause_s=0, post=server)


def test_scores_are_asked_once(tmp_path: Path) -> None:
    server = Server(503, "Score: 7", "3")
    first = judge(tmp_path, server).scores({"a": ("he smiles", "she smiles")})
    assert first == {"a": {"clues": 7.0, "labels": 3.0}}
    assert len(server.requests) == 3 and server.requests[0]["temperature"] == 0
    assert judge(tmp_path, Server()).scores({"a": ("he smiles", "she smiles")}) == first


def test_a_failure_is_told_and_not_scored(tmp_path: Path) -> None:
    mine = judge(tmp_path, Server(401, "no number", "5"))
    assert mine.scores({"a": ("x", "y"), "b": ("x", "z")}) == {}
    assert "HTTP 401" in mine.failed["a"] and "expected a number" in mine.failed["b"]


def test_labels_and_cost(tmp_path: Path) -> None:
    assert judge(tmp_path, Server("Sure: ['sad', angry]")).labels("…") == ["sad", "angry"]
    questions = questions_about("a" * 400, "b" * 400) * 100
    cost = estimate(questions, per_million_in=0.5, per_million_out=1.5)
    assert cost["calls"] == 200 and 0 < cost["cost"] < 0.1
    with pytest.raises(ValueError, match="http"):
        Judge("file:///etc", "m", tmp_path)

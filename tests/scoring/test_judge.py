"""A judge behind a stand-in server on this machine: retries, replies kept on disk, failures listed by clip."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from nanoemox.cli.main import main
from nanoemox.files.errors import ArgumentError
from nanoemox.scoring.external import score_file
from nanoemox.scoring.judge import (
    RETRY_S,
    Judge,
    JudgeError,
    estimate,
    judge_reasons,
    questions_about,
    read_labels,
    read_score,
)

REASON = "He shouts with wide eyes. He is angry."
Reply = str | int | bytes  # what the model writes, an HTTP status, or a whole body


class StandIn(HTTPServer):
    """An OpenAI-compatible server that keeps what it was asked."""

    def __init__(self, reply: Callable[[str], Reply], location: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.location = reply, location
        self.asked: list[dict[str, Any]] = []
        self.headers_seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.headers_seen.append({name.lower(): value for name, value in self.headers.items()})
        assert self.path == "/v1/chat/completions"
        reply = self.server.reply(body["messages"][0]["content"])
        self.send_response(reply if isinstance(reply, int) else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("retry-after-ms", "1")  # so that the tests do not wait
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()
        message = {"choices": [{"index": 0, "message": {"role": "assistant", "content": reply}}]}
        self.wfile.write(reply if isinstance(reply, bytes) else json.dumps(message).encode())

    def log_message(self, format: str, *values: Any) -> None:
        pass


@contextmanager
def serving(reply: Callable[[str], Reply], location: str = "") -> Iterator[StandIn]:
    with StandIn(reply, location) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def in_turn(*replies: Reply) -> Callable[[str], Reply]:
    """These replies one after another, whatever is asked."""
    left = list(replies)
    return lambda question: left.pop(0)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


# ---------------------------------------------------------------- asking


def test_a_call_is_tried_again_and_its_reply_is_kept(tmp_path: Path) -> None:
    with serving(in_turn(503, 429, 500, "Score: 7")) as server:
        judge = Judge(server.url, "m", tmp_path / "cache")
        assert not judge.knows("how far?") and judge.ask("how far?") == "Score: 7"
        assert (
            judge.knows("how far?")
            and Judge(server.url, "m", tmp_path / "cache").ask("how far?") == "Score: 7"
        )
        assert not Judge(server.url, "other", tmp_path / "cache").knows("how far?")
        assert len(server.asked) == 4
        assert server.asked[0] == {
            "model": "m",
            "temperature": 0,
            "messages": [{"role": "user", "content": "how far?"}],
        }


def test_a_call_is_not_tried_for_ever(tmp_path: Path) -> None:
    with serving(lambda question: 500) as server:
        with pytest.raises(JudgeError, match=r"/v1: no answer \(HTTP 500 .*\); check the URL"):
            Judge(server.url, "m", tmp_path, max_retries=2).ask("how far?")
        assert len(server.asked) == 3 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (401, "HTTP 401 Unauthorized"),
        (b"no json", "JSON"),
        (b"{}", "expected a chat completion"),
        (b'{"choices": []}', "expected a chat completion"),
        (b'"just text"', "expected a chat completion"),
    ],
)
def test_what_no_second_call_would_mend_is_asked_once(tmp_path: Path, reply: Reply, expected: str) -> None:
    with serving(lambda question: reply) as server:
        with pytest.raises(JudgeError, match=expected):
            Judge(server.url, "m", tmp_path).ask("how far?")
        assert len(server.asked) == 1


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with StandIn(lambda question: "") as server:
        url = server.url  # bound and closed again: the connection is refused
    with pytest.raises(JudgeError, match=r"no answer \(APIConnectionError: .*refused"):
        Judge(url, "m", tmp_path, max_retries=0).ask("how far?")


def test_texts_do_not_follow_a_redirect_to_another_server(tmp_path: Path) -> None:
    with (
        serving(lambda question: "5") as other,
        serving(lambda question: 307, f"{other.url}/chat/completions") as server,
    ):
        with pytest.raises(JudgeError, match="HTTP 307"):
            Judge(server.url, "m", tmp_path).ask("how far?")
        assert len(server.asked) == 1 and other.asked == []


def test_the_key_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda question: "5") as server:
        Judge(server.url, "m", tmp_path).ask("without a key")
        monkeypatch.setenv("MY_KEY", "secret")
        Judge(server.url, "m", tmp_path, key_variable="MY_KEY").ask("with a key")
        assert [seen["authorization"] for seen in server.headers_seen] == ["Bearer none", "Bearer secret"]


def test_the_package_that_asks_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    judge = Judge("http://localhost:1/v1", "m", tmp_path)
    with pytest.raises(ArgumentError, match="pip install openai"):
        judge.ask("how far?")
    assert judge.announce(["how far?"])["calls"] == 1  # counting needs no package


@pytest.mark.parametrize("url", ["file:///etc", "ftp://x", "localhost:8000", "http://", "http://x:y/v1"])
def test_only_web_addresses_are_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(ArgumentError, match="http://"):
        Judge(url, "m", tmp_path)


# ---------------------------------------------------------------- questions and replies


def test_numbers_and_labels_are_read_from_replies() -> None:
    assert (read_score("Score: 7"), read_score("3.5 of 10")) == (7.0, 3.5)
    assert read_labels("Sure: ['sad', angry]") == ("sad", "angry") and read_labels("[]") == ()
    for reply in ("hard to say", "", "11"):
        with pytest.raises(JudgeError, match="expected a number from 1 to 10"):
            read_score(reply)
    with pytest.raises(JudgeError, match="square brackets"):
        read_labels("sad, angry")


def test_cost_is_a_matter_of_letters_and_prices() -> None:
    questions = [*questions_about("a" * 400, "b" * 400).values()] * 100
    cost = estimate(questions, per_million_in=0.5, per_million_out=1.5)
    letters = sum(map(len, questions))
    assert cost["calls"] == 200 and cost["tokens_out"] == 1600 and cost["tokens_in"] == round(letters / 4)
    assert cost["cost"] == pytest.approx((letters / 4 * 0.5 + 1600 * 1.5) / 1e6, abs=1e-4)


def test_a_clip_is_scored_by_both_questions_or_not_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nanoemox")
    with serving(in_turn("7", "3", "6", "no number", 401)) as server:
        judge = Judge(server.url, "m", tmp_path)
        references = dict.fromkeys("abcd", REASON)
        answers = {"a": "He is angry.", "b": "He is sad.", "c": "He is calm.", "d": " "}
        report, faults = judge_reasons(judge, references, answers, {})
    assert "is to answer 6 questions (0 more are known)" in caplog.text
    assert report["scores"] == {"d": {"clues": 1.0, "labels": 1.0}, "a": {"clues": 7.0, "labels": 3.0}}
    assert report["unanswered"] == 1 and report["figures"]["judge_clues"]["value"] == 4.0
    assert [fault.name[:2] for fault in faults] == ["b:", "c:"]
    assert "expected a number" in faults[0].name and "HTTP 401" in faults[1].name


@pytest.mark.parametrize("reply", [None, 401, 500])
def test_a_dead_server_is_told_once_and_its_retries_are_seen(
    tmp_path: Path, reply: int | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("nanoemox.scoring.judge.time.sleep", pauses.append)
    caplog.set_level(logging.INFO, "nanoemox")
    references = dict.fromkeys("abcd", REASON)
    answers = dict.fromkeys("abcd", "He is angry.")
    with StandIn(lambda question: "") if reply is None else serving(lambda question: reply or 0) as server:
        if reply is None:
            server.server_close()  # the connection is refused
        with pytest.raises(JudgeError, match="no answer"):
            judge_reasons(Judge(server.url, "m", tmp_path), references, answers, {})
        assert len(server.asked) == (0 if reply is None else 1 if reply == 401 else 5)
    tries = [] if reply == 401 else ["try 2 of 5", "try 3 of 5", "try 4 of 5", "try 5 of 5"]
    assert all(text in caplog.text for text in tries)
    assert len(pauses) == len(tries) and sum(pauses) < RETRY_S


def test_a_server_that_asks_for_more_patience_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoemox.scoring.judge._seconds", lambda _: 600.0)  # retry-after
    with serving(lambda question: 429) as server:
        with pytest.raises(JudgeError, match="HTTP 429"):
            Judge(server.url, "m", tmp_path).ask("how far?")
        assert len(server.asked) == 1


# ---------------------------------------------------------------- the command


def by_question(question: str) -> Reply:
    """Scores 7 and 3, labels [sad]; what holds "nonsense" gets no number, what holds "crash" a 400."""
    if "crash" in question:
        return 400
    if "nonsense" in question:
        return "hard to say"
    return "7" if "posture" in question else "[sad]" if "square brackets" in question else "Score: 3"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with serving(by_question) as started:
        yield started


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


def test_a_judge_of_reasons(tmp_path: Path, server: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    truth = manifest(tmp_path, {"reasoning": {"text": REASON}})
    (tmp_path / "p.csv").write_text("id,text\na,He is angry and loud.\nb,nonsense\nc,crash\nd,\n")
    assert not score(
        tmp_path, "reasoning", truth, "--server", server.url, "--only-estimate", "--prices", "1", "2"
    )
    shown = capsys.readouterr().err
    assert "6 questions" in shown and "cost 0.0" in shown and server.asked == []
    report = score(tmp_path, "reasoning", truth, "--server", server.url)
    assert "6 questions" in capsys.readouterr().err
    clues, labels = (report["judge"]["figures"][f"judge_{part}"] for part in ("clues", "labels"))
    assert (clues["value"], labels["value"], clues["n"]) == (4.0, 2.0, 2)  # d has no answer and gets a 1
    names = report["faults"]["no score from the judge (not in its means)"]["names"]
    assert [name[:2] for name in names] == ["b:", "c:"] and "HTTP 400" in names[1]
    assert report["faults"]["empty answer"]["names"] == ["d"]
    assert report["standard"]["agreement"]["n"] == 4 and report["standard"]["agreement"]["value"] > 0
    assert all(body["temperature"] == 0 for body in server.asked)
    before = len(server.asked)
    assert score(tmp_path, "reasoning", truth, "--server", server.url)["judge"]["known"] == 3
    assert len(server.asked) == before + 1  # c alone: b's useless reply is known


def test_labels_from_a_server_where_no_rule_reads_them(tmp_path: Path, server: StandIn) -> None:
    truth = manifest(tmp_path, {"open_vocabulary": {"labels": ["sad"]}})
    (tmp_path / "p.csv").write_text(
        "id,output\na,[sad]\nb,one could well say that she is not at her best today\n"
        "c,crash and the person feels so very lonely about it\nd,\n"
    )
    report = score(tmp_path, "open_vocabulary", truth, "--server", server.url)
    assert report["routes"] == {"label list": 1, "server": 1, "words in running text": 1, "none": 1}
    assert report["standard"]["set_recall"]["value"] == 0.5
    assert report["faults"]["no labels from the server (those found by rule count)"]["n"] == 1
    assert len(server.asked) == 2


def test_a_server_is_refused_where_it_cannot_help(
    tmp_path: Path, server: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = manifest(tmp_path, {"intent": {"label": "Thank"}})
    (tmp_path / "p.csv").write_text("id,text\na,Thank\n")
    assert score(tmp_path, "intent", truth, "--server", server.url) == 2
    assert score(tmp_path, "intent", truth, "--only-estimate") == 2
    assert score(tmp_path, "intent", truth, "--server", "ftp://x") == 2
    shown = capsys.readouterr().err
    assert "not with intent" in shown and "expected --server URL" in shown and "http://" in shown
    assert not (tmp_path / "cache").exists() and server.asked == []


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("<think>between 8 and 9 at first</think>3", 3.0),
        ("On a scale from 1 to 10, I would say 7.", 7.0),
        ("7/10", 7.0),
        ("Out of 10: 4", 4.0),
        ('```json\n{"score": 6}\n```', 6.0),
        ("\\boxed{5}", 5.0),
        ("７", 7.0),
    ],
)
def test_a_judges_number_is_not_its_scale_and_not_its_thoughts(reply: str, score: float) -> None:
    assert read_score(reply) == score


def test_a_judges_labels_are_not_its_thoughts() -> None:
    assert read_labels("<think>[anger]?</think>[sad，calm]") == ("sad", "calm")
    for reply in ("<think>8", "from 1 to 10"):
        with pytest.raises(JudgeError, match="expected a number from 1 to 10"):
            read_score(reply)


def test_a_judge_is_not_shown_thoughts(tmp_path: Path, server: StandIn) -> None:
    labels = {"reasoning": {"text": REASON}}
    manifest, answers = tmp_path / "m.jsonl", tmp_path / "p.jsonl"
    manifest.write_text(json.dumps({"id": "a", "text": "hm", "labels": labels}) + "\n", encoding="utf-8")
    text = f"<think>secret</think><answer>{REASON}</answer>"
    answers.write_text(json.dumps({"id": "a", "text": text}) + "\n", encoding="utf-8")
    report = score_file(answers, "reasoning", manifest, server=Judge(server.url, "m", tmp_path / "replies"))
    questions = [body["messages"][0]["content"] for body in server.asked]
    assert len(questions) == 2 and not any("secret" in q or "<answer>" in q for q in questions)
    assert report.wrappers == {"thoughts removed": 1, "answer tag": 1}
    assert report.standard["agreement"]["value"] == 1.0

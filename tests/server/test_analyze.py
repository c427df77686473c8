"""`/v1/analyze`: the answers of `EmotionAnalyzer` about an upload, and a clear no to everything else."""

from __future__ import annotations

import base64
import errno
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.server import app, scratch
from nanoemox.server.readers import Readers, Reading
from nanoemox.server.settings import Settings
from tests.media_files import tone, write_wav
from tests.server.running import SAMPLE, Gated, Running, at_once, form, running, wait_for

TEXT = "I lost my keys."


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in ("timing_s", "clip", "notice")}


def test_an_upload_gets_the_answers_of_the_analyzer(served: Running, analyzer: EmotionAnalyzer) -> None:
    expected = analyzer.analyze(SAMPLE, text=TEXT, tasks=["emotion", "intent"]).to_dict()
    answer = served.analyze(SAMPLE.read_bytes(), "C:\\clips\\mine.mp4", text=TEXT, tasks="emotion, intent")
    assert answer.status == 200 and without_times(answer.body) == without_times(expected)
    assert answer.body["clip"] == "mine.mp4" and "not what a person feels" in answer.body["notice"]
    assert answer.headers["cache-control"] == "no-store" and not served.kept


def test_words_alone_candidates_and_a_dialogue(served: Running, analyzer: EmotionAnalyzer) -> None:
    turns = [{"role": "assistant", "text": "What happened?"}]
    labels = {"emotion": ["joy", "anger"]}
    expected = analyzer.analyze(None, text=TEXT, tasks="emotion", dialogue=turns, candidates=labels).to_dict()
    answer = served.analyze(
        text=TEXT, tasks="emotion", dialogue="assistant: What happened?", candidates=json.dumps(labels)
    )
    assert answer.status == 200 and without_times(answer.body) == without_times(expected)


def test_a_data_url_is_as_good_as_an_upload(served: Running, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "a.wav", tone(1.0, 16_000)).read_bytes()
    url = f"data:audio/wav;base64,{base64.b64encode(sound).decode()}"
    uploaded, sent = served.analyze(sound, tasks="emotion"), served.analyze(url=url, tasks="emotion")
    assert uploaded.status == sent.status == 200
    assert sent.body["tasks"] == uploaded.body["tasks"] and sent.body["modalities"]["video"] != "present"


def test_requests_that_wait_are_answered_together_and_as_alone(analyzer: EmotionAnalyzer) -> None:
    gated = Gated(analyzer)
    with running(gated, Settings(port=0, readers=1, batch=4)) as server:
        gated.gate.clear()
        texts = [f"This is sentence {i}." for i in range(4)]

        def call(text: str) -> Any:
            return lambda: server.analyze(text=text, tasks="emotion")

        first = threading.Thread(target=call("first"))
        first.start()
        wait_for(lambda: gated.batches)  # the others come while this one is answered
        opener = threading.Thread(
            target=lambda: (wait_for(lambda: server.service.worker.waiting == 4), gated.gate.set())
        )
        opener.start()
        answers = at_once([call(text) for text in texts])
        first.join()
        opener.join()
        assert sorted(map(len, gated.batches)) == [1, 4]
        assert [server.figure(f"nanoemox_batch_size_{n}") for n in ("count", "sum")] == [2, 5]
    for text, answer in zip(texts, answers, strict=True):
        assert answer.body["tasks"] == analyzer.analyze(None, text=text, tasks="emotion").to_dict()["tasks"]


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({}, 400, "give the text"),
        ({"txt": "x"}, 400, "unknown field 'txt'"),
        ({"text": "x", "tasks": "emotio"}, 400, "emotio"),
        ({"text": "x", "candidates": "[1"}, 400, "candidates"),
        ({"text": "x", "candidates": '{"emotion": "joy"}'}, 400, "candidates"),
        ({"text": "x", "max_new_tokens": "many"}, 400, "max_new_tokens"),
        ({"text": "x", "max_new_tokens": "1000000"}, 400, "from 1 to 1024"),
        ({"text": "x" * 20_001}, 400, "20,000 characters"),
        ({"url": "data:video/mp4;base64,@@@"}, 400, "base64"),
        ({"url": "data:nothing"}, 400, "comma"),
        ({"url": "/etc/passwd"}, 400, "names of files on the server"),
        ({"url": "file:///etc/passwd"}, 400, "names of files on the server"),
        ({"url": "http://127.0.0.1:1/a.mp4"}, 403, "--fetch-from"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_said(served: Running, fields: dict[str, str], status: int, told: str) -> None:
    answer = served.analyze(**fields)
    assert answer.status == status and told in answer.message and not served.kept


@pytest.mark.parametrize(
    "content", [b"", b"This is a text.", SAMPLE.read_bytes()[:3000], b"#EXTM3U\nhttp://127.0.0.1/a.ts\n"]
)
def test_a_file_that_lies_about_its_type_is_refused_by_its_own_name(served: Running, content: bytes) -> None:
    answer = served.analyze(content, "holiday.mp4", text=TEXT, tasks="emotion")
    assert answer.status == 422 and answer.message.startswith("holiday.mp4: ")
    assert str(served.service.scratch.folder) not in answer.message and not served.kept


def test_what_a_file_is_decides_and_not_what_its_sender_says(served: Running, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "a.wav", tone(1.0, 16_000)).read_bytes()
    answer = served.analyze(sound, "a.jpg", "image/jpeg", tasks="emotion")
    assert answer.status == 200 and answer.body["modalities"]["audio"] == "present"


def test_a_clip_that_is_too_long_is_refused_and_a_piece_of_it_is_not(served: Running, tmp_path: Path) -> None:
    long = write_wav(tmp_path / "a.wav", tone(31.0, 8_000), 8_000).read_bytes()
    answer = served.analyze(long, "long.wav", tasks="emotion")
    assert answer.status == 422 and "at most 30 s" in answer.message
    assert served.analyze(long, "long.wav", tasks="emotion", start_s="2", end_s="4").status == 200


def test_one_file_a_request_and_only_forms(served: Running) -> None:
    two = form([("file", "a", "video/mp4", b"a"), ("file", "b", "video/mp4", b"b")], {})
    kind = "multipart/form-data; boundary=a-border-that-no-clip-holds"
    assert served.send("/v1/analyze", two, content_type=kind).status == 400
    cut = form([("file", "a.mp4", "video/mp4", SAMPLE.read_bytes()[:2000])], {})[:1000]
    assert served.send("/v1/analyze", cut, content_type=kind).status == 400
    assert served.send("/v1/analyze", b"{}", content_type="application/json").status == 415
    plain = served.send(
        "/v1/analyze", b"text=Hello&tasks=emotion", content_type="application/x-www-form-urlencoded"
    )
    assert plain.status == 200 and set(plain.body["tasks"]) == {"emotion"}
    assert served.send("/v1/analyze").status == 405 and served.send("/v2").status == 404
    for path in ("/v1/analyze", "/v2"):
        assert "POST /v1/analyze" in served.send(path).body["error"]["message"]
    assert not served.kept


# ---------------------------------------------------------------- addresses of clips
class _Host(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        moved = {"/away.mp4": "http://localhost:1/x", "/gone.mp4": None}.get(self.path, "")
        self.send_response(302 if moved else 404 if moved is None else 200)
        if moved:
            self.send_header("Location", moved)
        self.end_headers()
        if moved == "":
            self.wfile.write(SAMPLE.read_bytes() if self.path == "/a.mp4" else bytes(2_000_000))

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def host() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_clips_are_fetched_from_listed_hosts_alone(host: int, tmp_path: Path) -> None:
    settings = Settings(hosts=("127.0.0.1",), max_body_bytes=1_000_000)
    place = f"http://127.0.0.1:{host}"
    assert scratch.write_url(f"{place}/a.mp4", tmp_path / "a", settings) == "a.mp4"
    assert (tmp_path / "a").read_bytes() == SAMPLE.read_bytes()
    for name, code in (
        ("away.mp4", "url_refused"),
        ("gone.mp4", "fetch_failed"),
        ("huge.mp4", "body_too_large"),
    ):
        with pytest.raises(scratch.FaultError) as refused:
            scratch.write_url(f"{place}/{name}", tmp_path / "b", settings)
        assert refused.value.code == code


# ---------------------------------------------------------------- what breaks
def test_a_full_disk_is_told_and_nothing_is_kept(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Any, path: Path) -> int:
        path.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(app, "copy", full)
    answer = served.analyze(SAMPLE.read_bytes())
    assert answer.status == 507 and answer.code == "disk_full" and "retry-after" in answer.headers
    assert not served.kept


def test_a_reader_that_died_is_replaced(served: Running) -> None:
    before = served.service.readers.deaths
    for reader in list(served.service.readers.all):
        reader.process.kill()
        reader.process.join()
    assert served.analyze(SAMPLE.read_bytes(), tasks="emotion").status == 200
    assert served.service.readers.deaths == served.figure("nanoemox_reader_deaths") == before + 1


async def _read_without_time() -> None:
    readers = Readers(1, seconds=0.0)
    try:
        await readers.read(Reading(SAMPLE))
    finally:
        readers.close()


def test_a_file_over_which_two_readers_end_is_refused() -> None:
    import asyncio

    with pytest.raises(ValueError, match=r"sample.mp4: cannot be read \(reading the clip took more than"):
        asyncio.run(_read_without_time())


def test_one_request_fails_alone(analyzer: EmotionAnalyzer) -> None:
    gated = Gated(analyzer)
    gated.faults = {"bug": RuntimeError("secret"), "end": SystemExit(1), "full": MemoryError()}
    with running(gated, Settings(port=0, readers=1, batch=8)) as server:
        gated.gate.clear()
        texts = ["first", "bug", "end", "full", "well"]
        opener = threading.Thread(
            target=lambda: (wait_for(lambda: server.service.worker.waiting == 4), gated.gate.set())
        )

        def call(text: str) -> Any:
            return lambda: server.analyze(text=text, tasks="emotion")

        first = threading.Thread(target=call(texts[0]))
        first.start()
        wait_for(lambda: gated.batches)
        opener.start()
        answers = dict(zip(texts[1:], at_once([call(text) for text in texts[1:]]), strict=True))
        first.join()
        opener.join()
        assert {text: answer.status for text, answer in answers.items()} == {
            "bug": 500,
            "end": 500,
            "full": 503,
            "well": 200,
        }
        assert "secret" not in str(answers["bug"].body) and answers["full"].headers["retry-after"]

        # Health follows: three failures one after another, then an answer.
        assert [server.analyze(text="bug").status for _ in range(3)] == [500] * 3
        assert server.send("/health").status == 503
        assert server.analyze(text="well", tasks="emotion").status == 200
        assert server.send("/health").body == {"status": "ok", "model": "pico"}


def test_what_a_killed_server_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "nanoemox-serve-999999999-x"
    left.mkdir()
    (left / "clip").write_bytes(b"a face")
    other = scratch.Scratch()
    assert list(tmp_path.iterdir()) == [other.folder] and other.folder.stat().st_mode & 0o077 == 0
    other.close()
    assert not list(tmp_path.iterdir())

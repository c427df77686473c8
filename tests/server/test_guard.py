"""Who is let in and who is not, and clients that behave as badly as they can."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.server.settings import Settings
from tests.server.running import BORDER, Gated, Running, at_once, form, running, wait_for

HEAD = (
    b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=%b\r\n"
    % BORDER
)


def everything(connection: socket.socket) -> bytes:
    """What arrives until the other side closes."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionError:
        pass
    return found


def settled(server: Running) -> None:
    """Nobody is in the house, and nothing lies in its folder."""
    wait_for(lambda: server.figure("nanoemox_requests_in_house") == 0 and not server.kept)


def test_a_body_that_is_too_large_is_refused_by_its_head_and_on_the_way(served: Running) -> None:
    answer = served.analyze(bytes(3_000_000))
    assert answer.status == 413 and answer.code == "body_too_large" and "--max-mb" in answer.message
    with served.connect() as connection:  # in pieces, without a length
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        begin = form([("file", "a.mp4", "video/mp4", b"")], {}).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        connection.sendall(b"%x\r\n" % len(begin) + begin + b"\r\n")
        for _ in range(40):
            connection.sendall(b"c350\r\n" + bytes(0xC350) + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 413 ")
    settled(served)


def test_a_client_that_asks_before_it_sends_is_answered_at_once(served: Running) -> None:
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 999999999\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_half_an_upload_is_given_up_and_nothing_is_kept(served: Running) -> None:
    body = form([("file", "a.mp4", "video/mp4", bytes(100_000))], {})
    for sent in (0, 60_000):
        with served.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:sent])
            assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
    with served.connect() as connection:  # and one that goes away in the middle
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:60_000])
    settled(served)


def test_a_body_that_is_longer_than_it_says_is_no_second_request(served: Running) -> None:
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 4\r\n\r\n" + b"--a-" + b"\x00garbage\r\n\r\n")
        answers = everything(connection)
    assert answers.startswith(b"HTTP/1.1 400 ") and b" 200 " not in answers
    settled(served)


def test_a_silent_client_is_cut_off(served: Running) -> None:
    for sent in (b"", b"POST /v1/analyze HTT"):
        started = time.monotonic()
        with served.connect() as connection:
            connection.sendall(sent)
            assert everything(connection) == b""
        assert time.monotonic() - started < 15
    assert served.figure("nanoemox_cut_connections_total") >= 2


def test_a_client_that_never_reads_is_cut_off(served: Running) -> None:
    with served.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.5)
        ended = False
        try:
            for _ in range(200):  # answers pile up until the server cannot write any more
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        except TimeoutError:
            pass
        except ConnectionError:
            ended = True
        connection.settimeout(20)
        try:
            ended = ended or everything(connection) is not None
        except TimeoutError:
            ended = False
    assert ended and served.send("/health").status == 200


def test_packed_bodies_and_other_hosts_and_pages_are_refused(served: Running) -> None:
    assert served.send("/v1/analyze", b"x", content_encoding="gzip").status == 415
    assert served.send("/health", host="evil.example").status == 403
    assert served.send("/health", origin="https://evil.example").status == 403
    own = served.url.removeprefix("http://")
    assert served.send("/health", origin=f"http://{own}", host=own).status == 200


def test_a_key_is_asked_for_and_needed_beyond_this_machine(analyzer: EmotionAnalyzer) -> None:
    with pytest.raises(ArgumentError, match="NANOEMOX_SERVE_KEY"):
        Settings(host="0.0.0.0")
    assert not Settings(host="192.0.2.1", key="k").loopback and Settings(host="::1").loopback
    with running(analyzer, Settings(port=0, readers=1, key="secret")) as server:
        assert server.send("/health").status == 401
        assert server.send("/health", authorization="Bearer wrong").status == 401
        assert server.send("/health", authorization="Bearer secret").status == 200


def test_who_finds_no_place_is_told_when_to_come_again(analyzer: EmotionAnalyzer) -> None:
    gated = Gated(analyzer)
    with running(gated, Settings(port=0, readers=1, batch=1, queue=2)) as server:
        gated.gate.clear()
        inside: list[Any] = []
        threads = [
            threading.Thread(target=lambda i=i: inside.append(server.analyze(text=f"{i}", tasks="emotion")))
            for i in range(3)
        ]
        for thread in threads:
            thread.start()
        wait_for(lambda: server.figure("nanoemox_requests_in_house") == 3)
        refused = server.analyze(bytes(200_000))
        assert refused.status == 429 and refused.code == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1
        later = [int(server.analyze(text="x").headers["retry-after"]) for _ in range(6)]
        assert later == sorted(later) and later[-1] > later[0]  # they do not come back all at once
        assert server.send("/health").status == 200  # who does not want the model is let in
        gated.gate.set()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in inside] == [200] * 3
        assert server.figure("nanoemox_refused_total") == 7
        settled(server)


def test_who_goes_away_is_not_answered(analyzer: EmotionAnalyzer) -> None:
    gated = Gated(analyzer)
    with running(gated, Settings(port=0, readers=1, batch=1)) as server:
        gated.gate.clear()
        first = threading.Thread(target=lambda: server.analyze(text="stays", tasks="emotion"))
        first.start()
        wait_for(lambda: gated.batches)
        body = form([], {"text": "goes"})
        with server.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            wait_for(lambda: server.service.worker.waiting == 1)
        wait_for(lambda: server.figure("nanoemox_requests_in_house") == 1)
        gated.gate.set()
        first.join()
        assert server.analyze(text="comes", tasks="emotion").status == 200
    assert gated.batches == [["stays"], ["comes"]]


def test_many_bodies_at_once_stay_within_the_memory_for_them(analyzer: EmotionAnalyzer) -> None:
    """Ten of nearly the largest size are more than eight of the largest: the last ones are told to come again."""
    body = b'{"messages": "' + bytes([120]) * 99_000
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99900\r\n\r\n"
    with running(analyzer, Settings(port=0, readers=1, max_body_bytes=100_000, idle_s=2.0)) as server:

        def send() -> bytes:
            with server.connect() as connection:
                connection.sendall(head + body)
                return connection.recv(2000)

        statuses = [answer.split()[1] for answer in at_once([send] * 10)]
    assert set(statuses) == {b"408", b"429"} and 1 <= statuses.count(b"429") <= 3

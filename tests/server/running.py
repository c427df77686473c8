"""Servers that run in a thread of the test, and clients of them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as Call
from urllib.request import urlopen

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Answers, Request
from nanoemox.server.run import build_server, listen
from nanoemox.server.service import Service
from nanoemox.server.settings import Settings

SAMPLE = Path(__file__).parents[2] / "demo" / "sample.mp4"
BORDER = b"a-border-that-no-clip-holds"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


@dataclass(frozen=True)
class Running:
    """A server that runs, and how to ask it."""

    port: int
    service: Service

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request as it is."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        call = Call(f"{self.url}{path}", body, named)
        try:
            with urlopen(call, timeout=60) as response:
                return _answer(response)
        except HTTPError as error:
            return _answer(error)

    def post(self, path: str, body: Any) -> Answer:
        """Send JSON."""
        return self.send(path, json.dumps(body).encode(), content_type="application/json")

    def analyze(
        self, content: bytes | None = None, name: str = "clip.mp4", kind: str = "video/mp4", **fields: str
    ) -> Answer:
        """Send a form with a file, or with texts alone."""
        files = [] if content is None else [("file", name, kind, content)]
        return self.send(
            "/v1/analyze",
            form(files, fields),
            content_type=f"multipart/form-data; boundary={BORDER.decode()}",
        )

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def figure(self, name: str) -> float:
        """One of the figures for Prometheus."""
        with urlopen(f"{self.url}/metrics", timeout=20) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    @property
    def kept(self) -> list[str]:
        """The files that lie in the server's folder."""
        return [path.name for path in self.service.scratch.folder.iterdir()]


def _answer(response: Any) -> Answer:
    text = response.read().decode()
    body = json.loads(text) if text.startswith(("{", "[")) else text
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, body)


def form(files: Sequence[tuple[str, str, str, bytes]], fields: dict[str, str]) -> bytes:
    """A body of multipart/form-data."""
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in fields.items()
    ]
    parts += [
        f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'.encode()
        + content
        for field, name, kind, content in files
    ]
    return b"".join(b"--" + BORDER + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + BORDER + b"--\r\n"


@contextmanager
def running(analyzer: EmotionAnalyzer, settings: Settings) -> Iterator[Running]:
    """A server as long as it is needed."""
    services: list[Service] = []
    started = Service.__init__

    def noted(self: Service, *arguments: Any) -> None:
        started(self, *arguments)
        services.append(self)

    Service.__init__ = noted  # type: ignore[method-assign]
    try:
        with listen(settings) as listening:
            server = build_server(analyzer, settings)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            wait_for(lambda: server.started or not thread.is_alive())
            try:
                yield Running(listening.getsockname()[1], services[0])
            finally:
                server.should_exit = True
                thread.join()
    finally:
        Service.__init__ = started  # type: ignore[method-assign]


def wait_for(fact: Any, seconds: float = 30.0) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.01)


class Gated(EmotionAnalyzer):
    """A model that answers only while its gate is open, and fails on some words."""

    def __init__(self, like: EmotionAnalyzer) -> None:
        super().__init__(like.model, like.processor, like.name)
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[str | None]] = []
        self.faults: dict[str, BaseException] = {}

    def answer_batch(self, requests: Sequence[Request]) -> list[Answers]:
        self.batches.append([request.text for request in requests])
        assert self.gate.wait(60)
        for request in requests:
            if (fault := self.faults.get(request.text or "")) is not None:
                raise fault
        return super().answer_batch(requests)


def at_once(calls: Sequence[Any]) -> list[Any]:
    """What several functions return that run at the same time, each in a thread."""
    found: list[Any] = [None] * len(calls)

    def run(i: int) -> None:
        found[i] = calls[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found

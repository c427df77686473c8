"""The browser view of what is read live: a page on this machine alone, which gets each answer as it comes (SSE).

The server listens on the loopback address and answers only who asks for it by that name, so that a page of a stranger,
opened in the same browser, cannot read along. No frame and no sound leaves the process.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nanoemox import __version__
from nanoemox.files.errors import ArgumentError
from nanoemox.inference.notice import NOTICE
from nanoemox.inference.page import TINTS, page_template
from nanoemox.timeline.page import colour_of

ADDRESS = "127.0.0.1"
KEPT = 600  # answers that a page gets when it is opened
_ALIVE_S = 10.0  # after so long without an answer a comment is sent, which shows that the other side is there


class LivePage:
    """Serves the page until the `with` block ends.

    Attributes:
        url: Where the page is.
    """

    def __init__(self, source: str, model: str, notes: list[str], port: int = 0) -> None:
        """Begin to listen.

        Args:
            source: What is watched, for the heading.
            model: The model, likewise.
            notes: What has to be known about the model.
            port: Where to listen; 0 takes one that is free.

        Raises:
            ArgumentError: If something else listens there.
        """
        self._news = threading.Condition()
        self._answers: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._count, self._closed = 0, False
        page = page_template("timeline/live.html.jinja").render(
            version=__version__,
            source=source,
            model=model,
            notice=NOTICE,
            notes=notes,
            colours={label: colour_of(label) for label in TINTS},
            other=colour_of(""),
        )
        try:
            self._server = ThreadingHTTPServer((ADDRESS, port), _handler(self, page.encode("utf-8")))
        except OSError as error:
            raise ArgumentError(
                f"--port {port}: cannot listen there ({error.strerror}); choose another, or 0 for one that is free"
            ) from error
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://{ADDRESS}:{self.port}/"

    def __enter__(self) -> LivePage:
        threading.Thread(target=self._server.serve_forever, name="live page", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def show(self, answer: Mapping[str, Any]) -> None:
        """Send one answer to all pages that are open."""
        with self._news:
            self._count += 1
            self._answers.append((self._count, json.dumps(answer, allow_nan=False)))
            self._news.notify_all()

    def after(self, number: int) -> tuple[list[tuple[int, str]], bool]:
        """The answers after this one, once there are any or some time has passed; and whether there will be more."""
        with self._news:
            self._news.wait_for(lambda: self._count > number or self._closed, timeout=_ALIVE_S)
            return [each for each in self._answers if each[0] > number], self._closed


def _handler(live: LivePage, page: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "nanoemox", ""

        def do_GET(self) -> None:
            if self.headers.get("Host") not in {f"{ADDRESS}:{live.port}", f"localhost:{live.port}"}:
                self._answer(403, "text/plain", b"ask for this page by its own address\n")
            elif self.path == "/":
                self._answer(200, "text/html; charset=utf-8", page)
            elif self.path == "/answers":
                self._send_answers()
            else:
                self._answer(404, "text/plain", b"there is nothing here\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def _send_answers(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            last = self.headers.get("Last-Event-ID") or "0"  # where a page that lost the connection goes on
            number = int(last) if last.isdecimal() else 0
            with suppress(OSError):  # the page was closed
                while True:
                    news, closed = live.after(number)
                    for number, text in news:  # the last one is where the next round begins
                        self.wfile.write(f"id: {number}\ndata: {text}\n\n".encode())
                    if closed:
                        self.wfile.write(b"event: end\ndata: {}\n\n")
                        return
                    if not news:
                        self.wfile.write(b": still here\n\n")

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are no news."""

    return Handler

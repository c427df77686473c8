"""Who is let in: whose host, origin and key are right, whose body is small enough, and for whom there is a place.

A refused body is read on for a while, since a client that is still writing would not hear why.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nanoemox.server.faults import BUG, FaultError, fault_of
from nanoemox.server.metrics import Metrics
from nanoemox.server.scratch import too_large
from nanoemox.server.settings import MAX_DRAINED_BYTES, Settings

logger = logging.getLogger(__name__)
WORK = ("/v1/analyze", "/v1/chat/completions", "/v1/systemone")  # what takes a place
KNOWN = (*WORK, "/v1/models", "/health", "/metrics", "/openapi.json")
_ID = re.compile(r"[\w.:-]{1,80}")
_DRAIN_S = 5.0
_LATEST_S = 60.0  # after which whoever is refused is asked back at the latest
BODIES_INSIDE = 8  # of the largest size; many small ones are no burden, many large ones would fill the memory


class Guard:
    """Stands before the application."""

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, seconds_each: Callable[[], float]
    ) -> None:
        """Guard an application.

        Args:
            app: The application.
            settings: The limits.
            metrics: Counts what happens.
            seconds_each: How long a request takes, to say when to come again.
        """
        self.app, self.settings, self.metrics, self.seconds_each = app, settings, metrics, seconds_each
        self.inside = 0  # requests that were let in and not yet answered
        self.bytes_inside = 0  # of their bodies
        self._expected: deque[float] = deque(maxlen=10_000)  # when those who were refused are to come back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or say why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        route = scope["path"] if scope["path"] in KNOWN else "other"
        body = _Body(receive, self, waits="expect" in headers)
        answer = _Answer(send, headers.get("x-request-id", ""), body)
        scope.setdefault("state", {})["request_id"] = answer.request_id
        started = time.monotonic()
        try:
            await self._pass(scope, headers, body, answer, takes_place=scope["path"] in WORK)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                logger.error("a request failed", exc_info=error)
            if answer.status is None:
                await (fault or BUG).response()(scope, receive, answer)
        finally:
            self.metrics.requests.labels(route, str(answer.status or 499)).inc()
            self.metrics.seconds.labels(route).observe(time.monotonic() - started)
            self.metrics.bytes.inc(body.size)
            self.bytes_inside -= body.size

    async def _pass(
        self, scope: Scope, headers: Mapping[str, str], body: _Body, answer: _Answer, takes_place: bool
    ) -> None:
        self._check_sender(headers)
        self._check_head(headers)
        if not takes_place:
            await self.app(scope, body, answer)
            return
        if self.inside >= self.settings.places:
            raise self.full()
        self.inside += 1
        self.metrics.in_house.set(self.inside)
        try:
            await self.app(scope, body, answer)
        finally:
            self.inside -= 1
            self.metrics.in_house.set(self.inside)

    def full(self) -> FaultError:
        """The fault of whoever finds no place. Each is told a later time, so that they come back one after another."""
        self.metrics.refused.inc()
        now, each_s = time.monotonic(), self.seconds_each()
        while self._expected and self._expected[0] <= now:
            self._expected.popleft()
        last_s = self._expected[-1] - now if self._expected else self.inside * each_s
        seconds = min(last_s + each_s, _LATEST_S)
        self._expected.append(now + seconds)
        return FaultError(
            429, "queue_full", f"all {self.settings.places} places are taken; come again later", seconds
        )

    def _check_sender(self, headers: Mapping[str, str]) -> None:
        """Refuse web pages of others, which a browser here would let through, and clients without the key."""
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
        names = ("localhost", "127.0.0.1", "[::1]", self.settings.host, f"[{self.settings.host}]")
        if self.settings.loopback and name.lower() not in names:
            raise FaultError(
                403, "host_refused", "expected the name of this machine as Host, got another one"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise FaultError(403, "origin_refused", "web pages of other hosts may not ask this server")
        if self.settings.key:
            expected, given = (
                f"Bearer {self.settings.key}".encode(),
                headers.get("authorization", "").encode(),
            )
            if not hmac.compare_digest(expected, given):
                raise FaultError(401, "key_refused", "expected the server's key as Authorization: Bearer KEY")

    def _check_head(self, headers: Mapping[str, str]) -> None:
        """Refuse by what the head states, before anything of the body is kept."""
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise FaultError(
                415, "encoding_refused", "expected a body as it is, got a packed one; send it unpacked"
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.settings.max_body_bytes:
            raise too_large(self.settings)


class _Body:
    """The body of a request as it arrives, within the limits."""

    def __init__(self, receive: Receive, guard: Guard, waits: bool) -> None:
        self.receive, self.guard, self.settings, self.waits = receive, guard, guard.settings, waits
        self.size, self.whole, self.started = 0, False, time.monotonic()

    async def __call__(self) -> Message:
        """The next piece. Errors: FaultError."""
        if self.whole:  # from now on, only that the client goes away is news
            return await self.receive()
        left_s = self.started + self.settings.body_s - time.monotonic()
        try:
            message = await asyncio.wait_for(self.receive(), min(self.settings.idle_s, max(left_s, 0.001)))
        except TimeoutError as error:
            self.whole = True
            raise FaultError(
                408, "body_timeout", "the rest of the body did not arrive in time; nothing of it was kept"
            ) from error
        self._count(message)
        if self.size > self.settings.max_body_bytes:
            raise too_large(self.settings)
        if self.guard.bytes_inside > BODIES_INSIDE * self.settings.max_body_bytes:
            raise self.guard.full()
        return message

    def _count(self, message: Message) -> None:
        self.size += len(message.get("body", b""))
        self.guard.bytes_inside += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)

    async def drain(self) -> None:
        """Read on for a while without keeping anything; a client that waits to be asked for its body is not asked."""
        if self.waits and not self.size:
            return
        until, most = time.monotonic() + _DRAIN_S, self.size + MAX_DRAINED_BYTES
        while not self.whole and self.size < most and (left_s := until - time.monotonic()) > 0:
            try:
                self._count(await asyncio.wait_for(self.receive(), left_s))
            except TimeoutError:
                return


class _Answer:
    """The answer as it leaves, with the number of its request."""

    def __init__(self, send: Send, asked: str, body: _Body) -> None:
        self.send, self.body = send, body
        self.request_id = asked if _ID.fullmatch(asked) else uuid.uuid4().hex
        self.status: int | None = None

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status >= 400:
                await self.body.drain()
            message.setdefault("headers", [])
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", self.request_id.encode()),
                (b"cache-control", b"no-store"),
            ]
        await self.send(message)

"""A connection that ends by itself where its client keeps silent in the middle of a request, or reads no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def connection_type(idle_s: float, on_cut: Callable[[], None]) -> type[H11Protocol]:
    """uvicorn's protocol for HTTP with the two limits that it lacks.

    Args:
        idle_s: How long the head of a request may take to arrive, and how long an answer may stay unread.
        on_cut: Is called for every connection that is ended so.

    Returns:
        The class.
    """

    class Connection(H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._head = self.loop.call_later(idle_s, self._cut)

        def _cut(self) -> None:
            on_cut()
            self.transport.abort()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            busy = self.cycle is not None and not self.cycle.response_complete
            if (
                busy and self._head is not None
            ):  # the head is complete; the body has limits of its own (guard.py)
                self._head.cancel()
                self._head = None
            elif not busy and self._head is None:
                self._head = self.loop.call_later(idle_s, self._cut)

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._unread is None:
                self._unread = self.loop.call_later(idle_s, self._cut)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._head, self._unread):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)

    return Connection

"""Starting a server: a model, its application, and uvicorn around them."""

from __future__ import annotations

import logging
import socket

import uvicorn

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.server.app import build_app
from nanoemox.server.connection import connection_type
from nanoemox.server.settings import Settings

logger = logging.getLogger(__name__)
_KEEP_ALIVE_S = (
    30  # between two requests; clients give a connection up after 5, and have to be the first to do so
)
_BACKLOG = 2048  # connections that come at once wait here instead of being refused


def build_server(analyzer: EmotionAnalyzer, settings: Settings) -> uvicorn.Server:
    """A server that is ready to run.

    Args:
        analyzer: The model.
        settings: The limits.

    Returns:
        The server; `run` and `serve` start it.
    """
    app = build_app(analyzer, settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=connection_type(settings.idle_s, app.metrics.cut.inc),
        ws="none",
        lifespan="on",
        backlog=_BACKLOG,
        log_config=None,
        access_log=False,  # who asked is nobody's business
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=30,
    )
    return uvicorn.Server(config)


def listen(settings: Settings) -> socket.socket:
    """The socket of a server. Errors: ArgumentError, where the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise ArgumentError(
            f"{settings.host}:{settings.port}: cannot be listened on ({error.strerror}); choose another --port"
        ) from error
    listening.listen(_BACKLOG)
    return listening


def serve(analyzer: EmotionAnalyzer, settings: Settings, listening: socket.socket) -> None:
    """Serve until interrupted.

    Args:
        analyzer: The model.
        settings: The limits.
        listening: As `listen` makes it.
    """
    allow_many_connections()
    build_server(analyzer, settings).run(sockets=[listening])


def allow_many_connections() -> None:
    """Take as many open files as the system gives: every connection is one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

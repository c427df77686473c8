"""The same call as a tool of the Model Context Protocol, for agents that run on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from nanoemox import __version__
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.notice import NOTICE
from nanoemox.server.faults import FaultError
from nanoemox.server.service import Call, Service, result_of
from nanoemox.server.settings import Settings


def build_tool_server(analyzer: EmotionAnalyzer, settings: Settings) -> MCPServer:
    """A server with one tool, `analyze_clip`. Its `run` speaks over standard input and output.

    Args:
        analyzer: The model.
        settings: The limits.

    Returns:
        The server.
    """
    parts: dict[str, Service] = {}

    @asynccontextmanager
    async def life(server: MCPServer) -> AsyncIterator[None]:
        parts["service"] = Service(analyzer, settings)
        try:
            yield
        finally:
            parts["service"].close()

    server = MCPServer("nanoemox", version=__version__, instructions=NOTICE, lifespan=life)

    @server.tool()
    async def analyze_clip(
        path: str | None = None,
        url: str | None = None,
        text: str | None = None,
        dialogue: str | None = None,
        tasks: list[str] | None = None,
        candidates: dict[str, list[str]] | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        max_new_tokens: int | None = None,
    ) -> dict[str, Any]:
        """Answer six questions about a person in a clip: sentiment, emotion, every emotion, intent, reasons, a reply.

        These are a model's readings, not what a person feels. They must not decide anything about anyone.

        Args:
            path: A video, audio or image file on this machine. Leave it out where there are only words.
            url: The clip as a data URL, in place of a path.
            text: What is said in the clip.
            dialogue: What was said before, one turn a line, such as "assistant: What happened?".
            tasks: Some of sentiment, emotion, open_vocabulary, intent, reasoning, empathy. Without it, all.
            candidates: For sentiment, emotion or intent, the labels to choose from.
            start_s: Use the clip from this second on.
            end_s: Use the clip up to this second.
            max_new_tokens: Cut every answer at this number of tokens.

        Returns:
            The answers, the modalities that they rest on, and the warnings.
        """
        service = parts["service"]
        call = Call(text, dialogue, tasks, candidates or {}, start_s, end_s, max_new_tokens)
        try:
            if path and url:
                raise ArgumentError("expected one clip, got both path and url")
            if url:
                async with service.from_url(url) as (file, name):
                    analysis = await service.analyze(call, file, name)
            else:
                analysis = await service.analyze(call, _file(path) if path else None, path or "")
        except (NanoEmoXError, FaultError) as error:
            raise ToolError(error.message if isinstance(error, FaultError) else str(error)) from error
        return result_of(analysis)

    return server


def _file(path: str) -> Path:
    file = Path(path)
    if file.is_dir():
        raise ArgumentError(f"{path}: expected a media file, got a folder; name a file in it")
    return file

"""The tool for agents answers as `/v1/analyze` does, in this process and over standard input and output."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.server.settings import Settings
from nanoemox.server.tool import build_tool_server
from tests.server.running import SAMPLE

CALL = {"path": str(SAMPLE), "text": "I lost my keys.", "tasks": ["emotion"]}


async def call(server: Any, *calls: dict[str, Any]) -> tuple[list[str], list[Any]]:
    async with Client(server) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        return tools, [await client.call_tool("analyze_clip", arguments) for arguments in calls]


def test_the_tool_answers_as_the_analyzer(analyzer: EmotionAnalyzer) -> None:
    expected = analyzer.analyze(SAMPLE, text=CALL["text"], tasks="emotion").to_dict()["tasks"]
    server = build_tool_server(analyzer, Settings(readers=1))
    wrong = [
        {"path": "/nowhere.mp4"},
        {"path": "/tmp"},
        {"url": "http://127.0.0.1/a"},
        {"text": "x", "tasks": ["y"]},
    ]
    tools, results = asyncio.run(call(server, CALL, *wrong))
    assert tools == ["analyze_clip"]
    assert results[0].structured_content["tasks"] == expected and results[0].structured_content["notice"]
    told = [result.content[0].text for result in results[1:]]
    assert all(result.is_error for result in results[1:])
    for text, part in zip(told, ("no such file", "got a folder", "--fetch-from", "'y'|y"), strict=True):
        assert any(each in text for each in part.split("|")), text


@pytest.mark.slow
def test_the_command_speaks_over_standard_input_and_output() -> None:
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "nanoemox", "serve", "pico", "--mcp", "--readers", "1"],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "NANOEMOX_HOME": os.environ["NANOEMOX_HOME"]},
    )
    tools, (result,) = asyncio.run(call(server, CALL))
    assert tools == ["analyze_clip"] and not result.is_error
    assert set(result.structured_content["tasks"]) == {"emotion"}

"""A served model, in this process and on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nanoemox.inference.analyzer import EmotionAnalyzer
    from tests.server.running import Running

for _name in ("fastapi", "uvicorn", "multipart", "openai", "prometheus_client", "mcp"):
    pytest.importorskip(_name, reason="needs the extra `serve`")


@pytest.fixture(scope="session")
def analyzer() -> EmotionAnalyzer:
    from nanoemox.inference.analyzer import EmotionAnalyzer

    return EmotionAnalyzer.from_pretrained("pico", check=False)


@pytest.fixture(scope="package")
def served(analyzer: EmotionAnalyzer) -> Iterator[Running]:
    """A server with ordinary limits, except for the largest body and the time for a silent client."""
    from nanoemox.server.settings import Settings
    from tests.server.running import running

    with running(
        analyzer, Settings(port=0, readers=1, max_body_bytes=1_000_000, idle_s=1.5, max_clip_s=30.0)
    ) as server:
        yield server

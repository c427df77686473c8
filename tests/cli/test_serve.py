"""`serve` refuses what is unsafe or impossible before it loads anything."""

from __future__ import annotations

import socket

import pytest

from nanoemox.cli import main as cli
from nanoemox.cli import serve


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_missing_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    assert "pip install '.[serve]'" in told(capsys, "pico")


def test_no_address_beyond_this_machine_without_a_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    monkeypatch.delenv("NANOEMOX_SERVE_KEY", raising=False)
    assert "NANOEMOX_SERVE_KEY" in told(capsys, "pico", "--host", "0.0.0.0")


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("fastapi", "uvicorn", "openai", "prometheus_client", "mcp"):
        pytest.importorskip(name, reason="needs the extra `serve`")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "choose another --port" in told(capsys, "pico", "--port", str(port))
    assert "no such" in told(capsys, "./no-such-folder", "--port", "0").lower()

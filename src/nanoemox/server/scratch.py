"""Where uploads lie while they are read: one folder of the server's own, from which every file is removed again."""

from __future__ import annotations

import base64
import binascii
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import psutil

from nanoemox.server.faults import FaultError
from nanoemox.server.settings import Settings

_PREFIX = "nanoemox-serve-"
_PIECE = 1 << 20
_DATA_HEAD = 200  # characters within which the head of a data URL ends


class Scratch:
    """A folder that nobody else may read. It goes with the server; what a killed server left goes with the next one."""

    def __init__(self) -> None:
        remove_leftovers()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))

    @contextmanager
    def file(self) -> Iterator[Path]:
        """The name of a file that is removed at the end, whatever happens."""
        handle, name = tempfile.mkstemp(dir=self.folder)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_leftovers() -> None:
    """Remove the folders of servers that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def copy(source: IO[bytes], path: Path) -> int:
    """Write an upload to its file; the number of bytes."""
    with path.open("wb") as file:
        shutil.copyfileobj(source, file, _PIECE)
        return file.tell()


def write_url(url: str, path: Path, settings: Settings) -> str:
    """Write what a URL stands for to a file.

    Args:
        url: A data URL, or an address on one of the hosts that the server may ask.
        path: The file.
        settings: The limits.

    Returns:
        What to call it in answers.

    Raises:
        FaultError: For any other URL, and for one that brings nothing.
    """
    if url[:5].lower() == "data:":
        head, comma, body = url.partition(",")
        if not comma or len(head) > _DATA_HEAD:
            raise FaultError(
                400, "bad_data_url", "expected data:TYPE;base64,CONTENT, found no comma after the type"
            )
        path.write_bytes(decoded(body) if head.lower().endswith(";base64") else unquote_to_bytes(body))
        return "data URL"
    _download(url, path, settings)
    return _name_of(url)


def decoded(text: str) -> bytes:
    """The bytes of base64. Errors: FaultError."""
    try:
        return base64.b64decode(re.sub(r"\s+", "", text) if re.search(r"\s", text) else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FaultError(400, "bad_base64", f"expected base64, but {error}; encode the whole file") from error


def _name_of(url: str) -> str:
    return (
        "".join(c if c.isprintable() else "?" for c in Path(urlsplit(url).path).name)[:100] or "remote clip"
    )


def _check_host(url: str, settings: Settings) -> None:
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    except ValueError:
        scheme = host = ""
    if scheme not in ("http", "https") or not host:
        raise FaultError(
            400,
            "bad_url",
            "a clip: expected an upload or a data URL (data:video/mp4;base64,…); names of files on the server are not "
            "read",
        )
    if host not in {each.lower() for each in settings.hosts}:
        raise FaultError(
            403,
            "url_refused",
            f"{host}: addresses are not fetched, since this would tell others whose face and voice are looked at; send "
            "the clip as an upload or a data URL, or start the server with --fetch-from HOST",
        )


class _KnownHosts(HTTPRedirectHandler):
    """Follows redirections only to hosts that may be asked."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        _check_host(newurl, self.settings)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, path: Path, settings: Settings) -> None:
    _check_host(url, settings)
    opener = build_opener(ProxyHandler(), _KnownHosts(settings))
    ends = time.monotonic() + settings.body_s
    size = 0
    try:
        with opener.open(url, timeout=settings.idle_s) as response, path.open("wb") as file:
            while piece := response.read1(_PIECE):
                size += len(piece)
                if size > settings.max_body_bytes:
                    raise too_large(settings)
                if time.monotonic() > ends:
                    raise FaultError(
                        422, "fetch_failed", f"{_name_of(url)}: its host took too long to send it"
                    )
                file.write(piece)
    except URLError as error:
        raise FaultError(
            422, "fetch_failed", f"{_name_of(url)}: fetching it failed ({error.reason})"
        ) from error
    except TimeoutError as error:
        raise FaultError(422, "fetch_failed", f"{_name_of(url)}: its host did not answer in time") from error


def too_large(settings: Settings) -> FaultError:
    """The fault of a body or a clip with too many bytes."""
    most = settings.max_body_bytes
    return FaultError(
        413,
        "body_too_large",
        f"expected at most {most:,} bytes in one request; cut or scale the clip, or start the server with a larger "
        "--max-mb",
    )

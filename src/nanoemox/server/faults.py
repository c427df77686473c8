"""Why a request gets no answer: a status, a code for programs, a sentence for people, in the form that OpenAI uses."""

from __future__ import annotations

import errno
import math
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.inference.decoding import LogitsError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class FaultError(HTTPException, NanoEmoXError):
    """A request that is refused. An HTTPException, so that FastAPI passes it on wherever it is raised."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        """Say why.

        Args:
            status: The HTTP status.
            code: A short code for programs.
            message: One sentence with the remedy.
            retry_after_s: After how many seconds another try may go better.
        """
        headers = {} if retry_after_s is None else {"Retry-After": str(max(1, math.ceil(retry_after_s)))}
        super().__init__(status, message, headers)
        self.code, self.message = code, message

    def response(self) -> JSONResponse:
        """The answer that says so."""
        return JSONResponse(
            error_body(self.status_code, self.code, self.message),
            self.status_code,
            headers=dict(self.headers or {}),
        )


BUG = FaultError(500, "bug", "something in the server failed; its log says what")


def error_body(status: int, code: str, message: str) -> dict[str, Any]:
    """The JSON of an error.

    Args:
        status: The HTTP status.
        code: A short code for programs.
        message: A sentence for people.

    Returns:
        What OpenAI's clients read.
    """
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def fault_of(error: Exception) -> FaultError | None:
    """The fault that an exception stands for; None for a bug of ours."""
    if isinstance(error, FaultError):
        return error
    if isinstance(error, LogitsError):
        return FaultError(500, "model_failed", str(error))
    if isinstance(error, ArgumentError):
        return FaultError(400, "bad_argument", str(error))
    if isinstance(error, NanoEmoXError):
        return FaultError(422, "unreadable_clip", str(error))
    if isinstance(error, OSError) and error.errno in _FULL:
        full = "the disk of the server is full, so the upload could not be kept for reading; try again later"
        return FaultError(507, "disk_full", full, 30)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return FaultError(503, "out_of_memory", "the server has too little memory for this request now", 10)
    return None

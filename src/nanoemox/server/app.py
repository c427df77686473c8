"""The routes: six answers about an upload, OpenAI's chat completions, decisions, health and figures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.notice import NOTICE
from nanoemox.server import metrics as figures
from nanoemox.server.chat import Chat, Decisions
from nanoemox.server.faults import BUG, FaultError, fault_of
from nanoemox.server.guard import Guard
from nanoemox.server.scratch import copy
from nanoemox.server.service import Call, Service, candidates_of, number_of, result_of
from nanoemox.server.settings import MAX_FIELDS, Settings

_FIELDS = ["file", "url", "text", "dialogue", "tasks", "candidates", "start_s", "end_s", "max_new_tokens"]

_ROUTES = "POST /v1/analyze, /v1/chat/completions or /v1/systemone, or GET /v1/models, /health or /metrics"
_SENTENCES = {  # for the bare words of the web framework
    "Not Found": f"nothing is at this address; ask {_ROUTES}",
    "Method Not Allowed": f"this address is asked in another way; {_ROUTES}",
}

_THREADS = 8


def build_app(analyzer: EmotionAnalyzer, settings: Settings) -> Guard:
    """The application of one model.

    Args:
        analyzer: The model.
        settings: The limits.

    Returns:
        The application, for uvicorn.
    """
    counted = figures.Metrics()
    parts: dict[str, Any] = {}

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        # Threads that wait for readers are not in the way of those that write uploads.
        threads = ThreadPoolExecutor(settings.readers + _THREADS, thread_name_prefix="files")
        asyncio.get_running_loop().set_default_executor(threads)
        service = Service(analyzer, settings, counted)
        parts.update(service=service, chat=Chat(service), decisions=Decisions(service))
        counted.watch(
            "nanoemox_queue_length", "Requests that wait for the model.", lambda: service.worker.waiting
        )
        counted.watch(
            "nanoemox_reader_deaths", "Processes that died over a clip.", lambda: service.readers.deaths
        )
        try:
            yield
        finally:
            await asyncio.to_thread(service.close)

    app = FastAPI(title="nanoemox", description=NOTICE, lifespan=life, docs_url=None, redoc_url=None)

    for kind in (StarletteHTTPException, NanoEmoXError, OSError, MemoryError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, _refused)

    @app.post("/v1/analyze")
    async def analyze(request: Request) -> Response:
        """Six answers about one clip: a form with `file` or `url`, and any of the other fields."""
        _check_is_form(request)
        limits = {"max_files": 1, "max_fields": MAX_FIELDS, "max_part_size": settings.max_body_bytes}
        async with request.form(**limits) as form:
            return await _unless_gone(request, _analyze(form, parts["service"]))

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        """OpenAI's chat completions, with parts of type text, video_url, image_url, audio_url and input_audio."""
        body = await _json(request)
        return await _unless_gone(request, parts["chat"].answer(body, request.state.request_id))

    @app.post("/v1/systemone")
    async def systemone(request: Request) -> Response:
        """Decisions about a text, with a probability for every allowed answer."""
        body = await _json(request)
        return await _unless_gone(request, parts["decisions"].answer(body, request.state.request_id))

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The model that is served, and what everyone has to know about it."""
        entry = {
            "id": analyzer.name,
            "object": "model",
            "created": 0,
            "owned_by": "nanoemox",
            "tasks": list(analyzer.tasks.trained),
            "warnings": [warning._asdict() for warning in analyzer.origin_warnings],
            "notice": NOTICE,
        }
        return {"object": "list", "data": [entry]}

    @app.get("/health")
    async def health() -> Response:
        """Whether the model answers."""
        well = parts["service"].worker.well
        state = {"status": "ok" if well else "failing", "model": analyzer.name}
        return JSONResponse(state, 200 if well else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(counted.text(), media_type=figures.CONTENT_TYPE)

    def seconds_each() -> float:
        service = parts.get("service")
        return service.worker.seconds_each if service is not None else 1.0

    return Guard(app, settings, counted, seconds_each)


def _check_is_form(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise FaultError(
            415, "bad_type", f"expected multipart/form-data with a part `file`, got {kind or 'no type'!r:.60}"
        )


async def _analyze(form: FormData, service: Service) -> Response:
    """Six answers about what a form holds."""
    if unknown := [name for name in form if name not in _FIELDS]:
        raise ArgumentError(f"unknown field {unknown[0]!r:.60} (known: {', '.join(_FIELDS)})")
    upload = form.get("file")
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    if isinstance(upload, str) or any(not isinstance(v, str) for k, v in form.items() if k != "file"):
        raise ArgumentError("file: expected the clip as a file with a name, and the other fields as texts")
    call = Call(
        text=texts.get("text"),
        dialogue=texts.get("dialogue"),
        tasks=[t.strip() for each in form.getlist("tasks") for t in str(each).split(",") if t.strip()]
        or None,
        candidates=candidates_of(texts.get("candidates")),
        start_s=number_of("start_s", texts.get("start_s"), float),
        end_s=number_of("end_s", texts.get("end_s"), float),
        max_new_tokens=number_of("max_new_tokens", texts.get("max_new_tokens"), int),
    )
    if upload is not None and texts.get("url"):
        raise ArgumentError("expected one clip, got both file and url")
    if isinstance(upload, UploadFile):
        with service.scratch.file() as path:
            await asyncio.to_thread(copy, upload.file, path)
            await upload.close()
            analysis = await service.analyze(call, path, _shown(upload.filename))
    elif texts.get("url"):
        async with service.from_url(texts["url"]) as (path, name):
            analysis = await service.analyze(call, path, name)
    else:
        analysis = await service.analyze(call)
    return JSONResponse(result_of(analysis))


def _refused(request: Request, error: Exception) -> Response:
    """The answer to a request that failed."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)  # for the figures; nobody reads it
    fault = fault_of(error)
    if fault is None and isinstance(error, StarletteHTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        text = error.detail if isinstance(error.detail, str) else json.dumps(error.detail, ensure_ascii=False)
        fault = FaultError(error.status_code, code, _SENTENCES.get(text, text))
    return (fault or BUG).response()


async def _json(request: Request) -> Any:
    body = await request.body()
    try:
        return await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise FaultError(400, "bad_json", f"expected JSON, but {why}") from error


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """The answer, or nothing where its client goes away: then nobody needs it."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_disconnected(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _shown(name: str | None) -> str:
    """What a client calls its file, as one short printable line without folders."""
    last = (name or "").replace("\\", "/").rpartition("/")[2][:100]
    return "".join(c if c.isprintable() else "?" for c in last) or "upload"

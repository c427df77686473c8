"""OpenAI's chat completions, by the handler of `transformers serve` around our model, processor and thread.

The handler streams, counts tokens and writes OpenAI's forms. Everything that comes from a client is checked before it
gets there: the handler itself opens any address and any file that a request names (docs/serve.md).
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Literal

import torch
from fastapi.responses import JSONResponse, StreamingResponse
from openai.types.completion_usage import CompletionUsage
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.systemone import SystemOneHandler
from transformers.cli.serving.utils import GenerateManager, GenerationState, Modality

from nanoemox.files.validation import first_wrong
from nanoemox.media.clip import Clip
from nanoemox.server.faults import FaultError, error_body
from nanoemox.server.service import Service
from nanoemox.server.settings import MAX_MESSAGES, MAX_TEXT_CHARACTERS

logger = logging.getLogger(__name__)
_MEDIA = ("video_url", "image_url", "audio_url", "input_audio")
_FAILED = "the model failed on this request, which was dropped; the server goes on"


class _Message(BaseModel):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]] = Field(max_length=MAX_TEXT_CHARACTERS)
    name: str | None = None
    refusal: None = None


class ChatRequest(BaseModel):
    """What a chat may ask for: OpenAI's names, as far as the model can do it."""

    model_config = ConfigDict(extra="forbid")

    messages: list[_Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    frequency_penalty: float | None = Field(None, gt=-1, le=2)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = Field(None, max_length=64)
    n: Literal[1] | None = None
    # Taken, and without effect: they change nothing about the answer.
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: Literal[False] | None = None
    stream_options: dict[str, Any] | None = None
    modalities: list[Literal["text"]] | None = None
    service_tier: str | None = None


class _OwnModel(ModelManager):
    """The one model of this server, already loaded and checked by our own loader; no other is ever loaded."""

    def __init__(self, service: Service) -> None:
        self.pair = service.analyzer.model, service.analyzer.processor
        super().__init__(device=str(self.pair[0].device), force_model=service.analyzer.name)

    def load_model_and_processor(self, *args: Any, **kwargs: Any) -> Any:
        return self.pair

    @staticmethod
    def process_model_name(model_id: str) -> str:
        return model_id

    @staticmethod
    def get_model_modality(model: Any, processor: Any = None) -> Modality:
        return Modality.MULTIMODAL


class _Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Nobody waits for the rest of an answer."""


class _Stopper:
    """A streamer that ends `generate` at the next token once nobody waits any more."""

    def __init__(self, stopped: threading.Event) -> None:
        self.stopped = stopped

    def put(self, value: Any) -> None:
        if self.stopped.is_set():
            raise _Stopped

    def end(self) -> None:
        pass


class _OnModelThread(GenerateManager):
    """Generates for one request, on the thread that computes for all."""

    def __init__(self, service: Service, seed: int | None = None) -> None:
        self.worker, self.seed = service.worker, seed  # no thread of its own

    def _seeded(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.seed is not None:
            torch.manual_seed(self.seed)
        return work(*args, **kwargs)

    def submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._work = partial(self._seeded, fn, *args, **kwargs)  # generate_streaming hands it on

    def generate_streaming(self, *args: Any, **kwargs: Any) -> Any:
        queue, streamer = super().generate_streaming(*args, **kwargs)
        work = self._work

        def unless_gone() -> None:
            if not streamer._cancelled.is_set():
                work()

        self.worker.submit(unless_gone)
        return queue, streamer

    async def async_submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        stopped = threading.Event()
        if "generation_config" in kwargs:
            kwargs["streamer"] = _Stopper(stopped)
        try:
            return await self.worker.call(partial(self._seeded, fn, *args, **kwargs))
        except asyncio.CancelledError:
            stopped.set()
            raise


class _State(GenerationState):
    """Hands out what generates on the model's thread."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service

    def get_manager(self, model_id: str, use_cb: bool = False) -> Any:
        return _OnModelThread(self.service)


class Chat(ChatCompletionHandler):
    """Chat completions about one clip, or about none."""

    def __init__(self, service: Service) -> None:
        """Serve chats of a service's model."""
        self.service = service
        self.analyzer = service.analyzer
        processor = service.analyzer.processor
        # Models of the official code end an answer with letters (###), which are no token of their own.
        self.ends_in_text = processor.end_of_turn not in processor.tokenizer.all_special_tokens
        super().__init__(_OwnModel(service), _State(service))

    async def answer(self, body: Any, request_id: str) -> JSONResponse | StreamingResponse:
        """Answer one chat.

        Args:
            body: The JSON of the request.
            request_id: What to call it.

        Returns:
            The answer, at once or as a stream.

        Raises:
            FaultError: If something in it cannot be done.
            NanoEmoXError: If its clip cannot be read.
        """
        asked = _checked(body, self.analyzer.name)
        async with AsyncExitStack() as stack:
            messages = await self._opened(asked, stack)
            inputs = await asyncio.to_thread(self._inputs, messages)
        # The clip is in `inputs` as far as the model needs it; its file is gone.
        options = asked.model_dump(exclude_none=True)
        config = self._build_generation_config(options, self.analyzer.model.generation_config)
        self._check_length(inputs, config.max_new_tokens)
        model, tokenizer = self.analyzer.model, self.analyzer.processor.tokenizer
        common = (request_id, model, tokenizer, self.analyzer.name, inputs.to(model.device), config)
        manager = _OnModelThread(self.service, asked.seed)
        headers = self._warnings()
        if asked.stream and not self.ends_in_text:
            streamed: StreamingResponse = self._streaming(*common, gen_manager=manager)
            streamed.body_iterator = _ended(streamed.body_iterator)
            streamed.headers.update(headers)
            return streamed
        whole: JSONResponse = await self._non_streaming(*common, gen_manager=manager)
        if asked.stream:  # in one piece: only the whole answer shows where its last words are an end
            pieces = self._as_stream(json.loads(bytes(whole.body)))
            return StreamingResponse(pieces, media_type="text/event-stream", headers=headers)
        whole.headers.update(headers)
        return whole

    async def _as_stream(self, whole: Mapping[str, Any]) -> AsyncIterator[str]:
        """An answer that is there already, as a stream."""
        choice, named = whole["choices"][0], {"request_id": whole["id"], "model": whole["model"]}
        yield self._build_chunk_sse(role="assistant", content=choice["message"]["content"], **named)
        usage = CompletionUsage(**whole["usage"])
        yield self._build_chunk_sse(finish_reason=choice["finish_reason"], usage=usage, **named)
        yield "data: [DONE]\n\n"

    def _build_completion(self, request_id: str, content: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if self.ends_in_text:
            content = self.analyzer.processor.response(content)
        completion: dict[str, Any] = super()._build_completion(request_id, content, *args, **kwargs)
        return completion

    def _warnings(self) -> dict[str, str]:
        codes = ", ".join(warning.code for warning in self.analyzer.origin_warnings)
        return {"x-nanoemox-warnings": codes} if codes else {}

    def _inputs(self, messages: Sequence[Mapping[str, Any]]) -> Any:
        try:
            return self.analyzer.processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=True
            )
        except ValueError as error:  # what the processor says about parts that do not fit together
            raise FaultError(400, "bad_messages", " ".join(str(error).split())) from error

    def _check_length(self, inputs: Any, new_tokens: int) -> None:
        most = getattr(self.analyzer.model.config.text_config, "max_position_embeddings", None)
        given = inputs["input_ids"].shape[1]
        if most is not None and given + new_tokens > most:
            raise FaultError(
                400,
                "context_length_exceeded",
                f"expected at most {most} tokens, got {given} and room for {new_tokens} of the answer; shorten the "
                "messages, or ask for fewer tokens with max_completion_tokens",
            )

    def _build_generation_config(
        self, body: dict[str, Any], model_generation_config: Any, use_cb: bool = False
    ) -> Any:
        asked = {name: value for name, value in body.items() if name != "seed"}  # set on the model's thread
        config = super()._build_generation_config(asked, model_generation_config, use_cb=use_cb)
        most = self.service.settings.max_new_tokens
        tokens = body.get("max_completion_tokens") or body.get("max_tokens")
        config.max_new_tokens = min(tokens or model_generation_config.max_new_tokens or most, most)
        config.do_sample = bool(body.get("temperature")) or (
            body.get("temperature") is None and bool(model_generation_config.do_sample)
        )
        if self.ends_in_text:
            stops = config.stop_strings or []
            config.stop_strings = [
                *([stops] if isinstance(stops, str) else stops),
                self.analyzer.processor.end_of_turn,
            ]
        if not config.do_sample:  # the model takes the likeliest token; these would only draw a warning
            config.temperature = config.top_p = config.top_k = None
        return config

    async def _opened(self, asked: ChatRequest, stack: AsyncExitStack) -> list[dict[str, Any]]:
        """The messages with their media read, in the form that the processor knows."""
        opened: list[dict[str, Any]] = []
        media = characters = 0
        for row, message in enumerate(asked.messages):
            given = message.content
            parts = [{"type": "text", "text": given}] if isinstance(given, str) else given
            if len(parts) > MAX_MESSAGES:
                raise FaultError(
                    400, "bad_messages", f"messages[{row}]: expected at most {MAX_MESSAGES} parts"
                )
            content = []
            for number, part in enumerate(parts):
                where = f"messages[{row}].content[{number}]"
                kind = part.get("type")
                if kind in _MEDIA:
                    media += 1
                    if media > 2:
                        raise FaultError(
                            400, "bad_messages", f"{where}: expected one clip in a chat: one video, one audio"
                        )
                    content.append(await self._medium(part, str(kind), where, stack))
                elif kind in ("text", "transcript") and isinstance(part.get("text"), str):
                    characters += len(part["text"])
                    content.append({"type": kind, "text": part["text"]})
                else:
                    raise FaultError(
                        400,
                        "bad_messages",
                        f"{where}: expected text, transcript, {', '.join(_MEDIA)}, got {str(kind)!r:.40}",
                    )
            role = "system" if message.role == "developer" else message.role
            opened.append({"role": role, "content": content})
        if characters > MAX_TEXT_CHARACTERS:
            raise FaultError(
                400,
                "bad_messages",
                f"expected at most {MAX_TEXT_CHARACTERS:,} characters, got {characters:,}",
            )
        return opened

    async def _medium(
        self, part: Mapping[str, Any], kind: str, where: str, stack: AsyncExitStack
    ) -> dict[str, Any]:
        given = part.get(kind)
        if kind == "input_audio":
            data = given.get("data") if isinstance(given, Mapping) else None
            url = f"data:audio/any;base64,{data}" if isinstance(data, str) else None
        else:
            url = given.get("url") if isinstance(given, Mapping) else None
        if not isinstance(url, str):
            form = '{"data": BASE64, "format": "wav"}' if kind == "input_audio" else '{"url": "data:…"}'
            raise FaultError(400, "bad_messages", f"{where}: expected {kind}: {form}")
        path, name = await stack.enter_async_context(self.service.from_url(url))
        clip = await stack.enter_async_context(self.service.clip(path, f"{where} ({name})"))
        medium = {"video_url": "video", "image_url": "image"}.get(kind, "audio")
        _check_has(clip, medium, where)
        return {"type": medium, medium: clip}


class Decisions(SystemOneHandler):
    """`/v1/systemone` of `transformers serve`: labels by their first token. Only texts; see docs/serve.md."""

    def __init__(self, service: Service) -> None:
        """Serve decisions of a service's model."""
        super().__init__(_OwnModel(service), _State(service))

    async def answer(self, body: Any, request_id: str) -> JSONResponse:
        """Answer one request. Errors: FaultError, HTTPException."""
        if not isinstance(body, dict) or body.get("assets"):
            raise FaultError(
                400,
                "bad_request",
                "expected a JSON object without assets: decisions are about texts; for a clip ask /v1/analyze",
            )
        if len(json.dumps(body)) > MAX_TEXT_CHARACTERS:
            raise FaultError(400, "bad_request", f"expected at most {MAX_TEXT_CHARACTERS:,} characters")
        answer: JSONResponse = await self.handle_request(body, request_id)
        return answer


def _checked(body: Any, model: str) -> ChatRequest:
    try:
        asked = ChatRequest.model_validate(body)
    except ValidationError as error:
        raise FaultError(400, "bad_request", first_wrong(error, ChatRequest)) from error
    if asked.model not in (None, model):
        raise FaultError(
            404,
            "model_not_found",
            f"expected the model {model!r}, which is served here, got {asked.model!r:.80}",
        )
    stops = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    if len(stops) > 4 or not all(0 < len(stop) <= 64 for stop in stops):
        raise FaultError(400, "bad_request", "stop: expected up to four texts of 1 to 64 characters")
    return asked


def _check_has(clip: Clip, medium: str, where: str) -> None:
    found = clip.audio_windows if medium == "audio" else clip.frames
    if found is None and (medium != "video" or clip.audio_windows is None):
        wanted = "audio" if medium == "audio" else "pictures"
        raise FaultError(422, "unreadable_clip", f"{where}: expected {wanted}, found none in the file")


async def _ended(pieces: AsyncIterable[Any]) -> AsyncIterator[Any]:
    """A stream with the end that OpenAI writes; what failed is told in valid JSON, and in the log."""
    async for piece in pieces:
        if isinstance(piece, str) and 'data: {"error": "' in piece:
            logger.error("the model failed in a stream: %s", " ".join(piece.split())[:500])
            yield f"data: {json.dumps(error_body(500, 'model_failed', _FAILED))}\n\n"
            return
        yield piece
    yield "data: [DONE]\n\n"

"""A language model as judge, through any OpenAI-compatible URL: the published protocol, kept honest.

The release asks gpt-3.5-turbo-0125 at temperature 0 for two scores from 1 to 10, overlap of clues and overlap
of labels, and takes the first number of each reply; a failed call silently scores 0 there. Here the questions
have our own wording, replies are kept on disk so that a second run asks nothing and gives the same, calls are
tried again with growing pauses, and what failed is listed and never scored. `estimate` tells the cost before
anything is sent. Texts leave this machine for the URL that the user names and no other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanoemox.files.atomic import write_json
from nanoemox.files.errors import ArgumentError

LETTERS_A_TOKEN = 4  # a rule of thumb for English
TOKENS_A_REPLY = 8
RETRY = {408, 409, 425, 429, 500, 502, 503, 504}
QUESTIONS = {
    "clues": (
        "Below are two descriptions of one person. Note for yourself what each says of the face, the voice, the "
        "posture and the words that bears on emotion. How far do these clues agree? Reply with a number from 1 "
        "(nothing in common) to 10 (the same clues), and nothing else."
    ),
    "labels": (
        "Below are two descriptions of one person. Note for yourself which emotions each attributes to the "
        "person. How far do these emotions agree? Reply with a number from 1 (none in common) to 10 (the same "
        "emotions), and nothing else."
    ),
}
LABELS_QUESTION = (
    "List the emotions that the text below attributes to its main person, as words in square brackets, separated "
    "by commas. Leave out what the text denies. Reply [] if it names none, and write nothing else."
)
Post = Callable[[str, Mapping[str, str], bytes, float], bytes]


def _post(url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> bytes:
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
    with urllib.request.urlopen(request, timeout=timeout_s) as reply:
        return bytes(reply.read())


@dataclass
class Judge:
    """A chat model behind `url` (".../v1"), asked at temperature 0.

    The key is read from the environment variable named `key_variable`; servers without keys need none.
    """

    url: str
    model: str
    cache: str | Path
    key_variable: str = "OPENAI_API_KEY"
    attempts: int = 5
    timeout_s: float = 60.0
    pause_s: float = 1.0
    post: Post = _post
    asked: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.match(r"https?://", self.url):
            raise ArgumentError(
                f"judge: expected a URL that begins with http:// or https://, got {self.url!r}"
            )

    def ask(self, question: str) -> str:
        """The reply to one question, from disk if it was asked before; raises when every attempt failed."""
        body, data, kept = self._request(question)
        if kept.is_file():
            return str(json.loads(kept.read_text(encoding="utf-8"))["reply"])
        kept.parent.mkdir(parents=True, exist_ok=True)  # before a reply is paid for
        reply = self._send(data)
        write_json(kept, {"request": body, "reply": reply})
        return reply

    def knows(self, question: str) -> bool:
        """Whether the reply is on disk already."""
        return self._request(question)[2].is_file()

    def _request(self, question: str) -> tuple[dict[str, Any], bytes, Path]:
        """What is sent, as an object and as bytes, and where its reply is kept."""
        body = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": question}]}
        data = json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
        name = hashlib.sha256(self.url.encode() + b" " + data).hexdigest()
        return body, data, Path(self.cache) / f"{name}.json"

    def _send(self, data: bytes) -> str:
        headers = {"Content-Type": "application/json"}
        if os.environ.get(self.key_variable):
            headers["Authorization"] = f"Bearer {os.environ[self.key_variable]}"
        url = self.url.rstrip("/") + "/chat/completions"
        problem = "no attempt was made"
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.pause_s * 2 ** (attempt - 1))
            self.asked += 1
            try:
                reply: Any = json.loads(self.post(url, headers, data, self.timeout_s))
                return str(reply["choices"][0]["message"]["content"])
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code} {error.reason}"
                if error.code not in RETRY:
                    break
            except (OSError, ValueError, LookupError, TypeError) as error:
                problem = f"{type(error).__name__}: {error}"
        raise ConnectionError(f"{url}: no answer ({problem}); check the URL, the model's name and the key")

    def scores(self, pairs: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, float]]:
        """Clip -> {"clues", "labels"} from 1 to 10 for (truth, said); a failed clip is in `failed` instead."""
        found: dict[str, dict[str, float]] = {}
        for name, texts in pairs.items():
            questions = dict(zip(QUESTIONS, questions_about(*texts), strict=True))
            try:
                found[name] = {part: _number(self.ask(question)) for part, question in questions.items()}
            except (ConnectionError, ValueError) as error:
                self.failed[name] = str(error)
        return found

    def labels(self, text: str) -> list[str]:
        """Emotion words of a free text, as the model reads it."""
        reply = self.ask(question_for_labels(text))
        found = re.search(r"\[(.*?)\]", reply, re.DOTALL)
        if not found:
            raise ValueError(f"expected words in square brackets, the server replied {reply[:80]!r}")
        return [part.strip(" '\"\n") for part in found.group(1).split(",") if part.strip(" '\"\n")]


def questions_about(truth: str, said: str) -> list[str]:
    """What a judge is asked about two descriptions, in the order of QUESTIONS."""
    texts = f"Description A:\n{truth}\n\nDescription B:\n{said}"
    return [f"{question}\n\n{texts}" for question in QUESTIONS.values()]


def question_for_labels(text: str) -> str:
    return f"{LABELS_QUESTION}\n\n{text}"


def _number(reply: str) -> float:
    found = re.search(r"\d+(?:\.\d+)?", reply)
    if not found or not 0 <= float(found.group()) <= 10:
        raise ValueError(f"expected a number from 1 to 10, the judge replied {reply[:80]!r}")
    return float(found.group())


def estimate(
    questions: Sequence[str], per_million_in: float = 0.0, per_million_out: float = 0.0
) -> dict[str, float]:
    """Calls, tokens and cost of asking, before anything is sent; prices are the user's, tokens a rule of thumb."""
    sent = sum(len(question) for question in questions) / LETTERS_A_TOKEN
    replies = TOKENS_A_REPLY * len(questions)
    cost = (sent * per_million_in + replies * per_million_out) / 1e6
    return {"calls": len(questions), "tokens_in": round(sent), "tokens_out": replies, "cost": round(cost, 4)}

"""A language model as judge, through any OpenAI-compatible server: the official protocol, kept honest.

The official code asks gpt-3.5-turbo-0125 at temperature 0 for two scores from 1 to 10, the overlap of clues and the
overlap of labels, and takes the first number of each reply; a call that fails silently scores 0 there. Here the
questions have our own wording, replies are kept on disk, so that a second run asks nothing and gives the same, and
what failed is listed by clip and never scored: it is left out of the judge's mean and of its `n`. The same server can
read emotion labels from answers in running text, where a rule can only look for words.

Nothing is sent unless the user names a server. The cost is logged before anything is sent, and texts leave this
machine for that server and no other: a redirect to another one is not followed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nanoemox.data.schema import Prediction
from nanoemox.files.atomic import write_json
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.metrics import bootstrap
from nanoemox.scoring.prediction_files import OWN_ROUTE, FileFault
from nanoemox.tasks.base import LABEL_KEYS
from nanoemox.tasks.grammar import GRAMMAR, LIST, split_labels
from nanoemox.tasks.model_output import unwrapped
from nanoemox.tasks.numbers import number_in

logger = logging.getLogger(__name__)
BY_RULE = (GRAMMAR, LIST, OWN_ROUTE)  # routes that need no second opinion
SCORE_KEYS = ("score", "rating", "overlap", "answer", "value")  # of a reply in JSON
LOWEST = 1.0  # of the judge's scale
LETTERS_A_TOKEN = 4  # a rule of thumb for English
TOKENS_A_REPLY = 8
NO_KEY = "none"  # what a server without keys is sent; the client insists on something
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


RETRY_S = 20.0  # after this long a call is not tried again
CONNECT_S = 5.0  # how long a server may take to accept a connection
LAST_PAUSE_S = 8.0  # pauses between tries double up to this


class JudgeError(NanoEmoXError):
    """A question that got no usable reply. One line: the server, what happened, what to do."""


class ServerError(JudgeError):
    """A server that gave no answer.

    down: it cannot be reached, or does not answer in time. alike: the reason is no matter of the question, such as a
    wrong key.
    """

    def __init__(self, message: str, down: bool, alike: bool) -> None:
        """Remember what kind of failure it is.

        Args:
            message: The one line that a user reads.
            down: Whether the server cannot be reached.
            alike: Whether every other question would fail as this one did.
        """
        super().__init__(message)
        self.down, self.alike = down, alike


# ---------------------------------------------------------------- asking a server


class _FailedError(Exception):
    """One try that failed. again: another may succeed, after wait_s seconds. down, alike: as in ServerError."""

    def __init__(
        self,
        problem: str,
        again: bool = False,
        down: bool = False,
        alike: bool = False,
        wait_s: float = 0.0,
    ) -> None:
        super().__init__(problem)
        self.again, self.down, self.alike, self.wait_s = again, down, alike, wait_s


def _seconds(text: str | None) -> float:
    """What a server says in `retry-after`; 0 where it says nothing, or a date."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


@dataclass(frozen=True)
class Judge:
    """A chat model behind `url` (".../v1"), asked at temperature 0.

    cache: the folder where replies are kept. prices: of a million tokens in and out. only_estimate: nothing is asked,
    only the cost is told. key_variable: the environment variable that holds the key; a server without keys needs none.
    max_retries: how often a call is tried again after a lost connection or an answer such as 429 or 500, with growing
    pauses, each try logged, and none later than RETRY_S after the first. timeout_s: how long one reply may take.
    """

    url: str
    model: str
    cache: str | Path
    prices: tuple[float, float] = (0.0, 0.0)
    only_estimate: bool = False
    key_variable: str = "OPENAI_API_KEY"
    max_retries: int = 4
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # such as a port that is no number
            usable = False
        if not usable:
            raise ArgumentError(
                f"judge: expected a URL such as http://localhost:8000/v1, which begins with http:// or https://, "
                f"got {self.url!r}"
            )

    @cached_property
    def _client(self) -> Any:
        try:
            from openai import DefaultHttpxClient, OpenAI, Timeout
        except ImportError as error:
            raise ArgumentError(
                "a server can only be asked with the package openai; install it with: pip install openai"
            ) from error
        return OpenAI(
            base_url=self.url,
            api_key=os.environ.get(self.key_variable) or NO_KEY,
            max_retries=0,  # they are logged here
            timeout=Timeout(self.timeout_s, connect=min(CONNECT_S, self.timeout_s)),
            http_client=DefaultHttpxClient(follow_redirects=False),
        )

    def ask(self, question: str) -> str:
        """The reply to one question, from disk if it was asked before. Errors: JudgeError after the last try."""
        body, kept = self._request(question)
        if kept.is_file():
            return str(json.loads(kept.read_text(encoding="utf-8"))["reply"])
        kept.parent.mkdir(parents=True, exist_ok=True)  # before a reply is paid for
        reply = self._send(body)
        write_json(kept, {"request": body, "reply": reply})
        return reply

    def knows(self, question: str) -> bool:
        """Whether the reply is on disk already."""
        return self._request(question)[1].is_file()

    def _request(self, question: str) -> tuple[dict[str, Any], Path]:
        """What is sent, and where its reply is kept."""
        body = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": question}]}
        data = json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
        name = hashlib.sha256(self.url.encode() + b" " + data).hexdigest()
        return body, Path(self.cache) / f"{name}.json"

    def _send(self, body: Mapping[str, Any]) -> str:
        """The reply, after as many tries as are allowed. Errors: JudgeError."""
        started = time.monotonic()
        for tries in itertools.count(1):
            try:
                return self._try(body)
            except _FailedError as failed:
                pause_s = max(min(0.5 * 2 ** (tries - 1), LAST_PAUSE_S), failed.wait_s)
                late = time.monotonic() + pause_s - started > RETRY_S
                if not failed.again or tries > self.max_retries or late:
                    more = f", tried {tries} times" if tries > 1 else ""
                    raise ServerError(
                        f"{self.url}: no answer ({failed}{more}); check the URL, the model's name and the key",
                        failed.down,
                        failed.alike,
                    ) from failed
                logger.warning(
                    "%s: %s; try %d of %d in %.1f s",
                    self.url,
                    failed,
                    tries + 1,
                    self.max_retries + 1,
                    pause_s,
                )
            time.sleep(pause_s)
        raise AssertionError("a loop without an end")

    def _try(self, body: Mapping[str, Any]) -> str:
        """Ask once. Errors: _FailedError."""
        client = self._client
        import openai

        try:
            completion = client.chat.completions.create(**body)
        except openai.APIStatusError as error:
            code = error.status_code
            problem = f"HTTP {code} {error.response.reason_phrase}"
            wait_s = _seconds(error.response.headers.get("retry-after"))
            again = code in (408, 409, 429) or code >= 500
            alike = again or code in (401, 403, 404)
            raise _FailedError(problem, again=again, alike=alike, wait_s=wait_s) from error
        except openai.APITimeoutError as error:
            raise _FailedError(
                f"APITimeoutError: no reply in {self.timeout_s:g} s", again=True, down=True
            ) from error
        except openai.APIConnectionError as error:
            problem = f"APIConnectionError: {error.__cause__ or error}"
            raise _FailedError(problem, again=True, down=True) from error
        except (openai.OpenAIError, ValueError) as error:  # ValueError: a reply that is no JSON
            raise _FailedError(f"{type(error).__name__}: {error}") from error
        try:
            return completion.choices[0].message.content or ""
        except (AttributeError, LookupError, TypeError) as error:  # a server that speaks another language
            problem = f"expected a chat completion, the server replied {str(completion)[:80]!r}"
            raise _FailedError(problem) from error

    def announce(self, questions: Sequence[str]) -> dict[str, Any]:
        """Log what asking will cost, before anything is sent; what is on disk already costs nothing."""
        new = [question for question in questions if not self.knows(question)]
        known = len(questions) - len(new)
        cost = estimate(new, *self.prices)
        logger.info(
            "%s is to answer %s questions (%s more are known): about %s tokens in and %s out%s",
            self.url,
            *(f"{number:,}" for number in (cost["calls"], known, cost["tokens_in"], cost["tokens_out"])),
            f", cost {cost['cost']:,}" if any(self.prices) else "; give --prices for the cost",
        )
        return {"url": self.url, "model": self.model, "known": known, **cost}


def estimate(
    questions: Sequence[str], per_million_in: float = 0.0, per_million_out: float = 0.0
) -> dict[str, float]:
    """Estimate what asking will take, before anything is sent. Tokens are a rule of thumb.

    Args:
        questions: What is to be asked.
        per_million_in: The price of a million tokens that are sent.
        per_million_out: The price of a million tokens that come back.

    Returns:
        The number of calls, of tokens in and out, and the cost.
    """
    sent = sum(len(question) for question in questions) / LETTERS_A_TOKEN
    replies = TOKENS_A_REPLY * len(questions)
    cost = (sent * per_million_in + replies * per_million_out) / 1e6
    return {"calls": len(questions), "tokens_in": round(sent), "tokens_out": replies, "cost": round(cost, 4)}


# ---------------------------------------------------------------- questions and replies


def questions_about(truth: str, answer: str) -> dict[str, str]:
    """What a judge is asked about two descriptions: "clues" and "labels" -> the question."""
    texts = f"Description A:\n{truth}\n\nDescription B:\n{answer}"
    return {part: f"{question}\n\n{texts}" for part, question in QUESTIONS.items()}


def question_for_labels(text: str) -> str:
    """What a server is asked about one answer in running text."""
    return f"{LABELS_QUESTION}\n\n{text}"


def read_score(reply: str) -> float:
    """The number of a judge's reply, not of its thoughts or of the scale.

    Errors: JudgeError where it has none, or one that is not on the scale.
    """
    found = number_in(unwrapped(reply, SCORE_KEYS).text)
    if found is None or not 0 <= found <= 10:
        raise JudgeError(f"expected a number from 1 to 10, the judge replied {reply[:80]!r}")
    return found


def read_labels(reply: str) -> tuple[str, ...]:
    """The words in square brackets of a server's reply. Errors: JudgeError where it has no brackets."""
    found = re.search(r"\[(.*?)\]", unwrapped(reply, LABEL_KEYS).text, re.DOTALL)
    if not found:
        raise JudgeError(f"expected words in square brackets, the server replied {reply[:80]!r}")
    return tuple(dict.fromkeys(split_labels(found.group(1))))


# ---------------------------------------------------------------- scores and labels of answers


def _raise_if_dead(error: JudgeError, answered: bool) -> None:
    """Give up where a server is down, or refuses the very first question for a reason that holds for all others."""
    if isinstance(error, ServerError) and (error.down or (error.alike and not answered)):
        raise error


class JudgedReasons(NamedTuple):
    """The judge's part of a report, and the clips that it could not score."""

    report: dict[str, Any]
    faults: list[FileFault]


def judge_reasons(
    judge: Judge,
    references: Mapping[str, str],
    answers: Mapping[str, str],
    speakers: Mapping[str, str],
    seed: int = 0,
) -> JudgedReasons:
    """Score reasons by the overlap of clues and of labels, 1 to 10, with intervals.

    Args:
        judge: The server to ask.
        references: Clip id -> the true reasons.
        answers: Clip id -> the reasons of the system. A clip without an answer gets the lowest score, unasked.
        speakers: Clip id -> who speaks, for intervals over speakers.
        seed: The seed of the intervals.

    Returns:
        The cost, the means and the scores, and what the judge failed at.
    """
    pairs = {name: (text, answers.get(name, "")) for name, text in references.items()}
    asked = {name: questions_about(*pair) for name, pair in pairs.items() if pair[1].strip()}
    report = judge.announce([question for questions in asked.values() for question in questions.values()])
    if judge.only_estimate:
        return JudgedReasons(report, [])
    # Ask both questions about each clip; a clip is scored only if both replies are numbers.
    scores = {name: dict.fromkeys(QUESTIONS, LOWEST) for name in pairs if name not in asked}
    faults: list[FileFault] = []
    answered = False
    for name, questions in asked.items():
        try:
            scores[name] = {part: read_score(judge.ask(question)) for part, question in questions.items()}
            answered = True
        except JudgeError as error:
            _raise_if_dead(error, answered)
            faults.append(FileFault("no score from the judge (not in its means)", f"{name}: {error}"))
    kept = [name for name in pairs if name in scores]
    who = [speakers.get(name) or name for name in kept]
    figures = {
        f"judge_{part}": bootstrap.mean([scores[name][part] for name in kept], who, seed)
        for part in QUESTIONS
    }
    return JudgedReasons(
        report | {"figures": figures, "scores": scores, "unanswered": len(pairs) - len(asked)}, faults
    )


class ServerLabels(NamedTuple):
    """Answers and their routes with a server's labels in place, its part of a report, and what it failed at."""

    answers: dict[str, Prediction]
    routes: dict[str, str]
    report: dict[str, Any]
    faults: list[FileFault]


def labels_by_server(
    judge: Judge, answers: Mapping[str, Prediction], routes: Mapping[str, str]
) -> ServerLabels:
    """Put a server's labels in place of those that a rule took from running text.

    Args:
        judge: The server to ask.
        answers: Clip id -> the answer.
        routes: Clip id -> the rule by which its labels were read.

    Returns:
        The answers and routes, the cost, and what the server failed at: there the labels found by rule stay.
    """
    texts = {
        name: unwrapped(answers[name].text, LABEL_KEYS).text
        for name, route in routes.items()
        if route not in BY_RULE
    }
    texts = {name: text for name, text in texts.items() if text}
    report = judge.announce([question_for_labels(text) for text in texts.values()])
    found, found_routes, faults, answered = dict(answers), dict(routes), [], False
    for name, text in () if judge.only_estimate else texts.items():
        try:
            labels = read_labels(judge.ask(question_for_labels(text)))
        except JudgeError as error:
            _raise_if_dead(error, answered)
            kind = "no labels from the server (those found by rule count)"
            faults.append(FileFault(kind, f"{name}: {error}"))
            continue
        answered = True
        found[name] = answers[name].model_copy(update={"labels": labels})
        found_routes[name] = "server"
    return ServerLabels(found, found_routes, report, faults)

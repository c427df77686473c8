"""What a server says of answers: a judge's scores of reasons, and labels where no rule can read them.

Used by `nanoemox score` only where the user names a URL. The cost is told before anything is sent. What the
server fails at is a fault with its clip's name: a reason without a verdict is left out of the judge's mean (and of its
`n`), an answer without labels from the server keeps those found by rule.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nanoemox.data.schema import Prediction
from nanoemox.metrics import bootstrap
from nanoemox.scoring.judge import Judge, estimate, question_for_labels, questions_about
from nanoemox.scoring.prediction_files import OWN_ROUTE, FileFault
from nanoemox.tasks.grammar import GRAMMAR, LIST

logger = logging.getLogger(__name__)
BY_RULE = (GRAMMAR, LIST, OWN_ROUTE)  # routes that need no second opinion
LOWEST = 1.0  # of the judge's scale


@dataclass
class Server:
    """A judge, and what it costs. What asking will cost is logged before anything is sent."""

    judge: Judge
    per_million_in: float = 0.0
    per_million_out: float = 0.0
    only_estimate: bool = False

    def announce(self, questions: list[str]) -> dict[str, Any]:
        """Tell what asking will cost; what is on disk already costs nothing."""
        new = [question for question in questions if not self.judge.knows(question)]
        cost = estimate(new, self.per_million_in, self.per_million_out)
        priced = self.per_million_in or self.per_million_out
        logger.info(
            "%s",
            f"{self.judge.url} is to answer {cost['calls']:,} questions ({len(questions) - len(new):,} more are "
            f"known): about {cost['tokens_in']:,} tokens in and {cost['tokens_out']:,} out"
            + (f", cost {cost['cost']:,}" if priced else "; give --prices for the cost"),
        )
        return {"url": self.judge.url, "model": self.judge.model, "known": len(questions) - len(new), **cost}


def judge_reasons(
    server: Server,
    references: Mapping[str, str],
    answers: Mapping[str, str],
    speakers: Mapping[str, str],
    seed: int = 0,
) -> tuple[dict[str, Any], list[FileFault]]:
    """Mean overlap of clues and of labels, 1 to 10, with intervals; a clip without an answer has the lowest.

    Args:
        server: The judge.
        references: Clip id -> the true reasons.
        answers: Clip id -> the reasons of the system.
        speakers: Clip id -> who speaks, for intervals over speakers.
        seed: The seed of the intervals.
    """
    pairs = {name: (text, answers.get(name, "")) for name, text in references.items()}
    asked = {name: pair for name, pair in pairs.items() if pair[1].strip()}
    report = server.announce([question for pair in asked.values() for question in questions_about(*pair)])
    if server.only_estimate:
        return report, []
    scores = server.judge.scores(asked)
    kind = "no verdict of the judge (not in its means)"
    faults = [FileFault(kind, f"{name}: {why}") for name, why in server.judge.failed.items()]
    scores |= {name: {"clues": LOWEST, "labels": LOWEST} for name in pairs if name not in asked}
    kept = [name for name in pairs if name in scores]
    who = [speakers.get(name) or name for name in kept]
    figures = {
        f"judge_{part}": bootstrap.mean([scores[name][part] for name in kept], who, seed)
        for part in ("clues", "labels")
    }
    unasked = len(pairs) - len(asked)
    asked_now = server.judge.asked
    return report | {"figures": figures, "scores": scores, "unanswered": unasked, "asked": asked_now}, faults


def labels_by_server(
    server: Server, answers: Mapping[str, Prediction], routes: Mapping[str, str]
) -> tuple[dict[str, Prediction], dict[str, str], dict[str, Any], list[FileFault]]:
    """Answers and routes with the server's labels in place of those that a rule took from running text.

    Args:
        server: The server to ask.
        answers: Clip id -> the answer.
        routes: Clip id -> the rule by which its labels were read.
    """
    texts = {
        name: answers[name].text
        for name, route in routes.items()
        if route not in BY_RULE and answers[name].text.strip()
    }
    found, found_routes = dict(answers), dict(routes)
    report = server.announce([question_for_labels(text) for text in texts.values()])
    if server.only_estimate:
        return found, found_routes, report, []
    faults = []
    for name, text in texts.items():
        try:
            labels = tuple(server.judge.labels(text))
            found[name] = answers[name].model_copy(update={"labels": labels})
            found_routes[name] = "server"
        except (ConnectionError, ValueError) as error:
            kind = "no labels from the server (those found by rule count)"
            faults.append(FileFault(kind, f"{name}: {error}"))
    return found, found_routes, report | {"asked": server.judge.asked}, faults

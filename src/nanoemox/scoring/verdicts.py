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

from nanoemox.metrics import bootstrap
from nanoemox.scoring.judge import Judge, estimate, question_for_labels, questions_about
from nanoemox.scoring.prediction_files import Faults

logger = logging.getLogger(__name__)
BY_RULE = ("answer grammar", "label list", "own fields")  # routes that need no second opinion
LABELLED = ("emotion", "open_vocabulary")
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
    labels: Mapping[str, Mapping[str, Any]],
    said: Mapping[str, Mapping[str, Any]],
    speakers: Mapping[str, str],
    faults: Faults,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean overlap of clues and of labels, 1 to 10, with intervals; a clip without an answer has the lowest."""
    truth = {
        name: known["reasoning"]["text"] for name, known in labels.items() if known["reasoning"].get("text")
    }
    pairs = {name: (text, str((said.get(name) or {}).get("text") or "")) for name, text in truth.items()}
    asked = {name: pair for name, pair in pairs.items() if pair[1].strip()}
    report = server.announce([question for pair in asked.values() for question in questions_about(*pair)])
    if server.only_estimate:
        return report
    scores = server.judge.scores(asked)
    for name, why in server.judge.failed.items():
        faults.add("no verdict of the judge (not in its means)", f"{name}: {why}")
    scores |= {name: {"clues": LOWEST, "labels": LOWEST} for name in pairs if name not in asked}
    kept = [name for name in pairs if name in scores]
    who = [speakers.get(name) or name for name in kept]
    figures = {
        f"judge_{part}": bootstrap.mean([scores[name][part] for name in kept], who, seed)
        for part in ("clues", "labels")
    }
    unasked = len(pairs) - len(asked)
    return report | {"figures": figures, "scores": scores, "unanswered": unasked, "asked": server.judge.asked}


def labels_by_server(
    server: Server, said: Mapping[str, dict[str, Any]], routes: dict[str, str], faults: Faults
) -> dict[str, Any]:
    """Put the server's labels in place of those that a rule took from running text; `routes` follows."""
    texts = {
        name: str(said[name]["text"])
        for name, route in routes.items()
        if route not in BY_RULE and str(said[name].get("text") or "").strip()
    }
    report = server.announce([question_for_labels(text) for text in texts.values()])
    if server.only_estimate:
        return report
    for name, text in texts.items():
        try:
            said[name]["labels"] = tuple(server.judge.labels(text))
            routes[name] = "server"
        except (ConnectionError, ValueError) as error:
            faults.add("no labels from the server (those found by rule count)", f"{name}: {error}")
    return report | {"asked": server.judge.asked}

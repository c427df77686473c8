"""What the agreement of reasons can tell, on answers of real systems.

    python benchmarks/reasons.py FOLDER

FOLDER holds `emer_v1.jsonl` (id, emotion, reason) and `systems/*.jsonl` (id, output). Prints one line of JSON:
means of each system, rank agreement with simple references, and what shuffling, denying and cutting the answers
does to the score. No text is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from scipy.stats import kendalltau, spearmanr

from nanoemox.metrics import emotion_lexicon
from nanoemox.metrics.emotion_mentions import emotions
from nanoemox.metrics.reason_agreement import agreement

SHUFFLES = 10
_WORD = re.compile(r"[a-z']+")


def read(path: Path, key: str) -> dict[str, str]:
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {row["id"]: row[key] for row in rows}


def denied(text: str) -> str:
    """Every verb of being and every emotion word with a "not" before it."""
    text = re.sub(r"\b(is|was|are|were|be)\b", r"\1 not", text)
    return re.sub(r"[A-Za-z]+", lambda m: f"not {m[0]}" if emotion_lexicon.group(m[0]) else m[0], text)


def cut(text: str) -> str:
    words = text.split()
    return " ".join(words[: max(1, len(words) // 3)])


def mixed_words(text: str, rng: random.Random) -> str:
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


def longest_common(a: list[str], b: list[str]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def rouge_l(truth: str, said: str) -> float:
    a, b = (_WORD.findall(text.lower()) for text in (truth, said))
    return 2 * longest_common(a, b) / (len(a) + len(b)) if a and b else 0.0


def cosine(truth: str, said: str) -> float:
    a, b = (Counter(_WORD.findall(text.lower())) for text in (truth, said))
    dot = sum(n * b[word] for word, n in a.items())
    size = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    return dot / size if size else 0.0


def both(truth: str, said: str) -> float:
    return agreement(truth, said).both or 0.0


def mean_known(values: Iterable[float | None]) -> float:
    return statistics.mean(value for value in values if value is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder with emer_v1.jsonl and systems/")
    root = parser.parse_args().folder
    truth, label = read(root / "emer_v1.jsonl", "reason"), read(root / "emer_v1.jsonl", "emotion")
    label = {name: "fear" if value == "worried" else value for name, value in label.items()}
    ids = sorted(truth)
    means: dict[str, dict[str, float]] = {}
    altered: dict[str, list[float]] = {}
    lower: dict[str, int] = Counter()
    per_clip: dict[str, list[float]] = {
        key: [] for key in ("ours", "rouge_l", "cosine", "label_hit", "length")
    }
    runs = sorted((root / "systems").glob("*.jsonl"))
    for path in runs:
        said, rng = read(path, "output"), random.Random(0)
        ours = {name: agreement(truth[name], said[name]) for name in ids}
        variants = {
            "as it is": {n: said[n] for n in ids},
            "denied": {n: denied(said[n]) for n in ids},
            "first third": {n: cut(said[n]) for n in ids},
        }
        row = {name: statistics.mean(both(truth[n], v[n]) for n in ids) for name, v in variants.items()}
        row["another clip's"] = statistics.mean(
            both(truth[n], said[o]) for n in ids for o in ids if o != n
        )  # every other clip's, so that luck has no part in it
        row["words shuffled"] = statistics.mean(
            both(truth[n], mixed_words(said[n], rng)) for _ in range(SHUFFLES) for n in ids
        )
        for name, value in row.items():
            altered.setdefault(name, []).append(value)
            lower[name] += value < row["as it is"]
        hit = [float(label[n] in {emotion_lexicon.basic_emotion(w) for w in emotions(said[n])}) for n in ids]
        values = {
            "ours": [ours[n].both or 0.0 for n in ids],
            "rouge_l": [rouge_l(truth[n], said[n]) for n in ids],
            "cosine": [cosine(truth[n], said[n]) for n in ids],
            "label_hit": hit,
            "length": [float(len(said[n].split())) for n in ids],
        }
        for key, column in values.items():
            per_clip[key] += column
        means[path.stem] = {key: round(statistics.mean(column), 3) for key, column in values.items()}
        means[path.stem]["clues"] = round(mean_known(ours[n].clues for n in ids), 3)
        means[path.stem]["labels"] = round(mean_known(ours[n].labels for n in ids), 3)
    references = [key for key in per_clip if key != "ours"]
    result = {
        "benchmark": "reasons",
        "clips": len(ids),
        "runs": means,
        "kendall_tau_over_runs": {
            key: round(
                float(kendalltau([m["ours"] for m in means.values()], [m[key] for m in means.values()])[0]), 2
            )
            for key in references
        },
        "spearman_over_answers": {
            key: round(float(spearmanr(per_clip["ours"], per_clip[key])[0]), 2) for key in references
        },
        "altered": {name: round(statistics.mean(values), 3) for name, values in altered.items()},
        "runs_where_lower": {name: lower[name] for name in altered if name != "as it is"},
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

"""How far the package's own lexicon agrees with the official word lists, on the words of real answers.

    python benchmarks/lexicon.py REASONS TABLES [--missing]

REASONS holds `emer_v1.jsonl` (id, reason) and `systems/*.jsonl` (id, output); TABLES the official word lists.
Prints one line of JSON; no text is printed, except that --missing names words of the lists that the lexicon lacks.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

from scipy.stats import kendalltau
from sklearn.metrics import cohen_kappa_score

from nanoemox.metrics import emotion_lexicon, label_sets, official_scorers
from nanoemox.metrics.emotion_mentions import emotions
from nanoemox.metrics.word_lists import WordLists


def read(path: Path, key: str) -> dict[str, str]:
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {row["id"]: row[key] for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reasons", type=Path, help="the folder with emer_v1.jsonl and systems/")
    parser.add_argument("tables", type=Path, help="the folder with the official word lists")
    parser.add_argument("--missing", action="store_true", help="name the words that the lexicon lacks")
    given = parser.parse_args()
    words, root = WordLists.read(given.tables), given.reasons
    truth = read(root / "emer_v1.jsonl", "reason")
    runs = {path.stem: read(path, "output") for path in sorted((root / "systems").glob("*.jsonl"))}
    tokens = Counter(
        token
        for texts in (truth, *runs.values())
        for text in texts.values()
        for token in re.findall(r"[a-z-]+", text.lower())
    )
    theirs = {w for w in tokens if w in words.wheel_words}  # words that stand on a wheel themselves
    ours = {w for w in tokens if emotion_lexicon.group(w)}
    both = sorted(w for w in ours if any(words.clusters(w)))
    kappas, shares = [], []
    for wheel in range(len(words.wheels)):
        known = [w for w in both if words.clusters(w)[wheel]]
        pairs = list(combinations(known, 2))
        same = [words.clusters(a)[wheel] == words.clusters(b)[wheel] for a, b in pairs]
        mine = [emotion_lexicon.basic_emotion(a) == emotion_lexicon.basic_emotion(b) for a, b in pairs]
        kappas.append(cohen_kappa_score(same, mine))
        shares.append(statistics.mean(a == b for a, b in zip(same, mine, strict=True)))
    labels = {name: list(emotions(text)) for name, text in truth.items()}
    figures = {}
    for run, texts in runs.items():
        found = {name: list(emotions(texts[name])) for name in truth}
        f, _, _ = official_scorers.open_vocabulary(labels, found, words)
        ours_f = label_sets.wheel_scores([labels[n] for n in truth], [found[n] for n in truth])["f1"]["value"]
        figures[run] = (f, ours_f or 0.0)
    missed = sum(tokens[w] for w in theirs - ours) / sum(tokens[w] for w in theirs)
    result = {
        "benchmark": "lexicon",
        "words_on_the_wheels": len(theirs),
        "of_these_in_ours": len(theirs & ours),
        "share_of_their_uses_in_ours": round(1 - missed, 3),
        "words_in_both": len(both),
        "pairs_judged_alike": round(statistics.mean(shares), 3),
        "kappa_of_pairs": round(statistics.mean(kappas), 3),
        "runs": {run: [round(f, 3), round(g, 3)] for run, (f, g) in figures.items()},
        "kendall_tau_over_runs": round(float(kendalltau(*zip(*figures.values(), strict=True))[0]), 2),
    }
    if given.missing:
        result["missing"] = [w for w, _ in Counter({w: tokens[w] for w in theirs - ours}).most_common(60)]
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

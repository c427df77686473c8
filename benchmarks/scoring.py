"""How fast predictions are scored, against scoring them one by one in the plain way.

    python benchmarks/scoring.py [--n 100000]

Makes a manifest and open-vocabulary predictions, scores them through `scoring.external.score_file` (reading, parsing,
intervals and all), and prints one line of JSON. The plain way maps every label of every clip anew, for
one figure of six, and again for each of a few resamples; the package draws 1,000. Both must give the same
set precision.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from nanoemox.data.schema import Prediction
from nanoemox.metrics import bootstrap, emotion_lexicon
from nanoemox.scoring.external import score_file
from nanoemox.scoring.score import score
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS

TASK = TASKS["open_vocabulary"]
WORDS = [word for group in emotion_lexicon.GROUPS for word in group.words]


def plain(truth: list[list[str]], said: list[list[str]]) -> float:
    """Set precision, every label looked up each time."""
    total = 0.0
    for true, mine in zip(truth, said, strict=True):
        expected = {emotion_lexicon.group(word) or word for word in true}
        given = {emotion_lexicon.group(word) or word for word in mine}
        total += len(expected & given) / len(given) if given else 0.0
    return total / len(truth)


def plain_interval(truth: list[list[str]], said: list[list[str]], resamples: int) -> None:
    """The same figure again for clips drawn with replacement."""
    rng = random.Random(0)
    for _ in range(resamples):
        drawn = [rng.randrange(len(truth)) for _ in truth]
        plain([truth[i] for i in drawn], [said[i] for i in drawn])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000, help="how many predictions")
    parser.add_argument("--resamples", type=int, default=20, help="of the plain way")
    given = parser.parse_args()
    n = given.n
    rng = random.Random(0)
    truth = [rng.sample(WORDS, rng.randint(1, 4)) for _ in range(n)]
    said = [rng.sample(WORDS, rng.randint(1, 5)) for _ in range(n)]
    with tempfile.TemporaryDirectory() as folder:
        manifest, predictions = Path(folder) / "manifest.jsonl", Path(folder) / "predictions.jsonl"
        with manifest.open("w") as file:
            for i, labels in enumerate(truth):
                line = {"id": f"c{i}", "text": "hm", "speaker": f"s{i % 997}"}
                file.write(json.dumps({**line, "labels": {"open_vocabulary": {"labels": labels}}}) + "\n")
        with predictions.open("w") as file:
            for i, labels in enumerate(said):
                file.write(json.dumps({"id": f"c{i}", "output": f"[{', '.join(labels)}]"}) + "\n")
        started = time.process_time()
        report = score_file(predictions, TASK.name, manifest)
        seconds = time.process_time() - started
    labels = {f"c{i}": Labels(open_vocabulary={"labels": mine}) for i, mine in enumerate(truth)}
    lines = [
        Prediction(id=f"c{i}", task=TASK.name, task_version=TASK.version, labels=tuple(mine))
        for i, mine in enumerate(said)
    ]
    started = time.process_time()
    figures = score(labels, lines)[TASK.name]
    scoring_s = time.process_time() - started
    started = time.process_time()
    expected = plain(truth, said)
    plain_s = time.process_time() - started
    started = time.process_time()
    plain_interval(truth, said, given.resamples)
    resampled_s = time.process_time() - started
    value = report.standard["set_precision"]["value"] if report.standard else None
    assert value is not None and abs(value - expected) < 1e-6, (value, expected)
    result = {
        "benchmark": "scoring",
        "predictions": n,
        "cpu_s": round(seconds, 2),
        "plain_one_figure_cpu_s": round(plain_s, 2),
        "plain_resamples": given.resamples,
        "plain_resamples_cpu_s": round(resampled_s, 2),
        "figures": len(figures),
        "resamples": bootstrap.RESAMPLES,
        "scoring_cpu_s": round(scoring_s, 2),
        "ratio_a_figure_and_resample": round(
            (resampled_s / given.resamples) / (scoring_s / len(figures) / bootstrap.RESAMPLES), 1
        ),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

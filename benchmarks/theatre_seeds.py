"""The figures of one model over several test sets of Affect Theatre, with intervals over speakers and over sentences.

    python benchmarks/theatre_seeds.py SET=EVALUATION [SET=EVALUATION …] [--json FILE]
    python benchmarks/theatre_seeds.py --table FILE

SET is a manifest of `nanoemox theatre make`, EVALUATION the folder that `nanoemox evaluate SET --alone` wrote for it.
One set has only 600 clips and one draw of people, causes and sentences, so its figures move from set to set. The
script gives each set's figure, the figure over all clips together, and two intervals of it: one draws speakers anew,
the other draws core sentences anew (a family has two test sentences, so there are only 20 of them). Beside the open
vocabulary stands what the answer to the closed question about the emotion would score there: figures that a plain
synonym of the closed label reaches do not show that more than the closed label is known. Prints one line of JSON.
With `--table` it prints the table of docs/results.md from such a line, and the rows of README.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanoemox.data.manifest import read_manifest, read_predictions
from nanoemox.data.schema import Labels, Prediction, Record
from nanoemox.files.atomic import write_json
from nanoemox.scoring.score import Scores, score
from nanoemox.tasks.grammar import Answer
from nanoemox.theatre.words import cores

# What is reported of each task.
FIGURES = {
    "emotion": ("accuracy",),
    "sentiment": ("weighted_f1",),
    "open_vocabulary": ("set_f1", "wheel_f1"),
    "intent": ("accuracy",),
    "reasoning": ("cue_f1", "cue_f1_face", "cue_f1_voice", "cue_f1_scene", "cue_f1_words"),
    "empathy": ("emotion_accuracy", "cause_accuracy", "cause_accuracy_unmentioned", "event_accuracy"),
}
GIVEN = ("all", "text", "video", "audio")

# The rows of the table: figure, its name, and the goal that the project set itself before the first run.
ROWS = (
    ("emotion.accuracy", "emotion: accuracy, 7 labels", "0.85"),
    ("sentiment.weighted_f1", "sentiment, asked: weighted F1", "0.82"),
    ("open_vocabulary.set_f1", "open vocabulary: set F1 over 53 groups of synonyms", "–"),
    ("open_vocabulary.wheel_f1", "open vocabulary: set F1 over four wheels", "0.75"),
    ("intent.accuracy", "intent: accuracy, 20 classes", "0.68"),
    ("reasoning.cue_f1", "reasoning: F1 of all cues", "0.75"),
    ("reasoning.cue_f1_face", "of the face", "0.75"),
    ("reasoning.cue_f1_voice", "of the voice", "0.75"),
    ("reasoning.cue_f1_scene", "of the scene", "0.75"),
    ("reasoning.cue_f1_words", "of the words", "0.75"),
    ("empathy.emotion_accuracy", "empathy: emotion in the chain", "0.82"),
    ("empathy.cause_accuracy", "cause named", "0.70"),
    ("empathy.cause_accuracy_unmentioned", "cause named, not mentioned in the text", "0.45"),
    ("empathy.event_accuracy", "event", "–"),
)
SHORT_ROWS = (
    ("emotion", "accuracy, 7 labels", "emotion.accuracy"),
    ("sentiment (not trained from media)", "weighted F1, 3 classes", "sentiment.weighted_f1"),
    ("open vocabulary", "set F1 over groups of synonyms", "open_vocabulary.set_f1"),
    ("intent", "accuracy, 20 classes", "intent.accuracy"),
    ("reasoning", "F1 of the cues named", "reasoning.cue_f1"),
    ("empathy", "cause named", "empathy.cause_accuracy"),
)


def sentence(record: Record) -> str:
    """The core sentence of a clip's text: its wording family, and which of the split's sentences it is."""
    family, split = record.factors["family"], record.split or "test"
    found = [
        i for i, core in enumerate(cores(family, split)) if re.search(_pattern(core), record.text or "", re.I)
    ]
    if len(found) != 1:
        raise ValueError(
            f"{record.id}: expected one core sentence of {family}, found {len(found)} in {record.text!r}"
        )
    return f"{family} {found[0]}"


def _pattern(core: str) -> str:
    """A regular expression for a sentence with choices, such as `I {now|yet} know`."""
    parts = re.split(r"(\{[^{}]*\})", core)
    return "".join(
        f"(?:{'|'.join(map(re.escape, part[1:-1].split('|')))})" if part.startswith("{") else re.escape(part)
        for part in parts
    )


def of_set(path: Path, name: str) -> list[Prediction]:
    """The predictions of one evaluation; the ids get the set's name, as every set numbers its clips from 0."""
    return [p.model_copy(update={"id": f"{name}/{p.id}"}) for p in read_predictions(path)]


def closed_as_open(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The answers about the emotion, as if they were answers in open vocabulary."""
    return [
        Prediction.of(p.id, "open_vocabulary", Answer(labels=(p.label,) if p.label else ()))
        for p in predictions
        if p.task == "emotion"
    ]


def figures_of(scores: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        f"{task}.{name}": scores[task][name]["value"]
        for task, names in FIGURES.items()
        if task in scores
        for name in names
        if name in scores[task]
    }


def intervals_of(scores: Scores) -> dict[str, list[float | None]]:
    return {
        f"{task}.{name}": [scores[task][name]["low"], scores[task][name]["high"]]
        for task, names in FIGURES.items()
        if task in scores
        for name in names
        if name in scores[task]
    }


def table(result: Mapping[str, Any]) -> str:
    """The table of docs/results.md: every figure with both intervals, each set, majority and single modalities."""
    sets = "; ".join(result["sets"])
    alone = [name for name in GIVEN[1:] if name in result["figures"]["emotion.accuracy"]["alone"]]
    head = ["figure", "goal", "all sets", "95 % over speakers", "95 % over sentences", sets, "majority"]
    head += [f"{name} only" for name in alone]
    lines = [head, ["---"] * len(head)]
    for name, title, goal in ROWS:
        figure = result["figures"][name]
        lines.append(
            [
                title,
                goal,
                f"**{figure['value']:.3f}**",
                "–".join(f"{bound:.3f}" for bound in figure["over_speakers"]),
                "–".join(f"{bound:.3f}" for bound in figure["over_sentences"]),
                "; ".join(f"{value:.3f}" for value in figure["sets"]),
                _number(figure["majority"]),
                *(_number(figure["alone"][each]) for each in alone),
            ]
        )
        if name.startswith("open_vocabulary."):
            closed = result["closed_label_as_open_vocabulary"][name]
            lines.append(["… of the closed label alone", "–", f"{closed:.3f}", *[""] * (len(head) - 3)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def short_table(result: Mapping[str, Any]) -> str:
    """The rows of README.md: task, figure, value, majority."""
    return "\n".join(
        f"| {task} | {what} | {result['figures'][name]['value']:.2f} | {result['figures'][name]['majority']:.2f} |"
        for task, what, name in SHORT_ROWS
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="*", metavar="SET=EVALUATION")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.table:
        result = json.loads(given.table.read_text(encoding="utf-8"))
        sys.stdout.write(f"{table(result)}\n\n{short_table(result)}\n")
        return 0
    if not given.sets:
        parser.error("expected at least one SET=EVALUATION, got none")

    # Read all sets; a clip's id carries the name of its set.
    labels, speakers, sentences = {}, {}, {}
    majority: list[tuple[int, dict[str, float | None]]] = []
    predictions: dict[str, list[Prediction]] = {name: [] for name in GIVEN}
    names = []
    for each in given.sets:
        manifest, folder = map(Path, each.split("=", 1))
        name = manifest.parent.name
        names.append(name)
        for record in read_manifest(manifest):
            clip = f"{name}/{record.id}"
            labels[clip] = record.labels
            speakers[clip] = record.speaker or clip
            sentences[clip] = sentence(record)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        majority.append((report["n"], figures_of(report["baselines"]["majority"])))
        for what in GIVEN:
            place = folder if what == "all" else folder / what
            if (place / "predictions.jsonl").is_file():
                predictions[what] += of_set(place / "predictions.jsonl", name)

    # Score each set, and all clips together.
    whole = score(labels, predictions["all"], speakers)
    over_sentences = score(labels, predictions["all"], sentences)
    low_high, by_sentence = intervals_of(whole), intervals_of(over_sentences)
    of_sets = {name: figures_of(score(*_only(name, labels, predictions["all"]))) for name in names}
    alone = {
        what: figures_of(score(labels, lines, speakers))
        for what, lines in predictions.items()
        if what != "all" and lines
    }
    closed = figures_of(score(labels, closed_as_open(predictions["all"]), speakers, ["open_vocabulary"]))
    result = {
        "benchmark": "theatre_seeds",
        "clips": len(labels),
        "speakers": len(set(speakers.values())),
        "sentences": len(set(sentences.values())),
        "sets": names,
        "figures": {
            name: {
                "value": value,
                "over_speakers": low_high[name],
                "over_sentences": by_sentence[name],
                "sets": [of_sets[each][name] for each in names],
                "majority": _mean([(n, each.get(name)) for n, each in majority]),
                "alone": {what: alone[what].get(name) for what in alone},
            }
            for name, value in figures_of(whole).items()
        },
        "closed_label_as_open_vocabulary": closed,
    }
    sys.stdout.write(json.dumps(result) + "\n")
    if given.json:
        write_json(given.json, result)
    return 0


def _mean(weighted: Sequence[tuple[int, float | None]]) -> float | None:
    """The mean over the sets; None where one has no value."""
    known = [(n, value) for n, value in weighted if value is not None]
    return (
        sum(n * value for n, value in known) / sum(n for n, _ in known)
        if len(known) == len(weighted)
        else None
    )


def _only(
    name: str, labels: Mapping[str, Labels], predictions: Sequence[Prediction]
) -> tuple[dict[str, Labels], list[Prediction]]:
    start = f"{name}/"
    return (
        {clip: known for clip, known in labels.items() if clip.startswith(start)},
        [p for p in predictions if p.id.startswith(start)],
    )


if __name__ == "__main__":
    sys.exit(main())

"""The figures of one model over several test sets of Affect Theatre, with intervals over speakers and over sentences.

    python benchmarks/theatre_seeds.py SET=EVALUATION [SET=EVALUATION …] [--json FILE]

SET is a manifest of `nanoemox theatre make`, EVALUATION the folder that `nanoemox evaluate SET --alone` wrote for it.
One set has only 600 clips and one draw of people, causes and sentences, so its figures move from set to set. The
script gives each set's figure, the figure over all clips together, and two intervals of it: one draws speakers anew,
the other draws core sentences anew (a family has two test sentences, so there are only 20 of them). Beside the open
vocabulary stands what the answer to the closed question about the emotion would score there: figures that a plain
synonym of the closed label reaches do not show that more than the closed label is known. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

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


def figures_of(scores: Scores) -> dict[str, float | None]:
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="+", metavar="SET=EVALUATION")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()

    # Read all sets; a clip's id carries the name of its set.
    labels, speakers, sentences = {}, {}, {}
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

"""A small encoder trained from nothing on one manifest, beside scikit-learn on the same clips and the same split.

It answers what the big model's figures leave open: how far do a face, a voice or words alone carry on this corpus?
Either another manifest is tested on (the report tells how many of its speakers are in training too), or the speakers
are dealt into folds and each clip is labelled by the network that has not met its speaker. Where no speaker is named, a
line counts for one. Nothing is chosen on the test part: the number of steps is fixed, the baselines' C is chosen on
held-out speakers of the training part. Letters: B batch, M mel bands, S steps, K classes.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from nanoemox.baselines import classical, networks
from nanoemox.data.manifest import read_manifest
from nanoemox.data.quarantine import without_quarantined
from nanoemox.data.records import load_record
from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_json, write_jsonl
from nanoemox.media.clip import SAMPLE_RATE_HZ, Clip
from nanoemox.media.untrusted import MediaError
from nanoemox.metrics import classification

logger = logging.getLogger(__name__)
SENSES = ("voice", "face", "words")
TASKS = ("emotion", "sentiment", "intent")
LEAST = (1, 2, 2)  # lines that have to have an n-gram: of words, of pieces, of words before
DROPPED = (0.2, 0.3, 0.5)  # share of n-grams that a view of a line leaves out
PICTURE_SIDE = 72  # pixels kept of a face; a view is 64 of them


@dataclass(frozen=True)
class Settings:
    """How a network is trained, and how many of them; `rare` weighs classes by (1 / share) to this power."""

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.05
    rare: float = 0.5
    smoothing: float = 0.1
    networks: int = 1


SETTINGS = {
    "voice": Settings(steps=1300, batch_size=16, learning_rate=3e-3),
    "face": Settings(steps=1000, batch_size=32, learning_rate=3e-3),
    "words": Settings(steps=500, batch_size=64, learning_rate=1.5, weight_decay=1e-4, rare=0.0, networks=3),
}


class Example(NamedTuple):
    """One clip. known: what the network reads; numbers: what scikit-learn reads; group: never split."""

    id: str
    label: str
    group: str
    known: Any
    numbers: Any


def classify(
    manifest: str | Path,
    sense: str,
    task: str,
    out: str | Path,
    test: str | Path | None = None,
    folds: int = 4,
    seed: int = 0,
    steps: int | None = None,
) -> dict[str, Any]:
    """Train, label every tested clip, and write `out`/report.json and predictions.jsonl; returns the report.

    Args:
        sense: voice, face or words. task: emotion, sentiment or intent.
        test: another manifest to test on; else `folds` folds of speakers (of clips, where no speaker is named).
        steps: instead of the sense's own number.

    Errors: ValueError, one line, for a manifest without labels of the task or clips of the sense.
    """
    for name, value, known in (("sense", sense, SENSES), ("task", task, TASKS)):
        if value not in known:
            raise ValueError(f"unknown {name} {value!r}: expected one of {', '.join(known)}")
    settings = SETTINGS[sense]
    if steps is not None:
        settings = Settings(**{**asdict(settings), "steps": steps})
    started = time.perf_counter()
    skipped: dict[str, str] = {}
    learnt = _examples(Path(manifest), sense, task, skipped)
    tested = _examples(Path(test), sense, task, skipped) if test else []
    examples = [*learnt, *tested]
    speakers = len({example.group for example in examples})
    logger.info("%d clips, %d speakers, %d left out", len(examples), speakers, len(skipped))
    said: dict[str, list[str | None]] = {"network": [None] * len(examples)}
    for train, rows in _parts(learnt, tested, folds, seed):
        part, asked = [examples[i] for i in train], [examples[i] for i in rows]
        answers = {"network": _network(part, asked, sense, settings, seed)}
        for name, baseline in classical.baselines(sense).items():
            columns = [e.numbers for e in part], [e.label for e in part], [e.group for e in part]
            answers[name] = classical.fit_and_say(baseline, *columns, [e.numbers for e in asked], seed)
        for name, labels in answers.items():
            for i, label in zip(rows, labels, strict=True):
                said.setdefault(name, [None] * len(examples))[i] = label
        right = {
            n: np.mean([a == e.label for a, e in zip(v, asked, strict=True)]) for n, v in answers.items()
        }
        told = ", ".join(f"{name} {share:.3f}" for name, share in right.items())
        logger.info("trained on %d, tested on %d: accuracy %s", len(part), len(asked), told)
    report = {
        "manifest": Path(manifest).name,
        "test": Path(test).name if test else f"{folds} folds of speakers",
        "sense": sense,
        "task": task,
        "seed": seed,
        "settings": asdict(settings),
        **_figures(examples, tested, said, seed),
        "skipped": skipped,
        "seconds": round(time.perf_counter() - started, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    out = Path(out)
    write_json(out / "report.json", report)
    write_jsonl(
        out / "predictions.jsonl",
        (
            {"id": e.id, "task": task, "truth": e.label, "label": label}
            for e, label in zip(examples, said["network"], strict=True)
            if label is not None
        ),
    )
    return report


def _figures(
    examples: Sequence[Example],
    tested: Sequence[Example],
    said: Mapping[str, Sequence[str | None]],
    seed: int,
) -> dict[str, Any]:
    first = len(examples) - len(tested) if tested else 0
    truth = [example.label for example in examples[first:]]
    speakers = [example.group for example in examples[first:]]
    commonest = max(sorted(set(truth)), key=truth.count)
    systems = {name: labels[first:] for name, labels in said.items()}
    systems["the commonest label"] = [commonest] * len(truth)
    measures = {
        "accuracy": classification.accuracy,
        "unweighted_recall": classification.unweighted_recall,
        "weighted_f1": classification.weighted_f1,
    }
    return {
        "n": len(truth),
        "speakers": len(set(speakers)),
        "speakers_in_training_too": len({e.group for e in examples[:first]} & set(speakers)),
        "labels": {label: truth.count(label) for label in sorted(set(truth))},
        "systems": {
            name: {what: measure(truth, labels, speakers, seed) for what, measure in measures.items()}
            for name, labels in systems.items()
        },
    }


def _parts(
    learnt: Sequence[Example], tested: Sequence[Example], folds: int, seed: int
) -> Iterable[tuple[list[int], list[int]]]:
    """(rows to train on, rows to test on), the tested examples counted after the learnt ones."""
    if tested:
        yield list(range(len(learnt))), list(range(len(learnt), len(learnt) + len(tested)))
        return
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = [e.label for e in learnt], [e.group for e in learnt]
    if len(set(groups)) < folds:
        raise ValueError(
            f"expected at least {folds} speakers for {folds} folds, got {len(set(groups))}; lower --folds"
        )
    for train, rows in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(
        labels, labels, groups
    ):
        yield train.tolist(), rows.tolist()


# ---------------------------------------------------------------- clips


def _examples(manifest: Path, sense: str, task: str, skipped: dict[str, str]) -> list[Example]:
    records, left_out = without_quarantined(read_manifest(manifest), manifest)
    skipped |= left_out
    examples = []
    for record in records:
        label = getattr(record.labels, task)
        name = (label.polarity if task == "sentiment" else label.label) if label else None
        if name is None:
            continue
        try:
            known, numbers = _known(record, sense)
        except (MediaError, ValueError) as error:
            skipped[record.id] = str(error)
            continue
        group = record.speaker or (record.text if sense == "words" else None) or record.id
        examples.append(Example(record.id, name, group, known, numbers))
    if len({example.label for example in examples}) < 2:
        raise ValueError(
            f"{manifest}: expected labels of {task} and clips with a {sense}; {len(examples)} lines have both"
        )
    return examples


def _known(record: Record, sense: str) -> tuple[Any, Any]:
    """What the network and what scikit-learn read of a clip."""
    if sense == "words":
        if not record.text:
            raise ValueError("has no words")
        before = [gram for turn in (record.dialogue or ())[-2:] for gram in networks.word_grams(turn.text)]
        return (networks.word_grams(record.text), networks.letter_grams(record.text), before), record.text
    clip = load_record(record)
    if sense == "voice":
        sound = whole_sound(clip)
        loudness = classical.log_mel(sound, networks.BANDS, 1024, 512)
        return torch.from_numpy(loudness), classical.voice_numbers(sound)
    picture = _picture(clip)
    edge = (PICTURE_SIDE - classical.FACE_SIDE) // 2
    return torch.from_numpy(picture), classical.face_numbers(picture[edge:-edge, edge:-edge])


def whole_sound(clip: Clip) -> NDArray[np.float32]:
    """The windows of a clip put back where they lie, [L]; of a long clip what they hold, without the gaps."""
    if clip.audio_windows is None:
        raise ValueError(f"{clip.path}: {clip.modalities['audio']}")
    parts: list[NDArray[np.float32]] = []
    end = 0
    for start_s, window in zip(clip.audio_starts_s, clip.audio_windows, strict=True):
        start = round(start_s * SAMPLE_RATE_HZ)
        parts.append(np.asarray(window[max(0, end - start) :], dtype=np.float32))
        end = max(end, start + len(window))
    whole: NDArray[np.float32] = np.concatenate(parts)
    return whole[: max(2048, round(clip.duration_s * SAMPLE_RATE_HZ))]


def _picture(clip: Clip) -> NDArray[np.float32]:
    """The middle square of the middle frame, grey, [72, 72] in 0..1."""
    if clip.frames is None:
        raise ValueError(f"{clip.path}: {clip.modalities['video']}")
    frame = Image.fromarray(clip.frames[len(clip.frames) // 2]).convert("L")
    side = min(frame.size)
    left, top = (frame.width - side) // 2, (frame.height - side) // 2
    square = frame.crop((left, top, left + side, top + side))
    small = square.resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float32) / np.float32(255)


# ---------------------------------------------------------------- the network


def _network(
    part: Sequence[Example], asked: Sequence[Example], sense: str, settings: Settings, seed: int
) -> list[str]:
    """Train on `part` from nothing and label `asked`, by the mean of as many networks as the settings say."""
    classes = sorted({example.label for example in part})
    if sense == "words":
        terms = [networks.Terms([e.known[i] for e in part], least) for i, least in enumerate(LEAST)]
        part, asked = ([_in_terms(example, terms) for example in some] for some in (part, asked))
    likely = sum(
        _likely(part, asked, classes, sense, settings, seed + number) for number in range(settings.networks)
    )
    assert isinstance(likely, Tensor)
    return [classes[i] for i in likely.argmax(dim=1).tolist()]


def _likely(
    part: Sequence[Example],
    asked: Sequence[Example],
    classes: Sequence[str],
    sense: str,
    settings: Settings,
    seed: int,
) -> Tensor:
    """What one network, trained on `part`, gives each class of `asked`, [clips, K]."""
    targets = torch.tensor([classes.index(example.label) for example in part])
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    net: nn.Module
    if sense == "words":
        sizes = [1 + max(int(e.known[i][0].max()) for e in part) for i in range(len(LEAST))]
        net = networks.WordsNet(len(classes), sizes)
    else:
        net = (networks.VoiceNet if sense == "voice" else networks.FaceNet)(len(classes))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    length = _length(part) if sense == "voice" else 0
    shares = torch.bincount(targets, minlength=len(classes)).float() / len(targets)
    weight = shares**-settings.rare / (shares ** (1 - settings.rare)).sum()
    optimiser = _optimiser(net, sense, settings)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.15
    )
    net.train()
    order: list[int] = []
    for _ in range(settings.steps):
        if len(order) < settings.batch_size:  # a new round, after what is left of the last
            order += torch.randperm(len(part), generator=random).tolist()
        rows, order = order[: settings.batch_size], order[settings.batch_size :]
        loss = functional.cross_entropy(
            _logits(net, _views([part[i] for i in rows], sense, length, random), sense),
            targets[rows],
            weight,
            label_smoothing=settings.smoothing,
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        schedule.step()
    net.eval()
    said = []
    with torch.no_grad():
        for first in range(0, len(asked), 64):
            views = _views(asked[first : first + 64], sense, length, None)
            likely = _logits(net, views, sense).softmax(dim=1)
            if sense == "face":  # and its mirror image
                likely = likely + _logits(net, [views[0].flip(2)], sense).softmax(dim=1)
            said.append(likely)
    return torch.cat(said)


def _optimiser(net: nn.Module, sense: str, settings: Settings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if sense == "words":  # Adam moves an n-gram seen twice as far as a common one, and learns lines by heart
        return torch.optim.SGD(net.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=decay)
    return torch.optim.AdamW(net.parameters(), rate, weight_decay=decay)


def _length(part: Sequence[Example]) -> int:
    """How many steps of time a view has: as many as the clip in the middle, within reason."""
    return min(160, max(32, int(np.median([example.known.shape[1] for example in part])) // 8 * 8))


def _views(
    examples: Sequence[Example], sense: str, length: int, random: torch.Generator | None
) -> list[Tensor]:
    if sense == "voice":
        return [torch.stack([networks.voice_view(e.known, length, random) for e in examples])]
    if sense == "face":
        return [networks.face_views(torch.stack([e.known for e in examples]), random)]
    views = [
        networks.bag_views([e.known[i] for e in examples], drop, random) for i, drop in enumerate(DROPPED)
    ]
    return [tensor for view in views for tensor in view]


def _in_terms(example: Example, terms: Sequence[networks.Terms]) -> Example:
    rows = [term.row(grams) for term, grams in zip(terms, example.known, strict=True)]
    return example._replace(known=rows)


def _logits(net: nn.Module, views: Sequence[Tensor], sense: str) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=sense != "words"):
        return net(*views).float()

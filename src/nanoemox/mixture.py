"""Which example comes when: exact shares of tasks, in a fixed order, and the batches made of them.

The paper's figure gives shares of a phase's mixture; here they hold at every moment of the training, not only on
average, and the realised counts are kept with the result.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from nanoemox.clips import Tensors
from nanoemox.processing_nanoemox import NanoEmoXProcessor, modality_of
from nanoemox.tasks import TASKS, match_label

if TYPE_CHECKING:
    from nanoemox.data import Record


class Turn(NamedTuple):
    """One example: a record (by number), a task, and the modalities that are shown."""

    record: int
    task: str
    modalities: frozenset[str]


class Shown(NamedTuple):
    """One example as text and tensors."""

    prompt: str
    answer: str
    features: dict[str, Tensor]


def plain_labels(record: Record) -> dict[str, Any]:
    """A record's labels as plain JSON types."""
    labels = record.labels
    if labels is None:
        return {}
    return labels if isinstance(labels, dict) else labels.model_dump(exclude_none=True)


def spread(shares: Mapping[str, float], number: int) -> list[str]:
    """`number` names in which every beginning holds the shares as exactly as whole numbers can (ties: first named)."""
    total = sum(shares.values())
    given: Counter[str] = Counter()
    order = []
    for i in range(1, number + 1):
        name = max(shares, key=lambda n: shares[n] / total * i - given[n])
        given[name] += 1
        order.append(name)
    return order


def schedule_turns(
    records: Sequence[Record],
    shares: Mapping[str, float],
    modalities: Sequence[str],
    without: Mapping[str, float],
    number: int,
    seed: int,
) -> list[Turn]:
    """The examples of a whole phase, in order. Every task goes through all its records before it sees one again.

    `without` is the share of examples that leave a modality out; the last one left is never taken away.
    Errors: ValueError naming a task for which no record has labels.
    """
    rng = random.Random(seed)
    labelled = {
        t: [i for i, r in enumerate(records) if TASKS[t].target(plain_labels(r))] for t in shares if shares[t]
    }
    for task, rows in labelled.items():
        if not rows:
            raise ValueError(
                f"no record has labels for {task}; leave the task out or add a manifest that has them"
            )
    waiting: dict[str, list[int]] = {task: [] for task in labelled}
    turns = []
    for task in spread({t: shares[t] for t in labelled}, number):
        if not waiting[task]:
            waiting[task] = rng.sample(labelled[task], len(labelled[task]))
        record = waiting[task].pop()
        shown = [m for m in modalities if m != "text" or records[record].text]
        for modality in rng.sample(shown, len(shown)):
            if len(shown) > 1 and rng.random() < without.get(modality, 0.0):
                shown.remove(modality)
        turns.append(Turn(record, task, frozenset(shown)))
    return turns


def realised(turns: Sequence[Turn]) -> dict[str, dict[str, int]]:
    """How many examples of each task, and with each set of modalities, there are."""
    return {
        "tasks": dict(sorted(Counter(turn.task for turn in turns).items())),
        "modalities": dict(sorted(Counter("+".join(sorted(turn.modalities)) for turn in turns).items())),
    }


class Examples(Dataset[Shown]):
    """The turns of a phase as prompts, answers and features."""

    def __init__(
        self,
        records: Sequence[Record],
        turns: Sequence[Turn],
        store: Tensors,
        processor: NanoEmoXProcessor,
    ) -> None:
        self.records, self.turns, self.store, self.processor = records, turns, store, processor

    def __len__(self) -> int:
        return len(self.turns)

    def __getitem__(self, index: int) -> Shown:
        turn = self.turns[index]
        record, task = self.records[turn.record], TASKS[turn.task]
        features = {
            name: value
            for name, value in self.store[record.id].items()
            if modality_of(name) in turn.modalities
        }
        present = {modality_of(name) for name in features}
        text = record.text if "text" in turn.modalities else None
        labels = plain_labels(record)
        prompt = self.processor.prompt(
            task.question(labels.get(task.name, {}).get("candidates")),
            modalities=present,
            text=text,
            dialogue=turns_of(record) if "text" in turn.modalities else None,
        )
        answer = target(turn.task, labels, present | ({"text"} if text else set()))
        return Shown(prompt, answer or "", features)

    @staticmethod
    def length(example: Shown) -> int:
        """About how long the example is, to batch it with others like it."""
        return len(example.prompt) + len(example.answer)

    def collate(self, batch: Sequence[Shown]) -> dict[str, Tensor]:
        """Examples -> input_ids, attention_mask, labels [B, S] and the stacked features."""
        prompts, answers, features = (list(column) for column in zip(*batch, strict=True))
        return dict(self.processor(prompts, answers, features, padding_side="right"))


def turns_of(record: Record) -> list[dict[str, str]] | None:
    """The earlier turns of a record's dialogue as plain dicts."""
    turns = [t if isinstance(t, dict) else {"role": t.role, "text": t.text} for t in record.dialogue or ()]
    return turns or None


def target(task_name: str, labels: Mapping[str, Any], modalities: set[str]) -> str | None:
    """The answer to learn; a closed label is spelt as in the list that is offered."""
    task = TASKS[task_name]
    offered = task.candidates(labels)
    mine = labels.get(task_name)
    if offered and mine and mine.get("label"):
        found, _ = match_label(mine["label"], offered)
        labels = {**labels, task_name: {**mine, "label": found or mine["label"]}}
    return task.target(labels, modalities)

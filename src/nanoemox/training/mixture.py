"""Which example comes when: a fixed order of examples by a named mixture, and the batches made of them.

`share` (the paper's figure gives shares of a phase's mixture): exact shares, at every moment of the training and not
only on average. `subset_uniform`: what the official code does. Either depends on the records and the seed alone, so
it is the same for any number of workers and after a resume; the realised counts are kept with the result.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from nanoemox.data.decoded_clips import Tensors
from nanoemox.data.schema import Record
from nanoemox.model.clip_processor import modality_of
from nanoemox.model.configuration_nanoemox import PLACEHOLDERS
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.tasks.task import TASKS
from nanoemox.training.recipe import Phase, RecipeError


class Example(NamedTuple):
    """One example: a record (by number), a task, the modalities that are shown, and the branches whose own tokens are
    withheld, so that the language model has them from the fusion token alone."""

    record: int
    task: str
    modalities: frozenset[str]
    withheld: frozenset[str] = frozenset()


class PreparedExample(NamedTuple):
    """One example as text and tensors."""

    prompt: str
    answer: str
    features: dict[str, Tensor]


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


def schedule_by_share(
    records: Sequence[Record],
    shares: Mapping[str, float],
    modalities: Sequence[str],
    modality_dropout: Mapping[str, float],
    number: int,
    seed: int,
    corpora: Mapping[str, float] | None = None,
) -> list[Example]:
    """The examples of a whole phase, in order, by exact shares (the paper's reading of a mixture).

    Every task goes through all its records before it sees one again. With shares of `corpora` these hold exactly,
    and the tasks' shares hold within each corpus among the tasks that it has labels for.

    Args:
        records: The clips.
        shares: Task -> its share of the examples.
        modalities: The modalities that the phase trains on.
        modality_dropout: Modality -> the share of examples that leave it out. The last one left is never taken away.
        number: How many examples there are to be.
        seed: The seed of the order.
        corpora: Corpus -> its share of the examples; None takes the records as one corpus.

    Returns:
        The examples, in order.

    Raises:
        RecipeError: If no record has labels for a task, or a corpus has none of any task's.
    """
    rng = random.Random(seed)
    shares = {task: share for task, share in shares.items() if share}
    labelled = {task: rows for task, rows in _labelled(records, shares).items() if _some(task, rows)}
    groups: dict[Any, list[int]]
    order: list[Any]
    if corpora is None:
        groups, order = {(None, task): rows for task, rows in labelled.items()}, []
        order = [(None, task) for task in spread(shares, number)]
    else:
        by_corpus = _by_corpus(records, labelled, corpora)
        groups = {(name, t): rows for name, tasks in by_corpus.items() for t, rows in tasks.items()}
        turns_of_corpora = spread({name: corpora[name] for name in by_corpus}, number)
        each = Counter(turns_of_corpora)
        tasks_of = {
            name: iter(spread({t: shares[t] for t in tasks}, each[name])) for name, tasks in by_corpus.items()
        }
        order = [(name, next(tasks_of[name])) for name in turns_of_corpora]
    waiting: dict[Any, list[int]] = {group: [] for group in groups}
    scheduled = []
    for group in order:
        if not waiting[group]:
            waiting[group] = rng.sample(groups[group], len(groups[group]))
        record = waiting[group].pop()
        scheduled.append(
            Example(record, group[1], _shown(records[record], modalities, modality_dropout, rng))
        )
    return scheduled


def schedule_uniformly(
    records: Sequence[Record],
    tasks: Iterable[str],
    modalities: Sequence[str],
    modality_dropout: Mapping[str, float],
    steps: int,
    batch_size: int,
    seed: int,
    corpora: Mapping[str, float] | None = None,
) -> list[Example]:
    """The examples of a whole phase as the official code draws them (`subset_uniform`).

    `corpora` are no shares but sizes: of a corpus of N clips, int(N * ratio) are drawn once and the others never seen.
    Each batch then comes from one corpus, each with equal chance, and each of its clips is asked one of the tasks it
    has labels for, with equal chance too.

    Args:
        records: The clips.
        tasks: The names of the tasks.
        modalities: The modalities that the phase trains on.
        modality_dropout: Modality -> the share of examples that leave it out. The last one left is never taken away.
        steps: How many batches there are to be.
        batch_size: How many examples a batch has.
        seed: The seed of the order.
        corpora: Corpus -> the part of its clips that is used; None uses all clips of all corpora.

    Returns:
        The examples, in order.

    Raises:
        RecipeError: If nothing is left of a corpus.
    """
    rng = random.Random(seed)
    labelled = _labelled(records, tasks)
    names = corpora or dict.fromkeys(corpus_of(record) for record in records)
    by_corpus = _by_corpus(records, labelled, names)
    subsets: dict[str, list[int]] = {}
    open_tasks: dict[int, list[str]] = {}
    for task, rows in labelled.items():
        for row in rows:
            open_tasks.setdefault(row, []).append(task)
    for name, found in by_corpus.items():
        rows = sorted({row for task_rows in found.values() for row in task_rows})
        ratio = min(1.0, (corpora or {}).get(name, 1.0))
        subsets[name] = rng.sample(rows, int(len(rows) * ratio))
        if not subsets[name]:
            raise RecipeError(
                f"corpus {name}: a ratio of {ratio:g} leaves none of its {len(rows)} clips; raise it"
            )
    waiting: dict[str, list[int]] = {name: [] for name in subsets}
    scheduled = []
    for _ in range(steps):
        name = rng.choice(list(subsets))
        for _ in range(batch_size):
            if not waiting[name]:
                waiting[name] = rng.sample(subsets[name], len(subsets[name]))
            record = waiting[name].pop()
            task = rng.choice(open_tasks[record])
            scheduled.append(
                Example(record, task, _shown(records[record], modalities, modality_dropout, rng))
            )
    return scheduled


def corpus_of(record: Record) -> str:
    """The corpus that a record comes from, as its manifest says."""
    return record.source or "unnamed"


def _labelled(records: Sequence[Record], tasks: Iterable[str]) -> dict[str, list[int]]:
    """Numbers of the records that have labels for each task."""
    return {t: [i for i, r in enumerate(records) if TASKS[t].target(r.labels)] for t in tasks}


def _some(task: str, rows: Sequence[int]) -> bool:
    if not rows:
        raise RecipeError(
            f"no record has labels for {task}; leave the task out or add a manifest that has them"
        )
    return True


def _by_corpus(
    records: Sequence[Record], labelled: Mapping[str, Sequence[int]], corpora: Mapping[str, Any]
) -> dict[str, dict[str, list[int]]]:
    """Corpus -> task -> numbers of records. Raises RecipeError for a corpus without any."""
    found: dict[str, dict[str, list[int]]] = {}
    for name in corpora:
        of_task = {t: [i for i in rows if corpus_of(records[i]) == name] for t, rows in labelled.items()}
        found[name] = {task: rows for task, rows in of_task.items() if rows}
        if not found[name]:
            there = ", ".join(sorted({corpus_of(record) for record in records}))
            raise RecipeError(
                f"corpus {name}: no clip with labels of {', '.join(labelled)}; the manifests' corpora are: {there}"
            )
    return found


def _shown(
    record: Record, modalities: Sequence[str], modality_dropout: Mapping[str, float], rng: random.Random
) -> frozenset[str]:
    """The modalities of one example."""
    shown = [m for m in modalities if m != "text" or record.text]
    for modality in rng.sample(shown, len(shown)):
        if len(shown) > 1 and rng.random() < modality_dropout.get(modality, 0.0):
            shown.remove(modality)
    return frozenset(shown)


def schedule(records: Sequence[Record], phase: Phase, seed: int) -> list[Example]:
    """The examples of a phase, in order, by the mixture that it names.

    Args:
        records: The clips.
        phase: The phase of the recipe.
        seed: The seed of the order.

    Returns:
        The examples, in order.
    """
    about = (phase.modalities, phase.modality_dropout)
    if phase.mixture == "subset_uniform":
        tasks = [task for task, share in phase.tasks.items() if share]
        scheduled = schedule_uniformly(
            records, tasks, *about, phase.steps, phase.batch_size, seed, phase.corpora
        )
    else:
        number = phase.steps * phase.batch_size
        scheduled = schedule_by_share(records, phase.tasks, *about, number, seed, phase.corpora)
    return withhold(scheduled, phase.withheld, seed) if phase.withheld else scheduled


def withhold(scheduled: Sequence[Example], shares: Mapping[str, float], seed: int) -> list[Example]:
    """Withhold tokens of branches from some examples, each branch on its own; all else stays as it is.

    Only examples that show both video and audio lose tokens: the fusion token is then there to stand in for them.

    Args:
        scheduled: The examples.
        shares: Branch -> the share of examples without its tokens.
        seed: The seed of the choice.

    Returns:
        The examples in the same order.
    """
    rng = random.Random(f"{seed}/withheld")
    found = []
    for example in scheduled:
        chosen = frozenset(branch for branch, share in shares.items() if rng.random() < share)
        fused = {"video", "audio"} <= example.modalities
        found.append(example._replace(withheld=chosen) if fused else example)
    return found


def realised(scheduled: Sequence[Example], records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """How many examples of each task, of each corpus and with each set of modalities there are."""
    counts = {
        "tasks": Counter(example.task for example in scheduled),
        "corpora": Counter(corpus_of(records[example.record]) for example in scheduled),
        "modalities": Counter("+".join(sorted(example.modalities)) for example in scheduled),
    }
    return {name: dict(sorted(count.items())) for name, count in counts.items()}


class Examples(Dataset[PreparedExample]):
    """The examples of a phase as prompts, answers and features.

    Args:
        records: The clips.
        scheduled: The examples, in order.
        store: The clips' features or media, by id.
        processor: The processor that writes the prompts.
    """

    def __init__(
        self,
        records: Sequence[Record],
        scheduled: Sequence[Example],
        store: Tensors,
        processor: NanoEmoXProcessor,
    ) -> None:
        self.records, self.scheduled, self.store, self.processor = records, scheduled, store, processor

    def __len__(self) -> int:
        return len(self.scheduled)

    def __getitem__(self, index: int) -> PreparedExample:
        example = self.scheduled[index]
        record, task = self.records[example.record], TASKS[example.task]
        features = {
            name: value
            for name, value in self.store[record.id].items()
            if modality_of(name) in example.modalities
        }
        present = {modality_of(name) for name in features}
        text = record.text if "text" in example.modalities else None
        prompt = self.processor.prompt(
            task.question(task.candidates(record.labels)),
            modalities=present,
            text=text,
            dialogue=record.turns if "text" in example.modalities else None,
        )
        for branch in sorted(example.withheld):
            prompt = prompt.replace(PLACEHOLDERS[branch], "")
        answer = task.target(record.labels, present | ({"text"} if text else set()))
        return PreparedExample(prompt, answer or "", features)

    @staticmethod
    def length(example: PreparedExample) -> int:
        """About how long the example is, to batch it with others like it."""
        return len(example.prompt) + len(example.answer)

    def collate(self, batch: Sequence[PreparedExample]) -> dict[str, Tensor]:
        """Examples -> input_ids, attention_mask, labels [B, S] and the stacked features."""
        prompts, answers, features = (list(column) for column in zip(*batch, strict=True))
        return dict(self.processor.training_batch(prompts, answers, features, padding_side="right"))

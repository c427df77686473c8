"""What a run of a study is measured on, cheaply: stored features, probabilities where they answer, few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from nanoemox.data.decoded_clips import Tensors
from nanoemox.data.schema import Prediction, Record
from nanoemox.files.short_repr import ShortRepr
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Request
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.scoring.score import score
from nanoemox.tasks.task import TASKS, closed_tasks

BRANCHES = ("fusion", "face_adapter", "audio_adapter", "video_adapter")
BATCH_SIZE = 32
Values = dict[str, dict[str, float]]  # task -> figure -> value


@dataclass(frozen=True, repr=False)
class TestClips(ShortRepr):
    """The clips that a study measures on.

    Attributes:
        sets: Name of a set -> its clips.
        written: How many of each set, from its start, are also answered in words.
        muted: How many of each set are answered again without each branch, and after each phase.
    """

    sets: Mapping[str, Sequence[Record]]
    written: int
    muted: int

    @property
    def clips(self) -> list[Record]:
        """All of them."""
        return [record for records in self.sets.values() for record in records]

    def first(self, number: int) -> list[Record]:
        """So many of each set."""
        return [record for records in self.sets.values() for record in records[:number]]


def measure(
    analyzer: EmotionAnalyzer, clips: TestClips, store: Tensors, shown: Sequence[str] | None
) -> dict[str, Any]:
    """The figures of a trained model.

    Args:
        analyzer: The model.
        clips: What it is measured on.
        store: Their features.
        shown: Give the model only these modalities; None, all.

    Returns:
        `figures` of all sets together, `sets` with the figure that stands for each task in each set, and `muted`, the
        same of some clips with all branches ("none") and without each of them.
    """
    closed, open_ = list(closed_tasks()), [name for name in TASKS if name not in closed_tasks()]
    written = {record.id for record in clips.first(clips.written)}

    def tasks_of(record: Record) -> list[str]:
        return closed + (open_ if record.id in written else [])

    predictions = answers(analyzer, clips.clips, store, tasks_of, shown)
    found: dict[str, Any] = {"figures": figures(clips.clips, predictions), "sets": {}, "muted": {}}
    for name, records in clips.sets.items():
        mine = {record.id for record in records}
        found["sets"][name] = headlines(figures(records, [p for p in predictions if p.id in mine]))
    few = clips.first(clips.muted)
    if few:
        kept = {record.id for record in few}
        whole = [p for p in predictions if p.id in kept and p.task in closed]
        found["muted"]["none"] = headlines(figures(few, whole))
        for branch in branches(analyzer.model):
            with muted(analyzer.model, branch):
                part = answers(analyzer, few, store, lambda _: closed, shown)
            found["muted"][branch] = headlines(figures(few, part))
    return found


def answers(
    analyzer: EmotionAnalyzer,
    records: Sequence[Record],
    store: Tensors,
    tasks_of: Callable[[Record], Sequence[str]],
    shown: Sequence[str] | None = None,
) -> list[Prediction]:
    """A model's answers about stored features; closed questions are answered without writing a token.

    Args:
        analyzer: The model.
        records: The clips.
        store: Their features.
        tasks_of: Clip -> names of tasks; those that it has no label for are left out.
        shown: Give the model only these modalities; None, all.

    Returns:
        One prediction for each clip and task.
    """
    found = []
    for start in range(0, len(records), BATCH_SIZE):
        batch, requests = records[start : start + BATCH_SIZE], []
        for record in batch:
            tasks = [name for name in tasks_of(record) if TASKS[name].has_label(record.labels)]
            requests.append(
                Request(store[record.id], record.text, record.turns, tasks, {}, shown or None, write=False)
            )
        asked = [(record, request) for record, request in zip(batch, requests, strict=True) if request.tasks]
        for (record, request), given in zip(
            asked, analyzer.answer_batch([request for _, request in asked]) if asked else [], strict=True
        ):
            found += [Prediction.of(record.id, name, given.tasks[name]) for name in request.tasks or ()]
    return found


def figures(records: Sequence[Record], predictions: Sequence[Prediction]) -> Values:
    """Task -> figure -> value, over the clips that each task was asked about."""
    found: Values = {}
    for name in TASKS:
        mine = [prediction for prediction in predictions if prediction.task == name]
        asked = {prediction.id for prediction in mine}
        labels = {record.id: record.labels for record in records if record.id in asked}
        for figure, value in score(labels, mine, None, [name]).get(name, {}).items():
            if value["value"] is not None:
                found.setdefault(name, {})[figure] = value["value"]
    return found


def headlines(values: Values) -> dict[str, float]:
    """Task -> the figure that stands for it."""
    return {name: of[TASKS[name].headline] for name, of in values.items() if TASKS[name].headline in of}


# ---------------------------------------------------------------- branches


def branches(model: NanoEmoXForConditionalGeneration) -> list[str]:
    """The parts of a model whose tokens stand in its prompts."""
    counts = model.config.placeholder_counts
    there = [name for name in BRANCHES if getattr(model, name, None) is not None]
    return [name for name in there if counts[name.removesuffix("_adapter")]]


@contextmanager
def muted(model: NanoEmoXForConditionalGeneration, branch: str) -> Iterator[None]:
    """Set the tokens of one branch to zero for a while.

    A branch whose tokens can be set to zero at no cost tells the language model nothing that it uses.
    """

    def zeroed(module: nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):  # fusion gives its token and its gate's weights
            return (output[0].new_zeros(output[0].shape), *output[1:])
        return output.new_zeros(output.shape)

    handle = getattr(model, branch).register_forward_hook(zeroed)
    try:
        yield
    finally:
        handle.remove()


def tensors_of(store: Tensors, records: Sequence[Record]) -> dict[str, Mapping[str, Tensor]]:
    """The features of some clips in memory."""
    return {record.id: store[record.id] for record in records}

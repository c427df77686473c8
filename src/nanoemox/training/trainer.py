"""One way to train anything here: transformers' Trainer with a fixed order of examples and exact resume.

Every dataset is as long as the training and is read in order, so the position in it is the step; what is random
about an example is drawn from its own index. A killed run that goes on from its last checkpoint (weights, optimiser,
schedule, random state, position) ends bit by bit where an uninterrupted one does.
"""

from __future__ import annotations

import json
import logging
import math
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from tqdm import tqdm
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from nanoemox.files.atomic import json_text, write_json, write_texts
from nanoemox.files.short_repr import ShortRepr
from nanoemox.training.recipe import RecipeError, Schedule

logger = logging.getLogger(__name__)
_NOTE = "mixture.json"
_LAST_WRITTEN = "trainer_state.json"  # the Trainer writes it when the rest of a checkpoint is there


class JsonLines(TrainerCallback):
    """Writes what the Trainer logs to a JSONL file, one step a line; a resumed run cuts off what it will repeat."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        kept = []
        if self.path.exists() and state.global_step:
            lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["step"] <= state.global_step]
        write_texts({self.path: "".join(f"{line}\n" for line in kept)})

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        line = {"step": state.global_step, **(logs or {})}
        for name, value in line.items():  # such as the norm of gradients that overflowed
            if isinstance(value, float) and not math.isfinite(value):
                line[name] = None
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json_text(line, self.path, indent=None))


class Notes(TrainerCallback):
    """Writes into every checkpoint what `note` says of its step; a run that goes on from it has to say the same."""

    def __init__(self, note: Callable[[int], Any]) -> None:
        self.note = note

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        write_json(folder / _NOTE, self.note(state.global_step))

    def compare(self, checkpoint: Path) -> None:
        """Raise RecipeError where a checkpoint was trained on other examples than it would go on with."""
        path, step = checkpoint / _NOTE, int(checkpoint.name.rpartition("-")[2])
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != self.note(step):
            raise RecipeError(
                f"{path}: was trained on another mixture or by another teacher (the manifests, what is left out of "
                "them or `distillation` have changed); "
                f"remove {checkpoint.parent.parent}, or write to another folder with --set output=NEW"
            )


def rate_factor(schedule: Schedule, step: int) -> float:
    """What the learning rate is multiplied with at a step: a straight line up, then a cosine down.

    Args:
        schedule: Where the line begins, how long it is, where the cosine begins and ends.
        step: Counted from 0; the first step of the training is step 0.

    Returns:
        The factor on `schedule.learning_rate`, and on every learning rate of a parameter's own.
    """
    warmup = schedule.warmup_steps
    if step < warmup:
        lowest = min(1.0, schedule.warmup_from / schedule.learning_rate)
        return lowest + (1.0 - lowest) * (step / warmup)
    begin = 0 if schedule.cosine == "at_start" else warmup
    progress = (step - begin) / max(1, schedule.steps - begin)
    last = min(1.0, schedule.final_learning_rate / schedule.learning_rate)
    return 0.5 * (1.0 + math.cos(math.pi * progress)) * (1.0 - last) + last


class OrderedTrainer(Trainer):
    """A Trainer that reads its examples in order, by the learning rates of our schedule, which may differ for some
    parameters, and logs the parts of the loss that the model returns under `parts`."""

    def __init__(
        self,
        schedule: Schedule,
        *args: Any,
        rates: Callable[[str], float | None] | None = None,
        extra_loss: Callable[[nn.Module, Mapping[str, Tensor]], Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """Make a trainer.

        Args:
            schedule: How the learning rate goes over the steps.
            *args: What `Trainer` takes.
            rates: A parameter's own learning rate by its name; None where it has none.
            extra_loss: What is added to the loss of a batch.
            **kwargs: What `Trainer` takes.
        """
        super().__init__(*args, **kwargs)
        self._schedule, self._rates, self._extra_loss = schedule, rates, extra_loss
        self._parts: dict[str, list[float]] = defaultdict(list)

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> SequentialSampler:
        return SequentialSampler(cast(Sized, train_dataset or self.train_dataset))

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with decay on matrices only, and each parameter's own learning rate."""
        if self.optimizer is None:  # type: ignore[has-type]
            decayed = set(self.get_decay_parameter_names(self.model))
            groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    rate = (self._rates(name) if self._rates else None) or self.args.learning_rate
                    groups[rate, self.args.weight_decay if name in decayed else 0.0].append(parameter)
            self.optimizer = torch.optim.AdamW(
                [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()],
                betas=(self.args.adam_beta1, self.args.adam_beta2),
                eps=self.args.adam_epsilon,
            )
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Our schedule, whatever the arguments name."""
        if self.lr_scheduler is None:  # type: ignore[has-type]
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, partial(rate_factor, self._schedule)
            )
        return self.lr_scheduler

    def compute_loss(  # type: ignore[no-untyped-def]
        self, model, inputs, return_outputs=False, num_items_in_batch=None
    ):
        loss, outputs = super().compute_loss(
            model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch
        )
        for name, value in (outputs.get("parts") or {}).items():
            self._parts[name].append(float(value.detach()))
        if self._extra_loss is not None:
            extra = self._extra_loss(model, inputs)
            self._parts["extra"].append(float(extra.detach()))
            loss = loss + extra
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        means = {name: round(sum(values) / len(values), 5) for name, values in self._parts.items() if values}
        self._parts.clear()
        super().log({**logs, **means}, start_time)


class ByLength(Dataset[Any]):
    """The same examples, in batches of similar length: sorted within windows of a few batches, the batches shuffled.

    Padding costs as much as text does. The order depends on the seed alone, and a window is made when it is needed.

    Args:
        examples: The examples in their own order.
        length: Example -> about how long it is.
        batch_size: How many examples a batch has.
        seed: The seed of the order of the batches.
        batches: How many batches a window has.
    """

    def __init__(
        self,
        examples: Dataset[Any],
        length: Callable[[Any], int],
        batch_size: int,
        seed: int,
        batches: int = 8,
    ) -> None:
        self.examples, self.length, self.batch_size, self.seed = examples, length, batch_size, seed
        self.window = batch_size * batches
        self._ready: tuple[int, list[tuple[int, Any]]] = (-1, [])

    def __len__(self) -> int:
        return len(self.examples)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        number, place = divmod(index, self.window)
        return self._in_window(number)[place][1]

    def first(self, number: int) -> list[int]:
        """Which of the examples, by their own numbers, are among the first `number` that are read."""
        windows, rest = divmod(number, self.window)
        begun = [i for i, _ in self._in_window(windows)[:rest]] if rest else []
        return [*range(windows * self.window), *begun]

    def _in_window(self, number: int) -> list[tuple[int, Any]]:
        if self._ready[0] != number:
            numbers = range(number * self.window, min(len(self), (number + 1) * self.window))
            items = sorted(((i, self.examples[i]) for i in numbers), key=lambda pair: self.length(pair[1]))
            size = self.batch_size
            groups = [items[i : i + size] for i in range(0, len(items), size)]
            random.Random(f"{self.seed}/{number}").shuffle(groups)
            self._ready = number, [pair for group in groups for pair in group]
        return self._ready[1]


class StepBar(TrainerCallback):
    """Shows one bar for all steps of a training, with the loss that was logged last and the time that is left."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        every_s = 0.2 if sys.stderr.isatty() else 10.0  # in a file each state of the bar is a line
        self._bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc=self.name, unit="step", mininterval=every_s
        )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._bar is not None and logs and "loss" in logs:
            self._bar.set_postfix_str(f"loss {float(logs['loss']):.3f}", refresh=False)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is; also after a training that was stopped."""
        if self._bar is not None:
            self._bar.close()


class StepTimes(TrainerCallback):
    """Measures how long each step takes, with the reading of its batch and all its work on the device."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._last = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


@dataclass(frozen=True, repr=False)
class TrainingPlan(ShortRepr):
    """What is trained: a model, the examples it sees in order, and how its parameters learn.

    Attributes:
        model: Trained in place.
        examples: One item per example of the whole training, steps * batch_size of them.
        collate: Items -> a batch for the model.
        schedule: How long, how fast and in which batches.
        seed: Of everything random in a step, such as dropout.
        rates: Parameter name -> its own learning rate, or None for the schedule's.
        extra_loss: Added to the loss that the model returns.
        device: "cpu" or "cuda"; None takes a GPU where there is one.
    """

    model: nn.Module
    examples: Dataset[Any]
    collate: Callable[[list[Any]], dict[str, Tensor]]
    schedule: Schedule
    seed: int
    rates: Callable[[str], float | None] | None = None
    extra_loss: Callable[[nn.Module, Mapping[str, Tensor]], Tensor] | None = None
    device: str | None = None


def fit(
    plan: TrainingPlan, folder: Path, resume: bool = False, note: Callable[[int], Any] | None = None
) -> None:
    """Train a model in place for all steps of its schedule.

    Args:
        plan: What is trained, and how.
        folder: Gets `log.jsonl`, and `checkpoints/` while training.
        resume: Go on from the last whole checkpoint under `folder` (from the start if there is none).
        note: Step -> what to write into the checkpoint of that step, such as the counts of examples.

    Raises:
        RecipeError: If the last checkpoint was trained on other examples.
    """
    checkpoints = folder / "checkpoints"
    last = last_checkpoint(checkpoints) if resume else None
    notes = [Notes(note)] if note is not None else []
    if last is not None and notes:
        notes[0].compare(last)
    if not resume and checkpoints.exists():
        shutil.rmtree(checkpoints)
    bar = StepBar(folder.name.removeprefix(".").removesuffix(".work"))
    with threads(plan.schedule.threads), closing(bar):
        trainer = _trainer(plan, checkpoints, [JsonLines(folder / "log.jsonl"), bar, *notes])
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    shutil.rmtree(checkpoints, ignore_errors=True)


class TimedSteps(NamedTuple):
    """What was measured of a few steps: the seconds that each took, and the losses that the Trainer logged."""

    seconds: list[float]
    losses: list[float]


def time_steps(plan: TrainingPlan) -> TimedSteps:
    """Train for all steps of a (short) schedule, exactly as `fit` does, and keep nothing but the figures."""
    times = StepTimes()
    with tempfile.TemporaryDirectory(prefix="nanoemox-") as folder, threads(plan.schedule.threads):
        trainer = _trainer(plan, Path(folder), [times], save=False)
        trainer.train()
    return TimedSteps(times.seconds, [line["loss"] for line in trainer.state.log_history if "loss" in line])


def _trainer(
    plan: TrainingPlan, checkpoints: Path, callbacks: Sequence[TrainerCallback], save: bool = True
) -> OrderedTrainer:
    """The one Trainer that everything is trained with."""
    # The examples are laid out for exactly these steps: fewer would begin a second round.
    schedule, number = plan.schedule, len(plan.examples)  # type: ignore[arg-type]
    expected = schedule.steps * schedule.batch_size
    if number != expected:
        raise ValueError(
            f"expected {expected} examples ({schedule.steps} steps of {schedule.batch_size}), got {number}"
        )

    # Build the arguments.
    set_seed(plan.seed)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=schedule.steps,
        per_device_train_batch_size=schedule.batch_size,
        learning_rate=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        max_grad_norm=schedule.max_grad_norm or 0.0,  # 0: not clipped
        adam_beta2=0.999,
        logging_steps=schedule.log_every,
        save_strategy="steps" if save else "no",
        save_steps=schedule.save_every,
        save_total_limit=2,
        seed=plan.seed,
        data_seed=plan.seed,
        bf16=schedule.bf16,
        use_cpu=on_cpu(plan.device),
        dataloader_num_workers=0,
        dataloader_pin_memory=not on_cpu(plan.device),
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
    )

    # Build the trainer, which takes the examples in their order.
    trainer = OrderedTrainer(
        schedule,
        model=plan.model,
        args=arguments,
        train_dataset=plan.examples,
        data_collator=plan.collate,
        callbacks=list(callbacks),
        rates=plan.rates,
        extra_loss=plan.extra_loss,
    )
    trainer.remove_callback(PrinterCallback)  # standard output is for results
    return trainer


def on_cpu(device: str | None) -> bool:
    """Whether training computes on the processor: as the device says, else where there is no GPU."""
    return device == "cpu" or not torch.cuda.is_available()


def check_not_there(folder: Path, resume: bool) -> None:
    """Refuse to begin a training anew where one has been. Errors: RecipeError.

    Args:
        folder: What the training writes; what it has not finished lies beside it, as `work_folder` says.
        resume: Whether it goes on from there.
    """
    finished = folder.is_dir() and any(folder.iterdir())
    if resume or not (finished or any(work_folder(folder).glob("checkpoints/checkpoint-*"))):
        return
    there = "a finished run is there" if finished else "a run that was stopped is there, with its checkpoints"
    raise RecipeError(
        f"{folder}: {there}; keep it and go on with --resume, or write to another folder with --set output=NEW"
    )


def work_folder(folder: Path) -> Path:
    """Where a training keeps its checkpoints and its log until it has finished."""
    return folder.with_name(f".{folder.name}.work")


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end, if there is one."""
    found = []
    for path in folder.glob("checkpoint-*"):
        try:
            json.loads((path / _LAST_WRITTEN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            logger.warning("%s: not written to its end, so it is left out", path)
            continue
        found.append(path)
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Compute with this many threads inside: sums over threads, and so the last bit, depend on their number."""
    before = torch.get_num_threads()
    if number:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Training a small network from nothing, the same way for each modality. Letters in shapes: B batch, K classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nanoemox.baselines import networks

PREDICTED_AT_ONCE = 64


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    rare: classes are weighed by (1 / share) to this power. networks: how many are trained, each from its own seed;
    the mean of their probabilities decides.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.05
    rare: float = 0.5
    smoothing: float = 0.1
    networks: int = 1


SETTINGS = {
    "audio": Settings(steps=1300, batch_size=16, learning_rate=3e-3),
    "video": Settings(steps=1000, batch_size=32, learning_rate=3e-3),
    "text": Settings(steps=500, batch_size=64, learning_rate=1.5, weight_decay=1e-4, rare=0.0, networks=3),
}
MODALITIES = tuple(SETTINGS)


class _Input(ABC):
    """What is particular to a modality: which network reads it, and which views of the clips the network is given."""

    autocast = True  # bfloat16 is twice as fast for convolutions

    @abstractmethod
    def __init__(self, train: Sequence[Any]) -> None:
        """Fit what depends on the training clips."""

    @abstractmethod
    def network(self, classes: int) -> nn.Module:
        """A new network with random weights."""

    @abstractmethod
    def views(self, clips: Any, rows: Sequence[int], random: torch.Generator | None) -> list[Tensor]:
        """What the network reads of some prepared clips; with `random` a random view of each, else the plain one."""

    def prepared(self, clips: Sequence[Any]) -> Any:
        """The clips in the form that `views` reads."""
        return clips

    def optimiser(self, network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
        """What moves the weights."""
        return torch.optim.AdamW(
            network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )

    def logits(self, network: nn.Module, views: Sequence[Tensor]) -> Tensor:
        """The network's answer to some views, [B, K]."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            return network(*views).float()

    def probabilities(self, network: nn.Module, views: Sequence[Tensor]) -> Tensor:
        """How likely each class is, [B, K], up to a factor."""
        return self.logits(network, views).softmax(dim=1)


class _Audio(_Input):
    """Log-mel energies; every view has as many time steps as the clip of median length, within reason."""

    def __init__(self, train: Sequence[Tensor]) -> None:
        median = int(np.median([clip.shape[1] for clip in train]))
        self.steps = min(160, max(32, median // 8 * 8))

    def network(self, classes: int) -> nn.Module:
        return networks.AudioNet(classes)

    def views(self, clips: Any, rows: Sequence[int], random: torch.Generator | None) -> list[Tensor]:
        return [torch.stack([networks.audio_view(clips[i], self.steps, random) for i in rows])]


class _Video(_Input):
    """A grey frame; when it is tested, its mirror image counts as much."""

    def __init__(self, train: Sequence[Tensor]) -> None:
        pass

    def network(self, classes: int) -> nn.Module:
        return networks.FrameNet(classes)

    def views(self, clips: Any, rows: Sequence[int], random: torch.Generator | None) -> list[Tensor]:
        return [networks.frame_views(torch.stack([clips[i] for i in rows]), random)]

    def probabilities(self, network: nn.Module, views: Sequence[Tensor]) -> Tensor:
        mirrored = [views[0].flip(2)]
        return super().probabilities(network, views) + super().probabilities(network, mirrored)


class _Text(_Input):
    """TF-IDF of a line and of the turns before it."""

    autocast = False

    def __init__(self, train: Sequence[tuple[str, str]]) -> None:
        self.text = networks.TextRows(train)

    def network(self, classes: int) -> nn.Module:
        return networks.TextNet(classes, self.text.sizes)

    def prepared(self, clips: Sequence[tuple[str, str]]) -> Any:
        return self.text.rows(clips)

    def views(self, clips: Any, rows: Sequence[int], random: torch.Generator | None) -> list[Tensor]:
        return self.text.views([matrix[rows] for matrix in clips], random)

    def optimiser(self, network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
        # Adam moves an n-gram seen twice as far as a common one, and so learns lines by heart.
        return torch.optim.SGD(
            network.parameters(),
            settings.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=settings.weight_decay,
        )


_INPUTS: dict[str, type[_Input]] = {"audio": _Audio, "video": _Video, "text": _Text}


def fit_and_predict(
    modality: str,
    clips: Sequence[Any],
    labels: Sequence[str],
    tested: Sequence[Any],
    settings: Settings,
    seed: int,
) -> list[str]:
    """Train as many networks as the settings say from nothing, and label other clips by the mean of their answers.

    Args:
        modality: audio, video or text.
        clips: What the network reads of each training clip.
        labels: The label of each training clip.
        tested: What the network reads of each clip to label.
        settings: How the networks are trained.
        seed: The seed of the first network's weights and views; the next one has the next number.

    Returns:
        One label for each of `tested`.
    """
    classes = sorted(set(labels))
    targets = torch.tensor([classes.index(label) for label in labels])
    inputs = _INPUTS[modality](clips)
    train, test = inputs.prepared(clips), inputs.prepared(tested)
    likely = torch.zeros(len(tested), len(classes))
    for number in range(settings.networks):
        network = _trained(inputs, train, targets, len(classes), settings, seed + number)
        likely += _predicted(inputs, network, test, len(tested))
    return [classes[i] for i in likely.argmax(dim=1).tolist()]


def _trained(
    inputs: _Input, clips: Any, targets: Tensor, classes: int, settings: Settings, seed: int
) -> nn.Module:
    """One network, trained for a fixed number of steps: nothing is chosen on clips that are tested."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    network = inputs.network(classes)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Rare classes count more, so that the mean over clips of a class's weight is 1.
    shares = torch.bincount(targets, minlength=classes).float() / len(targets)
    weight = shares**-settings.rare / (shares ** (1 - settings.rare)).sum()
    optimiser = inputs.optimiser(network, settings)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.15
    )
    network.train()
    order: list[int] = []
    for _ in range(settings.steps):
        # A new round in a new order begins when too few clips of the last one are left for a batch.
        if len(order) < settings.batch_size:
            order += torch.randperm(len(targets), generator=random).tolist()
        rows, order = order[: settings.batch_size], order[settings.batch_size :]
        loss = functional.cross_entropy(
            inputs.logits(network, inputs.views(clips, rows, random)),
            targets[rows],
            weight,
            label_smoothing=settings.smoothing,
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def _predicted(inputs: _Input, network: nn.Module, clips: Any, number: int) -> Tensor:
    """How likely each class is for each clip, [number, K]."""
    parts = []
    for first in range(0, number, PREDICTED_AT_ONCE):
        rows = range(first, min(first + PREDICTED_AT_ONCE, number))
        parts.append(inputs.probabilities(network, inputs.views(clips, rows, None)))
    return torch.cat(parts)

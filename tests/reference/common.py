"""What the parity checks share: reading a reference file, the deterministic weight rule, and comparing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from nanoemox.checkpoints.official_names import from_official, official_name

FLOAT32_TOLERANCE = 1e-4  # absolute
FLOAT16_TOLERANCE = 2e-3  # relative


@dataclass
class Reference:
    """One safetensors file: inputs, expected outputs, weights by official name, and its metadata."""

    path: Path
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Reference:
        reference = cls(path)
        groups = {"in": reference.inputs, "out": reference.outputs, "state": reference.state}
        with safe_open(path, "pt") as file:
            reference.metadata = dict(file.metadata() or {})
            for key in file.keys():  # noqa: SIM118
                group, _, name = key.partition(".")
                groups[group][name] = file.get_tensor(key)
        return reference

    def number(self, name: str, default: float | None = None) -> int:
        """A whole number of the metadata."""
        if name not in self.metadata and default is not None:
            return int(default)
        return int(self.metadata[name])


@dataclass
class Result:
    """The largest error of one file, as a share of its tolerance, and where it was."""

    float32: float = 0.0
    float16: float = 0.0
    entries: int = 0
    problems: list[str] = field(default_factory=list)
    skipped: str = ""  # why nothing could be checked

    @property
    def passed(self) -> bool:
        within = self.float32 <= FLOAT32_TOLERANCE and self.float16 <= FLOAT16_TOLERANCE
        return within and not self.problems and not self.skipped

    def compare(self, name: str, ours: Any, expected: Any) -> None:
        """Take one entry in; the type of `expected` says which tolerance counts."""
        self.entries += 1
        expected = torch.as_tensor(expected)
        ours = torch.as_tensor(ours).detach()
        if ours.shape != expected.shape:
            self.problems.append(f"{name}: shape {list(ours.shape)}, expected {list(expected.shape)}")
            return
        if not expected.numel():
            return
        error = (ours.double() - expected.double()).abs()
        if not error.isfinite().all():
            self.problems.append(f"{name}: not finite")
        elif expected.dtype == torch.float16:
            # Values below the float32 tolerance have no meaningful relative error.
            relative = error / expected.double().abs().clamp(min=FLOAT32_TOLERANCE / FLOAT16_TOLERANCE)
            self.float16 = max(self.float16, relative.max().item())
        else:
            self.float32 = max(self.float32, error.max().item())
        if (error.max() > FLOAT32_TOLERANCE) and expected.dtype != torch.float16:
            self.problems.append(f"{name}: error {error.max().item():.2e}")

    def equal(self, name: str, ours: Any, expected: Any) -> None:
        """Take in one entry that has no tolerance."""
        self.entries += 1
        if ours != expected:
            self.problems.append(f"{name}: {ours}, expected {expected}")

    def compare_all(self, ours: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
        """Compare by name; an expected entry that nothing was computed for is a problem."""
        for name, tensor in expected.items():
            if name in ours:
                self.compare(name, ours[name], tensor)
            else:
                self.problems.append(f"{name}: nothing computed to compare with it")


def rule_values(index: int, count: int, salt: int) -> NDArray[np.float64]:
    """The hash of the reference set's README: `count` values in [-1, 1) for the parameter at `index`."""
    x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1)
    x += np.uint32(((index + 1) * 0x85EBCA77 + salt * 0xC2B2AE3D) % 2**32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x / 2**31 - 1


def rule_tensor(name: str, shape: Iterable[int], index: int, salt: int) -> Tensor:
    """One parameter by the rule, from its official name, its shape and its place in the sorted names."""
    shape = tuple(shape)
    u = rule_values(index, math.prod(shape), salt)
    if name.endswith(("query_tokens", "position_embedding.weight")) or name.rpartition(".")[2] == "query":
        values = u
    elif name.endswith("relative_position_bias_table"):
        values = 0.5 * u
    elif len(shape) >= 2:
        values = math.sqrt(3 / math.prod(shape[1:])) * u
    elif name.endswith(".weight"):
        values = 1 + 0.3 * u
    else:
        values = 0.1 * u
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def official_shapes(prefix: str, module: nn.Module) -> dict[str, list[int]]:
    """Shapes of a module's parameters under their official names; `prefix` is its name in our model."""
    shapes: dict[str, list[int]] = {}
    for name, parameter in module.named_parameters(prefix):
        official, third = official_name(name)
        shape = list(parameter.shape)
        if third is not None:
            shape[0] *= 3
        shapes[official] = shape
    return shapes


def rule_state(shapes: Mapping[str, Iterable[int]], salt: int) -> dict[str, Tensor]:
    """All parameters of a sorted set by the rule."""
    return {name: rule_tensor(name, shapes[name], index, salt) for index, name in enumerate(sorted(shapes))}


def load(prefix: str, module: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Fill a module of ours, called `prefix` in our model, from official weights; evaluation mode."""
    names = [f"{prefix}.{name}" for name, _ in module.named_parameters()]
    ours = from_official(names, state)
    module.load_state_dict(
        {name.removeprefix(f"{prefix}."): value for name, value in ours.items()}, strict=True
    )
    return module.eval()


def load_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))

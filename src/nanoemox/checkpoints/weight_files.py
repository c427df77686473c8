"""Weights as they lie on disk: found, opened tensor by tensor, and written in shards.

Three layouts are read: a folder as on the Hub (safetensors, or PyTorch's zip files, each with or without an
index of shards), one safetensors file, and one `.pth`. Nothing is unpickled but tensors and plain containers
(`weights_only=True`). Tensors stay on disk until they are asked for. A folder is written whole or not at all.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nanoemox.checkpoints.json_files import parse_object, shown
from nanoemox.files.atomic import json_text
from nanoemox.files.errors import ArgumentError, NanoEmoXError

SHARD_BYTES = 500_000_000
MOST_LIST_BYTES = 64_000_000  # of names and shapes in a PyTorch file; that of a large model has a megabyte
LARGEST = (
    1e5  # of a weight: those of pretrained models stay below a thousand, one with a flipped bit is near 1e38
)
LARGE = (
    100.0  # from here on, one weight that outweighs all others of its matrix is taken for a flipped bit, too
)
LISTED = 12  # names that an error lists before it only counts
TORCH_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
_SINGLE = ("model.safetensors", "pytorch_model.bin")
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class WeightsError(NanoEmoXError):
    """Weights that cannot be used; one line: "<path>: what is wrong (expected …); what to do"."""


def check_dtype(dtype: str) -> None:
    """Raise ArgumentError unless weights can be written in this type."""
    if dtype not in TORCH_DTYPES:
        raise ArgumentError(f"dtype {dtype}: expected one of {', '.join(TORCH_DTYPES)}")


@dataclass(frozen=True)
class Stored:
    """One tensor on disk: its form, and how to read it."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None  # None: no floating type
    read: Callable[[], Tensor]


@dataclass
class Weights(Mapping[str, Stored]):
    """Tensors by name; those read stay alive no longer than the caller keeps them."""

    place: Path
    tensors: dict[str, Stored] = field(default_factory=dict)
    others: tuple[str, ...] = ()  # what else a `.pth` held beside the tensors, by name
    extra: dict[str, Any] = field(default_factory=dict)  # and by value

    def __getitem__(self, name: str) -> Stored:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


@contextmanager
def open_weights(place: Path, key: str | None = None) -> Iterator[Weights]:
    """Open a folder or file. `key`: where in a `.pth` the tensors are ("model", "state_dict_backbone")."""
    weights = Weights(place)
    with ExitStack() as stack:
        if place.is_dir():
            for path in _files(place):
                _open_file(path, weights, stack, None)
            _check_index(place, weights)
        elif place.is_file():
            _open_file(place, weights, stack, key)
        else:
            raise WeightsError(f"{place}: no such file or folder; check the path")
        yield weights
        weights.tensors.clear()


def read_object(path: Path, what: str = "configuration") -> dict[str, Any]:
    """The JSON object that a file of a model folder holds. Raises WeightsError if it holds none."""
    try:
        return parse_object(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise WeightsError(f"{path}: is no {what} ({reason}); copy it again") from error


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor -> shard, as an index says it; the shards have to be files of the same folder."""
    fields = read_object(index, "index of shards")
    names = fields.get("weight_map")
    if not isinstance(fields.get("metadata"), dict):  # transformers reads it
        raise WeightsError(
            f"{index}: is no index of shards (expected metadata, got {shown(fields.get('metadata'))}); copy it again"
        )
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise WeightsError(
            f"{index}: is no index of shards (expected weight_map with the file of each tensor, got "
            f"{shown(names)}); copy it again"
        )
    ending = Path(index.name.removesuffix(".index.json")).suffix
    for shard in names.values():
        if Path(shard).name != shard or "\\" in shard or Path(shard).suffix != ending:
            raise WeightsError(
                f"{index}: expected the name of a {ending} file in this folder, got {shown(shard)}; copy it again"
            )
    return names


def _files(folder: Path) -> list[Path]:
    """The weight files of a folder, in the order of transformers; every shard of an index has to be there."""
    for name in _SINGLE:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            shards = sorted(set(_weight_map(index).values()))
            missing = [shard for shard in shards if not (folder / shard).is_file()]
            if missing:
                raise WeightsError(
                    f"{folder / missing[0]}: this shard is missing ({index.name} lists {len(shards)}, "
                    f"{len(missing)} are not there); copy or download it"
                )
            return [folder / shard for shard in shards]
    raise WeightsError(
        f"{folder}: expected {' or '.join(_SINGLE)} (or an index of shards), found neither; "
        "name a model folder in the Hub's layout"
    )


def _check_index(folder: Path, weights: Weights) -> None:
    """Each name of an index has to be in its shards."""
    for name in _SINGLE:
        if (folder / name).is_file():
            return
        index = folder / f"{name}.index.json"
        if index.is_file():
            names = _weight_map(index)
            absent = [n for n in names if n not in weights]
            if absent:
                raise WeightsError(
                    f"{folder / names[absent[0]]}: lacks {listed(absent)}, which {index.name} says it holds; "
                    "copy or download it again"
                )
            return


def _open_file(path: Path, weights: Weights, stack: ExitStack, key: str | None) -> None:
    if path.suffix == ".safetensors":
        try:
            file = stack.enter_context(safe_open(path, "pt"))
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path}: is no whole safetensors file ({error}); copy it again") from error
        for name in file.keys():  # noqa: SIM118
            part = file.get_slice(name)
            dtype = _DTYPES.get(part.get_dtype())
            weights.tensors[name] = Stored(tuple(part.get_shape()), dtype, _reader(file.get_tensor, name))
        return
    found = load_pickle(path)
    if key is not None and not (isinstance(found, dict) and isinstance(found.get(key), dict)):
        keys = listed(map(str, found), 3) if isinstance(found, dict) else type(found).__name__
        raise WeightsError(f"{path}: expected tensors under {key!r}, found {keys}; name the right checkpoint")
    state = found if key is None else found[key]
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: expected tensors by name, found {type(state).__name__}")
    if key is not None:
        weights.extra |= {str(name): value for name, value in found.items() if name != key}
        weights.others = tuple(weights.extra)
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise WeightsError(f"{path}: {name} is no tensor but {type(tensor).__name__}")
        if tensor.layout != torch.strided or _larger_than_stored(tensor):
            raise WeightsError(
                f"{path}: {name} says that it holds {tensor.numel():,} numbers, which the file lacks; copy it again"
            )
        dtype = tensor.dtype if tensor.is_floating_point() else None
        weights.tensors[name] = Stored(tuple(tensor.shape), dtype, _reader(state.__getitem__, name))


def _larger_than_stored(tensor: Tensor) -> bool:
    """Whether a tensor shows the same stored numbers many times, so that a copy would take any amount of memory."""
    return tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes()


def check_values(weights: Weights) -> None:
    """Read every tensor once, one at a time, and refuse what no training makes: a damaged file still has its form.

    A bit that flips in the exponent makes a weight NaN, infinite or near 1e38. At 16 bits it may stay below 65,504;
    then it outweighs all the others of its matrix together. Raises WeightsError with the tensors.
    """
    problems = []
    for name, stored in weights.items():
        if stored.dtype is None:
            continue
        tensor = stored.read()
        if not tensor.numel():
            continue
        low, high = (float(value) for value in torch.aminmax(tensor))
        largest = max(-low, high)
        if not math.isfinite(largest):  # of NaN, aminmax returns NaN
            problems.append(f"{name} holds {'NaN' if math.isnan(largest) else 'an infinite number'}")
        elif largest > LARGEST or (largest > LARGE and tensor.ndim > 1 and _alone(tensor, largest)):
            problems.append(f"{name} holds {high if high >= -low else low:.3g}, far more than any other")
    raise_problems(
        weights.place,
        problems,
        f"expected finite weights of at most {LARGEST:,.0f}; copy the file again, since some of its bits have changed",
    )


def _alone(tensor: Tensor, largest: float) -> bool:
    """Whether the largest value has more than half of the sum of squares."""
    total = float((tensor.double() / largest).square().sum())
    return tensor.numel() > 2 and total < 2


def _reader(get: Callable[[str], Tensor], name: str) -> Callable[[], Tensor]:
    return lambda: get(name)


def _check_zip(path: Path) -> None:
    """Refuse a PyTorch file that would grow while it is read: compressed, or with a list of names without end."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as file:
        entries = file.infolist()
    squeezed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    lists = [
        entry for entry in entries if entry.filename.endswith(".pkl") and entry.file_size > MOST_LIST_BYTES
    ]
    total = sum(entry.file_size for entry in entries)
    if squeezed or lists or total > path.stat().st_size:
        problem = f"lists of {lists[0].file_size:,} bytes" if lists else "compressed or overlapping entries"
        raise WeightsError(
            f"{path}: expected tensors as PyTorch saves them, got {problem}, and was not opened; copy it again"
        )


def load_pickle(path: Path) -> Any:
    """A `.pth` or `.bin`: tensors and plain containers only, memory-mapped where its form allows."""
    try:
        _check_zip(path)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{path}: is no whole PyTorch file ({error}); copy it again") from error
    for mapped in (True, False):
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # PyTorch fails on what is no file of its own in any way at all
            if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
                raise WeightsError(
                    f"{path}: holds more than tensors ({found[1]}) and was not opened, since that could run "
                    "code; save it again as tensors only"
                ) from error
            if mapped:  # files from before PyTorch 1.6 cannot be mapped
                continue
            message = str(error) if isinstance(error, RuntimeError) else type(error).__name__
            reason = " ".join(re.split(r"[.\n]", message, maxsplit=1)[0].split())
            raise WeightsError(f"{path}: is no whole PyTorch file ({reason}); copy it again") from error
    raise AssertionError("unreachable")


def listed(names: Iterable[str], most: int = LISTED) -> str:
    """Names for an error message: the first few, then how many more."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


class ShardWriter:
    """Writes tensors as they come into safetensors shards; holds one shard in memory."""

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder, self.shard_bytes = folder, shard_bytes
        self._pending: dict[str, Tensor] = {}
        self._size = 0
        self._shards: list[list[str]] = []
        self.total_bytes = 0

    def add(self, name: str, tensor: Tensor, dtype: torch.dtype | None = None) -> None:
        """Take one tensor in; it is copied, so that no shard holds on to a mapped file.

        Args:
            name: Of the tensor in the model.
            tensor: Its values.
            dtype: The type to store it in; None keeps its own.
        """
        size = tensor.numel() * (dtype or tensor.dtype).itemsize
        if self._pending and self._size + size > self.shard_bytes:
            self._flush()
        self._pending[name] = torch.empty(tensor.shape, dtype=dtype or tensor.dtype).copy_(tensor.detach())
        self._size += size
        self.total_bytes += size

    def _flush(self) -> None:
        path = self.folder / f"shard-{len(self._shards) + 1:05}.safetensors"
        save_file(self._pending, path, metadata={"format": "pt"})
        self._shards.append(list(self._pending))
        self._pending, self._size = {}, 0

    def close(self) -> None:
        """Write the last shard and, if there are several, their index."""
        if self._pending or not self._shards:
            self._flush()
        count = len(self._shards)
        weight_map: dict[str, str] = {}
        for number, names in enumerate(self._shards, start=1):
            whole = "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"
            (self.folder / f"shard-{number:05}.safetensors").rename(self.folder / whole)
            weight_map |= dict.fromkeys(names, whole)
        if count > 1:
            index = {"metadata": {"total_size": self.total_bytes}, "weight_map": weight_map}
            place = self.folder / "model.safetensors.index.json"
            place.write_text(json_text(index, place), encoding="utf-8")


def raise_problems(place: Path, problems: Sequence[str], remedy: str) -> None:
    """Raise one error that lists every problem, if there are any.

    Args:
        place: The file or folder.
        problems: What is wrong, one short sentence each.
        remedy: What was expected, or what to do.

    Raises:
        WeightsError: If there is a problem.
    """
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise WeightsError(f"{place}: {count}: {listed(problems)}; {remedy}")

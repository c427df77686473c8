"""A model folder whose parts are OpenVINO graphs: its list of files, and what is wrong with one that cannot be used.

config.json, processor_config.json, tokenizer.json, …   as in any model folder
openvino.json                                           versions, bits, and every graph with its size and digest
openvino/PART.xml, openvino/PART.bin                    one graph for each part, in place of model.safetensors
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nanoemox.checkpoints.weight_files import WeightsError, listed, read_object
from nanoemox.files.errors import ArgumentError
from nanoemox.files.validation import first_wrong
from nanoemox.model.configuration_nanoemox import PARTS, NanoEmoXConfig

LISTING = "openvino.json"
GRAPHS = "openvino"  # the folder of the graphs
LANGUAGE_MODEL, EMBEDDING = "language_model", "embedding"
BITS = (4, 8, 16, 32)
_AGAIN = "copy the folder again, or export the model anew"


class GraphFile(BaseModel):
    """One file of a graph."""

    model_config = ConfigDict(extra="forbid")
    size_bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Listing(BaseModel):
    """What openvino.json holds."""

    model_config = ConfigDict(extra="forbid")
    openvino: str = Field(pattern=r"^\d+\.\d+\.\d+")
    nncf: str
    bits: int
    # The embeddings are the table of the language model's last layer, which is stored once.
    tied: bool
    random_parts: list[str]
    # Graph -> how far its outputs are from those of the model that was exported, as a share of their length.
    deviation: dict[str, float]
    files: dict[str, GraphFile]

    @property
    def digest(self) -> str:
        """Tells weights apart."""
        each = [f"{name} {file.sha256}" for name, file in sorted(self.files.items())]
        return hashlib.sha256("\n".join(each).encode()).hexdigest()[:16]


def is_openvino(folder: Path) -> bool:
    """Whether the model of this folder is one of OpenVINO's, whole or not."""
    return (folder / LISTING).exists() or (folder / GRAPHS).exists()


def graph_names(config: NanoEmoXConfig, tied: bool) -> list[str]:
    """The graphs of a model, as the attributes of the model that they take the place of."""
    absent = set() if config.face_tokens else {"face_encoder", "face_adapter"}
    names = [attribute for attribute in PARTS.values() if attribute not in absent]
    return names if tied else [*names, EMBEDDING]


def read_listing(folder: Path, config: NanoEmoXConfig, check: bool = True) -> Listing:
    """What a folder holds, looked over before any of it is loaded.

    Args:
        folder: The model folder.
        config: Of the model.
        check: Whether every byte is looked at, which takes seconds for gigabytes.

    Returns:
        The list of its files.

    Raises:
        WeightsError: If files are missing or not as they were written, or of a newer OpenVINO.
    """
    path = folder / LISTING
    if not path.is_file():
        raise WeightsError(f"{folder}: holds OpenVINO graphs, but no {LISTING} that lists them; {_AGAIN}")
    if (folder / "model.safetensors").exists():
        raise WeightsError(
            f"{folder}: expected OpenVINO graphs or model.safetensors, found both; move one of them away"
        )
    try:
        listing = Listing.model_validate(read_object(path))
    except ValidationError as error:
        raise WeightsError(f"{path}: {first_wrong(error, Listing)}; {_AGAIN}") from error
    if listing.bits not in BITS:
        raise WeightsError(f"{path}: bits: expected {_choice(BITS)}, got {listing.bits}; {_AGAIN}")
    expected = {f"{name}{end}" for name in graph_names(config, listing.tied) for end in (".xml", ".bin")}
    if set(listing.files) != expected:
        wrong = sorted(set(listing.files) ^ expected)
        raise WeightsError(
            f"{path}: files: expected the graphs of config.json, differs in {listed(wrong)}; {_AGAIN}"
        )
    for name, file in listing.files.items():
        _check_file(folder / GRAPHS / name, file, check)
    _check_version(path, listing.openvino)
    return listing


def _check_file(path: Path, file: GraphFile, check: bool) -> None:
    if not path.is_file():
        raise WeightsError(f"{path}: is missing, so the model is not whole; {_AGAIN}")
    size = path.stat().st_size
    if size != file.size_bytes:
        raise WeightsError(f"{path}: expected {file.size_bytes:,} bytes, found {size:,}; {_AGAIN}")
    if check and digest_of(path) != file.sha256:
        raise WeightsError(f"{path}: is not as it was written, some of its bytes have changed; {_AGAIN}")


def _check_version(path: Path, written: str) -> None:
    """Refuse files of a newer release: OpenVINO reads those of older ones, and promises nothing else."""
    here = openvino().__version__
    if _release(written) > _release(here):
        needed = ".".join(map(str, _release(written)))
        raise WeightsError(
            f"{path}: was written by OpenVINO {short(written)} and OpenVINO {short(here)} is installed, which reads "
            f"files of its own time and older; run pip install 'openvino>={needed}', or export the model with the "
            "version that is here"
        )


def short(version: str) -> str:
    """A version without the names of its build."""
    return version.split("-")[0]


def _release(version: str) -> tuple[int, int]:
    year, number = version.split(".")[:2]
    return int(year), int(number)


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def openvino() -> Any:
    """The module, if it is installed. Errors: ArgumentError.

    It and NNCF would report each use to their makers. Where that package cannot be imported, they leave it.
    """
    check_installed(("openvino",))
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def check_installed(names: Sequence[str] = ("openvino", "nncf")) -> None:
    """Raise ArgumentError unless the packages of the extra are there."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ArgumentError(
            f"openvino: expected the extra `openvino`, found no {', '.join(missing)}; run pip install '.[openvino]' in "
            "the folder of the source"
        )


def check_bits(bits: int) -> None:
    """Raise ArgumentError unless weights can be exported with so many bits."""
    if bits not in BITS:
        raise ArgumentError(f"--bits {bits}: expected {_choice(BITS)}")


def _choice(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"

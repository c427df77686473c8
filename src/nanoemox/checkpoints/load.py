"""A model by its name: bundled, a folder or a Hub id; found, looked over and loaded, or refused in one line."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from nanoemox.checkpoints.check_folder import (
    AGAIN,
    check_config,
    check_files,
    check_folder,
    check_kind,
    check_tokenizer,
    check_weights,
)
from nanoemox.checkpoints.check_shapes import check_shapes
from nanoemox.checkpoints.hub import find_part
from nanoemox.checkpoints.names import is_hub_id, no_such_folder
from nanoemox.checkpoints.openvino_folder import is_openvino
from nanoemox.checkpoints.openvino_parts import load_openvino
from nanoemox.checkpoints.releases import LIGHT_MER, RELEASES
from nanoemox.checkpoints.template_trial import check_template
from nanoemox.checkpoints.weight_files import check_dtype, read_object
from nanoemox.files.errors import NanoEmoXError
from nanoemox.files.machine import multiplies_bfloat16, usable_cores
from nanoemox.model.configuration_nanoemox import PRESETS, NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor

BUNDLED = ("pico",)
logger = logging.getLogger(__name__)


def models_folder() -> Path:
    """Where `nanoemox get` puts models, and where they are found by their names; NANOEMOX_HOME names another place."""
    home = os.environ.get("NANOEMOX_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "nanoemox") / "models"


def default_model() -> str:
    """The model of whoever names none: light-mer if it has been fetched, else the bundled one."""
    return LIGHT_MER.name if (models_folder() / LIGHT_MER.name / "config.json").is_file() else BUNDLED[0]


class ModelError(NanoEmoXError):
    """A model that cannot be loaded; the message is one line with the remedy."""


# A folder is complete: nothing is fetched, no code that lies in it is run, and nobody is asked whether to run it.
HERE: Final[dict[str, Any]] = {"local_files_only": True, "trust_remote_code": False}
# What transformers raises for a configuration, a processor or a tokenizer whose JSON files are missing or wrong.
_WRONG_FILES = (OSError, ValueError, KeyError, TypeError, AttributeError, StrictDataclassError)


def load_model(
    name_or_path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    revision: str | None = None,
    check: bool = True,
    answers_only: bool = False,
) -> tuple[NanoEmoXForConditionalGeneration, NanoEmoXProcessor]:
    """Load a model and its processor.

    Args:
        name_or_path: "pico" (it comes with the package), a folder, or a Hub id.
        device: Where the model computes.
        dtype: Of the weights; "auto", that of the files; None takes the best one here, which is logged (`best_dtype`).
        revision: Branch, tag or commit of a Hub id.
        check: Whether every weight is looked at first. It takes seconds for billions of weights, and without it a
            damaged file is noticed only where an answer has no finite numbers left.
        answers_only: Whether a model will do that can answer and nothing else, as exported to OpenVINO.

    Returns:
        The model, ready to answer, and its processor.

    Raises:
        ArgumentError: For an unknown dtype.
        ModelError: If there is no such model, or it does not fit together.
        WeightsError: If its folder is not whole, damaged, or would run code that comes with it.
    """
    name = str(name_or_path)
    check_device(device)
    if isinstance(dtype, str) and dtype != "auto":
        check_dtype(dtype)
    if torch.device(device).type == "cpu":
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))

    # Look at every file before anything is built from it.
    folder = find_folder(name, revision)
    processor = load_processor(folder)
    load_answer_limits(folder)
    config = _read_config(folder)
    if is_openvino(folder):
        if not answers_only:
            raise ModelError(
                f"{folder}: is exported to OpenVINO and can only answer; take the model that it was made of"
            )
        return load_openvino(folder, config, device, dtype, check), processor
    check_weights(folder, config, values=check)

    # Build the model, and fill it.
    if dtype is None:
        dtype, why = best_dtype(config.dtype, device)
        logger.info("%s: %s", name, why)
    try:
        model, report = NanoEmoXForConditionalGeneration.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below
            **HERE,
        )
    except (OSError, SafetensorError) as error:  # the files; whatever else is raised here is a bug
        raise ModelError(_loading_failed(name, error)) from error
    wrong = {key: sorted(report[key]) for key in ("missing_keys", "mismatched_keys") if report.get(key)}
    if wrong:
        found = "; ".join(f"{len(v)} {k.replace('_', ' ')}, such as {_shown(v[0])}" for k, v in wrong.items())
        raise ModelError(
            f"{folder}: the weights do not fit the configuration ({found}); save the model again"
        )
    return model.to(device), processor


def best_dtype(
    stored: torch.dtype | None, device: str | torch.device = "cpu"
) -> tuple[torch.dtype | Literal["auto"], str]:
    """The type in which weights are computed here where nobody names one, and why in a few words.

    Weights in bfloat16 stay so where the processor multiplies them: half of the memory. Where it does not, float32 is
    faster and holds the same values. Weights of float32 would lose half of their digits.

    Args:
        stored: The type of the files.
        device: Where the model computes.

    Returns:
        The type, and what to say about it.
    """
    if torch.device(device).type != "cpu":
        return torch.bfloat16, f"computes in bfloat16 on {device}"
    threads = torch.get_num_threads()
    shown = f"{threads} thread" if threads == 1 else f"{threads} threads"
    if stored is torch.bfloat16 and multiplies_bfloat16():
        return (
            "auto",
            f"computes in bfloat16, as its files, which this processor has instructions for; {shown}",
        )
    if stored is torch.bfloat16 or stored is torch.float16:
        lacking = (
            "has no instructions for bfloat16" if stored is torch.bfloat16 else "computes float16 slowly"
        )
        return torch.float32, f"computes in float32, since this processor {lacking}; {shown}"
    return "auto", f"computes in float32, as its files; {shown}"


def find_folder(name: str, revision: str | None = None, weights: bool = True) -> Path:
    """The folder of a model by its name; only that of a Hub id is downloaded, or taken from the cache.

    Args:
        name: As `load_model` takes it.
        revision: Branch, tag or commit of a Hub id.
        weights: Whether its weights are needed, too.

    Returns:
        The folder.

    Raises:
        NanoEmoXError: If there is no such model.
    """
    place = locate(name)
    return Path(place) if Path(place).is_dir() else find_part(place, revision, weights=weights)


def load_answer_limits(folder: Path) -> dict[str, int] | None:
    """A model's own answer lengths by task; None where it has none. Raises ModelError if they are no numbers."""
    path = folder / "generation_config.json"
    if not path.is_file():
        return None
    limits = read_object(path).get("task_max_new_tokens")
    numbers = limits.values() if isinstance(limits, dict) else [None]
    if limits is not None and not all(type(number) is int and number > 0 for number in numbers):
        raise ModelError(
            f"{folder}: task_max_new_tokens in generation_config.json: expected a whole number above 0 for each task, "
            f"got {limits!r}; correct the file"
        )
    checked: dict[str, int] | None = limits
    return checked


def load_processor(place: str | Path) -> NanoEmoXProcessor:
    """The processor of a model folder. Raises ModelError or WeightsError if files are missing, or do not fit."""
    folder = Path(place)
    check_folder(folder)
    config = _read_config(folder)
    check_files(folder, config)
    try:
        processor: NanoEmoXProcessor = NanoEmoXProcessor.from_pretrained(folder, **HERE)
    except (
        BaseException
    ) as error:  # a tokenizer.json makes its library raise anything, even what is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{folder / 'tokenizer.json'}: loading it failed: {reason}; {AGAIN}") from error
    check_tokenizer(folder / "tokenizer.json", processor.tokenizer, config, processor.end_of_turn)
    template = folder / "chat_template.jinja"
    check_template(template if template.is_file() else folder / "processor_config.json", processor)
    return processor


def load_config(name_or_path: str | Path) -> NanoEmoXConfig:
    """The configuration of any model that `load_model` takes, or of a preset such as "nano"."""
    name = str(name_or_path)
    if name in PRESETS and not Path(name).is_dir():
        folder = Path(str(resources.files("nanoemox") / "weights" / name))
        if not (folder / "config.json").is_file():
            return NanoEmoXConfig.preset(name)
    folder = find_folder(name, weights=False)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{name}: expected a model folder with config.json, found none; check the path")
    return _read_config(folder)


def _read_config(folder: Path) -> NanoEmoXConfig:
    path = folder / "config.json"
    check_kind(path)
    check_config(path)
    try:
        config: NanoEmoXConfig = NanoEmoXConfig.from_pretrained(folder, **HERE)
        check_shapes(config)
    except _WRONG_FILES as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{path}: loading it failed: {reason}; {AGAIN}") from error
    return config


def _loading_failed(name: str, error: BaseException) -> str:
    known = ", ".join(dict.fromkeys([*BUNDLED, *PRESETS]))
    return (
        f"{name}: expected a model ({known}, a folder with config.json, or a Hub id), but loading it failed: "
        f"{' '.join(str(error).split())[:300]}; check the name, or train one with `nanoemox train`"
    )


def locate(name: str) -> str:
    """Where a model lies: the package for a bundled one, else the name itself. Errors: ModelError.

    A folder of the same name comes first if it holds a model; one that holds something else is not in the way.
    """
    if Path(name).is_dir() and (name not in BUNDLED or (Path(name) / "config.json").is_file()):
        return name
    if name in RELEASES:
        folder = models_folder() / name
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{name}: has not been fetched yet (expected it in {folder}); run `nanoemox get {name}` first"
            )
        return str(folder)
    if name not in BUNDLED:
        expected = f"{', '.join(BUNDLED)} (bundled), a folder with config.json, or a Hub id owner/name"
        if not is_hub_id(name):  # the network is not asked
            raise ModelError(no_such_folder(name, expected))
        return name
    folder = Path(str(resources.files("nanoemox") / "weights" / name))
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{name}: its weights are missing from {folder}; install again, or run `make {name}`"
        )
    return str(folder)


def check_device(device: str | torch.device) -> None:
    """Raise ModelError unless torch can compute on this device here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # PyTorch without CUDA only asserts
        reason = " ".join(str(error).split())[:120]
        raise ModelError(
            f"device {device}: cannot be used here ({reason}); take cpu, or cuda where there is one"
        ) from error


def _shown(key: str | tuple[str, Sequence[int], Sequence[int]]) -> str:
    """A parameter's name, with the shapes in the file and in the configuration where they differ."""
    return key if isinstance(key, str) else f"{key[0]}: {list(key[1])} for {list(key[2])}"

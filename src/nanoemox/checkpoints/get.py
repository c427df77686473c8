"""A published model in one step: its checkpoint and backbones, from the Hub or from a folder, become a model folder.

What is fetched goes through the cache of the Hub's own library, which goes on where a download was stopped. The folder
of the model is written whole or not at all, and only after every tensor has found its place.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from nanoemox.checkpoints.assemble import fit_placeholders
from nanoemox.checkpoints.check_shapes import check_shapes
from nanoemox.checkpoints.convert import Base, Conversion, lay_over
from nanoemox.checkpoints.hub import told_in_one_line
from nanoemox.checkpoints.load import models_folder
from nanoemox.checkpoints.pretrained import Part, Source, hub_part, load_tokenizer, plan_part
from nanoemox.checkpoints.provenance import add_steps, assembled
from nanoemox.checkpoints.releases import LICENCES, RELEASES, REVISIONS, Release
from nanoemox.checkpoints.weight_files import (
    TORCH_DTYPES,
    Stored,
    Weights,
    WeightsError,
    check_dtype,
    check_values,
    listed,
    load_pickle,
    open_weights,
    read_object,
)
from nanoemox.files.errors import ArgumentError
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig, preset_fields
from nanoemox.model.parts import parameter_shapes, part_of, skeleton_of
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor

logger = logging.getLogger(__name__)

# What the language models of these releases bring before anything is added to them.
_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_KINDS = {"vision_encoder": ("clip", "clip_vision_model"), "audio_encoder": ("hubert",), "lm": ("qwen3",)}
_OFFLINE = "check the connection, or name a folder that holds the files: --from FOLDER"
_SMALL_FILES = ("*.json", "*.txt", "*.jinja")
_WEIGHTS = (("*.safetensors",), ("pytorch_model*.bin",))
_MODE = "multiface_audio_face_text"  # the form of prompt that is read here


@dataclass(frozen=True)
class Download:
    """What is fetched from one repository of the Hub."""

    repository: str
    revision: str
    files: Mapping[str, int | None]  # path -> bytes
    licence: str

    @property
    def bytes(self) -> int:
        """All of it, as far as sizes are known."""
        return sum(size or 0 for size in self.files.values())


@dataclass(frozen=True)
class Sources:
    """Where the parts of a release lie on this disk, and which revisions they are."""

    checkpoint: Path
    backbones: Mapping[str, Path]
    revisions: Mapping[str, str | None]  # repository -> commit


def release_of(name: str) -> Release:
    """The release of this name. Raises ArgumentError with the names there are."""
    if name not in RELEASES:
        raise ArgumentError(f"{name}: expected one of {', '.join(RELEASES)}")
    return RELEASES[name]


# ---------------------------------------------------------------------- from the Hub
def downloads(release: Release, revisions: Mapping[str, str] | None = None) -> list[Download]:
    """What has to be fetched for a release, with the sizes that the Hub states.

    Args:
        release: The release.
        revisions: Repository -> branch, tag or commit, in place of the pinned one.

    Returns:
        One entry for each repository, the checkpoint's first.

    Raises:
        WeightsError: If the Hub cannot be asked, or lacks a file.
    """
    from huggingface_hub import HfApi

    pinned = {**REVISIONS, **(revisions or {})}
    found = []
    for repository in (release.repository, *release.backbones.values()):
        with told_in_one_line(repository, pinned.get(repository), _OFFLINE):
            info = HfApi().model_info(repository, revision=pinned.get(repository), files_metadata=True)
        sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or ()}
        wanted = [release.file] if repository == release.repository else _wanted(list(sizes))
        missing = [name for name in (wanted or ["weights"]) if name not in sizes]
        if missing:
            raise WeightsError(
                f"{repository}: expected {listed(missing, 3)} there, found {listed(sizes, 6) or 'nothing'}; its makers "
                "have moved the file: fetch it by hand, and name its folder with --from"
            )
        found.append(
            Download(
                repository,
                info.sha or pinned.get(repository) or "main",
                {name: sizes[name] for name in wanted},
                LICENCES.get(repository, "not known"),
            )
        )
    return found


def _wanted(names: Sequence[str]) -> list[str]:
    """The files of a backbone's repository that are read: those at its top, and one kind of weights."""
    top = [name for name in names if "/" not in name]
    weights: list[str] = []
    for patterns in _WEIGHTS:
        weights = weights or [name for name in top if any(fnmatch(name, p) for p in patterns)]
    small = [name for name in top if any(fnmatch(name, pattern) for pattern in _SMALL_FILES)]
    return [*small, *weights] if weights else []


def fetch(release: Release, wanted: Sequence[Download]) -> Sources:
    """Fetch what `downloads` lists, or take it from the cache.

    Args:
        release: The release.
        wanted: What is fetched.

    Returns:
        Where it lies.

    Raises:
        WeightsError: If the connection fails; what has come stays in the cache, and the next run goes on there.
    """
    from huggingface_hub import hf_hub_download

    places: dict[str, Path] = {}
    for download in wanted:
        for name in download.files:
            logger.info("fetching %s/%s", download.repository, name)
            with told_in_one_line(f"{download.repository}/{name}", download.revision, _OFFLINE):
                path = Path(hf_hub_download(download.repository, name, revision=download.revision))
            places[download.repository] = path if download.repository == release.repository else path.parent
    return Sources(
        places[release.repository],
        {part: places[repository] for part, repository in release.backbones.items()},
        {download.repository: download.revision for download in wanted},
    )


# ---------------------------------------------------------------------- from a folder
def find_sources(release: Release, folder: Path) -> Sources:
    """The parts of a release in a folder, wherever in it they lie.

    Args:
        release: The release.
        folder: The folder, such as one with copies of the repositories.

    Returns:
        Where they lie.

    Raises:
        WeightsError: If a part is missing, or there are several that could be meant.
    """
    if not folder.is_dir():
        raise WeightsError(
            f"{folder}: no such folder; name the one that holds the checkpoint and its backbones"
        )
    backbones: dict[str, Path] = {}
    configs = sorted(path for path in folder.rglob("config.json") if path.is_file())
    kinds = {path: read_object(path).get("model_type") for path in configs}
    for part, repository in release.backbones.items():
        fitting = [path.parent for path, kind in kinds.items() if kind in _KINDS[part]]
        backbones[part] = _only(folder, fitting, repository, f"a folder of {repository} with config.json")
    inside = set(backbones.values())
    checkpoints = [
        path for path in sorted(folder.rglob("*.pth")) if path.is_file() and not inside & set(path.parents)
    ]
    checkpoint = _only(folder, checkpoints, release.file, release.file)
    return Sources(checkpoint, backbones, {})


def _only(folder: Path, found: Sequence[Path], name: str, expected: str) -> Path:
    """The one path that is meant: the only one, or the one that lies under the right name."""
    if not found:
        raise WeightsError(f"{folder}: expected {expected}, found none; copy it there")
    if len(found) == 1:
        return found[0]
    last = name.rpartition("/")[2]
    called = [
        path
        for path in found
        if re.search(rf"(^|/|--){re.escape(last)}($|/)", path.relative_to(folder).as_posix())
    ]
    if len(called) != 1:
        places = listed((path.relative_to(folder).as_posix() for path in found), 4)
        raise WeightsError(
            f"{folder}: expected one {last}, found {len(found)} that could be it ({places}); call one of them {last}, "
            "or leave the others out"
        )
    return called[0]


# ---------------------------------------------------------------------- the model folder
def get(
    name: str,
    out: str | Path | None = None,
    *,
    source: str | Path | None = None,
    wanted: Sequence[Download] | None = None,
    dtype: str | None = None,
    pieces: Mapping[str, Any] | None = None,
) -> tuple[Path, Conversion]:
    """Make the model folder of a release.

    Args:
        name: One of RELEASES.
        out: The folder to write, which must not exist yet. None: where the other commands find the model by its name;
            a model that is there is replaced.
        source: A folder that holds the checkpoint and its backbones. None: they are fetched from the Hub.
        wanted: What `downloads` has returned; None asks the Hub.
        dtype: Of all weights: "float32", "bfloat16" or "float16". None: the release's own.
        pieces: The prompts as ids of another vocabulary than Qwen3's.

    Returns:
        The folder, and what became of every tensor.

    Raises:
        ArgumentError: For an unknown name or type.
        WeightsError: If a part is missing, damaged, or does not fit the others.
    """
    release = release_of(name)
    dtype = dtype or release.dtype
    check_dtype(dtype)
    if source is not None:
        sources = find_sources(release, Path(source))
    else:
        sources = fetch(release, downloads(release) if wanted is None else wanted)
    place = models_folder() / name if out is None else Path(out)
    return place, build(release, sources, place, dtype, pieces, replace=out is None)


def build(
    release: Release,
    sources: Sources,
    out: Path,
    dtype: str,
    pieces: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> Conversion:
    """Lay the checkpoint over its backbones and write the model folder.

    Args:
        release: The release.
        sources: Its parts.
        out: The folder to write.
        dtype: Of all weights.
        pieces: The prompts as ids of another vocabulary than Qwen3's.
        replace: Whether `out` may be there already.

    Returns:
        What became of every tensor.

    Raises:
        WeightsError: If the parts are damaged, or do not fit each other.
    """
    with ExitStack() as stack:
        # The checkpoint says what it was trained on; another one is told before billions of weights are read.
        rank_layers = check_checkpoint(release, sources.checkpoint)

        # The backbones make the configuration, and give the tensors that the checkpoint does not hold.
        parts = [
            Part(
                part,
                Source(repository, sources.revisions.get(repository)),
                sources.backbones[part],
                config=hub_part(part, str(sources.backbones[part]), None).config,
            )
            for part, repository in release.backbones.items()
        ]
        config = _configuration(release, parts)
        if rank_layers != config.text_config.num_hidden_layers:
            raise WeightsError(
                f"{sources.checkpoint}: expected LoRA for the {config.text_config.num_hidden_layers} layers of "
                f"{sources.backbones['lm']}, found it for {rank_layers}; take the backbone that it was trained on, "
                f"{release.backbones['lm']}"
            )
        add_steps(config, [assembled({part.part: part.source.name for part in parts})])
        tokenizer = _tokenizer(sources.backbones["lm"], release)
        rows = fit_placeholders(config, tokenizer)
        if rows is not None:
            raise WeightsError(
                f"{sources.backbones['lm']}: expected spare rows for our placeholders, but its table of {rows} rows "
                "has none; take the language model that the checkpoint was trained on"
            )
        skeleton = skeleton_of(config)
        shapes = parameter_shapes(skeleton)
        stored: dict[str, Stored] = {}
        for part in parts:
            weights = stack.enter_context(open_weights(part.place))
            mine = {name: shape for name, shape in shapes.items() if part_of(name) == part.part}
            logger.info("%s: %s", part.part, part.source.name)
            plan = plan_part(part, mine, weights)
            check_values(weights)
            stored |= {ours: _as(weights, theirs, TORCH_DTYPES[dtype]) for ours, (theirs, _) in plan.items()}

        # The rest is the conversion of any checkpoint.
        base = Base(
            name=release.backbones["lm"],
            place=sources.backbones["lm"],
            config=config,
            processor=NanoEmoXProcessor.from_config(config, tokenizer),
            weights=stored,
            assembly={
                "sources": {part.part: asdict(part.source) for part in parts},
                "dtype": dtype,
                "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            },
            top_k=_top_k(sources.backbones["lm"]),
        )
        about = release.to_dict() | {"revision": sources.revisions.get(release.repository)}
        return lay_over(
            [sources.checkpoint],
            base,
            out,
            dtype=TORCH_DTYPES[dtype],
            pieces=pieces,
            extra={"release.json": about},
            replace=replace,
        )


def check_checkpoint(release: Release, path: Path) -> int:
    """Refuse a checkpoint of another model; one that is whole has LoRA for each projection of each layer.

    Args:
        release: The release.
        path: Its checkpoint.

    Returns:
        The number of layers with LoRA.

    Raises:
        WeightsError: If it is damaged, or of another model.
    """
    found = load_pickle(path)
    config = found.get("config") if isinstance(found, dict) else None
    model = config.get("model") if isinstance(config, Mapping) else None
    for key, expected in release.backbone_names.items():
        stated = model.get(key) if isinstance(model, Mapping) else None
        if stated is not None and stated != expected:
            raise WeightsError(
                f"{path}: expected a checkpoint that was trained with {expected} ({release.name}), got one with "
                f"{stated!s:.60}; take {release.file} of {release.repository}"
            )
    datasets = config.get("datasets") if isinstance(config, Mapping) else None
    for name, data in datasets.items() if isinstance(datasets, Mapping) else ():
        mode = data.get("face_or_frame", _MODE) if isinstance(data, Mapping) else _MODE
        if mode != _MODE:
            raise WeightsError(
                f"{path}: expected a model of {_MODE}, got {mode!s:.60} (config.datasets.{name}.face_or_frame); only "
                "that form of its prompts can be read"
            )
    with open_weights(path, "model") as weights:
        layers: dict[int, set[str]] = {}
        for key in weights:
            if match := re.search(r"\.layers\.(\d+)\.(.+)\.lora_[AB]\.", key):
                layers.setdefault(int(match[1]), set()).add(match[2])
    thin = [number for number, modules in sorted(layers.items()) if len(modules) < 7]
    if not layers or thin or set(layers) != set(range(len(layers))):
        what = f"layer {thin[0]} has {len(layers[thin[0]])}" if thin else f"there are {len(layers)} layers"
        raise WeightsError(
            f"{path}: expected LoRA for seven projections of each layer, but {what}; it is another model, or another "
            f"revision of it: take {release.file} of {release.repository}"
        )
    return len(layers)


def _configuration(release: Release, parts: Sequence[Part]) -> NanoEmoXConfig:
    """The sizes of the backbones, in AffectGPT's form."""
    keys = {"vision_encoder": "vision_config", "audio_encoder": "audio_config", "lm": "text_config"}
    own = {keys[part.part]: part.config for part in parts}
    try:
        config = NanoEmoXConfig(**preset_fields("light-mer") | own)
        check_shapes(config)
    except ValueError as error:
        places = ", ".join(str(part.place) for part in parts)
        raise WeightsError(
            f"{places}: are not the backbones of {release.name} ({' '.join(str(error).split())[:200]}); expected "
            f"{', '.join(release.backbones.values())}"
        ) from error
    return config


def _tokenizer(place: Path, release: Release) -> Any:
    """The language model's tokenizer, which has to bring the tokens that were added to it before its own training."""
    tokenizer = load_tokenizer(place)
    known = tokenizer.get_vocab()
    missing = [token for token in _TOKENS if token not in known]
    if missing:
        raise WeightsError(
            f"{place}: its tokenizer lacks {', '.join(missing)} (expected that of {release.backbones['lm']}); copy "
            "tokenizer.json and tokenizer_config.json again"
        )
    return tokenizer


def _top_k(place: Path) -> int:
    """From how many tokens the official code draws, which no one states: the language model's own habit, else 50."""
    path = place / "generation_config.json"
    top_k = read_object(path).get("top_k") if path.is_file() else None
    return top_k if isinstance(top_k, int) and not isinstance(top_k, bool) and 0 < top_k < 1_000_000 else 50


def _as(weights: Weights, name: str, dtype: torch.dtype) -> Stored:
    """A tensor of a source in another type, read when it is asked for."""
    stored = weights[name]

    def read() -> Tensor:
        return stored.read().to(dtype)

    return Stored(stored.shape, dtype, read)


def described(release: Release, wanted: Sequence[Download], place: Path) -> Iterator[str]:
    """What will be fetched and written, line by line, for whoever starts it.

    Args:
        release: The release.
        wanted: What `downloads` has returned.
        place: The folder to write.

    Yields:
        The lines.
    """
    yield f"{release.name}: {release.title} ({release.paper})"
    for download in wanted:
        yield f"  {download.repository} at {download.revision[:12]}, licence: {download.licence}"
        for name, size in download.files.items():
            yield f"    {name}" + (f", {_size(size)}" if size is not None else "")
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HF_HOME") or "~/.cache/huggingface"
    yield f"  together {_size(sum(download.bytes for download in wanted))} into {cache}; the model goes to {place}"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"

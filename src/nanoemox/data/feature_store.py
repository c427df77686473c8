"""The frozen encoders' outputs, kept because no phase ever trains the encoders: what is stored, and when it is stale.

A store is a folder: `store.json` says whose features they are (hashes of the encoders and of the preparation of media)
and in which precision, shards `shard-*.safetensors` hold them one clip after another, each with the list of its clips
in its own header, `aliases.json` names clips that came under several ids. A clip is known by the hash of its media,
so a changed file, other encoders or another preparation are noticed and refused by name. `encoding` fills a store.
Letters: n clips, T frames, C audio windows, D width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nanoemox.data.records import content_hash
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.media.clip import (
    AUDIO_WINDOW_S,
    AUDIO_WINDOWS,
    FRAMES_PER_CLIP,
    SAMPLE_RATE_HZ,
)
from nanoemox.model.configuration_nanoemox import ENCODERS, NanoEmoXConfig

if TYPE_CHECKING:
    from nanoemox.data.schema import Record
    from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration

VERSION = 3
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class StaleStoreError(NanoEmoXError):
    """Stored features that do not belong to this model or to these files; the message names the store."""


class Origin(NamedTuple):
    """What features depend on beside their clip: hashes of the encoders and of the preparation of media."""

    encoders: str
    preparation: str


def origin_of(model: NanoEmoXForConditionalGeneration, processor: Any) -> Origin:
    """Hashes of the encoders' weights and the layers read from them, and of what makes tensors of a clip."""
    digest = hashlib.sha256()
    parts = model.parts()
    for part in ENCODERS:
        if part not in parts:  # a model without a face branch
            continue
        if not any(weights.numel() for weights in parts[part].parameters()):
            raise ArgumentError(
                "features: the encoders of this model hold no weights, as those exported to OpenVINO, and it can only "
                "answer; take the model that it was made of"
            )
        for name, value in sorted(parts[part].state_dict().items()):
            digest.update(f"{part}.{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    config = model.config
    layers = [
        config.vision_feature_layer,
        config.audio_feature_layers,
        *(layer for read in config.read_fusion_layers for layer in read),
    ]
    digest.update(json.dumps(layers).encode())
    prepared: list[Any] = [FRAMES_PER_CLIP, AUDIO_WINDOWS, AUDIO_WINDOW_S, SAMPLE_RATE_HZ, processor.compat]
    prepared += [processor.pictures] if processor.pictures else []
    for name in ("image_processor", "face_image_processor", "feature_extractor"):
        settings = getattr(processor, name).to_dict().items()
        prepared.append(
            {k: str(v) for k, v in sorted(settings) if not k.startswith("_") and k != "processor_class"}
        )
    preparation = hashlib.sha256(json.dumps(prepared).encode()).hexdigest()
    return Origin(digest.hexdigest()[:32], preparation[:32])


def clip_shapes(config: NanoEmoXConfig) -> dict[str, tuple[int, int]]:
    """Features of a clip with pictures and sound -> (T or C, D) by name: what one clip takes in a store."""
    video, audio = config.vision_config.hidden_size, config.audio_config.hidden_size
    shapes = {
        "video_features": (FRAMES_PER_CLIP, config.video_width),
        "audio_features": (AUDIO_WINDOWS, audio),
    }
    of_video, of_audio = config.read_fusion_layers
    if of_video:
        shapes["video_fusion_features"] = (FRAMES_PER_CLIP, len(of_video) * video)
        shapes["audio_fusion_features"] = (AUDIO_WINDOWS, len(of_audio) * audio)
    if config.face_tokens:
        shapes["face_features"] = (FRAMES_PER_CLIP, config.face_width)
    return shapes


def clip_bytes(config: NanoEmoXConfig, dtype: str = "float32") -> int:
    """Bytes that one clip with pictures and sound takes in a store, its line in the index left aside."""
    return sum(rows * width for rows, width in clip_shapes(config).values()) * DTYPES[dtype].itemsize


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object of a store. Raises StaleStoreError where a disk or a person has damaged it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise StaleStoreError(
            f"{path}: is damaged ({error}); remove the folder and compute it again"
        ) from error
    if not isinstance(found, dict):
        raise StaleStoreError(
            f"{path}: is damaged (expected an object, got {type(found).__name__}); remove the folder and compute "
            "it again"
        )
    return found


def _clips_of(shard: Path) -> list[dict[str, Any]]:
    """The list of clips in a shard's own header. Raises StaleStoreError where the shard is damaged."""
    try:
        with safe_open(shard, framework="pt") as file:
            return list(json.loads(file.metadata()["clips"]))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:  # no metadata at all is a TypeError
        raise StaleStoreError(
            f"{shard}: is damaged ({' '.join(str(error).split())}); remove it and compute its clips again"
        ) from error


class FeatureStore:
    """Stored features by record id: `store[id]` -> {name: float32 Tensor [T or C, D]}, absent modalities missing.

    Only what is asked for is read from disk, so memory does not grow with the corpus.
    """

    def __init__(self, folder: str | Path, origin: Origin | None = None) -> None:
        self.folder = Path(folder)
        # Read the header.
        header = self.folder / "store.json"
        if not header.is_file():
            raise ArgumentError(
                f"{self.folder}: expected a feature store, but there is no store.json; compute it"
            )
        self.header = _read_object(header)
        if self.header.get("version") != VERSION:
            raise StaleStoreError(
                f"{self.folder}: expected a store of version {VERSION}, got {self.header.get('version')}; remove it"
            )
        missing = {"encoders", "preparation", "dtype"} - self.header.keys()
        if missing:
            raise StaleStoreError(
                f"{header}: is damaged (there is no {', '.join(sorted(missing))}); remove the folder and compute it "
                "again"
            )

        # Refuse features that another model or another preparation has made.
        self.origin = Origin(self.header["encoders"], self.header["preparation"])
        for what, stored, asked in zip(
            ("encoders", "preparation of media"), self.origin, origin or self.origin, strict=True
        ):
            if stored != asked:
                raise StaleStoreError(
                    f"{self.folder}: these features come from other {what} (store {stored[:12]}, "
                    f"model {asked[:12]}); remove the folder or name another one"
                )

        # List what the shards hold, without reading any features.
        self.unreadable: dict[str, str] = {}  # record id -> why it has no features, of the last computation
        self.content: dict[str, str] = {}  # record id -> content
        self._place: dict[
            str, tuple[int, Mapping[str, tuple[int, int]]]
        ] = {}  # content -> shard, rows by name
        self._shards: list[Path] = sorted(self.folder.glob("shard-*.safetensors"))
        self._open: dict[int, Any] = {}
        for number, path in enumerate(self._shards):
            for entry in _clips_of(path):
                self._place[entry["content"]] = (number, entry["rows"])
                self.content[entry["id"]] = entry["content"]

        # Other ids of the same clips.
        aliases = self.folder / "aliases.json"
        if aliases.is_file():
            self.content |= _read_object(aliases)

    def __len__(self) -> int:
        return len(self.content)

    def __contains__(self, record_id: str) -> bool:
        return record_id in self.content

    def __getitem__(self, record_id: str) -> dict[str, Tensor]:
        if record_id not in self.content:
            raise KeyError(f"{self.folder}: no features of {record_id!r}; compute them for its manifest")
        number, rows = self._place[self.content[record_id]]
        if number not in self._open:
            self._open[number] = safe_open(self._shards[number], framework="pt")
        file = self._open[number]
        return {name: file.get_slice(name)[start:stop].float() for name, (start, stop) in rows.items()}

    def knows(self, content: str) -> bool:
        """Whether features of a clip with this content are stored, under any id."""
        return content in self._place

    def check(self, records: Iterable[Record]) -> None:
        """Find each record by its content, whatever its id; a file that is gone is taken to be as it was.

        Errors: StaleStoreError, naming the first record whose file is not the one its features come from.
        """
        for record in records:
            try:
                content = content_hash(record)
            except OSError:
                continue
            if self.knows(content):
                self.content[record.id] = content
            elif record.id in self.content:
                raise StaleStoreError(
                    f"{self.folder}: the file of {record.id} is not the one its features come from; compute them again"
                )

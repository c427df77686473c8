"""The frozen encoders' outputs, computed once per clip and kept, because no phase ever trains the encoders.

A store is a folder: `store.json` says whose features they are (a hash over the encoders' weights and the processor's
preparation), shards `shard-*.safetensors` hold them, stacked, each with the list of its clips in its own header. A
clip is known by the hash of its file, so a changed file or a changed encoder is noticed and refused by name.
Letters: n clips, T frames, C audio clips, D width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from nanoemox.configuration_nanoemox import NanoEmoXConfig
from nanoemox.encoders import FEATURE_NAMES
from nanoemox.media import Clip, MediaError, cropped, empty_clip, load_clip, load_frames_dir
from nanoemox.parts import ENCODERS

if TYPE_CHECKING:
    from nanoemox.data import Record

VERSION = 1
SHARD_CLIPS = 256
_OF_VIDEO = ("video_features", "video_taps", "face_features")


class StaleStoreError(ValueError):
    """Stored features that do not belong to this model or to these files; the message names the store."""


def encoder_hash(model: nn.Module, processor: Any = None) -> str:
    """What the features depend on: the encoders' weights, the layers read from them, the preparation of media."""
    digest = hashlib.sha256()
    for part in ENCODERS:
        for name, value in sorted(getattr(model, part).state_dict().items()):
            digest.update(f"{part}.{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    config = cast(NanoEmoXConfig, model.config)
    layers = [
        config.vision_feature_layer,
        config.audio_feature_layers,
        *config.vision_taps,
        *config.audio_taps,
    ]
    digest.update(json.dumps(layers).encode())
    if processor is not None:
        for name in ("image_processor", "face_image_processor", "feature_extractor"):
            settings = getattr(processor, name).to_dict()
            kept = {
                k: str(v)
                for k, v in sorted(settings.items())
                if not k.startswith("_") and k != "processor_class"
            }
            digest.update(json.dumps(kept).encode())
        digest.update((processor.compat or "").encode())
    return digest.hexdigest()[:32]


def load_record(record: Record, compat: Literal["published"] | None = None) -> Clip:
    """The media of one manifest line; `compat` as in `load_clip`. Errors: MediaError."""
    cut: dict[str, Any] = {"start_s": record.start_s, "end_s": record.end_s, "compat": compat}
    if record.frames_dir:
        return cropped(load_frames_dir(record.frames_dir, audio=record.audio, **cut), record.person_box)
    path = record.video or record.image
    if path:
        return cropped(load_clip(path, audio=record.audio, **cut), record.person_box)
    return load_clip(record.audio, **cut) if record.audio else empty_clip("the manifest names no media")


def content_hash(record: Record) -> str:
    """The media of a manifest line: the bytes of its files and the part that is cut out of them."""
    digest = hashlib.sha256()
    for kind in ("video", "frames_dir", "image", "audio"):
        path = getattr(record, kind)
        if path is None:
            continue
        digest.update(kind.encode())
        for file in sorted(Path(path).iterdir()) if Path(path).is_dir() else [Path(path)]:
            digest.update(file.read_bytes())
    digest.update(json.dumps([record.start_s, record.end_s]).encode())
    if record.person_box is not None:
        digest.update(json.dumps(record.person_box).encode())
    return digest.hexdigest()[:32]


class FeatureStore:
    """Stored features by record id: `store[id]` -> {name: Tensor [T or C, D]}, absent modalities missing."""

    def __init__(self, folder: str | Path, encoder: str | None = None) -> None:
        self.folder = Path(folder)
        header = self.folder / "store.json"
        if not header.is_file():
            raise FileNotFoundError(
                f"{self.folder}: expected a feature store, but there is no store.json; compute it"
            )
        self.header = json.loads(header.read_text(encoding="utf-8"))
        if self.header.get("version") != VERSION:
            raise StaleStoreError(
                f"{self.folder}: expected a store of version {VERSION}, got {self.header.get('version')}; remove it"
            )
        if encoder is not None and encoder != self.header["encoder"]:
            raise StaleStoreError(
                f"{self.folder}: these features come from other encoders (store {self.header['encoder'][:12]}, "
                f"model {encoder[:12]}); remove the folder or name another one"
            )
        self.content: dict[str, str] = {}  # record id -> content
        self._place: dict[
            str, tuple[int, int, list[str]]
        ] = {}  # content -> shard, row, names of its features
        self._shards: list[Path] = sorted(self.folder.glob("shard-*.safetensors"))
        self._open: dict[int, dict[str, Tensor]] = {}
        for number, path in enumerate(self._shards):
            with safe_open(path, framework="pt") as file:
                rows = json.loads(file.metadata()["rows"])
            for row, entry in enumerate(rows):
                self._place[entry["content"]] = (number, row, entry["names"])
                self.content[entry["id"]] = entry["content"]
        aliases = self.folder / "aliases.json"
        if aliases.is_file():
            self.content |= json.loads(aliases.read_text(encoding="utf-8"))

    def __len__(self) -> int:
        return len(self.content)

    def __contains__(self, record_id: str) -> bool:
        return record_id in self.content

    def __getitem__(self, record_id: str) -> dict[str, Tensor]:
        if record_id not in self.content:
            raise KeyError(f"{self.folder}: no features of {record_id!r}; compute them for its manifest")
        number, row, names = self._place[self.content[record_id]]
        if number not in self._open:
            with safe_open(self._shards[number], framework="pt") as file:
                self._open[number] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return {name: self._open[number][name][row].float() for name in names}

    def knows(self, content: str) -> bool:
        """Whether features of a clip with this content are stored, under any id."""
        return content in self._place

    def check(self, records: Iterable[Record]) -> None:
        """Raise StaleStoreError, naming the first record whose file is not the one its features come from."""
        for record in records:
            if record.id in self.content and self.content[record.id] != content_hash(record):
                raise StaleStoreError(
                    f"{self.folder}: the file of {record.id} is not the one its features come from; compute them again"
                )


def compute_features(
    records: Sequence[Record],
    model: Any,
    processor: Any,
    out_dir: str | Path,
    workers: int = 2,
    batch_size: int = 16,
    media: Callable[[Record], Mapping[str, Tensor]] | None = None,
    bf16: bool = False,
) -> FeatureStore:
    """Encode the clips that the store does not hold yet; a killed run goes on after its last whole shard.

    Args:
        records: manifest lines. workers: processes that decode files (0: this one).
        media: record -> tensors for `model.encode`, when the clips are decoded already.
        bf16: compute in bfloat16 where that is safe (autocast), about twice as fast.
    Errors: StaleStoreError if `out_dir` holds features of other encoders. A clip that cannot be read is named in
    `unreadable.json` and has no features.
    """
    out_dir, encoder = Path(out_dir), encoder_hash(model, processor)
    out_dir.mkdir(parents=True, exist_ok=True)
    if not (out_dir / "store.json").is_file():
        _write(out_dir / "store.json", {"version": VERSION, "encoder": encoder, "names": list(FEATURE_NAMES)})
    store = FeatureStore(out_dir, encoder)
    contents = {record.id: content_hash(record) for record in records}
    seen: set[str] = set()
    todo = []
    for record in records:
        content = contents[record.id]
        if not store.knows(content) and content not in seen:
            seen.add(content)
            todo.append(record)
    unreadable: dict[str, str] = {}
    number = (
        max((int(p.stem.rpartition("-")[2]) for p in out_dir.glob("shard-*.safetensors")), default=-1) + 1
    )
    was_training = model.training
    model.eval()
    with tqdm(total=len(records), initial=len(records) - len(todo), desc="features", unit="clip") as bar:
        for start in range(0, len(todo), SHARD_CLIPS):
            rows: list[tuple[dict[str, str], dict[str, Tensor]]] = []
            part = todo[start : start + SHARD_CLIPS]
            for batch in _batches(_media(part, processor, workers, media), batch_size):
                readable = [(record, tensors) for record, tensors in batch if not isinstance(tensors, str)]
                unreadable |= {record.id: tensors for record, tensors in batch if isinstance(tensors, str)}
                for record, features in _encode(model, readable, bf16):
                    rows.append(({"id": record.id, "content": contents[record.id]}, features))
                bar.update(len(batch))
            _write_shard(out_dir / f"shard-{number:05d}.safetensors", rows)
            number += 1
    model.train(was_training)
    if unreadable:
        _write(out_dir / "unreadable.json", unreadable)
    store = FeatureStore(out_dir, encoder)
    aliases = {i: c for i, c in contents.items() if store.knows(c) and store.content.get(i) != c}
    if aliases:
        path = out_dir / "aliases.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        _write(path, known | aliases)
        store = FeatureStore(out_dir, encoder)
    return store


def _media(
    records: Sequence[Record],
    processor: Any,
    workers: int,
    media: Callable[[Record], Mapping[str, Tensor]] | None,
) -> Iterator[tuple[Record, Mapping[str, Tensor] | str]]:
    """Each record with its tensors in order, or with the reason why it cannot be read."""
    if media is not None:
        yield from ((record, media(record)) for record in records)
        return
    from torch.utils.data import DataLoader

    loader = DataLoader(
        _Files(records, processor),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )
    yield from zip(records, loader, strict=True)


class _Files(torch.utils.data.Dataset[Any]):
    def __init__(self, records: Sequence[Record], processor: Any) -> None:
        self.records, self.processor = records, processor

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Mapping[str, Tensor] | str:
        try:
            return self.processor.media(load_record(self.records[index], self.processor.compat))
        except MediaError as error:
            return str(error)


def _encode(
    model: Any, batch: Sequence[tuple[Record, Mapping[str, Tensor]]], bf16: bool
) -> Iterator[tuple[Record, dict[str, Tensor]]]:
    """Clips with the same media go through the encoders together."""
    kinds: dict[tuple[str, ...], list[tuple[Record, Mapping[str, Tensor]]]] = {}
    for record, tensors in batch:
        kinds.setdefault(tuple(sorted(tensors)), []).append((record, tensors))
    for names, group in kinds.items():
        stacked = {
            name: torch.stack([tensors[name] for _, tensors in group]).to(model.device) for name in names
        }
        kind = model.device.type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=bf16):
            features = {name: value.float().cpu() for name, value in model.encode(**stacked).items()}
        for row, (record, _) in enumerate(group):
            yield record, {name: value[row] for name, value in features.items()}


def _write_shard(path: Path, rows: Sequence[tuple[dict[str, str], dict[str, Tensor]]]) -> None:
    if not rows:
        return
    tensors, entries = {}, []
    for name in FEATURE_NAMES:
        like = next((features[name] for _, features in rows if name in features), None)
        if like is not None:
            tensors[name] = torch.stack([features.get(name, torch.zeros_like(like)) for _, features in rows])
    for entry, features in rows:
        entries.append({**entry, "names": [name for name in FEATURE_NAMES if name in features]})
    temporary = path.with_suffix(".unfinished")
    save_file(tensors, temporary, metadata={"rows": json.dumps(entries)})
    temporary.replace(path)


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(path: Path, value: Any) -> None:
    temporary = path.with_name(f".{path.name}.unfinished")
    temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    temporary.replace(path)

"""Fill a feature store: every clip through the frozen encoders, once.

Files are hashed by threads and decoded by processes while the encoders work on the batch before. A killed run goes
on after its last whole shard, and a clip that the store knows by its content is not computed again, under whatever
id it comes. A clip that cannot be read is named and has no features; it is never replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from nanoemox.data.feature_store import DTYPES, VERSION, FeatureStore, Origin, StaleStoreError, origin_of
from nanoemox.data.records import content_hash, load_record
from nanoemox.files.atomic import UNFINISHED, whole_file, write_json
from nanoemox.files.errors import ArgumentError
from nanoemox.files.workers import check_workers_start
from nanoemox.media.untrusted import MediaError
from nanoemox.model.configuration_nanoemox import ENCODERS
from nanoemox.model.encoders import FEATURE_NAMES

if TYPE_CHECKING:
    from nanoemox.data.schema import Record

SHARD_CLIPS = 256
_HASHING_THREADS = 8
MediaOf = Callable[["Record"], Mapping[str, Tensor]]


def extract_features(
    records: Sequence[Record],
    model: Any,
    processor: Any,
    out_dir: str | Path,
    workers: int = 2,
    batch_size: int = 16,
    media: MediaOf | None = None,
    bf16: bool = False,
    dtype: str | None = None,
) -> FeatureStore:
    """Encode the clips that the store does not hold yet.

    Args:
        records: Manifest lines.
        model: The model whose frozen encoders compute.
        processor: Makes tensors of clips, as that model needs them.
        out_dir: The store; it is made if it is not there.
        workers: Processes that decode files; 0 decodes in this process.
        batch_size: How many clips are encoded at once.
        media: Record -> tensors for `model.encode`, when the clips are decoded already.
        bf16: Compute in bfloat16 where that is safe (autocast), about twice as fast.
        dtype: Store "float32" or "bfloat16"; None, as the store that is there, else float32. Without `bf16`, what is
            stored in float32 is computed in float32, whatever the model's precision.

    Returns:
        The store. Clips that cannot be read are in its `unreadable`, and in `unreadable.json`.

    Raises:
        StaleStoreError: If `out_dir` holds features of other encoders, or in another precision.
        MediaError: If a clip made its decoder crash.
        WorkersError: If the processes cannot be started. A script that calls this has to do so under
            `if __name__ == "__main__":`, or with workers=0.
    """
    out_dir = Path(out_dir)
    store = _opened(out_dir, origin_of(model, processor), dtype)
    contents, unreadable = _contents(records, store)
    first: dict[str, Record] = {}
    for record in records:
        if record.id in contents:
            first.setdefault(contents[record.id], record)
    todo = [record for content, record in first.items() if not store.knows(content)]
    last = (int(path.stem.rpartition("-")[2]) for path in out_dir.glob("shard-*.safetensors"))
    number = max(last, default=-1) + 1
    was_training = model.training
    model.eval()
    exact = store.header["dtype"] == "float32" and not bf16
    with (
        encoders_in_float32(model, exact),
        tqdm(total=len(records), initial=len(records) - len(todo), desc="features", unit="clip") as bar,
    ):
        clips: list[tuple[dict[str, str], dict[str, Tensor]]] = []
        for batch in _batches(_media(todo, processor, workers, media), batch_size):
            unreadable |= {record.id: tensors for record, tensors in batch if isinstance(tensors, str)}
            readable = [(record, tensors) for record, tensors in batch if not isinstance(tensors, str)]
            for record, features in _encode(model, readable, bf16):
                clips.append(({"id": record.id, "content": contents[record.id]}, features))
            bar.update(len(batch))
            if len(clips) >= SHARD_CLIPS:
                _write_shard(out_dir / f"shard-{number:05d}.safetensors", clips, store.header["dtype"])
                number, clips = number + 1, []
        _write_shard(out_dir / f"shard-{number:05d}.safetensors", clips, store.header["dtype"])
    model.train(was_training)
    return _closed(out_dir, contents, unreadable)


@contextmanager
def encoders_in_float32(model: Any, wanted: bool = True) -> Iterator[None]:
    """Let a model's encoders compute in float32 for a while; afterwards they hold the very weights of before."""
    parts = [part for name, part in model.parts().items() if name in ENCODERS] if wanted else []
    tensors = [value for part in parts for value in (*part.parameters(), *part.buffers())]
    rounded = [(value, value.data) for value in tensors if value.is_floating_point()]
    for value, _ in rounded:
        value.data = value.data.float()
    try:
        yield
    finally:
        for value, before in rounded:
            value.data = before


def _opened(out_dir: Path, origin: Origin, dtype: str | None) -> FeatureStore:
    """The store, made if there is none, without what a killed run left behind."""
    if dtype is not None and dtype not in DTYPES:
        raise ArgumentError(f"dtype {dtype}: expected one of {', '.join(DTYPES)}")
    out_dir.mkdir(parents=True, exist_ok=True)
    for left in out_dir.glob(f"*{UNFINISHED}"):
        left.unlink()
    if not (out_dir / "store.json").is_file():
        write_json(
            out_dir / "store.json", {"version": VERSION, **origin._asdict(), "dtype": dtype or "float32"}
        )
    store = FeatureStore(out_dir, origin)
    if dtype is not None and dtype != store.header["dtype"]:
        raise StaleStoreError(
            f"{out_dir}: holds features in {store.header['dtype']}, asked for {dtype}; name another folder"
        )
    return store


def _contents(records: Sequence[Record], store: FeatureStore) -> tuple[dict[str, str], dict[str, str]]:
    """Record id -> content, and record id -> why its files cannot be read.

    Where a file is gone and features of that id are stored, these stand for it.
    """

    def hashed(record: Record) -> str | OSError:
        try:
            return content_hash(record)
        except OSError as error:
            return error

    contents, unreadable = {}, {}
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        for record, found in zip(records, pool.map(hashed, records), strict=True):
            if isinstance(found, str):
                contents[record.id] = found
            elif record.id not in store:
                reason = (found.strerror or type(found).__name__).casefold()
                unreadable[record.id] = f"{found.filename}: cannot be read ({reason})"
    return contents, unreadable


def _closed(out_dir: Path, contents: Mapping[str, str], unreadable: dict[str, str]) -> FeatureStore:
    """The store as it is now, which knows every readable record by its id."""
    (out_dir / "unreadable.json").unlink(missing_ok=True)
    store = FeatureStore(out_dir)
    aliases = {i: c for i, c in contents.items() if store.knows(c) and store.content.get(i) != c}
    if aliases:
        path = out_dir / "aliases.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        write_json(path, known | aliases)
        store.content |= aliases
    for record_id, content in contents.items():
        if not store.knows(content):  # the file was exchanged for one that cannot be read
            store.content.pop(record_id, None)
            unreadable.setdefault(record_id, "a clip with the same content cannot be read")
    if unreadable:
        write_json(out_dir / "unreadable.json", unreadable)
    store.unreadable = unreadable
    return store


def _media(
    records: Sequence[Record], processor: Any, workers: int, media: MediaOf | None
) -> Iterator[tuple[Record, Mapping[str, Tensor] | str]]:
    """Each record with its tensors in order, or with the reason why it cannot be read."""
    if media is not None:
        yield from ((record, media(record)) for record in records)
        return
    processes = min(workers, len(records))
    if processes:
        check_workers_start()  # the loader would take it for a clip that kills its decoder
    loader = DataLoader(
        _Files(records, processor),
        batch_size=None,
        num_workers=processes,
        multiprocessing_context="spawn" if processes else None,
    )
    try:
        yield from zip(records, loader, strict=True)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise MediaError(
            "a clip made its decoder crash, or memory ran out; `nanoemox corpora doctor` finds and quarantines "
            "such clips, --workers 1 needs less memory"
        ) from error


class _Files(Dataset[Any]):
    def __init__(self, records: Sequence[Record], processor: Any) -> None:
        self.records, self.processor = records, processor

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Mapping[str, Tensor] | str:
        try:
            clip = load_record(self.records[index], self.processor.compat)
            tensors: Mapping[str, Tensor] = self.processor.media(clip)
            return tensors
        except MediaError as error:
            return str(error)
        except OSError as error:  # locked, or gone since it was hashed
            return f"{error.filename}: cannot be read ({(error.strerror or 'unknown').casefold()})"


def _encode(
    model: Any, batch: Sequence[tuple[Record, Mapping[str, Tensor]]], bf16: bool
) -> Iterator[tuple[Record, dict[str, Tensor]]]:
    """Clips with the same media go through the encoders together."""
    kinds: dict[Any, list[tuple[Record, Mapping[str, Tensor]]]] = {}
    for record, tensors in batch:
        form = tuple(sorted((name, tuple(value.shape)) for name, value in tensors.items()))
        kinds.setdefault(form, []).append((record, tensors))
    for form, group in kinds.items():
        stacked = {
            name: torch.stack([tensors[name] for _, tensors in group]).to(model.device) for name, _ in form
        }
        kind = model.device.type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=bf16):
            features = {name: value.float().cpu() for name, value in model.encode(**stacked).items()}
        for row, (record, _) in enumerate(group):
            yield record, {name: value[row] for name, value in features.items()}


def _write_shard(path: Path, clips: Sequence[tuple[dict[str, str], dict[str, Tensor]]], dtype: str) -> None:
    """Features of the clips one after another, by name: [all their T or C, D]."""
    if not clips:
        return
    tensors, lengths = {}, dict.fromkeys(FEATURE_NAMES, 0)
    entries: list[dict[str, Any]] = []
    for entry, features in clips:
        rows = {}
        for name, value in features.items():
            rows[name] = (lengths[name], lengths[name] + len(value))
            lengths[name] += len(value)
        entries.append({**entry, "rows": rows})
    for name in FEATURE_NAMES:
        parts = [features[name] for _, features in clips if name in features]
        if parts:
            tensors[name] = torch.cat(parts).to(DTYPES[dtype])
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={"clips": json.dumps(entries)})


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch

"""Decoded clips in memory-mapped arrays: phase 0 looks at every clip many times and decodes it once.

A folder holds `frames.npy` uint8 [n, T, H, W, 3] at the encoders' size, `sound.npy` int16 [n, C, L] at 16 kHz,
`times.npy` float32 [n, T] in seconds, `state.npy` uint8 [n] and `index.json`. Clips that cannot be read are named in
`unreadable.json` and left out; they are never replaced by others.
Letters: n clips, T frames, H, W pixels, C audio windows, L samples of one audio window.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from nanoemox.data.feature_store import StaleStoreError
from nanoemox.data.records import load_record
from nanoemox.files.atomic import write_json
from nanoemox.files.errors import ArgumentError
from nanoemox.files.workers import started_pool, worker_deaths
from nanoemox.media.clip import AUDIO_WINDOW_S, AUDIO_WINDOWS, FRAMES_PER_CLIP, SAMPLE_RATE_HZ
from nanoemox.media.untrusted import MediaError
from nanoemox.model.clip_processor import normalised_sound, picture_processor
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor

if TYPE_CHECKING:
    from nanoemox.data.schema import Record

logger = logging.getLogger(__name__)
WINDOW_SAMPLES = int(AUDIO_WINDOW_S * SAMPLE_RATE_HZ)
_WAITING, _READ, _UNREADABLE, _NO_VIDEO, _NO_AUDIO = 0, 1, 2, 4, 8


class _Decoded(NamedTuple):
    frames: NDArray[np.uint8] | None  # [T, H, W, 3]
    times_s: tuple[float, ...]
    sound: NDArray[np.int16] | None  # [C, L]


class Tensors(Protocol):
    """What training reads of clips: stored features, or media tensors that the encoders read at every step."""

    def __contains__(self, record_id: str, /) -> bool: ...

    def __getitem__(self, record_id: str, /) -> Mapping[str, Tensor]: ...


class DecodedClips:
    """Clips of some records as arrays, in the order of `ids`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        index = self.folder / "index.json"
        if not index.is_file():
            raise ArgumentError(
                f"{self.folder}: expected decoded clips, but there is no index.json; decode first"
            )
        self.ids: list[str] = json.loads(index.read_text(encoding="utf-8"))["ids"]
        self.row = {record_id: row for row, record_id in enumerate(self.ids)}
        self.frames, self.sound, self.times_s, self.state = (
            np.load(self.folder / f"{name}.npy", mmap_mode="r")
            for name in ("frames", "sound", "times", "state")
        )

    def __contains__(self, record_id: str) -> bool:
        return record_id in self.row and bool(self.state[self.row[record_id]] & _READ)

    @property
    def unreadable(self) -> dict[str, str]:
        """Record id -> why its clip could not be decoded."""
        path = self.folder / "unreadable.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @property
    def complete(self) -> bool:
        """Whether every clip has been looked at."""
        return bool((np.asarray(self.state) != _WAITING).all())

    def has(self, record_id: str, modality: str) -> bool:
        """Whether the clip has "video" or "audio"."""
        missing = {"video": _NO_VIDEO, "audio": _NO_AUDIO}[modality]
        return record_id in self and not self.state[self.row[record_id]] & missing

    def media(self, record_id: str, processor: NanoEmoXProcessor) -> dict[str, Tensor]:
        """What the processor makes of the clip; pictures are already at their size."""
        row, tensors = self.row[record_id], {}
        if self.has(record_id, "video"):
            pixels = torch.from_numpy(np.array(self.frames[row])).movedim(-1, 1)
            tensors["pixel_values_videos"] = normalised_pixels(pixels, processor.image_processor)
            tensors["face_pixel_values"] = normalised_pixels(pixels, processor.face_image_processor)
        if self.has(record_id, "audio"):
            sound = np.asarray(self.sound[row], dtype=np.float32) / np.float32(32767)
            tensors["input_values"] = normalised_sound(sound, processor.feature_extractor)
        return tensors


class LiveMedia:
    """Media tensors by record id, decoded whenever they are asked for. Raises MediaError naming the file.

    Args:
        records: The clips that can be asked for.
        processor: Makes tensors of them.
        clips: Decoded clips to read instead of the files.
    """

    def __init__(
        self, records: Sequence[Record], processor: NanoEmoXProcessor, clips: DecodedClips | None = None
    ) -> None:
        self.records = {record.id: record for record in records}
        self.processor, self.clips = processor, clips

    def __contains__(self, record_id: str) -> bool:
        return record_id in (self.records if self.clips is None else self.clips)

    def __getitem__(self, record_id: str) -> Mapping[str, Tensor]:
        if self.clips is not None:
            return self.clips.media(record_id, self.processor)
        return self.processor.media(load_record(self.records[record_id], self.processor.compat))


def normalised_pixels(pixels: Tensor, image_processor: Any) -> Tensor:
    """uint8 [..., 3, H, W] -> float32, as the image processor normalises them."""
    mean = torch.tensor(image_processor.image_mean).view(3, 1, 1)
    std = torch.tensor(image_processor.image_std).view(3, 1, 1)
    scale: float = image_processor.rescale_factor
    return (pixels.float() * scale - mean) / std


def decode_clips(
    records: Sequence[Record], processor: NanoEmoXProcessor, folder: str | Path, workers: int = 4
) -> DecodedClips:
    """Decode the clips of `records` that `folder` does not hold yet. A killed run goes on where it stopped.

    Args:
        records: Manifest lines.
        processor: Says how large the frames are.
        folder: Where the decoded clips lie, or will lie.
        workers: Processes that decode; 0 decodes in this process.

    Returns:
        The clips of `records`. Those that cannot be read are in its `unreadable`.

    Raises:
        ArgumentError: If the model's encoders read frames of different sizes.
        StaleStoreError: If `folder` holds the clips of other records.
        WorkersError: If the processes cannot be started, or if one of them dies. A script that calls this has to do
            so under `if __name__ == "__main__":`, or with workers=0.
    """
    folder = Path(folder)
    side = int(processor.image_processor.crop_size["height"])
    if int(processor.face_image_processor.crop_size["height"]) != side:
        raise ArgumentError(
            f"{folder}: expected frames of one size, got {side} px for the scene and "
            f"{processor.face_image_processor.crop_size['height']} px for the face; compute features from the files"
        )
    ids = [record.id for record in records]
    frames, sound, times, state = _open_arrays(folder, ids, side)
    todo = [row for row in range(len(ids)) if state[row] == _WAITING]
    unreadable: dict[str, str] = {}
    with tqdm(total=len(ids), initial=len(ids) - len(todo), desc="decode clips", unit="clip") as bar:
        for row, found in zip(todo, _decoded([records[row] for row in todo], side, workers), strict=True):
            if isinstance(found, str):
                unreadable[ids[row]] = found
                logger.warning("left out: %s", found)
                state[row] = _UNREADABLE
            else:
                flags = _READ
                if found.frames is None:
                    flags |= _NO_VIDEO
                else:
                    frames[row], times[row] = found.frames, found.times_s
                if found.sound is None:
                    flags |= _NO_AUDIO
                else:
                    sound[row] = found.sound
                state[row] = flags
            bar.update()
    for array in (frames, sound, times, state):
        array.flush()
    if unreadable:
        write_json(folder / "unreadable.json", unreadable)
    return DecodedClips(folder)


def _open_arrays(folder: Path, ids: list[str], side: int) -> tuple[np.memmap[Any, Any], ...]:
    n = len(ids)
    layout = {
        "frames": (np.uint8, (n, FRAMES_PER_CLIP, side, side, 3)),
        "sound": (np.int16, (n, AUDIO_WINDOWS, WINDOW_SAMPLES)),
        "times": (np.float32, (n, FRAMES_PER_CLIP)),
        "state": (np.uint8, (n,)),
    }
    index = folder / "index.json"
    wanted = {"ids": ids, "side": side}
    fresh = not index.is_file()
    if not fresh and json.loads(index.read_text(encoding="utf-8")) != wanted:
        raise StaleStoreError(
            f"{folder}: holds the clips of another manifest; remove the folder or name another one"
        )
    folder.mkdir(parents=True, exist_ok=True)
    arrays = tuple(
        np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+" if fresh else "r+", dtype=dtype, shape=shape
        )
        if fresh
        else np.lib.format.open_memmap(folder / f"{name}.npy", mode="r+")
        for name, (dtype, shape) in layout.items()
    )
    if fresh:
        write_json(index, wanted)
    return arrays


def _decoded(records: Sequence[Record], side: int, workers: int) -> Iterator[_Decoded | str]:
    """Each record's arrays in order, or in one line why it cannot be read."""
    if workers == 0:
        yield from (_decode(record, side) for record in records)
        return
    with worker_deaths("decode clips"), started_pool(workers, initializer=_one_thread) as pool:
        for start in range(
            0, len(records), 64 * workers
        ):  # bounded: arrays wait in memory until they are written
            part = records[start : start + 64 * workers]
            yield from pool.map(_decode, part, [side] * len(part), chunksize=4)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _decode(record: Record, side: int) -> _Decoded | str:
    try:
        clip = load_record(record)
    except MediaError as error:
        return str(error)
    frames = sound = None
    if clip.frames is not None:
        pictures = picture_processor(side, (0, 0, 0), (1, 1, 1))
        frames = pictures(
            list(clip.frames),
            input_data_format="channels_last",
            do_rescale=False,
            do_normalize=False,
            return_tensors="np",
        )["pixel_values"]
        frames = np.moveaxis(np.asarray(frames), 1, -1).round().astype(np.uint8)
        if len(frames) < FRAMES_PER_CLIP:
            frames = np.concatenate([frames, np.repeat(frames[-1:], FRAMES_PER_CLIP - len(frames), axis=0)])
    if clip.audio_windows is not None:
        sound = np.round(clip.audio_windows * 32767).clip(-32768, 32767).astype(np.int16)
    times = tuple(clip.frame_times_s) or (0.0,)
    times += times[-1:] * (FRAMES_PER_CLIP - len(times))
    return _Decoded(frames, times, sound)

"""What phase 0 shows to the three small encoders: views of decoded Theatre clips with targets from their scripts.

Every example is fixed by its index, the random view included. Letters: B batch, T frames, C audio windows, L samples,
U time steps of an audio window (99 in 2 s), K tracks or units, Q cues.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers.audio_utils import mel_filter_bank

from nanoemox.data.decoded_clips import DecodedClips, normalised_pixels
from nanoemox.files.atomic import whole_file
from nanoemox.files.workers import started_pool, worker_deaths
from nanoemox.media.clip import SAMPLE_RATE_HZ
from nanoemox.model.clip_processor import picture_processor
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.theatre import world
from nanoemox.theatre.dials import Dials
from nanoemox.theatre.render import FRAME_SIZE_PX
from nanoemox.theatre.script import stage_script
from nanoemox.theatre.stills import Still, draw_still, stage_still

if TYPE_CHECKING:
    from nanoemox.data.schema import Record

FACE_CUES = tuple(
    dict.fromkeys(c for always, extra in world.FACE_CUES.values() for c in (*always, extra) if c)
)
VOICE_CUES = (
    *dict.fromkeys(c for cues in world.VOICE_CUES.values() for c in cues),
    "an audible sigh",
    "a rising end",
)
POSE_TRACKS = ("yaw", "pitch", "hand", "speech")
HOP, FRAME, FFT = (
    320,
    640,
    1024,
)  # samples: HuBERT's step at 16 kHz, a window of 40 ms, what it is filled up to
BANDS, HIGHEST_HZ = 20, 7600.0  # mel bands of the targets, from 0 Hz
MASK_SHARE, MASK_SPAN = 0.08, 10  # of steps at which a masked span begins, and its length (HuBERT)
CLUSTERS = 64


def step_of_record(record: Record) -> int:
    """Which script of its seed and split a record was made from (the end of its id)."""
    return int(record.id.rpartition("-")[2])


def _units(job: tuple[int, int, str, tuple[float, ...], dict[str, Any]]) -> NDArray[np.float32]:
    from nanoemox.theatre.actor import AU_NAMES
    from nanoemox.theatre.render import FRAME_RATE_HZ, plan, poses

    index, seed, split, times_s, dials = job
    script = stage_script(index, seed, split, Dials(**dials))
    face = poses(script, plan(script))
    rows = []
    for time_s in times_s:
        pose = face[min(len(face) - 1, round(time_s * FRAME_RATE_HZ))]
        rows.append(
            [getattr(pose, name) for name in AU_NAMES] + [abs(getattr(pose, name)) for name in POSE_TRACKS]
        )
    return np.asarray(rows, dtype=np.float32)


def action_units(
    records: Sequence[Record], clips: DecodedClips, folder: Path, workers: int
) -> NDArray[np.float32]:
    """Look up the action units and the pose of every stored frame in the script that it was rendered from.

    Args:
        records: Lines of a Theatre manifest.
        clips: Where their frames lie.
        folder: Keeps the result; what is there already is read.
        workers: How many processes compute.

    Returns:
        One row per record and frame, [n, T, K].
    """
    path = folder / "units.npy"
    if path.is_file():
        return np.load(path)
    jobs = [
        (
            step_of_record(r),
            int(r.id.split("-")[1]),
            str(r.split),
            tuple(map(float, clips.times_s[clips.row[r.id]])),
            (r.factors or {}).get("dials", {}),
        )
        for r in records
    ]
    with worker_deaths(path), started_pool(max(1, workers)) as pool:
        units = np.stack(list(pool.map(_units, jobs, chunksize=32)))
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, units)
    return units


def _still(job: tuple[int, int, int]) -> NDArray[np.uint8]:
    index, seed, side = job
    torch.set_num_threads(1)
    drawn = draw_still(index, seed, FRAME_SIZE_PX)
    shrink = picture_processor(side, (0, 0, 0), (1, 1, 1))
    pixels = shrink(
        drawn, input_data_format="channels_last", do_rescale=False, do_normalize=False, return_tensors="np"
    )["pixel_values"][0]
    return np.moveaxis(np.asarray(pixels), 0, -1).round().astype(np.uint8)


def stills(number: int, seed: int, side: int, folder: Path, workers: int) -> NDArray[np.uint8]:
    """Draw single pictures of the Theatre, each with a prop in a place.

    Args:
        number: How many.
        seed: What they are drawn from.
        side: Their width and height in pixels.
        folder: Keeps them; what is there already is read.
        workers: How many processes draw.

    Returns:
        The pictures, [number, side, side, 3].
    """
    path = folder / f"stills-{seed}-{number}-{side}.npy"
    if not path.is_file():
        jobs = [(index, seed, side) for index in range(number)]
        drawn = np.empty((number, side, side, 3), np.uint8)
        with worker_deaths(path), started_pool(max(1, workers)) as pool:
            made = tqdm(pool.map(_still, jobs, chunksize=32), total=number, desc="stills", unit="picture")
            for index, picture in enumerate(made):
                drawn[index] = picture
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, drawn)
    return np.load(path, mmap_mode="r")


def present(cues: Sequence[str], names: Sequence[str]) -> Tensor:
    """1 for each of `names` that is among `cues`, else 0."""
    return torch.tensor([float(name in cues) for name in names])


class _Views(Dataset[Any]):
    """Records in a new order every round, `number` examples in all."""

    def __init__(
        self, records: Sequence[Record], clips: DecodedClips, number: int, seed: int, need: str
    ) -> None:
        self.records = [record for record in records if clips.has(record.id, need)]
        self.clips, self.number, self.seed = clips, number, seed
        self._order: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        return self.number

    def record(self, index: int) -> tuple[Record, random.Random]:
        round_, place = divmod(index, len(self.records))
        if self._order[0] != round_:
            order = list(range(len(self.records)))
            random.Random(f"{self.seed}/{round_}").shuffle(order)
            self._order = round_, order
        return self.records[self._order[1][place]], random.Random(f"{self.seed}/view/{index}")


class FaceViews(_Views):
    """One frame of a clip, its action units, what the face shows by name. Every step sees as many people as frames:
    eight frames of one face teach a mean-pooled Swin hardly more than one."""

    GROUPS = tuple(world.FACE_CUES)

    def __init__(
        self,
        records: Sequence[Record],
        clips: DecodedClips,
        units: NDArray[np.float32],
        processor: NanoEmoXProcessor,
        number: int,
        seed: int,
    ) -> None:
        """Prepare `number` examples.

        Args:
            records: Lines of a Theatre manifest; those without video are left out.
            clips: Their decoded media.
            units: Their action units, as `action_units` returns them.
            processor: How frames become pixels for the face encoder.
            number: How many examples.
            seed: The seed of their order and of their views.
        """
        super().__init__(records, clips, number, seed, "video")
        rows = units.reshape(-1, units.shape[-1])
        scale = rows.std(axis=0) + 1e-3  # rare units count as much as common ones
        units = (units - rows.mean(axis=0)) / scale
        self.units = dict(zip((record.id for record in records), units, strict=True))
        self.processor = processor

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        record, rng = self.record(index)
        frames = self.clips.frames[self.clips.row[record.id]]
        at = rng.randrange(len(frames) // 4, len(frames))  # the first ones come before the expression
        pixels = torch.from_numpy(np.array(frames[at])).movedim(-1, 0)[None]
        return {
            "pixels": normalised_pixels(pixels, self.processor.face_image_processor),
            "units": torch.from_numpy(self.units[record.id][at : at + 1]),
            "cues": present(cues_of(record, "face"), FACE_CUES),
            "group": torch.tensor(self.GROUPS.index((record.factors or {})["face"])),
            "strength": strength_of(record, "face", ("still", "hidden")),
        }


class SceneViews(_Views):
    """A still or one frame of a clip by turns, a caption of it, and what it shows by name.

    Frames alone would teach that a prop never seen in some place is impossible there.
    """

    CLASSES = (world.PLACES, world.PROPS, world.LIGHTS)

    def __init__(
        self,
        records: Sequence[Record],
        clips: DecodedClips,
        stills: NDArray[np.uint8],
        stills_seed: int,
        processor: NanoEmoXProcessor,
        number: int,
        seed: int,
    ) -> None:
        """Prepare `number` examples.

        Args:
            records: Lines of a Theatre manifest; those without video are left out.
            clips: Their decoded media.
            stills: Single pictures, as `stills` draws them; none at all leaves frames alone.
            stills_seed: The seed that they were drawn from.
            processor: How pictures and captions are read.
            number: How many examples.
            seed: The seed of their order and of their views.
        """
        super().__init__(records, clips, number, seed, "video")
        self.stills, self.stills_seed, self.processor = stills, stills_seed, processor

    def __getitem__(self, index: int) -> tuple[Tensor, str, tuple[str, ...], Tensor]:
        place, of_a_clip = divmod(index, 2) if len(self.stills) else (index, 1)
        record, rng = self.record(place)
        face = ""
        if of_a_clip:
            frame = self.clips.frames[self.clips.row[record.id], rng.randrange(self.clips.frames.shape[1])]
            factors = record.factors or {}
            seen = Still(factors["place"], factors["prop"], factors["light"])
            if rng.random() < 0.4:
                face = factors["face"]
        else:
            chosen = place % len(self.stills)
            frame, seen = self.stills[chosen], stage_still(chosen, self.stills_seed)
        pixels = torch.from_numpy(np.array(frame)).movedim(-1, 0)
        told = [f"a {seen.prop}", f"in the {seen.place}", f"{seen.light} light"]
        if face:
            told += cues_of(record, "face")
        rng.shuffle(told)
        named = torch.tensor([names.index(name) for names, name in zip(self.CLASSES, seen, strict=True)])
        meaning = (*seen, face)
        return normalised_pixels(pixels, self.processor.image_processor), ", ".join(told), meaning, named

    def collate(self, batch: Sequence[tuple[Tensor, str, tuple[str, ...], Tensor]]) -> dict[str, Tensor]:
        pixels, captions, meanings, named = zip(*batch, strict=True)
        end = self.processor.end_of_turn
        tokens = self.processor.tokenizer(
            [c + end for c in captions], padding=True, padding_side="right", return_tensors="pt"
        )
        same = [[_compatible(a, b) for b in meanings] for a in meanings]
        return {
            "pixels": torch.stack(pixels),
            "input_ids": tokens["input_ids"],
            "attention_mask": tokens["attention_mask"],
            "classes": torch.stack(named),
            "same": torch.tensor(same, dtype=torch.float32),
        }


def _compatible(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Whether two captions could tell of the same picture (one may be silent about the face)."""
    return a[:3] == b[:3] and (a[3] == b[3] or not a[3] or not b[3])


class VoiceViews(_Views):
    """The first and the last window of a clip and another one with masked stretches, with their targets."""

    STYLES = tuple(world.VOICE_CUES)

    def __init__(
        self,
        records: Sequence[Record],
        clips: DecodedClips,
        centres: Tensor,
        number: int,
        seed: int,
    ) -> None:
        """Prepare `number` examples.

        Args:
            records: Lines of a Theatre manifest; those without audio are left out.
            clips: Their decoded media.
            centres: The clusters that masked steps are to be told by, from `audio_clusters`.
            number: How many examples.
            seed: The seed of their order and of their views.
        """
        super().__init__(records, clips, number, seed, "audio")
        self.centres = centres

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        record, rng = self.record(index)
        sound = torch.from_numpy(self.clips.sound[self.clips.row[record.id]].astype(np.float32) / 32767)
        last = len(sound) - 1
        chosen = sound[[0, last, rng.randint(0, last)]]
        picked = (chosen - sound.mean()) / sound.std().clamp(
            min=1e-6
        )  # as the processor: over the whole file
        tracks, bands = frame_tracks(picked)
        clusters = torch.cdist(bands[-1], self.centres).argmin(dim=1)
        steps = tracks.shape[1]
        masked = torch.zeros(steps, dtype=torch.bool)
        for start in range(steps):
            if rng.random() < MASK_SHARE:
                masked[start : start + MASK_SPAN] = True
        if not masked.any():
            masked[:MASK_SPAN] = True
        return {
            "input_values": picked,
            "masked": masked,
            "clusters": clusters,
            "tracks": tracks,
            "cues": present(cues_of(record, "voice"), VOICE_CUES),
            "style": torch.tensor(self.STYLES.index((record.factors or {})["voice"])),
            "strength": strength_of(record, "voice", ("drowned",)),
        }


def cues_of(record: Record, kind: str) -> list[str]:
    """The cues of one kind (face, voice, scene or words) that a record's labels name."""
    reasoning = record.labels.reasoning
    return list(getattr(reasoning.cues, kind)) if reasoning and reasoning.cues else []


def strength_of(record: Record, kind: str, silent: Sequence[str]) -> Tensor:
    """How strongly a record's face or voice shows its emotion.

    Args:
        record: A line of a Theatre manifest.
        kind: Which factor of its script to look at, face or voice.
        silent: The values of that factor that show nothing.

    Returns:
        1 for a strong display, 0 for a mild one, NaN for none.
    """
    factors = record.factors or {}
    return torch.tensor(float("nan") if factors[kind] in silent else float(factors["strength"] == "strong"))


def frame_tracks(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Audio [C, L] -> tracks [C, U, 3] (loudness, voicing, pitch in octaves about 150 Hz), log bands [C, U, 20]."""
    frames = audio.unfold(-1, FRAME, HOP)[:, :99]  # [C, U, FRAME]
    power = torch.fft.rfft(frames * torch.hann_window(FRAME), n=FFT).abs().square()  # [C, U, FFT / 2 + 1]
    bands = (power @ _mel_filters()).clamp(min=1e-4).log()
    loudness = bands.logsumexp(dim=-1)
    spectrum = torch.fft.rfft(frames - frames.mean(dim=-1, keepdim=True), n=2 * FRAME).abs().square()
    correlation = torch.fft.irfft(spectrum)[..., :FRAME] * (
        FRAME / (FRAME - torch.arange(FRAME)).clamp(min=FRAME // 4)
    )
    low, high = SAMPLE_RATE_HZ // 400, SAMPLE_RATE_HZ // 65
    favour = 1 - 0.3 * torch.arange(low, high) / high  # twice the period fits as well, but is not the pitch
    best, lag = (correlation[..., low:high] * favour).max(dim=-1)
    voicing = (best / correlation[..., 0].clamp(min=1e-3)).clamp(0, 1)
    pitch = torch.log2(SAMPLE_RATE_HZ / (lag + low).float() / 150)
    loud = ((loudness - loudness.mean()) / 4).clamp(-2, 2)
    return torch.stack([loud, voicing, torch.where(voicing > 0.5, pitch, torch.zeros(()))], dim=-1), bands


@cache
def _mel_filters() -> Tensor:
    """Triangles evenly spaced on the mel scale, [FFT / 2 + 1, BANDS]."""
    filters = mel_filter_bank(FFT // 2 + 1, BANDS, 0.0, HIGHEST_HZ, SAMPLE_RATE_HZ)
    return torch.from_numpy(filters).float()


def audio_clusters(records: Sequence[Record], clips: DecodedClips, seed: int) -> Tensor:
    """Cluster the log bands of some clips with k-means: HuBERT's first targets are such clusters.

    Args:
        records: The clips; 400 of those with audio are drawn.
        clips: Where their decoded audio lies.
        seed: The seed of the drawing and of k-means.

    Returns:
        The centres, [CLUSTERS, BANDS].
    """
    from sklearn.cluster import MiniBatchKMeans

    rng = random.Random(seed)
    audible = [record for record in records if clips.has(record.id, "audio")]
    bands = []
    for record in rng.sample(audible, min(400, len(audible))):
        audio = torch.from_numpy(clips.sound[clips.row[record.id]].astype(np.float32) / 32767)
        window = audio[[rng.randrange(len(audio))]]
        bands.append(frame_tracks((window - audio.mean()) / audio.std().clamp(min=1e-6))[1][0])
    rows = torch.cat(bands).numpy()
    found = MiniBatchKMeans(min(CLUSTERS, len(rows) // 4), random_state=seed, n_init=3, batch_size=4096).fit(
        rows
    )
    return torch.from_numpy(found.cluster_centers_).float()


def stack(batch: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([item[name] for item in batch]) for name in batch[0]}

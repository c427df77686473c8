"""What the small networks and scikit-learn read of each clip of a manifest. Letters in shapes: L samples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nanoemox.baselines import classical, networks
from nanoemox.data.manifest import ManifestError, read_manifest
from nanoemox.data.quarantine import without_quarantined
from nanoemox.data.records import load_record
from nanoemox.data.schema import Record
from nanoemox.files.errors import NanoEmoXError
from nanoemox.media.clip import SAMPLE_RATE_HZ, Clip
from nanoemox.media.untrusted import MediaError
from nanoemox.tasks.task import closed_tasks

VIEWED_SIDE_PX = 72  # of the frame that is kept; a view of it is classical.FRAME_SIDE_PX wide
EARLIER_TURNS = 2  # of the dialogue, that are read with a line


class Example(NamedTuple):
    """One clip with its label.

    network: what the network reads. baseline: what scikit-learn reads. speaker: who speaks, where that is known.
    group: the speaker, or what counts as one; clips of one group are never in training and test both.
    """

    id: str
    label: str
    speaker: str | None
    group: str
    network: Any
    baseline: Any


class Examples(NamedTuple):
    """The clips of a manifest that can be read, and why each of the others was left out, by its id."""

    clips: list[Example]
    left_out: dict[str, str]


def read_examples(manifest: Path, modality: str, task: str) -> Examples:
    """Read one modality of all clips of a manifest that have a label of the task.

    Args:
        manifest: The manifest. Clips on the quarantine list beside it are left out.
        modality: audio, video or text.
        task: emotion, sentiment or intent.

    Returns:
        The examples in the manifest's order, and what was left out.

    Raises:
        ManifestError: if fewer than two labels are left.
    """
    records, left_out = without_quarantined(read_manifest(manifest), manifest)
    closed = closed_tasks()[task]
    clips = []
    for record in records:
        label = closed.label(record.labels)
        name = None if label is None else closed.spelt(label)
        if name is None:
            continue
        try:
            network, baseline = _inputs(record, modality)
        except NanoEmoXError as error:
            left_out[record.id] = str(error)
            continue
        # Where no speaker is named, equal lines count as one speaker's, and any other clip as its own.
        group = record.speaker or (record.text if modality == "text" else None) or record.id
        clips.append(Example(record.id, name, record.speaker, group, network, baseline))
    there = sorted({example.label for example in clips})
    if len(there) < 2:
        found = f", all of them {there[0]!r:.60}" if there else ""
        raise ManifestError(
            f"{manifest}: expected two or more labels of {task} and clips with {modality}; {len(clips)} lines have "
            f"a label and a clip{found}; choose another --task or --modality, or add clips of another label"
        )
    return Examples(clips, left_out)


def _inputs(record: Record, modality: str) -> tuple[Any, Any]:
    """What the network and what scikit-learn read of a clip."""
    if modality == "text":
        if not record.text or not re.search(r"\w|[?!]", record.text):
            raise ManifestError("the line has no text")
        earlier = "\n".join(turn.text for turn in (record.dialogue or ())[-EARLIER_TURNS:])
        return (record.text, earlier), record.text
    clip = load_record(record)
    if modality == "audio":
        audio = whole_audio(clip)
        energy_db = classical.log_mel(audio, networks.BANDS, 1024, 512)
        return torch.from_numpy(energy_db), classical.mfcc_statistics(audio)
    frame = _middle_frame(clip)
    edge = (VIEWED_SIDE_PX - classical.FRAME_SIDE_PX) // 2
    return torch.from_numpy(frame), classical.gradient_histograms(frame[edge:-edge, edge:-edge])


def whole_audio(clip: Clip) -> NDArray[np.float32]:
    """The audio windows of a clip put back where they lie, [L]; of a long clip what they hold, without the gaps."""
    if clip.audio_windows is None:
        raise MediaError(f"{clip.path}: {clip.modalities['audio']}")
    parts: list[NDArray[np.float32]] = []
    end = 0
    for start_s, window in zip(clip.audio_starts_s, clip.audio_windows, strict=True):
        start = round(start_s * SAMPLE_RATE_HZ)
        parts.append(np.asarray(window[max(0, end - start) :], dtype=np.float32))
        end = max(end, start + len(window))
    whole: NDArray[np.float32] = np.concatenate(parts)
    return whole[: max(2048, round(clip.duration_s * SAMPLE_RATE_HZ))]


def _middle_frame(clip: Clip) -> NDArray[np.float32]:
    """The middle square of the middle frame, grey, [72, 72] in 0..1."""
    if clip.frames is None:
        raise MediaError(f"{clip.path}: {clip.modalities['video']}")
    frame = Image.fromarray(clip.frames[len(clip.frames) // 2]).convert("L")
    side = min(frame.size)
    left, top = (frame.width - side) // 2, (frame.height - side) // 2
    square = frame.crop((left, top, left + side, top + side))
    small = square.resize((VIEWED_SIDE_PX, VIEWED_SIDE_PX), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float32) / np.float32(255)

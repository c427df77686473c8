"""Clips with an easy label, made up for the tests of the small networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nanoemox.files.atomic import write_jsonl
from tests.media_files import write_wav

LABELS = ("anger", "sadness")


def make_manifest(folder: Path, number: int, modality: str) -> Path:
    """Clips of up to nine speakers: anger is high and up and says "awful", sadness low and down and says "gone"."""
    random = np.random.default_rng(0)
    made: list[dict[str, Any]] = []
    for i in range(number):
        label = LABELS[i % 2]
        line: dict[str, Any] = {
            "id": f"c{i}",
            "speaker": f"s{i // 2 % 9}",
            "labels": {"emotion": {"label": label}},
        }
        if modality == "audio":
            hertz = (900 if label == "anger" else 200) + 20 * random.random()
            tone = 0.3 * np.sin(np.arange(16_000) * hertz * 2 * np.pi / 16_000)
            write_wav(folder / f"c{i}.wav", tone + 0.01 * random.normal(size=16_000))
            line["audio"] = f"c{i}.wav"
        elif modality == "video":
            frame = random.integers(0, 60, (80, 64), dtype=np.uint8)
            frame[slice(16, 36) if label == "anger" else slice(44, 64)] += 150
            Image.fromarray(frame).save(folder / f"c{i}.png")
            line["image"] = f"c{i}.png"
        else:
            word = "awful" if label == "anger" else "gone"
            line["text"] = f"this is {word} {random.integers(9)}"
        made.append(line)
    write_jsonl(folder / f"{modality}.jsonl", made)
    return folder / f"{modality}.jsonl"

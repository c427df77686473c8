"""Many clips against the straightforward way, and how seconds and memory grow with length, batch and candidates.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/growth.py MANIFEST [--model pico] [--parts clips length batch candidates]

- clips: six answers about each of many clips by `analyze_many` in batches of 16, against reading the file, encoding it,
  reading the prompt and transformers' `generate` anew for each question, with the same weights in the same type. The
  straightforward way answers only `--straight` of the clips, and its time is that of all at this rate.
- length: `analyze` of a recording of so many seconds, the task emotion. Eight frames and eight audio windows are read
  of any recording.
- batch: one batch of so many clips, six tasks.
- candidates: one clip, the task emotion with so many candidates.

Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from meter import machine, print_parts, take_turns

from nanoemox.data.manifest import read_manifest
from nanoemox.data.records import load_record
from nanoemox.data.schema import Record
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.clip import PRESENT
from nanoemox.tasks.task import TASKS

PARTS = ("clips", "length", "batch", "candidates")
RATE_HZ, FPS, SIDE_PX = 16_000, 10, 192


def recording(path: Path, seconds: int) -> Path:
    """A film of noise with a rising tone, of so many seconds."""
    random = np.random.default_rng(seconds)
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=FPS)
        video.width = video.height = SIDE_PX
        video.pix_fmt = "yuv420p"
        audio = file.add_stream("aac", rate=RATE_HZ, layout="mono")
        picture = random.integers(0, 255, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        for number in range(seconds * FPS):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, number, axis=1), format="rgb24")
            file.mux(video.encode(frame))
        file.mux(video.encode())
        for second in range(seconds):
            times_s = np.arange(RATE_HZ) / RATE_HZ
            wave = (0.3 * np.sin(2 * np.pi * (200 + second) * times_s)).astype(np.float32)
            sound = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = RATE_HZ, second * RATE_HZ, Fraction(1, RATE_HZ)
            file.mux(audio.encode(sound))
        file.mux(audio.encode())
    return path


class Growth:
    """The model, the clips, and the ways that are timed."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.analyzer = EmotionAnalyzer.from_pretrained(given.model, device=given.device, dtype=given.dtype)
        self.records = read_manifest(given.manifest)[: given.clips]

    @torch.inference_mode()
    def straight(self, record: Record) -> list[str]:
        """Six answers about a clip as a script with nothing but transformers' interface gives them."""
        model, processor, texts = self.analyzer.model, self.analyzer.processor, []
        for name, task in TASKS.items():
            clip = load_record(record)
            present = {kind for kind, state in clip.modalities.items() if state == PRESENT}
            prompt = processor.prompt(task.question(), modalities=present, text=record.text)
            inputs = processor(prompt, videos=clip, audio=clip)
            inputs = {
                key: value.to(model.device, model.dtype if value.is_floating_point() else None)
                for key, value in inputs.items()
            }
            length = self.analyzer.answer_limit(TASKS[name])
            ids = model.generate(**inputs, max_new_tokens=length, do_sample=False)
            written = ids[0, inputs["input_ids"].shape[1] :]
            texts.append(processor.tokenizer.decode(written, skip_special_tokens=True).strip())
        return texts

    def many(self, records: list[Record]) -> list[list[str]]:
        """The same by `analyze_many`, which reads the files in this process, too."""
        found = self.analyzer.analyze_many(records, batch_size=16, workers=0)
        return [[result.text for result in each.analysis.tasks.values()] for each in found if each.analysis]

    def clips(self) -> dict[str, Any]:
        some = self.records[: self.given.straight]
        same = sum(
            one == other
            for straight, many in zip(map(self.straight, some), self.many(some), strict=True)
            for one, other in zip(straight, many, strict=True)
        )
        ways: dict[str, Callable[[], object]] = {
            "many": lambda: self.many(self.records),
            "straightforward": lambda: [self.straight(record) for record in some],
        }
        found: dict[str, Any] = take_turns(ways, self.given.repeats, self.given.device, warm=False)
        per_clip = {
            key: round(
                (found["straightforward"][key] / len(some)) / (found["many"][key] / len(self.records)), 2
            )
            for key in ("seconds", "processor_s")
        }
        return found | {
            "clips": len(self.records),
            "straightforward_clips": len(some),
            "ratio_per_clip": per_clip,
            "same_texts": f"{same} of {len(some) * len(TASKS)}",
        }

    def length(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            paths = {n: recording(Path(folder) / f"{n}.mp4", n) for n in self.given.lengths_s}
            return self._table({n: partial(self._emotion, path) for n, path in paths.items()})

    def batch(self) -> dict[str, Any]:
        requests = [
            self.analyzer.request(load_record(record), record.text)
            for record in self.records[: max(self.given.batches)]
        ]
        return self._table({n: partial(self.analyzer.answer_batch, requests[:n]) for n in self.given.batches})

    def candidates(self) -> dict[str, Any]:
        clip = load_record(self.records[0])

        def answer(number: int) -> None:
            labels = [f"feeling number {i}" for i in range(number)]
            self.analyzer.analyze(clip, tasks=["emotion"], candidates={"emotion": labels})

        return self._table({n: partial(answer, n) for n in self.given.candidates})

    def _emotion(self, path: Path) -> None:
        self.analyzer.analyze(path, tasks=["emotion"])

    def _table(self, ways: dict[int, Callable[[], object]]) -> dict[str, Any]:
        return take_turns({str(n): way for n, way in ways.items()}, self.given.repeats, self.given.device)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="pico")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--straight", type=int, default=8, help="clips that the straightforward way answers")
    parser.add_argument("--lengths-s", type=int, nargs="+", default=[4, 16, 64, 256])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--candidates", type=int, nargs="+", default=[7, 28, 112])
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--dtype", default="float32", help="float32, in which answers do not depend on their batch"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    growth = Growth(given)
    about: dict[str, Any] = {
        "benchmark": "growth",
        "command": f"python benchmarks/growth.py {' '.join(sys.argv[1:])}",
        "model": Path(given.model).name,
        "dtype": growth.analyzer.dtype,
        **machine(given.device),
    }
    print_parts(about, growth, given.parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())

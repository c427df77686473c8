"""Faces, who is who, who speaks, and what answers for each person are worth, on Theatre clips whose truth is known.

    python benchmarks/people.py [--groups 4] [--pairs 12] [--keep DIR] [--mead FOLDER] [--model pico]

Makes clips with one, two and three people (`nanoemox.theatre.group`), of whom some change places or leave and come
back, and prints one line of JSON:

- `recall` of the faces that look into the camera, and `false_per_frame`, for the detector that comes along and for the
  best of the Haar cascades of OpenCV's wheel, both over the same frames;
- `switches_per_minute`: how often the face that a person's track follows becomes somebody else's, and how often
  somebody gets a second track;
- `speaker`: the share of clips whose speaker is told, and of the moments in which somebody speaks;
- `right`: the share of people whose emotion is told, with answers for each person and with one answer from the whole
  frame for all, for who speaks and who listens;
- with --mead, the share of frames of real clips in which exactly one face is found.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nanoemox import __version__
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Analysis
from nanoemox.media.container import inspect
from nanoemox.media.load import load_clip
from nanoemox.media.shown import shown_frame
from nanoemox.media.timeline import FrameReader
from nanoemox.people.detector import Box, load_detector, opencv, shared
from nanoemox.theatre.group import FRAME_RATE_HZ, HEIGHT_PX, render_group, stage_group

KINDS = ((1, "stay"), (2, "stay"), (2, "cross"), (3, "stay"), (3, "leave"))
SAME = 0.3  # of the union: a box that shares more with a face's box has found it
EVERY = 15  # frames, for the recall


def frames_of(path: Path, every: int) -> list[NDArray[np.uint8]]:
    """Every so many-th frame of a video."""
    source = inspect(path)
    with FrameReader(source) as reader:
        return [shown_frame(f, source) for k, (_, f) in enumerate(reader.frames_from(0.0)) if k % every == 0]


def count_faces(counts: Counter[str], found: list[Box], boxes: list[Box], facing: list[bool]) -> None:
    """Add one frame to the counts."""
    counts["frames"] += 1
    counts["wanted"] += sum(facing)
    counts["hit"] += sum(
        any(shared(f, box) > SAME for f in found) for box, see in zip(boxes, facing, strict=True) if see
    )
    counts["false"] += sum(all(shared(f, box) < 0.1 for box in boxes) for f in found)


def whose(box: Box, at_s: float, truth: dict[str, Any], width: int) -> int:
    """The index of the person whose face a track's box is on; -1 for nobody."""
    pixels = (box[0] * width, box[1] * HEIGHT_PX, box[2] * width, box[3] * HEIGHT_PX)
    k = min(round(at_s * FRAME_RATE_HZ), len(truth["people"][0]["boxes"]) - 1)
    shares = [shared(pixels, tuple(person["boxes"][k])) for person in truth["people"]]
    return int(np.argmax(shares)) if max(shares) > 0.2 else -1


def followed(analysis: Analysis, truth: dict[str, Any]) -> tuple[int, dict[int, int]]:
    """How many switches of identity there are, and person of the truth -> index of their first track."""
    assert analysis.clip.frames is not None
    width, switches = analysis.clip.frames.shape[2], 0
    tracks: dict[int, int] = {}
    for index, each in enumerate(analysis.people or ()):
        owners = [whose(box, at_s, truth, width) for at_s, box in each.person.boxes]
        owners = [owner for owner in owners if owner >= 0]
        switches += sum(a != b for a, b in pairwise(owners))
        if owners:
            owner = Counter(owners).most_common(1)[0][0]
            switches += owner in tracks
            tracks.setdefault(owner, index)
    return switches, tracks


def main() -> None:
    """Print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--groups", type=int, default=4, help="clips of each kind")
    parser.add_argument("--pairs", type=int, default=12, help="clips of two people who stay, for the answers")
    parser.add_argument("--keep", type=Path, help="keep the clips here, and use those that are there")
    parser.add_argument("--mead", type=Path, help="a folder of real clips with one face each")
    parser.add_argument("--model", default="pico")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2 = opencv()
    cv2.setNumThreads(1)
    detector = load_detector()
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")

    def haar(frame: NDArray[np.uint8]) -> list[Box]:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        return [
            (float(x), float(y), float(x + w), float(y + h))
            for x, y, w, h in cascade.detectMultiScale(grey, 1.1, 3, minSize=(24, 24))
        ]

    analyzer = EmotionAnalyzer.from_pretrained(given.model)
    blaze: Counter[str] = Counter()
    old: Counter[str] = Counter()
    switches: Counter[str] = Counter()
    minutes: Counter[str] = Counter()
    right: Counter[str] = Counter()
    speaker: Counter[str] = Counter()
    seconds = {"video": 0.0, "people": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        keep = given.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        for people, moves in KINDS:
            for index in range(given.pairs if (people, moves) == (2, "stay") else given.groups):
                # Make the clip.
                path = keep / f"{people}-{moves}-{index}.mp4"
                if not path.with_suffix(".json").exists():
                    known, _ = render_group(stage_group(index, 0, "test", people, moves), path)  # type: ignore[arg-type]
                    path.with_suffix(".json").write_text(json.dumps(known))
                truth = json.loads(path.with_suffix(".json").read_text())
                names = [each["person"] for each in truth["people"]]
                speaks = names.index(truth["speaker"])

                # The faces of single frames.
                for k, frame in enumerate(frames_of(path, EVERY)):
                    at = min(k * EVERY, len(truth["people"][0]["boxes"]) - 1)
                    boxes = [tuple(each["boxes"][at]) for each in truth["people"]]
                    facing = [each["facing"][at] for each in truth["people"]]
                    count_faces(blaze, [face.box for face in detector.faces(frame)], boxes, facing)
                    count_faces(old, haar(frame), boxes, facing)

                # The people, and the answers for each and for the whole frame.
                clip = load_clip(path)
                analysis = analyzer.analyze(clip, truth["text"], tasks=["emotion"], people=True)
                seconds["video"] += clip.duration_s
                seconds["people"] += analysis.timing_s["faces"]
                kind = f"{people}, {moves}"
                moved, tracks = followed(analysis, truth)
                switches[kind] += moved
                minutes[kind] += clip.duration_s / 60  # type: ignore[assignment]
                if people < 2:
                    continue
                shares = [each.person.speech or 0.0 for each in analysis.people or ()]
                speaker["clips"] += 1
                speaker["right"] += bool(shares) and tracks.get(speaks) == int(np.argmax(shares))
                for step in np.arange(*truth["speech_s"], 0.1):
                    now = [
                        i for i, each in enumerate(analysis.people or ())
                        if any(a <= step < b for a, b in each.person.speaks_s)
                    ]  # fmt: skip
                    speaker["moments"] += 1
                    speaker["right_moments"] += now == [tracks.get(speaks, -1)]
                if (people, moves) != (2, "stay"):
                    continue
                whole = analyzer.analyze(clip, truth["text"], tasks=["emotion"])["emotion"].label
                for who, each in enumerate(truth["people"]):
                    role = "speaker" if who == speaks else "listener"
                    own = analysis.people[tracks[who]].tasks["emotion"].label if who in tracks else None  # type: ignore[index]
                    right[f"{role}s"] += 1
                    right[f"{role}, for each"] += own == each["emotion"]
                    right[f"{role}, whole frame"] += whole == each["emotion"]

    result: dict[str, Any] = {
        "version": __version__,
        "machine": f"{platform.machine()}, 1 thread",
        "detector": detector.name,
        "clips_of_each_kind": given.groups,
        "pairs": given.pairs,
        "faces": blaze["wanted"],
        "frames": blaze["frames"],
        "recall": round(blaze["hit"] / blaze["wanted"], 4),
        "false_per_frame": round(blaze["false"] / blaze["frames"], 4),
        "haar_recall": round(old["hit"] / old["wanted"], 4),
        "haar_false_per_frame": round(old["false"] / old["frames"], 4),
        "switches_per_minute": {kind: round(switches[kind] / minutes[kind], 2) for kind in minutes},
        "minutes": {kind: round(value, 2) for kind, value in minutes.items()},
        "speaker": {
            "clips": speaker["clips"],
            "right_of_clips": round(speaker["right"] / max(speaker["clips"], 1), 4),
            "right_of_moments": round(speaker["right_moments"] / max(speaker["moments"], 1), 4),
        },
        "right": {
            role: {
                "people": right[f"{role}s"],
                "for_each": round(right[f"{role}, for each"] / max(right[f"{role}s"], 1), 4),
                "whole_frame": round(right[f"{role}, whole frame"] / max(right[f"{role}s"], 1), 4),
            }
            for role in ("speaker", "listener")
        },
        "seconds_per_second_of_video": round(seconds["people"] / seconds["video"], 3),
    }
    if given.mead:
        found: list[int] = []
        started = time.perf_counter()
        for path in sorted(given.mead.glob("*.mp4")):
            found += [len(detector.faces(frame)) for frame in frames_of(path, 5)]
        result["real_clips"] = {
            "frames": len(found),
            "one_face": round(sum(n == 1 for n in found) / len(found), 4),
            "no_face": sum(n == 0 for n in found),
            "seconds_per_frame": round((time.perf_counter() - started) / len(found), 4),
        }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

"""How often a face stays readable in the frames of a page that is made with --share.

    python benchmarks/share.py [--clips 20] [--seed 31] [--keep DIR] [--mead FOLDER]

Makes Theatre clips with two and three people who stay, cross or leave, and blurs the eight frames of each as the page
does. A face is readable where its frame was not blurred as a whole and less than 80 % of its box was blurred. `facing`
are faces that look into the camera; `turned` are those that do not, or are covered. Of real clips (--mead), a face is
readable where BlazeFace or the Haar cascades of OpenCV, which had no part in the blurring, still find one. Prints one
line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from nanoemox.inference.share import shareable, unrecognisable
from nanoemox.media.load import load_clip
from nanoemox.people.detector import load_detector, opencv
from nanoemox.theatre.group import FRAME_RATE_HZ, render_group, stage_group

KINDS = (("stay", 2, 8), ("cross", 2, 5), ("stay", 3, 4), ("leave", 3, 3))


def interval(hits: int, of: int) -> list[float]:
    """The exact 95 % interval of a share."""
    low = float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0
    return [round(low, 4), round(high, 4)]


def main() -> None:
    """Make the clips, blur their frames, print one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--seed", type=int, nargs="+", default=[31])
    parser.add_argument("--keep", type=Path, help="keep the clips here, and use those that are there")
    parser.add_argument("--mead", type=Path, help="a folder of real clips with one face each")
    given = parser.parse_args()
    detector = load_detector()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        keep = given.keep or Path(folder)
        asked = [(seed, m, n, i) for seed in given.seed for m, n, many in KINDS for i in range(many)]
        for seed, moves, people, index in asked[: given.clips * len(given.seed)]:
            path = keep / f"{seed}-{people}-{moves}-{index}.mp4"
            if not path.with_suffix(".json").exists():
                known, _ = render_group(stage_group(index, seed, "test", people, moves), path)  # type: ignore[arg-type]
                path.with_suffix(".json").write_text(json.dumps(known))
            truth = json.loads(path.with_suffix(".json").read_text())
            clip = load_clip(path)
            assert clip.frames is not None
            width = clip.frames.shape[2]
            counts["clips"] += 1
            for frame, shown, at_s in zip(
                clip.frames, shareable(clip.frames, detector), clip.frame_times_s, strict=True
            ):
                whole = np.array_equal(shown, unrecognisable(frame))
                counts["frames"] += 1
                counts["frames_blurred_whole"] += int(whole)
                changed = (shown != frame).any(axis=2)
                k = min(round(at_s * FRAME_RATE_HZ), len(truth["people"][0]["boxes"]) - 1)
                for person in truth["people"]:
                    left, top, right, bottom = person["boxes"][k]
                    part = changed[max(0, int(top)) : int(bottom), max(0, int(left)) : min(width, int(right))]
                    if part.size < 0.3 * (right - left) * (bottom - top):
                        continue  # out of the picture
                    kind = "facing" if person["facing"][k] else "turned"
                    counts[kind] += 1
                    counts[f"{kind}_readable"] += int(not whole and part.mean() < 0.8)
    result: dict[str, Any] = {"benchmark": "share", "seeds": given.seed, **counts}
    for kind in ("facing", "turned"):
        if counts[kind]:
            hits = counts[f"{kind}_readable"]
            result[f"{kind}_readable"] = hits
            result[f"{kind}_readable_share"] = round(hits / counts[kind], 4)
            result[f"{kind}_interval"] = interval(hits, counts[kind])
    if given.mead:
        cv2 = opencv()
        cascades = [
            cv2.CascadeClassifier(cv2.data.haarcascades + f"haarcascade_{name}.xml")
            for name in ("frontalface_alt2", "profileface")
        ]
        real: Counter[str] = Counter()
        for path in sorted(given.mead.glob("*.mp4")):
            clip = load_clip(path)
            assert clip.frames is not None
            for frame, shown in zip(clip.frames, shareable(clip.frames, detector), strict=True):
                real["frames"] += 1
                real["frames_blurred_whole"] += np.array_equal(shown, unrecognisable(frame))
                for name, picture in (("before", frame), ("after", shown)):
                    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
                    least = (grey.shape[0] // 8,) * 2
                    haar = any(len(each.detectMultiScale(grey, 1.1, 3, minSize=least)) for each in cascades)
                    real[f"face_found_{name}"] += haar or bool(detector.faces(picture))
        result["real_clips"] = dict(real)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

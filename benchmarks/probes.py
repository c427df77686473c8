"""What stands in each part of the media path of a model, and what is lost on the way, by linear probes.

    python benchmarks/probes.py --fit TRAIN.jsonl --test TEST.jsonl [TEST.jsonl ...] --features FOLDER
        [--model pico] [--out FILE]

For each place on the way from the frozen encoders to the language model (every depth that the fusion reads, the
features that the adapters read, the fused stream before and after its mean over time, each branch's tokens) a logistic
regression guesses each factor of Affect Theatre's scripts from stored features. Who comes first, face or voice,
is a factor of the moment: only an ordered reading of two streams can tell. Beside the probes: how far the tokens move
when the order of the frames or of the audio windows is shuffled, how even the attention is, how alike the tokens of a
clip are, and how little the frames of one clip differ. Writes one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from nanoemox.checkpoints.load import load_model, load_processor, locate
from nanoemox.data.extract_features import extract_features
from nanoemox.data.manifest import read_manifest
from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_json
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration

LEAD_S = 0.15  # a smaller lead of face or voice is left out
BATCH = 64


# ------------------------------------------------------------------------------------------ what is asked
def _readable(name: str, hidden: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda factors: None if factors[name] == hidden else str(factors[name])


def _lead(factors: Mapping[str, Any]) -> str | None:
    lead_s = float(factors["lead_s"])
    shown = factors["face"] not in ("still", "hidden") and factors["voice"] != "drowned"
    return ("face" if lead_s > 0 else "voice") if shown and abs(lead_s) > LEAD_S else None


def _face_strength(factors: Mapping[str, Any]) -> str | None:
    return None if factors["face"] in ("still", "hidden") else str(factors["strength"])


FACTORS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "face group": _readable("face", "hidden"),
    "strength, by the face": _face_strength,
    "voice style": _readable("voice", "drowned"),
    "sigh": lambda factors: str(factors["sigh"]),
    "rising end": lambda factors: str(factors["rising_end"]),
    "place": lambda factors: str(factors["place"]),
    "prop": lambda factors: str(factors["prop"]),
    "light": lambda factors: str(factors["light"]),
    "who leads": _lead,
}


# ------------------------------------------------------------------------------------------ where it is looked for
@torch.inference_mode()
def places(
    model: NanoEmoXForConditionalGeneration, clips: Sequence[Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """One row per clip for every place on the way, [n, D]; streams in order stand side by side."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str, rows: Tensor) -> None:
        found.setdefault(name, []).append(rows.float())

    fusion: Any = model.fusion
    depths = fusion.num_experts
    config = model.config
    for start in range(0, len(clips), BATCH):
        batch = {
            name: torch.stack([clip[name] for clip in clips[start : start + BATCH]]) for name in clips[start]
        }
        video = batch["video_fusion_features"].unflatten(-1, (depths, -1))  # [B, T, E, D]
        audio = batch["audio_fusion_features"].unflatten(-1, (depths, -1))  # [B, C, E, D]
        for e, layer in enumerate(config.vision_fusion_layers):
            keep(f"video, layer {layer}, mean over frames", video[:, :, e].mean(dim=1))
        for e, layer in enumerate(config.audio_fusion_layers):
            keep(f"audio, layer {layer}, mean over windows", audio[:, :, e].mean(dim=1))
        keep("audio features, mean over windows", batch["audio_features"].mean(dim=1))
        keep("audio features, in order", batch["audio_features"].flatten(1))
        keep("face features, mean over frames", batch["face_features"].mean(dim=1))
        keep("face features, in order", batch["face_features"].flatten(1))
        keep(
            "face and audio features, in order",
            torch.cat([batch["face_features"].flatten(1), batch["audio_features"].flatten(1)], dim=1),
        )
        keep(
            "fusion's input, in order",
            torch.cat([video.flatten(1), audio.flatten(1)], dim=1),
        )
        fused, _ = fusion.mix(batch["video_fusion_features"], batch["audio_fusion_features"])  # [B, C, D]
        keep("fused stream, in order", fused.flatten(1))
        token = model.get_fusion_features(batch["video_fusion_features"], batch["audio_fusion_features"])[0]
        keep("fusion token", token[:, 0])
        for name, tokens in (
            ("face", model.get_face_features(batch["face_features"])),
            ("audio", model.get_audio_features(batch["audio_features"])),
            ("video", model.get_video_features(batch["video_features"])),
        ):
            keep(f"{name} tokens, the first", tokens[:, 0])
            keep(f"{name} tokens, all", tokens.flatten(1))
    return {name: torch.cat(rows) for name, rows in found.items()}


def accuracy(
    fit: NDArray[np.float32],
    fit_labels: Sequence[str | None],
    test: NDArray[np.float32],
    labels: Sequence[str | None],
) -> tuple[float, float, int]:
    """Accuracy of a linear probe, of the most frequent label, and the number of test clips.

    Args:
        fit: Rows that the probe is fitted on, [n, D].
        fit_labels: Their labels; None is left out.
        test: Rows that are guessed, [m, D].
        labels: Their labels; None is left out.

    Returns:
        The two accuracies and the number.
    """
    known = [i for i, label in enumerate(fit_labels) if label is not None]
    asked = [i for i, label in enumerate(labels) if label is not None]
    learnt, truth = np.array([fit_labels[i] for i in known]), np.array([labels[i] for i in asked])
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(fit[known], learnt)
    values, counts = np.unique(learnt, return_counts=True)
    most = values[counts.argmax()]
    return float((probe.predict(test[asked]) == truth).mean()), float((truth == most).mean()), len(asked)


# ------------------------------------------------------------------------------------------ what the form can carry
@torch.inference_mode()
def moved_by_order(model: NanoEmoXForConditionalGeneration, batch: Mapping[str, Tensor]) -> dict[str, float]:
    """How far each branch's tokens move when the order in time is shuffled, as a share of their own spread."""
    generator = torch.Generator().manual_seed(0)

    def shuffled(value: Tensor) -> Tensor:
        return value[:, torch.randperm(value.shape[1], generator=generator)]

    video, audio = batch["video_fusion_features"], batch["audio_fusion_features"]
    pairs = {
        "fusion, frames shuffled": (
            model.get_fusion_features(video, audio)[0],
            model.get_fusion_features(shuffled(video), audio)[0],
        ),
        "fusion, windows shuffled": (
            model.get_fusion_features(video, audio)[0],
            model.get_fusion_features(video, shuffled(audio))[0],
        ),
        "face, frames shuffled": (
            model.get_face_features(batch["face_features"]),
            model.get_face_features(shuffled(batch["face_features"])),
        ),
        "audio, windows shuffled": (
            model.get_audio_features(batch["audio_features"]),
            model.get_audio_features(shuffled(batch["audio_features"])),
        ),
        "video, frames shuffled": (
            model.get_video_features(batch["video_features"]),
            model.get_video_features(shuffled(batch["video_features"])),
        ),
    }
    return {
        name: round(float((after - before).norm() / (before - before.mean(dim=0)).norm()), 6)
        for name, (before, after) in pairs.items()
    }


@torch.inference_mode()
def evenness(model: NanoEmoXForConditionalGeneration, batch: Mapping[str, Tensor]) -> dict[str, float]:
    """Entropy of the attention over time as a share of the highest possible one: 1 is a plain mean."""
    found = {}

    def share(weights: Tensor) -> float:  # [B, heads, N, T]
        entropy = -(weights * weights.clamp(min=1e-12).log()).sum(dim=-1).mean()
        return round(float(entropy) / math.log(weights.shape[-1]), 4)

    face: Any = model.face_adapter
    features = batch["face_features"]
    queries = face.query_tokens.expand(len(features), -1, -1)
    _, weights = face.attention(queries, features, features, need_weights=True, average_attn_weights=False)
    found["face queries over frames"] = share(weights)
    found["face: total variation between two queries"] = round(
        float((weights[:, :, 0] - weights[:, :, 1]).abs().sum(dim=-1).mean() / 2), 4
    )
    fusion: Any = model.fusion
    video = fusion.video_projection(batch["video_fusion_features"].unflatten(-1, (fusion.num_experts, -1)))
    audio = fusion.audio_projection(batch["audio_fusion_features"].unflatten(-1, (fusion.num_experts, -1)))
    for e, expert in enumerate(fusion.experts):
        _, weights = expert.attention(
            audio[:, :, e], video[:, :, e], video[:, :, e], need_weights=True, average_attn_weights=False
        )
        found[f"expert {e + 1} over frames"] = share(weights)
    gate = model.get_fusion_features(batch["video_fusion_features"], batch["audio_fusion_features"])[1]
    assert gate is not None
    found["gate over experts"] = round(
        float(-(gate * gate.clamp(min=1e-12).log()).sum(dim=-1).mean()) / math.log(gate.shape[-1]), 4
    )
    for e, weight in enumerate(gate.mean(dim=0).tolist()):
        found[f"gate, mean weight of expert {e + 1}"] = round(weight, 4)
    return found


def within_clips(batch: Mapping[str, Tensor]) -> dict[str, float]:
    """The share of the features' variance that lies between time steps of one clip and not between clips."""
    return {
        name: round(float(value.var(dim=1, unbiased=False).mean() / value.flatten(0, 1).var(dim=0).mean()), 4)
        for name, value in batch.items()
    }


def _chosen(paths: Sequence[Path]) -> list[Record]:
    return [record for path in paths for record in read_manifest(path)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fit", type=Path, nargs="+", required=True)
    parser.add_argument("--test", type=Path, nargs="+", required=True)
    parser.add_argument(
        "--features", type=Path, required=True, help="a feature store; filled where clips are missing"
    )
    parser.add_argument("--model", default="pico")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = locate(given.model)
    model, _ = load_model(folder, "cpu", dtype="auto")
    model.float().eval()
    fit, test = _chosen(given.fit), _chosen(given.test)
    store = extract_features(
        [*fit, *test], model, load_processor(folder), given.features, workers=0, bf16=True
    )
    fit, test = [r for r in fit if r.id in store], [r for r in test if r.id in store]
    fit_rows = places(model, [store[record.id] for record in fit])
    test_rows = places(model, [store[record.id] for record in test])
    probes: dict[str, dict[str, float]] = {}
    chance: dict[str, dict[str, float]] = {}
    for factor, label_of in FACTORS.items():
        learnt = [label_of(record.factors or {}) for record in fit]
        truth = [label_of(record.factors or {}) for record in test]
        for place, rows in fit_rows.items():
            right, most, number = accuracy(rows.numpy(), learnt, test_rows[place].numpy(), truth)
            probes.setdefault(place, {})[factor] = round(right, 4)
            chance[factor] = {"most frequent label": round(most, 4), "test clips": number}
    some = [store[record.id] for record in test[:BATCH]]
    batch = {name: torch.stack([clip[name] for clip in some]) for name in some[0]}
    result = {
        "benchmark": "probes",
        "command": "python benchmarks/probes.py " + " ".join(sys.argv[1:]),
        "machine": "2 shared x86-64 cores",
        "model": given.model,
        "clips": {"fit": len(fit), "test": len(test)},
        "chance": chance,
        "probes": probes,
        "moved_by_shuffled_order": moved_by_order(model, batch),
        "evenness_of_attention": evenness(model, batch),
        "share_of_variance_within_clips": within_clips(batch),
    }
    if given.out:
        write_json(given.out, result)
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the parts of a model do on Affect Theatre: gate, attention over frames, what tokens hold, muted branches.

    python benchmarks/parts.py MANIFEST... --features DIR [--model pico] [--clips 400] [--written 60] [--json FILE]

`gate`: the weights of the three fusion experts, by the factors of the clips. The gate sees no question, so it cannot
differ between tasks about one clip; which task leans on which expert is shown by `experts`, where one expert alone, or
the plain mean, stands in for the gate. `attention`: the weights that the face adapter gives to the frames, beside how
far the expression has come in each of them. `probes`: what a linear classifier reads from the features and the tokens
of people that it has not met, and whether it knows a person again. `muted`: the figures of all tasks without each
branch. The clips' features are computed once, into DIR.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from nanoemox.data.extract_features import extract_features
from nanoemox.data.manifest import read_manifest
from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_json
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.clip import frame_indices
from nanoemox.model.clip_processor import stack_media
from nanoemox.tasks.task import TASKS, closed_tasks
from nanoemox.theatre.actor import AU_NAMES
from nanoemox.theatre.render import plan, poses
from nanoemox.theatre.script import stage_script
from nanoemox.training.study.measure import answers, branches, figures, headlines, muted

FACTORS = ("face", "voice", "strength", "conflict", "family", "place", "prop", "light")
FOLDS = 5
FEWEST_CLIPS = 3  # of a person, to ask whether it is known again
Store = Mapping[str, Mapping[str, Tensor]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--model", default="pico")
    parser.add_argument("--features", type=Path, required=True, help="the feature store, made or added to")
    parser.add_argument("--clips", type=int, default=400, help="how many of each manifest, from its start")
    parser.add_argument("--written", type=int, default=60, help="how many of these are answered in words")
    parser.add_argument("--json", type=Path, help="the file to write, beside what is printed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    analyzer = EmotionAnalyzer.from_pretrained(given.model, dtype="float32")
    records = [record for path in given.manifests for record in read_manifest(path)[: given.clips]]
    store = extract_features(
        records, analyzer.model, analyzer.processor, given.features, workers=0, bf16=True
    )
    kept: Store = {record.id: store[record.id] for record in records}
    result = {
        "benchmark": "parts",
        "command": "python benchmarks/parts.py "
        + " ".join(f"{p.parent.name}/{p.name}" for p in given.manifests)
        + f" --model {given.model} --clips {given.clips} --written {given.written}",
        "machine": "2 shared x86-64 cores",
        "model": given.model,
        "clips": len(records),
        "gate": gate_of(analyzer, records, kept),
        "experts": experts_of(analyzer, records, kept),
        "attention": attention_of(analyzer, records, kept),
        "probes": probes_of(analyzer, records, kept),
        "muted": muted_of(analyzer, records, kept, given.written),
    }
    if given.json:
        write_json(given.json, result)
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


def batches(records: Sequence[Record], store: Store) -> Any:
    """The clips' features, 64 clips at a time."""
    for start in range(0, len(records), 64):
        part = records[start : start + 64]
        yield part, stack_media([dict(store[record.id]) for record in part])


# ---------------------------------------------------------------- the gate
@torch.inference_mode()
def gate_of(analyzer: EmotionAnalyzer, records: Sequence[Record], store: Store) -> dict[str, Any]:
    """Mean weights, how often each expert weighs most, and by how much each factor moves the weights."""
    rows = []
    for _, batch in batches(records, store):
        _, gate = analyzer.model.get_fusion_features(
            batch["video_fusion_features"], batch["audio_fusion_features"]
        )
        rows.append(gate.numpy())
    gates = np.concatenate(rows)  # [clips, experts]
    factors = {"emotion": [r.labels.emotion.label if r.labels.emotion else "" for r in records]}
    factors |= {name: [str((r.factors or {}).get(name)) for r in records] for name in FACTORS}
    found: dict[str, Any] = {
        "mean": rounded(gates.mean(axis=0)),
        "spread": rounded(gates.std(axis=0)),
        "largest": rounded(np.bincount(gates.argmax(axis=1), minlength=gates.shape[1]) / len(gates)),
        "by_factor": {},
    }
    for name, values in factors.items():
        groups: dict[str, list[int]] = defaultdict(list)
        for i, value in enumerate(values):
            groups[value].append(i)
        between = sum(len(i) * (gates[i].mean(axis=0) - gates.mean(axis=0)) ** 2 for i in groups.values())
        total = ((gates - gates.mean(axis=0)) ** 2).sum(axis=0)
        found["by_factor"][name] = {
            "share_of_variance": rounded(between / np.maximum(total, 1e-12)),
            "mean": {value: rounded(gates[i].mean(axis=0)) for value, i in sorted(groups.items())},
        }
    return found


def experts_of(analyzer: EmotionAnalyzer, records: Sequence[Record], store: Store) -> dict[str, Any]:
    """The closed tasks with the gate, with each expert alone, and with the plain mean of all."""
    gate, closed = analyzer.model.fusion.gate, list(closed_tasks())
    experts = analyzer.model.config.fusion_experts

    def forced(weights: Sequence[float]) -> Any:
        logits = torch.tensor(weights).clamp(min=1e-9).log()
        return lambda module, inputs, output: logits.expand_as(output)

    forms = {f"expert_{e}": [float(e == i) for i in range(experts)] for e in range(experts)}
    forms["mean"] = [1 / experts] * experts
    found = {}
    for name, weights in {"gate": None, **forms}.items():
        with ExitStack() as stack:
            if weights is not None:
                stack.callback(gate.register_forward_hook(forced(weights)).remove)
            found[name] = headlines(figures(records, answers(analyzer, records, store, lambda _: closed)))
    return found


# ---------------------------------------------------------------- attention over frames
@torch.inference_mode()
def attention_of(analyzer: EmotionAnalyzer, records: Sequence[Record], store: Store) -> dict[str, Any] | None:
    """How evenly the face queries look at the frames, and whether they look where the expression is."""
    adapter = analyzer.model.face_adapter
    if adapter is None:
        return None
    weights = []
    for part, batch in batches(records, store):
        features = batch["face_features"]
        queries = adapter.query_tokens.expand(len(part), -1, -1)
        weights.append(adapter.attention(queries, features, features, need_weights=True)[1].numpy())
    attention = np.concatenate(weights)  # [clips, queries, T]
    shown = [i for i, r in enumerate(records) if (r.factors or {}).get("face") not in ("hidden", "still")]
    strengths = {i: strength_over_time(records[i]) for i in shown}
    frames = attention.shape[-1]
    even = -(attention * np.log(np.maximum(attention, 1e-12))).sum(axis=-1) / np.log(frames)
    stages: dict[str, list[float]] = defaultdict(list)
    correlations = []
    for i, strength in strengths.items():
        mean = attention[i].mean(axis=0) * frames  # 1 everywhere where it is even
        stage = np.where(strength > 0.8, "apex", np.where(strength < 0.2, "rest", "between"))
        for name in ("rest", "between", "apex"):
            stages[name] += mean[stage == name].tolist()
        if strength.std() > 0.05 and mean.std() > 0:
            correlations.append(float(np.corrcoef(mean, strength)[0, 1]))
    apart = [float(np.abs(a - a.mean(axis=0)).sum(axis=-1).mean() / 2) for a in attention]
    return {
        "evenness": round(float(even.mean()), 4),  # 1: every frame counts the same
        "queries_differ_by": round(float(np.mean(apart)), 4),  # 0: all look at the same frames
        "mean_by_frame": rounded(attention.mean(axis=(0, 1))),
        "relative_weight": {n: round(float(np.mean(v)), 4) for n, v in stages.items() if v},
        "frames": {name: len(values) for name, values in stages.items()},
        "correlation_with_expression": round(float(np.mean(correlations)), 4) if correlations else None,
        "clips": len(strengths),
    }


def strength_over_time(record: Record) -> NDArray[np.float64]:
    """How far the expression has come in each frame that the model sees, as a share of its most [T]."""
    split, seed, index = record.id.split("-")
    script = stage_script(int(index), int(seed), split)
    staged = plan(script)
    track = poses(script, staged)
    seen = [track[i] for i in frame_indices(staged.frames)]
    moved = np.array([[getattr(pose, name) for name in AU_NAMES if name != "au43"] for pose in seen])
    size = np.linalg.norm(moved, axis=1)
    most = max(np.linalg.norm([getattr(p, n) for n in AU_NAMES if n != "au43"]) for p in track)
    return np.asarray(size / max(float(most), 1e-9))


# ---------------------------------------------------------------- what tokens hold
@torch.inference_mode()
def probes_of(analyzer: EmotionAnalyzer, records: Sequence[Record], store: Store) -> dict[str, Any]:
    """Accuracy of linear probes, for people that they have not met, and for the person itself."""
    model, vectors = analyzer.model, defaultdict(list)
    for _, batch in batches(records, store):
        tokens = {
            "audio tokens": model.get_audio_features(batch["audio_features"]),
            "scene tokens": model.get_video_features(batch["video_features"]),
            "fusion token": model.get_fusion_features(
                batch["video_fusion_features"], batch["audio_fusion_features"]
            )[0],
        }
        if model.face_adapter is not None:
            tokens["face tokens"] = model.get_face_features(batch["face_features"])
            tokens["face features, mean"] = batch["face_features"].mean(dim=1, keepdim=True)
        for name, value in tokens.items():
            vectors[name].append(value.flatten(1).numpy())
    truths = {"emotion": [r.labels.emotion.label if r.labels.emotion else "" for r in records]}
    truths |= {name: [str((r.factors or {})[name]) for r in records] for name in ("face", "voice", "prop")}
    people = [str((record.factors or {})["person"]) for record in records]
    found: dict[str, Any] = {"chance": {}}
    for name, parts in vectors.items():
        rows = np.concatenate(parts)
        found[name] = {what: probe(rows, values, people) for what, values in truths.items()}
        found[name]["person"], found["chance"]["person"] = known_again(rows, people)
    for what, values in truths.items():
        found["chance"][what] = round(max(values.count(v) for v in set(values)) / len(values), 4)
    return found


def classifier() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300))


def probe(rows: NDArray[Any], truth: Sequence[str], people: Sequence[str]) -> float:
    """Accuracy of a linear classifier on people that it has not met."""
    folds = GroupKFold(FOLDS)
    scores = cross_val_score(classifier(), rows, np.array(truth), groups=np.array(people), cv=folds)
    return round(float(np.mean(scores)), 4)


def known_again(rows: NDArray[Any], people: Sequence[str]) -> tuple[float | None, float | None]:
    """Accuracy of a linear classifier of the person, among those with clips enough; and chance."""
    kept = [i for i, person in enumerate(people) if people.count(person) >= FEWEST_CLIPS]
    names = [people[i] for i in kept]
    if len(set(names)) < 2:
        return None, None
    folds = StratifiedKFold(FEWEST_CLIPS, shuffle=True, random_state=0)
    scores = cross_val_score(classifier(), rows[kept], np.array(names), cv=folds)
    return round(float(np.mean(scores)), 4), round(1 / len(set(names)), 4)


# ---------------------------------------------------------------- branches
def muted_of(
    analyzer: EmotionAnalyzer, records: Sequence[Record], store: Store, written: int
) -> dict[str, Any]:
    """The figure that stands for each task, with all branches and without each."""
    closed, first = list(closed_tasks()), {record.id for record in records[:written]}
    open_ = [name for name in TASKS if name not in closed]

    def asked(record: Record) -> list[str]:
        return closed + (open_ if record.id in first else [])

    found: dict[str, Any] = {
        "clips": {"closed": len(records), "open": min(written, len(records))},
        "none": headlines(figures(records, answers(analyzer, records, store, asked))),
    }
    for branch in branches(analyzer.model):
        with muted(analyzer.model, branch):
            found[branch] = headlines(figures(records, answers(analyzer, records, store, asked)))
    return found


# ---------------------------------------------------------------- the tables of docs/results.md
def tables(result: Mapping[str, Any]) -> str:
    """The tables that docs/results.md has of a result, in Markdown."""
    gate, attention, probes, muted = (result[name] for name in ("gate", "attention", "probes", "muted"))
    experts, closed = result["experts"], list(closed_tasks())
    low, middle, high = gate["mean"]
    factors = {name: max(of["share_of_variance"]) for name, of in gate["by_factor"].items()}
    lines = [
        f"The gate gives the experts of the lowest, middle and highest layers {low:.3f}, {middle:.3f} and {high:.3f} "
        f"on average; they weigh most in {', '.join(f'{share:.3f}' for share in gate['largest'])} of the clips. The "
        "most that a factor explains of the variance of any weight: "
        + ", ".join(f"{name} {share:.2f}" for name, share in sorted(factors.items(), key=lambda p: -p[1]))
        + ".",
        "",
        *table(
            ["in place of the gate", *closed],
            [
                [name.replace("_", " "), *(f"{of[task]:.3f}" for task in closed)]
                for name, of in experts.items()
            ],
        ),
        "",
        *table(
            ["tokens set to zero", *TASKS],
            [
                [name, *(f"{muted[name][task]:.3f}" if task in muted[name] else "–" for task in TASKS)]
                for name in muted
                if name != "clips"
            ],
        ),
        "",
        *table(
            ["a linear probe reads", *probes["chance"]],
            [
                [name, *("–" if of[what] is None else f"{of[what]:.3f}" for what in probes["chance"])]
                for name, of in probes.items()
            ],
        ),
    ]
    if attention:
        weights = ", ".join(f"{name} {value:.3f}" for name, value in attention["relative_weight"].items())
        known = attention["correlation_with_expression"]
        lines += [
            "",
            f"Attention of the face queries over the frames: evenness {attention['evenness']:.4f} (1: every frame "
            f"counts the same); the queries differ by {attention['queries_differ_by']:.4f} (0: all look at the same "
            f"frames). Weight of a frame, 1 where all count the same: {weights}. Correlation with how far the "
            f"expression has come: {'none' if known is None else f'{known:+.3f}'}, over {attention['clips']} clips.",
        ]
    return "\n".join(lines)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def rounded(values: NDArray[Any]) -> list[float]:
    return [round(float(value), 4) for value in values]


if __name__ == "__main__":
    sys.exit(main())

"""What a model loses and gains as OpenVINO graphs of 8 or 4 bits, beside itself in float32 and bfloat16.

    nanoemox export pico pico-8 --format openvino --bits 8
    nanoemox export pico pico-4 --format openvino --bits 4
    python benchmarks/openvino_export.py pico pico-8 pico-4 --manifest MANIFEST --clips 100
    python benchmarks/openvino_export.py nano nano-8 nano-4 --parts load logits answers --torch bfloat16 --tokens 12

Of each: size on disk, time to load and peak memory in a process of its own; the change of the logits of six questions
about one clip against float32; seconds for six answers, all ways in turn in one process; and, with a manifest, every
task's score. Prints one line of JSON. On a machine that does other things, compare the processor's seconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from nanoemox.checkpoints.load import locate
from nanoemox.checkpoints.openvino_folder import is_openvino
from nanoemox.evaluation.evaluate import evaluate
from nanoemox.inference import decoding
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.load import load_clip
from nanoemox.tasks.task import TASKS

CLIP = Path(__file__).parents[1] / "demo" / "sample.mp4"
TEXT = "Well, forgive me, I am really sorry."

_LOAD = """
import json, resource, sys, time, torch
from nanoemox.inference.analyzer import EmotionAnalyzer
torch.set_num_threads({threads})
started, cpu = time.perf_counter(), time.process_time()
analyzer = EmotionAnalyzer.from_pretrained({path!r}, dtype={dtype!r})
load = [round(time.perf_counter() - started, 2), round(time.process_time() - cpu, 2)]
analyzer.analyze({clip!r}, text={text!r}, untrained=True, max_new_tokens=8)
print(json.dumps({{"load_s": load[0], "load_processor_s": load[1],
    "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)}}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="the model that was exported")
    parser.add_argument("exported", nargs="*", help="its exports")
    parser.add_argument("--manifest", type=Path, help="score every task on its clips")
    parser.add_argument("--clips", type=int, default=100, help="how many, from the start of the manifest")
    parser.add_argument("--rounds", type=int, default=5, help="of the timing; the medians are reported")
    parser.add_argument("--tokens", type=int, help="cut every answer here, for models that never end")
    parser.add_argument(
        "--torch", nargs="*", default=["float32", "bfloat16"], help="types of the model itself"
    )
    parser.add_argument(
        "--parts", nargs="+", default=["load", "logits", "answers", "scores"], help="what is measured"
    )
    parser.add_argument("--types", nargs="+", default=["float32"], help="in which OpenVINO computes")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if "scores" in given.parts and given.manifest is None:
        parser.error(
            "--manifest is missing, of whose clips the tasks are scored; or leave scores out of --parts"
        )
    torch.set_num_threads(given.threads)
    ways = [(f"torch {dtype}", given.model, dtype) for dtype in given.torch]
    ways += [(f"{Path(path).name} {dtype}", path, dtype) for path in given.exported for dtype in given.types]
    result: dict[str, Any] = {"benchmark": "openvino_export", "model": given.model, "threads": given.threads}
    result["ways"] = {name: {"size_mb": size_mb(path)} for name, path, _ in ways}
    if "load" in given.parts:
        for name, path, dtype in ways:
            result["ways"][name] |= loaded(path, dtype, given.threads)

    # The logits, one way after another, so that no two models have to be in memory.
    if "logits" in given.parts:
        exact = logits_of(given.model, "float32")
        for name, path, dtype in ways:
            result["ways"][name]["logits"] = compared(logits_of(path, dtype), exact)

    # Six answers, in turn.
    if {"answers", "scores"} & set(given.parts):
        analyzers = {name: EmotionAnalyzer.from_pretrained(path, dtype=dtype) for name, path, dtype in ways}
    if "answers" in given.parts:
        for name, seconds in six_answers(analyzers, given.rounds, given.tokens).items():
            result["ways"][name]["six_answers"] = seconds
    if "scores" in given.parts:
        result["clips"] = given.clips
        for name, analyzer in analyzers.items():
            result["ways"][name]["scores"] = scores_of(analyzer, given.manifest, given.clips)
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


def size_mb(path: str) -> float:
    """What the weights of a folder take on disk."""
    folder = Path(locate(path))
    files = folder.glob("openvino/*") if is_openvino(folder) else folder.glob("*.safetensors")
    return round(sum(file.stat().st_size for file in files) / 1e6, 1)


def loaded(path: str, dtype: str, threads: int) -> dict[str, Any]:
    """Time to load, and peak memory after six short answers, in a process of its own."""
    script = _LOAD.format(path=path, dtype=dtype, threads=threads, clip=str(CLIP), text=TEXT)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def logits_of(path: str, dtype: str) -> torch.Tensor:
    """Logits of the first token of the answers to six questions [6, vocabulary]."""
    analyzer = EmotionAnalyzer.from_pretrained(path, dtype=dtype)
    request = analyzer.request(load_clip(CLIP), TEXT, list(TASKS), untrained=True)
    states = {"video": "present", "audio": "present", "text": "present"}
    features = analyzer._features([request], [states])
    prompts, _ = analyzer._prompts(request, [TASKS[name] for name in TASKS], states)
    branches, _ = decoding.read_prompts(analyzer.model, [prompts], features)
    logits = branches.logits.double().clone()
    del analyzer, branches, features
    gc.collect()
    return logits


def compared(found: torch.Tensor, exact: torch.Tensor) -> dict[str, float]:
    """How far logits are from the exact ones."""
    shares, others = exact.log_softmax(dim=-1), found.log_softmax(dim=-1)
    return {
        "deviation": round(float((found - exact).norm() / exact.norm()), 5),
        "largest_change": round(float((found - exact).abs().max()), 4),
        "kl": round(float((shares.exp() * (shares - others)).sum(dim=-1).mean()), 6),
        "same_first_token": round(float((found.argmax(-1) == exact.argmax(-1)).double().mean()), 4),
    }


def six_answers(
    analyzers: dict[str, EmotionAnalyzer], rounds: int, tokens: int | None
) -> dict[str, dict[str, float]]:
    """Median seconds for six answers by name: of the clock, of the processor, and of encoding alone."""
    clip = load_clip(CLIP)
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in analyzers}
    for turn in range(rounds + 1):
        for name, analyzer in analyzers.items():
            clock, processor = time.perf_counter(), time.process_time()
            analysis = analyzer.analyze(
                clip, text=TEXT, tasks=list(TASKS), untrained=True, max_new_tokens=tokens
            )
            if turn:  # the first one warms up
                spent = time.perf_counter() - clock, time.process_time() - processor
                seen[name].append((*spent, analysis.timing_s["encode"]))
    return {
        name: {
            key: round(statistics.median(row[at] for row in rows), 3)
            for at, key in enumerate(("clock_s", "processor_s", "encode_clock_s"))
        }
        for name, rows in seen.items()
    }


def scores_of(analyzer: EmotionAnalyzer, manifest: Path, clips: int) -> dict[str, dict[str, float]]:
    """Every task's figures on the first clips of a manifest."""
    with tempfile.TemporaryDirectory() as folder:
        report = evaluate(manifest, analyzer, Path(folder) / "scores", limit=clips).to_dict()
    found: dict[str, dict[str, float]] = {}
    for task, figures in report["tasks"].items():
        valued = {name: each for name, each in figures.items() if isinstance(each, dict) and "value" in each}
        found[task] = {name: round(each["value"], 4) for name, each in valued.items()}
    return found


if __name__ == "__main__":
    sys.exit(main())

"""Compare our modules with reference vectors of the official code: `python -m tests.reference.parity DIR`.

Prints the largest error of each file in DIR and exits with 1 if any is above its tolerance (float32
entries: 1e-4 absolute; float16 entries: 2e-3 relative; scores 1e-9; tables must be equal). Names and sizes
come from each file, so any folder in the same form works. Scores need the word lists of the official scorer:
`--tables FOLDER`, or `emotion_wheel` beside DIR; without them these files are skipped. To add a check, give its
file pattern and function to CHECKS.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import torch

from tests.reference import lightmer_checks, metric_checks, model_checks, table_checks
from tests.reference.common import Result
from tests.reference.distillation_checks import check_schedules, check_swdh

CHECKS: dict[str, Callable[[Path], Result]] = {
    "fusion_*.safetensors": model_checks.check_fusion,
    "qformer_*.safetensors": model_checks.check_qformer,
    "facial_full*.safetensors": model_checks.check_facial_full,
    "facial_fuse*.safetensors": model_checks.check_facial_fuse,
    "facial_head*.safetensors": model_checks.check_facial_head,
    "clip_encoder_*.safetensors": model_checks.check_clip_encoder,
    "hubert_encoder_*.safetensors": model_checks.check_hubert_encoder,
    "affectgpt_attention_*.safetensors": model_checks.check_affectgpt_attention,
    "lightmer_adapters_*.safetensors": lightmer_checks.check_adapters,
    "lightmer_e2e*.safetensors": lightmer_checks.check_end_to_end,
    "lightmer_prompts*.json": lightmer_checks.check_prompts,
    "lightmer_checkpoint_tables*.json": lightmer_checks.check_checkpoint_tables,
    "manifest.json": lightmer_checks.check_manifest,
    "lightmer_clip_*.safetensors": lightmer_checks.check_clip,
    "lightmer_hubert_*.safetensors": lightmer_checks.check_hubert,
    "lightmer_faces_*.safetensors": lightmer_checks.check_faces,
    "param_counts.json": table_checks.check_param_counts,
    "nanoemox_param_table.json": table_checks.check_nanoemox_param_table,
    "facial_param_table.json": table_checks.check_facial_param_table,
    "rule_check.json": table_checks.check_rule,
    "frame_indices*.json": table_checks.check_frame_indices,
    "audio_preproc_*.safetensors": table_checks.check_audio_preproc,
    "audio_clips*.json": table_checks.check_audio_windows,
    "metrics_wordmap*.json": metric_checks.check_wordmap,
    "metrics_ew*.json": metric_checks.check_open_vocabulary,
    "metrics_hitrate*.json": metric_checks.check_hit_rate,
    "metrics_sentiment*.json": metric_checks.check_sentiment,
    "metrics_mintrec*.json": metric_checks.check_intent,
    "metrics_avamerg*.json": metric_checks.check_avamerg,
    "lightmer_swdh_*.safetensors": check_swdh,
    "lightmer_schedules.json": check_schedules,
}


def check_for(path: Path) -> Callable[[Path], Result] | None:
    """The check of a file by its name, None for a file that no check knows."""
    return next((check for pattern, check in CHECKS.items() if fnmatch(path.name, pattern)), None)


def files_of(folder: Path) -> list[Path]:
    """The files of a folder but for what is written about them, and those of folders below that any check knows."""
    if not folder.is_dir():
        return []
    own = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".md"]
    below = [
        path for path in folder.rglob("*") if path.is_file() and path.parent != folder and check_for(path)
    ]
    return sorted(own) + sorted(below)


@torch.no_grad()
def check_file(path: Path) -> Result | None:
    """Run the check of one file; a file that cannot be checked to the end fails rather than passes."""
    check = check_for(path)
    if check is None:
        return None
    try:
        return check(path)
    except metric_checks.TablesMissing as missing:
        return Result(skipped=str(missing))
    except Exception as error:
        return Result(problems=[f"{type(error).__name__}: {error}"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of reference vectors")
    parser.add_argument("--tables", type=Path, help="the word lists of the official scorer")
    given = parser.parse_args(arguments)
    folder = given.folder
    if given.tables:
        os.environ["NANOEMOX_TABLES"] = str(given.tables)
    paths = files_of(folder)
    if not paths:
        print(f"{folder}: expected a folder of reference vectors, found no files there", file=sys.stderr)
        return 1
    failed, checked = 0, 0
    for path in paths:
        result = check_file(path)
        if result is None or result.skipped:
            print(f"skipped  {path.name:36} {result.skipped if result else 'no check knows it'}")
            continue
        checked += 1
        failed += not result.passed
        half = f"  float16 {result.float16:.2e} (relative)" if result.float16 else ""
        verdict = "ok      " if result.passed else "FAILED  "
        print(
            f"{verdict} {path.name:36} largest error {result.float32:.2e}{half}  ({result.entries} entries)"
        )
        for problem in result.problems[:5]:
            print(f"         {problem}")
    print(f"{checked} files checked, {failed} failed, {len(paths) - checked} skipped")
    return 1 if failed or not checked else 0


if __name__ == "__main__":
    sys.exit(main())

"""A trained model as others get it: one float type, its training's settings, its figures, a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from nanoemox.checkpoints.model_card import write_card
from nanoemox.checkpoints.weight_files import TORCH_DTYPES, WeightsError, check_dtype
from nanoemox.files.atomic import whole_folder
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor


def export(
    model: str | Path, out: str | Path, dtype: str = "bfloat16", report: str | Path | None = None
) -> Path:
    """Write a model folder anew; returns `out`, which is there whole or not at all.

    Args:
        model: a folder that training wrote. dtype: of all weights. report: a report.json of `nanoemox evaluate`,
            for the card.
    Errors: WeightsError naming what is missing.
    """
    check_dtype(dtype)
    model, out = Path(model), Path(out)
    if not (model / "config.json").is_file():
        raise WeightsError(f"{model}: expected a model folder with config.json; name what training wrote")
    if report is not None:
        _check_report(Path(report))
    weights = NanoEmoXForConditionalGeneration.from_pretrained(model, dtype=TORCH_DTYPES[dtype])
    processor = NanoEmoXProcessor.from_pretrained(model)
    with whole_folder(out) as new:
        weights.save_pretrained(new)
        processor.save_pretrained(new)
        if (model / "phase.json").is_file():
            shutil.copy(model / "phase.json", new / "phase.json")
        if report is not None:
            shutil.copy(report, new / "report.json")
        write_card(new)
    return out


def _check_report(path: Path) -> None:
    if not path.is_file():
        raise WeightsError(f"{path}: expected the report.json of `nanoemox evaluate`; there is no such file")
    try:
        keys = set(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:  # not JSON, not UTF-8, or a single number
        raise WeightsError(f"{path}: expected the report.json of `nanoemox evaluate`, but {error}") from error
    if missing := {"n", "command", "tasks"} - keys:
        raise WeightsError(
            f"{path}: expected the report.json of `nanoemox evaluate`, but it lacks {', '.join(sorted(missing))}"
        )

"""A trained model as others get it: one float type, its training's settings, its figures, a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from nanoemox.checkpoints.load import load_model, locate
from nanoemox.checkpoints.model_card import write_card
from nanoemox.checkpoints.weight_files import TORCH_DTYPES, WeightsError, check_dtype
from nanoemox.files.atomic import check_new_folder, whole_folder


def export(
    model: str | Path, out: str | Path, dtype: str = "bfloat16", report: str | Path | None = None
) -> Path:
    """Write a model folder anew, whole or not at all.

    Args:
        model: A folder that training wrote, or the name of the bundled model.
        out: The folder to write; it must not exist yet.
        dtype: Of all weights: "bfloat16", "float16" or "float32".
        report: A report.json of `nanoemox evaluate`, for the card.

    Returns:
        The folder `out`.

    Raises:
        ArgumentError: For an unknown dtype.
        WeightsError: If something is missing.
        ModelError: If the model does not fit together.
    """
    check_dtype(dtype)
    check_new_folder(out)
    model, out = Path(locate(str(model))), Path(out)
    if not (model / "config.json").is_file():
        raise WeightsError(f"{model}: expected a model folder with config.json; name what training wrote")
    if report is not None:
        check_report(Path(report))
    weights, processor = load_model(model, dtype=TORCH_DTYPES[dtype])
    with whole_folder(out) as new:
        weights.save_pretrained(new)
        processor.save_pretrained(new)
        for name in ("assembly.json", "conversion.json", "phase.json"):  # the card is written from them
            if (model / name).is_file():
                shutil.copy(model / name, new / name)
        if report is not None:
            shutil.copy(report, new / "report.json")
        write_card(new)
    return out


def check_report(path: Path) -> None:
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

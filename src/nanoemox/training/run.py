"""Train by a recipe, whichever kind it is of."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from nanoemox.checkpoints.load import check_device
from nanoemox.data.filtering import LeftOut
from nanoemox.files.errors import ArgumentError
from nanoemox.training.curves import has_losses, write_curves
from nanoemox.training.p2e import TrainingResult, train_p2e
from nanoemox.training.recipe import BackboneRecipe, RecipeError, StudyRecipe, load_recipe

logger = logging.getLogger(__name__)
DEVICES = ("cpu", "cuda")


def train(
    recipe: str | Path,
    *,
    phase: str | None = None,
    resume: bool = False,
    overrides: str | Sequence[str] = (),
    device: str | None = None,
) -> TrainingResult:
    """Train by a recipe. What happens is logged, line by line, by the logger `nanoemox`.

    At the end the curves of all phases are drawn into `OUTPUT/curves.svg`.

    Args:
        recipe: A YAML file, or the name of a recipe that ships with the package, such as "p2e_pico".
        phase: The name of the one phase to run; None runs all of them.
        resume: Keep what is finished, and go on from the last checkpoint.
        overrides: Changes of the recipe as `key=value` with dots, such as `phases.1a.steps=100`.
        device: "cpu" or "cuda"; None takes a GPU where there is one.

    Returns:
        The model folder that was written last, and the clips that the run did without.

    Raises:
        RecipeError: If the recipe, or something that it names, cannot be used.
    """
    if device is not None:
        if device not in DEVICES:
            raise ArgumentError(f"device: expected one of {', '.join(DEVICES)}, got {device!r}")
        check_device(device)
    loaded = load_recipe(recipe, overrides)
    if isinstance(loaded, StudyRecipe):
        raise RecipeError(f"{recipe}: is a study of many trainings; run it with `nanoemox study {recipe}`")
    if isinstance(loaded, BackboneRecipe):
        from nanoemox.training.phase0.run import make_backbones

        result = TrainingResult(make_backbones(loaded, phase, resume, device), LeftOut())
    else:
        result = train_p2e(loaded, phase, resume, device)
    if has_losses(loaded.output):  # a run of a few steps logs none
        logger.info("curves: %s", write_curves(loaded.output))
    return result

"""Train by a recipe, whichever kind it is of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nanoemox.data.filtering import LeftOut
from nanoemox.training.p2e import Say, logger, train_p2e
from nanoemox.training.recipe import BackboneRecipe, load_recipe


def run_recipe(
    recipe_path: str | Path,
    phase: str | None = None,
    resume: bool = False,
    overrides: Sequence[str] = (),
    say: Say = logger.info,
    left_out: LeftOut | None = None,
) -> Path:
    """Train by a recipe (a file, or the name of one that ships with the package); returns the folder it wrote.

    Args:
        phase: only this one. resume: keep what is finished and go on from the last checkpoint.
        overrides: `key=value` with dots, for example `phases.1a.steps=100`. say: told what happens, line by line.
        left_out: gets the clips that the run did without.
    Errors: RecipeError, one line that lists what exists.
    """
    recipe = load_recipe(recipe_path, overrides)
    if isinstance(recipe, BackboneRecipe):
        from nanoemox.training.phase0.run import make_backbones

        return make_backbones(recipe, phase, resume, say)
    return train_p2e(recipe, phase, resume, say, left_out)

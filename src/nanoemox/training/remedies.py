"""What makes the files that a recipe needs: the command for each, so that an error can name it."""

from __future__ import annotations

from pathlib import Path

from nanoemox.corpora.prepare import CORPORA
from nanoemox.files.near import near_folders
from nanoemox.model.configuration_nanoemox import PRESETS
from nanoemox.training.recipe import BackboneRecipe, load_recipe, shipped_recipes

SPLITS = ("train", "val", "test")


def missing_manifest(path: str) -> str:
    """One line about a manifest that is not there, with the command that writes it."""
    place = Path(path)
    split = place.parent.name.rstrip("0123456789")  # test1 is the test set of seed 1
    if place.name == "manifest.jsonl" and split in SPLITS:
        made = f"nanoemox theatre make {place.parent}"
        if seed := place.parent.name.removeprefix(split):
            made += f" --clips 600 --seed {seed}"
        for part in (part for recipe in _backbones() for part in recipe.theatre):
            if Path(part.folder) == place.parent:
                made += f" --clips {part.clips} --seed {part.seed}"
        return f"{path}: no such manifest; make clips of Affect Theatre: `{made} --split {split}`"
    corpus = CORPORA.get(place.stem)
    if corpus is None:
        return (
            f"{path}: no such manifest; write it from your own table: `nanoemox corpora own TABLE {path} --split "
            f"train`, or from a public corpus: `nanoemox corpora prepare NAME ROOT {path}`"
        )
    return (
        f"{path}: no such manifest. Get {corpus.title} ({corpus.size}) from {corpus.where}, unpack it into "
        f"{place.parent}, then `nanoemox corpora prepare {corpus.name} {place.parent} {path}`"
    )


def missing_model(model: str) -> str:
    """One line about a model folder that is not there, with the command that makes it."""
    here = Path(model)
    for recipe in _backbones():
        if here == Path(recipe.output) / "model":
            made = f"make it with `nanoemox train {recipe.name}`"
            break
    else:
        preset = here.name if here.name in PRESETS else "nano"
        option = (
            "" if preset == "nano" else f" --random {preset}" if preset == "pico" else f" --preset {preset}"
        )
        made = f"make it with `nanoemox assemble {model}{option}`"
    near = near_folders(here)
    meant = f"did you mean {' or '.join(near)}? Else " if near else ""
    return f"{model}: no model folder to start from; {meant}{made}, or start from the bundled one: --set model=pico"


def _backbones() -> list[BackboneRecipe]:
    loaded = (load_recipe(name) for name in shipped_recipes())
    return [recipe for recipe in loaded if isinstance(recipe, BackboneRecipe)]

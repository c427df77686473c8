"""The arms of a study as recipes: what each one trains, checked before anything is trained.

Every arm is the base recipe with differences, and sees as many examples as the reference: an arm that leaves a phase
out has to give its steps to another one. A budget of one n-th has one n-th of the examples, shared out over the phases
as in the whole.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.training.recipe import (
    Arm,
    P2ERecipe,
    RecipeError,
    StudyRecipe,
    apply_override,
    checked_recipe,
    find_recipe,
    load_recipe,
    read_recipe,
)

SEED_STEP = 1000  # between the seeds of two runs, whose phases count on from theirs
# Fields of a configuration that an arm may change: the encoders stay, as their features are computed once.
CONFIG_FIELDS = (
    "face_tokens", "fusion_tokens", "video_tokens", "audio_tokens", "fusion_type", "video_adapter_type",
    "audio_adapter_type", "fusion_dropout", "face_dropout", "fusion_heads", "face_heads", "fusion_width",
)  # fmt: skip


class Run(NamedTuple):
    """One training of a study: an arm, a seed, and which part of the budget it has (4: a fourth)."""

    arm: str
    seed: int
    budget: int = 1

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.arm}-{self.seed}" + (f"-budget-{self.budget}" if self.budget > 1 else "")


class Study(NamedTuple):
    """A study that has been read and checked: where it is written, and a recipe for each run."""

    recipe: StudyRecipe
    path: Path
    runs: dict[Run, P2ERecipe]


def load_study(name_or_path: str | Path, overrides: str | Sequence[str] = (), quick: bool = False) -> Study:
    """Read a study and make the recipes of all its runs.

    Args:
        name_or_path: A YAML file, or the name of a study that comes with the package.
        overrides: Changes of the study as `key=value` with dots, such as `seeds=[1, 2]`.
        quick: Take its short form, whose results and models go into folders of their own.

    Returns:
        The study.

    Raises:
        RecipeError: If the study, the base recipe, or any arm of it cannot be used.
    """
    path = find_recipe(name_or_path)
    study = load_recipe(path, overrides)
    if not isinstance(study, StudyRecipe):
        raise RecipeError(f"{path}: expected `kind: study`, got {study.kind!r}; run it with `nanoemox train`")
    if quick:
        study = _short(study)
    base_path = find_recipe(study.base)
    recipes = {name: _arm_recipe(study, path, base_path, name) for name in study.arms}

    # Every arm sees as many examples as the reference.
    examples = {name: _examples(recipe) for name, recipe in recipes.items()}
    wanted = examples[study.reference]
    for name, number in examples.items():
        if number != wanted:
            raise RecipeError(
                f"{path}: arm {name}: sees {number} examples in its phases, but {study.reference} sees {wanted}; "
                "budgets have to be equal: change the steps of a phase under `set`"
            )

    whole = study.quick.budget if quick else 1
    runs = {}
    for seed in study.seeds:
        listed = study.quick.arms if quick else list(study.arms)
        asked = [Run(name, seed, whole) for name in listed]
        if not quick:
            asked += [Run(name, seed, n) for n in study.curves.budgets for name in study.curves.arms]
        for run in asked:
            runs[run] = _run_recipe(study, path, recipes[run.arm], run)
    return Study(study, path, runs)


def chosen(study: Study, only: Sequence[str] | None, seeds: Sequence[int] | None) -> list[Run]:
    """The runs of some arms and seeds, in the order of the study.

    Args:
        study: The study.
        only: Names of arms; None, all.
        seeds: Seeds; None, all.

    Returns:
        The runs.

    Raises:
        RecipeError: If there is no such arm or seed, or a seed is named twice.
    """
    there = {run.arm for run in study.runs}
    if unknown := [name for name in only or () if name not in there]:
        raise RecipeError(
            f"{study.path}: unknown arm {', '.join(map(repr, unknown))}; there are: {', '.join(sorted(there))}"
        )
    if seeds is not None and len(set(seeds)) < len(seeds):
        raise RecipeError(f"seeds: expected different ones, got {', '.join(map(str, seeds))}; name each once")
    if foreign := [seed for seed in seeds or () if seed not in study.recipe.seeds]:
        raise RecipeError(
            f"{study.path}: seed {foreign[0]} is not one of {', '.join(map(str, study.recipe.seeds))}; add it under "
            "`seeds`"
        )
    return [
        run
        for run in study.runs
        if run.arm in (only or there) and run.seed in (study.recipe.seeds if seeds is None else seeds)
    ]


def fusion_layers(config: NanoEmoXConfig, arm: Arm) -> dict[str, Any]:
    """The fields of the configuration by which only some experts are left."""
    if arm.experts is None:
        return {}
    return {
        "fusion_experts": len(arm.experts),
        "vision_fusion_layers": [config.vision_fusion_layers[e] for e in arm.experts],
        "audio_fusion_layers": [config.audio_fusion_layers[e] for e in arm.experts],
    }


# ---------------------------------------------------------------- recipes


def _short(study: StudyRecipe) -> StudyRecipe:
    short = study.quick.model_dump(include={"clips", "written", "muted"})
    return study.model_copy(
        update={
            "output": str(Path(study.output) / "quick"),
            "results": str(Path(study.output) / "quick" / "results"),
            "page": str(Path(study.output) / "quick" / "study.md"),
            "picture": str(Path(study.output) / "quick" / "study.svg"),
            "measure": study.measure.model_copy(update=short),
        }
    )


def _arm_recipe(study: StudyRecipe, path: Path, base: Path, name: str) -> P2ERecipe:
    """The base recipe with the differences of one arm. Errors: RecipeError naming the arm."""
    arm, at = study.arms[name], f"{path}: arm {name}"
    data = read_recipe(base)
    if data["kind"] != "p2e":
        raise RecipeError(f"{path}: base: expected a recipe of kind p2e, got {data['kind']!r} ({base})")
    everything = _expanded(study.set, data)
    own = _expanded(arm.set, data)
    _check_clashes(at, arm, own)
    for key, value in {**everything, **own}.items():
        try:
            apply_override(data, f"{key}={json.dumps(value)}")
        except RecipeError as error:
            raise RecipeError(f"{at}: {error}") from error
    if arm.phases is not None:
        by_name = {phase["name"]: phase for phase in data["phases"]}
        if unknown := [phase for phase in arm.phases if phase not in by_name]:
            raise RecipeError(
                f"{at}: phases: unknown {', '.join(map(repr, unknown))}; {study.base} has: {', '.join(by_name)}"
            )
        data["phases"] = [by_name[phase] for phase in arm.phases]
    recipe = checked_recipe(data, at)
    assert isinstance(recipe, P2ERecipe)
    _check_parts(at, arm, recipe)
    return recipe


def _expanded(settings: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Keys and values; `phases.*.key` stands for the key in every phase."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        before, star, after = key.partition("phases.*.")
        names = [phase["name"] for phase in data.get("phases", [])] if star and not before else []
        found |= {f"phases.{phase}.{after}": value for phase in names} or {key: value}
    return found


def _check_clashes(at: str, arm: Arm, own: dict[str, Any]) -> None:
    """Refuse differences of which one would undo or hide another. Errors: RecipeError."""
    keys = list(own)
    for key in keys:
        inner = next((other for other in keys if other.startswith(f"{key}.")), None)
        if inner:
            raise RecipeError(f"{at}: set: {inner} clashes with {key}, which sets it too; leave one out")
        _, _, rest = key.partition("phases.")
        if arm.phases is not None and rest and rest.split(".")[0] not in arm.phases:
            raise RecipeError(
                f"{at}: set: {key} clashes with phases, which leave that phase out; leave the key out"
            )
        if key in (
            "model",
            "features",
            "clips",
            "output",
            "manifests",
            "validation",
            "seed",
            "kind",
            "phases",
        ):
            raise RecipeError(f"{at}: set: {key} is the same for all arms; set it for the whole study")
    if foreign := [name for name in arm.config if name not in CONFIG_FIELDS]:
        raise RecipeError(
            f"{at}: config: {', '.join(foreign)} cannot differ between arms; these can: {', '.join(CONFIG_FIELDS)}"
        )
    of_experts = [name for name in ("experts", "gate") if getattr(arm, name) is not None]
    other_fusion = arm.config.get("fusion_type", "experts") != "experts"
    if of_experts and (other_fusion or arm.config.get("fusion_tokens") == 0):
        what = "fusion_type" if other_fusion else "fusion_tokens"
        raise RecipeError(
            f"{at}: {of_experts[0]} clashes with config.{what}, which leaves no experts; leave one out"
        )
    if arm.experts is not None and len(set(arm.experts)) < len(arm.experts):
        raise RecipeError(f"{at}: experts: expected different ones, got {arm.experts}")
    if arm.gate and arm.experts is not None and len(arm.experts) == 1:
        raise RecipeError(f"{at}: gate clashes with experts: one expert has no gate; leave one out")


def _check_parts(at: str, arm: Arm, recipe: P2ERecipe) -> None:
    """Refuse phases that train what the arm does not have. Errors: RecipeError."""
    gone = {"face_tokens": "face_adapter", "fusion_tokens": "fusion"}
    for field, part in gone.items():
        for phase in recipe.phases:
            if arm.config.get(field) == 0 and part in phase.train:
                raise RecipeError(
                    f"{at}: config.{field} is 0, but phase {phase.name} trains {part}; "
                    f"set phases.{phase.name}.train without it"
                )
    for phase in recipe.phases:
        if arm.shown is not None and not set(phase.modalities) <= set(arm.shown):
            raise RecipeError(
                f"{at}: phase {phase.name} reads {', '.join(phase.modalities)}, but only {', '.join(arm.shown)} is "
                "shown when it is measured; change one"
            )


def _examples(recipe: P2ERecipe) -> int:
    return sum(phase.steps * phase.batch_size for phase in recipe.phases)


def _run_recipe(study: StudyRecipe, path: Path, recipe: P2ERecipe, run: Run) -> P2ERecipe:
    """The recipe of an arm with the seed, the folder and the steps of one run; it looks at no clips itself."""
    ends = [0]
    for phase in recipe.phases:
        ends.append(ends[-1] + phase.steps)
    phases = []
    for i, phase in enumerate(recipe.phases):
        steps = ends[i + 1] // run.budget - ends[i] // run.budget
        if steps < 1:
            raise RecipeError(
                f"{path}: {run.name}: phase {phase.name} would have no step; give it more, or take a larger budget"
            )
        changes = {
            "steps": steps,
            "warmup_steps": min(phase.warmup_steps // run.budget, steps - 1),
            "log_every": max(1, phase.log_every // run.budget),
        }
        frozen = [*phase.frozen]
        if study.arms[run.arm].gate == "mean" and "fusion" in phase.train:
            frozen.append("fusion.gate")
        phases.append(phase.model_copy(update={**changes, "frozen": frozen}))
    folder = Path(study.output) / "runs" / run.name
    return recipe.model_copy(
        update={
            "name": f"{study.name}/{run.arm}",
            "output": str(folder),
            "seed": SEED_STEP * run.seed,
            "validation": None,
            "phases": phases,
        }
    )


def settings_of(study: Study, run: Run) -> dict[str, Any]:
    """What a result depends on: the arm, the phases, and how it is measured; no places of files."""
    arm = study.recipe.arms[run.arm]
    recipe = study.runs[run]
    return copy.deepcopy(
        {
            "seed": recipe.seed,
            "phases": [
                phase.model_dump(exclude={"manifests", "save_every", "threads"}) for phase in recipe.phases
            ],
            "config": arm.config,
            "experts": arm.experts,
            "gate": arm.gate,
            "shown": arm.shown,
            "measure": study.recipe.measure.model_dump(exclude={"sets"}),
        }
    )

"""What a training recipe may say, and how one is read.

A recipe is a YAML file of one of three kinds: `p2e` (the three phases of the curriculum, paper sec. 3.4), `backbones`
(phase 0, which makes the small encoders and the small language model that `pico` has nowhere to download from), and
`study` (many trainings that differ from one `p2e` recipe in one thing each, `nanoemox.training.study`).
What is wrong with a recipe is a RecipeError, one line that names the file, the key, and what exists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from nanoemox.files.atomic import write_new
from nanoemox.files.errors import NanoEmoXError
from nanoemox.files.listed import one_or_more
from nanoemox.files.validation import first_wrong
from nanoemox.files.yaml_text import YamlError, read_yaml
from nanoemox.model.configuration_nanoemox import PARTS, PRESETS
from nanoemox.tasks.task import TASKS

MODALITIES = ("video", "audio", "text")
WITHHELD = ("audio", "face", "video")  # branches whose tokens a phase may withhold


class RecipeError(NanoEmoXError):
    """A recipe that cannot be used; the message is one line with the remedy."""


class Section(BaseModel):
    """Base of all sections: keys that do not exist are refused. Numbers may be text: PyYAML reads 3e-4 as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Schedule(Section):
    """How long, how fast and in which batches something is trained.

    The learning rate climbs in a straight line from `warmup_from` to `learning_rate` in `warmup_steps`, and then falls
    along a cosine to `final_learning_rate`. `cosine` says where that cosine begins: `after_warmup`, or `at_start`, with
    the warm-up laid over its first steps, as the official code has it. `max_grad_norm` null leaves gradients as they
    are.
    """

    steps: int = Field(gt=0)
    batch_size: int = Field(16, gt=0)
    learning_rate: float = Field(gt=0)
    final_learning_rate: float = Field(0.0, ge=0)
    warmup_steps: int = Field(20, ge=0)
    warmup_from: float = Field(0.0, ge=0)
    cosine: Literal["after_warmup", "at_start"] = "after_warmup"
    weight_decay: float = Field(0.05, ge=0)
    max_grad_norm: float | None = Field(1.0, gt=0)
    save_every: int = Field(200, gt=0)
    log_every: int = Field(20, gt=0)
    threads: int | None = Field(None, gt=0)
    bf16: bool = False


class Theatre(Section):
    """Clips of the generated world that are staged when their folder does not hold them yet."""

    folder: str
    clips: int = Field(gt=0)
    seed: int = 1
    split: Literal["train", "val", "test"] = "train"


class Lora(Section):
    """Low-rank updates of the language model (paper: r 16, alpha 32, dropout 0.05)."""

    rank: int = Field(16, gt=0)
    alpha: int = Field(32, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    learning_rate: float | None = Field(None, gt=0)


class Distillation(Section):
    """A frozen teacher whose hidden states the model learns beside the answers (`nanoemox.training.distillation`).

    `teacher` is a model: a folder, a Hub id or "pico". The weight of the distance climbs in a straight line from 0 to
    `weight` in `ramp_steps`; `directions` are drawn anew at every step. Light-MER has 1.0, 5,000 (of 300,000) and 100.
    """

    teacher: str
    weight: float = Field(1.0, gt=0)
    ramp_steps: int = Field(20, ge=0)
    directions: int = Field(100, gt=0)


class Phase(Schedule):
    """One phase of P2E: which parts learn, from which tasks, through which modalities.

    `tasks` are shares of the examples, and so are `corpora` (by the manifests' `source`) where they are given; with
    the mixture `subset_uniform` `corpora` are the ratios of the official code, see `nanoemox.training.mixture`;
    `after` names the phases whose trained parts this one starts from; `modality_dropout` is the share of examples in
    which a modality is left out, so that answers survive its absence; `withheld` is the share of examples in which a
    branch (audio, face, video) gives no tokens of its own, so that the fusion token has to stand in for it; `diversity`
    weighs a penalty on tokens of one clip that point the same way; `distillation` names a teacher; `frozen` are
    parameters of trained parts that stay as they are, by the beginnings of their names (`fusion.gate`).
    """

    name: str
    train: list[str]
    tasks: dict[str, float]
    corpora: dict[str, float] | None = None
    mixture: Literal["share", "subset_uniform"] = "share"
    modalities: list[str] = list(MODALITIES)
    after: list[str] = []
    modality_dropout: dict[str, float] = {}
    withheld: dict[str, float] = {}
    diversity: float = Field(0.0, ge=0)
    lora: Lora | None = None
    distillation: Distillation | None = None
    manifests: list[str] | None = None
    frozen: list[str] = []

    @field_validator("train")
    @classmethod
    def _parts_exist(cls, value: list[str]) -> list[str]:
        return _known(value, [*PARTS, "lora"], "part")

    @field_validator("tasks")
    @classmethod
    def _tasks_exist(cls, value: dict[str, float]) -> dict[str, float]:
        _known(list(value), list(TASKS), "task")
        if not value or min(value.values()) < 0 or sum(value.values()) <= 0:
            raise ValueError(f"expected shares of at least one task, none negative, got {value}")
        return value

    @field_validator("corpora")
    @classmethod
    def _corpora_are_positive(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None and (not value or min(value.values()) <= 0):
            raise ValueError(f"expected shares of at least one corpus, all above 0, got {value}")
        return value

    @field_validator("modalities")
    @classmethod
    def _modalities_exist(cls, value: list[str]) -> list[str]:
        return _known(value, list(MODALITIES), "modality")

    @field_validator("modality_dropout")
    @classmethod
    def _absences_exist(cls, value: dict[str, float]) -> dict[str, float]:
        _known(list(value), list(MODALITIES), "modality")
        if any(not 0 <= share < 1 for share in value.values()):
            raise ValueError(f"expected shares from 0 to below 1, got {value}")
        return value

    @field_validator("withheld")
    @classmethod
    def _branches_exist(cls, value: dict[str, float]) -> dict[str, float]:
        _known(list(value), WITHHELD, "branch")
        if any(not 0 <= share < 1 for share in value.values()):
            raise ValueError(f"expected shares from 0 to below 1, got {value}")
        return value

    @model_validator(mode="after")
    def _lora_has_settings(self) -> Phase:
        if ("lora" in self.train) != (self.lora is not None):
            raise ValueError(f"phase {self.name}: `lora` under train and a section `lora` belong together")
        return self


class P2ERecipe(Section):
    """The curriculum: a model folder goes in, one model folder per phase comes out.

    `features` is the feature store (none: clips are decoded and encoded at every step), `features_dtype` its
    precision, `features_bf16` says how it is computed; `quarantine` names a list of clips to leave out beside those
    that lie next to the manifests; `validation` may name several manifests.
    """

    kind: Literal["p2e"]
    name: str
    model: str
    output: str
    manifests: list[str]
    validation: str | list[str] | None = None
    quarantine: str | None = None
    features: str | None
    features_dtype: Literal["float32", "bfloat16"] | None = None
    features_bf16: bool = False
    clips: str | None = None
    workers: int = Field(2, ge=0)
    seed: int = 42
    diagnostic_clips: int = Field(200, ge=0)
    phases: list[Phase]

    @model_validator(mode="after")
    def _phases_follow(self) -> P2ERecipe:
        seen: list[str] = []
        for phase in self.phases:
            if phase.name in seen:
                raise ValueError(f"two phases are called {phase.name}; give each its own name")
            _known(phase.after, seen, f"earlier phase (after, in {phase.name})")
            if phase.diversity and self.features is None:
                raise ValueError(
                    f"phase {phase.name}: `diversity` reads stored features; name a folder under features"
                )
            seen.append(phase.name)
        return self


class Job(Schedule):
    """One backbone's training; `weights` are the shares of its losses by name, `noise` blurs its input."""

    weights: dict[str, float] = {}
    tasks: dict[str, float] = {}


class BackboneRecipe(Section):
    """Phase 0: clips, tokenizer, three encoders and a language model, put together as one untrained `pico`.

    `stills` are single pictures that the scene encoder sees beside frames of clips. `task_max_new_tokens` says how
    long the model's answers may be where that is not the task's own limit: those about Affect Theatre are short.
    """

    kind: Literal["backbones"]
    name: str
    preset: str = "pico"
    output: str
    theatre: list[Theatre]
    clips: str
    workers: int = Field(4, ge=0)
    side_by_side: int = Field(4, gt=0)
    seed: int = 7
    vocabulary: int = Field(2000, gt=300)
    tokenizer_scripts: int = Field(4000, gt=0)
    stills: int = Field(0, ge=0)
    task_max_new_tokens: dict[str, PositiveInt] = {}
    face: Job
    voice: Job
    scene: Job
    lm: Job

    @field_validator("preset")
    @classmethod
    def _preset_exists(cls, value: str) -> str:
        return _known([value], list(PRESETS), "preset")[0]

    @field_validator("task_max_new_tokens")
    @classmethod
    def _limits_are_of_tasks(cls, value: dict[str, int]) -> dict[str, int]:
        _known(list(value), list(TASKS), "task")
        return value


class Arm(Section):
    """One arm of a study: what it is, and in what it differs from the base recipe.

    `phases` are the phases that it runs, in this order (none: all, as the base has them); `set` are keys of the recipe
    with dots and their values, as `--set` takes them; `config` are fields of the model's configuration; `experts` are
    the fusion experts that stay, counted from 0; `gate: mean` gives all experts the same weight; `shown` are the
    modalities that the model gets when it is measured (none: all). `paper` says what the paper reports of this arm
    beside the whole method, and `source` where.
    """

    about: str
    paper: Literal["better", "worse"] | None = None
    source: str | None = None
    phases: list[str] | None = Field(None, min_length=1)
    set: dict[str, Any] = {}
    config: dict[str, Any] = {}
    experts: list[Annotated[int, Field(ge=0)]] | None = Field(None, min_length=1)
    gate: Literal["mean"] | None = None
    shown: list[str] | None = Field(None, min_length=1)

    @field_validator("shown")
    @classmethod
    def _shown_exist(cls, value: list[str] | None) -> list[str] | None:
        return value if value is None else _known(value, list(MODALITIES), "modality")


class Measured(Section):
    """What every run of a study is measured on: the first `clips` of each of the manifests `sets`.

    Closed questions are answered by probabilities about all of them, open ones in words about the first `written` of
    each set. `muted` of each set are answered once more without each branch, and after each phase.
    """

    sets: list[str] = Field(min_length=1)
    clips: PositiveInt
    written: int = Field(ge=0)
    muted: int = Field(ge=0)


class Quick(Section):
    """The short form of a study: these arms, at one `budget`-th of the steps, on fewer clips."""

    arms: list[str] = Field(min_length=1)
    budget: int = Field(gt=1)
    clips: PositiveInt
    written: int = Field(ge=0)
    muted: int = Field(ge=0)


class LearningCurves(Section):
    """Arms that are also trained with one n-th of the steps, for each n under `budgets`."""

    arms: list[str] = []
    budgets: list[Annotated[int, Field(gt=1)]] = []


class StudyRecipe(Section):
    """Arms that differ from the recipe `base` in one thing each, with equal budgets and the same seeds.

    `set` holds for all arms; its keys may name every phase (`phases.*.threads`). `reference` is the arm that the others
    are compared with. A file for each run goes into `results`, models and logs into `output`.
    """

    kind: Literal["study"]
    name: str
    base: str
    output: str
    results: str
    page: str | None = None
    picture: str | None = None
    reference: str
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    set: dict[str, Any] = {}
    arms: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Arm]
    curves: LearningCurves = LearningCurves()
    measure: Measured
    quick: Quick

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: list[int]) -> list[int]:
        if doubles := sorted({seed for seed in value if value.count(seed) > 1}):
            raise ValueError(
                f"expected different seeds, but {', '.join(map(str, doubles))} comes more than once"
            )
        return value

    @model_validator(mode="after")
    def _arms_exist(self) -> StudyRecipe:
        for where, names in (
            ("reference", [self.reference]),
            ("curves", self.curves.arms),
            ("quick", self.quick.arms),
        ):
            _known(names, list(self.arms), f"arm (under {where})")
        return self


Recipe: TypeAlias = P2ERecipe | BackboneRecipe | StudyRecipe
_KINDS: dict[str, type[Recipe]] = {"p2e": P2ERecipe, "backbones": BackboneRecipe, "study": StudyRecipe}


def _known(names: list[str], existing: Sequence[str], what: str) -> list[str]:
    unknown = [name for name in names if name not in existing]
    if unknown:
        raise ValueError(
            f"unknown {what} {', '.join(map(repr, unknown))}; there are: {', '.join(existing) or 'none'}"
        )
    return names


def shipped_recipes() -> dict[str, Path]:
    """Recipes that come with the package, by name."""
    folder = Path(str(resources.files("nanoemox") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def about_recipe(name: str) -> dict[str, Any]:
    """What a shipped recipe is: its kind, its phases, and what its first comment says."""
    path = shipped_recipes()[name]
    recipe = load_recipe(path)
    comment = re.findall(r"\A(?:#.*\n)+", path.read_text(encoding="utf-8"))
    return {
        "kind": recipe.kind,
        "phases": [phase.name for phase in recipe.phases] if isinstance(recipe, P2ERecipe) else [],
        "about": " ".join("".join(comment).replace("#", " ").split()),
    }


def copy_recipe(name: str, to: str | Path | None = None) -> Path:
    """Copy a shipped recipe, to be changed.

    Args:
        name: The name of the recipe.
        to: The file to write, or a folder to write it into; None, `NAME.yaml` in the working directory.

    Returns:
        The file that was written.

    Raises:
        RecipeError: If no recipe of that name comes with the package.
        OutputError: If the file is there already, or cannot be written.
    """
    shipped = shipped_recipes()
    if name not in shipped:
        raise RecipeError(
            f"{name}: expected the name of a recipe that comes with the package; choose one of {', '.join(shipped)}"
        )
    place = Path(to or f"{name}.yaml")
    if place.is_dir():
        place /= f"{name}.yaml"
    write_new(place, shipped[name].read_text(encoding="utf-8"))
    return place


def find_recipe(name_or_path: str | Path) -> Path:
    """A path as it is, or the shipped recipe of that name."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    raise RecipeError(
        f"{name_or_path}: expected a recipe file or the name of a shipped recipe ({', '.join(shipped)}), "
        "but there is no such file; check the path"
    )


def load_recipe(name_or_path: str | Path, overrides: str | Sequence[str] = ()) -> Recipe:
    """Read and check a recipe. `overrides` are `key=value` with dots (`phases.1a.steps=100`); values are YAML."""
    path = find_recipe(name_or_path)
    data = read_recipe(path)
    form = _KINDS[data["kind"]]  # of the file, as another kind needs another file
    for override in one_or_more(overrides):
        apply_override(data, override)
    return checked_recipe(data, path, "or --set" if overrides else "", form)


def read_recipe(path: Path) -> dict[str, Any]:
    """What a recipe's file holds, its kind known and everything else unchecked. Errors: RecipeError."""
    try:
        data = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, YamlError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{path}: expected YAML, but {' '.join(str(error).split())}; correct the recipe"
        ) from error
    kind = data.get("kind") if isinstance(data, dict) else type(data).__name__
    if not isinstance(data, dict) or not isinstance(kind, str) or kind not in _KINDS:
        raise RecipeError(
            f"{path}: expected `kind: {'` or `kind: '.join(_KINDS)}`, got {kind!r:.60}; correct the line"
        )
    return data


def checked_recipe(
    data: dict[str, Any], name: str | Path, also: str = "", form: type[Recipe] = P2ERecipe
) -> Recipe:
    """The recipe that a file's content makes.

    Args:
        data: From `read_recipe`, overridden or not.
        name: What an error calls it.
        also: What else than the recipe may be at fault, such as "or --set".
        form: The kind of recipe that it has to be.

    Returns:
        The recipe.

    Raises:
        RecipeError: Naming the key that is wrong.
    """
    try:
        return form.model_validate(data)
    except ValidationError as error:
        wrong = first_wrong(error, form)
        phases = data["phases"] if isinstance(data.get("phases"), list) else []
        names = {
            str(i): phase["name"]
            for i, phase in enumerate(phases)
            if isinstance(phase, dict) and "name" in phase
        }
        # A phase is called by its name, as --set calls it.
        wrong = re.sub(
            r"phases\.(\d+)\.", lambda found: f"phases.{names.get(found[1], found[1])}.", wrong, count=1
        )
        raise RecipeError(f"{name}: {wrong}; correct the recipe{' ' if also else ''}{also}") from error


def apply_override(data: dict[str, Any], override: str) -> None:
    """Change a recipe's content by one `key=value`. Errors: RecipeError."""
    key, separator, text = override.partition("=")
    if not separator:
        raise RecipeError(f"{override!r}: expected key=value, for example phases.1a.steps=100")
    *path, last = key.split(".")
    place: Any = data
    for name in path:
        if isinstance(place, list):
            place = next(
                (item for item in place if isinstance(item, dict) and item.get("name") == name), None
            )
        else:
            place = place.get(name) if isinstance(place, dict) else None
        if not isinstance(place, (dict, list)):
            raise RecipeError(
                f"{override!r}: the recipe has no {name!r}; keys here are: {', '.join(map(str, data))}"
            )
    if isinstance(place, list):
        raise RecipeError(f"{override!r}: {'.'.join(path)} is a list; name one of its entries")
    try:
        place[last] = read_yaml(text)
    except YamlError as error:
        raise RecipeError(f"{override!r:.200}: expected a value in YAML, but {error}") from error

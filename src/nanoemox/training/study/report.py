"""A study's page and picture, made from its result files and nothing else.

Every number is a mean over seeds with a 95 % interval (Student's t over the seeds, the test clips kept as they are),
and differences are taken seed by seed. What is missing or left out is named on the page.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from nanoemox.files.atomic import write_texts
from nanoemox.files.errors import ArgumentError
from nanoemox.training.recipe import Arm
from nanoemox.training.study.arms import Run, Study
from nanoemox.training.study.picture import draw_study
from nanoemox.training.study.results import Mean, Results, mean_of, of_arm, paired, read_results

FEWEST_SEEDS = 3
TEMPLATE = (resources.files("nanoemox") / "training" / "study" / "page.md").read_text(encoding="utf-8")
# The figures of the tables: task, figure, heading.
FIGURES = (
    ("emotion", "accuracy", "emotion, accuracy"),
    ("sentiment", "weighted_f1", "sentiment, weighted F1"),
    ("intent", "accuracy", "intent, accuracy"),
    ("open_vocabulary", "set_f1", "open vocabulary, set F1"),
    ("reasoning", "cue_f1", "reasons, cue F1"),
    ("empathy", "cause_accuracy", "empathy, cause"),
)
# The tasks whose branches are muted: a branch is worth the accuracy that its absence costs.
ACCURACIES = [task for task, figure, _ in FIGURES if figure == "accuracy"]
FOLLOWED = FIGURES[0][0]  # the task that is measured after every phase
ALL = "mean of the six"
NOTHING = "–"
BRANCH_NAMES = {
    "fusion": "fusion",
    "face_adapter": "face",
    "audio_adapter": "audio",
    "video_adapter": "scene",
}


class Verdict(NamedTuple):
    """What a difference says beside the paper: one of "agrees", "disagrees", "cannot say", "new"; and a sentence."""

    kind: str
    sentence: str


def write_report(study: Study) -> list[Path]:
    """Write the page and the picture of a study.

    Args:
        study: From `load_study`.

    Returns:
        The files that were written.

    Raises:
        RecipeError: If a result is damaged.
        ArgumentError: If the study names no page or no picture, or there is no result yet.
    """
    page, picture = study.recipe.page, study.recipe.picture
    if page is None or picture is None:
        raise ArgumentError(f"{study.path}: expected `page` and `picture`; name the files to write there")
    found = read_results(study)
    if not found.by_run:
        raise ArgumentError(
            f"{study.recipe.results}: no result that belongs to the study yet; run it with `nanoemox study` first"
        )
    shown = Path(os.path.relpath(picture, Path(page).parent)).as_posix()
    write_texts({Path(page): render(study, found, shown), Path(picture): draw(study, found)})
    return [Path(page), Path(picture)]


def draw(study: Study, found: Results) -> str:
    """The picture of a study: the differences of all arms, and the losses of the reference and of other orders."""
    rows = []
    for name in arms_with_results(study, found):
        difference = summed(study, found, name)
        if difference is not None and name != study.recipe.reference:
            rows.append((name, difference))
    orders = [n for n, a in study.recipe.arms.items() if n == study.recipe.reference or a.phases]
    losses = {name: curve for name in orders if (curve := mean_loss(found, name))}
    return draw_study(rows, losses, f"Difference from {study.recipe.reference}, {ALL}")


def render(study: Study, found: Results, picture: str) -> str:
    """The page in Markdown.

    Args:
        study: The study.
        found: Its results.
        picture: The path of the picture, as the page names it.

    Returns:
        The page.
    """
    done = sum(run in found.by_run for run in study.runs)
    return TEMPLATE.format(
        study=study.recipe.name,
        reference=study.recipe.reference,
        arms=len({run.arm for run in study.runs}),
        all=ALL,
        fewest=FEWEST_SEEDS,
        picture=picture,
        state="\n".join(_state(study, found, done)),
        differences="\n".join(_differences(study, found)),
        words="\n".join(_words(study, found)),
        values="\n".join(_values(study, found)),
        muted="\n".join(_muted(study, found)),
        budgets="\n".join(_budgets(study, found)),
        phases="\n".join(_phases(study, found)),
        training="\n".join(_training(study, found)),
    )


# ---------------------------------------------------------------- figures


def arms_with_results(study: Study, found: Results) -> list[str]:
    """Arms that have any result, in the order of the study."""
    there = {run.arm for run in found.by_run}
    return [name for name in study.recipe.arms if name in there]


def budget_of(study: Study) -> int:
    """The budget of the main runs: 1, or that of the short form."""
    return min(run.budget for run in study.runs)


def six(found: Results, arm: str, budget: int) -> dict[int, float]:
    """Seed -> the mean of the six figures of an arm.

    Args:
        found: The results.
        arm: The name of the arm.
        budget: Of the runs.

    Returns:
        The seeds that have all six.
    """
    each = [of_arm(found, arm, task, figure, budget) for task, figure, _ in FIGURES]
    seeds = set.intersection(*map(set, each))
    return {seed: sum(of[seed] for of in each) / len(each) for seed in sorted(seeds)}


def summed(study: Study, found: Results, arm: str) -> Mean | None:
    """How an arm differs from the reference in the mean of the six figures.

    Args:
        study: The study.
        found: Its results.
        arm: The name of the arm.

    Returns:
        The mean difference; None without a pair of results.
    """
    budget = budget_of(study)
    return paired(six(found, arm, budget), six(found, study.recipe.reference, budget))


def verdict(arm: Arm, difference: Mean | None, seeds: int) -> Verdict:
    """What a difference says.

    Args:
        arm: The arm, with what the paper reports.
        difference: From the reference; None without a pair.
        seeds: How many seeds the study has.

    Returns:
        The verdict.
    """
    if difference is None:
        return Verdict("cannot say", "There is no pair of results yet.")
    if difference.seeds < FEWEST_SEEDS:
        return Verdict("cannot say", f"Only {difference.seeds} of {seeds} seeds have a pair of results.")
    half = difference.half or 0.0
    shown = f"{difference.value:+.3f} ± {half:.3f}"
    if difference.sign == 0:
        if arm.paper:
            return Verdict(
                "cannot say",
                f"The paper finds it {arm.paper}; here the difference ({shown}) may as well be 0.",
            )
        return Verdict("cannot say", f"The difference ({shown}) may as well be 0.")
    here = "better" if difference.sign > 0 else "worse"
    if arm.paper is None:
        return Verdict("new", f"It is {here} here ({shown}); the paper does not report it.")
    kind = "agrees" if arm.paper == here else "disagrees"
    return Verdict(kind, f"The paper finds it {arm.paper}, and it is {here} here ({shown}).")


def mean_loss(found: Results, arm: str) -> list[tuple[float, float]]:
    """Step of the whole training -> the loss, a mean over the seeds; empty where there is no result."""
    curves = []
    for run, result in found.by_run.items():
        if run.arm != arm or run.budget != min(r.budget for r in found.by_run):
            continue
        curve, before = {}, 0
        for losses in result.losses.values():
            for step, value in zip(losses.steps, losses.loss, strict=True):
                if value is not None:
                    curve[before + step] = value
            before += losses.steps[-1] if losses.steps else 0
        curves.append(curve)
    if not curves:
        return []
    steps = sorted(set.intersection(*map(set, curves)))
    return [(step, sum(curve[step] for curve in curves) / len(curves)) for step in steps]


# ---------------------------------------------------------------- parts of the page


def _state(study: Study, found: Results, done: int) -> list[str]:
    """How many runs there are, and which are missing or left out."""
    seeds = len(study.recipe.seeds)
    text = f"**{done} of {len(study.runs)} runs have a result"
    if not found.missing:
        return [f"{text}; every arm has {seeds} seeds.**"]
    lines = [f"{text}, so this study is not finished.** Every table says how many seeds stand behind a row."]
    names = ", ".join(f"`{run.name}`" for run in found.missing)
    lines += ["", f"Missing: {names}."]
    for name, why in found.left_out.items():
        lines += ["", f"Left out of every figure: `{name}` {why}."]
    return lines


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["There is no result for this table yet."]
    return [
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _shown(mean: Mean | None, signed: bool = False) -> str:
    if mean is None:
        return NOTHING
    value = f"{mean.value:+.3f}" if signed else f"{mean.value:.3f}"
    return value if mean.half is None else f"{value} ± {mean.half:.3f}"


def _differences(study: Study, found: Results) -> list[str]:
    reference, budget = study.recipe.reference, budget_of(study)
    rows = []
    for name in arms_with_results(study, found):
        if name == reference:
            continue
        arm = study.recipe.arms[name]
        difference = summed(study, found, name)
        each = [
            paired(of_arm(found, name, t, f, budget), of_arm(found, reference, t, f, budget))
            for t, f, _ in FIGURES
        ]
        rows.append(
            [
                f"`{name}`: {arm.about}",
                str(difference.seeds if difference else 0),
                arm.paper or NOTHING,
                verdict(arm, difference, len(study.recipe.seeds)).kind,
                f"**{_shown(difference, True)}**",
                *(_shown(mean, True) for mean in each),
            ]
        )
    heads = ["arm", "seeds", "in the paper", "verdict", ALL, *(head for _, _, head in FIGURES)]
    return _table(heads, rows)


def _words(study: Study, found: Results) -> list[str]:
    there = arms_with_results(study, found)
    lines = []
    for name, arm in study.recipe.arms.items():
        if name == study.recipe.reference or name not in {run.arm for run in study.runs}:
            continue
        difference = summed(study, found, name) if name in there else None
        said = verdict(arm, difference, len(study.recipe.seeds)).sentence
        source = f" Paper: {arm.source}." if arm.source else ""
        lines.append(f"- **{arm.about[:1].upper()}{arm.about[1:]}** (`{name}`). {said}{source}")
    return lines


def _values(study: Study, found: Results) -> list[str]:
    budget, rows = budget_of(study), []
    for name in arms_with_results(study, found):
        each = [of_arm(found, name, task, figure, budget) for task, figure, _ in FIGURES]
        if not any(each):
            continue
        whole = six(found, name, budget)
        rows.append(
            [
                f"`{name}`",
                str(max(map(len, each))),
                _shown(mean_of(list(whole.values()))) if whole else NOTHING,
                *(_shown(mean_of(list(of.values()))) if of else NOTHING for of in each),
            ]
        )
    return _table(["arm", "seeds", ALL, *(head for _, _, head in FIGURES)], rows)


def _muted(study: Study, found: Results) -> list[str]:
    budget, rows = budget_of(study), []
    for name in arms_with_results(study, found):
        mine = [r for run, r in found.by_run.items() if run.arm == name and run.budget == budget]
        for task in ACCURACIES:
            cells = []
            for branch in BRANCH_NAMES:
                lost = [
                    r.muted["none"][task] - r.muted[branch][task]
                    for r in mine
                    if task in r.muted.get("none", {}) and task in r.muted.get(branch, {})
                ]
                cells.append(_shown(mean_of(lost), True) if lost else NOTHING)
            if any(cell != NOTHING for cell in cells):
                rows.append([f"`{name}`", task, str(len(mine)), *cells])
    return _table(["arm", "task", "seeds", *(f"without {name}" for name in BRANCH_NAMES.values())], rows)


def _budgets(study: Study, found: Results) -> list[str]:
    budgets = sorted({run.budget for run in study.runs})
    names = study.recipe.curves.arms if len(budgets) > 1 else []
    rows = []
    for name in names:
        for budget in budgets:
            whole = six(found, name, budget)
            if whole:
                part = "1" if budget == 1 else f"1/{budget}"
                steps = sum(
                    phase.steps for phase in study.runs[Run(name, study.recipe.seeds[0], budget)].phases
                )
                rows.append(
                    [f"`{name}`", part, str(steps), str(len(whole)), _shown(mean_of(list(whole.values())))]
                )
    return _table(["arm", "budget", "steps", "seeds", ALL], rows)


def _phases(study: Study, found: Results) -> list[str]:
    budget, rows = budget_of(study), []
    for name in arms_with_results(study, found):
        mine = [r for run, r in found.by_run.items() if run.arm == name and run.budget == budget]
        after: dict[tuple[str, str], list[float]] = {}
        for result in mine:
            for phase, views in result.phases.items():
                for view, values in views.items():
                    if FOLLOWED in values:
                        after.setdefault((view, phase), []).append(values[FOLLOWED])
        for view in dict.fromkeys(view for view, _ in after):
            of = {phase: values for (seen, phase), values in after.items() if seen == view}
            if len(of) > 1:
                path = "; ".join(f"{phase}: {_shown(mean_of(values))}" for phase, values in of.items())
                rows.append([f"`{name}`", view, str(len(mine)), path])
    return _table(["arm", "shown", "seeds", "after each phase"], rows)


def _training(study: Study, found: Results) -> list[str]:
    budget, rows = budget_of(study), []
    for name in arms_with_results(study, found):
        mine = [r for run, r in found.by_run.items() if run.arm == name and run.budget == budget]
        if not mine:
            continue
        logs = [losses for result in mine for losses in result.losses.values()]
        last = [
            value for result in mine if (value := _last(list(result.losses.values())[-1].loss)) is not None
        ]
        spent = [result.processor_seconds for result in mine if result.processor_seconds is not None]
        rows.append(
            [
                f"`{name}`",
                str(len(mine)),
                _shown(mean_of(last)) if last else NOTHING,
                str(sum(losses.spikes for losses in logs)),
                str(sum(losses.not_finite for losses in logs)),
                f"{sum(spent) / len(spent):.0f}" if spent else NOTHING,
            ]
        )
    heads = ["arm", "seeds", "loss at the end", "spikes", "not finite", "seconds of a processor for a run"]
    return _table(heads, rows)


def _last(values: Sequence[float | None], number: int = 5) -> float | None:
    """The mean of the last finite losses."""
    kept = [value for value in values if value is not None][-number:]
    return sum(kept) / len(kept) if kept else None

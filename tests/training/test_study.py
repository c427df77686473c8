"""A toy study of two arms and two seeds: budgets, resume, and results that are never averaged in silently."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from filelock import FileLock
from safetensors.torch import load_file

from nanoemox.checkpoints.load import load_model
from nanoemox.cli import main as cli
from nanoemox.files.atomic import write_jsonl
from nanoemox.files.errors import ArgumentError
from nanoemox.training import trainer
from nanoemox.training.recipe import Arm, RecipeError, load_recipe
from nanoemox.training.run import train
from nanoemox.training.study import run as study_run
from nanoemox.training.study.arms import Run, load_study
from nanoemox.training.study.models import ArmFeatures, write_start
from nanoemox.training.study.report import FIGURES, draw, render, verdict, write_report
from nanoemox.training.study.results import (
    losses_of,
    mean_of,
    of_arm,
    paired,
    read_results,
    result_path,
)
from nanoemox.training.study.run import run_study
from tests.training.test_p2e import _Killed, _recipe, _records
from tests.training.test_p2e import workplace as workplace  # the fixture

ALL = ["audio_adapter", "video_adapter", "face_adapter", "fusion", "lora"]
ARMS: dict[str, Any] = {
    "full": {"about": "the whole method"},
    "joint": {
        "about": "without P2E",
        "paper": "worse",
        "phases": ["3"],
        "set": {"phases.3.after": [], "phases.3.steps": 6},
    },
}


def write_study(folder: Path, **changes: Any) -> Path:
    """A study of a tiny model on six clips, three of which are also the test set."""
    phase = {"batch_size": 2, "learning_rate": 1e-2, "log_every": 1, "threads": 1, "save_every": 2}
    _recipe(folder, "base")
    base = yaml.safe_load((folder / "base.yaml").read_text(encoding="utf-8"))
    base["validation"] = None
    base["phases"] = [
        {"name": "1a", "train": ["audio_adapter"], "tasks": {"emotion": 1}, "steps": 2, **phase},
        {
            "name": "3",
            "after": ["1a"],
            "train": ALL,
            "lora": {"rank": 2, "alpha": 4, "dropout": 0.0},
            "tasks": {"emotion": 1, "open_vocabulary": 1},
            "steps": 4,
            **phase,
        },
    ]
    (folder / "base.yaml").write_text(yaml.safe_dump(base), encoding="utf-8")
    tests = [r.model_copy(update={"split": "test"}) for r in _records(folder, 3)]
    tests = [record.model_copy(update={"id": f"{record.id}9"}) for record in tests]
    write_jsonl(folder / "test1.jsonl", [record.line(folder) for record in tests])
    study = {
        "kind": "study",
        "name": "toy",
        "base": str(folder / "base.yaml"),
        "output": str(folder / "study"),
        "results": str(folder / "results"),
        "page": str(folder / "study.md"),
        "picture": str(folder / "study.svg"),
        "reference": "full",
        "seeds": [1, 2],
        "arms": ARMS,
        "curves": {"arms": ["full"], "budgets": [2]},
        "measure": {
            "sets": [str(folder / "test1.jsonl")],
            "clips": 3,
            "written": 1,
            "muted": 1,
        },
        "quick": {"arms": ["full"], "budget": 2, "clips": 2, "written": 1, "muted": 0},
        **changes,
    }
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


# ---------------------------------------------------------------- what is refused before anything trains


@pytest.mark.parametrize(
    ("arm", "told"),
    [
        ({"set": {"phases.3.steps": 5}}, r"arm odd: sees 14 examples in its phases, but full sees 12"),
        (
            {"set": {"phases.3.lora": {}, "phases.3.lora.rank": 4}},
            "phases.3.lora.rank clashes with phases.3.lora",
        ),
        ({"phases": ["3"], "set": {"phases.1a.steps": 6}}, "phases.1a.steps clashes with phases"),
        ({"set": {"model": "other"}}, "model is the same for all arms"),
        ({"set": {"phases.3.stepps": 4}}, "arm odd: unknown key 'phases.3.stepps'"),
        ({"set": {"phases.9.steps": 4}}, "arm odd: .*the recipe has no '9'"),
        ({"phases": ["3", "1a"]}, "arm odd: .*unknown earlier phase"),
        ({"phases": ["4"]}, "phases: unknown '4'; .* has: 1a, 3"),
        ({"config": {"face_tokens": 0}}, "config.face_tokens is 0, but phase 3 trains face_adapter"),
        ({"config": {"vision_feature_layer": 1}}, "vision_feature_layer cannot differ between arms"),
        ({"config": {"fusion_type": "attention"}, "gate": "mean"}, "gate clashes with config.fusion_type"),
        ({"config": {"fusion_tokens": 0}, "experts": [0]}, "experts clashes with config.fusion_tokens"),
        ({"experts": [0], "gate": "mean"}, "gate clashes with experts"),
        ({"experts": [1, 1]}, "experts: expected different ones"),
        ({"shown": ["text"]}, "phase 1a reads video, audio, text, but only text is shown"),
        ({"shown": ["smell"]}, "unknown modality 'smell'"),
        ({"gait": "mean"}, "unknown key 'arms.odd.gait'"),
    ],
)
def test_an_arm_that_cannot_be_compared_is_refused(tmp_path: Path, arm: dict[str, Any], told: str) -> None:
    path = write_study(tmp_path, arms={**ARMS, "odd": {"about": "odd", **arm}})
    with pytest.raises(RecipeError, match=told):
        load_study(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seeds": [1, 2, 1]}, "expected different seeds, but 1 comes more than once"),
        ({"reference": "whole"}, r"unknown arm \(under reference\) 'whole'; there are: full, joint"),
        ({"curves": {"arms": ["full"], "budgets": [4]}}, "full-1-budget-4: phase 1a would have no step"),
        ({"kind": "p2e"}, "unknown key"),
    ],
)
def test_a_study_that_cannot_be_run_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        load_study(write_study(tmp_path, **changes))


def test_what_is_asked_for_has_to_be_there(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path))
    for only, seeds, told in (
        (["fool"], None, "unknown arm 'fool'; there are: full, joint"),
        (None, [3], "seed 3 is not one of 1, 2"),
        (None, [1, 1], "expected different ones, got 1, 1"),
    ):
        with pytest.raises(RecipeError, match=told):
            run_study(study, only, seeds)
    with pytest.raises(RecipeError, match="run it with `nanoemox study"):
        train(study.path)
    with pytest.raises(RecipeError, match="expected `kind: study`"):
        load_study("p2e_pico")


def test_the_shipped_study_gives_every_arm_the_same_budget() -> None:
    study = load_study("study_pico")
    total = {
        sum(phase.steps * phase.batch_size for phase in recipe.phases)
        for run, recipe in study.runs.items()
        if run.budget == 1
    }
    assert len(total) == 1 and len(study.recipe.seeds) >= 3
    quarter = study.runs[Run("full", 1, 4)]
    assert sum(phase.steps for phase in quarter.phases) * 4 * 16 in total
    assert study.runs[Run("mean_gate", 1)].phases[-1].frozen == ["fusion.gate"]
    assert {recipe.seed for run, recipe in study.runs.items() if run.seed == 2} == {2000}


# ---------------------------------------------------------------- the models of the arms


def test_arms_of_one_seed_start_from_the_same_parts(workplace: Path) -> None:
    _recipe(workplace, "any")
    base, _ = load_model(workplace / "model", dtype=torch.float32)
    records = _records(workplace)
    side, store = base.config.vision_config.image_size, {}
    for i, record in enumerate(records):
        noise = torch.Generator().manual_seed(i)
        pixels = torch.randn(1, 8, 3, side, side, generator=noise)
        sound = torch.randn(1, 8, 1600, generator=noise)
        store[record.id] = {n: v[0] for n, v in base.encode(pixels, pixels, sound).items()}
    ids = [record.id for record in records]

    def start(name: str, seed: int = 1, **arm: Any) -> Any:
        settings = Arm(about=name, **arm)
        folder = write_start(str(workplace / "model"), settings, seed, store, ids, workplace / name)
        model, _ = load_model(folder, dtype=torch.float32)
        features = {n: v[None] for n, v in ArmFeatures(store, settings, 3)[ids[0]].items()}
        return model.eval(), features

    full, features = start("full")
    other, _ = start("other", seed=2)
    assert not torch.equal(full.audio_adapter.query_tokens, other.audio_adapter.query_tokens)
    video, audio = features["video_fusion_features"], features["audio_fusion_features"]
    hidden, gate = full.fusion.mix(video, audio)
    for name, arm in (
        ("no_face", {"config": {"face_tokens": 0}}),
        ("attention", {"config": {"fusion_type": "attention"}}),
    ):
        model, mine = start(name, **arm)
        for part in ("audio_adapter", "video_adapter", "language_model"):
            ours, theirs = (getattr(m, part).state_dict() for m in (model, full))
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs), (name, part)
        assert ("face_features" in mine) == (name != "no_face")
        assert ("video_fusion_features" in mine) == (name == "no_face")
    no_fusion = ArmFeatures(store, Arm(about="no fusion", config={"fusion_tokens": 0}), 3)[ids[0]]
    assert set(no_fusion) == {"video_features", "audio_features", "face_features"}
    equal, mine = start("equal", gate="mean")
    weights = equal.fusion.mix(mine["video_fusion_features"], mine["audio_fusion_features"])[1]
    assert torch.allclose(weights, torch.full((1, 3), 1 / 3))
    # The experts alone, weighed by the gate of the whole, are the whole.
    parts = []
    for expert in range(3):
        model, mine = start(f"depth{expert}", experts=[expert])
        alone, one = model.fusion.mix(mine["video_fusion_features"], mine["audio_fusion_features"])
        assert torch.equal(one, torch.ones(1, 1))
        parts.append(alone * gate[0, expert])
    assert torch.allclose(sum(parts), hidden, atol=1e-5)
    with pytest.raises(RecipeError, match="cannot be changed to 'far'"):
        start("far", experts=[7])


# ---------------------------------------------------------------- the runs


def test_a_killed_run_goes_on_and_ends_with_the_same_figures(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(workplace)
    whole = load_study(path, [f"results={workplace / 'whole'}", f"output={workplace / 'other'}"])
    assert [place.name for place in run_study(whole, ["joint"], [1]).written] == ["joint-1.json"]

    steps, step = {"n": 0}, trainer.OrderedTrainer.training_step

    def killed(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps["n"] += 1
        if steps["n"] == 5:
            raise _Killed
        return step(self, *args, **kwargs)

    monkeypatch.setattr(trainer.OrderedTrainer, "training_step", killed)
    study = load_study(path)
    with pytest.raises(_Killed):
        run_study(study, ["joint"], [1])
    results = Path(study.recipe.results)
    assert not results.exists()
    outcome = run_study(study, ["joint"], [1])
    assert steps["n"] == 7  # it went on from its fourth step
    assert [place.name for place in outcome.written] == ["joint-1.json"]
    assert Run("joint", 1) not in outcome.missing and len(outcome.missing) == len(study.runs) - 1
    joint, theirs = (json.loads((f / "joint-1.json").read_text()) for f in (results, workplace / "whole"))
    for key in ("figures", "sets", "muted", "phases", "losses", "realised"):
        assert joint[key] == theirs[key], key
    assert joint["losses"]["3"]["steps"] == [1, 2, 3, 4, 5, 6]
    assert joint["processor_seconds"] is None and theirs["processor_seconds"] > 0
    assert set(joint["muted"]) == {"none", "fusion", "face_adapter", "audio_adapter", "video_adapter"}
    assert {"emotion", "intent", "open_vocabulary"} <= set(joint["figures"])
    runs = workplace / "study" / "runs"
    assert sorted(place.name for place in (runs / "joint-1").iterdir() if place.is_dir()) == ["3"]
    assert run_study(study, ["joint"], [1]).written == []  # nothing is left to do


@pytest.fixture
def finished(tmp_path: Path) -> Any:
    """A study of which all but one run has a result; the figures are made up."""
    study = load_study(write_study(tmp_path))
    results = Path(study.recipe.results)
    results.mkdir()
    for run in study.runs:
        if run == Run("joint", 2):
            continue
        value = 0.5 + 0.1 * run.seed - (0.2 if run.arm == "joint" else 0.0)
        made = {
            "format": 1,
            "study": "toy",
            **run._asdict(),
            "nanoemox": study_run.__version__,
            "settings": study_run.settings_of(study, run),
            "materials": {"model": "m", "training": {"0": "t"}, "tests": {"test1": "x"}},
            "figures": {"emotion": {"accuracy": value}},
            "sets": {"test1": {"emotion": value}},
            "muted": {"none": {"emotion": value}, "fusion": {"emotion": value}},
            "phases": {"3": {"text": {"emotion": value}}},
            "losses": {"3": {"steps": [1, 2], "loss": [2.0, None], "spikes": 0, "not_finite": 1}},
            "realised": {"3": {"emotion": 8}},
            "trained": {"3": {"lora": 10}},
            "seconds": {"3": 1.0, "measure": 1.0},
            "processor_seconds": 2.0,
            "machine": "x",
        }
        result_path(study, run).write_text(json.dumps(made), encoding="utf-8")
    return study


def change(finished: Any, run: Run, **changes: Any) -> Path:
    """Change keys of one result."""
    path = result_path(finished, run)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")
    return path


def test_a_missing_result_is_named_and_pairs_are_of_one_seed(finished: Any) -> None:
    found = read_results(finished)
    assert found.missing == [Run("joint", 2)] and found.left_out == {}
    full, joint = (of_arm(found, arm, "emotion", "accuracy") for arm in ("full", "joint"))
    assert full == {1: 0.6, 2: 0.7} and list(joint) == [1]
    difference = paired(joint, full)
    assert difference is not None and difference.value == pytest.approx(-0.2) and difference.seeds == 1
    assert difference.half is None and difference.sign == 0  # one seed shows nothing


def test_a_damaged_result_is_named(finished: Any) -> None:
    path = result_path(finished, Run("full", 1))
    whole = path.read_text()
    for text, told in (
        (
            whole[:200],
            "full-1.json: expected the result of a run, but .*; remove it, and the run is repeated",
        ),
        (whole.replace('"seed"', '"sede"'), "unknown key 'sede'"),
        (whole.replace('"format": 1', '"format": 2'), "format: input should be 1, got 2"),
    ):
        path.write_text(text, encoding="utf-8")
        for use in (read_results, run_study):
            with pytest.raises(RecipeError, match=told):
                use(finished)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"nanoemox": "0.0.1"}, "comes from nanoemox 0.0.1"),
        ({"seed": 2}, "is the result of full-2 of the study toy"),
        ({"study": "other"}, "is the result of full-1 of the study other"),
        ({"settings": {"seed": 1}}, r"was made with other settings \(seed: 1 then, 1000 now\)"),
        ({"materials": {"model": "n", "training": {}, "tests": {}}}, "on other files than"),
    ],
)
def test_a_result_of_another_study_is_left_out_and_named(
    finished: Any, changes: dict[str, Any], told: str
) -> None:
    run = Run("full", 1) if "materials" not in changes else Run("joint", 1)
    path = change(finished, run, **changes)
    found = read_results(finished)
    assert run in found.missing and re.search(told, found.left_out[path.name])
    with pytest.raises(RecipeError, match=f"{path.name}: .*{told}.*; move it away"):
        run_study(finished)


def test_a_result_that_no_run_has_is_named(finished: Any) -> None:
    change(finished, Run("full", 1)).rename(Path(finished.recipe.results) / "full-9.json")
    found = read_results(finished)
    assert "no run of this study" in found.left_out["full-9.json"] and Run("full", 1) in found.missing


# ---------------------------------------------------------------- statistics


def test_means_have_the_interval_of_student() -> None:
    three = mean_of([0.1, 0.2, 0.3])
    assert three.value == pytest.approx(0.2)
    assert three.half == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-6)
    assert (
        three.sign == 0 and mean_of([0.2, 0.21, 0.19]).sign == 1 and mean_of([-0.2, -0.21, -0.19]).sign == -1
    )
    assert paired({1: 0.1}, {2: 0.3}) is None


def test_spikes_and_losses_that_are_no_numbers_are_counted() -> None:
    lines = [{"step": i, "loss": 1.0} for i in range(8)]
    found = losses_of([*lines, {"step": 8, "loss": 1.6}, {"step": 9, "loss": None}, {"step": 9, "time": 3}])
    assert (found.spikes, found.not_finite, len(found.loss)) == (1, 1, 10)
    assert losses_of([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 9.0}]).spikes == 0  # too early to tell


def test_the_kind_of_a_shipped_recipe_is_told() -> None:
    assert load_recipe("study_pico").kind == "study"


# ---------------------------------------------------------------- the page


def fill(study: Any, run: Run, value: float, budget_muted: float = 0.0) -> None:
    """Give a made-up result all six figures."""
    figures = {task: {figure: value} for task, figure, _ in FIGURES}
    muted = {"none": {"emotion": value}, "fusion": {"emotion": value - budget_muted}}
    change(study, run, figures=figures, muted=muted)


def test_the_page_says_what_agrees_what_does_not_and_what_is_missing(finished: Any) -> None:
    arms = finished.recipe.arms
    for run in finished.runs:
        if run != Run("joint", 2):
            fill(finished, run, 0.5 + 0.1 * run.seed - (0.2 if run.arm == "joint" else 0.0), 0.25)
    paths = write_report(finished)
    page, picture = (path.read_text(encoding="utf-8") for path in paths)
    assert "**5 of 6 runs have a result, so this study is not finished.**" in page
    assert "Missing: `joint-2`." in page
    assert "| `joint`: without P2E | 1 | worse | cannot say | **-0.200** |" in page
    assert "Only 1 of 2 seeds have a pair of results." in page
    assert "| `full` | emotion | 2 | +0.250 ± 0.000 |" in page
    assert "| `full` | 1/2 | 3 | 2 | 0.650 ± 0.635 |" in page
    assert picture.startswith("<svg") and ">joint</text>" in picture and "nan" not in picture
    change(finished, Run("full", 2), nanoemox="0.0.1")
    page = render(finished, read_results(finished), "study.svg")
    assert "Left out of every figure: `full-2.json` comes from nanoemox 0.0.1" in page
    assert verdict(arms["joint"], None, 3).kind == "cannot say"


@pytest.mark.parametrize(
    ("values", "paper", "kind"),
    [
        ([-0.2, -0.21, -0.19], "worse", "agrees"),
        ([0.2, 0.21, 0.19], "worse", "disagrees"),
        ([0.2, 0.21, 0.19], "better", "agrees"),
        ([0.2, -0.21, 0.0], "worse", "cannot say"),
        ([0.2, 0.21, 0.19], None, "new"),
        ([0.2, -0.21, 0.0], None, "cannot say"),
        ([-0.2, -0.2], "worse", "cannot say"),
    ],
)
def test_a_verdict_needs_an_interval_without_zero(values: list[float], paper: Any, kind: str) -> None:
    said = verdict(Arm(about="it", paper=paper), mean_of(values), 3)
    assert said.kind == kind and said.sentence.endswith(".")


def test_a_page_without_any_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no result that belongs to the study yet"):
        write_report(load_study(write_study(tmp_path)))


def test_the_command_lists_reports_and_names_what_is_missing(
    finished: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str, status: int) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["study", str(finished.path), *arguments])
        assert ended.value.code == status
        out, err = capsys.readouterr()
        return out, " ".join(err.split())

    for each in finished.runs:
        if each != Run("joint", 2):
            fill(finished, each, 0.5)
    out, _ = run("--dry-run", status=0)
    assert "joint-2\tmissing\t3: 6 steps" in out and "full-1\thas a result" in out
    out, _ = run("--dry-run", "--only", "joint", "--seeds", "2", status=0)
    assert out.splitlines() == ["joint-2\tmissing\t3: 6 steps"]
    assert "missing: joint-2" in run("--report", status=1)[1]
    assert "expected whole numbers" in run("--seeds", "one", status=2)[1]
    out, _ = run("--dry-run", "--quick", status=0)
    assert out.splitlines()[0].startswith("full-1-budget-2\tmissing\t1a: 1 steps, 3: 2 steps")


def test_the_committed_page_is_made_from_the_committed_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    study = load_study("study_pico")
    page, picture = Path(study.recipe.page or ""), Path(study.recipe.picture or "")
    found = read_results(study)
    assert page.read_text(encoding="utf-8") == render(study, found, "figures/study.svg")
    assert picture.read_text(encoding="utf-8") == draw(study, found)


def test_a_run_that_another_process_trains_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(write_study(tmp_path))
    asked: list[str] = []

    def one_run(bench: Any, run: Run, folder: Path, path: Path) -> Path:
        asked.append(run.name)
        return path

    monkeypatch.setattr(study_run, "_one_run", one_run)
    monkeypatch.setattr(study_run, "_bench", lambda study, *_: SimpleNamespace(study=study))
    folder = Path(study.recipe.output) / "runs"
    folder.mkdir(parents=True)
    with FileLock(folder / ".full-1.lock"):
        run_study(study, None, [1])
    assert asked == ["joint-1", "full-1-budget-2"]


def test_parameters_that_are_frozen_stay(workplace: Path) -> None:
    def phase(frozen: list[str]) -> list[str]:
        return [f"phases.3.frozen={json.dumps(frozen)}", "phases.3.after=[]", f"output={workplace / 'held'}"]

    path = _recipe(workplace, "held", validation=None)[0]
    with pytest.raises(RecipeError, match=r"phase 3: frozen: no parameter of .* begins with fusion\.gait"):
        train(path, phase="3", overrides=phase(["fusion.gait"]))
    folder = train(path, phase="3", overrides=phase(["fusion.gate", "face_adapter.query_tokens"])).folder
    before, after = (load_file(f / "model.safetensors") for f in (workplace / "model", folder))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in changed if name.startswith(("fusion.gate", "face_adapter.query_tokens"))]
    assert {"fusion.projection.weight", "face_adapter.attention.in_proj_weight"} <= changed

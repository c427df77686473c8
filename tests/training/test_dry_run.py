"""A dry run says what is missing, what is broken, what it takes, and nothing is written by it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nanoemox.cli import main as cli
from nanoemox.data.quarantine import quarantine_path, write_quarantine
from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_jsonl
from nanoemox.files.errors import NanoEmoXError
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.training import trainer
from nanoemox.training.distillation import Distilled
from nanoemox.training.dry_run import TIMED_STEPS, dry_run
from tests.media_files import make_media
from tests.tiny import tiny_config


@pytest.fixture
def recipe(model: Any, processor: Any, tmp_path: Path) -> Path:
    """A tiny model, four clips of a corpus (one broken, one quarantined, one to be tested on), two phases."""
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    make_media(tmp_path / "clip.mp4", 1.0)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    label = {"emotion": {"label": "fear"}, "intent": {"label": "Joke"}}
    records = [
        Record(id=name, video=tmp_path / file, source="crema_d", text="oh", split=split, labels=label)
        for name, file, split in (
            ("a", "clip.mp4", "train"),
            ("b", "clip.mp4", None),
            ("listed", "broken.mp4", "train"),
            ("t", "clip.mp4", "test"),
        )
    ]
    manifest = tmp_path / "crema_d.jsonl"
    write_jsonl(manifest, [record.line(tmp_path) for record in records])
    write_quarantine(quarantine_path(manifest), {"listed": ["unreadable"]})
    base = {"steps": 50, "batch_size": 2, "learning_rate": 1e-3, "threads": 1}
    content = {
        "kind": "p2e",
        "name": "tiny",
        "model": str(tmp_path / "model"),
        "output": str(tmp_path / "runs"),
        "manifests": [str(manifest)],
        "features": str(tmp_path / "features"),
        "workers": 0,
        "phases": [
            {"name": "1a", "train": ["audio_adapter"], "tasks": {"emotion": 1}, "modalities": ["audio"], **base},
            {"name": "3", "after": ["1a"], "train": ["fusion", "lora"], "lora": {"rank": 2},
             "tasks": {"emotion": 1, "intent": 1}, **base},
        ],
    }  # fmt: skip
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_what_is_there_and_what_it_takes(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(recipe.parent.rglob("*"))
    report = dry_run(recipe)
    assert report.ok, report.problems
    (corpus,) = report.corpora
    assert corpus.clips == 2 and corpus.quarantined == 1 and corpus.tasks == {"emotion": 2, "intent": 2}
    assert corpus.tried == 2 and not corpus.unreadable
    assert [phase.realised["tasks"] for phase in report.phases] == [
        {"emotion": 100},
        {"emotion": 50, "intent": 50},
    ]
    assert all(phase.step_s and phase.trained for phase in report.phases)
    assert "2 clips of" in report.facts["disk, features"] and "estimated" in report.facts["time"]
    assert sorted(recipe.parent.rglob("*")) == before
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", str(recipe), "--dry-run", "--phase", "1a"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "ready to run" in told and "crema_d 100" in told
    assert max(len(line) for line in told.split("\n")) <= 80


def test_what_is_timed_is_what_is_trained(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    step = trainer.OrderedTrainer.training_step

    def counted(self: Any, model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        taken.append(len(inputs["input_ids"]))
        return step(self, model, inputs, *rest, **options)

    monkeypatch.setattr(trainer.OrderedTrainer, "training_step", counted)
    report = dry_run(recipe, "3")
    assert taken == [2] * TIMED_STEPS  # steps of the recipe's batch size, by the trainer
    assert report.phases[0].step_s is not None and report.phases[0].step_s > 0


def test_a_teacher_is_timed_and_its_faults_are_problems(
    recipe: Path, tokenizer: Any, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(7)
    teacher = NanoEmoXForConditionalGeneration(tiny_config(tokenizer, video_tokens=7))
    place = recipe.parent / "large"
    teacher.save_pretrained(place)
    NanoEmoXProcessor.from_config(teacher.config, tokenizer).save_pretrained(place)
    taught, distance = [f"phases.3.distillation={{teacher: {place}}}"], Distilled.distance
    asked = []

    def noted(self: Any, *arguments: Any) -> Any:
        asked.append(self.teacher.config.video_tokens)
        return distance(self, *arguments)

    monkeypatch.setattr(Distilled, "distance", noted)
    report = dry_run(recipe, "3", taught)
    assert report.ok and report.phases[0].step_s
    assert set(asked) == {7} and "kB a clip" in report.facts["disk, features of large"]
    (place / "tokenizer.json").unlink()
    report = dry_run(recipe, "3", taught)
    assert not report.ok and "phase 3" in report.problems[0] and "tokenizer" in report.problems[0]
    assert report.phases[0].step_s is None and not (recipe.parent / "features").exists()


def test_a_bug_is_no_problem_of_the_recipe(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("nanoemox.model.processing_nanoemox.NanoEmoXProcessor.media", broken)
    with pytest.raises(ValueError, match="broadcast") as caught:
        dry_run(recipe, "1a")
    assert not isinstance(caught.value, NanoEmoXError)


def test_what_is_broken_is_a_problem_by_name(recipe: Path) -> None:
    quarantine_path(recipe.parent / "crema_d.jsonl").unlink()
    report = dry_run(recipe, "1a")
    assert not report.ok and report.corpora[0].unreadable == ["listed"]
    assert any("listed cannot be read" in problem and "broken.mp4" in problem for problem in report.problems)
    (recipe.parent / "broken.mp4").unlink()
    report = dry_run(recipe, "1a")
    assert any("1 clips have no file" in problem and "listed" in problem for problem in report.problems)
    report = dry_run(recipe, "3", ["phases.3.tasks={reasoning: 1}"])
    assert any("no record has labels for reasoning" in problem for problem in report.problems)


def test_a_stale_store_is_a_problem(recipe: Path) -> None:
    folder = recipe.parent / "features"
    folder.mkdir()
    (folder / "store.json").write_text(
        '{"version": 3, "encoders": "a", "preparation": "b", "dtype": "float32"}'
    )
    report = dry_run(recipe, "1a")
    assert any("other encoders" in problem for problem in report.problems)


def test_the_open_route_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "p2e_open", "--dry-run"])
    assert ended.value.code == 2
    told = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "nanoemox assemble models/nano" in told and "cannot run: 8 problems" in told
    for name in ("crema_d", "ravdess", "emodb", "meld", "mintrec", "mintrec2", "avamerg"):
        assert f"prepare {name} corpora/{name} corpora/{name}/{name}.jsonl" in told

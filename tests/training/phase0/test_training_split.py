"""Phase 0 learns from the training split alone: its wordings, its people, its clips."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nanoemox.data.schema import Record
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.theatre import script, stills, texts, words, world
from nanoemox.theatre.people import Person
from nanoemox.training.phase0 import chats, run, views
from nanoemox.training.phase0.chats import Chats
from nanoemox.training.recipe import BackboneRecipe, Job


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every split that a script or a core sentence is asked of."""
    asked: set[str] = set()
    cores, stage = words.cores, script.stage_script

    def watched_cores(family: str, split: str, *dials: Any) -> Any:
        asked.add(split)
        return cores(family, split, *dials)

    def watched_stage(index: int, seed: int, split: str) -> Any:
        asked.add(split)
        return stage(index, seed, split)

    monkeypatch.setattr(words, "cores", watched_cores)
    monkeypatch.setattr(chats, "stage_script", watched_stage)
    monkeypatch.setattr(texts, "stage_script", watched_stage)
    return asked


def test_the_language_model_reads_training_wordings_alone(
    splits: set[str], processor: NanoEmoXProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    schooling = Chats(processor, 60, seed=3)
    for index in range(60):
        schooling[index]
    assert splits == {"train"}


def test_the_tokenizer_reads_training_wordings_alone(splits: set[str]) -> None:
    read = " ".join(texts.theatre_texts(300, seed=1)).lower()
    assert splits == {"train"}
    for family in world.FAMILIES:  # fixed beginnings of sentences; the rest of each may be chosen
        for split, heard in (("train", True), ("test", False)):
            begin = [core.split("{")[0].lower() for core in words.cores(family, split)]
            known = [core.split("{")[0].lower() for core in words.cores(family, "train")]
            for text in begin:
                if len(text) > 15 and (heard or not any(k.startswith(text) for k in known)):
                    assert (text in read) == heard, text


def test_stills_show_people_of_the_training_split(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    from_id = Person.from_id

    def watched(person_id: str) -> Person:
        seen.append(person_id)
        return from_id(person_id)

    monkeypatch.setattr(stills.Person, "from_id", watched)
    for index in range(12):
        stills.draw_still(index, 1, 32)
    everyone = {f"train-person-{i:04d}" for i in range(script.PEOPLE["train"])}
    assert len(seen) == 12 and len(set(seen)) > 6 and set(seen) <= everyone


# ---------------------------------------------------------------- clips


def _record(split: str, index: int) -> Record:
    line = script.stage_script(index, 1, split).record()
    return Record(**{**line, "video": f"/{line['id']}.mp4"})


class _Clips:
    """Stands for decoded clips; one of them could not be decoded."""

    complete = True

    def __init__(self, folder: str) -> None:
        self.read: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name != "train-1-000003"

    def media(self, name: str, processor: Any) -> dict[str, Any]:
        return {"name": name}


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> BackboneRecipe:
    """A recipe whose manifests hold clips of all three splits."""
    records = [_record(split, index) for split in ("train", "val", "test") for index in range(5)]
    monkeypatch.setattr(run, "_records", lambda recipe: records)
    monkeypatch.setattr(run, "DecodedClips", _Clips)
    job: dict[str, Any] = {"steps": 2, "batch_size": 3, "learning_rate": 1}
    jobs = dict.fromkeys(("face", "voice", "scene", "lm"), job)
    return BackboneRecipe(kind="backbones", name="r", output="/nowhere", theatre=[], clips="/nowhere", **jobs)


TRAINING = [f"train-1-00000{i}" for i in (0, 1, 2, 4)]


@pytest.mark.parametrize("job", ["face", "voice", "scene"])
def test_encoders_are_trained_on_training_clips_alone(
    job: str, recipe: BackboneRecipe, processor: NanoEmoXProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, list[str]] = {}

    def take(name: str, result: Any) -> Any:
        def taken(*arguments: Any, **_: Any) -> Any:
            records = arguments[0]
            given[name] = [record.id for record in records]
            return result

        return taken

    example = SimpleNamespace(collate=None)
    monkeypatch.setattr(run, "action_units", take("units", np.zeros((4, 2, 7))))
    monkeypatch.setattr(run, "audio_clusters", take("clusters", torch.zeros(8, 20)))
    monkeypatch.setattr(run, "_stills", lambda recipe: np.zeros((0, 8, 8, 3), np.uint8))
    for kind, constants in (
        ("Face", {"GROUPS": views.FaceViews.GROUPS}),
        ("Voice", {"STYLES": views.VoiceViews.STYLES}),
        ("Scene", {"CLASSES": views.SceneViews.CLASSES}),
    ):
        made = type(kind, (), {**constants, "__new__": lambda cls, *a, kind=kind: take(kind, example)(*a)})
        monkeypatch.setattr(run, f"{kind}Views", made)
        monkeypatch.setattr(run, f"{kind}Objective", lambda *a: None)
    config = NanoEmoXConfig.preset("pico")
    run._JOBS[job](recipe, Job(steps=2, batch_size=3, learning_rate=1), config, processor, 1)
    assert given[job.capitalize()] == TRAINING
    assert all(names == TRAINING for names in given.values())


def test_features_are_calibrated_on_training_clips_alone(recipe: BackboneRecipe) -> None:
    records, _ = run._training_clips(recipe)
    assert [record.id for record in records] == TRAINING

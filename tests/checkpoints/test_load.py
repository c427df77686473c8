"""A model that cannot be loaded is refused in one line; a bug in loading one is not taken for that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nanoemox.checkpoints.load import (
    ModelError,
    best_dtype,
    load_answer_limits,
    load_config,
    load_model,
    locate,
)
from nanoemox.files.errors import NanoEmoXError
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.tasks.task import TASKS
from nanoemox.training.recipe import BackboneRecipe, load_recipe


@pytest.fixture
def folder(model: Any, processor: Any, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return tmp_path


def test_a_saved_model_is_loaded_in_the_type_of_its_files(model: Any, folder: Path) -> None:
    model.bfloat16().save_pretrained(folder)
    loaded, _ = load_model(folder)
    assert loaded.dtype.itemsize == 2 and not loaded.training
    assert load_model(folder, dtype="float32")[0].dtype.itemsize == 4


def test_a_model_keeps_its_own_answer_lengths(model: Any, folder: Path, batch: Any) -> None:
    limits = {"reasoning": 7, "a task of another program": 9}
    model.generation_config.task_max_new_tokens = limits
    model.save_pretrained(folder)
    loaded, _ = load_model(folder)
    loaded.save_pretrained(folder)  # as every phase of training does with the model that it starts from
    loaded, _ = load_model(folder)
    assert loaded.generation_config.task_max_new_tokens == limits == load_answer_limits(folder)
    assert loaded.generation_config.suppress_tokens == model.generation_config.suppress_tokens
    plain = model.generate(**batch, max_new_tokens=3, do_sample=False)  # transformers lets our key be
    assert torch.equal(loaded.generate(**batch, max_new_tokens=3, do_sample=False), plain)


def test_a_model_without_answer_lengths_leaves_them_to_the_tasks(folder: Path) -> None:
    assert load_answer_limits(folder) is None
    (folder / "generation_config.json").unlink()
    assert load_answer_limits(folder) is None


@pytest.mark.parametrize("limits", [7, [7], {"reasoning": 0}, {"reasoning": "7"}, {"reasoning": True}])
def test_answer_lengths_that_are_no_numbers_are_one_line(folder: Path, limits: Any) -> None:
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"task_max_new_tokens": limits}))
    for load in (load_model, load_answer_limits):
        with pytest.raises(
            ModelError, match=r"task_max_new_tokens in generation_config\.json: expected"
        ) as caught:
            load(folder)
        assert "\n" not in str(caught.value)


def test_answer_lengths_in_a_damaged_file_are_one_line(folder: Path) -> None:
    for text in ("{", "[]"):
        (folder / "generation_config.json").write_text(text)
        with pytest.raises(NanoEmoXError, match="is no configuration"):
            load_answer_limits(folder)


def test_the_bundled_model_has_the_answer_lengths_of_its_recipe() -> None:
    recipe = load_recipe("pico_backbones")
    assert isinstance(recipe, BackboneRecipe) and set(recipe.task_max_new_tokens) == set(TASKS)
    assert load_answer_limits(Path(locate("pico"))) == recipe.task_max_new_tokens
    for name in ("reasoning", "empathy"):  # those about people are longer
        assert TASKS[name].max_new_tokens > 2 * recipe.task_max_new_tokens[name]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[]"),
        ("tokenizer.json", "{"),
        ("tokenizer.json", "{}"),
        ("processor_config.json", "{"),
        ("processor_config.json", "[]"),
        ("processor_config.json", "{}"),
        ("model.safetensors", "no weights"),
    ],
)
def test_a_damaged_file_is_one_line(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(NanoEmoXError, match=str(folder)) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text_config", [3, {"model_type": "qwen2", "hidden_size": "wide"}])
def test_a_configuration_with_a_wrong_value_is_one_line(folder: Path, text_config: Any) -> None:
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(fields | {"text_config": text_config}), encoding="utf-8")
    for load in (load_model, load_config):
        with pytest.raises(NanoEmoXError, match=r"config\.json: .*text_config") as caught:
            load(folder)
        assert "\n" not in str(caught.value)


def test_a_bug_in_the_model_is_not_told_as_a_model_that_cannot_be_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(NanoEmoXForConditionalGeneration, "__init__", broken)
    with pytest.raises(ValueError, match="broadcast") as caught:
        load_model(folder)
    assert not isinstance(caught.value, NanoEmoXError)


@pytest.mark.parametrize(
    ("stored", "has_bfloat16", "best", "told"),
    [
        (torch.bfloat16, True, "auto", "computes in bfloat16, as its files"),
        (
            torch.bfloat16,
            False,
            torch.float32,
            "computes in float32, since this processor has no instructions",
        ),
        (
            torch.float16,
            True,
            torch.float32,
            "computes in float32, since this processor computes float16 slowly",
        ),
        (
            torch.float32,
            True,
            "auto",
            "computes in float32, as its files",
        ),  # half of its digits would be lost
    ],
)
def test_the_best_type_of_the_machine_is_taken(
    monkeypatch: Any, stored: torch.dtype, has_bfloat16: bool, best: Any, told: str
) -> None:
    monkeypatch.setattr("nanoemox.checkpoints.load.multiplies_bfloat16", lambda: has_bfloat16)
    taken, why = best_dtype(stored)
    assert taken is best or taken == best
    assert why.startswith(told) and why.endswith(("thread", "threads"))
    assert best_dtype(stored, "cuda") == (torch.bfloat16, "computes in bfloat16 on cuda")


def test_the_type_that_was_chosen_is_told_and_can_be_overridden(
    model: Any, folder: Path, monkeypatch: Any, caplog: Any
) -> None:
    model.bfloat16().save_pretrained(folder)
    monkeypatch.setattr("nanoemox.checkpoints.load.multiplies_bfloat16", lambda: False)
    caplog.set_level("INFO", "nanoemox")
    assert load_model(folder)[0].dtype is torch.float32
    assert f"{folder}: computes in float32" in caplog.text
    caplog.clear()
    assert load_model(folder, dtype="bfloat16")[0].dtype is torch.bfloat16 and not caplog.text
    with pytest.raises(NanoEmoXError, match=r"dtype int3: expected one of bfloat16, float16, float32"):
        load_model(folder, dtype="int3")


def test_no_more_threads_than_the_container_has_time_for(folder: Path, monkeypatch: Any) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        monkeypatch.setattr("nanoemox.checkpoints.load.usable_cores", lambda: 2)
        load_model(folder)
        assert torch.get_num_threads() == 2
        monkeypatch.setattr("nanoemox.checkpoints.load.usable_cores", lambda: 8)
        load_model(folder)
        assert torch.get_num_threads() == 2  # as the user set it
    finally:
        torch.set_num_threads(before)

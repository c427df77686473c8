"""A model that cannot be loaded is refused in one line; a bug in loading one is not taken for that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanoemox.checkpoints.load import ModelError, load_config, load_model
from nanoemox.files.errors import NanoEmoXError
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration


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
        with pytest.raises(ModelError, match="loading it failed") as caught:
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

"""A trained model written for others: float type, settings and figures; refusals leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nanoemox.checkpoints.export import export
from nanoemox.checkpoints.load import load_answer_limits
from nanoemox.checkpoints.weight_files import WeightsError
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from tests.tiny import tiny_config, tiny_tokenizer


def trained(folder: Path) -> Path:
    tokenizer = tiny_tokenizer()
    config = tiny_config(tokenizer)
    model = NanoEmoXForConditionalGeneration(config)
    model.generation_config.task_max_new_tokens = {"reasoning": 7}
    model.save_pretrained(folder)
    NanoEmoXProcessor.from_config(config, tokenizer).save_pretrained(folder)
    settings = {"recipe": "tiny", "settings": {"name": "3"}, "realised": {"tasks": {"emotion": 2}}}
    (folder / "phase.json").write_text(json.dumps(settings))
    return folder


def test_weights_are_the_same_in_another_float_type(tmp_path: Path) -> None:
    before = load_file(trained(tmp_path / "model") / "model.safetensors")
    report = tmp_path / "report.json"
    report.write_text(
        json.dumps({"n": 7, "command": "evaluate x", "tasks": {"emotion": {"accuracy": {"value": 0.5}}}})
    )
    out = export(tmp_path / "model", tmp_path / "out", "bfloat16", report)
    after = load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value.to(torch.bfloat16), after[name]), name
    assert load_answer_limits(out) == {"reasoning": 7}
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "emotion.accuracy | 0.500" in card and "Recipe tiny" in card


@pytest.mark.parametrize("text", ["{}", "no json", None])
def test_a_wrong_report_is_named_and_nothing_is_written(tmp_path: Path, text: str | None) -> None:
    trained(tmp_path / "model")
    report = tmp_path / "figures.json"
    if text is not None:
        report.write_text(text)
    with pytest.raises(WeightsError, match=r"figures\.json: expected the report\.json"):
        export(tmp_path / "model", tmp_path / "out", report=report)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected a model folder with config\.json"):
        export(tmp_path, tmp_path / "out")

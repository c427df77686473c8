"""A model folder may come from anyone: what is broken is one line, nothing of it is run, and no one is asked."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from nanoemox.checkpoints.load import load_model
from nanoemox.checkpoints.pretrained import load_tokenizer
from nanoemox.files.errors import NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from tests.adversarial.broken_folders import CASES, MISSING, UP, C, Case, T, content, field, sharded, weight
from tests.tiny import tiny_config


@pytest.fixture(scope="module")
def whole(processor: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    torch.manual_seed(0)
    NanoEmoXForConditionalGeneration(tiny_config(tokenizer)).eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    for path in folder.glob("*.py"):  # it does without its code, and is sooner copied
        path.unlink()
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(whole, copy)
    return copy


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a request left the machine")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("someone was asked"))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.usefixtures("no_network")
def test_a_broken_folder_is_one_line(folder: Path, case: Case) -> None:
    case.break_it(folder)
    started = time.perf_counter()
    with pytest.raises(NanoEmoXError, match=case.says) as caught:
        load_model(folder)
    assert time.perf_counter() - started < 120  # of a busy machine; else two seconds
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message and len(message) < 1500


@pytest.mark.usefixtures("no_network")
def test_the_whole_folder_is_loaded(folder: Path) -> None:
    load_model(folder)


@pytest.mark.usefixtures("no_network")
def test_a_file_that_can_be_done_without(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    load_model(folder)


def test_links_as_the_cache_of_the_hub_has_them(folder: Path, tmp_path: Path) -> None:
    for name in (C, "model.safetensors"):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    load_model(folder)


def test_an_index_beside_whole_weights_is_not_read(folder: Path) -> None:
    content("model.safetensors.index.json", "null")(folder)
    load_model(folder)


def test_shards_are_loaded(folder: Path) -> None:
    sharded(None)(folder)
    load_model(folder)


def test_a_template_of_someone_else_that_is_in_order(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text(encoding="utf-8").replace("Scene: ", "Picture: "), encoding="utf-8")
    assert "Picture: " in load_model(folder)[1].prompt("Why?", modalities={"video"})


STRANGER = """
import socket, sys
import transformers, huggingface_hub  # before ours, so that their own switches have been read
def refuse(*arguments, **_):
    print("ASKED THE NETWORK", arguments[:2])
    raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from nanoemox import EmotionAnalyzer, NanoEmoXError
folder, good = sys.argv[1:]
try:
    EmotionAnalyzer.from_pretrained(folder)
except NanoEmoXError as error:
    print(error)
print(EmotionAnalyzer.from_pretrained(good).analyze(None, text="Hi.", tasks=["emotion"])["emotion"].label)
"""


def test_code_in_a_folder_is_not_run_nobody_is_asked_and_nothing_leaves_the_machine(
    folder: Path, whole: Path, tmp_path: Path
) -> None:
    """In a process of its own, whose standard input says yes to whoever asks."""
    mark = tmp_path / "was run"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n", encoding="utf-8")
    (folder / "custom_generate").mkdir()
    shutil.copy(folder / "evil.py", folder / "custom_generate" / "generate.py")
    field(T, "auto_map", {"AutoTokenizer": ["evil.Evil", None]})(folder)
    environment = os.environ | {"AI_AGENT": "someone", "HF_HOME": str(tmp_path / "hub")}
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY"):
        environment.pop(name, None)
    command = [sys.executable, "-c", STRANGER, str(folder), str(whole)]
    done = subprocess.run(command, input="y\ny\ny\n", capture_output=True, text=True, env=environment)
    said, label = done.stdout.strip().splitlines()
    assert done.returncode == 0 and "tokenizer_config.json: auto_map names code" in said and label
    field(T, "auto_map", MISSING)(folder)
    load_model(folder)
    assert not mark.exists()


def test_a_backbone_whose_tokenizer_brings_code_is_refused(folder: Path) -> None:
    field(T, "auto_map", {"AutoTokenizer": ["evil.Evil", None]})(folder)
    with pytest.raises(NanoEmoXError, match=r"tokenizer_config\.json: auto_map names code"):
        load_tokenizer(folder)


def test_a_backbone_whose_tokenizer_has_an_expression_without_end_is_refused(folder: Path) -> None:
    normalizer = {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}
    field("tokenizer.json", "normalizer", normalizer)(folder)
    with pytest.raises(NanoEmoXError, match=r"tokenizer\.json: its regular expressions cannot be used"):
        load_tokenizer(folder)


# ---------------------------------------------------------------------- weights that are not finite
def test_weights_that_are_not_looked_at_still_give_no_answer(folder: Path) -> None:
    weight(float("nan"))(folder)
    with pytest.raises(NanoEmoXError, match=f"{UP} holds NaN"):
        EmotionAnalyzer.from_pretrained(folder)
    analyzer = EmotionAnalyzer.from_pretrained(folder, check=False)
    for tasks in (["emotion"], ["reasoning"], None):
        with pytest.raises(NanoEmoXError, match=r"model: expected finite numbers from the model") as caught:
            analyzer.analyze(None, text="Hello.", tasks=tasks)
        assert "\n" not in str(caught.value)


def test_large_weights_of_real_models_are_loaded(folder: Path) -> None:
    """A bias of Qwen2.5 reaches some hundreds; a whole matrix of large numbers is no flipped bit."""
    weight(900.0, "language_model.model.layers.0.self_attn.k_proj.bias")(folder)
    load_model(folder)

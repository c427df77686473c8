"""The Hub's habits: code and card with the weights, revisions, offline, uploads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import torch

from nanoemox.checkpoints import hub
from nanoemox.checkpoints.load import ModelError, load_config
from nanoemox.checkpoints.model_card import model_card
from nanoemox.checkpoints.weight_files import WeightsError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.model import remote_code
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from tests.tiny import make_batch, tiny_config


def save(folder, processor, tokenizer, seed=0):
    torch.manual_seed(seed)
    model = NanoEmoXForConditionalGeneration(tiny_config(tokenizer)).eval()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    hub.complete(folder)
    return model


@pytest.fixture(scope="module")
def folder(processor, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "tiny-model"
    save(folder, processor, tokenizer)
    return folder


STRANGER = """
import sys, torch
sys.modules["nanoemox"] = sys.modules["av"] = None  # as where they are not installed
from transformers import AutoModelForMultimodalLM, AutoProcessor
folder, batch, out = sys.argv[1:]
model = AutoModelForMultimodalLM.from_pretrained(folder, trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
prompt = processor.prompt("Why?", modalities={"video", "audio"}, text="I am so happy")
with torch.no_grad():
    logits = model(**torch.load(batch, weights_only=True)).logits
torch.save({"logits": logits, "ids": processor.training_batch([prompt])["input_ids"]}, out)
"""


def test_a_process_without_nanoemox_loads_the_folder(folder, processor, tmp_path):
    batch = make_batch(processor)
    torch.save(batch, tmp_path / "batch.pt")
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    arguments = [str(folder), str(tmp_path / "batch.pt"), str(tmp_path / "out.pt")]
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = torch.load(tmp_path / "out.pt", weights_only=True)
    with torch.no_grad():
        ours = NanoEmoXForConditionalGeneration.from_pretrained(folder).eval()(**batch).logits
    torch.testing.assert_close(theirs["logits"], ours)
    prompt = processor.prompt("Why?", modalities={"video", "audio"}, text="I am so happy")
    assert torch.equal(theirs["ids"], processor.training_batch([prompt])["input_ids"])


SAVED_AGAIN = """
import sys
sys.modules["nanoemox"] = None
from transformers import AutoModelForMultimodalLM, AutoProcessor
for kind in (AutoModelForMultimodalLM, AutoProcessor):
    kind.from_pretrained(sys.argv[1], trust_remote_code=True).save_pretrained(sys.argv[2])
"""


def test_what_is_merely_saved_brings_its_code_and_so_does_what_a_stranger_saves(
    processor, tokenizer, tmp_path
):
    plain, again = tmp_path / "plain", tmp_path / "again"
    NanoEmoXForConditionalGeneration(tiny_config(tokenizer)).save_pretrained(plain)
    processor.save_pretrained(plain)
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    arguments = [sys.executable, "-c", SAVED_AGAIN, str(plain), str(again)]
    done = subprocess.run(arguments, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for folder in (plain, again):
        for name, text in remote_code.code().items():
            assert (folder / f"{name}.py").read_text(encoding="utf-8") == text
        assert json.loads((folder / "config.json").read_text())["auto_map"] == remote_code.AUTO_MAP
        processor_map = json.loads((folder / "processor_config.json").read_text())["auto_map"]
        assert processor_map["AutoProcessor"] == remote_code.AUTO_MAP["AutoProcessor"]


def test_the_bundled_folder_brings_the_code_as_it_is_now():
    """After a change of the code that travels: python -m nanoemox.model.remote_code FOLDER."""
    bundled = Path(str(resources.files("nanoemox") / "weights" / "pico"))
    texts = remote_code.code()
    assert {path.stem for path in bundled.glob("*.py")} == set(texts)
    for name, text in texts.items():
        assert (bundled / f"{name}.py").read_text(encoding="utf-8") == text, name
    assert json.loads((bundled / "config.json").read_text())["auto_map"] == remote_code.AUTO_MAP


def test_the_code_that_travels_is_these_ten_files():
    assert sorted(remote_code.code()) == [
        "adapters",
        "affectgpt",
        "clip",
        "clip_processor",
        "configuration_nanoemox",
        "encoders",
        "fusion",
        "media_inputs",
        "modeling_nanoemox",
        "processing_nanoemox",
    ]


def test_the_code_beside_the_weights_imports_nothing_of_ours():
    texts = remote_code.code()
    assert {
        "configuration_nanoemox",
        "modeling_nanoemox",
        "processing_nanoemox",
        "affectgpt",
        "fusion",
    } <= set(texts)
    for name, text in texts.items():
        for line in text.splitlines():
            assert not line.strip().startswith(("from nanoemox", "import nanoemox")), f"{name}: {line}"


def test_our_own_classes_load_it_without_remote_code(folder):
    from transformers import AutoModelForMultimodalLM, AutoProcessor

    assert type(AutoModelForMultimodalLM.from_pretrained(folder)) is NanoEmoXForConditionalGeneration
    assert type(AutoProcessor.from_pretrained(folder)) is NanoEmoXProcessor


ANALYSE = """
import sys
from nanoemox import EmotionAnalyzer
for revision in (None, "v2"):
    model = EmotionAnalyzer.from_pretrained("someone/tiny", revision=revision).model
    print(float(model.video_adapter.query_tokens.double().sum()))
"""


def test_revisions_from_the_cache_without_a_network(processor, tokenizer, tmp_path):
    cache = tmp_path / "cache" / "models--someone--tiny"
    expected = []
    for seed, (name, commit) in enumerate((("main", "a" * 40), ("v2", "b" * 40))):
        model = save(cache / "snapshots" / commit, processor, tokenizer, seed)
        expected.append(float(model.video_adapter.query_tokens.detach().double().sum()))
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / name).write_text(commit)
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", ANALYSE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [float(line) for line in done.stdout.split()] == expected


class Api:
    """Stands in for the Hub: keeps what it was told."""

    calls: list[tuple[str, dict]]

    def __init__(self) -> None:
        type(self).calls = []

    def create_repo(self, repo_id, **options):
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))

    def create_branch(self, repo_id, **options):
        self.calls.append(("create_branch", {"repo_id": repo_id, **options}))

    def upload_folder(self, **options):
        names = sorted(path.name for path in Path(options["folder_path"]).iterdir())
        self.calls.append(("upload_folder", {**options, "names": names}))
        return "https://hub.invalid/commit/1"


def test_push_sends_weights_code_and_card_in_one_commit(folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert hub.push(folder, "someone/tiny", revision="v1", private=True).endswith("commit/1")
    assert [name for name, _ in Api.calls] == ["create_repo", "create_branch", "upload_folder"]
    upload = Api.calls[-1][1]
    assert upload["revision"] == "v1"
    assert {
        "README.md",
        "config.json",
        "model.safetensors",
        "modeling_nanoemox.py",
        "processor_config.json",
    } <= set(upload["names"])


def test_push_of_something_else(tmp_path):
    with pytest.raises(WeightsError, match="expected a model folder"):
        hub.push(tmp_path, "someone/tiny")


def test_push_to_hub_sends_weights_and_configuration(folder, monkeypatch):
    """The habitual method of every transformers model."""
    from types import SimpleNamespace

    from transformers.utils import hub as theirs

    sent = {}

    def upload(self, working_dir, repo_id, *_, revision=None, **__):
        sent[repo_id] = (revision, sorted(path.name for path in Path(working_dir).iterdir()))

    api = SimpleNamespace(create_repo=lambda repo_id, **_: SimpleNamespace(repo_id=repo_id))
    monkeypatch.setattr(theirs, "hf_api", lambda *_, **__: api)
    card = SimpleNamespace(save=lambda path: Path(path).write_text("card"))
    monkeypatch.setattr(theirs, "create_and_tag_model_card", lambda *_, **__: card)
    monkeypatch.setattr(theirs.PushToHubMixin, "_upload_modified_files", upload)
    NanoEmoXForConditionalGeneration.from_pretrained(folder).push_to_hub("someone/tiny", revision="v1")
    revision, names = sent["someone/tiny"]
    assert revision == "v1" and {"config.json", "model.safetensors", "modeling_nanoemox.py"} <= set(names)


# ---------------------------------------------------------------------- cards and parts
def test_the_card_claims_only_what_the_folder_holds(folder, tmp_path):
    text = model_card(folder)
    assert text.startswith("---\nlibrary_name: transformers\n")
    for heading in (
        "Parts",
        "Training data",
        "Results",
        "Intended use",
        "What it must not be used for",
        "Limits",
    ):
        assert f"## {heading}" in text
    assert "Untrained" in text and "None have been measured" in text
    sources = {
        "lm": {"name": "Qwen/Qwen2.5-1.5B-Instruct", "revision": "abc"},
        "face_encoder": {"name": "model.pt"},
    }
    (tmp_path / "config.json").write_text(json.dumps({"training_domain": "affect_theatre"}))
    (tmp_path / "assembly.json").write_text(json.dumps({"sources": sources}))
    row = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    report = {"n": 9, "command": "nanoemox evaluate x", "tasks": {"emotion": {"accuracy": row}}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    text = model_card(tmp_path)
    assert "| language model (Qwen2.5) | Qwen/Qwen2.5-1.5B-Instruct @ abc | Apache-2.0 |" in text
    assert "  - Qwen/Qwen2.5-1.5B-Instruct" in text
    assert "| `model.pt` (a local folder or file) | check at the source |" in text
    assert "| emotion.accuracy | 0.500 | 0.400 – 0.600 | 9 |" in text
    assert "only Affect Theatre" in text


def test_parts_by_hub_id_prefer_safetensors(tmp_path, monkeypatch):
    asked = []

    def download(name, revision=None, allow_patterns=()):
        asked.append((name, revision, allow_patterns))
        if "pytorch_model*.bin" in allow_patterns:
            (tmp_path / "pytorch_model.bin").write_bytes(b"")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("huggingface_hub.model_info", lambda *_, **__: None)
    assert hub.find_part("owner/name", "v1") == tmp_path
    assert [revision for _, revision, _ in asked] == ["v1", "v1"]
    (tmp_path / "model.safetensors").write_bytes(b"")
    hub.find_part("owner/name")
    assert len(asked) == 3 and "pytorch_model*.bin" not in asked[2][2]


def test_a_part_that_cannot_be_fetched(monkeypatch):
    def download(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("huggingface_hub.model_info", lambda *_, **__: None)
    with pytest.raises(WeightsError, match="owner/name at v1: fetching it from the Hub failed"):
        hub.find_part("owner/name", "v1")
    with pytest.raises(WeightsError, match="no such file or folder"):
        hub.find_part("a folder that is not there")


# ---------------------------------------------------------------------- folders that are no whole model
def spoil(folder, tmp_path, name):
    copy = tmp_path / "spoilt"
    shutil.copytree(folder, copy)
    (copy / name).unlink()
    return copy


@pytest.mark.parametrize(
    "name", ["processor_config.json", "tokenizer.json", "model.safetensors", "config.json"]
)
def test_what_a_folder_lacks_is_named(folder, tmp_path, name):
    spoilt = spoil(folder, tmp_path, name)
    with pytest.raises(WeightsError, match=name):
        EmotionAnalyzer.from_pretrained(spoilt)


def test_a_folder_of_another_architecture(folder, tmp_path):
    spoilt = spoil(folder, tmp_path, "README.md")
    (spoilt / "config.json").write_text('{"model_type": "qwen2"}')
    for load in (EmotionAnalyzer.from_pretrained, load_config):
        with pytest.raises(WeightsError, match="expected a model of type nanoemox, found qwen2"):
            load(spoilt)


def test_an_adapter_is_told_from_a_model(folder, tmp_path):
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    (whole / "lora").mkdir()
    (whole / "lora" / "adapter_config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"is a LoRA adapter .* merged already in the folder above"):
        EmotionAnalyzer.from_pretrained(whole / "lora")
    (whole / "lora").rename(tmp_path / "alone")
    with pytest.raises(WeightsError, match="merge it into its model first"):
        EmotionAnalyzer.from_pretrained(tmp_path / "alone")


def test_weights_of_another_size_are_told_with_their_shapes(folder, tmp_path):
    spoilt = spoil(folder, tmp_path, "README.md")
    fields = json.loads((spoilt / "config.json").read_text()) | {"fusion_width": 24}
    (spoilt / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ModelError, match=r"mismatched keys, such as fusion\S+: \[16\] for \[24\]"):
        EmotionAnalyzer.from_pretrained(spoilt)

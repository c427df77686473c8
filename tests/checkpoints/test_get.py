"""`get`: a published model out of its parts, from a folder or a Hub that a test plays; every fault in one line."""

from __future__ import annotations

import errno
import json
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError
from transformers import Qwen3ForCausalLM

from nanoemox.checkpoints import get as getting
from nanoemox.checkpoints.get import get
from nanoemox.checkpoints.load import default_model, models_folder
from nanoemox.checkpoints.official_checkpoint import official_state
from nanoemox.checkpoints.releases import LIGHT_MER, REVISIONS
from nanoemox.checkpoints.weight_files import ShardWriter, WeightsError, open_weights
from nanoemox.cli import main as cli
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from tests.lightmer_on_disk import CONFIG, TIED, save_checkpoint, tokenizer, write_qwen3, write_release

SAMPLE = Path(__file__).parents[2] / "demo" / "sample.mp4"
TRAINED = ["open_vocabulary", "reasoning"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The four repositories, and the state of the checkpoint."""
    root = tmp_path_factory.mktemp("published")
    return root, write_release(root)


@pytest.fixture(scope="module")
def made(published, tmp_path_factory):
    """The model folder of it, as float32."""
    place, report = get("light-mer", tmp_path_factory.mktemp("made") / "light-mer", source=published[0])
    return place, report


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("NANOEMOX_HOME", str(tmp_path / "home"))


@pytest.fixture
def copy(published, tmp_path):
    """The same, to be damaged; and the path of the checkpoint."""
    root = tmp_path / "copy"
    shutil.copytree(published[0], root)
    return root, root / LIGHT_MER.repository / LIGHT_MER.file


def run(*arguments):
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        return exit_.code
    return 0


# ---------------------------------------------------------------------- what is made
def test_every_tensor_has_its_place(made, published):
    place, report = made
    assert report.filled == {"video_adapter": 4, "audio_adapter": 4, "fusion": 10, "lora": 28}
    assert set(report.kept) == {"vision_encoder", "audio_encoder", "lm"}
    assert sorted(report.dropped) == [
        "image_llama_proj.bias", "image_llama_proj.weight", TIED, "ot_hidden_proj.student_proj.0.weight",
    ]  # fmt: skip
    assert report.ignored == ["optimizer", "config", "scaler", "epoch"]
    back = official_state(place)
    kept = {name: tensor for name, tensor in published[1].items() if name not in report.dropped}
    assert set(back) == set(kept) and "affectgpt_proj.weight" in back
    assert all(torch.equal(back[name], tensor) for name, tensor in kept.items())


def test_lora_is_merged_at_full_precision(made, published):
    """In bfloat16, as the language model comes, most of what LoRA adds would be rounded away."""
    root, state = published
    module = "model.layers.1.mlp.up_proj"
    prefix = f"llama_model.base_model.model.{module}.lora_"
    a, b = (state[f"{prefix}{letter}.default.weight"] for letter in "AB")
    with open_weights(root / "Qwen/Qwen3-0.6B") as weights:
        expected = weights[f"{module}.weight"].read().float() + (b @ a) * (32 / 4)
    with open_weights(made[0]) as weights:
        found = weights[f"language_model.{module}.weight"].read()
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_the_model_answers_what_it_was_trained_on(made):
    analyzer = EmotionAnalyzer.from_pretrained(made[0])
    assert isinstance(analyzer.model.language_model, Qwen3ForCausalLM)
    analysis = analyzer.analyze(SAMPLE, text="I am so happy", max_new_tokens=4)
    assert list(analysis) == TRAINED
    assert analysis.not_trained == ("sentiment", "emotion", "intent", "empathy")
    assert analysis.to_dict()["not_trained"] == list(analysis.not_trained)
    codes = {warning.code: warning.text for warning in analysis.warnings}
    assert "sentiment, emotion, intent, empathy" in codes["not_trained"] and "whole_frames" in codes
    with pytest.raises(
        ArgumentError, match=r"emotion: not trained \(expected one of open_vocabulary, reasoning"
    ):
        analyzer.analyze(SAMPLE, tasks=["emotion", "reasoning"])


def test_labels_of_a_closed_task_by_their_likelihood_in_the_open_answer(made):
    """Forced, the label is the likeliest end of a sentence that the model knows; nothing is written."""
    analyzer = EmotionAnalyzer.from_pretrained(made[0])
    result = analyzer.analyze(SAMPLE, text="Hi", tasks=["emotion"], untrained=True)["emotion"]
    assert sum(result.probabilities.values()) == pytest.approx(1, abs=1e-4) and not result.text
    assert result.label == max(result.probabilities, key=result.probabilities.__getitem__)
    assert [warning.code for warning in result.warnings] == ["not_trained"]
    own = analyzer.processor.own_tasks
    assert own["emotion"]["question"] == own["open_vocabulary"]["question"]
    assert (
        analyzer._answer_ids(cli_task("emotion"), ["joy"])
        == analyzer.processor.tokenizer(
            ["The character's emotional state is joy.###"], add_special_tokens=False
        )["input_ids"]
    )


def cli_task(name):
    from nanoemox.tasks.task import TASKS

    return TASKS[name]


def test_drawn_answers_need_a_seed_to_come_again(made):
    analyzer = EmotionAnalyzer.from_pretrained(made[0])
    published = analyzer.published_sampling(seed=3)
    assert (published.temperature, published.top_p, published.top_k) == (1.0, 0.9, 20)

    def text(**options):
        asked = {"text": "Hi", "tasks": TRAINED, "max_new_tokens": 12, **options}
        return [result.text for result in analyzer.analyze(SAMPLE, **asked).values()]

    assert text() == text()
    assert text(sampling=published) == text(sampling=published) != text()
    assert text(sampling=published) != text(sampling=analyzer.published_sampling(seed=4))
    with pytest.raises(ArgumentError, match="nothing is published about how this model draws"):
        EmotionAnalyzer.from_pretrained("pico").published_sampling()


def test_the_card_names_source_licence_data_and_figures(made):
    card = (made[0] / "README.md").read_text()
    for expected in (
        "license: apache-2.0", "kevin233333/Light-MER", "stage1-swdh-qwen3-0.6b/checkpoint_000060_loss_1.291.pth",
        "MER-Caption+ (31,327 clips", "| mean | 74.61 |", "has not measured", "arXiv 2607.12787",
        "Trained: open_vocabulary, reasoning.",
        "| language model | Qwen/Qwen3-0.6B", "Apache-2.0",
    ):  # fmt: skip
        assert expected in card, expected


# ---------------------------------------------------------------------- the command
def test_the_command_and_the_name_it_makes(published, tmp_path, capsys):
    assert run("analyze", SAMPLE, "--model", "light-mer") == 2
    assert "run `nanoemox get light-mer` first" in capsys.readouterr().err
    assert default_model() == "pico"
    assert run("get", "light-mer", "--from", published[0], "--json", tmp_path / "get.json") == 0
    assert json.loads((tmp_path / "get.json").read_text())["folder"] == str(models_folder() / "light-mer")
    assert default_model() == "light-mer"
    capsys.readouterr()
    options = ("--text", "Hi", "--max-new-tokens", 3, "--json", "-")
    assert run("analyze", SAMPLE, *options) == 0  # no model named: the one that was fetched
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "light-mer" and list(told["tasks"]) == TRAINED
    assert run("analyze", SAMPLE, "--model", "light-mer", "--task", "emotion") == 2
    assert "emotion: not trained" in capsys.readouterr().err
    forced = ("--model", "light-mer", "--task", "emotion", "--untrained", "--sample", "--seed", 2)
    assert run("analyze", SAMPLE, *forced, *options) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["emotion"]["label"]


def test_without_a_model_the_note_tells_how_to_get_the_real_one(capsys):
    assert run("analyze", SAMPLE, "--task", "emotion", "--json", "-") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["model"] == "pico" and "get light-mer" not in said.out + said.err
    assert run("analyze", SAMPLE, "--task", "emotion") == 0
    assert "nanoemox get light-mer fetches a model that was trained on real people" in capsys.readouterr().out


class Hub:
    """The Hub, played from a folder of repositories."""

    def __init__(self, root, monkeypatch):
        self.root, self.fetched = root, []
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", self.model_info)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.download)

    def model_info(self, repository, revision=None, files_metadata=False, **options):
        place = self.root / repository
        files = [path for path in place.rglob("*") if path.is_file()]
        siblings = [
            SimpleNamespace(rfilename=str(path.relative_to(place)), size=path.stat().st_size)
            for path in files
        ]
        return SimpleNamespace(siblings=siblings, sha=revision or "f" * 40)

    def download(self, repository, name, revision=None, **options):
        self.fetched.append((repository, name, revision))
        return str(self.root / repository / name)


def test_from_the_hub_only_what_is_needed_and_all_of_it_told_first(copy, monkeypatch, capsys):
    root, checkpoint = copy
    (checkpoint.parent / "checkpoint_000055_loss_1.3.pth").write_bytes(b"another of many")
    (root / "openai/clip-vit-base-patch16/flax_model.msgpack").write_bytes(b"not ours")
    (root / "Qwen/Qwen3-0.6B/onnx").mkdir()
    (root / "Qwen/Qwen3-0.6B/onnx/model.safetensors").write_bytes(b"not ours")
    hub = Hub(root, monkeypatch)
    assert run("get", "light-mer") == 0
    said = capsys.readouterr().err
    for expected in (
        "kevin233333/Light-MER", "checkpoint_000060_loss_1.291.pth, ", "licence: Apache-2.0",
        "Qwen/Qwen3-0.6B at c1899de289a0",
        " into ", str(models_folder() / "light-mer"), "nanoemox analyze clip.mp4 --model light-mer",
    ):  # fmt: skip
        assert expected in said, expected
    names = {name for _, name, _ in hub.fetched}
    assert LIGHT_MER.file in names and "pytorch_model.bin" in names  # of HuBERT, which has nothing else
    assert not names & {"flax_model.msgpack", "onnx/model.safetensors"} and not any(
        "000055" in n for n in names
    )
    assert all(revision == REVISIONS.get(repository, "f" * 40) for repository, _, revision in hub.fetched)
    release = json.loads((models_folder() / "light-mer" / "release.json").read_text())
    assert release["revision"] == "f" * 40


def test_a_hub_that_fails_or_lacks_the_file_is_told_in_one_line(copy, monkeypatch, capsys):
    root, checkpoint = copy
    hub = Hub(root, monkeypatch)
    checkpoint.rename(checkpoint.with_name("checkpoint_000060.pth"))
    assert run("get", "light-mer") == 2
    assert "its makers have moved the file" in one_line(capsys)
    checkpoint.with_name("checkpoint_000060.pth").rename(checkpoint)

    def broken(*arguments, **options):
        raise HfHubHTTPError("503 Server Error", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    assert run("get", "light-mer") == 2
    assert "fetching it from the Hub failed (503 Server Error)" in one_line(capsys)
    assert not (models_folder() / "light-mer").exists() and not hub.fetched


@pytest.mark.parametrize(
    "failure",
    [socket.gaierror(-2, "Name or service not known"), ConnectionResetError(104, "Connection reset")],
)
def test_a_machine_without_network_is_told_in_one_line(failure, monkeypatch, capsys):
    def no_network(*arguments, **options):
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    assert run("get", "light-mer") == 2
    assert "kevin233333/Light-MER" in (line := one_line(capsys)) and "--from FOLDER" in line


def one_line(capsys):
    said = capsys.readouterr().err
    last = [line for line in said.splitlines() if line.startswith("nanoemox: ")]
    assert len(last) == 1 and "Traceback" not in said, said
    return last[0]


# ---------------------------------------------------------------------- what goes wrong
def half_a_download(root, checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    return "is no whole PyTorch file"


def half_a_backbone(root, checkpoint):
    path = root / "Qwen/Qwen3-0.6B/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return "is no whole safetensors file"


def flipped_bits(root, checkpoint):
    path = root / "Qwen/Qwen3-0.6B/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-2:] = b"\x80\x7f"
    path.write_bytes(bytes(data))
    return "infinite"


def another_revisions_keys(root, checkpoint):
    state = torch.load(checkpoint, weights_only=True)["model"]
    state["attention_mlp_v2.weight"] = state.pop("attention_mlp.weight")
    save_checkpoint(checkpoint, state)
    return "attention_mlp_v2.weight has no place in the model"


def without_a_head(root, checkpoint):
    state = torch.load(checkpoint, weights_only=True)["model"]
    del state["affectgpt_proj.bias"]
    save_checkpoint(checkpoint, state)
    return "video_adapter.projection.bias is missing"


def without_some_lora(root, checkpoint):
    state = torch.load(checkpoint, weights_only=True)["model"]
    save_checkpoint(checkpoint, {n: t for n, t in state.items() if "layers.1.mlp.down" not in n})
    return "expected LoRA for seven projections of each layer, but layer 1 has 6"


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def code_in_a_checkpoint(root, checkpoint):
    torch.save({"model": {"fc_att.weight": Harmful()}}, checkpoint)
    return "print) and was not opened, since that could run code"


def another_model(root, checkpoint):
    state = torch.load(checkpoint, weights_only=True)["model"]
    save_checkpoint(checkpoint, state, CONFIG | {"model": {"llama_model": "Qwen3"}})
    return "expected a checkpoint that was trained with Qwen3_0.6B (light-mer), got one with Qwen3;"


def another_form_of_prompt(root, checkpoint):
    state = torch.load(checkpoint, weights_only=True)["model"]
    save_checkpoint(checkpoint, state, {"datasets": {"x": {"face_or_frame": "audio_text"}}})
    return "expected a model of multiface_audio_face_text, got audio_text"


def deeper_backbone(root, checkpoint):
    shutil.rmtree(root / "Qwen/Qwen3-0.6B")
    write_qwen3(root / "Qwen/Qwen3-0.6B", layers=3)
    return "expected LoRA for the 3 layers"


def wider_backbone(root, checkpoint):
    shutil.rmtree(root / "Qwen/Qwen3-0.6B")
    write_qwen3(root / "Qwen/Qwen3-0.6B", width=40)
    return "expected a checkpoint of Nano-EmoX, AffectGPT or Light-MER that fits the base"


def other_backbone(root, checkpoint):
    """Of the right size, but not the one that LoRA was trained on, such as the base model."""
    state = torch.load(checkpoint, weights_only=True)["model"]
    state[TIED] = state[TIED] + 1
    save_checkpoint(checkpoint, state)
    return "is the table of another language model"


def no_added_tokens(root, checkpoint):
    tokenizer(()).save_pretrained(root / "Qwen/Qwen3-0.6B")
    return "its tokenizer lacks <|endoftext|>, <|im_start|>, <|im_end|>"


def no_backbone(root, checkpoint):
    shutil.rmtree(root / "TencentGameMate")
    return "expected a folder of TencentGameMate/chinese-hubert-base with config.json, found none"


def no_checkpoint(root, checkpoint):
    checkpoint.unlink()
    return "expected stage1-swdh-qwen3-0.6b/checkpoint_000060_loss_1.291.pth, found none"


def two_that_could_be_it(root, checkpoint):
    checkpoint.rename(checkpoint.with_name("a.pth"))
    shutil.copy(checkpoint.with_name("a.pth"), checkpoint.with_name("b.pth"))
    return "expected one checkpoint_000060_loss_1.291.pth, found 2 that could be it"


@pytest.mark.parametrize(
    "damage",
    [
        half_a_download, half_a_backbone, flipped_bits, another_revisions_keys, without_a_head, without_some_lora,
        code_in_a_checkpoint, another_model, another_form_of_prompt, deeper_backbone, wider_backbone, other_backbone,
        no_added_tokens, no_backbone, no_checkpoint, two_that_could_be_it,
    ],
    ids=lambda damage: damage.__name__,
)  # fmt: skip
def test_one_line_and_nothing_half_written(damage, copy, capsys):
    expected = damage(*copy)
    assert run("get", "light-mer", "--from", copy[0]) == 2
    assert expected in one_line(capsys)
    assert not models_folder().exists() or not any(models_folder().iterdir())


def test_a_full_disk_keeps_the_model_that_is_there(published, monkeypatch, capsys):
    assert run("get", "light-mer", "--from", published[0]) == 0
    before = sorted(path.name for path in (models_folder() / "light-mer").iterdir())
    add, count = ShardWriter.add, []

    def full(self, *arguments):
        count.append(1)
        if len(count) > 100:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.folder / "shard"))
        add(self, *arguments)

    monkeypatch.setattr(ShardWriter, "add", full)
    capsys.readouterr()
    assert run("get", "light-mer", "--from", published[0]) == 2
    assert "No space left on device" in one_line(capsys)
    assert [path.name for path in models_folder().iterdir()] == ["light-mer"]
    assert sorted(path.name for path in (models_folder() / "light-mer").iterdir()) == before
    EmotionAnalyzer.from_pretrained("light-mer")


def test_wrong_names_cost_nothing(published, tmp_path):
    with pytest.raises(ArgumentError, match=r"light: expected one of light-mer, light-mer-teacher"):
        get("light", source=published[0])
    with pytest.raises(ArgumentError, match="dtype int8"):
        get("light-mer", source=published[0], dtype="int8")
    with pytest.raises(WeightsError, match="no such folder"):
        get("light-mer", source=tmp_path / "nowhere")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("")
    with pytest.raises(NanoEmoXError, match="exists already"):
        get("light-mer", tmp_path / "there", source=published[0])


def test_a_folder_of_copies_by_any_names(published, tmp_path):
    """Several of a kind are told apart by the names that the Hub's own cache gives them."""
    root = tmp_path / "cache"
    for part in ("openai/clip-vit-base-patch16", "TencentGameMate/chinese-hubert-base", "Qwen/Qwen3-0.6B"):
        shutil.copytree(
            published[0] / part, root / f"models--{part.replace('/', '--')}" / "snapshots" / "abc"
        )
    shutil.copytree(published[0] / "Qwen/Qwen3-0.6B", root / "models--Qwen--Qwen3-8B" / "snapshots" / "def")
    shutil.copy(published[0] / LIGHT_MER.repository / LIGHT_MER.file, root / "renamed.pth")
    found = getting.find_sources(LIGHT_MER, root)
    assert found.checkpoint == root / "renamed.pth"
    assert found.backbones["lm"] == root / "models--Qwen--Qwen3-0.6B" / "snapshots" / "abc"

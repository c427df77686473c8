"""Official checkpoints -> a model folder and back, bit for bit; every tensor used, dropped by name, or an error."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanoemox.checkpoints.assemble import assemble
from nanoemox.checkpoints.convert import convert
from nanoemox.checkpoints.load import load_answer_limits
from nanoemox.checkpoints.official_checkpoint import official_state as written_state
from nanoemox.checkpoints.official_checkpoint import write_official
from nanoemox.checkpoints.weight_files import WeightsError, open_weights
from nanoemox.cli import main as cli
from nanoemox.files.errors import ArgumentError, OutputError
from nanoemox.inference import analyzer as inference
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.tasks.closed import EMOTION
from tests.backbones_on_disk import lora_state, official_state, settings, write_backbones

SAMPLE = Path(__file__).parents[2] / "demo" / "sample.mp4"
OURS = ("video_adapter", "audio_adapter", "face_adapter", "fusion")
AFFECTGPT = {
    "video_adapter_type": "attention",
    "audio_adapter_type": "attention",
    "fusion_type": "attention",
    "vision_projected": True,
    "face_tokens": 0,
    "video_tokens": 1,
    "audio_tokens": 1,
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_backbones(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def base(sources, tmp_path_factory):
    return assemble(tmp_path_factory.mktemp("bases") / "nano", **sources, settings=settings())


@pytest.fixture(scope="module")
def affectgpt_base(sources, tmp_path_factory):
    sources = {part: name for part, name in sources.items() if part != "face"}
    return assemble(tmp_path_factory.mktemp("bases") / "affectgpt", **sources, settings=settings(**AFFECTGPT))


def trained(folder, parts=OURS, lora=True, seed=0):
    """What the official code would save: the trained parts in its names, and what it saves without using it."""
    torch.manual_seed(seed)
    model = NanoEmoXForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    state = {}
    for part in parts:
        if part in model.parts():
            state |= official_state(model.parts()[part], part)
    if lora:
        state |= lora_state(model.config)
    return state


def as_affectgpt(state):
    """AffectGPT and Light-MER call the projection of the face or the frames by another name."""
    return {name.replace("video_proj.", "affectgpt_proj."): tensor for name, tensor in state.items()}


def unused(width=32):
    return {
        "image_llama_proj.weight": torch.zeros(width, 16),
        "image_llama_proj.bias": torch.zeros(width),
        "multi_audio_embs.weight": torch.zeros(16, 16),
        "multi_video_embs.bias": torch.zeros(16),
        "facial_encoder.lynorm.weight": torch.zeros(8),
        "video_Qformer.bert.embeddings.position_ids": torch.arange(512)[None],
        "audio_Qformer.bert.embeddings.position_ids": torch.arange(512)[None],
        "facial_encoder.facexformer.backbone.0.1.0.attn.relative_position_index": torch.zeros(
            81, dtype=torch.long
        ),
    }


def save(path, state, **others):
    torch.save({"model": state, **others}, path)
    return path


def tensors(folder):
    with open_weights(folder) as weights:
        return {name: stored.read().clone() for name, stored in weights.items()}


def test_there_and_back_is_bit_exact(base, tmp_path):
    state = trained(base)
    path = save(tmp_path / "phase3.pth", state | unused(), epoch=59, config={"run": {"task": "x"}})
    report = convert([path], base, tmp_path / "out")
    back = written_state(tmp_path / "out")
    assert set(back) == set(state)
    assert all(
        torch.equal(back[name], tensor) and back[name].dtype == tensor.dtype for name, tensor in state.items()
    )
    assert sorted(report.dropped) == sorted(unused())
    assert str(base) not in (tmp_path / "out" / "conversion.json").read_text()  # no paths of this machine
    assert report.ignored == ["epoch", "config"]
    assert "| adapters, fusion | phase3.pth, converted |" in (tmp_path / "out" / "README.md").read_text()
    write_official(tmp_path / "out", tmp_path / "back.pth")
    again = convert([tmp_path / "back.pth"], base, tmp_path / "again")
    assert again.filled == report.filled
    ours, twice = tensors(tmp_path / "out"), tensors(tmp_path / "again")
    assert set(ours) == set(twice) and all(torch.equal(ours[name], twice[name]) for name in ours)


def test_later_checkpoints_win(base, tmp_path):
    first = trained(base, ("audio_adapter", "video_adapter"), lora=False, seed=1)
    second = trained(base, ("video_adapter",), lora=False, seed=2)
    report = convert(
        [save(tmp_path / "1.pth", first), save(tmp_path / "2.pth", second)], base, tmp_path / "out"
    )
    back = written_state(tmp_path / "out")
    assert torch.equal(back["video_query_tokens"], second["video_query_tokens"])
    assert torch.equal(back["audio_query_tokens"], first["audio_query_tokens"])
    assert set(report.filled) == {"audio_adapter", "video_adapter"}
    before, after = tensors(base), tensors(tmp_path / "out")
    assert torch.equal(before["fusion.projection.weight"], after["fusion.projection.weight"])


def test_the_answer_lengths_of_the_base_are_kept(base, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    path = tmp_path / "base" / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"task_max_new_tokens": {"reasoning": 7}}))
    checkpoint = save(tmp_path / "p.pth", trained(base))
    convert([checkpoint], tmp_path / "base", tmp_path / "out")
    assert load_answer_limits(tmp_path / "out") == {"reasoning": 7}
    convert([checkpoint], base, tmp_path / "plain")
    assert load_answer_limits(tmp_path / "plain") is None


def test_lora_is_merged(base, tmp_path):
    state = trained(base, ())
    convert([save(tmp_path / "lora.pth", state)], base, tmp_path / "out")
    prefix, ours = (
        "llama_model.base_model.model.model.layers.0.self_attn.q_proj",
        "language_model.model.layers.0.self_attn.q_proj",
    )
    delta = state[f"{prefix}.lora_B.default.weight"] @ state[f"{prefix}.lora_A.default.weight"] * (32 / 4)
    before, after = (
        tensors(base)[f"{ours}.weight"].float(),
        tensors(tmp_path / "out")[f"{ours}.weight"].float(),
    )
    torch.testing.assert_close(after, (before + delta).bfloat16().float())
    config = json.loads((tmp_path / "out" / "lora" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 32)


def test_a_converted_model_keeps_the_container_it_was_trained_with(base, tmp_path):
    convert([save(tmp_path / "p.pth", trained(base))], base, tmp_path / "out")
    analyzer = EmotionAnalyzer.from_pretrained(tmp_path / "out")
    prompt = analyzer.processor.prompt("Why?", modalities={"video", "audio"}, text="I am so happy")
    order = ["###Human: ", "<Multi>", "<Audio>", "<Video>", "<Video>", "<Subtitle>", "Why?", "###Assistant: "]
    places, at = [], 0
    for piece in order:
        at = prompt.index(piece, at) + 1
        places.append(at)
    assert places == sorted(places)
    assert analyzer.processor.compat == "official" and analyzer.processor.end_of_turn == "###"
    assert analyzer.analyze(SAMPLE, text="I am so happy", tasks=["emotion"])["emotion"].label


def test_a_converted_model_generates_what_the_analyzer_writes(base, tmp_path):
    """By its own container, and up to its own end of an answer, as Qwen2.5's tokenizer has one token for it."""
    shutil.copytree(base, tmp_path / "base")
    processor = NanoEmoXProcessor.from_pretrained(base)
    processor.tokenizer.add_tokens(["###"])
    processor.save_pretrained(tmp_path / "base")
    convert([save(tmp_path / "p.pth", trained(base))], tmp_path / "base", tmp_path / "out")
    analyzer = EmotionAnalyzer.from_pretrained(tmp_path / "out")
    end = analyzer.processor.tokenizer.convert_tokens_to_ids("###")
    assert analyzer.model.generation_config.eos_token_id == analyzer.processor.end_ids
    assert end in analyzer.processor.end_ids and len(analyzer.processor.end_ids) == 2
    parts = [{"type": "video", "path": str(SAMPLE)}, {"type": "transcript", "text": "I am so happy"}]
    chat = [{"role": "user", "content": [*parts, {"type": "text", "text": EMOTION.question()}]}]
    inputs = analyzer.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=True)
    assert analyzer.processor.decode(inputs["input_ids"][0]).startswith("<|im_start|>###Human: ")
    ids = analyzer.model.generate(**inputs, max_new_tokens=9, do_sample=False)[
        0, inputs["input_ids"].shape[1] :
    ]
    ids = [token for token in ids.tolist() if token not in analyzer.processor.end_ids]
    text = analyzer.processor.decode(ids, skip_special_tokens=True).strip()
    asked = analyzer.analyze(SAMPLE, text="I am so happy", tasks=["emotion"], max_new_tokens=9, write=True)
    assert text == asked["emotion"].text


def test_a_converted_model_hears_the_windows_of_the_release(base, tmp_path, monkeypatch):
    convert([save(tmp_path / "p.pth", trained(base))], base, tmp_path / "out")
    asked = []
    real = inference.load_clip

    def load(*arguments, **options):
        asked.append(options["compat"])
        return real(*arguments, **options)

    monkeypatch.setattr(inference, "load_clip", load)
    EmotionAnalyzer.from_pretrained(tmp_path / "out").analyze(SAMPLE, tasks=["emotion"])
    EmotionAnalyzer.from_pretrained(base).analyze(SAMPLE, tasks=["emotion"])
    assert asked == ["official", None]


def test_affectgpt_attention(affectgpt_base, tmp_path):
    state = trained(affectgpt_base)
    theirs = {name.replace("video_proj.", "affectgpt_proj."): tensor for name, tensor in state.items()}
    theirs["image_llama_proj.bias"] = torch.zeros(32)
    report = convert([save(tmp_path / "a.pth", theirs)], affectgpt_base, tmp_path / "out")
    assert report.dropped == ["image_llama_proj.bias"]
    back = written_state(tmp_path / "out")
    state = as_affectgpt(state)
    assert set(back) == set(state) and all(torch.equal(back[name], state[name]) for name in state)
    assert {
        "fc_att.weight",
        "attention_mlp.bias",
        "multi_video_embs.weight",
        "video_attention_mlp.weight",
    } <= set(back)
    analyzer = EmotionAnalyzer.from_pretrained(tmp_path / "out")
    analysis = analyzer.analyze(SAMPLE, text="I am so happy", tasks=["emotion"], untrained=True)
    assert analysis["emotion"].label and analysis.experts is None
    assert analyzer.model.face_encoder is None and set(analyzer.model.parts()) == {
        "vision_encoder", "audio_encoder", "video_adapter", "audio_adapter", "fusion", "lm"
    }  # fmt: skip


def test_affectgpt_qformers_over_an_attention_base(affectgpt_base, tmp_path):
    """The checkpoint's names tell its form, whatever the base was assembled for."""
    forms = {"video_adapter_type": "qformer", "audio_adapter_type": "qformer", "fusion_type": "qformer"}
    config = NanoEmoXForConditionalGeneration.from_pretrained(affectgpt_base).config
    for name, value in (forms | {"video_tokens": 6}).items():
        setattr(config, name, value)
    torch.manual_seed(0)
    model = NanoEmoXForConditionalGeneration(config)
    state = {}
    for part in ("video_adapter", "audio_adapter", "fusion"):
        state |= official_state(model.parts()[part], part)
    state = as_affectgpt(state)
    report = convert([save(tmp_path / "q.pth", state)], affectgpt_base, tmp_path / "out")
    assert report.forms == forms
    analyzer = EmotionAnalyzer.from_pretrained(tmp_path / "out")
    assert analyzer.analyze(SAMPLE, tasks=["emotion"], untrained=True)["emotion"].label
    assert analyzer.model.config.placeholder_counts == {"fusion": 1, "audio": 1, "face": 0, "video": 6}
    back = written_state(tmp_path / "out")
    assert set(back) == set(state) and all(torch.equal(back[name], state[name]) for name in state)


def run(*arguments):
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        return exit_.code
    return 0


def test_the_command_there_and_back(base, tmp_path, capsys):
    state = trained(base)
    path = save(tmp_path / "phase3.pth", state | unused(), epoch=59)
    assert run("convert", path, "--base", base, "--out", tmp_path / "model") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "lm: LoRA merged into" in said and "video_adapter: " in said and "left out: epoch" in said
    assert "as in the base: vision_encoder, audio_encoder, face_encoder dropped" in said
    assert "image_llama_proj.weight" in said
    assert run("convert", tmp_path / "model", "--to", "official", "--out", tmp_path / "back.pth") == 0
    back = torch.load(tmp_path / "back.pth", weights_only=True)["model"]
    assert set(back) == set(state) and all(torch.equal(back[name], state[name]) for name in state)
    assert run("convert", tmp_path / "model", "--to", "official", "--out", tmp_path / "back.pth") == 2
    assert "exists already" in capsys.readouterr().err


TIED = "llama_model.base_model.model.lm_head.weight"


def test_the_tied_table_under_its_other_name_is_compared_and_dropped(base, tmp_path):
    """The official savers write every name that is no parameter of its own, and so the table that reads and writes."""
    table = tensors(base)["language_model.model.embed_tokens.weight"]
    state = trained(base)
    report = convert([save(tmp_path / "p.pth", state | {TIED: table.half()})], base, tmp_path / "out")
    assert report.dropped == [TIED]
    other = table.clone()
    other[3, 4] += 1
    for wrong in (other, table[:-1].clone()):
        path = save(tmp_path / "other.pth", state | {TIED: wrong})
        with pytest.raises(WeightsError, match="is the table of another language model"):
            convert([path], base, tmp_path / "other")
        assert not (tmp_path / "other").exists()


def test_what_only_distillation_needs_is_dropped(affectgpt_base, tmp_path):
    head = {"ot_hidden_proj.student_proj.0.weight": torch.zeros(32, 32)}
    state = as_affectgpt(trained(affectgpt_base, lora=False))
    report = convert([save(tmp_path / "p.pth", state | head)], affectgpt_base, tmp_path / "out")
    assert report.dropped == list(head)
    assert set(written_state(tmp_path / "out")) == set(state)


def test_token_counts_come_from_the_checkpoint_itself(affectgpt_base, tmp_path):
    """Attention pools to one token and repeats it, so no tensor tells how often."""
    counts = {"num_video_query_token": 3, "num_audio_query_token": 2, "num_multi_query_token": 1}
    state = as_affectgpt(trained(affectgpt_base, lora=False))
    path = save(tmp_path / "p.pth", state, config={"model": counts})
    convert([path], affectgpt_base, tmp_path / "out")
    processor = NanoEmoXProcessor.from_pretrained(tmp_path / "out")
    assert processor.placeholder_counts == {"fusion": 1, "audio": 2, "face": 0, "video": 3}
    convert([path], affectgpt_base, tmp_path / "set", settings={"video_tokens": 5})
    assert NanoEmoXProcessor.from_pretrained(tmp_path / "set").placeholder_counts["video"] == 5
    path = save(tmp_path / "wrong.pth", state, config={"model": {"num_video_query_token": "many"}})
    with pytest.raises(
        WeightsError, match=r"num_video_query_token: expected a number from 1 to 4096, got 'many'"
    ):
        convert([path], affectgpt_base, tmp_path / "wrong")


@pytest.mark.parametrize("how", ["compressed", "repeated"])
def test_a_checkpoint_that_would_grow_is_not_read(how, base, tmp_path):
    path = save(tmp_path / "p.pth", trained(base))
    if how == "repeated":  # one stored number that says it is ten billion
        path = save(tmp_path / "big.pth", {"fc_att.weight": torch.zeros(1).expand(10**10)})
    else:
        with (
            zipfile.ZipFile(path) as old,
            zipfile.ZipFile(tmp_path / "z.pth", "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for name in old.namelist():
                new.writestr(name, old.read(name))
        path = tmp_path / "z.pth"
    with pytest.raises(WeightsError, match="which the file lacks" if how == "repeated" else "compressed"):
        convert([path], base, tmp_path / "out")


def test_a_part_from_both_is_told_so(base, tmp_path, capsys):
    state = trained(base, ("fusion",), lora=False)
    del state["multi_llama_proj.bias"]
    path = save(tmp_path / "some.pth", state)
    assert run("convert", path, "--base", base, "--out", tmp_path / "model") == 0
    assert "tensors from the checkpoints, 1 as in the base" in capsys.readouterr().out


def test_the_way_back_of_a_model_trained_here(base, tmp_path):
    """Training keeps the other trained parts beside LoRA."""
    state = trained(base)
    convert([save(tmp_path / "p.pth", state)], base, tmp_path / "out")
    adapter = tmp_path / "out" / "lora" / "adapter_model.safetensors"
    kept = load_file(adapter) | {"base_model.model.fusion.projection.bias": torch.zeros(32)}
    save_file(kept, adapter)
    back = written_state(tmp_path / "out")
    assert set(back) == set(state) and all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("p.pth", "--out", "x"), "--base is missing"),
        (("a", "b", "--to", "official", "--out", "x.pth"), "expected one model folder"),
        (("nowhere", "--to", "official", "--out", "x.pth"), "nowhere: no such file or folder"),
        (("p.pth", "--base", "b", "--out", "x", "--set", "video_tokens=many"), "expected a whole number"),
    ],
)
def test_wrong_uses_of_the_command(tmp_path, monkeypatch, capsys, arguments, match):
    monkeypatch.chdir(tmp_path)
    assert run("convert", *arguments) == 2
    err = capsys.readouterr().err
    assert match in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_way_back_is_a_checkpoint_by_its_name(base, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "nanoemox.checkpoints.official_checkpoint.check_folder", lambda _: pytest.fail("began to work")
    )
    for name in ("back", "back.safetensors", "back.pth.zip"):
        with pytest.raises(ArgumentError, match=r"ends in \.pth or \.pt"):
            write_official(base, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_on_the_way_back(base, tmp_path, monkeypatch):
    def full(_, path):
        Path(path).write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(OutputError, match=r"could not be written .* make room"):
        write_official(base, tmp_path / "back.pth")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- faults
def refused(base, tmp_path, state, match):
    path = state if hasattr(state, "suffix") else save(tmp_path / "bad.pth", state)
    with pytest.raises(WeightsError, match=match):
        convert([path], base, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.unfinished").exists()


def test_unmatched_names_shapes_and_types_are_all_listed(base, tmp_path):
    state = trained(base, ("fusion",), lora=False)
    state["multi_llama_proj.weight"] = torch.zeros(3, 3)
    state["multi_llama_proj.bias"] = torch.zeros(32, dtype=torch.int32)
    state["somewhere.else"] = torch.zeros(1)
    refused(
        base, tmp_path, state, r"3 problems: .*shape \[3, 3\].*no floating type.*somewhere\.else has no place"
    )


def test_another_architecture(base, tmp_path):
    refused(
        base,
        tmp_path,
        {"resnet.conv1.weight": torch.zeros(2, 2)},
        "resnet.conv1.weight has no place in the model",
    )
    torch.save({"state_dict": {}}, tmp_path / "x.pth")
    refused(base, tmp_path, tmp_path / "x.pth", "expected tensors under 'model', found state_dict")


def test_half_a_lora(base, tmp_path):
    state = trained(base, ())
    del state["llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight"]
    refused(base, tmp_path, state, "LoRA's A without its counterpart")


def test_lora_where_none_belongs(base, tmp_path):
    name = "llama_model.base_model.model.model.embed_tokens.lora_A.default.weight"
    refused(base, tmp_path, {name: torch.zeros(4, 4)}, "has no place in the model")


def test_half_of_another_form(base, tmp_path):
    refused(
        base,
        tmp_path,
        {"fc_att.weight": torch.zeros(2, 16), "attention_mlp.weight": torch.zeros(16, 32)},
        "is missing",
    )


class Trap:
    def __reduce__(self):
        return (open, ("trap-was-sprung", "w"))


def test_code_in_a_checkpoint(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {}, "args": Trap()}, tmp_path / "bad.pth")
    refused(base, tmp_path, tmp_path / "bad.pth", "was not opened")
    assert not (tmp_path / "trap-was-sprung").exists()


def test_what_is_no_checkpoint_at_all(base, tmp_path):
    """PyTorch's reader fails on each of these in its own way."""
    whole = save(tmp_path / "whole.pth", trained(base, ("fusion",), lora=False)).read_bytes()
    for content in (b"", b"hello\n", whole[: len(whole) // 2], whole[:100]):
        (tmp_path / "noise.pth").write_bytes(content)
        refused(base, tmp_path, tmp_path / "noise.pth", "noise.pth: is no whole PyTorch file")


def test_a_base_that_is_no_model_folder(sources, base, tmp_path):
    path = save(tmp_path / "p.pth", trained(base, ("fusion",), lora=False))
    refused(sources["lm"], tmp_path, path, "expected a model of type nanoemox, found qwen2")
    with pytest.raises(WeightsError, match="expected a model of type nanoemox, found qwen2"):
        write_official(sources["lm"], tmp_path / "back.pth")

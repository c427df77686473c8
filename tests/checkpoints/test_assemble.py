"""Backbones on disk -> a model folder: every tensor in its place, every fault told, nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

from nanoemox.checkpoints import assemble as assembling
from nanoemox.checkpoints.assemble import assemble, assemble_random
from nanoemox.checkpoints.official_names import from_official
from nanoemox.checkpoints.weight_files import ShardWriter, WeightsError, open_weights
from nanoemox.files.errors import OutputError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from tests.backbones_on_disk import settings, write_backbones, write_clip, write_facexformer, write_qwen
from tests.tiny import tiny_tokenizer

SAMPLE = Path(__file__).parents[2] / "demo" / "sample.mp4"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_backbones(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def folder(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "small"
    return assemble(out, **sources, dtype="float32", settings=settings())


def tensors(folder):
    with open_weights(folder) as weights:
        return {name: stored.read().clone() for name, stored in weights.items()}


def test_every_backbone_arrives_bit_for_bit(folder, sources):
    ours = tensors(folder)
    with open_weights(Path(sources["video"])) as clip:
        name = "encoder.layers.1.mlp.fc1.weight"
        assert torch.equal(ours[f"vision_encoder.model.{name}"], clip[f"vision_model.{name}"].read())
    with open_weights(Path(sources["audio"])) as hubert:
        conv = "encoder.pos_conv_embed.conv"
        got = ours[f"audio_encoder.model.{conv}.parametrizations.weight.original0"]
        assert torch.equal(got, hubert[f"{conv}.weight_g"].read())
    with open_weights(Path(sources["lm"])) as qwen:
        assert torch.equal(ours["language_model.model.norm.weight"], qwen["model.norm.weight"].read().float())
    path = next(Path(sources["face"]).rglob("*.pt"))
    with open_weights(path, "state_dict_backbone") as face:
        official = {f"facial_encoder.facexformer.{name}": face[name].read() for name in face}
    names = [name for name in ours if name.startswith("face_encoder.")]
    assert all(torch.equal(ours[name], value) for name, value in from_official(names, official).items())


def test_scene_features_are_those_of_clip(folder, sources):
    model = EmotionAnalyzer.from_pretrained(folder).model
    clip = CLIPModel.from_pretrained(sources["video"], dtype=torch.float32)
    pixels = torch.randn(1, 2, 3, 24, 24)
    with torch.no_grad():
        theirs = clip.vision_model(pixels[0], output_hidden_states=True).hidden_states[-2][:, 0]
        torch.testing.assert_close(model.vision_encoder(pixels)[0][0], theirs)


def test_what_the_model_has_no_use_for_is_listed(folder):
    told = json.loads((folder / "assembly.json").read_text())["sources"]
    assert told["face_encoder"]["dropped"] == {"backbone": 2, "face_decoder": 1, "pe_layer": 1}
    assert set(told["vision_encoder"]["dropped"]) >= {"text_model", "logit_scale", "visual_projection"}
    assert told["lm"]["dropped"] == {}
    assert str(folder.parent.parent) not in (folder / "assembly.json").read_text()  # no paths of this machine


def test_placeholders_take_spare_rows(folder):
    config = EmotionAnalyzer.from_pretrained(folder).model.config
    assert config.text_config.vocab_size == 320
    assert max(config.placeholder_ids.values()) < 320
    assert (
        NanoEmoXProcessor.from_pretrained(folder).tokenizer.convert_tokens_to_ids("<|face_pad|>")
        == config.face_token_id
    )


def test_it_answers(folder):
    analysis = EmotionAnalyzer.from_pretrained(folder).analyze(None, text="I am so happy", tasks=["emotion"])
    assert analysis["emotion"].label


def test_a_clip_folder_may_lack_its_text_tower(sources, tmp_path, folder):
    write_clip(tmp_path / "vision_only", text_tower=False)
    out = assemble(
        tmp_path / "model",
        **sources | {"video": str(tmp_path / "vision_only")},
        dtype="float32",
        settings=settings(),
    )
    assert set(tensors(out)) == set(tensors(folder))


def test_untrained_parts_depend_on_the_seed_alone(sources, tmp_path, folder):
    again = assemble(tmp_path / "again", **sources, dtype="float32", settings=settings())
    other = assemble(tmp_path / "other", **sources, dtype="float32", settings=settings(), seed=5)
    name = "video_adapter.query_tokens"
    assert torch.equal(tensors(again)[name], tensors(folder)[name])
    assert not torch.equal(tensors(other)[name], tensors(folder)[name])
    assert all(tensor.isfinite().all() for tensor in tensors(folder).values())


def test_bfloat16_halves_the_folder(sources, tmp_path):
    out = assemble(tmp_path / "half", **sources, settings=settings())
    assert {tensor.dtype for tensor in tensors(out).values()} == {torch.bfloat16}
    analyzer = EmotionAnalyzer.from_pretrained(out)
    assert analyzer.model.dtype == torch.bfloat16
    analysis = analyzer.analyze(SAMPLE, text="I am so happy", max_new_tokens=8)
    assert len(analysis) == 6 and analysis.experts is not None


def test_shards_and_their_index(sources, tmp_path, folder, monkeypatch):
    monkeypatch.setattr(assembling, "ShardWriter", lambda new: ShardWriter(new, shard_bytes=60_000))
    out = assemble(tmp_path / "shards", **sources, dtype="float32", settings=settings())
    assert len(list(out.glob("model-*-of-*.safetensors"))) > 2
    whole, parts = tensors(folder), tensors(out)
    assert set(whole) == set(parts) and all(torch.equal(whole[name], parts[name]) for name in whole)
    assert EmotionAnalyzer.from_pretrained(out).model.num_parameters() > 0


def test_random_weights_at_any_size(tmp_path):
    sizes = settings() | {"text_config": {**settings_text(), "vocab_size": 4096}}
    out = assemble_random("nano", tmp_path / "random", dtype="float32", settings=sizes | encoders())
    values = tensors(out)
    assert all(tensor.isfinite().all() for tensor in values.values())
    assert values["language_model.model.embed_tokens.weight"].shape[0] == 4096
    assert (
        EmotionAnalyzer.from_pretrained(out).analyze(None, text="Hello", tasks=["emotion"])["emotion"].label
    )


def settings_text():
    from tests.tiny import tiny_config

    return tiny_config().text_config.to_dict() | {"max_position_embeddings": 2048}


def encoders():
    from tests.tiny import tiny_config

    return {name: getattr(tiny_config(), name).to_dict() for name in ("vision_config", "audio_config")}


# ---------------------------------------------------------------------- faults
def refused(tmp_path, sources, match, **changes):
    with pytest.raises((WeightsError, OutputError), match=match):
        assemble(tmp_path / "out", **{**sources, **changes}, settings=settings())
    left = [path.name for path in tmp_path.iterdir() if path.name in ("out", ".out.unfinished")]
    assert left == []


def test_a_wrong_folder(sources, tmp_path):
    refused(
        tmp_path,
        sources,
        "expected a model of type hubert, .*whisper as audio_encoder, found clip",
        audio=sources["video"],
    )
    refused(tmp_path, sources, "expected config.json", audio=str(tmp_path))
    refused(tmp_path, sources, "no such file or folder .expected a folder, or a Hub id", audio="./nowhere")


def test_backbones_that_do_not_fit_what_was_set_are_named(sources, tmp_path):
    with pytest.raises(
        WeightsError, match=r"clip/config\.json.* do not fit preset nano \(vision_fusion_layers"
    ):
        assemble(tmp_path / "out", **sources, settings=settings(vision_fusion_layers=[1, 2, 9]))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_shard(sources, tmp_path):
    shutil.copytree(sources["lm"], tmp_path / "lm")
    (tmp_path / "lm" / "model-00002-of-00002.safetensors").unlink()
    refused(
        tmp_path, sources, "model-00002-of-00002.safetensors: this shard is missing", lm=str(tmp_path / "lm")
    )


def test_a_truncated_shard(sources, tmp_path):
    shutil.copytree(sources["lm"], tmp_path / "lm")
    shard = tmp_path / "lm" / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    refused(tmp_path, sources, "is no whole safetensors file", lm=str(tmp_path / "lm"))


def test_another_size_lists_every_shape(sources, tmp_path):
    shutil.copytree(sources["audio"], tmp_path / "audio")
    path = tmp_path / "audio" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"intermediate_size": 40}))
    refused(
        tmp_path,
        sources,
        r"has shape \[24, 16\], expected \[40, 16\].*and \d+ more|problems",
        audio=str(tmp_path / "audio"),
    )


def test_a_name_with_no_place_is_an_error(sources, tmp_path):
    write_facexformer(tmp_path / "face.pt", surprise=torch.zeros(1))
    refused(tmp_path, sources, "surprise has no place in the model", face=str(tmp_path / "face.pt"))


def test_another_order_of_positions_is_an_error(sources, tmp_path):
    name = "backbone.0.1.0.attn.relative_position_index"
    write_facexformer(tmp_path / "face.pt", **{name: torch.arange(81)})
    refused(
        tmp_path,
        sources,
        "numbers the positions of a window in another order",
        face=str(tmp_path / "face.pt"),
    )


class Trap:
    def __reduce__(self):
        return (open, ("trap-was-sprung", "w"))


def test_a_file_that_holds_code_is_not_opened(sources, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict_backbone": {"x": torch.zeros(1)}, "args": Trap()}, tmp_path / "face.pt")
    refused(
        tmp_path,
        sources,
        r"holds more than tensors \(\w*io.open\) and was not opened",
        face=str(tmp_path / "face.pt"),
    )
    assert not (tmp_path / "trap-was-sprung").exists()


def test_another_checkpoint(sources, tmp_path):
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "face.pt")
    refused(
        tmp_path,
        sources,
        "expected tensors under 'state_dict_backbone', found state_dict",
        face=str(tmp_path / "face.pt"),
    )
    (tmp_path / "noise.pt").write_bytes(b"not a file of weights")
    refused(tmp_path, sources, "noise.pt", face=str(tmp_path / "noise.pt"))


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_without_spare_rows_grows(sources, tmp_path, tied):
    rows = len(tiny_tokenizer()) - 2
    state = write_qwen(tmp_path / "lm", vocabulary=rows, tied=tied)
    changed = {**sources, "lm": str(tmp_path / "lm")}
    out = assemble(tmp_path / "out", **changed, dtype="float32", settings=settings())
    for name in ("model.embed_tokens.weight", *(() if tied else ("lm_head.weight",))):
        table, theirs = tensors(out)[f"language_model.{name}"], state[name].float()
        assert table.shape[0] == rows + 2 and torch.equal(table[:rows], theirs)
        torch.testing.assert_close(table[rows:], theirs.mean(dim=0).expand(2, -1), atol=1e-2, rtol=1e-2)
    assert EmotionAnalyzer.from_pretrained(out).analyze(None, text="Hello", tasks=["emotion"])


def test_a_full_disk(sources, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    refused(tmp_path, sources, "GB of room on its disk")


def test_a_disk_that_fills_while_writing(sources, tmp_path, monkeypatch):
    from safetensors import SafetensorError

    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("nanoemox.checkpoints.weight_files.save_file", full)
    refused(tmp_path, sources, r"out: could not be written \(No space left on device\); make room")


def test_a_killed_run_leaves_no_model_and_the_next_one_works(sources, tmp_path):
    (tmp_path / ".out.unfinished").mkdir()
    (tmp_path / ".out.unfinished" / "shard-00001.safetensors").write_bytes(b"half")
    out = assemble(tmp_path / "out", **sources, settings=settings())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert not list(out.glob("shard-*"))


def test_what_is_there_is_not_overwritten(sources, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        assemble(tmp_path / "out", **sources, settings=settings())
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["pretrained", "random"])
def test_the_output_is_looked_at_before_any_work(sources, tmp_path, monkeypatch, kind):
    def work(*_, **__):
        raise AssertionError("gigabytes were fetched, or a tokenizer trained, in vain")

    monkeypatch.setattr("nanoemox.checkpoints.assemble.hub_part", work)
    monkeypatch.setattr("nanoemox.model.tokenizer.train_tokenizer", work)
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "model", tmp_path):
        with pytest.raises(OutputError, match=r"exists already|is a file"):
            assemble(out, **sources) if kind == "pretrained" else assemble_random("pico", out)

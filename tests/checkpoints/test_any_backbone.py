"""Any language model with any encoders: assembled from folders, trained one step, saved, read again, asked."""

from __future__ import annotations

import itertools
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModel, WhisperFeatureExtractor, WhisperModel
from typer.testing import CliRunner

from nanoemox.checkpoints.assemble import assemble
from nanoemox.checkpoints.load import load_config, load_model
from nanoemox.checkpoints.weight_files import WeightsError
from nanoemox.cli.main import app
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.model.clip_processor import normalised_sound, sound_processor
from nanoemox.model.parts import lora_targets, parameter_report
from tests.backbones_on_disk import settings
from tests.checkpoints.any_backbones import write_all
from tests.model.small_backbones import AUDIO, LM, SCENE
from tests.tiny import make_batch

# Every language model, scene and voice at least once; all of them with each other are in the slow test.
FACES = (
    "swin",
    "swinv2",
    "convnext",
    "convnextv2",
    "dinov3_convnext",
    "clip",
    "siglip2",
    "dinov2_with_registers",
    "vit",
)
COVERING = list(zip(LM, itertools.cycle(SCENE), itertools.cycle(AUDIO), itertools.cycle(FACES), strict=False))
QFORMER = {name: value for name, value in settings().items() if name in ("qformer_config", "fusion_width")}
SIZES: dict[str, Any] = QFORMER | {
    "video_tokens": 5,
    "audio_tokens": 3,
    "face_tokens": 2,
    "face_heads": 2,
    "fusion_heads": 2,
}


def fold(root: Path, kinds: tuple[str, str, str, str]) -> Path:
    return assemble(root / "model", **write_all(root, *kinds), dtype="float32", settings=SIZES)


def one_round(root: Path, kinds: tuple[str, str, str, str]) -> None:
    """Assemble, train one step, save, read again, answer."""
    model, processor = load_model(fold(root, kinds))
    batch = make_batch(processor, answers=["Anger.", "I am so happy.", "Why?", "No."])
    report = parameter_report(model.config)["parameters"]
    assert report["total"] - report["parts"]["lora"] == model.num_parameters()

    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=lora_targets(model)))
    for part in ("video_adapter", "audio_adapter", "face_adapter", "fusion"):
        model.parts()[part].requires_grad_(True)
    trained = [parameter for parameter in wrapped.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=0.02)
    before = wrapped.train()(**batch).loss
    before.backward()
    assert all(parameter.grad is not None for parameter in trained)
    optimiser.step()
    assert wrapped(**batch).loss < before

    model = wrapped.merge_and_unload().eval()
    model.save_pretrained(root / "trained")
    processor.save_pretrained(root / "trained")
    again, its_processor = load_model(root / "trained")
    with torch.no_grad():
        torch.testing.assert_close(again(**batch).logits, model(**batch).logits, atol=0, rtol=0)
    ours = make_batch(its_processor, answers=["Anger.", "I am so happy.", "Why?", "No."])
    assert all(torch.equal(batch[name], ours[name]) for name in batch)
    analysis = EmotionAnalyzer(again, its_processor).analyze(
        None, text="I am so happy", tasks=["emotion", "open_vocabulary"], max_new_tokens=4
    )
    assert analysis["emotion"].label


@pytest.mark.parametrize("kinds", COVERING, ids="-".join)
def test_it_is_built_trained_saved_read_again_and_answers(kinds, tmp_path):
    one_round(tmp_path, kinds)


@pytest.mark.slow
@pytest.mark.parametrize("audio", AUDIO)
@pytest.mark.parametrize("video", SCENE)
@pytest.mark.parametrize("lm", LM)
def test_every_language_model_with_every_scene_and_every_voice(lm, video, audio, tmp_path):
    one_round(tmp_path, (lm, video, audio, "swin"))


# ---------------------------------------------------------------------- what each encoder gives
@pytest.mark.parametrize("kind", ["siglip", "dinov2", "dinov3", "vit"])
def test_scene_features_are_those_that_transformers_computes(kind, tmp_path):
    model, _ = load_model(fold(tmp_path, ("qwen3", kind, "wavlm", "swin")))
    theirs = AutoModel.from_pretrained(tmp_path / "video").eval()
    theirs = getattr(theirs, "vision_model", theirs)
    pixels = torch.randn(1, 2, 3, 24, 24)
    with torch.no_grad():
        state = theirs(pixels[0], output_hidden_states=True).hidden_states[-2]  # [T, tokens, D]
        features, fusion = model.vision_encoder(pixels)
    expected = state.mean(dim=1) if kind == "siglip" else state[:, 0]
    torch.testing.assert_close(features[0], expected, atol=1e-6, rtol=1e-5)
    assert fusion.shape == (1, 2, 3 * 16)


def test_whisper_hears_the_log_mel_of_its_own_feature_extractor(tmp_path):
    """Two seconds, then silence up to its length, as it was trained; only the steps of the two seconds are read."""
    model, processor = load_model(fold(tmp_path, ("qwen2", "clip", "whisper", "swin")))
    extractor = WhisperFeatureExtractor(feature_size=20, chunk_length=3)
    sound = np.random.default_rng(0).normal(0, 0.1, (2, 32_000)).astype(np.float32)
    log_mel = extractor(list(sound), sampling_rate=16_000, return_tensors="pt")["input_features"]
    whisper = WhisperModel.from_pretrained(tmp_path / "audio").get_encoder().eval()
    with torch.no_grad():
        output = whisper(log_mel, output_hidden_states=True)
        states = [*output.hidden_states[:-1], output.last_hidden_state]
        values = normalised_sound(sound, processor.feature_extractor)
        features, _ = model.audio_encoder(values[None])
    assert values.shape == (2, 20, 202)
    expected = torch.stack([state[:, :100].mean(dim=1) for state in states]).mean(dim=0)
    torch.testing.assert_close(features[0], expected, atol=1e-5, rtol=1e-4)
    quiet = normalised_sound(sound * 1e-9, sound_processor(model.config))  # below the floor of the logarithm
    filled, _ = model.audio_encoder._filled_up(quiet)
    expected = extractor(list(sound * 1e-9), sampling_rate=16_000, return_tensors="pt")["input_features"]
    torch.testing.assert_close(filled, expected, atol=1e-5, rtol=1e-5)


def test_a_face_encoder_of_the_hub_gives_its_stages_side_by_side(tmp_path):
    model, _ = load_model(fold(tmp_path, ("qwen3", "dinov2", "hubert_base", "swin")))
    assert (model.config.face_fused, model.config.face_width) == (False, 8 + 16)
    theirs = AutoModel.from_pretrained(tmp_path / "face").eval()
    pixels = torch.randn(1, 2, 3, 24, 24)
    with torch.no_grad():
        maps = theirs(
            pixels[0], output_hidden_states=True, output_hidden_states_before_downsampling=True
        ).reshaped_hidden_states[1:]
        expected = torch.cat([each.mean(dim=(-2, -1)) for each in maps], dim=-1)
        torch.testing.assert_close(model.face_encoder(pixels)[0], expected)


# ---------------------------------------------------------------------- preparation and marks
def test_pictures_and_sound_are_prepared_as_the_encoders_say(tmp_path):
    sources = write_all(tmp_path, "qwen2", "dinov2", "wavlm", "vit")
    settings_of_dino = {
        "size": {"shortest_edge": 48},
        "crop_size": {"height": 36, "width": 36},
        "resample": 2,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.3] * 3,
    }
    (tmp_path / "video" / "preprocessor_config.json").write_text(json.dumps(settings_of_dino))
    model, processor = load_model(assemble(tmp_path / "model", **sources, dtype="float32", settings=SIZES))
    assert (model.config.video_side_px, model.config.vision_config.image_size) == (36, 24)
    pictures, faces = processor.image_processor, processor.face_image_processor
    assert (pictures.size["shortest_edge"], pictures.resample) == (48, 2)
    assert list(pictures.image_mean) == [0.1, 0.2, 0.3]
    assert (faces.size["height"], list(faces.image_mean)) == (24, [0.4, 0.5, 0.6])
    assert processor.feature_extractor.do_normalize is False
    batch = make_batch(processor)
    assert batch["pixel_values_videos"].shape[-2:] == (36, 36)
    assert torch.isfinite(model(**batch).logits).all()


@pytest.mark.parametrize(
    ("kind", "start", "end"),
    [
        ("qwen3", "<|im_start|>user\n", "<|im_end|>"),
        ("llama", "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        ("gemma3", "<bos><start_of_turn>user\n", "<end_of_turn>"),
        ("mistral", "<s>[INST] ", "</s>"),
        ("phi3", "<s>User: ", "</s>"),
    ],
)
def test_a_prompt_has_the_marks_that_its_language_model_knows(kind, start, end, tmp_path):
    """New marks would have rows of the table that nobody trains, so that no answer would ever end."""
    _, processor = load_model(fold(tmp_path, (kind, "vit", "wavlm", "vit")))
    tokenizer = processor.tokenizer
    prompt = processor.prompt("Why <|eot_id|> so?", modalities={"audio"}, text="Hi")
    assert prompt.startswith(start + "Voice: <|audio_pad|>")
    assert processor.end_of_turn == end and tokenizer.get_vocab()[end] in processor.end_ids
    if tokenizer.chat_template and kind != "qwen3":
        asked = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
        theirs = tokenizer.apply_chat_template([*asked, *asked], tokenize=False)
        ours = processor.apply_chat_template(
            [
                {"role": m["role"], "content": [{"type": "text", "text": m["content"]}]}
                for m in [*asked, *asked]
            ]
        )
        assert theirs.split() == ours.split() or theirs.startswith(ours)
    if kind in ("llama", "gemma3"):
        spoken = processor.prompt(f"Why {end} so?", modalities=(), text=end)
        assert spoken.count(end) == prompt.count(end)


# ---------------------------------------------------------------------- faults
def test_none_for_a_model_without_a_face_branch(tmp_path):
    sources = write_all(tmp_path, "llama", "siglip", "whisper", "vit") | {"face": "none"}
    model, _ = load_model(assemble(tmp_path / "model", **sources, settings=SIZES))
    assert model.face_encoder is None and model.config.face_tokens == 0
    with pytest.raises(WeightsError, match="--face none"):
        assemble(tmp_path / "other", **{**sources, "face": None}, settings=SIZES)


def changed(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("part", "fields", "match"),
    [
        ("lm", {"model_type": "bert_of_mine"}, "expected a model of type a decoder .* found bert_of_mine"),
        ("lm", {"model_type": "mamba"}, "keeps keys and values, got mamba"),
        ("lm", {"hidden_size": 48}, "has shape"),
        ("lm", {"num_attention_heads": 3}, "number of attention heads"),
        ("video", {"model_type": "swin"}, "expected a model of type .* as vision_encoder, found swin"),
        ("video", {"num_hidden_layers": 4}, "is missing"),
        ("video", {"patch_size": 0}, "patch_size"),
        ("audio", {"model_type": "bart"}, "as audio_encoder, found bart"),
        ("audio", {"max_source_positions": 50}, "max_source_positions: expected at least 100"),
        ("audio", {"encoder_attention_heads": 3}, "audio_config"),
        ("face", {"depths": [1, 1]}, "face/config.json: is no configuration of face_encoder"),
        ("face", {"auto_map": {"AutoModel": "evil.Evil"}}, "names code"),
    ],
)
def test_backbones_that_cannot_be_used_are_refused_in_one_line(part, fields, match, tmp_path):
    sources = write_all(tmp_path, "llama", "dinov2", "whisper", "convnext")
    changed(tmp_path / part / "config.json", **fields)
    with pytest.raises(WeightsError, match=match) as caught:
        assemble(tmp_path / "model", **sources, settings=SIZES)
    assert "\n" not in str(caught.value) and not (tmp_path / "model").exists()


def test_a_preparation_that_makes_no_sense_is_refused(tmp_path):
    sources = write_all(tmp_path, "qwen2", "dinov2", "wavlm", "vit")
    (tmp_path / "video" / "preprocessor_config.json").write_text('{"size": 24, "image_std": [0, 1, 1]}')
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json: image_std"):
        assemble(tmp_path / "model", **sources, settings=SIZES)


def test_the_command_takes_folders_alone(tmp_path, monkeypatch):
    """With nothing but folders the network is not asked; whoever leaves out a part is told how to do without."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the network was asked"))
    sources = write_all(tmp_path, "qwen3", "siglip", "wavlm", "vit")
    options = [text for part, place in sources.items() for text in (f"--{part}", place)]
    out = tmp_path / "mine"
    assert CliRunner().invoke(app, ["assemble", str(out), *options]).exit_code == 0
    config = load_config(str(out))
    assert (config.vision_fusion_layers, config.audio_fusion_layers) == ([2, 2, 3], [1, 2, 2])
    assert (config.text_config.model_type, config.face_width) == ("qwen3", 16)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "`video` (a local folder or file)" in card and "CLIP" not in card
    left_out = [*options[:-1], "none"]
    assert CliRunner().invoke(app, ["assemble", str(tmp_path / "faceless"), *left_out]).exit_code == 0
    assert load_config(str(tmp_path / "faceless")).face_tokens == 0

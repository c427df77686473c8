"""Presets, round trip through JSON, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoConfig, Qwen3Config

from nanoemox.model import configuration_nanoemox
from nanoemox.model.configuration_nanoemox import PLACEHOLDERS, PRESETS, NanoEmoXConfig, preset_fields
from nanoemox.model.parts import parameter_report
from tests.tiny import tiny_config

# Parameters of each part. A number that changes here changes which saved weights fit.
PARAMETERS = {
    "nano": {
        "vision_encoder": 303_179_776,
        "audio_encoder": 315_438_720,
        "face_encoder": 87_497_912,
        "video_adapter": 20_930_048,
        "audio_adapter": 20_905_472,
        "face_adapter": 1_642_752,
        "fusion": 7_356_931,
        "lm": 1_543_714_304,
        "lora": 18_464_768,
    },
    "pico": {
        "vision_encoder": 2_174_208,
        "audio_encoder": 1_765_600,
        "face_encoder": 1_663_596,
        "video_adapter": 1_034_944,
        "audio_adapter": 1_005_504,
        "face_adapter": 93_312,
        "fusion": 884_547,
        "lm": 2_756_928,
        "lora": 325_632,
    },
    "affectgpt": {
        "vision_encoder": 303_966_208,
        "audio_encoder": 315_438_720,
        "face_encoder": 0,
        "video_adapter": 2_756_865,
        "audio_adapter": 3_674_625,
        "face_adapter": 0,
        "fusion": 7_610_882,
        "lm": 7_615_616_512,
        "lora": 40_370_176,
    },
    "light-mer": {
        "vision_encoder": 86_192_640,
        "audio_encoder": 94_371_712,
        "face_encoder": 0,
        "video_adapter": 525_825,
        "audio_adapter": 788_225,
        "face_adapter": 0,
        "fusion": 2_953_986,
        "lm": 596_049_920,
        "lora": 10_092_544,
    },
    "nano-s": {
        "vision_encoder": 85_799_424,
        "audio_encoder": 94_371_712,
        "face_encoder": 87_497_912,
        "video_adapter": 19_741_696,
        "audio_adapter": 19_723_264,
        "face_adapter": 1_249_024,
        "fusion": 6_832_131,
        "lm": 596_049_920,
        "lora": 10_092_544,
    },
}
# What no parameter tells: placeholders, what the fusion reads, heads, what encoders and language model are given.
SETTINGS = {
    "nano": ([1, 32, 4, 32], [12, 16, 22], [16, 18, 22], [16, 16, 12, 12, 2], [224, 224, 32_768], 1e6),
    "pico": ([1, 8, 4, 8], [3, 4, 5], [4, 5, 6], [6, 5, 6, 6, 2], [96, 96, 2_048], 1e4),
    "affectgpt": ([1, 1, 0, 1], [12, 16, 22], [16, 18, 22], [16, 16, 12, 28, 4], [224, 224, 32_768], 1e6),
    "light-mer": ([1, 1, 0, 1], [6, 8, 11], [8, 9, 11], [12, 12, 12, 16, 8], [224, 224, 40_960], 1e6),
    "nano-s": ([1, 32, 4, 32], [6, 8, 11], [8, 9, 11], [12, 12, 12, 16, 8], [224, 224, 40_960], 1e6),
}


@pytest.mark.parametrize("name", PRESETS)
def test_sizes_of_a_preset_stay_as_they_are(name):
    config = NanoEmoXConfig.preset(name)
    vision, audio, face = config.vision_config, config.audio_config, config.face_config
    text = config.text_config
    assert parameter_report(config)["parameters"]["parts"] == PARAMETERS[name]
    assert SETTINGS[name] == (
        list(config.placeholder_counts.values()),
        list(config.vision_fusion_layers),
        list(config.audio_fusion_layers),
        [
            *(part.num_attention_heads for part in (vision, audio, config.qformer_config, text)),
            text.num_key_value_heads,
        ],
        [vision.image_size, face.image_size, text.max_position_embeddings],
        text.rope_parameters["rope_theta"],
    )


def test_every_file_of_a_preset_has_its_name_and_its_source():
    folder = Path(configuration_nanoemox.__file__).parent / "presets"
    assert {path.stem for path in folder.iterdir()} == set(PRESETS)
    for name in PRESETS:
        written = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        assert written["_source"]["preset"] and not [
            key for key in preset_fields(name) if key.startswith("_")
        ]
    preset_fields("nano")["text_config"]["hidden_size"] = 1
    assert preset_fields("nano")["text_config"]["hidden_size"] == 1536


def test_the_copy_beside_saved_weights_has_no_presets(tmp_path, monkeypatch):
    monkeypatch.setattr(configuration_nanoemox, "__file__", str(tmp_path / "configuration_nanoemox.py"))
    with pytest.raises(ValueError, match=r"preset pico: .*brings no presets.*install nanoemox"):
        NanoEmoXConfig.preset("pico")


@pytest.mark.parametrize("name", ["pico", "nano"])
def test_preset_survives_saving(name, tmp_path):
    config = NanoEmoXConfig.preset(name)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, NanoEmoXConfig)
    assert {**loaded.to_dict(), "_name_or_path": ""} == config.to_dict()
    assert loaded.tie_word_embeddings and loaded.text_config.tie_word_embeddings


def test_nano_has_the_sizes_of_the_paper():
    config = NanoEmoXConfig.preset("nano")
    assert config.placeholder_counts == {"fusion": 1, "audio": 32, "face": 4, "video": 32}
    assert (config.vision_fusion_layers, config.audio_fusion_layers) == ((12, 16, 22), (16, 18, 22))
    assert (config.max_frames, config.max_audio_windows) == (32, 8)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'micro'.*nano, pico"):
        NanoEmoXConfig.preset("micro")


def test_fusion_layers_must_exist_and_be_one_per_expert():
    with pytest.raises(
        ValueError, match=r"vision_fusion_layers: expected 3 hidden states from 0 to 3.*\[1, 2, 9\]"
    ):
        tiny_config(vision_fusion_layers=[1, 2, 9])
    with pytest.raises(ValueError, match="audio_fusion_layers"):
        tiny_config(audio_fusion_layers=[1, 2])


def test_tokenizer_gives_the_ids(tokenizer):
    config = NanoEmoXConfig.preset("pico", tokenizer)
    assert config.text_config.vocab_size == len(tokenizer)
    assert config.text_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    for kind, token in PLACEHOLDERS.items():
        assert config.placeholder_ids[kind] == tokenizer.convert_tokens_to_ids(token)


def test_spare_vocabulary_rows_stay_unless_exact(tokenizer):
    config = NanoEmoXConfig.preset("nano", tokenizer)
    assert config.text_config.vocab_size == 151_936


def test_tokenizer_without_placeholders_is_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(ValueError, match=r"lacks <\|fusion_pad\|>.*prepare_tokenizer"):
        NanoEmoXConfig.preset("pico", bare)


def test_the_language_model_stays_what_its_type_says():
    """Once it became Qwen2 when its configuration was read again, and lost its norms of query and key."""
    config = NanoEmoXConfig.preset("light-mer")
    again = NanoEmoXConfig.from_dict(json.loads(config.to_json_string()))
    assert type(again.text_config) is type(config.text_config) is Qwen3Config
    assert again.text_config.head_dim == 128
    with pytest.raises(ValueError, match=r"text_config\.model_type: expected a decoder"):
        NanoEmoXConfig(**preset_fields("light-mer") | {"text_config": {"model_type": "clip"}})


def test_layers_that_no_expert_reads_need_not_exist():
    fields = preset_fields("light-mer") | {"vision_fusion_layers": [12, 16, 22]}
    assert NanoEmoXConfig(**fields).read_fusion_layers == ((), ())
    with pytest.raises(ValueError, match="vision_fusion_layers"):
        NanoEmoXConfig(**fields | {"fusion_type": "experts"})


# The numbers of the published model (the paper, and the configuration that comes with its code).
DEFAULTS = {
    "max_frames": 32, "max_audio_windows": 8, "video_tokens": 32, "audio_tokens": 32, "face_tokens": 4,
    "fusion_tokens": 1, "vision_feature_layer": -2, "audio_feature_layers": 4, "fusion_width": 512, "fusion_heads": 8,
    "fusion_experts": 3, "fusion_dropout": 0.1, "face_feature_width": 256, "face_heads": 4, "face_hidden_width": 768,
    "face_dropout": 0.1, "video_adapter_type": "qformer", "audio_adapter_type": "qformer", "fusion_type": "experts",
    "vision_projected": False, "training_domain": None, "provenance": None,
    # Qwen2.5 knows the tokens 0 to 151,664; the placeholders come behind them.
    "fusion_token_id": 151_665, "audio_token_id": 151_666, "face_token_id": 151_667, "video_token_id": 151_668,
}  # fmt: skip


def test_what_is_not_said_is_as_published() -> None:
    config = NanoEmoXConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS

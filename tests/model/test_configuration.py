"""Presets, round trip through JSON, and what is refused."""

from __future__ import annotations

import pytest
from transformers import AutoConfig

from nanoemox.model.configuration_nanoemox import PLACEHOLDERS, NanoEmoXConfig
from tests.tiny import tiny_config


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

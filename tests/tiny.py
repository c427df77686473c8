"""Small things that tests share: a tokenizer trained on a few lines, a model with every size cut down."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from nanoemox.model.clip_processor import prepare_tokenizer
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor

LINES = [
    "The most likely label is anger. The character's sentiment state is negative.",
    "What does the person feel? Why does the voice tremble? Words: I am so happy for you.",
]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of about 300 tokens, with ours added."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    return prepare_tokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer))


def tiny_config(tokenizer: Any = None, **changes: Any) -> NanoEmoXConfig:
    """`pico` with every size cut down: about 100 k parameters, milliseconds a call."""
    config = NanoEmoXConfig(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 24,
            "patch_size": 12,
        },
        audio_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "feat_extract_norm": "layer",
            "conv_bias": True,
            "do_stable_layer_norm": True,
            "conv_dim": [8] * 7,
            "num_conv_pos_embeddings": 8,
            "num_conv_pos_embedding_groups": 2,
        },
        face_config={
            "image_size": 24,
            "patch_size": 2,
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [2, 2],
            "window_size": 3,
        },
        qformer_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "cross_attention_frequency": 1,
            "initializer_range": 0.25,
        },
        text_config={
            "vocab_size": 320,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
            "initializer_range": 0.2,
            "eos_token_id": 1,
            "pad_token_id": 0,
        },
        **{
            "video_tokens": 5,
            "audio_tokens": 3,
            "face_tokens": 2,
            "num_frames": 4,
            "num_audio_windows": 3,
            "audio_feature_layers": 2,
            "vision_fusion_layers": [1, 2, 3],
            "audio_fusion_layers": [1, 2, 3],
            "fusion_width": 16,
            "face_feature_width": 8,
            "face_heads": 2,
            "face_hidden_width": 16,
            "fusion_token_id": 310,
            "audio_token_id": 311,
            "face_token_id": 312,
            "video_token_id": 313,
            **changes,
        },
    )
    if tokenizer is not None:
        config.fit_tokenizer(tokenizer, exact=True)
    return config


def tiny_clip(seed: int = 0, *, video: bool = True, audio: bool = True) -> Any:
    """What the processor needs of a clip: four 32 x 40 frames, three windows of half a second."""
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (4, 32, 40, 3), dtype=np.uint8) if video else None
    sound = random.normal(0, 0.1, (3, 8000)).astype(np.float32) if audio else None
    return SimpleNamespace(frames=frames, audio_windows=sound, face_frames=None)


ROWS = ({"video", "audio"}, {"audio"}, {"video"}, set())


def make_batch(
    processor: NanoEmoXProcessor, rows: Any = ROWS, answers: list[str] | None = None, seed: int = 0
) -> dict[str, torch.Tensor]:
    """One row for each set of modalities, with questions of different lengths."""
    questions = ["What does the person feel?", "Why?", "What does the voice say? Why?", "Happy?"]
    prompts = [
        processor.prompt(questions[i % 4], modalities=row, text="I am so happy") for i, row in enumerate(rows)
    ]
    clips = [tiny_clip(seed + i, video="video" in row, audio="audio" in row) for i, row in enumerate(rows)]
    return dict(
        processor.training_batch(prompts, answers=answers, media=[processor.media(clip) for clip in clips])
    )

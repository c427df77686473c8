"""What is read of a clip: all of its audio, one frame, or its text and the turns before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nanoemox.baselines.examples import read_examples, whole_audio
from nanoemox.data.manifest import ManifestError
from nanoemox.files.atomic import write_jsonl
from nanoemox.media.load import load_clip
from tests.baselines.clips import make_manifest
from tests.media_files import write_wav


def test_audio_windows_are_put_back_where_they_lie(tmp_path: Path) -> None:
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, 70_000).astype(np.float32)
    whole = whole_audio(load_clip(write_wav(tmp_path / "a.wav", audio)))
    assert whole.shape == audio.shape and np.abs(whole - audio).max() < 1e-3


def test_each_modality_has_its_own_form(tmp_path: Path) -> None:
    shapes = {}
    for modality in ("audio", "video"):
        example = read_examples(make_manifest(tmp_path, 4, modality), modality, "emotion").clips[0]
        shapes[modality] = (
            tuple(example.network.shape),
            example.baseline.shape,
            example.group,
            example.label,
        )
    assert shapes == {
        "audio": ((48, 32), (60,), "s0", "anger"),
        "video": ((72, 72), (1764,), "s0", "anger"),
    }


def test_text_comes_with_the_two_turns_before_it(tmp_path: Path) -> None:
    turns = [{"role": "x", "text": text} for text in ("one", "two", "three")]
    write_jsonl(
        tmp_path / "m.jsonl",
        [
            {"id": "a", "text": "hm", "dialogue": turns, "labels": {"emotion": {"label": "anger"}}},
            {"id": "b", "text": "hm", "labels": {"emotion": {"label": "fear"}}},
            {"id": "c", "text": "…", "labels": {"emotion": {"label": "fear"}}},
            {"id": "d", "text": "no label"},
        ],
    )
    examples = read_examples(tmp_path / "m.jsonl", "text", "emotion")
    assert [example.network for example in examples.clips] == [("hm", "two\nthree"), ("hm", "")]
    assert {example.group for example in examples.clips} == {
        "hm"
    }  # equal lines are never in training and test both
    assert examples.left_out == {"c": "the line has no text"}


def test_one_label_alone_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "m.jsonl", [{"id": "a", "text": "hm", "labels": {"emotion": {"label": "anger"}}}])
    with pytest.raises(ManifestError, match=r"m.jsonl: expected two or more labels of emotion.*1 lines have"):
        read_examples(tmp_path / "m.jsonl", "text", "emotion")

"""Small encoders beside scikit-learn: nobody is in training and test, and what is learnable is learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nanoemox.baselines import classical, networks
from nanoemox.baselines.classify import classify, whole_sound
from nanoemox.cli import main as cli
from nanoemox.data.quarantine import quarantine_path, write_quarantine
from nanoemox.files.atomic import write_jsonl
from nanoemox.media.load import load_clip
from tests.media_files import write_wav

LABELS = ("anger", "sadness")


def lines(folder: Path, number: int = 36, kind: str = "audio") -> Path:
    """Clips of six speakers: anger is high and up, sadness low and down."""
    random = np.random.default_rng(0)
    made: list[dict[str, Any]] = []
    for i in range(number):
        label = LABELS[i % 2]
        line: dict[str, Any] = {
            "id": f"c{i}",
            "speaker": f"s{i // 2 % 9}",
            "labels": {"emotion": {"label": label}},
        }
        if kind == "audio":
            hertz = (900 if label == "anger" else 200) + 20 * random.random()
            sound = 0.3 * np.sin(np.arange(16_000) * hertz * 2 * np.pi / 16_000)
            write_wav(folder / f"c{i}.wav", sound + 0.01 * random.normal(size=16_000))
            line["audio"] = f"c{i}.wav"
        elif kind == "image":
            picture = random.integers(0, 60, (80, 64), dtype=np.uint8)
            rows = slice(16, 36) if label == "anger" else slice(44, 64)
            picture[rows] += 150
            Image.fromarray(picture).save(folder / f"c{i}.png")
            line["image"] = f"c{i}.png"
        else:
            word = "awful" if label == "anger" else "gone"
            line["text"] = f"this is {word} {random.integers(9)}"
        made.append(line)
    write_jsonl(folder / f"{kind}.jsonl", made)
    return folder / f"{kind}.jsonl"


@pytest.mark.parametrize(("sense", "kind"), [("voice", "audio"), ("face", "image"), ("words", "text")])
def test_what_can_be_told_is_told_of_people_never_met(tmp_path: Path, sense: str, kind: str) -> None:
    steps = {"voice": 25, "face": 20, "words": 40}[sense]
    report = classify(lines(tmp_path, 36, kind), sense, "emotion", tmp_path / "out", folds=2, steps=steps)
    systems = report["systems"]
    assert systems["the commonest label"]["accuracy"]["value"] == 0.5
    assert len(systems) == (4 if sense == "voice" else 3) and report["n"] == 36 and report["speakers"] == 9
    for name, figures in systems.items():
        wanted = 0.5 if name == "the commonest label" else 0.85
        assert figures["accuracy"]["value"] >= wanted, (name, figures)
        assert figures["accuracy"]["low"] <= figures["accuracy"]["value"] <= figures["accuracy"]["high"]
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["systems"] == systems
    rows = [
        json.loads(line)
        for line in (tmp_path / "out" / "predictions.jsonl").read_text("utf-8").split("\n")
        if line
    ]
    right = sum(row["label"] == row["truth"] for row in rows) / len(rows)
    assert len(rows) == 36 and right == pytest.approx(systems["network"]["accuracy"]["value"])


def test_labels_that_clips_do_not_tell_are_not_told(tmp_path: Path) -> None:
    path = lines(tmp_path, 48, "text")
    shuffled = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    random = np.random.default_rng(1)
    for line in shuffled:
        line["labels"]["emotion"]["label"] = LABELS[random.integers(2)]
    write_jsonl(path, shuffled)
    report = classify(path, "words", "emotion", tmp_path / "out", folds=2, steps=10)
    assert all(figures["accuracy"]["value"] < 0.75 for figures in report["systems"].values())


def test_the_same_again_and_another_manifest(tmp_path: Path) -> None:
    path = lines(tmp_path, 24, "text")
    every = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    write_jsonl(tmp_path / "train.jsonl", every[:16])
    write_jsonl(tmp_path / "test.jsonl", every[16:])
    write_quarantine(quarantine_path(tmp_path / "test.jsonl"), {"c23": ["broken"]})
    told = [
        classify(
            tmp_path / "train.jsonl", "words", "emotion", tmp_path / out, tmp_path / "test.jsonl", steps=5
        )
        for out in ("a", "b")
    ]
    assert told[0]["n"] == 7 and told[0]["skipped"] == {"c23": "broken"}
    assert told[0]["systems"] == told[1]["systems"]
    assert (tmp_path / "a/predictions.jsonl").read_bytes() == (tmp_path / "b/predictions.jsonl").read_bytes()


def test_the_command_says_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lines(tmp_path, 18)
    (tmp_path / "c3.wav").write_bytes(b"no sound")

    def run(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            cli.main(["classify", str(path), "--out", str(tmp_path / "out"), *arguments])
        return ended.value.code

    assert run("--sense", "voice", "--folds", "2", "--steps", "2", "--threads", "1") == 1
    out = capsys.readouterr().out
    assert "left out c3" in " ".join(out.split()) and "left out in all: 1" in out and "Weighted F1" in out
    for arguments, told in (
        (["--sense", "smell"], "voice, face, words"),
        (["--sense", "voice", "--task", "empathy"], "emotion, sentiment, intent"),
        (["--sense", "voice", "--task", "intent"], "expected labels of intent"),
        (["--sense", "voice", "--folds", "10"], "at least 10 speakers"),
    ):
        assert run(*arguments) == 2
        assert told in capsys.readouterr().err


def test_a_sound_is_put_together_as_it_was(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 70_000).astype(np.float32)
    whole = whole_sound(load_clip(write_wav(tmp_path / "a.wav", sound)))
    assert whole.shape == sound.shape and np.abs(whole - sound).max() < 1e-3


def test_views_keep_their_shape_and_differ(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    loudness = torch.randn(networks.BANDS, 90) * 10
    for steps in (64, 90, 120):
        assert networks.voice_view(loudness, steps, None).shape == (networks.BANDS, steps)
        views = [networks.voice_view(loudness, steps, random) for _ in range(2)]
        assert views[0].shape == (networks.BANDS, steps) and not torch.equal(*views)
        assert all(view.isfinite().all() for view in views)
    pictures = torch.rand(3, 72, 72)
    assert torch.equal(networks.face_views(pictures, None), pictures[:, 4:68, 4:68])
    assert networks.face_views(pictures, random).shape == (3, 64, 64)


def test_words_count_as_tf_idf() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["we won we won", "we lost", "never"]
    terms = networks.Terms([networks.word_grams(text) for text in texts], 1)
    pairs = TfidfVectorizer(
        tokenizer=lambda t: [
            *t.split(),
            *map(" ".join, zip(["^", *t.split()], [*t.split(), "$"], strict=True)),
        ],
        token_pattern=None,
        lowercase=False,
        sublinear_tf=True,
    ).fit_transform(texts)
    for text, row in zip(texts, pairs.toarray(), strict=True):
        _, weights = terms.row(networks.word_grams(text))
        assert sorted(weights.tolist()) == pytest.approx(sorted(row[row > 0]), abs=1e-6)
    few = networks.Terms([networks.word_grams(text) for text in texts], 2)
    places, weights = few.row(networks.word_grams("we never"))
    assert (places > 0).sum() == 2 and float(weights.norm()) == pytest.approx(1)  # "we" and its pair "^ we"
    assert [float(part) for part in few.row(networks.word_grams("what ?"))] == [0, 0]
    rows = [few.row(networks.word_grams(text)) for text in ("we", "what")]
    places, weights = networks.bag_views(rows, 0.5, None)
    assert places.shape == weights.shape == (2, 2) and float(weights[1].abs().sum()) == 0
    random = torch.Generator().manual_seed(0)
    views = torch.stack([networks.bag_views(rows, 0.5, random)[1] for _ in range(200)])
    assert torch.allclose(views.mean(dim=0), weights, atol=0.15) and float(views[:, 0].min()) == 0


def test_numbers_of_voice_and_face_are_what_they_are_called() -> None:
    assert classical.voice_numbers(np.zeros(16_000, dtype=np.float32)).shape == (60,)
    assert classical.mel_bands(40, 512).shape == (40, 257) and (classical.mel_bands(40, 512) >= 0).all()
    stripes = np.tile((np.arange(64) // 4 % 2).astype(np.float32), (64, 1))
    across, down = classical.face_numbers(stripes), classical.face_numbers(stripes.T)
    assert across.shape == (1764,) and np.isfinite(across).all()
    assert across.reshape(-1, 9)[:, 4].max() == 0 < down.reshape(-1, 9)[:, 4].max()

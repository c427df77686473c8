"""`calibrate`: a temperature that makes probabilities tell how often a label is right, kept in the model's folder."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from nanoemox.cli import main as cli
from nanoemox.evaluation.calibrate import calibrate, fit
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.results import Request
from nanoemox.media.clip import empty_clip
from tests.media_files import write_wav

EMOTIONS = ["anger", "fear", "happiness", "sadness"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Twelve seconds of noise whose labels were drawn by lot: nothing can know them."""
    folder, random = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    lines = []
    for i in range(14):
        noise = random.normal(0, 0.1, (1600, 1)).astype(np.float32)
        write_wav(folder / f"{i}.wav", noise, 16_000, 1)
        label = {"label": EMOTIONS[int(random.integers(4))], "candidates": EMOTIONS}
        line = {
            "id": str(i),
            "audio": f"{i}.wav",
            "labels": {"emotion": label},
            "split": "val" if i < 12 else "test",
        }
        lines.append(line | {"text": "well", "source": "noise"})
    path = folder / "noise.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "pico"
    shutil.copytree(str(resources.files("nanoemox") / "weights" / "pico"), copy)
    return copy


def test_the_temperature_of_known_numbers():
    """Labels that are right in three of four cases, said with a certainty of 99.99 %."""
    scores = np.log(np.array([0.9999, 0.0001]))
    found = fit([(scores, 0)] * 30 + [(scores, 1)] * 10)
    likely = np.exp(scores / found.temperature)
    assert likely[0] / likely.sum() == pytest.approx(0.75, abs=1e-3)
    assert found.n == 40 and found.loss < found.loss_before


def test_probabilities_of_what_cannot_be_known_become_flat(manifest, folder, capsys):
    before = EmotionAnalyzer.from_pretrained(folder)
    request = Request(empty_clip(""), "well", None, ["emotion"], {"emotion": EMOTIONS})
    sharp = before.answer_batch([request])[0].tasks["emotion"]
    (folder / "processor_config.json").write_text(
        json.dumps(
            json.loads((folder / "processor_config.json").read_text()) | {"temperatures": {"intent": 2.0}}
        )
    )
    with pytest.raises(SystemExit) as exit_:
        cli.main(["calibrate", str(folder), str(manifest), "--json", "-"])
    assert not exit_.value.code
    told = json.loads(capsys.readouterr().out)["tasks"]["emotion"]
    assert told["n"] == 12 and told["temperature"] > 1 and told["loss"] < told["loss_before"]
    stored = json.loads((folder / "processor_config.json").read_text())["temperatures"]
    assert stored == {"emotion": told["temperature"], "intent": 2.0}
    flat = EmotionAnalyzer.from_pretrained(folder).answer_batch([request])[0].tasks["emotion"]
    assert flat.label == sharp.label and max(flat.probabilities.values()) < max(sharp.probabilities.values())
    again = calibrate(folder, manifest, ["emotion"]).tasks["emotion"]  # the stored one does not count
    assert again.temperature == told["temperature"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"model": "pico"}, "comes with the package and is not changed"),
        ({"split": "test"}, "test clips are for testing"),
        ({"tasks": ["empathy"]}, "empathy: expected some of sentiment, emotion, intent"),
        ({"tasks": ["intent"]}, "expected at least 10 clips of the split val .* found intent 0"),
        ({"split": "train"}, "expected at least 10 clips of the split train"),
    ],
)
def test_what_cannot_be_calibrated_is_told(options, match, manifest, folder):
    arguments = {"model": folder, "manifest": Path(manifest)} | options
    with pytest.raises(NanoEmoXError, match=match) as error:
        calibrate(**arguments)
    assert isinstance(error.value, ArgumentError) or options.get("model")


def test_a_temperature_out_of_bounds_is_refused(folder):
    path = folder / "processor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"temperatures": {"emotion": 0}}))
    with pytest.raises(NanoEmoXError, match=r"temperatures\.emotion"):
        EmotionAnalyzer.from_pretrained(folder)

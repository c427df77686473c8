"""A model exported to OpenVINO answers as the one that it was made of; what it cannot do is told."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nanoemox.checkpoints.export import export
from nanoemox.checkpoints.load import load_model
from nanoemox.checkpoints.openvino_export import _write, export_openvino
from nanoemox.checkpoints.openvino_parts import GraphModel
from nanoemox.files.errors import NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.clip import Clip, clip_of_arrays
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.tasks.task import TASKS
from tests.tiny import tiny_config, tiny_tokenizer

# Not by importing it: it must first be imported as the package does it, without its reports to its makers.
pytestmark = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("nncf") is None,
    reason="needs the extra openvino (190 MB): pip install '.[openvino]'",
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A tiny model in float32, and its export with 32 bits, which answers exactly as it does."""
    place = tmp_path_factory.mktemp("openvino")
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    config = tiny_config(tokenizer)
    NanoEmoXForConditionalGeneration(config).save_pretrained(place / "model")
    NanoEmoXProcessor.from_config(config, tokenizer).save_pretrained(place / "model")
    yield {"model": place / "model", "32": export_openvino(place / "model", place / "32", 32)}
    opened.cache_clear()
    shutil.rmtree(place)


def clip(seed: int, video: bool = True, audio: bool = True) -> Clip:
    random = np.random.default_rng(seed)
    return clip_of_arrays(
        random.integers(0, 256, (3, 32, 40, 3), dtype=np.uint8) if video else None,
        random.normal(0, 0.1, 40_000).astype(np.float32) if audio else None,
    )


@lru_cache(maxsize=3)
def opened(folder: Path) -> EmotionAnalyzer:
    return EmotionAnalyzer.from_pretrained(folder, dtype="float32")


@pytest.mark.parametrize(
    ("video", "audio", "words"),
    [
        (True, True, "I am so happy"),
        (False, True, "why?"),
        (True, False, None),
        (False, False, "I am so sad"),
    ],
)
def test_six_answers_are_those_of_the_model_itself(
    exported: dict[str, Path], video: bool, audio: bool, words: str | None
) -> None:
    asked = {"text": words, "tasks": list(TASKS), "untrained": True, "max_new_tokens": 6}
    media = clip(1, video, audio)
    exact = opened(exported["model"]).analyze(media, **asked)
    found = opened(exported["32"]).analyze(media, **asked)
    for name in TASKS:
        assert found[name].text == exact[name].text, name
        for label, share in exact[name].probabilities.items():
            assert found[name].probabilities[label] == pytest.approx(share, abs=1e-4), (name, label)
    assert found.experts == (pytest.approx(exact.experts, abs=1e-4) if exact.experts else None)
    assert found.modalities == exact.modalities


def test_clips_in_one_batch_and_muted_modalities(exported: dict[str, Path]) -> None:
    """Rows of different lengths are padded, and a row without a modality has no tokens of it."""
    answers = []
    for folder in (exported["model"], exported["32"]):
        analyzer = opened(folder)
        requests = [
            analyzer.request(clip(2), "I am so happy for you, why?", ["emotion", "intent"], untrained=True),
            analyzer.request(clip(3, audio=False), None, ["emotion"], untrained=True),
        ]
        answers.append(analyzer.label_scores(requests))
    for exact, found in zip(*answers, strict=True):
        for name, labels in exact.items():
            assert found[name] == pytest.approx(labels, abs=1e-3)


@pytest.mark.parametrize(
    ("bits", "in_four", "most_bytes", "off"), [(8, False, 1.2, 0.01), (4, True, 0.75, 0.1)]
)
def test_fewer_bits_are_close_and_small(
    tmp_path: Path, bits: int, in_four: bool, most_bytes: float, off: float
) -> None:
    torch.manual_seed(1)
    layers = [
        torch.nn.Linear(128, 256),
        torch.nn.GELU(),
        torch.nn.Linear(256, 256),
        torch.nn.Linear(256, 128),
    ]
    part = torch.nn.Sequential(*layers)
    inputs = (torch.randn(2, 128),), (torch.randn(5, 128),)
    deviation = _write(part, *inputs, tmp_path / "part.xml", bits, in_four)
    assert off / 10 < deviation < off * 2  # one that is exact would not have been compressed
    weights = sum(each.numel() for each in part.parameters())
    assert (tmp_path / "part.bin").stat().st_size < most_bytes * weights


def test_generate_of_transformers_works_on_it(exported: dict[str, Path]) -> None:
    texts = []
    for folder in (exported["model"], exported["32"]):
        analyzer = opened(folder)
        prompt = analyzer.processor.prompt("Why?", modalities={"video", "audio"}, text="I am so happy")
        inputs = analyzer.processor(prompt, videos=clip(5), audio=clip(5))
        texts.append(analyzer.model.generate(**inputs, max_new_tokens=8, do_sample=False).tolist())
    assert texts[0] == texts[1]


def test_what_it_says_about_itself(exported: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "nanoemox")
    analyzer = EmotionAnalyzer.from_pretrained(exported["32"], dtype="bfloat16")
    assert "weights of 32 bits, computed in bfloat16 by OpenVINO" in caplog.text
    assert analyzer.dtype == "openvino 32 bits, computed in bfloat16"
    assert analyzer.fingerprint == opened(exported["32"]).fingerprint != opened(exported["model"]).fingerprint
    # Nothing in a graph tells that its part was never trained, so its listing does.
    assert analyzer.origin_warnings == opened(exported["model"]).origin_warnings != ()
    caplog.clear()
    asked = {"text": "why?", "tasks": ["emotion"], "untrained": True}
    explained = analyzer.analyze(clip(6), **asked, explain=True)
    assert explained.explanation is not None and explained.explanation.face_attention is None
    assert "does not tell at which frames a face is read" in caplog.text


def test_it_computes_with_the_threads_of_torch(exported: dict[str, Path]) -> None:
    model = opened(exported["32"]).model
    assert isinstance(model, GraphModel)
    graph = model.language_model._request.get_compiled_model()  # type: ignore[operator, union-attr]
    assert graph.get_property("INFERENCE_NUM_THREADS") == torch.get_num_threads()
    assert not graph.get_property("ENABLE_CPU_PINNING")


def test_what_an_exported_model_cannot_do_is_told(exported: dict[str, Path], tmp_path: Path) -> None:
    folder = exported["32"]
    for call, told in (
        (lambda: load_model(folder), r"can only answer; take the model that it was made of"),  # training
        (lambda: export(folder, tmp_path / "out"), r"can only answer"),
        (lambda: export_openvino(folder, tmp_path / "out"), r"is exported to OpenVINO already"),
        (lambda: EmotionAnalyzer.from_pretrained(folder, "meta"), r"is exported for CPUs; take cpu"),
        (lambda: EmotionAnalyzer.from_pretrained(folder, dtype="float16"), r"float32 or bfloat16; take one"),
        (
            lambda: export_openvino(exported["model"], tmp_path / "out", 3),
            r"--bits 3: expected 4, 8, 16 or 32",
        ),
    ):
        with pytest.raises(NanoEmoXError, match=told):
            call()
    assert not (tmp_path / "out").exists()
    analyzer = opened(folder)
    ids = torch.tensor([[3, 4, 5]])
    with pytest.raises(NanoEmoXError, match="computes no loss"):
        analyzer.model(input_ids=ids, labels=ids)


def test_features_are_not_taken_from_it(exported: dict[str, Path]) -> None:
    """Their store would say that they are of the exact model."""
    from nanoemox.data.feature_store import origin_of

    analyzer = opened(exported["32"])
    with pytest.raises(NanoEmoXError, match="can only answer"):
        origin_of(analyzer.model, analyzer.processor)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("no listing", r"no openvino\.json that lists them; copy the folder again"),
        ("no file", r"fusion\.bin: is missing, so the model is not whole"),
        ("half file", r"fusion\.bin: expected [\d,]+ bytes, found \d+; copy the folder again"),
        ("other bytes", r"fusion\.bin: is not as it was written, some of its bytes have changed"),
        (
            "newer",
            r"was written by OpenVINO 2999\.1\.0 and OpenVINO 20\d\d.* run pip install 'openvino>=2999\.1'",
        ),
        ("no version", r"openvino\.json: openvino: .*copy the folder again"),
        ("both", r"expected OpenVINO graphs or model\.safetensors, found both"),
        ("other parts", r"files: expected the graphs of config\.json, differs in fusion\.bin"),
        ("other graph", r"fusion\.xml: OpenVINO cannot load it"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused_in_one_line(
    exported: dict[str, Path], tmp_path: Path, harm: str, told: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported["32"], folder)
    listing, graph = folder / "openvino.json", folder / "openvino" / "fusion.bin"
    fields = json.loads(listing.read_text())
    if harm == "no listing":
        listing.unlink()
    elif harm == "no file":
        graph.unlink()
    elif harm == "half file":
        graph.write_bytes(graph.read_bytes()[:100])
    elif harm == "other bytes":
        graph.write_bytes(bytes(graph.stat().st_size))
    elif harm in ("newer", "no version"):
        fields["openvino"] = "2999.1.0-1-x" if harm == "newer" else "new"
        listing.write_text(json.dumps(fields))
    elif harm == "both":
        shutil.copy(exported["model"] / "model.safetensors", folder)
    elif harm == "other parts":
        del fields["files"]["fusion.bin"]
        listing.write_text(json.dumps(fields))
    else:
        text = (folder / "openvino" / "fusion.xml").read_bytes()
        (folder / "openvino" / "fusion.xml").write_bytes(b"<net>" + text[5:])
    with pytest.raises(NanoEmoXError, match=told) as error:
        EmotionAnalyzer.from_pretrained(folder, check=harm != "other graph")
    assert "\n" not in str(error.value)


def test_without_the_extra_it_is_named(exported: dict[str, Path], tmp_path: Path, monkeypatch: Any) -> None:
    def without(name: str, *rest: Any) -> Any:
        return None if name == "openvino" else find_spec(name, *rest)

    monkeypatch.setattr("nanoemox.checkpoints.openvino_folder.find_spec", without)
    for call in (
        lambda: EmotionAnalyzer.from_pretrained(exported["32"]),
        lambda: export_openvino(exported["model"], tmp_path / "out"),
    ):
        with pytest.raises(NanoEmoXError, match=r"found no openvino; run pip install '\.\[openvino\]'"):
            call()


class _FrozenCount(torch.nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows + torch.arange(len(rows))[:, None]  # the trace takes len for a constant


class _FrozenShape(torch.nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.reshape(len(rows), 2, 2).transpose(0, 1).reshape(2, 2 * len(rows))


@pytest.mark.parametrize("part", [_FrozenCount(), _FrozenShape()])
def test_a_part_whose_shape_is_frozen_is_refused(tmp_path: Path, part: torch.nn.Module) -> None:
    with pytest.raises(NanoEmoXError, match=r"part: its graph computes something else \(off by"):
        _write(part, (torch.ones(1, 4),), (torch.ones(3, 4),), tmp_path / "part.xml", 32)


def test_nothing_is_reported_to_anyone(exported: dict[str, Path]) -> None:
    opened(exported["32"])
    assert sys.modules.get("openvino_telemetry") is None

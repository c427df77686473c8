"""Evaluation from manifest to report: resumable, order-independent, honest about broken clips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nanoemox.data.manifest import read_manifest, read_predictions
from nanoemox.evaluation import predict as predictions
from nanoemox.evaluation.evaluate import evaluate
from nanoemox.files.errors import ArgumentError, NanoEmoXError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.untrusted import MediaError
from nanoemox.tasks.task import TASKS
from nanoemox.theatre.script import stage_script
from tests.inference.test_analyzer import make_clip

CLIPS = 6


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short answers, and clips from a random generator in place of files; "broken" ones cannot be read."""
    for name, task in TASKS.items():
        monkeypatch.setitem(TASKS, name, replace(task, max_new_tokens=4))

    def load(record: Any, compat: Any = None) -> Any:
        if Path(record.video).stem == "broken":  # not the folder, which bears the test's name
            raise MediaError(f"{record.video}: it is empty (expected a video); copy it again")
        return make_clip(int(record.id[-2:]))

    monkeypatch.setattr(predictions, "load_record", load)


@pytest.fixture
def analyzer(model: Any, processor: Any) -> EmotionAnalyzer:
    return EmotionAnalyzer(model, processor, "toy")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Six Theatre scripts; the file of the third is broken."""
    lines = []
    for i in range(CLIPS):
        line = stage_script(i, 0, "test").record()
        line |= {"id": f"clip-{i:02d}", "video": "broken.mp4" if i == 2 else f"{i}.mp4"}
        lines.append(json.dumps(line))
        (tmp_path / json.loads(lines[-1])["video"]).touch()
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [prediction.line() for prediction in read_predictions(path)]


def test_report_has_every_figure_with_its_interval(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    typed = evaluate(manifest, analyzer, out, seed=3)
    report = typed.to_dict()
    assert report == json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert {"model", "manifest", "n", "seed", "versions", "commit", "command", "tasks"} <= report.keys()
    assert (report["model"], report["n"], report["seed"]) == ("toy", CLIPS, 3)
    fixed = {
        "emotion": {"accuracy"},
        "sentiment": {"weighted_f1", "weighted_f1_from_open_vocabulary"},
        "open_vocabulary": {"set_f1", "set_precision", "set_recall", "wheel_f1", "wheel_f1_plutchik"},
        "intent": {"accuracy", "weighted_f1", "off_list_rate"},
        "reasoning": {"cue_f1", "cue_f1_face", "cue_f1_voice", "cue_f1_scene", "cue_f1_words"},
        "empathy": {
            "emotion_accuracy",
            "cause_accuracy",
            "cause_accuracy_unmentioned",
            "dist_2",
            "event_accuracy",
            "goal_accuracy",
        },
    }
    for task, names in fixed.items():
        assert names <= report["tasks"][task].keys()
        for figure in report["tasks"][task].values():
            assert figure.keys() == {"value", "low", "high", "n"}
    assert report["tasks"]["emotion"]["accuracy"]["n"] == CLIPS
    assert report["baselines"]["majority"]["emotion"]["accuracy"]["value"] > 0
    assert 0 < report["ceilings"]["all"]["emotion"] <= 1
    assert set(report["versions"]["tasks"]) == set(TASKS)
    for part in ("classes", "confusion", "calibration"):
        assert report[part].keys() == {"sentiment", "emotion", "intent"}
    assert sum(sum(row) for row in report["confusion"]["emotion"]["counts"]) == CLIPS
    assert report["calibration"]["intent"]["ece"]["n"] == CLIPS - 1  # one clip is broken
    assert [row["seconds"] for row in report["slowest"]] == sorted(
        (row["seconds"] for row in report["slowest"]), reverse=True
    )
    assert len(report["slowest"]) == CLIPS and report["splits"] == {"test": CLIPS}
    page = (out / "report.html").read_text(encoding="utf-8")
    for told in ("toy", "Reasons", "wheel F1 plutchik", "<svg", str(report["manifest_sha256"][:16])):
        assert told in page
    for barred in ("<script", "http://", "https://", "url(", "@import"):
        assert barred not in page


def test_a_broken_clip_is_an_error_and_counts_as_wrong(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path
) -> None:
    report = evaluate(manifest, analyzer, tmp_path / "out")
    lines = lines_of(tmp_path / "out" / "predictions.jsonl")
    assert len(lines) == CLIPS * len(TASKS)
    broken = [line for line in lines if line["id"] == "clip-02"]
    assert len(broken) == len(TASKS)
    assert all(set(line) == {"id", "task", "task_version", "text", "error"} for line in broken)
    assert "it is empty" in broken[0]["error"]
    assert (report.errors["clips"], report.errors["ids"]) == (1, ["clip-02"])
    assert "it is empty" in report.errors["why"]["clip-02"]
    assert "it is empty" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert report.by_modalities.keys() == {"audio + text + video", "could not be read"}
    assert report.tasks["intent"]["accuracy"]["n"] == CLIPS


def test_predictions_have_the_form_of_the_manifest_page(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path
) -> None:
    evaluate(manifest, analyzer, tmp_path / "out")
    lines = lines_of(tmp_path / "out" / "predictions.jsonl")
    allowed = {"id", "task", "task_version", "text", "label", "labels", "polarity", "valence", "score"} | {
        "probabilities",
        "thinking",
        "reply",
        "cues",
        "modalities",
        "experts",
        "warnings",
        "error",
    }
    assert all(set(line) <= allowed for line in lines)
    good = next(line for line in lines if line["id"] == "clip-00" and line["task"] == "intent")
    assert len(good["probabilities"]) == 20
    assert good["modalities"] == {"video": "present", "audio": "present", "text": "present"}
    assert len(good["experts"]) == 3


def test_a_stopped_run_goes_on_and_ends_the_same(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(manifest, analyzer, tmp_path / "whole", batch_size=4)
    evaluate(manifest, analyzer, tmp_path / "out", batch_size=4)
    path = tmp_path / "out" / "predictions.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in reversed(lines[:11]) if "error" not in line]
    path.write_text(
        "\n".join([*kept, lines[20][: len(lines[20]) // 2]]), encoding="utf-8"
    )  # stopped in a line
    asked: list[tuple[str, tuple[str, ...]]] = []
    answer_batch = EmotionAnalyzer.answer_batch

    def spy(self: EmotionAnalyzer, requests: Any) -> Any:
        asked.extend((request.text, tuple(request.tasks)) for request in requests)
        return answer_batch(self, requests)

    monkeypatch.setattr(EmotionAnalyzer, "answer_batch", spy)
    resumed = evaluate(manifest, analyzer, tmp_path / "out", batch_size=2)
    for line, other in zip(lines_of(path), lines_of(tmp_path / "whole" / "predictions.jsonl"), strict=True):
        for numbers in ("probabilities", "experts", "score"):  # rounding is the only thing that may differ
            assert line.pop(numbers, None) == pytest.approx(other.pop(numbers, None), abs=2e-6)
        assert line == other
    assert sum(len(tasks) for _, tasks in asked) == (CLIPS - 1) * len(TASKS) - len(kept)
    assert resumed.tasks == whole.tasks
    pairs = [(line["id"], line["task"]) for line in lines_of(path)]
    assert len(pairs) == len(set(pairs)) == CLIPS * len(TASKS)


def test_answers_of_another_model_are_not_mixed_in(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path
) -> None:
    evaluate(manifest, analyzer, tmp_path / "out", tasks=["emotion"])
    analyzer.model.fusion.requires_grad_(False)
    next(analyzer.model.fusion.parameters()).add_(0.5)
    with pytest.raises(ValueError, match=r"weights.*choose a new folder"):
        evaluate(manifest, analyzer, tmp_path / "out", tasks=["emotion"])
    with pytest.raises(ValueError, match="modalities"):
        evaluate(manifest, analyzer, tmp_path / "out", tasks=["emotion"], modalities=["smell"])
    with pytest.raises(ValueError, match="dtype: expected one of float32"):
        evaluate(manifest, analyzer, tmp_path / "out", tasks=["emotion"], dtype="int8")


def test_answers_in_another_type_of_number_are_not_mixed_in(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path
) -> None:
    evaluate(manifest, analyzer, tmp_path / "out", tasks=["emotion"], limit=1)
    note = tmp_path / "out" / "run.json"
    note.write_text(note.read_text().replace("float32", "bfloat16"))
    with pytest.raises(ValueError, match=r"another run are there \(dtype\)"):
        evaluate(manifest, analyzer, tmp_path / "out", tasks=["emotion"], limit=1)


def test_answers_that_may_be_longer_are_not_mixed_in(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path
) -> None:
    out, limits = tmp_path / "out", dict.fromkeys(TASKS, 4)
    evaluate(manifest, analyzer, out, tasks=["reasoning"], limit=1, max_new_tokens=3)
    assert json.loads((out / "run.json").read_text())["max_new_tokens"] == dict.fromkeys(TASKS, 3)
    (cut,) = (w for w in lines_of(out / "predictions.jsonl")[0]["warnings"] if w["code"] == "answer_cut")
    assert cut["text"] == "the answer was cut at 3 tokens"
    with pytest.raises(ArgumentError, match=r"another run are there \(max_new_tokens\)"):
        evaluate(manifest, analyzer, out, tasks=["reasoning"], limit=1)
    evaluate(
        manifest, analyzer, out, tasks=["emotion"], limit=1, max_new_tokens=3
    )  # one more task is no other run
    evaluate(manifest, analyzer, tmp_path / "task", tasks=["emotion"], alone=True, limit=1)
    analyzer.model.generation_config.task_max_new_tokens = {"reasoning": 2}
    with pytest.raises(ArgumentError, match=r"another run are there \(max_new_tokens\)"):
        evaluate(manifest, analyzer, tmp_path / "task", tasks=["emotion"], limit=1)
    evaluate(manifest, analyzer, tmp_path / "own", tasks=["emotion"], alone=True, limit=1)
    for folder in (tmp_path / "own", tmp_path / "own" / "text"):
        note = json.loads((folder / "run.json").read_text())
        assert note["max_new_tokens"] == limits | {"reasoning": 2}


def test_one_modality_at_a_time(analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path) -> None:
    report = evaluate(manifest, analyzer, tmp_path / "out", tasks=["emotion"], alone=True, limit=2)
    assert report.n == 2
    assert {"majority", "text_only", "video_only", "audio_only"} == report.baselines.keys()
    line = lines_of(tmp_path / "out" / "text" / "predictions.jsonl")[0]
    assert line["modalities"] == {
        "video": "left out on request",
        "audio": "left out on request",
        "text": "present",
    }
    only = evaluate(manifest, analyzer, tmp_path / "only", tasks=["emotion"], modalities=["text"], limit=2)
    assert only.tasks == report.baselines["text_only"]


def test_stored_features_stand_for_files(analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path) -> None:
    from_files = evaluate(manifest, analyzer, tmp_path / "files", tasks=["emotion"], limit=2)
    store = {}
    for i in range(2):
        media = {name: value[None] for name, value in analyzer.processor.media(make_clip(i)).items()}
        store[f"clip-{i:02d}"] = {name: value[0] for name, value in analyzer.model.encode(**media).items()}
    from_store = evaluate(manifest, analyzer, tmp_path / "store", tasks=["emotion"], limit=2, features=store)
    assert from_store.tasks == from_files.tasks


def test_a_store_on_disk_is_read_and_quarantined_clips_are_left_out(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path
) -> None:
    from nanoemox.data.extract_features import extract_features
    from nanoemox.data.quarantine import quarantine_path, write_quarantine

    write_quarantine(quarantine_path(manifest), {"clip-02": ["unreadable: it is empty"]})
    write_quarantine(tmp_path / "mine.jsonl", {"clip-05": ["not wanted"]})
    for i in range(CLIPS):  # what is stored is known by the content of its file
        (tmp_path / f"{i}.mp4").write_bytes(bytes([i]))
    records = [record for record in read_manifest(manifest) if record.id != "clip-02"]
    extract_features(
        records,
        analyzer.model,
        analyzer.processor,
        tmp_path / "features",
        batch_size=1,
        media=lambda record: analyzer.processor.media(make_clip(int(record.id[-2:]))),
    )
    arguments = {"tasks": ["emotion"], "quarantine": tmp_path / "mine.jsonl", "split": "test"}
    from_files = evaluate(manifest, analyzer, tmp_path / "files", **arguments)
    stored = evaluate(manifest, analyzer, tmp_path / "stored", features=tmp_path / "features", **arguments)
    assert stored.tasks == from_files.tasks and stored.n == 4 and stored.errors["clips"] == 0
    assert stored.quarantined == {"clip-02": "unreadable: it is empty", "clip-05": "not wanted"}
    assert any("clip-05: not wanted" in line for line in stored.left_out)
    (tmp_path / "0.mp4").write_bytes(b"another clip")
    with pytest.raises(ValueError, match="clip-00 is not the one"):
        evaluate(manifest, analyzer, tmp_path / "stale", features=tmp_path / "features", **arguments)
    with pytest.raises(ValueError, match="no clip is in the split val"):
        evaluate(manifest, analyzer, tmp_path / "none", split="val")


@pytest.mark.parametrize("error", [ArgumentError("too long"), torch.OutOfMemoryError("the GPU is full")])
def test_one_clip_that_cannot_be_answered_does_not_spoil_its_batch(
    analyzer: EmotionAnalyzer,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    answer_batch = EmotionAnalyzer.answer_batch

    def fragile(self: EmotionAnalyzer, requests: Any) -> Any:
        if any(request.source.path == "clip-1.mp4" for request in requests):
            raise error
        return answer_batch(self, requests)

    monkeypatch.setattr(EmotionAnalyzer, "answer_batch", fragile)
    report = evaluate(manifest, analyzer, tmp_path / "out", tasks=["emotion"])
    assert report.errors["ids"] == ["clip-01", "clip-02"]


@pytest.mark.parametrize("place", ["answer_batch", "load_record"])
def test_a_bug_is_not_filed_as_a_clip_that_cannot_be_read(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("operands could not be broadcast together")

    if place == "answer_batch":
        monkeypatch.setattr(EmotionAnalyzer, place, broken)
    else:
        monkeypatch.setattr("nanoemox.evaluation.predict.load_record", broken)
    with pytest.raises(ValueError, match="broadcast") as caught:
        evaluate(manifest, analyzer, tmp_path / "out", tasks=["emotion"])
    assert not isinstance(caught.value, NanoEmoXError)

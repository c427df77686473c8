"""The doctor finds what is wrong with clips, outlives those that kill a decoder, lists what to leave out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from nanoemox.cli import main as cli
from nanoemox.corpora import doctor as doctor_module
from nanoemox.corpora import examine as examine_module
from nanoemox.corpora.doctor import KINDS, DoctorReport, doctor
from nanoemox.corpora.examine import Limits, length_mismatch
from nanoemox.data.manifest import ManifestError, read_manifest
from nanoemox.data.quarantine import quarantine_path, read_quarantine, without_quarantined
from tests.corpora import deadly
from tests.corpora.clips import film
from tests.media_files import make_media


def manifest(folder: Path, *lines: dict[str, Any] | str) -> Path:
    """Lines as given; objects get the id of their first file."""
    path = folder / "manifest.jsonl"
    path.write_text(
        "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8"
    )
    return path


def found(report: DoctorReport) -> dict[str, set[str]]:
    """Id -> kinds."""
    kinds: dict[str, set[str]] = {}
    for finding in report.findings:
        kinds.setdefault(finding.id, set()).add(finding.kind)
    return kinds


def test_every_kind_of_fault_is_found_by_name(tmp_path: Path) -> None:
    film(tmp_path / "good.mp4", text := 2.0)
    film(tmp_path / "long.mp4", 4.0, tone_hz=110)
    film(tmp_path / "sound_only.mp4", picture=None, tone_hz=330)
    film(tmp_path / "mute.mp4", 1.5, tone_hz=None)
    film(tmp_path / "black.mp4", picture="black", tone_hz=440)
    film(tmp_path / "silent.mp4", 2.5, tone_hz=0.0)
    film(tmp_path / "blank.mp4", picture="black", tone_hz=0.0)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a film")
    (tmp_path / "no_frames").mkdir()
    assert text == 2.0
    report = doctor(
        manifest(
            tmp_path,
            {"id": "good", "video": "good.mp4", "text": "well then"},
            {"id": "words", "text": "nothing but words"},
            *(
                {"id": n, "video": f"{n}.mp4"}
                for n in ("long", "sound_only", "mute", "black", "silent", "blank", "empty")
            ),
            {"id": "text", "video": "text.mp4"},
            {"id": "gone", "video": "gone.mp4"},
            {"id": "no_frames", "frames_dir": "no_frames"},
            {"id": "known", "video": "mute.mp4", "end_s": 0.5, "extra": {"known_fault": "said to be faulty"}},
            {"id": "hurried", "video": "good.mp4", "end_s": 1.0, "text": "word " * 30},
        ),
        workers=0,
        limits=Limits(longest_s=3.0),
        progress=False,
    )
    assert found(report) == {
        "long": {"too_long"},
        "sound_only": {"no_video"},
        "mute": {"no_audio"},
        "black": {"black"},
        "silent": {"silent"},
        "blank": {"black", "silent", "blank"},
        "empty": {"empty"},
        "text": {"unreadable"},
        "gone": {"missing"},
        "no_frames": {"empty"},
        "known": {"known_fault", "no_audio"},
        "hurried": {"length_mismatch"},
    }
    assert not report.ok and report.checked == 14
    listed = {"long", "sound_only", "blank", "empty", "text", "gone", "no_frames", "known"}
    assert set(report.quarantined) == listed == set(read_quarantine(quarantine_path(report.manifest)))
    kept, left_out = without_quarantined(read_manifest(report.manifest), report.manifest)
    assert len(kept) == 6 and left_out["gone"].startswith("missing: video")
    assert "gone: missing" in report.summary() and json.dumps(report.to_dict())


def test_a_bug_of_ours_is_not_filed_as_a_fault_of_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("operands could not be broadcast together")

    film(tmp_path / "good.mp4")
    path = manifest(tmp_path, {"id": "good", "video": "good.mp4"})
    monkeypatch.setattr("nanoemox.corpora.examine._contents", broken)
    report = doctor(path, workers=0, progress=False)
    assert found(report) == {"good": {"bug"}} and not report.quarantined and not report.ok
    detail = report.findings[0].detail
    assert detail.startswith("ValueError: operands could not be broadcast together at test_doctor.py:")
    assert detail.endswith("; please report it")


def test_a_file_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    whole = make_media(tmp_path / "whole.mp4", 2.6, options={"movflags": "faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: int(0.6 * len(whole))])
    lines = ({"id": name, "video": f"{name}.mp4"} for name in ("whole", "cut"))
    report = doctor(manifest(tmp_path, *lines), workers=0, progress=False)
    assert found(report) == {"cut": {"damaged"}}


def test_equal_clips_leak_from_train_into_test(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    film(tmp_path / "c.mp4", 1.2)
    lines = [
        {"id": "first", "video": "a.mp4", "split": "train"},
        {"id": "again", "video": "b.mp4", "split": "train"},
        {"id": "tested", "video": "b.mp4", "split": "test"},
        {"id": "other", "video": "c.mp4", "split": "train"},
        {"id": "silence", "audio": "none.wav", "text": "x"},
    ]
    report = doctor(manifest(tmp_path, *lines), workers=0, progress=False)
    assert found(report) == {"first": {"leak"}, "again": {"leak"}, "silence": {"missing"}}
    assert "the same as tested, which is test" in report.quarantined["first"][0]
    lines[2]["split"] = "train"
    report = doctor(manifest(tmp_path, *lines[:4]), workers=0, progress=False)
    assert found(report) == {"again": {"duplicate"}, "tested": {"duplicate"}} and report.ok


def test_lines_that_are_wrong_are_told_by_number_and_the_rest_is_checked(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4")
    path = manifest(
        tmp_path,
        "{ not json",
        {"id": "typo", "vido": "a.mp4"},
        {"id": "a", "video": "a.mp4"},
        "",
        {"id": "a", "video": "a.mp4"},
        {"id": "outside", "video": "../a.mp4"},
    )
    report = doctor(path, workers=0, progress=False)
    assert [(f.line, f.id, f.kind) for f in report.findings] == [
        (1, "", "malformed"),
        (2, "typo", "malformed"),
        (5, "a", "duplicate_id"),
        (6, "outside", "outside"),
    ]
    assert report.checked == 1 and report.lines == 5 and set(report.quarantined) == {"outside"}
    with pytest.raises(ManifestError, match="cannot be read"):
        doctor(tmp_path / "none.jsonl", progress=False)


def test_a_clip_that_kills_the_decoder_costs_that_clip_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "examine", deadly.examine)
    film(tmp_path / "a.mp4")
    lines: list[dict[str, Any]] = [{"id": f"c{i}", "video": "a.mp4", "start_s": 0.05 * i} for i in range(3)]
    lines.insert(1, {"id": "deadly", "video": "a.mp4"})
    report = doctor(manifest(tmp_path, *lines), workers=1, progress=False)
    assert report.checked == 4 and found(report)["deadly"] == {"crashed"}
    assert set(report.quarantined) == {"deadly"}


def test_a_clip_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading sleeps here: a stop inside a decoder's own code may end the process, which is another matter."""
    film(tmp_path / "a.mp4", 3.0)
    monkeypatch.setattr(examine_module, "load_clip", lambda *_, **__: time.sleep(60))
    report = doctor(
        manifest(tmp_path, {"id": "a", "video": "a.mp4"}),
        workers=0,
        limits=Limits(timeout_s=0.2),
        progress=False,
    )
    assert found(report) == {"a": {"timeout"}}


def test_words_and_length() -> None:
    assert not list(length_mismatch("hello there", 1.0))
    assert not list(length_mismatch("你好世界", 1.0))
    assert "too many" in next(length_mismatch("word " * 40, 2.0))
    assert "too many" in next(length_mismatch("字" * 60, 2.0))
    assert "too few" in next(length_mismatch("hello there", 280.0))


def test_a_quarantine_list_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.quarantine.jsonl"
    assert read_quarantine(path) == {}
    path.write_text('{"id": "a", "why": ["x"]}\n\n{"id": 3}\n')
    with pytest.raises(ManifestError, match="line 3"):
        read_quarantine(path)
    assert set(KINDS) >= {
        "missing",
        "empty",
        "too_long",
        "no_video",
        "no_audio",
        "silent",
        "black",
        "duplicate",
    }


def test_the_command_takes_the_limits_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "a.mp4", 2.0)
    path = manifest(tmp_path, {"id": "a", "video": "a.mp4"})
    listed, json_file = tmp_path / "list.jsonl", tmp_path / "report.json"

    def run(*options: str) -> object:
        with pytest.raises(SystemExit) as ended:
            cli.main(["corpora", "doctor", str(path), "--workers", "0", *options])
        return ended.value.code

    assert run() == 0 and not read_quarantine(quarantine_path(path))
    options = ["--longest", "1.5", "--black", "255", "--silent", "0.9", "--quarantine", str(listed)]
    assert run(*options, "--json", str(json_file)) == 1
    counts = json.loads(json_file.read_text("utf-8"))["counts"]
    assert counts == {"too_long": 1, "blank": 1, "black": 1, "silent": 1}
    assert set(read_quarantine(listed)) == {"a"} and "quarantined" in capsys.readouterr().out
    assert run("--timeout", "0.001") == 1

"""What phase 0 shows to the three small encoders: which frame or window, with which targets, how often."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nanoemox.data.schema import Record
from nanoemox.theatre import script as scripts
from nanoemox.theatre import world
from nanoemox.theatre.stills import stage_still
from nanoemox.training.phase0 import views
from nanoemox.training.phase0.views import (
    FACE_CUES,
    VOICE_CUES,
    FaceViews,
    SceneViews,
    VoiceViews,
    audio_clusters,
    frame_tracks,
    stack,
    strength_of,
)

RATE = 16_000
FRAMES, SIDE = 8, 4
_BLANK = SimpleNamespace(image_mean=[0.0] * 3, image_std=[1.0] * 3, rescale_factor=1.0)


def _records(number: int = 12) -> list[Record]:
    lines = [scripts.stage_script(i, 1, "train").record() for i in range(number)]
    return [Record(**{**line, "video": f"/{line['id']}.mp4"}) for line in lines]


class _Clips:
    """Frames whose every pixel names the clip and the frame; audio of three windows of noise, each louder."""

    def __init__(self, records: list[Record], windows: int = 3, length: int = 32_000) -> None:
        self.row = {record.id: row for row, record in enumerate(records)}
        self.frames = np.zeros((len(records), FRAMES, SIDE, SIDE, 3), np.uint8)
        for row in range(len(records)):
            self.frames[row] = (10 * row + np.arange(FRAMES))[:, None, None, None]
        noise = np.random.default_rng(0).normal(size=(len(records), windows, length))
        self.sound = (noise * 1000 * np.arange(1, windows + 1)[:, None]).astype(np.int16)

    def has(self, name: str, need: str) -> bool:
        return name in self.row


# ---------------------------------------------------------------- what audio is told by


def _tone(hz: float, seconds: float = 2.0, size: float = 1.0) -> Tensor:
    times = torch.arange(int(seconds * RATE)) / RATE
    return size * sum(torch.sin(2 * math.pi * hz * k * times) / k for k in range(1, 4))


@pytest.mark.parametrize("hz", [70.0, 100.0, 150.0, 220.0, 300.0, 390.0])
def test_pitch_is_told_in_octaves_about_150_hz(hz: float) -> None:
    tracks, _ = frame_tracks(_tone(hz)[None])
    assert tracks.shape == (1, 99, 3)
    inside = tracks[0, 2:-2]
    assert torch.allclose(inside[:, 2], torch.tensor(math.log2(hz / 150)), atol=0.05)
    assert (inside[:, 1] > 0.65).all() and (tracks[..., 1] <= 1).all()


def test_loudness_is_told_against_the_mean_in_units_of_4_and_within_2() -> None:
    """Loudness is the logarithm of all bands' power, so an amplitude 10 times smaller is lower by 2 log 10."""
    audio = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(1))
    quiet = torch.cat([audio, audio * 0.1])
    tracks, bands = frame_tracks(quiet)
    power = bands.exp().sum(dim=-1).log()
    assert torch.allclose(tracks[..., 0], ((power - power.mean()) / 4).clamp(-2, 2), atol=1e-5)
    difference = (tracks[0, :, 0] - tracks[1, :, 0]).mean()
    assert float(difference) == pytest.approx(2 * math.log(10) / 4, abs=0.01)
    silent = torch.cat([torch.zeros(30, 32_000), 1000 * audio])
    assert float(frame_tracks(silent)[0][..., 0].max()) == 2
    assert (
        float(
            frame_tracks(torch.cat([torch.zeros(1, 32_000), (1000 * audio).repeat(30, 1)]))[0][..., 0].min()
        )
        == -2
    )


def test_noise_has_no_pitch_and_silence_is_silent() -> None:
    noise = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(2))
    tracks, _ = frame_tracks(noise)
    assert (tracks[..., 1] < 0.8).all()
    assert ((tracks[..., 2] == 0) == (tracks[..., 1] <= 0.5)).all()
    silent, bands = frame_tracks(torch.zeros(1, 32_000))
    assert torch.allclose(silent, torch.zeros(()), atol=1e-5) and torch.allclose(
        bands, torch.tensor(math.log(1e-4))
    )


def test_voicing_is_the_highest_autocorrelation_with_a_handicap_for_long_periods() -> None:
    """By the formula, for each frame: sums over products, made up for the shorter overlap, 0.3 off at 65 Hz."""
    audio = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(3)) + 0.7 * _tone(180.0)[None]
    tracks, _ = frame_tracks(audio)
    for at in (0, 40, 98):
        frame = audio[0, 320 * at : 320 * at + 640].double()
        frame = frame - frame.mean()
        scores = []
        for lag in range(40, 246):
            share = max(640 - lag, 160) / 640
            scores.append(float((frame[: 640 - lag] * frame[lag:]).sum()) / share * (1 - 0.3 * lag / 246))
        best = max(scores)
        lag = 40 + scores.index(best)
        voicing = min(1.0, max(0.0, best / float((frame**2).sum())))
        assert float(tracks[0, at, 1]) == pytest.approx(voicing, abs=1e-3)
        pitch = math.log2(16_000 / lag / 150) if voicing > 0.5 else 0.0
        assert float(tracks[0, at, 2]) == pytest.approx(pitch, abs=1e-4)


def test_clusters_are_those_of_the_log_bands_of_one_window_of_each_clip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    class _Means:
        def __init__(self, number: int, **options: Any) -> None:
            given.update(number=number, **options)

        def fit(self, rows: Any) -> Any:
            given["rows"] = rows
            self.cluster_centers_ = np.arange(given["number"] * 20, dtype=np.float64).reshape(-1, 20)
            return self

    monkeypatch.setattr("sklearn.cluster.MiniBatchKMeans", _Means)
    records = _records(5)
    clips: Any = _Clips(records[:4])  # the last has no audio
    centres = audio_clusters(records, clips, 9)
    assert centres.dtype == torch.float32 and centres.shape == (64, 20)
    assert given["number"] == 64 and given["random_state"] == 9 and given["rows"].shape == (4 * 99, 20)
    # Each of the windows of each clip, standardised over the whole clip, with 1 for the loudest sample.
    possible = []
    for row in range(4):
        audio = torch.from_numpy(clips.sound[row].astype(np.float32) / 32767)
        standard = (audio - audio.mean()) / audio.std()
        possible.append([frame_tracks(window[None])[1][0].numpy() for window in standard])
    found = given["rows"].reshape(4, 99, 20)
    chosen = [
        (row, at)
        for part in found
        for row in range(4)
        for at in range(3)
        if np.allclose(part, possible[row][at], atol=1e-3)
    ]
    assert sorted(row for row, _ in chosen) == [0, 1, 2, 3] and len({at for _, at in chosen}) > 1
    audio_clusters(records, _Clips(records[:1], length=1600), 9)  # type: ignore[arg-type]
    assert given["number"] == len(given["rows"]) // 4 == 1


def test_clusters_are_drawn_from_400_clips_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    record = _records(1)[0]
    records = [record.model_copy(update={"id": f"{i}"}) for i in range(403)]
    clips: Any = _Clips(records, windows=1, length=16)
    monkeypatch.setattr(views, "frame_tracks", lambda audio: (audio, audio[:, :8].reshape(1, 4, 2)))
    rows: list[int] = []

    class _Means:
        def __init__(self, number: int, **options: Any) -> None:
            self.cluster_centers_ = np.zeros((number, 2))

        def fit(self, found: Any) -> Any:
            rows.append(len(found))
            return self

    monkeypatch.setattr("sklearn.cluster.MiniBatchKMeans", _Means)
    audio_clusters(records, clips, 1)
    assert rows == [400 * 4]


# ---------------------------------------------------------------- faces


def test_a_face_is_a_frame_of_the_last_three_quarters_with_its_units_standardised() -> None:
    records = _records()
    clips: Any = _Clips(records)
    units = np.random.default_rng(1).normal(3.0, 2.0, (12, FRAMES, 5)).astype(np.float32)
    units[..., 4] = 1.0  # a unit that nobody shows
    processor: Any = SimpleNamespace(face_image_processor=_BLANK)
    faces = FaceViews(records, clips, units, processor, 600, 1)
    rows = units.reshape(-1, 5)
    shown, frames = set(), set()
    for index in range(600):
        item = faces[index]
        value = int(item["pixels"][0, 0, 0, 0])
        row, at = (value - value % 10) // 10, value % 10
        shown.add(row)
        frames.add(at)
        expected = (units[row, at] - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-3)
        assert item["pixels"].shape == (1, 3, SIDE, SIDE) and item["units"].shape == (1, 5)
        assert np.allclose(item["units"][0], expected, atol=1e-4)
        factors: Any = records[row].factors
        assert list(world.FACE_CUES)[int(item["group"])] == factors["face"]
        cues = records[row].labels.reasoning.cues.face  # type: ignore[union-attr]
        assert [name for name, there in zip(FACE_CUES, item["cues"], strict=True) if there] == [
            name for name in FACE_CUES if name in cues
        ]
        strength = {"strong": 1.0, "mild": 0.0}[factors["strength"]]
        known = factors["face"] not in ("still", "hidden")
        assert (float(item["strength"]) == strength) if known else math.isnan(item["strength"])
    assert shown == set(range(12)) and frames == set(range(FRAMES // 4, FRAMES))


def test_strength_is_unknown_where_nothing_shows() -> None:
    def of(**factors: str) -> float:
        return float(strength_of(SimpleNamespace(factors=factors), "voice", ("drowned",)))  # type: ignore[arg-type]

    assert of(voice="flat", strength="strong") == 1 and of(voice="flat", strength="mild") == 0
    assert math.isnan(of(voice="drowned", strength="strong"))


# ---------------------------------------------------------------- scenes


class _Words:
    def __call__(self, captions: list[str], **options: Any) -> dict[str, Tensor]:
        assert options == {"padding": True, "padding_side": "right", "return_tensors": "pt"}
        self.captions = captions
        return {"input_ids": torch.ones(len(captions), 2), "attention_mask": torch.ones(len(captions), 2)}


def test_scenes_are_stills_and_frames_by_turns() -> None:
    records = _records()
    clips: Any = _Clips(records)
    pictures = np.stack([np.full((SIDE, SIDE, 3), 200 + i, np.uint8) for i in range(5)])
    processor: Any = SimpleNamespace(image_processor=_BLANK, tokenizer=_Words(), end_of_turn="<end>")
    scenes = SceneViews(records, clips, pictures, 7, processor, 1600, 1)
    frames, named_faces, first = set(), 0, set()
    for index in range(1600):
        pixels, caption, meaning, named = scenes[index]
        value = int(pixels[0, 0, 0])
        assert pixels.shape == (3, SIDE, SIDE)
        if index % 2 == 0:
            still = index // 2 % 5
            assert value == 200 + still and meaning == (*stage_still(still, 7), "")
            told = set()
        else:
            row, at = (value - value % 10) // 10, value % 10
            frames.add((row, at))
            factors: Any = records[row].factors
            assert meaning[:3] == (factors["place"], factors["prop"], factors["light"])
            assert meaning[3] in ("", factors["face"])
            named_faces += bool(meaning[3])
            told = set(records[row].labels.reasoning.cues.face) if meaning[3] else set()  # type: ignore[union-attr]
        place, prop, light, _ = meaning
        parts = caption.split(", ")
        first.add(parts[0].split()[0])
        assert set(parts) == {f"a {prop}", f"in the {place}", f"{light} light", *told}
        assert len(parts) == 3 + len(told)
        assert [names[i] for names, i in zip(SceneViews.CLASSES, named.tolist(), strict=True)] == [
            place, prop, light,
        ]  # fmt: skip
    assert frames == {(row, at) for row in range(12) for at in range(FRAMES)}
    assert named_faces / 800 == pytest.approx(0.4, abs=0.04)
    assert {"a", "in", "bright", "dim"} < first
    alone = SceneViews(records, clips, pictures[:0], 7, processor, 12, 1)
    assert {int(alone[i][0][0, 0, 0]) // 10 for i in range(12)} == set(range(12))

    batch = scenes.collate([scenes[i] for i in (0, 1, 10)])
    assert processor.tokenizer.captions == [scenes[i][1] + "<end>" for i in (0, 1, 10)]
    assert batch["same"].dtype == torch.float32 and batch["same"].diag().tolist() == [1, 1, 1]
    assert batch["same"][0, 2] == batch["same"][2, 0] == 1  # the same still five turns later
    assert batch["pixels"].shape == (3, 3, SIDE, SIDE) and batch["classes"].shape == (3, 3)
    assert set(batch) == {"pixels", "input_ids", "attention_mask", "classes", "same"}


# ---------------------------------------------------------------- voices


def test_a_voice_is_its_first_its_last_and_another_window_of_which_spans_are_masked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = _records()
    clips: Any = _Clips(records, windows=4, length=32_000)
    centres = torch.randn(6, 20, generator=torch.Generator().manual_seed(1))
    voices = VoiceViews(records, clips, centres, 200, 1)
    item = voices[0]
    tracks, bands = frame_tracks(item["input_values"])
    assert torch.allclose(item["tracks"], tracks) and item["tracks"].shape == (3, 99, 3)
    distances = ((bands[-1][:, None] - centres) ** 2).sum(dim=-1)
    assert item["clusters"].tolist() == distances.argmin(dim=1).tolist()

    kept = frame_tracks(item["input_values"])
    monkeypatch.setattr(views, "frame_tracks", lambda audio: kept)
    others, share, spans = set(), [], []
    for index in range(200):
        record, _ = voices.record(index)
        audio = torch.from_numpy(clips.sound[clips.row[record.id]].astype(np.float32) / 32767)
        item = voices[index]
        standard = (audio - audio.mean()) / audio.std()
        assert torch.allclose(item["input_values"][0], standard[0], atol=1e-4)
        assert torch.allclose(item["input_values"][1], standard[3], atol=1e-4)
        others |= {at for at in range(4) if torch.allclose(item["input_values"][2], standard[at], atol=1e-4)}
        masked = item["masked"].tolist()
        assert len(masked) == 99 and any(masked)
        share.append(sum(masked) / 99)
        text = "".join("x" if step else " " for step in masked)
        spans += [len(span) for span in text.rstrip("x").split()]
        factors: Any = record.factors
        assert list(world.VOICE_CUES)[int(item["style"])] == factors["voice"]
        cues = record.labels.reasoning.cues.voice  # type: ignore[union-attr]
        assert {name for name, there in zip(VOICE_CUES, item["cues"], strict=True) if there} == set(cues)
        assert math.isnan(item["strength"]) == (factors["voice"] == "drowned")
    assert others == {0, 1, 2, 3} and min(spans) == 10
    # A step is masked unless no span begins at it or at one of the nine before it.
    expected = sum(1 - 0.92 ** min(10, step + 1) for step in range(99)) / 99
    assert sum(share) / 200 == pytest.approx(expected, abs=0.02)


def test_something_is_always_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MASK_SHARE", 0.0)
    records = _records(2)
    voices = VoiceViews(records, _Clips(records), torch.zeros(2, 20), 2, 1)  # type: ignore[arg-type]
    assert voices[0]["masked"].tolist() == [True] * 10 + [False] * 89


def test_silence_stays_finite() -> None:
    records = _records(1)
    clips: Any = _Clips(records)
    clips.sound[:] = 0
    assert (VoiceViews(records, clips, torch.zeros(2, 20), 1, 1)[0]["input_values"] == 0).all()


# ---------------------------------------------------------------- what is computed once


class _Pool:
    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def map(self, work: Any, jobs: Any, chunksize: int = 1) -> Any:
        return map(work, jobs)


def test_units_are_those_of_the_pose_at_the_time_of_the_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nanoemox.theatre import actor, render

    workers: list[int] = []
    monkeypatch.setattr(views, "started_pool", lambda number: workers.append(number) or _Pool())
    records = _records(3)[1:]
    times = np.asarray([[0.0, 0.5, 1e6], [1.0, 0.02, 2.0]], np.float32)
    clips: Any = SimpleNamespace(row={records[0].id: 1, records[1].id: 0}, times_s=times)
    found = views.action_units(records, clips, tmp_path / "t", 0)
    assert workers == [1] and found.shape == (2, 3, len(actor.AU_NAMES) + 4)
    for number, (index, row) in enumerate(((1, 1), (2, 0))):
        script = scripts.stage_script(index, 1, "train")
        poses = render.poses(script, render.plan(script))
        for column, time_s in enumerate(times[row]):
            pose = poses[min(len(poses) - 1, round(float(time_s) * render.FRAME_RATE_HZ))]
            expected = [getattr(pose, name) for name in actor.AU_NAMES]
            expected += [abs(getattr(pose, name)) for name in ("yaw", "pitch", "hand", "speech")]
            assert np.allclose(found[number, column], expected, atol=1e-5)
    again = views.action_units([], clips, tmp_path / "t", 3)
    assert np.array_equal(again, found) and workers == [1]
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["units.npy"]


def test_stills_are_drawn_once_and_shrunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers: list[int] = []
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(views, "started_pool", lambda number: workers.append(number) or _Pool())

    def drawn(index: int, seed: int, size: int) -> Any:
        asked.append((index, seed, size))
        return np.stack([np.full((size, size), 10 * channel + index) for channel in range(3)], -1).astype(
            np.uint8
        )

    monkeypatch.setattr(views, "draw_still", drawn)
    before = torch.get_num_threads()
    found = views.stills(3, 5, 6, tmp_path / "t", 0)
    torch.set_num_threads(before)
    assert found.shape == (3, 6, 6, 3) and found.dtype == np.uint8 and workers == [1]
    assert [row.tolist() for row in found[:, 2, 3]] == [[i, 10 + i, 20 + i] for i in range(3)]
    assert asked == [(i, 5, views.FRAME_SIZE_PX) for i in range(3)]
    views.stills(3, 5, 6, tmp_path / "t", 4)
    assert len(asked) == 3


def test_batches_stack_each_name() -> None:
    found = stack(
        [{"a": torch.tensor(1), "b": torch.tensor([2.0])}, {"a": torch.tensor(3), "b": torch.tensor([4.0])}]
    )
    assert found["a"].tolist() == [1, 3] and found["b"].tolist() == [[2], [4]]

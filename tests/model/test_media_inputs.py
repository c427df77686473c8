"""Media in every form that users of transformers hold become one clip, and what is none is refused."""

from __future__ import annotations

import http.server
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nanoemox.media.clip import audio_window_starts, clip_of_arrays, frame_indices
from nanoemox.media.load import load_clip
from nanoemox.model import media_inputs
from nanoemox.model.media_inputs import (
    clip_of,
    flat_list,
    frames_of,
    is_audio,
    is_video,
    mono_of,
    opened,
    paired,
    read_clip,
)
from tests.media_files import make_media, numbers

DEMO = Path(__file__).parents[2] / "demo"
FRAMES = np.random.default_rng(0).integers(0, 255, (20, 6, 8, 3), dtype=np.uint8)
IMAGES = [Image.fromarray(frame) for frame in FRAMES]
TRACK = np.random.default_rng(0).normal(0, 0.1, 50_000).astype(np.float32)


@pytest.mark.parametrize(
    "video",
    [
        FRAMES,
        np.moveaxis(FRAMES, -1, 1),
        torch.from_numpy(FRAMES),
        list(FRAMES),
        IMAGES,
        [image.convert("RGBA") for image in IMAGES],
    ],
)
def test_every_form_of_a_video_has_the_same_frames(video: Any) -> None:
    assert is_video(video)
    assert np.array_equal(frames_of(video), FRAMES)
    chosen = clip_of(video, None, None).frames
    assert chosen is not None and np.array_equal(chosen, FRAMES[frame_indices(20)])


def test_a_single_image_is_a_video_of_one_frame() -> None:
    for image in (FRAMES[0], IMAGES[0], np.moveaxis(FRAMES[0], -1, 0)):
        assert is_video(image) and np.array_equal(frames_of(image), FRAMES[:1])


@pytest.mark.parametrize(
    "audio",
    [
        TRACK,
        torch.from_numpy(TRACK),
        TRACK.astype(np.float64),
        TRACK.tolist(),
        np.stack([TRACK, TRACK]),
        np.stack([TRACK, TRACK], axis=1),
        np.stack([0 * TRACK, 2 * TRACK]),
    ],
)
def test_every_form_of_an_audio_track_has_the_same_samples(audio: Any) -> None:
    assert is_audio(audio)
    np.testing.assert_allclose(mono_of(audio), TRACK, atol=1e-7)


def test_half_precision_is_audio_too() -> None:
    np.testing.assert_allclose(mono_of(torch.from_numpy(TRACK).bfloat16()), TRACK, atol=2e-3)


@pytest.mark.parametrize("compat", [None, "official"])
def test_audio_is_cut_into_windows_by_the_rule_for_files(compat: Any) -> None:
    windows = clip_of(None, TRACK, compat).audio_windows
    assert windows is not None and windows.shape == (8, 32_000)
    for window, start in zip(windows, audio_window_starts(len(TRACK), compat=compat), strict=True):
        assert np.array_equal(window, TRACK[start : start + 32_000])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: frames_of(FRAMES.astype(np.float32)), r"expected uint8 .* got float32 \[20, 6, 8, 3\]"),
        (lambda: frames_of(FRAMES[..., :2]), r"got uint8 \[20, 6, 8, 2\]"),
        (lambda: frames_of(FRAMES[:0]), r"got uint8 \[0, 6, 8, 3\]"),
        (
            lambda: frames_of([FRAMES[0], FRAMES[0][:4]]),
            r"frames of one size, got \[6, 8, 3\] and \[4, 8, 3\]",
        ),
        (lambda: mono_of((TRACK * 100).astype(np.int16)), r"expected floats .* got int16 \[50000\]"),
        (lambda: mono_of(TRACK[:0]), r"got float32 \[0\]"),
        (
            lambda: mono_of(np.zeros((20, 300))),
            r"at most 8 channels, got \[20, 300\]; give several tracks as a list",
        ),
        (lambda: mono_of(np.full(9, np.nan)), "NaN"),
        (lambda: flat_list("videos", [FRAMES, 5], is_video), "videos: expected an array.* got int"),
        (lambda: flat_list("videos", FRAMES[0, 0], is_video), r"videos: .* got uint8 \[8, 3\]"),
        (
            lambda: paired("videos", [1], [True, True], "<v>"),
            "videos: expected 2, one for each text with <v>, got 1",
        ),
        (
            lambda: paired("videos", [1, 2], [True, False], "<v>"),
            "videos: text 1 has no <v>, but one was given",
        ),
        (lambda: opened("ftp://host/a.mp4", None, allow_urls=True), "begins with http"),
        (lambda: opened("https://host/a.mp4", None), "a url is not opened.*allow_urls=True"),
    ],
)
def test_what_is_no_such_medium_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_media_of_a_batch_may_be_nested_and_missing() -> None:
    assert [len(x) for x in flat_list("videos", [[FRAMES], [], [IMAGES]], is_video)] == [20, 20]
    assert len(flat_list("videos", np.stack([FRAMES, FRAMES]), is_video)) == 2
    assert flat_list("audio", [None, [0.1, 0.2]], is_audio) == [None, [0.1, 0.2]]
    assert paired("audio", ["a"], [False, True], "<a>") == [None, "a"]
    assert paired("audio", [None, "a"], [False, True], "<a>") == [None, "a"]


def test_a_url_is_downloaded_only_where_that_is_allowed() -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(DEMO)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        clip = opened(f"http://127.0.0.1:{server.server_port}/sample.mp4?x=1", None, allow_urls=True)
    finally:
        server.shutdown()
        server.server_close()
    expected = load_clip(DEMO / "sample.mp4")
    assert np.array_equal(clip.frames, expected.frames)
    assert np.array_equal(clip.audio_windows, expected.audio_windows)


def test_without_nanoemox_a_file_has_the_same_frames_and_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_clip(DEMO / "sample.mp4", None)
    assert expected.frame_times_s  # nanoemox's own reader tells them

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(media_inputs, "import_module", absent)
    clip = read_clip(DEMO / "sample.mp4", None)
    assert clip.frames is not None and expected.frames is not None
    assert clip.frames.shape == expected.frames.shape
    assert np.abs(clip.frames.astype(int) - expected.frames).max() <= 4  # another conversion of colours
    assert clip.audio_windows is not None and expected.audio_windows is not None
    np.testing.assert_allclose(clip.audio_windows, expected.audio_windows, atol=1e-3)


@pytest.mark.parametrize(("video", "audio"), [("libx264", None), (None, "aac")])
def test_without_nanoemox_what_a_file_lacks_stays_absent(
    video: str | None, audio: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_media(tmp_path / "part.mkv", 2.0, video=video, audio=audio)
    monkeypatch.setitem(sys.modules, "nanoemox.media.load", None)
    clip = read_clip(path, None)
    assert (clip.frames is None) == (video is None) and (clip.audio_windows is None) == (audio is None)
    if clip.frames is not None:
        assert numbers(clip.frames) == frame_indices(50)


def test_without_nanoemox_and_pyav_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoemox.media.load", None)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        ImportError, match=r"sample.mp4: .* pip install av; or give frames and audio as arrays"
    ):
        read_clip(DEMO / "sample.mp4", None)


def test_a_copy_of_the_class_is_a_clip_too() -> None:
    other = SimpleNamespace(**vars(clip_of_arrays(FRAMES, TRACK)))
    clip = clip_of(other, other, None)
    assert np.array_equal(clip.frames, FRAMES[frame_indices(20)])  # type: ignore[arg-type]
    assert clip.audio_windows is other.audio_windows

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from nanoemox.files.errors import ArgumentError
from nanoemox.media import audio as audio_module
from nanoemox.media import container as container_module
from nanoemox.media import untrusted as untrusted_module
from nanoemox.media import video as frames_module
from nanoemox.media.clip import audio_window_starts, empty_clip, frame_indices
from nanoemox.media.load import load_clip, load_frames_dir
from nanoemox.media.resample import resample
from nanoemox.media.untrusted import MediaError
from tests.media_files import make_media, numbered_frame, numbers, tone, write_png, write_wav

REFERENCE = Path(os.environ.get("NANOEMOX_REFERENCE", Path(__file__).parents[2].parent / "shared" / "golden"))


def reference(name: str) -> Any:
    path = REFERENCE / name
    if not path.is_file():
        pytest.skip(f"no reference folder at {REFERENCE}; set NANOEMOX_REFERENCE")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one ordinary clip, a quiet longer one, and their parts."""
    folder = tmp_path_factory.mktemp("media")
    make_media(folder / "clip.mp4", 2.6)
    make_media(folder / "mute.mp4", 0.2, audio=None)
    make_media(folder / "sound.wav", 3.0, video=None, audio="pcm_s16le")
    make_media(folder / "index_first.mp4", 2.6, options={"movflags": "faststart"})
    Image.fromarray(numbered_frame(5)).save(folder / "picture.png")
    return folder


# ---------------------------------------------------------------- which frames, which windows


def test_frame_indices_meet_the_reference() -> None:
    for case in reference("frame_indices.json"):
        assert frame_indices(case["vlen"], case["n"]) == case["indices"]


def test_published_windows_meet_the_reference_to_the_sample() -> None:
    for case in reference("audio_clips.json"):
        starts = audio_window_starts(case["num_samples_16k"], case["num_clips"], compat="official")
        assert starts == [start for start, _ in case["sample_ranges"]]


def test_frame_indices_repeat_the_last_one_of_a_short_video() -> None:
    assert frame_indices(3) == [0, 1, 2, 2, 2, 2, 2, 2]
    assert frame_indices(100, 4) == [0, 25, 50, 75]
    with pytest.raises(ValueError, match="vlen=0"):
        frame_indices(0)


@pytest.mark.parametrize("samples", [0, 1, 32_000, 32_001, 64_123, 256_000, 999_999])
def test_windows_cover_the_sound_from_its_beginning_to_its_end(samples: int) -> None:
    starts = audio_window_starts(samples)
    assert len(starts) == 8
    assert starts[0] == 0
    assert starts[-1] + 32_000 == max(samples, 32_000)
    assert np.ptp(np.diff(starts)) <= 1


@pytest.mark.parametrize("compat", ["offical", "Official", "", 1])
def test_an_unknown_compat_is_refused_before_the_file_is_read(tmp_path: Path, compat: Any) -> None:
    with pytest.raises(ValueError, match=r'compat: expected None or "official", got'):
        audio_window_starts(5, compat=compat)  # travels with saved weights, and knows no error of ours
    for use in (
        lambda: load_clip(tmp_path / "none.mp4", compat=compat),
        lambda: load_clip(tmp_path, compat=compat),
        lambda: load_frames_dir(tmp_path, compat=compat),
    ):
        with pytest.raises(ArgumentError, match=r'compat: expected None or "official", got'):
            use()


# ---------------------------------------------------------------- what comes out of an ordinary clip


def test_a_clip_with_sound(media: Path) -> None:
    clip = load_clip(media / "clip.mp4")
    assert clip.frames is not None and clip.audio_windows is not None and clip.waveform is not None
    assert clip.frames.shape == (8, 48, 96, 3) and clip.frames.dtype == np.uint8
    assert numbers(clip.frames) == frame_indices(65)
    assert clip.frame_times_s == pytest.approx([i / 25 for i in frame_indices(65)], abs=1e-3)
    assert clip.audio_windows.shape == (8, 32_000) and clip.audio_windows.dtype == np.float32
    assert np.abs(clip.audio_windows).max() <= 1
    assert clip.audio_starts_s[0] == 0
    assert clip.audio_starts_s[-1] == pytest.approx(clip.duration_s - 2, abs=0.001)
    assert clip.duration_s == pytest.approx(2.6, abs=0.1)
    assert clip.audio_coverage == 1.0
    assert clip.waveform.ndim == 1 and len(clip.waveform) <= 2000 and len(clip.waveform) % 2 == 0
    assert clip.modalities == {"video": "present", "audio": "present"}
    assert clip.warnings == ()


def test_reading_is_repeatable(media: Path) -> None:
    one, two = load_clip(media / "clip.mp4"), load_clip(media / "clip.mp4")
    assert one.frames is not None and one.audio_windows is not None
    assert np.array_equal(one.frames, two.frames)  # type: ignore[arg-type]
    assert np.array_equal(one.audio_windows, two.audio_windows)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mkv", {}),
        ("b.ts", {}),
        ("c.flv", {"rate_hz": 44_100}),
        ("d.avi", {"video": "mpeg4", "audio": "mp2", "rate_hz": 44_100}),
        ("e.webm", {"video": "libvpx", "audio": "libopus", "rate_hz": 48_000}),
        ("f.mp4", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("g.h264", {"audio": None, "container": "h264"}),
    ],
)
def test_containers(tmp_path: Path, name: str, how: dict[str, Any]) -> None:
    """Also those that do not state how many frames they hold."""
    clip = load_clip(make_media(tmp_path / name, 1.2, **how))
    assert clip.frames is not None
    assert numbers(clip.frames) == frame_indices(30)
    assert (clip.audio_windows is None) == (name == "g.h264")


def test_few_frames_and_short_sound(media: Path, tmp_path: Path) -> None:
    clip = load_clip(media / "mute.mp4")
    assert clip.frames is not None
    assert numbers(clip.frames) == frame_indices(5)
    assert clip.modalities["audio"] == "the file has no audio track"
    short = load_clip(make_media(tmp_path / "s.wav", 0.5, video=None, audio="pcm_s16le"))
    assert short.audio_windows is not None
    assert not short.audio_windows[:, 8_000:].any()
    assert np.array_equal(short.audio_windows[0], short.audio_windows[7])
    assert short.modalities["video"] == "the file has audio only"
    assert short.audio_coverage == 1.0 and short.duration_s == 0.5


def test_other_numbers_of_frames_and_windows(media: Path) -> None:
    clip = load_clip(media / "clip.mp4", frames=3, audio_windows=2)
    assert clip.frames is not None and clip.audio_windows is not None
    assert numbers(clip.frames) == frame_indices(65, 3)
    assert len(clip.audio_windows) == 2


def test_part_of_a_clip(media: Path) -> None:
    clip = load_clip(media / "clip.mp4", start_s=1.0, end_s=1.8)
    assert clip.frames is not None and clip.audio_windows is not None
    assert numbers(clip.frames) == [25 + i for i in frame_indices(20)]
    assert clip.frame_times_s[0] == pytest.approx(1.0, abs=1e-3)
    assert clip.duration_s == pytest.approx(0.8, abs=0.01)
    whole = load_clip(media / "clip.mp4").audio_windows
    assert whole is not None
    assert np.abs(clip.audio_windows[0, :12_800] - whole[0, 16_000:28_800]).max() < 0.01
    assert not clip.audio_windows[:, 12_800:].any()
    assert numbers(load_clip(media / "clip.mp4", start_s=2.0).frames)[0] == 50  # type: ignore[arg-type]


def test_another_audio_file(media: Path) -> None:
    clip = load_clip(media / "mute.mp4", audio=media / "sound.wav")
    assert clip.audio_windows is not None and clip.frames is not None
    own = load_clip(media / "sound.wav").audio_windows
    assert np.array_equal(clip.audio_windows, own)  # type: ignore[arg-type]
    with pytest.raises(MediaError, match=r"mute\.mp4.*no audio"):
        load_clip(media / "clip.mp4", audio=media / "mute.mp4")


# ---------------------------------------------------------------- long files


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.ts"])
@pytest.mark.parametrize("counted", [True, False])
def test_seeking_finds_what_decoding_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, counted: bool
) -> None:
    path = make_media(tmp_path / name, 24.0, gop=20)
    through = load_clip(path)
    assert through.frames is not None and through.audio_windows is not None
    assert numbers(through.frames) == frame_indices(600)
    monkeypatch.setattr(frames_module, "DECODE_THROUGH_FRAMES", 100)
    monkeypatch.setattr(audio_module, "DECODE_ALL_S", 5.0)
    if not counted:
        monkeypatch.setattr(frames_module, "COUNT_BYTES", 0)
    for cut in ({}, {"start_s": 2.02, "end_s": 20.0}):
        sought = load_clip(path, **cut)
        assert sought.frames is not None and sought.audio_windows is not None
        if not cut:
            exact = counted or name == "long.mp4"
            assert np.abs(np.subtract(numbers(sought.frames), frame_indices(600))).max() <= (
                0 if exact else 1
            )
            assert np.abs(sought.audio_windows - through.audio_windows).max() < 0.01
            assert sought.audio_coverage == pytest.approx(16 / 24, abs=0.01)
            assert sought.audio_coverage == pytest.approx(through.audio_coverage)
            assert sought.warnings == ()
        else:
            assert sought.frame_times_s[0] == pytest.approx(2.02, abs=0.041)
            assert sought.duration_s == pytest.approx(17.98, abs=0.05)
            assert sought.audio_starts_s[-1] == pytest.approx(15.98, abs=0.001)


def test_uneven_frame_times_and_distant_key_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times_ms = [40 * i + 400 * (i // 30) for i in range(300)]
    for name in ("uneven.mp4", "uneven.mkv"):
        path = make_media(tmp_path / name, 12.0, gop=1000, times_ms=times_ms, audio=None)
        monkeypatch.setattr(frames_module, "DECODE_THROUGH_FRAMES", 100)
        clip = load_clip(path)
        assert clip.frames is not None
        assert numbers(clip.frames) == frame_indices(300)
        monkeypatch.setattr(frames_module, "FRAMES_PER_SEEK", 20)
        assert [warning.code for warning in load_clip(path).warnings] == ["frames_early"]
        monkeypatch.undo()


def test_long_sound_is_read_in_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_media(tmp_path / "long.wav", 30.0, video=None, audio="pcm_s16le", rate_hz=8_000)
    whole = load_clip(path)
    monkeypatch.setattr(audio_module, "DECODE_ALL_S", 5.0)
    clip = load_clip(path)
    assert clip.audio_starts_s == whole.audio_starts_s
    assert np.abs(clip.audio_windows - whole.audio_windows).max() < 0.01  # type: ignore[operator]
    assert clip.waveform is not None and len(clip.waveform) == 2000
    heard = np.abs(clip.waveform).reshape(-1, 2).max(axis=1) > 0
    assert heard.mean() == pytest.approx(16 / 30, abs=0.02)  # the rest is not made up


# ---------------------------------------------------------------- how pictures are shown


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_rotation(tmp_path: Path, turned: int) -> None:
    straight = load_clip(make_media(tmp_path / "a.mp4", 0.4, audio=None)).frames
    clip = load_clip(make_media(tmp_path / "b.mp4", 0.4, audio=None, turned=turned)).frames
    assert straight is not None and clip is not None
    assert np.array_equal(clip, np.rot90(straight, turned // 90, axes=(1, 2)))


@pytest.mark.parametrize(("aspect", "shape"), [(Fraction(4, 3), (48, 128)), (Fraction(1, 2), (96, 96))])
def test_sample_aspect(tmp_path: Path, aspect: Fraction, shape: tuple[int, int]) -> None:
    clip = load_clip(make_media(tmp_path / "a.mp4", 0.4, audio=None, aspect=aspect))
    assert clip.frames is not None
    assert clip.frames.shape == (8, *shape, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(numbered_frame(9)).save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    clip = load_clip(path)
    assert clip.frames is not None
    assert np.array_equal(clip.frames[7], expected)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp"])
def test_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(numbered_frame(5)).save(path)
    clip = load_clip(path, start_s=3.0)  # a picture has no time to cut
    assert clip.frames is not None
    assert numbers(clip.frames) == [5] * 8
    assert clip.modalities == {"video": "present", "audio": "a picture has no audio"}


def test_large_pictures_are_scaled_down(tmp_path: Path) -> None:
    clip = load_clip(write_png(tmp_path / "a.png", 2000, 500))
    assert clip.frames is not None
    assert clip.frames.shape == (8, 320, 1280, 3)


def test_colours(media: Path) -> None:
    clip = load_clip(media / "picture.png")
    assert clip.frames is not None
    assert np.array_equal(clip.frames[0], numbered_frame(5))
    video = load_clip(media / "clip.mp4").frames
    assert video is not None
    red, green, blue = video[0, 4:12].reshape(-1, 3).mean(axis=0)
    assert red > 240 and green < 15 and blue < 15


def test_a_cover_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        stream: Any = out.add_stream("aac", rate=16_000, layout="mono")
        cover: Any = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 96, 48, "yuvj420p", 1024
        picture = av.VideoFrame.from_ndarray(numbered_frame(1), format="rgb24").reformat(format="yuvj420p")
        out.mux(cover.encode(picture))
        out.mux(cover.encode())
        sound = av.AudioFrame.from_ndarray(tone(1, 16_000), format="fltp", layout="mono")
        sound.sample_rate = 16_000
        out.mux(stream.encode(sound))
        out.mux(stream.encode())
    clip = load_clip(path)
    assert clip.frames is None and clip.audio_windows is not None
    assert clip.modalities["video"] == "the file has audio only"


# ---------------------------------------------------------------- how sound is heard


@pytest.mark.parametrize(
    ("codec", "rate_hz", "layout"),
    [
        ("pcm_u8", 8_000, "mono"),
        ("pcm_s16le", 16_000, "stereo"),
        ("pcm_s24le", 44_100, "5.1"),
        ("pcm_s32le", 48_000, "quad"),
        ("pcm_f32le", 96_000, "7.1"),
        ("pcm_f64le", 22_050, "3.0"),
        ("flac", 11_025, "stereo"),
        ("aac", 48_000, "7.1"),  # eight planes
    ],
)
def test_any_format_becomes_mono_at_16_khz(tmp_path: Path, codec: str, rate_hz: int, layout: str) -> None:
    suffix = {"flac": "flac", "aac": "m4a"}.get(codec, "wav")
    path = make_media(tmp_path / f"a.{suffix}", 2.0, video=None, audio=codec, rate_hz=rate_hz, layout=layout)
    clip = load_clip(path)
    assert clip.audio_windows is not None
    middle = slice(1_000, 31_000)  # the ends of a resampled sound may ring
    expected = tone(2.0, 16_000)[0, middle]
    assert np.abs(clip.audio_windows[0, middle] - expected).max() < (0.2 if codec == "aac" else 0.02)
    assert clip.duration_s == pytest.approx(2.0, abs=0.05)


def test_channels_are_averaged_and_the_bass_left_out(tmp_path: Path) -> None:
    stereo = np.stack([np.full(32_000, 0.5), np.full(32_000, -0.1)]).astype(np.float32)
    path = make_media(tmp_path / "a.wav", video=None, audio="pcm_f32le", sound=stereo, layout="stereo")
    assert load_clip(path).audio_windows[0] == pytest.approx(0.2)  # type: ignore[index]
    surround = np.full((6, 32_000), 0.25, dtype=np.float32)
    surround[3] = 0.9  # low frequencies
    path = make_media(tmp_path / "b.wav", video=None, audio="pcm_f32le", sound=surround, layout="5.1")
    assert load_clip(path).audio_windows[0] == pytest.approx(0.25)  # type: ignore[index]
    assert load_clip(write_wav(tmp_path / "c.wav", np.full(11 * 32_000, 0.5), channels=11)).duration_s == 2.0


def test_silence_and_loudness_are_told(tmp_path: Path) -> None:
    silent = load_clip(write_wav(tmp_path / "silent.wav", np.zeros(40_000)))
    assert silent.modalities["audio"] == "present"
    assert [warning.code for warning in silent.warnings] == ["audio_silent"]
    assert (
        str(silent.warnings[0])
        == silent.warnings[0].text
        == "the audio track is silent: nothing in it but zeros"
    )
    loud = load_clip(write_wav(tmp_path / "loud.wav", tone(2.5, 16_000)[0] * 32_768))
    assert loud.audio_windows is not None
    assert np.abs(loud.audio_windows).max() == pytest.approx(1.0)
    assert [warning.code for warning in loud.warnings] == ["audio_scaled"]
    assert "full scale" in loud.warnings[0].text
    slightly = load_clip(write_wav(tmp_path / "slightly.wav", tone(2.5, 16_000)[0] * 1.5))
    assert np.abs(slightly.audio_windows).max() == 1.0  # type: ignore[arg-type]
    assert slightly.warnings == ()


def test_published_windows_miss_the_end(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.wav", 18.0, video=None, audio="pcm_s16le")
    ours, published = load_clip(path), load_clip(path, compat="official")
    assert ours.audio_starts_s[-1] == 16.0
    assert ours.audio_coverage == pytest.approx(16 / 18)
    assert published.audio_starts_s == tuple(i * 2.0 for i in range(8))
    assert published.audio_coverage == pytest.approx(16 / 18)
    short = make_media(tmp_path / "b.wav", 10.0, video=None, audio="pcm_s16le")
    assert load_clip(short).audio_coverage == 1.0
    assert load_clip(short, compat="official").audio_coverage == pytest.approx(0.9)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_published_sound_is_resampled_as_in_the_release(tmp_path: Path, rate_hz: int) -> None:
    sound = np.random.default_rng(0).normal(0, 0.4, 5 * rate_hz + 7).astype(np.float32)  # peaks above 1
    whole = resample(sound, rate_hz, 16_000)
    clip = load_clip(write_wav(tmp_path / "a.wav", sound, rate_hz), compat="official")
    starts = audio_window_starts(len(whole), compat="official")
    assert clip.audio_starts_s == tuple(start / 16_000 for start in starts)
    assert clip.audio_windows is not None and clip.waveform is not None
    expected = np.stack([whole[start : start + 32_000] for start in starts])
    np.testing.assert_allclose(clip.audio_windows, expected, atol=1e-6)
    assert np.abs(clip.audio_windows).max() > 1 and np.abs(clip.waveform).max() <= 1
    usual = load_clip(tmp_path / "a.wav").audio_windows
    assert usual is not None and np.abs(usual).max() <= 1.0


@pytest.mark.parametrize("rate_hz", [22_050, 44_100])
def test_published_windows_of_a_long_sound_are_those_of_the_whole(
    tmp_path: Path, rate_hz: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by seeking, which must not shift them by a part of a sample."""
    sound = np.random.default_rng(0).normal(0, 0.1, 47 * rate_hz + 5).astype(np.float32)
    path = write_wav(tmp_path / "long.wav", sound, rate_hz)
    whole = load_clip(path, compat="official")
    monkeypatch.setattr(audio_module, "DECODE_ALL_S", 20.0)
    windows = load_clip(path, compat="official")
    assert windows.audio_starts_s == whole.audio_starts_s
    assert windows.audio_windows is not None
    np.testing.assert_allclose(windows.audio_windows, whole.audio_windows, atol=1e-6)


# ---------------------------------------------------------------- folders of pictures, and words alone


def test_a_folder_of_pictures(tmp_path: Path, media: Path) -> None:
    for i in range(12):
        Image.fromarray(numbered_frame(i)).save(tmp_path / f"frame_{i}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    clip = load_frames_dir(tmp_path)
    assert clip.frames is not None
    assert numbers(clip.frames) == frame_indices(12)  # 2 before 10
    assert clip.duration_s == pytest.approx(12 / 25)
    assert clip.modalities["audio"] == "a folder of pictures has no audio"
    assert numbers(load_clip(tmp_path).frames) == frame_indices(12)  # type: ignore[arg-type]
    heard = load_frames_dir(tmp_path, audio=media / "sound.wav")
    assert heard.frame_times_s[-1] == pytest.approx(frame_indices(12)[-1] * 3 / 12)
    cut = load_frames_dir(tmp_path, start_s=0.2, end_s=0.4, fps=20)
    assert numbers(cut.frames)[:4] == [4, 5, 6, 7]  # type: ignore[arg-type]
    Image.fromarray(numbered_frame(0)).resize((30, 40)).save(tmp_path / "frame_11.png")
    assert load_frames_dir(tmp_path).frames.shape == (8, 48, 96, 3)  # type: ignore[union-attr]
    (tmp_path / "frame_0.png").write_bytes(b"not a picture")
    with pytest.raises(MediaError, match=r"frame_0\.png"):
        load_frames_dir(tmp_path)
    with pytest.raises(MediaError, match="not a folder"):
        load_frames_dir(tmp_path / "frame_1.png")


def test_words_alone() -> None:
    clip = empty_clip("only words were given")
    assert clip.frames is None and clip.audio_windows is None
    assert clip.modalities == {"video": "only words were given", "audio": "only words were given"}


# ---------------------------------------------------------------- bad input


def spoil(name: str, folder: Path, good: bytes) -> Path:
    """Write the bad file called `name`."""
    path = folder / name
    contents: dict[str, Any] = {
        "empty.mp4": b"",
        "text.mp4": "Dear all, this is no video.\n" * 40,
        "subtitles.mp4": "1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 20,
        "noise.mp4": np.random.default_rng(0).bytes(100_000),
        "zeros.mp4": bytes(100_000),
        "cut_off.mp4": good[: len(good) // 2],
        "playlist.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{folder}/ok.mp4\n#EXT-X-ENDLIST\n",
        "playlist.mp4": "\n #EXTM3U\n#EXTINF:4,\nhttp://127.0.0.1:9/a.ts\n",
        "join.txt": f"ffconcat version 1.0\nfile {folder / 'ok.mp4'}\n",
        "stream.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "stream.mpd": '<?xml version="1.0"?><MPD type="static"><BaseURL>ok.mp4</BaseURL></MPD>',
        "drawing.svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/hosts"/></svg>',
        "cut_off.png": (folder / "picture.png").read_bytes()[:40],
    }
    if name in contents:
        data = contents[name]
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    elif name == "folder.mp4":
        path.mkdir()
    elif name == "loop.mp4":
        (folder / "pool.mp4").symlink_to(path)
        path.symlink_to(folder / "pool.mp4")
    elif name == "pipe.mp4":
        os.mkfifo(path)
    elif name == "no_frames.mp4":
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream("libx264", rate=25)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            out.start_encoding()
    elif name == "not_a_number.wav":
        write_wav(path, [0.1] * 20_000 + [np.nan] + [0.1] * 20_000)
    elif name == "infinite.wav":
        write_wav(path, [0.1] * 20_000 + [np.inf] + [0.1] * 20_000)
    elif name == "no_samples.wav":
        write_wav(path, [])
    elif name == "slow.wav":
        write_wav(path, [0.1] * 20_000, rate_hz=1)
    elif name == "bomb.png":
        write_png(path, 60_000, 60_000, rows=4)
    return path


BAD = {
    "missing.mp4": "no such file",
    "empty.mp4": "empty",
    "text.mp4": "is text",
    "subtitles.mp4": "neither video nor audio",
    "noise.mp4": "cannot be read as media",
    "zeros.mp4": "cannot be read as media",
    "cut_off.mp4": "without a usable index",
    "folder.mp4": "is a folder",
    "loop.mp4": "leads back to itself",
    "pipe.mp4": "pipe",
    "playlist.m3u8": "never followed",
    "playlist.mp4": "never followed",
    "join.txt": "never followed",
    "stream.sdp": "never followed",
    "stream.mpd": "never followed",
    "drawing.svg": "never followed",
    "no_frames.mp4": "neither video nor audio",
    "not_a_number.wav": "not numbers",
    "infinite.wav": "not numbers",
    "no_samples.wav": "no audio",
    "slow.wav": "1 Hz",
    "bomb.png": "60000 x 60000",
    "cut_off.png": "no picture",
    f"{'x' * 300}.mp4": "too long",
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_input_is_told_in_one_line(
    tmp_path: Path, media: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    good = (media / "clip.mp4").read_bytes()
    (tmp_path / "ok.mp4").write_bytes(good)
    (tmp_path / "picture.png").write_bytes((media / "picture.png").read_bytes())
    path = spoil(name, tmp_path, good)
    begin = time.monotonic()
    with pytest.raises(MediaError) as caught:
        load_clip(path)
    message = str(caught.value)
    assert BAD[name] in message
    assert message.startswith(str(path)) and "\n" not in message and "; " in message
    assert time.monotonic() - begin < 2
    assert capfd.readouterr() == ("", "")  # FFmpeg keeps quiet


@pytest.mark.parametrize("name", ["playlist.m3u8", "playlist.mp4", "join.txt", "stream.sdp", "stream.mpd"])
def test_files_that_point_elsewhere_are_closed_twice(
    tmp_path: Path, media: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if one were not recognised by how it begins, FFmpeg itself may not follow it."""
    good = (media / "clip.mp4").read_bytes()
    (tmp_path / "ok.mp4").write_bytes(good)
    (tmp_path / "picture.png").write_bytes((media / "picture.png").read_bytes())
    path = spoil(name, tmp_path, good)
    monkeypatch.setattr(container_module, "refuse_pointers", lambda *_: None)
    opened: list[str] = []
    monkeypatch.setattr(container_module, "_open_nothing_else", lambda url, *_: opened.append(url))
    with pytest.raises(MediaError):
        load_clip(path)
    assert opened == []


def test_nothing_else_can_be_opened(tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the list of closed formats off, the door behind it holds."""
    (tmp_path / "ok.mp4").write_bytes((media / "clip.mp4").read_bytes())
    (tmp_path / "picture.png").write_bytes((media / "picture.png").read_bytes())
    path = spoil("playlist.m3u8", tmp_path, b"")
    monkeypatch.setattr(container_module, "refuse_pointers", lambda *_: None)
    monkeypatch.setattr(container_module, "_open_formats", lambda: "hls,concat,mov,mpegts,h264")
    with pytest.raises(MediaError):
        load_clip(path)


@pytest.mark.parametrize("suffix", ["jpg", "gif", "bmp"])
def test_declared_size_is_checked_before_unpacking(tmp_path: Path, suffix: str) -> None:
    """A small picture whose header claims 60,000 x 50,000 pixels."""
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(numbered_frame(1)).save(path)
    data = bytearray(path.read_bytes())
    at, form, size = {
        "jpg": (data.find(b"\xff\xc0") + 5, ">HH", (50_000, 60_000)),
        "gif": (6, "<HH", (60_000, 50_000)),
        "bmp": (18, "<ii", (60_000, -50_000)),
    }[suffix]
    struct.pack_into(form, data, at, *size)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"unpacks to 60000 x 50000 pixels"):
        load_clip(path)


def test_a_video_of_impossible_size_is_damage() -> None:
    untrusted_module.check_size(Path("a.mp4"), 7680, 4320, moving=True)
    untrusted_module.check_size(Path("panorama.jpg"), 30_000, 1_000)
    with pytest.raises(MediaError, match="damaged"):
        untrusted_module.check_size(Path("a.mp4"), 256, 135_168, moving=True)


def test_permission_denied(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(MediaError, match=r"clip\.mp4: may not be read .*permission"):
        load_clip(media / "clip.mp4")


@pytest.mark.parametrize("path", ["", "a\0b.mp4", "/dev/zero", "/dev/null"])
def test_names_of_no_file(path: str) -> None:
    with pytest.raises(MediaError):
        load_clip(path)


@pytest.mark.parametrize(
    "name",
    [
        "-y.mp4",
        "%d.mp4",
        "img%03d.png",
        "http:x.mp4",
        "concat:a|b.mp4",
        "data:,x",
        "日本 é.mp4",
        "a?*.mp4",
        "~x",
    ],
)
def test_odd_names_are_plain_names(
    tmp_path: Path, media: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes((media / "mute.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    clip = load_clip(name)
    assert clip.frames is not None
    assert clip.path == name


def test_a_line_break_in_a_name_stays_in_its_line(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        load_clip(tmp_path / "a\nb.mp4")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_what_is_left_of_a_cut_off_file_is_read(tmp_path: Path, media: Path, share: float) -> None:
    good = (media / "index_first.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(good[: int(share * len(good))])
    clip = load_clip(path)
    assert clip.frames is not None
    left = numbers(clip.frames)
    assert left[0] == 0 and left == sorted(left)
    damage = {"file_cut_off", "video_damaged", "audio_damaged"}
    assert {warning.code for warning in clip.warnings} & damage
    assert all("cut off" in warning.text for warning in clip.warnings if warning.code in damage)
    assert clip.duration_s < 2.6


def test_damage_in_the_middle(tmp_path: Path, media: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray((media / "clip.mp4").read_bytes())
    for at in range(400, len(data) // 2, 300):
        data[at : at + 20] = b"\xa5" * 20
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    try:
        load_clip(path)
    except MediaError as error:
        assert "\n" not in str(error)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "cut", [{"start_s": -1.0}, {"start_s": 2.0, "end_s": 1.0}, {"start_s": 99.0}, {"end_s": float("nan")}]
)
def test_impossible_cuts(media: Path, cut: dict[str, float]) -> None:
    with pytest.raises(MediaError, match=r"clip\.mp4"):
        load_clip(media / "clip.mp4", **cut)


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """A picture of gigabytes and a device of endless zeros, with half a gigabyte of room."""
    bomb = write_png(tmp_path / "bomb.png", 30_000, 30_000, rows=2)
    code = (
        "import resource, sys\n"
        "from nanoemox.media.load import load_clip\nfrom nanoemox.media.untrusted import MediaError\n"
        "assert 'torch' not in sys.modules\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29),) * 2)\n"
        f"for path in ({str(bomb)!r}, '/dev/zero'):\n"
        "    try:\n        load_clip(path)\n        raise SystemExit('was read')\n"
        "    except MediaError:\n        pass\n"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to know how much memory is in use")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

"""GIF, APNG, animated AVIF and WebP are videos; HEIC and AVIF in tiles are one picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from nanoemox.media.load import load_clip
from nanoemox.media.untrusted import MediaError
from tests.adversarial.still_files import animation, tiled
from tests.media_files import numbered_frame, numbers

MS = [100 + 20 * (i % 3) for i in range(20)]
MOVING = ["a.gif", "a.png", "a.apng", "a.webp", "a.avif"]


def skip_without(name: str) -> None:
    if name.endswith("avif") and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")


def how(name: str) -> dict[str, Any]:
    return {"lossless": True} if name.endswith("webp") else {"format": "PNG"} if name.endswith("apng") else {}


@pytest.mark.parametrize("name", MOVING)
def test_what_moves_is_a_video(tmp_path: Path, name: str) -> None:
    skip_without(name)
    clip = load_clip(animation(tmp_path / name, list(range(20)), MS, **how(name)))
    wanted = [i * 20 // 8 for i in range(8)]
    assert clip.frames is not None and clip.warnings == ()
    assert numbers(clip.frames) == wanted
    assert clip.frame_times_s == pytest.approx([sum(MS[:i]) / 1000 for i in wanted], abs=0.002)
    assert clip.duration_s == pytest.approx(sum(MS) / 1000, abs=0.03)


@pytest.mark.parametrize("name", MOVING)
def test_a_cut_of_what_moves(tmp_path: Path, name: str) -> None:
    skip_without(name)
    path = animation(tmp_path / name, list(range(20)), 100, **how(name))
    clip = load_clip(path, start_s=0.8, end_s=1.6)
    assert clip.frames is not None
    assert numbers(clip.frames) == list(range(8, 16))
    with pytest.raises(MediaError):
        load_clip(path, start_s=9.0)


@pytest.mark.parametrize("name", MOVING)
def test_a_long_one_is_decoded_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    skip_without(name)
    monkeypatch.setattr("nanoemox.media.video.DECODE_THROUGH_FRAMES", 5)
    clip = load_clip(animation(tmp_path / name, list(range(20)), 100, **how(name)))
    assert clip.frames is not None and numbers(clip.frames) == [i * 20 // 8 for i in range(8)]


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.avif"])
def test_what_does_not_move_is_a_picture(tmp_path: Path, name: str) -> None:
    skip_without(name)
    Image.fromarray(numbered_frame(9)).save(tmp_path / name)
    clip = load_clip(tmp_path / name)
    assert clip.frames is not None and numbers(clip.frames) == [9] * 8
    assert clip.duration_s == 0.0


def test_an_animated_webp_of_one_picture_and_one_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(8):
        animation(folder / f"{i}.webp", [i, 20], lossless=True)
    clip = load_clip(folder)
    assert clip.frames is not None and numbers(clip.frames) == list(range(8))


def test_a_damaged_animated_webp_says_so(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.webp", list(range(20)), 100, lossless=True)
    content = bytearray(path.read_bytes())
    at = content.index(b"ANMF", len(content) // 2)
    content[at + 24 : at + 60] = bytes(36)
    path.write_bytes(content)
    try:
        clip = load_clip(path)
    except MediaError as error:
        assert "a.webp" in str(error)
    else:
        assert [warning.code for warning in clip.warnings] == ["video_damaged"]


def smooth(height: int, width: int) -> Any:
    """A picture whose every place has its own colour."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + 160 * y / height, 40 + 160 * x / width, np.full(y.shape, 90)], axis=-1).astype(
        np.uint8
    )


@pytest.mark.parametrize("encoder", ["libx265", "libsvtav1"])
@pytest.mark.parametrize("in_mdat", [False, True])
def test_tiles_are_put_together(tmp_path: Path, encoder: str, in_mdat: bool) -> None:
    picture = smooth(100, 150)
    clip = load_clip(tiled(tmp_path / "a.heic", picture, encoder=encoder, in_mdat=in_mdat))
    assert clip.frames is not None and clip.frames.shape == (8, 100, 150, 3)
    assert np.abs(clip.frames[0].astype(int) - picture).mean() < 4


@pytest.mark.parametrize(("angle", "mirror"), [(1, None), (2, None), (3, None), (0, 0), (0, 1), (1, 1)])
def test_tiles_are_turned_as_a_whole(tmp_path: Path, angle: int, mirror: int | None) -> None:
    picture = smooth(60, 150)
    clip = load_clip(tiled(tmp_path / "a.heic", picture, angle=angle, mirror=mirror))
    shown = np.rot90(picture, angle)
    shown = shown if mirror is None else shown[::-1] if mirror == 0 else shown[:, ::-1]
    assert clip.frames is not None and clip.frames.shape[1:] == shown.shape
    assert np.abs(clip.frames[0].astype(int) - shown).mean() < 4


def test_never_one_tile(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"'iovl'.*convert it to JPEG"):
        load_clip(tiled(tmp_path / "a.heic", smooth(100, 150), kind=b"iovl"))
    content = tiled(tmp_path / "b.heic", smooth(100, 150)).read_bytes()
    (tmp_path / "b.heic").write_bytes(content[: -len(content) // 20])
    with pytest.raises(MediaError, match="tiles"):
        load_clip(tmp_path / "b.heic")
    for at in range(content.index(b"meta"), content.index(b"mdat"), 37):  # damage in the description
        bad = bytearray(content)
        bad[at] ^= 0x55
        (tmp_path / "c.heic").write_bytes(bad)
        try:
            clip = load_clip(tmp_path / "c.heic")
        except MediaError:
            continue
        assert clip.frames is not None and clip.frames.shape[1:3] != (64, 64)


CRASH = """
import gc, sys
from nanoemox.media.load import load_clip
for path in sys.argv[1:]:
    load_clip(path)
    gc.collect()
print("alive")
"""


def test_a_colour_profile_does_not_crash_the_interpreter(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    paths = [animation(tmp_path / "moving.png", [1, 2, 3], icc_profile=profile)]
    for suffix in ("png", "jpg", "webp", "tif"):
        paths.append(tmp_path / f"a.{suffix}")
        Image.fromarray(numbered_frame(9)).save(paths[-1], icc_profile=profile)
    command = [sys.executable, "-c", CRASH, *map(str, paths)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (out.returncode, out.stdout) == (0, "alive\n"), out.stderr

"""GIF, APNG, animated AVIF and WebP are videos; HEIC and AVIF in tiles are one picture."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from nanoemox.media.dolby import is_profile_5
from nanoemox.media.load import load_clip
from nanoemox.media.tiles import pictures_of_heif
from nanoemox.media.untrusted import MediaError
from tests.adversarial.still_files import add_dolby_vision, animation, dolby_vision, heif_of, tiled
from tests.adversarial.timeline_files import film
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


def pages() -> list[Image.Image]:
    """New ones each time, since saving them leaves options in them."""
    return [Image.fromarray(numbered_frame(number)) for number in (3, 4, 5)]


def rows_of_pnm(path: Path) -> None:
    path.write_bytes(b"".join(b"P6\n%d %d\n255\n" % page.size + page.tobytes() for page in pages()))


@pytest.mark.parametrize("name", ["a.tif", "a.tiff", "a.mpo", "a.ppm", "a.jpg"])
def test_pictures_that_are_left_out_are_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    first, *others = pages()
    if name.endswith("ppm"):
        rows_of_pnm(path)
    elif name.endswith("jpg"):  # three of them, without a word about it
        for page in pages():
            page.save(tmp_path / "one.jpg", quality=95)
            path.write_bytes(
                (path.read_bytes() if path.exists() else b"") + (tmp_path / "one.jpg").read_bytes()
            )
    else:
        first.save(path, save_all=True, append_images=others, **({"quality": 95} if "mpo" in name else {}))
    clip = load_clip(path)
    assert clip.frames is not None and numbers(clip.frames) == [3] * 8
    [warning] = clip.warnings
    assert warning.code == "pictures_left_out" and "holds 3 pictures" in warning.text


def test_what_is_no_picture_of_its_own_is_not_told(tmp_path: Path) -> None:
    # A thumbnail in a TIFF, a smaller map in a JPEG, the sizes of an icon, and one page.
    page, other, _ = pages()
    small = other.resize((24, 12))
    tiff = tmp_path / "a.tif"
    page.save(tiff, save_all=True, append_images=[small], tiffinfo={254: 0})
    data = bytearray(tiff.read_bytes())
    assert load_clip(tiff).warnings[0].code == "pictures_left_out"
    at = data.rindex(struct.pack("<HHII", 254, 4, 1, 0))
    data[at : at + 12] = struct.pack("<HHII", 254, 4, 1, 1)
    tiff.write_bytes(data)
    page.save(tmp_path / "b.mpo", save_all=True, append_images=[small])
    square = Image.fromarray(np.full((64, 64, 3), 200, np.uint8))
    square.save(tmp_path / "c.ico", sizes=[(16, 16), (64, 64), (32, 32)])
    page.save(tmp_path / "d.tif")
    for name in ("a.tif", "b.mpo", "c.ico", "d.tif"):
        assert load_clip(tmp_path / name).warnings == (), name


def test_the_largest_size_of_an_icon_is_taken(tmp_path: Path) -> None:
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 33:] = 255  # an edge that only the largest size has exactly
    Image.fromarray(half).save(tmp_path / "a.ico", sizes=[(16, 16), (64, 64)], bitmap_format="bmp")
    clip = load_clip(tmp_path / "a.ico")
    assert clip.frames is not None and set(np.unique(clip.frames[0][:, :33])) == {0}


def test_pictures_of_heic_that_are_left_out(tmp_path: Path) -> None:
    tiles = [(1, b"hvc1", True), (2, b"hvc1", False), (9, b"grid", False)]
    parts = [(b"dimg", 9, [1, 2])]
    cases = {
        1: [
            (tiles, parts),
            ([(9, b"hvc1", False), (2, b"hvc1", False)], [(b"thmb", 2, [9])]),  # a thumbnail
            ([(9, b"hvc1", False), (2, b"hvc1", False)], [(b"auxl", 2, [9])]),  # a map of depth
            # A gain map, and what is made of it and the picture
            ([(9, b"av01", False), (2, b"av01", True), (3, b"tmap", False)], [(b"dimg", 3, [9, 2])]),
            ([(9, b"hvc1", False), (2, b"Exif", False)], [(b"cdsc", 2, [9])]),
        ],
        2: [([(9, b"hvc1", False), (2, b"hvc1", False)], []), ([*tiles, (4, b"av01", False)], parts)],
    }
    for number, files in cases.items():
        for items, references in files:
            path = heif_of(tmp_path / "a.heic", 9, items, references)
            with path.open("rb") as file:
                assert pictures_of_heif(file) == number, (items, references)
    with tiled(tmp_path / "b.heic", smooth(64, 128)).open("rb") as file:
        assert pictures_of_heif(file) == 1


@pytest.mark.parametrize(("profile", "told"), [(5, True), (8, False)])
def test_dolby_vision_without_an_ordinary_picture_is_told(tmp_path: Path, profile: int, told: bool) -> None:
    path = add_dolby_vision(film(tmp_path / "a.mp4", [i / 25 for i in range(50)]), profile)
    clip = load_clip(path)
    assert clip.frames is not None and numbers(clip.frames) == [i * 50 // 8 for i in range(8)]
    assert [warning.code for warning in clip.warnings] == (["dolby_vision"] if told else [])
    mapping = b"\x41\xe7\x84dvcC\x41\xed\x98" + dolby_vision(profile)
    (tmp_path / "a.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(500) + mapping + bytes(500))
    assert is_profile_5(tmp_path / "a.mkv") == told

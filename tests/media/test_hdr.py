from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from nanoemox.media.load import load_clip
from tests.media_files import make_media

BT2020 = np.array([[0.2627, 0.6780, 0.0593], [-0.13963, -0.36037, 0.5], [0.5, -0.45979, -0.04021]])
NUMBERS = {"smpte2084": 16, "arib-std-b67": 18, "bt709": 1}


def pq(nits: Any) -> Any:
    y = (np.asarray(nits, float) / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(nits: Any) -> Any:
    """Grey of so much light on a screen of 1000 cd/m2."""
    e = (np.asarray(nits, float) / 1000) ** (1 / 1.2)
    return np.where(
        e <= 1 / 12, np.sqrt(3 * e), 0.17883277 * np.log(np.maximum(12 * e - 0.28466892, 1e-9)) + 0.55991073
    )


def film(path: Path, code: Any, transfer: str) -> Path:
    """A film whose pictures are BT.2020 code values [H, W, 3], in 10 bits, as telephones record."""
    ycc = np.asarray(code) @ BT2020.T
    planes = [np.round(64 + 876 * ycc[..., 0]), *(np.round(512 + 896 * ycc[::2, ::2, i]) for i in (1, 2))]
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx265", rate=10)
        stream.height, stream.width = planes[0].shape
        stream.pix_fmt = "yuv420p10le"
        marks = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
        stream.options = {"x265-params": f"log-level=none:qp=4:{marks}"}
        for i in range(10):
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p10le")
            for plane, values in zip(frame.planes, planes, strict=True):
                rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
                rows[:, : values.shape[1]] = values
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = i, Fraction(1, 10)
            frame.color_trc, frame.color_primaries, frame.colorspace = NUMBERS[transfer], 9, 9
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def grey(code: float) -> Any:
    return np.full((64, 96, 3), code)


@pytest.mark.parametrize(
    ("transfer", "code", "name"), [("smpte2084", pq, "PQ"), ("arib-std-b67", hlg, "HLG")]
)
def test_hdr_looks_as_on_an_ordinary_screen(tmp_path: Path, transfer: str, code: Any, name: str) -> None:
    seen = {}
    for nits in (5, 26, 80, 203, 990):
        clip = load_clip(film(tmp_path / f"{nits}.mp4", grey(code(nits)), transfer))
        assert [warning.code for warning in clip.warnings] == ["hdr_mapped"]
        assert name in clip.warnings[0].text
        assert clip.frames is not None
        seen[nits] = float(clip.frames[0, 20:40, 20:60].mean())
    assert seen[5] == pytest.approx(255 * (5 / 203) ** (1 / 2.4), abs=4)
    assert seen[26] == pytest.approx(
        255 * (26 / 203) ** (1 / 2.4), abs=4
    )  # a grey card: 108, as in ordinary video
    assert seen[80] == pytest.approx(255 * (80 / 203) ** (1 / 2.4), abs=4)
    assert 200 < seen[203] < 240 < seen[990]


def test_colours_of_bt2020_keep_their_strength(tmp_path: Path) -> None:
    red = np.linalg.inv([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    nits = 60 * red @ [1.0, 0.2, 0.2]  # a red of BT.709, in BT.2020
    clip = load_clip(film(tmp_path / "a.mp4", np.broadcast_to(pq(nits), (64, 96, 3)), "smpte2084"))
    assert clip.frames is not None
    expected = 255 * (np.array([60, 12, 12]) / 203) ** (1 / 2.4)
    assert clip.frames[0, 20:40, 20:60].mean(axis=(0, 1)) == pytest.approx(expected, abs=6)
    wide = load_clip(film(tmp_path / "b.mp4", grey(0.5), "bt709"))  # ordinary range, wide primaries
    assert wide.warnings == () and wide.frames is not None
    assert wide.frames[0, 20:40, 20:60].mean() == pytest.approx(127.5, abs=3)


def test_ordinary_video_is_as_ever(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mp4", 1.0, audio=None)
    with av.open(str(path)) as container:
        plain = next(container.decode(video=0)).to_ndarray(format="rgb24", interpolation="BICUBIC")
    clip = load_clip(path)
    assert clip.frames is not None and clip.warnings == ()
    np.testing.assert_array_equal(clip.frames[0], plain)


@pytest.mark.parametrize("long", [False, True])
def test_a_change_of_size_is_fitted_into_the_first(
    tmp_path: Path, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if long:
        monkeypatch.setattr("nanoemox.media.video.DECODE_THROUGH_FRAMES", 4)
    parts = b""
    for size in ((64, 128), (128, 64), (32, 64)):
        with av.open(str(tmp_path / "part.h264"), "w") as out:
            stream: Any = out.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            for i in range(20):
                frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 200, np.uint8), format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
        parts += (tmp_path / "part.h264").read_bytes()
    (tmp_path / "a.h264").write_bytes(parts)
    clip = load_clip(tmp_path / "a.h264")
    assert clip.frames is not None and clip.frames.shape == (8, 64, 128, 3)
    assert [warning.code for warning in clip.warnings] == ["size_changes"]
    assert "128 x 64" in clip.warnings[0].text
    upright = clip.frames[4]  # 128 x 64 became 64 x 32, in the middle
    assert upright[:, :46].max() < 20 and upright[:, 82:].max() < 20 and upright[:, 50:78].min() > 180
    assert clip.frames[7].min() > 180  # twice as large, and no border


def test_a_folder_of_several_sizes_and_damage(tmp_path: Path) -> None:
    for i, size in enumerate(((64, 48), (48, 64), (64, 48))):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (*size, 3), dtype=np.uint8)).save(
            tmp_path / f"{i}.jpg"
        )
    content = (tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(content[:-900])
    warnings = load_clip(tmp_path).warnings
    assert [warning.code for warning in warnings] == ["video_damaged", "size_changes"]
    assert warnings[0].text.startswith("2.jpg: ")

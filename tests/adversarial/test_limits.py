"""Whatever a file says, reading it ends within 20 s and 256 MB; measured in a process of its own."""

from __future__ import annotations

import itertools
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from nanoemox.media.load import load_clip
from nanoemox.media.untrusted import MediaError
from tests.media_files import make_media, numbered_frame

TIME_S, MEMORY_MB = 20, 256

MEASURE = """
import json, resource, sys, time
import nanoemox.media.load as load
from nanoemox.media.untrusted import MediaError
room = 1 if sys.platform == "darwin" else 1024
for path in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * room
    began, worked = time.monotonic(), time.process_time()
    try:
        clip = load.load_clip(path)
        said = [warning.code for warning in clip.warnings]
        found = [clip.frames is not None, clip.audio_windows is not None, clip.duration_s]
    except MediaError as error:
        said, found = str(error), None
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * room - before
    taken = min(time.monotonic() - began, time.process_time() - worked)
    print(json.dumps([path, taken, grown / 1e6, said, found]), flush=True)
"""


def measured(*paths: Path) -> dict[str, tuple[float, float, list[str] | str, list[float] | None]]:
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return {Path(path).name: tuple(rest) for path, *rest in map(json.loads, out.stdout.splitlines())}


def sparse(path: Path, gigabytes: int) -> Path:
    """The file with gigabytes of nothing behind it, which take no room on the disk."""
    try:
        os.truncate(path, path.stat().st_size + gigabytes * 1_000_000_000)
    except OSError:
        pytest.skip("this disk has no sparse files of gigabytes")
    if path.stat().st_blocks * 512 > 100_000_000:
        path.unlink()
        pytest.skip("this disk has no sparse files")
    return path


WHOLE = {  # what they hold is read, however much of nothing follows
    "a.mp3": {"video": None, "audio": "libmp3lame"},
    "a.wav": {"video": None, "audio": "pcm_s16le"},
    "a.flv": {"video": "flv1", "rate_hz": 44_100},
    "a.mkv": {},
    "a.mpg": {"video": "mpeg1video", "audio": "mp2", "rate_hz": 44_100},
    "a.h264": {"audio": None, "container": "h264"},
    "a.avi": {"video": "mpeg4", "audio": "libmp3lame", "rate_hz": 44_100},
}
PICTURES = ("png", "jpg", "gif", "webp")


def test_gigabytes_of_nothing(tmp_path: Path) -> None:
    paths = [make_media(tmp_path / name, 1.0, **how) for name, how in WHOLE.items()]
    for suffix in PICTURES:
        paths.append(tmp_path / f"p.{suffix}")
        Image.fromarray(numbered_frame(5)).save(paths[-1])
    for name in ("a.mkv", "a.mpg"):  # cut off in the middle, then nothing
        paths.append(tmp_path / f"half_{name}")
        paths[-1].write_bytes((tmp_path / name).read_bytes()[:15_000])
    for path in paths:
        sparse(path, 10)
    found = measured(*paths)
    assert len(found) == len(paths)
    for name, (seconds, megabytes, said, content) in found.items():
        assert seconds < TIME_S and megabytes < MEMORY_MB, (name, seconds, megabytes)
        if name in WHOLE:
            assert content is not None and 0.9 < content[2] < 1.2, (name, said)
        if name.startswith("p."):
            assert content is not None, (name, said)


def png(kind: bytes, name: bytes, megabytes: int) -> bytes:
    """A PNG with a packed note that unpacks to so much."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1_000_000)) for _ in range(megabytes)) + packer.flush()
    rows = zlib.compress(b"".join(b"\0" + bytes([4 * row] * 192) for row in range(48)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(kind, name + packed)
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


NOTES = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0en\0\0", b"iCCP": b"icc\0\0"}


def test_notes_that_unpack_to_gigabytes(tmp_path: Path) -> None:
    bomb = png(b"zTXt", NOTES[b"zTXt"], 200)
    for kind, name in NOTES.items():
        (tmp_path / f"{kind.decode()}.png").write_bytes(png(kind, name, 200))
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 64, 48, 0, 0, 1, 32, len(bomb), 22)
    (tmp_path / "icon.ico").write_bytes(icon + bomb)
    audio = make_media(tmp_path / "a.flac", 1.0, video=None, audio="flac").read_bytes()
    cover = (
        struct.pack(">II", 3, 9) + b"image/png" + struct.pack(">IIIIII", 0, 64, 48, 24, 0, len(bomb)) + bomb
    )
    (tmp_path / "a.flac").write_bytes(
        audio[:4] + bytes([6]) + len(cover).to_bytes(3, "big") + cover + audio[4:]
    )
    for name, (seconds, megabytes, said, _) in measured(*sorted(tmp_path.iterdir())).items():
        assert seconds < 5 and megabytes < 64, (name, seconds, megabytes)
        assert "notes that unpack" in said and "export it again without them" in said, name


@pytest.mark.parametrize("kind", NOTES)
def test_ordinary_notes_are_no_fault(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png(kind, NOTES[kind], 1))
    assert load_clip(tmp_path / "a.png").frames is not None


def test_a_folder_goes_on(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(numbered_frame(i)).save(tmp_path / f"{i}.png")
    sparse(tmp_path / "1.png", 2)
    assert load_clip(tmp_path).frames is not None
    (tmp_path / "1.png").write_bytes(png(b"zTXt", NOTES[b"zTXt"], 200))
    with pytest.raises(MediaError, match=r"1\.png: holds notes"):
        load_clip(tmp_path)


def test_time_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_media(tmp_path / "a.mkv", 2.0)
    ticks = itertools.count()  # each look at the clock takes a second
    monkeypatch.setattr("nanoemox.media.limits.TIME_S", 1e9)
    monkeypatch.setattr("nanoemox.media.limits.time.process_time", lambda: next(ticks))
    monkeypatch.setattr("nanoemox.media.limits.time.monotonic", lambda: next(ticks))
    whole = load_clip(path)
    assert whole.warnings == ()
    monkeypatch.setattr("nanoemox.media.limits.TIME_S", 0.8 * next(ticks))
    clip = load_clip(path)
    assert "reading_stopped" in [warning.code for warning in clip.warnings]
    assert clip.frames is not None
    monkeypatch.setattr("nanoemox.media.limits.TIME_S", 0.001)
    with pytest.raises(MediaError, match="within the limits"):
        load_clip(path)


def test_a_length_of_thousands_of_years_is_not_believed(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mkv", 2.0)
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # Duration, a float of eight bytes, in milliseconds
    path.write_bytes(data[:at] + struct.pack(">d", 1e15) + data[at + 8 :])
    clip = load_clip(path)
    assert [warning.code for warning in clip.warnings] == ["duration_implausible"]
    assert "years" in clip.warnings[0].text
    assert clip.duration_s == pytest.approx(2.0, abs=0.1)
    assert clip.frames is not None and clip.audio_windows is not None

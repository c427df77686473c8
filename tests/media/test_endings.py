"""The one list of endings knows what FFmpeg knows, and takes no table or text for media."""

from __future__ import annotations

import av
import pytest

from nanoemox.media.container import _open_formats
from nanoemox.media.endings import AUDIO_ENDINGS, MEDIA_ENDINGS, PICTURE_ENDINGS, VIDEO_ENDINGS

# Subtitles, texts and playlists; samples and pixels without a header, which nobody can read without being told more.
NO_MEDIA = """
    ans aqt art asc ass cdata diz ffmeta ice idf idx js jss lrc m3u8 mcc mks mpd mpl2 nfo pjs rt sami scc smi srt ssa
    stl sub sup ttml txt vt vtt webvtt xml
    a64 A64 adf apm bit bitpacked chk cgi cif dat pcm qcif rgb sb sbg sdr2 spdif str sw tun ub ul uw v v210 wbmp
    xface y yuv yuv10
"""


def test_every_ending_that_ffmpeg_reads_is_known() -> None:
    endings: set[str] = set()
    readable = set(_open_formats().split(","))
    for name in av.formats_available:
        for mode in ("r", "w"):  # many readers list their endings only where they write
            try:
                found = av.format.ContainerFormat(name, mode)
            except ValueError:
                continue
            if mode == "w" or found.name in readable:
                endings |= {ending.strip() for ending in found.extensions}
    assert len(endings) > 150
    unknown = {ending for ending in endings - set(NO_MEDIA.split()) if f".{ending}" not in MEDIA_ENDINGS}
    assert not unknown
    assert not {f".{ending}" for ending in NO_MEDIA.split()} & MEDIA_ENDINGS


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (VIDEO_ENDINGS, "ts m2ts mts vob 3gp 3g2 ogv f4v asf wmv mxf rm divx m2v webm h264 dv"),
        (AUDIO_ENDINGS, "wma aiff aif oga amr caf au mka ac3 wv ape m4b spx ra w64 mp2"),
        (PICTURE_ENDINGS, "heic heif avif gif apng webp tif tiff jp2 jxl tga jfif bmp ppm"),
    ],
)
def test_what_people_have_is_of_one_kind(kind: frozenset[str], names: str) -> None:
    for name in names.split():
        assert f".{name}" in kind
        assert sum(f".{name}" in other for other in (VIDEO_ENDINGS, AUDIO_ENDINGS, PICTURE_ENDINGS)) == 1


def test_tables_are_no_media() -> None:
    assert not MEDIA_ENDINGS & {
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".xlsx",
        ".txt",
        ".npz",
        ".npy",
        ".pkl",
        ".zip",
        ".md",
    }

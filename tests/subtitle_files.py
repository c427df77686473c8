"""Subtitles for tests: files of their own, and tracks inside videos."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

ASS_HEAD = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def srt(*texts: str, step_s: int = 2) -> str:
    """Texts from second 0, 2, 4, … on, for 1.5 s each."""
    return "".join(
        f"{i + 1}\n00:00:{step_s * i:02d},000 --> 00:00:{step_s * i + 1:02d},500\n{text}\n\n"
        for i, text in enumerate(texts)
    )


def ass(*lines: str) -> str:
    """ASS with lines such as `Dialogue: 0,0:00:01.00,0:00:02.00,Default,Anna,0,0,0,,Hello`."""
    return ASS_HEAD + "".join(f"{line}\n" for line in lines)


def silent_mkv(path: Path, tracks: Sequence[tuple[str, str, str]], seconds: int = 8) -> Path:
    """A Matroska file with silence and tracks of subtitles, each (text, FFmpeg's name of its form, language)."""
    with av.open(str(path), "w", format="matroska") as out:
        audio: Any = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        opened = []
        for text, form, language in tracks:
            source = av.open(io.BytesIO(text.encode()), format=form)
            stream = out.add_stream_from_template(source.streams.subtitles[0])
            stream.metadata["language"] = language
            opened.append((source, stream))
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, seconds * 16_000), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 16_000
        for packet in [*audio.encode(frame), *audio.encode(None)]:
            out.mux(packet)
        for source, stream in opened:
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
            source.close()
    return path


def black_mp4(path: Path, lines: Sequence[tuple[float, float, str]], language: str = "eng") -> Path:
    """An MP4 with a black picture and a track of text; each line is (beginning, end, text)."""
    with av.open(str(path), "w") as out:
        video: Any = out.add_stream("mpeg4", rate=5)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        text: Any = out.add_stream("mov_text")
        text.time_base = Fraction(1, 1000)
        text.metadata["language"] = language
        text.codec_context.subtitle_header = ASS_HEAD.encode()
        out.start_encoding()
        for i in range(40):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 5)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for start_s, end_s, line in lines:
            data = line.encode()
            packet = av.Packet(len(data).to_bytes(2, "big") + data)
            packet.pts = packet.dts = round(1000 * start_s)
            packet.duration, packet.time_base, packet.stream = (
                round(1000 * (end_s - start_s)),
                Fraction(1, 1000),
                text,
            )
            out.mux(packet)
    return path

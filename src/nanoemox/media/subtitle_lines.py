"""What stands in one subtitle: its markup is removed, and who speaks is found.

`- ` or `>>` at the beginning of lines tells that several people speak; `ANNA: `, WebVTT's `<v Anna>` and the name field
of ASS say who. `Anna: ` in small letters is a name where it occurs at least twice in the file: "Remember: never" is
none.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

LONGEST_LINE = 2000  # characters of one subtitle that are read
_LONGEST_NAME = 40
_TAG = re.compile(r"<[/a-zA-Z0-9][^<>]{0,500}>")  # with bounds: thousands of "<" take no time
_OVERRIDE = re.compile(r"\{[\\=*][^{}]{0,2000}\}")  # of ASS, which SRT files hold, too
_VOICE = re.compile(r"<v(?:\.[^\s<>]{0,200})?[ \t]+([^<>]{1,200})>")
_DRAWING = re.compile(r"\\p\s*[1-9]")
_DASH = re.compile(r"(?:[-‐‑–—−](?:\s|(?!\d))|>>>?)\s?(?=[^\s\-‐‑–—−>])")  # -5 is a number
_NAME = re.compile(rf"([^\W\d_][^:：\n!?…]{{0,{_LONGEST_NAME - 1}}})\s?(?::\s|：)\s*(?=\S)")
_SOUND = re.compile(
    r"(?:\[[^\[\]]{0,200}\]|\([^()]{0,200}\)|（[^（）]{0,200}）|【[^【】]{0,200}】|[♪♫#*\s\-–—.])+"
)
_NOTES = re.compile(r"[♪♫]+")
_ASS_FIELDS = 8  # before the text: order, layer, style, name, three margins, effect
_FEWEST_REPEATS, _SHARE_OF_REPEATS = 2, 0.3


class Line(NamedTuple):
    """What one person says in a subtitle; `prefix` is what may be a name in front of it."""

    text: str
    speaker: str | None = None
    prefix: str | None = None


def lines_of(data: bytes, codec: str) -> list[Line]:
    """What is said in a subtitle.

    Args:
        data: A packet of FFmpeg.
        codec: FFmpeg's name for the form of the packet.

    Returns:
        As many lines as people speak, in their order; none where only sounds are described.
    """
    if codec == "mov_text":
        size, data = int.from_bytes(data[:2], "big"), data[2:]
        wide = data.startswith((b"\xfe\xff", b"\xff\xfe"))
        text = data[:size].decode("utf-16" if wide else "utf-8", "replace")
    else:
        text = data[: 4 * LONGEST_LINE + 4000].decode("utf-8", "replace")
    speaker = None
    if codec in ("ass", "ssa"):
        fields = text.split(",", _ASS_FIELDS)
        if len(fields) <= _ASS_FIELDS:
            return []
        speaker, text = _cleaned(fields[3])[:_LONGEST_NAME] or None, fields[-1]
        if _DRAWING.search(text):
            return []
    if codec == "webvtt":
        return [line for name, part in _voices(text) for line in _split(html.unescape(_plain(part)), name)]
    text = _plain(text)
    return _split(text if codec in ("ass", "ssa") else html.unescape(text), speaker)


def _voices(text: str) -> list[tuple[str | None, str]]:
    """Parts of a WebVTT cue with the names that `<v …>` gives them."""
    pieces = _VOICE.split(text[:LONGEST_LINE])
    found: list[tuple[str | None, str]] = [(None, pieces[0])]
    for name, part in zip(pieces[1::2], pieces[2::2], strict=True):
        found.append((_cleaned(html.unescape(name))[:_LONGEST_NAME] or None, part))
    return found


def _plain(text: str) -> str:
    """Text with line ends and without markup."""
    text = _OVERRIDE.sub(
        "", text[:LONGEST_LINE].replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    )
    return _TAG.sub("", text)


def _cleaned(text: str) -> str:
    """One line of what can be seen."""
    kept = (c if c.isprintable() else " " if c.isspace() else "" for c in text)
    return " ".join("".join(kept).split())


def _split(text: str, speaker: str | None) -> list[Line]:
    """The people in one subtitle: a new one where a line begins with a dash, or with a name in capitals."""
    rows = [row for row in (_cleaned(row) for row in re.split(r"[\r\n\v\f\x85\u2028\u2029]", text)) if row]
    dashes = [bool(_DASH.match(row)) for row in rows]
    parts: list[str] = []
    for row, dashed in zip(rows, dashes, strict=True):
        begins = dashed or _capital_name(row)
        row = _DASH.sub("", row, count=1) if dashed else row
        if parts and not begins:
            parts[-1] = f"{parts[-1]} {row}"
        else:
            parts.append(row)
    return [line for line in (_line(part, speaker) for part in parts) if line is not None]


def _line(text: str, speaker: str | None) -> Line | None:
    """One person's words, without notes of music; None where nothing is said."""
    text = _cleaned(_NOTES.sub(" ", text))
    if describes_sound(text):
        return None
    name = _NAME.match(text)
    prefix = name[1].strip() if name else None
    if speaker is None and name and _capital_name(text):
        rest = text[name.end() :]
        return None if describes_sound(rest) else Line(rest, prefix)
    return Line(text, speaker, None if speaker else prefix)


def describes_sound(text: str) -> bool:
    """Whether a text is no more than signs of music and words in brackets, such as [laughs]."""
    return not any(c.isalnum() for c in text) or bool(_SOUND.fullmatch(text.strip()[:LONGEST_LINE]))


def _capital_name(row: str) -> bool:
    """Whether a row begins with a name in capitals and a colon."""
    found = _NAME.match(row)
    if found is None:
        return False
    name = found[1]
    return name.upper() == name and name.lower() != name and len(name.split()) <= 4


def named(subtitles: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Lines whose names are told by their coming again: what stands before a colon at least twice is a name."""
    counts = Counter(line.prefix for lines in subtitles for line in lines if line.prefix)
    known = {
        name for name, count in counts.items()
        if count > 1 and len(name.split()) <= 3 and all(word[:1].upper() == word[:1] for word in name.split())
    }  # fmt: skip
    return [[_with_name(line) if line.prefix in known else line for line in lines] for lines in subtitles]


def _with_name(line: Line) -> Line:
    found = _NAME.match(line.text)
    return Line(line.text[found.end() :], line.prefix) if found else line


def without_repeats(subtitles: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Subtitles without what rolls up: captions made by machines say each line again, above or before the next one.

    Only where a third of the subtitles begin with all that the one before added; else people repeat themselves.
    """
    kept: list[list[Line]] = []
    before, repeats = "", 0
    for lines in subtitles:
        first = lines[0].text if lines and not lines[0].speaker else ""
        rest = [*lines]
        if before and first == before:
            rest, repeats = [*lines[1:]], repeats + 1
        elif before and first.startswith(f"{before} "):
            rest[0], repeats = rest[0]._replace(text=first[len(before) + 1 :]), repeats + 1
        before = rest[-1].text if rest else before
        kept.append(rest)
    rolls = repeats >= _FEWEST_REPEATS and repeats > _SHARE_OF_REPEATS * sum(map(bool, subtitles))
    return kept if rolls else [list(lines) for lines in subtitles]

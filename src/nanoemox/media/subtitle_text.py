"""The text of a file of subtitles: its encoding is found out and told, or the file is refused with a remedy.

Files that are no Unicode do not say what they are. Chinese is told by its frequent characters, Western European by how
few of its letters are beyond ASCII; everything else (Cyrillic, Korean, Japanese, …) is refused rather than guessed.
"""

from __future__ import annotations

from pathlib import Path

from nanoemox.files.separated import decoded
from nanoemox.media.clip import CodedWarning
from nanoemox.media.untrusted import open_file, refuse

MOST_BYTES = 20_000_000  # a film's subtitles have 0.1 to 1 MB
_WESTERN = "cp1252"
_WESTERN_SHARE = 0.25  # of the letters are beyond ASCII, at most
_WESTERN_SIGNS = set("€‚„…‘’“”•–—™¡£§©«®°´·»¿\xa0\xad")
_FREQUENT = set("的一是不了在人有我他这个们你来到说就么好没吗吧那要去会也她什样得着过")
_FREQUENT_SHARE = 0.05  # of the characters of any Chinese talk, at least
_FEW = 20  # characters, too few to count
_ARROW = "-->"
_FEW_ZEROS = 0.05  # of the characters


def read_text(path: Path, expected: str) -> tuple[str, list[CodedWarning]]:
    """The text of a file.

    Args:
        path: The file.
        expected: What it should hold, for errors.

    Returns:
        The text, and what was found out about its encoding.

    Raises:
        MediaError: If it cannot be read, is too large, or is in an encoding that cannot be told.
    """
    with open_file(path, expected) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        refuse(path, f"has more than {MOST_BYTES // 1_000_000} MB (expected {expected})", "check the path")
    found = decoded(data)
    no_text = f"is no text (expected {expected})"
    track = "for a track inside a video name the video and the track"

    # Unicode, perhaps with gaps. UTF-16 without a mark is told by the arrow between two times.
    if "\0" in found.text:
        if (
            found.encoding == "UTF-8"
            and not found.damaged_lines
            and found.text.count("\0") <= _FEW_ZEROS * len(found.text)
        ):
            return found.text.replace("\0", ""), _gaps(_lines_with(found.text, "\0"))
        wide = [name for name in ("utf-16-le", "utf-16-be") if _ARROW.encode(name) in data]
        if not wide:
            refuse(path, no_text, track)
        return data.decode(wide[0], "replace"), []
    if found.encoding.upper().startswith(("UTF-16", "UTF-32")):
        if _ARROW not in found.text and "Dialogue:" not in found.text:
            refuse(path, no_text, track)
        return found.text, _gaps(found.damaged_lines)
    if found.encoding == "UTF-8":
        gaps = found.text.count("\ufffd")
        if sum(not c.isascii() for c in found.text) > 2 * gaps or not found.damaged_lines:
            return found.text, _gaps(found.damaged_lines)
    elif _is_chinese(found.text):
        return found.text, [_guess("GB18030 (Chinese)")]

    # Anything else that can be told.
    western = _western(data)
    if western is None:
        refuse(
            path,
            "is in an encoding that cannot be told (expected UTF-8, UTF-16, GB18030 or Western European)",
            "save it as UTF-8, such as with: iconv -f ENCODING -t UTF-8 FILE > NEW",
        )
    return western, [_guess("Western European (Windows-1252)")]


def _lines_with(text: str, sign: str) -> tuple[int, ...]:
    return tuple(number for number, line in enumerate(text.split("\n"), 1) if sign in line)


def _gaps(lines: tuple[int, ...]) -> list[CodedWarning]:
    if not lines:
        return []
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    text = f"the subtitles hold bytes that are no letters, in line {lines[0]}{more}"
    return [CodedWarning("subtitles_damaged", text)]


def _guess(encoding: str) -> CodedWarning:
    text = (
        f"the subtitles are no Unicode and were read as {encoding}; if letters look wrong, save them as UTF-8"
    )
    return CodedWarning("subtitles_encoding", text)


def _is_chinese(text: str) -> bool:
    """Whether the frequent characters are frequent: Cyrillic and Korean bytes are GB18030, too, but of rare ones."""
    han = [c for c in text if "\u4e00" <= c <= "\u9fff"]
    return bool(han) and (len(han) < _FEW or sum(c in _FREQUENT for c in han) >= _FREQUENT_SHARE * len(han))


def _western(data: bytes) -> str | None:
    """Text in Windows-1252, of which Latin-1 is a part; None where it is none."""
    try:
        text = data.decode(_WESTERN)
    except UnicodeDecodeError:
        return None
    beyond = [c for c in text if not c.isascii()]
    letters = sum(c.isalpha() for c in text)
    if any(not c.isalpha() and c not in _WESTERN_SIGNS for c in beyond):
        return None
    return text if sum(c.isalpha() for c in beyond) <= _WESTERN_SHARE * letters else None

"""What people say, as they give it on a command line or in a file: blank text is no text, and text is Unicode."""

from __future__ import annotations

from nanoemox.files.errors import ArgumentError

_EMPTY_SIGNS = (
    "\u115f\u1160\u2800\u3164\uffa0"  # fillers of Hangul and Braille: printable, and nothing to see
)


def is_blank(text: str | None) -> bool:
    """Whether there is nothing to read: no text, or only spaces, line breaks, signs without width and fillers."""
    return not text or not any(c.isprintable() and not c.isspace() and c not in _EMPTY_SIGNS for c in text)


def given_text(text: str | None, name: str = "text") -> str | None:
    """The text, or None where it is blank.

    Python keeps bytes of a command line that are no UTF-8 as half characters, which no tokenizer and no file takes.
    Raises: ArgumentError.
    """
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"{name}: expected UTF-8, got bytes that are not UTF-8 after {error.object[: error.start][-20:]!r}; "
            "type it in a terminal that uses UTF-8, or convert the file that it comes from"
        ) from error
    return None if is_blank(text) else text

"""What a user can cause and mend: every error of ours has one parent, and its message is one line."""

from __future__ import annotations


class NanoEmoXError(ValueError):
    """A fault of what a user gave. One line: what, where, what was expected, what was got, and what to do."""


class ArgumentError(NanoEmoXError):
    """An argument or option with a value that cannot be used, such as an unknown task, or one that is missing."""


class OutputError(NanoEmoXError):
    """A file or folder that cannot be written: the disk is full, or permissions forbid it."""

"""An examination that one clip does not survive, in a module that a fresh process imports fast."""

from __future__ import annotations

import os

from nanoemox.corpora import examine as real
from nanoemox.data.schema import Record


def examine(record: Record, limits: real.Limits) -> real.Result:
    """As the real one, but a decoder can kill its process."""
    if record.id == "deadly":
        os._exit(11)
    return real.examine(record, limits)


def examine_none(record: Record, limits: real.Limits) -> real.Result:
    """No clip at all is survived, as where memory is short."""
    os._exit(9)

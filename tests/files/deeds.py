"""What worker processes do in tests: work, take a moment, tell who they are, or die."""

from __future__ import annotations

import os
import time


def deed(name: str) -> str:
    """Do what the name says."""
    if name == "die":
        os._exit(3)
    if name == "slow":
        time.sleep(0.3)
    return str(os.getpid()) if name == "pid" else f"did {name}"

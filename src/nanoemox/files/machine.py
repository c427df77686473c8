"""What of this machine a process may use: cores, threads, and which numbers its processor multiplies fast."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
# What processors call instructions that multiply bfloat16: two of Intel and AMD, one of ARM.
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def usable_cores() -> int:
    """How many cores this process may use: those it is bound to, and no more than its container has time for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(groups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> float | None:
    """The cores whose time a container gives this process at most, as `docker run --cpus` sets it; None, no limit.

    A group of processes has no more time than any group above it, so the smallest number counts.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return None
    shares = []
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers and "cpu" not in controllers.split(","):
            continue
        place = (
            groups / controllers if controllers else groups
        )  # the first version has a folder for each controller
        inside = Path(path.lstrip("/"))
        for group in (place, *(place / part for part in (inside, *inside.parents))):
            share = _share(group)
            if share is not None:
                shares.append(share)
    return min(shares, default=None)


def _share(group: Path) -> float | None:
    """Cores that one group has time for, by the files of either version of cgroups."""
    try:
        if (group / "cpu.max").is_file():
            allowed, period = (group / "cpu.max").read_text(encoding="utf-8").split()[:2]
        else:
            allowed = (group / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (group / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
        share = float(allowed) / float(period)  # "max" and -1 say that there is no limit
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def multiplies_bfloat16(info: Path = _CPU_INFO) -> bool:
    """Whether the processor has instructions for bfloat16. Without them it is emulated, slower than float32."""
    if platform.system() != "Linux":  # elsewhere nothing says so without a program of its own
        return False
    try:
        text = info.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    for line in text.splitlines():
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return not _BFLOAT16.isdisjoint(values.split())
    return False


def share_cores(processes: int) -> None:
    """In a process that was started with others: compute with its share of the cores, in what is imported later, too.

    Each would take all cores otherwise, and threads wait for others that are not running.
    """
    share = max(1, usable_cores() // max(1, processes))
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        share = min(share, int(asked))
    os.environ["OMP_NUM_THREADS"] = str(share)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(share)

"""What a process may use of its machine: cores, threads and bfloat16."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nanoemox.files.machine import cpu_quota, multiplies_bfloat16, share_cores, usable_cores
from nanoemox.files.workers import started_pool


def _cgroup(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    listing = folder / "self"
    listing.write_text(own)
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "cgroup", listing


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),  # docker run --cpus 1.5, of the second version
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        (
            "0::/a/b\n",
            {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"},
            2.0,
        ),  # a group above it
        ("0::/a\n", {"a/cpu.max": "800000 100000\n", "cpu.max": "400000 100000\n"}, 4.0),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
            3.0,
        ),
        (
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        ("garbage", {}, None),
    ],
)
def test_a_container_has_time_for_so_many_cores(tmp_path, own, files, cores):
    assert cpu_quota(*_cgroup(tmp_path, own, files)) == cores


def test_no_more_cores_than_there_is_time_for(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr("nanoemox.files.machine.cpu_quota", lambda: 2.5)
    assert usable_cores() == 2
    monkeypatch.setattr("nanoemox.files.machine.cpu_quota", lambda: 0.5)
    assert usable_cores() == 1
    monkeypatch.setattr("nanoemox.files.machine.cpu_quota", lambda: None)
    assert usable_cores() == 64


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux says of the processor")
@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", False),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("Features\t: fp asimd", False),
        ("model name\t: bf16", False),
    ],
)
def test_bfloat16_by_the_instructions_of_the_processor(tmp_path, flags, found):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
    assert multiplies_bfloat16(tmp_path / "cpuinfo") is found
    assert not multiplies_bfloat16(tmp_path / "none")


def _threads() -> tuple[str | None, int]:
    import torch

    return os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads()


def test_processes_share_the_cores(monkeypatch):
    """Each would take all of them otherwise, and six would have six times as many threads as cores."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    share = max(1, usable_cores() // 2)
    with started_pool(2) as pool:
        assert pool.submit(_threads).result() == (str(share), share)


@pytest.mark.parametrize(
    ("cores", "asked", "share"), [(12, None, "4"), (12, "2", "2"), (12, "all", "4"), (2, None, "1")]
)
def test_the_share_is_never_above_what_the_user_asks_for(monkeypatch, cores, asked, share):
    monkeypatch.setenv("OMP_NUM_THREADS", asked or "")  # so that it is as before at the end
    if asked is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("nanoemox.files.machine.usable_cores", lambda: cores)
    before = torch.get_num_threads()
    try:
        share_cores(3)
        assert os.environ["OMP_NUM_THREADS"] == share == str(torch.get_num_threads())
    finally:
        torch.set_num_threads(before)


def test_waiting_threads_sleep_unless_the_user_says_otherwise():
    show = "import nanoemox, os; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for asked, found in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        done = subprocess.run(
            [sys.executable, "-c", show], env=environment | asked, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == found

"""A pool that cannot start is one error, told once, and nothing is written on the strength of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanoemox.corpora import doctor as doctor_module
from nanoemox.corpora.doctor import doctor
from nanoemox.data import decoded_clips, extract_features
from nanoemox.data.quarantine import quarantine_path, write_quarantine
from nanoemox.data.schema import Record
from nanoemox.files import workers
from nanoemox.files.atomic import write_jsonl
from nanoemox.files.workers import WorkersError, check_workers_start, in_order, started_pool, worker_deaths
from tests.corpora import deadly
from tests.files.deeds import deed

# Without the guard, a worker runs all of this again, and ends at the first call.
SCRIPT = """
from nanoemox.corpora.doctor import doctor

def told(name, call):
    try:
        print(name, "returned", call())
    except Exception as error:
        print(f"{name} {type(error).__name__}: {error}", flush=True)

told("doctor", lambda: doctor("m.jsonl", workers=2, progress=False).ok)

from pathlib import Path
from nanoemox.theatre.make import make_theatre
told("theatre", lambda: make_theatre(Path("theatre"), 2, 0, "val", workers=2, quiet=True))
"""
GUARDED = """
from nanoemox.corpora.doctor import doctor

if __name__ == "__main__":
    report = doctor("m.jsonl", workers=2, progress=False)
    print(report.checked, sorted(report.quarantined))
"""


def script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a user would, beside a manifest of two lines."""
    write_jsonl(folder / "m.jsonl", [{"id": "a", "text": "well"}, {"id": "b", "video": "gone.mp4"}])
    (folder / "script.py").write_text(text, "utf-8")
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_script_without_a_guard_gets_one_error_and_keeps_its_list(tmp_path: Path) -> None:
    listed = quarantine_path(tmp_path / "m.jsonl")
    write_quarantine(listed, {"x": ["from before"]})
    before = listed.read_bytes()
    ended = script(tmp_path, SCRIPT)
    lines = ended.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"{name} WorkersError" for name in ("doctor", "theatre")
    ], ended
    assert all('if __name__ == "__main__":' in line for line in lines)
    assert "Traceback" not in ended.stderr and listed.read_bytes() == before
    assert not (tmp_path / "theatre" / "manifest.jsonl").exists()


def test_a_script_with_the_guard_runs_once(tmp_path: Path) -> None:
    ended = script(tmp_path, GUARDED)
    assert ended.stdout == "2 ['b']\n" and ended.returncode == 0, ended


def test_no_list_is_written_when_every_process_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "examine", deadly.examine_none)
    path = tmp_path / "m.jsonl"
    write_jsonl(path, [{"id": f"c{i}", "text": "well"} for i in range(3)])
    with pytest.raises(WorkersError, match="all 3 worker processes died"):
        doctor(path, workers=1, progress=False)
    assert not quarantine_path(path).exists()


def test_a_death_in_the_middle_is_an_error_of_ours() -> None:
    died = pytest.raises(WorkersError, match=r"clips: a worker process died")
    with died, worker_deaths("clips"), started_pool(1) as pool:
        pool.submit(os._exit, 3).result()


@pytest.mark.parametrize(
    "refused",
    [
        OSError(11, "Resource temporarily unavailable"),
        AssertionError("daemonic processes are not allowed to have children"),
    ],
)
def test_a_system_that_starts_no_process_is_told_in_its_words(
    monkeypatch: pytest.MonkeyPatch, refused: Exception
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise refused

    monkeypatch.setattr(workers.ProcessPoolExecutor, "submit", refuse)
    reason = (getattr(refused, "strerror", None) or str(refused)).casefold()
    records = [Record(id="a", text="well")]
    for start in (
        check_workers_start,
        lambda: list(decoded_clips._decoded(records, 8, 2)),
        lambda: list(extract_features._media(records, None, 2, None)),
    ):
        with pytest.raises(WorkersError, match=reason):
            start()


# ---------------------------------------------------------------- many items, one result each
UNGUARDED = """
print("begun", flush=True)
from tests.files.deeds import deed
from nanoemox.files.workers import Died, in_order

asked = ["a", None, "die", "b", "slow", "die", "c"]
for name, result in in_order(deed, enumerate(asked), 2, 4):
    print(name, "died" if isinstance(result, Died) else result)
"""


def test_a_script_without_a_guard_runs_once_and_a_death_costs_one_item(tmp_path: Path) -> None:
    ended = script(tmp_path, UNGUARDED)
    expected = ["begun", "0 did a", "1 None", "2 died", "3 did b", "4 did slow", "5 died", "6 did c"]
    assert ended.stdout.splitlines() == expected, ended
    assert "Traceback" not in ended.stderr and ended.returncode == 0


@pytest.mark.parametrize("method", ["spawn", "forkserver", "scriptless"])
def test_a_pool_that_is_ended_waits_for_none_of_its_processes(method: Any) -> None:
    pool = started_pool(2, method)
    busy = [pool.submit(time.sleep, 600) for _ in range(2)]
    pool.end()
    # Not `wait`, which knows only the end of what has begun; an item that had not yet begun is cancelled.
    until = time.monotonic() + 60
    while not all(item.done() for item in busy) and time.monotonic() < until:
        time.sleep(0.05)
    assert all(item.done() for item in busy)


def test_items_are_taken_when_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[tuple[int, str]]:
        for number in range(99):
            taken.append(number)
            yield number, str(number)

    results = in_order(deed, items(), 1, 3)
    assert [next(results), next(results)] == [(0, "did 0"), (1, "did 1")]
    assert len(taken) == 4
    results.close()  # type: ignore[attr-defined]
    assert list(in_order(deed, [(1, "a"), (2, None)], 0, 1)) == [(1, "did a"), (2, None)]


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    killed = """
import os
from tests.files.deeds import deed
from nanoemox.files.workers import in_order

results = in_order(deed, [(0, "pid"), *((n, "slow") for n in range(1, 9))], 1, 4)
print(next(results)[1], flush=True)
os.kill(os.getpid(), 9)
"""
    ended = script(tmp_path, killed)
    worker = int(ended.stdout)
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {worker} is still there")

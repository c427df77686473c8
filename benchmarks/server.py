"""A served model at four times what it can do: is anything lost, how long do answers take, does memory grow?

    python benchmarks/server.py > docs/results/server.json
    python benchmarks/server.py --clip demo/sample.mp4 --requests 100 > docs/results/server-video.json

starts `nanoemox serve` as its own process and asks it over loopback. Capacity is what as many clients as places get
done. Then clients come at four times that rate, each with an upload; who is told to come again (429) does so after the
time that the answer names, until it has its answer. At the end, as many requests with a few words come at once.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import math
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import wave
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import torch
import transformers

TIMES = 4


@dataclass
class Seen:
    """What came back."""

    statuses: Counter[str] = field(default_factory=Counter)
    answered_s: list[float] = field(default_factory=list)  # of the attempt that was answered
    whole_s: list[float] = field(default_factory=list)  # from the first attempt on


async def ask(client: Any, files: Any, data: Any, seen: Seen, patient: bool) -> None:
    """One client: ask, and come again when told so."""
    import httpx2  # of the extra `serve`, through openai

    began = time.monotonic()
    while True:
        started = time.monotonic()
        try:
            answer = await client.post("/v1/analyze", files=files, data=data)
            status = str(answer.status_code)
        except httpx2.HTTPError as error:
            status, answer = type(error).__name__, None
        seen.statuses[status] += 1
        if status == "200":
            seen.answered_s.append(time.monotonic() - started)
            seen.whole_s.append(time.monotonic() - began)
        if status != "429" or not patient or answer is None:
            return
        await asyncio.sleep(float(answer.headers["retry-after"]))


def one_second() -> bytes:
    """A WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(
            b"".join(
                round(8000 * math.sin(0.08 * i)).to_bytes(2, "little", signed=True) for i in range(16_000)
            )
        )
    return buffer.getvalue()


def memory_mb(process: psutil.Process) -> float:
    """Of the server and the processes that read for it."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.Error:
            continue
    return round(total / 1e6, 1)


def share(values: list[float], part: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(part * len(values)))], 3) if values else float("nan")


async def measure(url: str, server: psutil.Process, given: argparse.Namespace) -> dict[str, Any]:
    """All figures of one server."""
    import httpx2

    clip = given.clip.read_bytes() if given.clip else one_second()
    upload = {"file": (given.clip.name if given.clip else "tone.wav", clip, "application/octet-stream")}
    data = {"text": "I lost my keys.", "tasks": given.tasks}
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx2.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        # What it can do: never more clients than it answers at once.
        places = asyncio.Semaphore(2 * given.batch)
        warm, at_ease = Seen(), Seen()

        async def one_of_few(seen: Seen) -> None:
            async with places:
                await ask(client, upload, data, seen, patient=True)

        await asyncio.gather(*(one_of_few(warm) for _ in range(2 * given.batch)))
        started = time.monotonic()
        number = min(given.requests, 8 * given.batch)
        await asyncio.gather(*(one_of_few(at_ease) for _ in range(number)))
        capacity = number / (time.monotonic() - started)

        # Four times as many.
        loaded, memory = Seen(), [memory_mb(server)]
        started = time.monotonic()
        tasks = []
        for i in range(given.requests):
            await asyncio.sleep(max(0.0, started + i / (TIMES * capacity) - time.monotonic()))
            tasks.append(asyncio.create_task(ask(client, upload, data, loaded, patient=True)))
            while len(loaded.answered_s) >= len(memory) * given.requests / 10:
                memory.append(memory_mb(server))
        waiting = set(tasks)
        while waiting:
            _, waiting = await asyncio.wait(waiting, timeout=0.2)
            while len(memory) <= 10 and len(loaded.answered_s) >= len(memory) * given.requests / 10:
                memory.append(memory_mb(server))
        took_s = time.monotonic() - started

        # As many with a few words, all in the same moment, and nobody comes again.
        burst = Seen()
        await asyncio.gather(
            *(
                ask(client, None, {"text": "Hello.", "tasks": given.tasks}, burst, patient=False)
                for _ in range(given.requests)
            )
        )
        await asyncio.sleep(1)
        health = (await client.get("/health")).json()["status"]
        figures = (await client.get("/metrics")).text
        sizes = [
            float(re.search(rf"^nanoemox_batch_size_{n} (\S+)", figures, re.M)[1]) for n in ("sum", "count")
        ]
        return {
            "capacity_per_s": round(capacity, 2),
            "offered_per_s": round(TIMES * capacity, 2),
            "at_ease_s": {"p50": share(at_ease.answered_s, 0.5), "p99": share(at_ease.answered_s, 0.99)},
            "loaded": {
                "clients": given.requests,
                "answered": len(loaded.answered_s),
                "lost": given.requests - len(loaded.answered_s),
                "statuses": dict(loaded.statuses),
                "per_s": round(len(loaded.answered_s) / took_s, 2),
                "answered_s": {"p50": share(loaded.answered_s, 0.5), "p99": share(loaded.answered_s, 0.99)},
                "with_waits_s": {"p50": share(loaded.whole_s, 0.5), "p99": share(loaded.whole_s, 0.99)},
            },
            "mean_batch": round(sizes[0] / sizes[1], 2),
            "memory_mb": memory,
            "memory_growth_mb": round(statistics.mean(memory[-3:]) - statistics.mean(memory[1:4]), 1),
            "burst": {"requests": given.requests, "statuses": dict(burst.statuses)},
            "cut_connections": float(re.search(r"^nanoemox_cut_connections_total (\S+)", figures, re.M)[1]),
            "health": health,
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="pico")
    parser.add_argument("--clip", type=Path, help="what is uploaded; without it, one second of a tone")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--tasks", default="emotion", help="with commas between them")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--queue", type=int, default=32)
    parser.add_argument("--readers", type=int, default=1)
    given = parser.parse_args()

    options = ["--batch", str(given.batch), "--queue", str(given.queue), "--readers", str(given.readers)]
    shown_load = round(os.getloadavg()[0], 1)
    command = [sys.executable, "-m", "nanoemox", "serve", given.model, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            place = next(
                found[0] for line in server.stderr if (found := re.search(r"http://[\d.]+:\d+", line))
            )
            threading.Thread(target=server.stderr.read, daemon=True).start()  # else it could not write on
            until = time.monotonic() + 120
            while True:
                try:
                    urlopen(f"{place}/health").close()
                    break
                except OSError:
                    assert time.monotonic() < until, "the server did not start"
                    time.sleep(0.1)
            found = asyncio.run(measure(place, psutil.Process(server.pid), given))
        finally:
            server.terminate()
    shown = {
        "benchmark": "server",
        "model": given.model,
        "clip": given.clip.name if given.clip else "one second of a tone",
        "tasks": given.tasks.split(","),
        "batch": given.batch,
        "queue": given.queue,
        "readers": given.readers,
        "cores": os.cpu_count(),
        "busy_cores_before": shown_load,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        **found,
    }
    sys.stdout.write(f"{json.dumps(shown)}\n")


if __name__ == "__main__":
    main()

"""What a page watches: a real server with an empty home, and a process that logs at a pace and says when it did."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).parents[2]
SIX = (
    "train/loss",
    "val/loss",
    "train/grad_norm",
    "train/learning_rate",
    "perf/tokens_per_second",
    "perf/step_seconds",
)


class Served(NamedTuple):
    """A running server: its address, its process, and its folder."""

    url: str
    process: psutil.Process
    home: Path


@contextlib.contextmanager
def serving(*program: str) -> Iterator[Served]:
    """`runwell up` on a free port with an empty home of its own; `program` is what Python runs in its place."""
    with (
        tempfile.TemporaryDirectory(prefix="runwell-live-", ignore_cleanup_errors=True) as folder,
        socket.socket() as free,
    ):
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, *(program or ("-P", "-m", "runwell.cli")), "up"]
        command += ["--port", str(port), "--home", folder, "--no-first-run"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        try:
            _until_healthy(url)
            yield Served(url, psutil.Process(process.pid), Path(folder))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _until_healthy(url: str) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/v1/health", timeout=5):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer")


def post(url: str, run_id: str, first: int, events: list[dict[str, Any]]) -> None:
    """Events of one writer, as any client sends them."""
    body = json.dumps({"writer": "w-bench", "first_seq": first, "events": events}).encode()
    request = urllib.request.Request(f"{url}/api/v1/runs/{run_id}/events", data=body)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def fill(url: str, run_id: str, points: int, *, batch: int = 10_000) -> None:
    """A run with one loss curve of that many points."""
    post(url, run_id, 1, [{"type": "run", "project": "bench", "name": run_id}])
    for start in range(0, points, batch):
        steps = range(start + 1, min(start + batch, points) + 1)
        events = [
            {"type": "metrics", "step": step, "train/loss": 2 + math.sin(step / 999) / step**0.3} for step in steps
        ]
        post(url, run_id, start + 2, events)


def value_at(place: int, step: int) -> float:
    """What is logged at a step of the series at that place of its names."""
    return place + 1 + 3 / (1 + step / 50) + 0.05 * math.sin(step)


LOGGER = """
import json, sys, time
import runwell
from benchmarks.live.source import value_at
names, seconds, each = sys.argv[1].split(","), float(sys.argv[2]), 0.1
run = runwell.init("bench", name="live")
posts, post = [], run._writer.courier._transport.post
run._writer.courier._transport.post = lambda *args: (posts.append(time.time()), post(*args))[1]
for step in range(1, 21):
    run.log({name: value_at(place, step) for place, name in enumerate(names)}, step=step)
run.flush()
print(run.id, flush=True)
sys.stdin.readline()
logged, began = [0.0] * step, time.time()
while time.time() - began < seconds:
    step += 1
    values = {name: value_at(place, step) for place, name in enumerate(names)}
    logged.append(time.time())
    run.log(values, step=step)
    time.sleep(max(0.0, began + (step - 20) * each - time.time()))
print(json.dumps(logged), flush=True)
time.sleep(0.5)
print(json.dumps(posts), flush=True)
sys.stdin.readline()
run.finish()
"""
"""A process that logs twenty steps, then ten a second, and says when: the clock of step k is the k-th number (0: at once).
In a second line, when each of its POSTs began."""


@contextlib.contextmanager
def logging(served: Served, names: tuple[str, ...], seconds: float) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The run's id and its process, which waits for a line before it begins and for another before it ends."""
    environment = {"RUNWELL_URL": served.url, "RUNWELL_HOME": str(served.home), "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(
        [sys.executable, "-c", LOGGER, ",".join(names), str(seconds)], cwd=ROOT, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        yield process.stdout.readline().strip(), process
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate("\n", timeout=30)

"""How fast points are stored and charts are read: the real server over HTTP, real files, fresh processes.

    python benchmarks/store.py                 every row of the tables that docs/benchmarks.md holds (some minutes)
    python benchmarks/store.py --scale 0.1     a tenth of the points

Points are sent as the SDK sends them (frames in bodies of at most 1 MiB, one connection a run), encoded before the clock
starts. They count as stored when the server has acknowledged the last body: a flushed transaction each. Nothing is watched
meanwhile, but the rules judge every run as they always do.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from dash._utils import to_json

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []

from benchmarks.peers.tool import NAMES  # noqa: E402 (the repository's root is not on the path of a script)
from dashboard.app import create_services  # noqa: E402
from dashboard.deliveries import Delivery, Table  # noqa: E402
from dashboard.settings import Settings  # noqa: E402
from dashboard.store import Store  # noqa: E402
from dashboard.ui.pages import runs as page  # noqa: E402
from runwell.frames import HEADER, encode_event_frame, encode_header, encode_keys, encode_scalars  # noqa: E402
from runwell.wire import FRAMES_TYPE, Batch  # noqa: E402

BODY_BYTES = 2**20


class Stored(NamedTuple):
    """What one stream of points came to."""

    runs: int
    series: int
    points: int
    seconds: float
    cpu: float
    """Seconds of a core that the server used, judging included; hardly changed by other work on the machine."""
    bytes_a_point: float

    @property
    def points_a_second(self) -> float:
        """Durable points a second, all runs together."""
        return self.points / self.seconds


# -- the server and its clients --------------------------------------------------------------------------------------


@contextmanager
def server(home: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A real `runwell up` on a free port; the port and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-P", "-m", "runwell.cli", "up", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"RUNWELL_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("RUNWELL_DATABASE_URL", None)
    process = subprocess.Popen(
        [*command, "--home", str(home), "--no-first-run"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            try:
                request(http.client.HTTPConnection("127.0.0.1", port), "GET", "/api/v1/health")
                break
            except OSError:
                time.sleep(0.1)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def request(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> bytes:
    """The answer's body. Raises `RuntimeError` when it is not a success."""
    connection.request(method, path, body, {"Content-Type": FRAMES_TYPE} if body else {})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {said[:300]!r}")
    return said


def bodies(run_id: str, rows: int, names: tuple[str, ...], seed: int) -> list[bytes]:
    """A run's whole stream: losses that fall and twitch, float32 as tensors give them, steps a few milliseconds apart."""
    rng = np.random.default_rng(seed)
    times = 1.7e9 + np.cumsum(rng.gamma(20.0, 0.0005, rows))
    noise = rng.standard_normal((rows, len(names)))
    values = (np.exp(-np.arange(rows) / rows)[:, None] * 4 + 0.1 * noise).astype(np.float32).astype(np.float64)
    begin = encode_event_frame(json.dumps({"type": "run", "project": "bench", "name": run_id, "time": 1.7e9}).encode())
    found, seq = [encode_header(run_id, "w", 1) + begin], 2
    keys = encode_keys(1, names)
    part: list[bytes] = []
    size = 0
    for step in range(rows):
        frame = encode_scalars(1, step, float(times[step]), values[step].tolist())
        if part and size + len(frame) > BODY_BYTES:
            found.append(b"".join([encode_header(run_id, "w", seq), keys, *part]))
            seq, part, size = seq + len(part), [], HEADER.size
        part.append(frame)
        size += len(frame)
    found.append(b"".join([encode_header(run_id, "w", seq), keys, *part]))
    return found


def store_points(runs: int, series: int, rows: int) -> Stored:
    """Send `rows` log() calls of `series` metrics from each of `runs` runs at once, and wait for the last answer."""
    names = NAMES[:series] if series <= len(NAMES) else tuple(f"layer/{number}/norm" for number in range(series))
    streams = {f"run-{number}": bodies(f"run-{number}", rows, names, number) for number in range(runs)}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with server(home) as (port, process):
            before = process.cpu_times()
            seconds = _send(port, streams)
            after = process.cpu_times()
        points = runs * series * rows
        cpu = after.user + after.system - before.user - before.system
        return Stored(runs, series, points, seconds, cpu, file_bytes(home / "runwell.db") / points)


def _send(port: int, streams: dict[str, list[bytes]]) -> float:
    failed: list[Exception] = []

    def one(run_id: str, parts: list[bytes]) -> None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            for body in parts:
                request(connection, "POST", f"/api/v1/runs/{run_id}/events", body)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=item) for item in streams.items()]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.perf_counter() - began


def file_bytes(path: Path) -> int:
    """Size of the database with everything in it: indexes, and the write-ahead log taken in."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


# -- reading ---------------------------------------------------------------------------------------------------------

_CHART = """
import json, sys, time
from dashboard.store import Store
store = Store.open(sys.argv[1])
begun = time.perf_counter(), time.process_time()
found = store.series("run-0", "train/loss", buckets=1000)
assert int(found.count.sum()) == int(sys.argv[2]) and len(found.step) <= 1000, (found.count.sum(), len(found.step))
print(json.dumps([time.perf_counter() - begun[0], time.process_time() - begun[1]]))
"""


class Chart(NamedTuple):
    """Milliseconds of one chart query."""

    points: int
    wall: float
    cpu: float


def chart(path: Path, points: int, times: int = 3) -> Chart:
    """A chart of 1,000 buckets of a whole series, the first that a fresh process asks for; the best of a few processes."""
    found = []
    for _ in range(times):
        command = [sys.executable, "-c", _CHART, str(path), str(points)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        found.append([1e3 * seconds for seconds in json.loads(done.stdout)])
    return Chart(points, min(wall for wall, _ in found), min(cpu for _, cpu in found))


def fill(path: Path, points: int) -> None:
    """One run of one series of that many points, without HTTP: a file to read from."""
    with closing(Store.open(path)) as store:
        store.append("run-0", Batch("w", 1, ({"type": "run", "project": "bench", "time": 1.7e9},)))
        rng = np.random.default_rng(0)
        for start in range(0, points, 50_000):
            steps = np.arange(start, min(points, start + 50_000))
            places, noise = steps - start, rng.standard_normal(len(steps))
            times = 1.7e9 + steps * 0.01 + rng.random(len(steps)) * 0.005
            values = (4 * np.exp(-steps / points) + 0.1 * noise).astype(np.float32).astype(np.float64)
            table = Table(NAMES[:1], places, steps, times, values[:, None])
            store.append("run-0", Delivery("w", 2 + start, len(steps), (table,), ()))


class Listed(NamedTuple):
    """Milliseconds of server time for the Runs page."""

    runs: int
    store: float
    page: float


def runs_page(count: int, times: int = 5) -> Listed:
    """The list from the store, and the whole page as the browser gets it; the best of a few."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        config = {f"setting_{number}": number for number in range(30)} | {"max_steps": 1000}
        with closing(Store.open(home / "runwell.db")) as store:
            for number in range(count):
                begin = {"type": "run", "project": "bench", "name": f"run {number}", "config": config, "time": 1e9}
                values = [dict.fromkeys(NAMES, 1.0 / (step + 1)) for step in range(60)]
                points = [{"type": "metrics", "step": step, "time": 1e9, **some} for step, some in enumerate(values)]
                store.append(f"run-{number}", Batch("w", 1, (begin, *points)))
                if number % 4 == 0:
                    store.save_findings(
                        f"run-{number}", [_finding()], {"ran": ["plateau"], "skipped": {}, "failed": {}}
                    )
        services = create_services(Settings.read(home=home))
        found = []
        for _ in range(times):
            begun = time.perf_counter()
            services.store.summaries()
            listed = time.perf_counter()
            to_json(page.layout(services, {}))
            found.append((1e3 * (listed - begun), 1e3 * (time.perf_counter() - listed)))
        services.store.close()
    return Listed(count, min(store for store, _ in found), min(whole for _, whole in found))


def _finding() -> dict[str, object]:
    return {
        "rule": "plateau", "subject": "", "status": "open", "severity": "warning", "title": "The loss has stopped falling",
        "first_step": 1, "detected_step": 2, "last_step": 3, "because": [],
    }  # fmt: skip


# -- the tables ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Print each table as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points of a full measurement")
    scale = parser.parse_args().scale
    storing(scale)
    reading(scale)
    print("\n| runs | list from the store ms | whole page ms |\n|---:|---:|---:|")
    for count in (100, max(100, int(5000 * scale))):
        row = runs_page(count)
        print(f"| {row.runs:,} | {row.store:.0f} | {row.page:.0f} |", flush=True)


def storing(scale: float) -> None:
    """Durable points a second and bytes a point, by how many come from where, and growing."""
    print(
        "| runs at once | series | points | seconds | server CPU s | points/s | bytes a point |\n|---:|---:|---:|---:|---:|---:|---:|"
    )
    shapes = [(1, 6, 333_000), (1, 1000, 2000), (32, 6, 10_400), (1, 6, 1700), (1, 6, 17_000), (1, 6, 1_670_000),
              (10, 6, 33_300), (100, 6, 3_330)]  # fmt: skip
    for runs, series, rows in shapes:
        row = store_points(runs, series, max(100, round(rows * scale)))
        print(
            f"| {row.runs} | {row.series:,} | {row.points:,} | {row.seconds:.2f} | {row.cpu:.2f} | {row.points_a_second:,.0f} "
            f"| {row.bytes_a_point:.1f} |",
            flush=True,
        )


def reading(scale: float) -> None:
    """Time to a chart's numbers, growing."""
    print("\n| points | chart wall ms | chart CPU ms | bytes a point |\n|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for points in (10_000, 100_000, 1_000_000, 10_000_000):
            count, path = int(points * scale), Path(folder, f"{points}.db")
            fill(path, count)
            row = chart(path, count)
            print(f"| {count:,} | {row.wall:.1f} | {row.cpu:.1f} | {file_bytes(path) / count:.1f} |", flush=True)


if __name__ == "__main__":
    main()

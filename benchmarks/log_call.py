"""How long `run.log()` holds up the training thread: 6 and 1,000 scalars, server away and server there.

    python benchmarks/log_call.py            prints the table that docs/benchmarks.md holds

The background sender is on in every row. Calls come as fast as they can ("flat out", the worst case for the sender's
share of the interpreter) or 1,000 a second (a fast training loop). The server is a process of its own that stores in
memory, so that the numbers are the SDK's and not some disk's. `pack` is the floor: `struct.pack_into` a mapped file.

A second table tells what a pause before the call costs, whatever is called: its rows take turns, one a millisecond.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table; times in microseconds."""

    scalars: int
    server: str
    pace: str
    calls: int
    p50: float
    p99: float
    p999: float
    worst: float
    waiting: int


def percentiles(nanoseconds: list[int]) -> tuple[float, float, float, float]:
    """(p50, p99, p99.9, worst) in microseconds."""
    ordered = sorted(nanoseconds)
    ranks = (0.5, 0.99, 0.999)
    return (*(ordered[int(len(ordered) * rank)] / 1000 for rank in ranks), ordered[-1] / 1000)  # type: ignore[return-value]


def measure(scalars: int, calls: int, server: str, per_second: int) -> Row:
    """Log `calls` records and time each call; `per_second` 0 is flat out."""
    import runwell

    names = [f"train/metric_{number}" for number in range(scalars)]
    run = runwell.init("benchmark")
    taken = []
    clock = time.perf_counter_ns
    began = clock()
    for step in range(calls):
        values = dict.fromkeys(names, step * 0.5)
        if per_second:
            due = began + step * 1_000_000_000 // per_second
            while (ahead := due - clock()) > 0:
                time.sleep(ahead / 1e9 if ahead > 200_000 else 0)
        before = clock()
        run.log(values, step=step)
        taken.append(clock() - before)
    run.finish(timeout=60 if server == "there" else 0)
    waiting = run._writer.courier.waiting
    pace = f"{per_second:,}/s" if per_second else "flat out"
    return Row(scalars, server, pace, calls, *percentiles(taken), waiting)


def floor(scalars: int, calls: int, folder: Path) -> Row:
    """Packing the same bytes into a mapped file with nothing around it."""
    packer = struct.Struct(f"<IBBHqd{scalars}d")
    path = folder / "floor"
    path.write_bytes(bytes(packer.size * calls))
    numbers = [0.5] * scalars
    taken = []
    clock = time.perf_counter_ns
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        for step in range(calls):
            before = clock()
            packer.pack_into(memory, step * packer.size, 0, 2, 0, 0, step, time.time(), *numbers)
            taken.append(clock() - before)
    return Row(scalars, "–", "pack", calls, *percentiles(taken), 0)


def after_a_pause(calls: int, folder: Path) -> list[tuple[str, float, float, float]]:
    """(what, p50, p90, p99 in microseconds) of what is called a millisecond after anything was; the rows take turns."""
    import runwell
    from runwell.spool import Spool

    names = [f"train/metric_{number}" for number in range(6)]
    run = runwell.init("benchmark")
    alone = Spool(folder / "alone", "r", "w", limit_bytes=2**30, warn=lambda *_: None, meta={})
    packer = struct.Struct("<IBBHqd6d")
    memory = mmap.mmap(-1, packer.size * calls * 5)

    def pack(values: dict[str, float], step: int) -> None:
        packer.pack_into(memory, step * packer.size, 0, 2, 0, 0, step, time.time(), *values.values())

    turns: dict[str, Callable[[dict[str, float], int], object]] = {
        "an empty function": lambda values, step: None,
        "packing into mapped memory": pack,
        "the spool alone, no sender": lambda values, step: alone.metrics(values, step, time.time()),
        "run.log()": lambda values, step: run.log(values, step=step),
    }
    again = "run.log() at once after it"
    taken: dict[str, list[int]] = {name: [] for name in (*turns, again)}
    clock, began = time.perf_counter_ns, time.perf_counter_ns()
    for step, name in enumerate(list(turns) * calls):
        values = dict.fromkeys(names, step * 0.5)
        while (ahead := began + step * 1_000_000 - clock()) > 0:
            time.sleep(ahead / 1e9)
        for called in (name, again) if name == "run.log()" else (name,):
            before = clock()
            turns[name](values, step)
            taken[called].append(clock() - before)
    run.finish(timeout=60)

    def rank(times: list[int], share: float) -> float:
        return sorted(times)[int(len(times) * share)] / 1000

    return [(name, rank(times, 0.5), rank(times, 0.9), rank(times, 0.99)) for name, times in taken.items()]


class _Sink(BaseHTTPRequestHandler):
    """Takes every batch and says how far it is."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        from runwell.frames import decode_frames
        from runwell.wire import FRAMES_TYPE, decode_json_batch

        body = self.rfile.read(int(self.headers["Content-Length"]))
        batch = decode_frames(body).batch if self.headers["Content-Type"] == FRAMES_TYPE else decode_json_batch(body)[0]
        data = json.dumps({"stored_through": batch.next_seq - 1}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

    def log_message(self, *args: object) -> None:
        pass


def serve() -> None:
    """The server process: prints its port, then serves until it is ended."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    print(server.server_port, flush=True)
    server.serve_forever()


def all_rows(scale: float) -> tuple[list[Row], list[tuple[str, float, float, float]]]:
    """Every measurement, one after the other."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        there = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        try:
            for scalars, flat, paced in ((6, 200_000, 10_000), (1000, 4000, 1000)):
                rows.append(floor(scalars, int(flat * scale), Path(folder)))
                for server, url in (("away", "http://127.0.0.1:9"), ("there", there)):
                    os.environ["RUNWELL_URL"] = url
                    for calls, per_second in ((flat, 0), (paced, 1000 if scalars == 6 else 100)):
                        os.environ["RUNWELL_HOME"] = str(Path(folder) / f"{scalars}-{server}-{per_second}")
                        rows.append(measure(scalars, int(calls * scale), server, per_second))
            os.environ["RUNWELL_HOME"] = str(Path(folder) / "pause")
            paused = after_a_pause(int(2500 * scale), Path(folder))
        finally:
            process.terminate()
    return rows, paused


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| scalars | server | pace | calls | p50 µs | p99 µs | p99.9 µs | worst µs | not sent at the end |",
        "|---:|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        times = " | ".join(f"{value:,.1f}" for value in (row.p50, row.p99, row.p999, row.worst))
        lines.append(f"| {row.scalars:,} | {row.server} | {row.pace} | {row.calls:,} | {times} | {row.waiting:,} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the calls to make (0.05: a quick look)")
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    import logging

    logging.getLogger("runwell").setLevel(logging.ERROR)  # that records wait while the server is away is the point
    rows, paused = all_rows(args.scale)
    print(
        f"{table(rows)}\n\n| called after a pause of a millisecond | p50 µs | p90 µs | p99 µs |\n|---|---:|---:|---:|"
    )
    for name, *times in paused:
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in times)} |")


if __name__ == "__main__":
    main()

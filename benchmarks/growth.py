"""How ours grows: from ten thousand to ten million points in a run, and from one run to a hundred at once.

    python benchmarks/growth.py                some minutes; `make bench` prints it under its table
    python benchmarks/growth.py --scale 0.1    a tenth of the points

Each column is measured as in the benchmark that is named after it: the call (`log_call.py`, six numbers flat out, the server
away), what is stored and read (`store.py`), and the page in a new browser (`bench.py`, one series).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []

from benchmarks import log_call, store  # noqa: E402 (the repository's root is not on the path of a script)
from benchmarks.ending import end_on_sigterm  # noqa: E402
from benchmarks.peers import pages  # noqa: E402
from benchmarks.peers.tool import NAMES, SPIKES  # noqa: E402

POINTS = (10_000, 100_000, 1_000_000, 10_000_000)
RUNS = (1, 10, 100)
POINTS_OF_ALL_RUNS = 2_000_000

BY_POINTS = (
    "points of a run", "log() p50 µs", "p99 µs", "points/s until kept", "bytes a point", "chart query ms",
    "page to drawn chart s (opened again)", f"spikes that it got, of {SPIKES}",
)  # fmt: skip
BY_RUNS = ("runs at once", "points/s until kept, all together", "bytes a point", "Runs page ms")


def call(points: int, folder: Path) -> tuple[float, float]:
    """(p50, p99) in microseconds of a run's calls until it has that many points."""
    os.environ |= {"RUNWELL_HOME": str(folder), "RUNWELL_URL": "http://127.0.0.1:9"}
    row = log_call.measure(len(NAMES), max(100, points // len(NAMES)), "away", 0)
    return row.p50, row.p99


def by_points(scale: float) -> Iterator[list[str]]:
    """A line for each length of a run."""
    for points in POINTS:
        count = max(1000, int(points * scale))
        with tempfile.TemporaryDirectory() as folder:
            p50, p99 = call(count, Path(folder))
            path = Path(folder, "chart.db")
            store.fill(path, count)
            query = store.chart(path, count)
        kept = store.store_points(1, len(NAMES), count // len(NAMES))
        drawn = pages.chart("runwell", sys.executable, count)
        page = drawn.get("failed") or f"{drawn['first'] / 1000:.2f} ({drawn['again'] / 1000:.2f})"
        yield [
            f"{count:,}", f"{p50:.1f}", f"{p99:.1f}", f"{kept.points_a_second:,.0f}", f"{kept.bytes_a_point:.1f}",
            f"{query.wall:.1f}", page, str(drawn.get("spikes", "–")),
        ]  # fmt: skip


def by_runs(scale: float) -> Iterator[list[str]]:
    """A line for each number of runs, whose points come to the same."""
    for runs in RUNS:
        rows = max(100, int(POINTS_OF_ALL_RUNS * scale) // len(NAMES) // runs)
        kept, listed = store.store_points(runs, len(NAMES), rows), store.runs_page(runs)
        yield [str(runs), f"{kept.points_a_second:,.0f}", f"{kept.bytes_a_point:.1f}", f"{listed.page:.0f}"]


def show(headers: tuple[str, ...], lines: Iterator[list[str]]) -> None:
    """A Markdown table, line by line as it is measured."""
    print(f"\n| {' | '.join(headers)} |\n|{'---:|' * len(headers)}", flush=True)
    for line in lines:
        print(f"| {' | '.join(line)} |", flush=True)


def tables(scale: float) -> None:
    """Print both tables."""
    logging.getLogger("runwell").setLevel(logging.ERROR)  # that records wait while the server is away is the point
    print(f"Runwell {importlib.metadata.version('runwell')} alone, growing; load {os.getloadavg()[0]:.1f} before")
    show(BY_POINTS, by_points(scale))
    show(BY_RUNS, by_runs(scale))


def main() -> None:
    """Ask for the scale and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points (0.1: a quick look)")
    scale = parser.parse_args().scale
    end_on_sigterm()
    tables(scale)


if __name__ == "__main__":
    main()

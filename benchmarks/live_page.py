"""From `log()` to the pixel: a real server, real Chromium, a run that logs, and pages that watch it.

    python benchmarks/live_page.py                 every table that docs/benchmarks.md holds, a few minutes
    python benchmarks/live_page.py --only latency  one of: latency, hops, metrics, opening, idle, many

A point's way is measured on one clock: the time that `log()` wrote into the point, and the page's clock in the frame after
plotly has drawn it. Each page is asked at the end which points its charts hold: missing, wrong and doubled ones are
counted. Needs Chromium and playwright, as the browser tests do. The measuring is in `benchmarks/live/`.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []

from benchmarks.ending import end_on_sigterm  # noqa: E402 (the repository's root is not on the path of a script)
from benchmarks.live.browser import browsing  # noqa: E402
from benchmarks.live.hops import hops  # noqa: E402
from benchmarks.live.idle import Idle, idling  # noqa: E402
from benchmarks.live.latency import Latency, watching  # noqa: E402
from benchmarks.live.many import Watching, watching_many  # noqa: E402
from benchmarks.live.smooth import Scrolling, scrolling, time_to_chart  # noqa: E402
from benchmarks.live.source import fill, serving  # noqa: E402


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("latency", "hops", "metrics", "opening", "idle", "many"))
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each phase lasts")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long each idle page is looked at")
    parser.add_argument(
        "--phases", nargs="*", default=["1+19", "0+20", "4+16", "20+0"], help="pages seen + pages hidden"
    )
    parser.add_argument(
        "--points", type=int, nargs="*", default=[20_000, 1_000_000], help="of the runs that are opened"
    )
    options = parser.parse_args()
    end_on_sigterm()
    with serving() as served:
        if options.only in (None, "latency"):
            phases = [(int(seen), int(hidden)) for seen, hidden in (phase.split("+") for phase in options.phases)]
            _print_latency(watching(served, phases, seconds=options.seconds))
        if options.only in (None, "hops"):
            _print_hops(options.seconds)
        if options.only in (None, "metrics"):
            _print_scrolling([scrolling(served, count) for count in (50, 1000)])
        if options.only in (None, "idle"):
            _print_idle(idling(served, options.idle_seconds), options.idle_seconds)
        if options.only in (None, "many"):
            _print_many([row for count in (6, 1000) for row in watching_many(served, count, options.seconds)])
        if options.only in (None, "opening"):
            for count in options.points:
                fill(served.url, f"run-{count}", count)
            with browsing() as browser:
                rows = {
                    count: [time_to_chart(browser, served.url, f"run-{count}") for _ in range(3)]
                    for count in options.points
                }
            print("| points of the run | files fetched, ms | files in the cache, ms |\n|---:|---:|---:|")
            for count, found in rows.items():
                print(f"| {count:,} | {min(one.cold for one in found):,.0f} | {min(one.warm for one in found):,.0f} |")


def _print_latency(rows: list[Latency]) -> None:
    print("| pages | p50 ms | p95 ms | worst ms | points seen | server, cores | browser, cores |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        times = " | ".join("–" if math.isnan(one) else f"{one:,.0f}" for one in (row.p50, row.p95, row.worst))
        print(f"| {row.pages} | {times} | {row.points:,} | {row.server_core:.3f} | {row.browser_core:.3f} |")


def _print_hops(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stamps = Path(folder) / "stamps"
        with serving("-m", "benchmarks.live.hop_server", str(stamps)) as served:
            rows = hops(served, stamps, seconds)
    print("| from `log()` on | p50 ms | p95 ms | worst ms |\n|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row.name} | {row.p50:,.1f} | {row.p95:,.1f} | {row.worst:,.1f} |")


def _print_idle(rows: list[Idle], seconds: float) -> None:
    print(f"| page | server, cores | browser, cores | callbacks in {seconds:g} s |\n|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row.page} | {row.server_core:.4f} | {row.browser_core:.4f} | {row.callbacks} |")


def _print_many(rows: list[Watching]) -> None:
    print("| series | page | sent to it, KiB/s | server, cores | browser, cores |\n|---:|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row.series:,} | {row.page} | {row.kib:,.1f} | {row.server_core:.3f} | {row.browser_core:.3f} |")


def _print_scrolling(rows: list[Scrolling]) -> None:
    print(
        "| metrics | frame p50 ms | frame p95 ms | charts drawn at the end | browser, cores |\n|---:|---:|---:|---:|---:|"
    )
    for row in rows:
        print(f"| {row.metrics:,} | {row.frame_p50:.0f} | {row.frame_p95:.0f} | {row.drawn} | {row.browser_core:.2f} |")


if __name__ == "__main__":
    main()

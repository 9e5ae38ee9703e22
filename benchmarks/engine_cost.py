"""What one update of a run costs the rules, by the length of its history, and what the engine keeps in memory.

    python benchmarks/engine_cost.py            prints the table that docs/benchmarks.md holds

A run of ten series that the rules judge, validation at every hundredth step, is observed step by step; before each measured
length the steps are taken at a stroke. Seconds are of the CPU, in this thread: other work on the machine changes them less
than wall time, though it still empties caches. A look is an update after which all rules judged; most updates are none, so
the looks stand in a column of their own. Memory is what Python and numpy hold for the engine.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np

from diagnostics import RULES, Engine, Rule, Severity

MEASURED = 40
"""Looks that are measured at each length."""

BATCH = 10_000


def steps(start: int, stop: int, illness_at: int | None) -> Iterator[dict[str, Any]]:
    """Rows of a run that falls with noise, and diverges from a step on if one is given."""
    for begin in range(start, stop, BATCH):
        n = np.arange(begin, min(stop, begin + BATCH))
        noise = np.random.default_rng(begin).normal(0, 1, (8, n.size))
        loss = 2 + 6 * (1 + n / 50) ** -0.5 + 0.05 * noise[0]
        if illness_at is not None:
            loss = loss + np.clip((n - illness_at) * 1e-2, 0, 6)
        columns = {
            "train/loss": loss,
            "train/grad_norm": np.exp(0.2 * noise[1]),
            "train/learning_rate": 3e-4 / (1 + n / 1e5),
            "train/update_ratio": 1e-3 * np.exp(0.1 * noise[2]),
            "perf/tokens_per_second": 1e5 + 1e3 * noise[3],
            "perf/step_seconds": 0.1 + 1e-3 * noise[4],
            "perf/data_seconds": 0.001 + 1e-5 * noise[5],
            "gpu/memory_gib": 20 + 0.1 * noise[6],
            "gpu/memory_total_gib": np.full(n.size, 80.0),
        }
        for at, row in enumerate(zip(*(column.tolist() for column in columns.values()), strict=True)):
            event: dict[str, Any] = {"type": "metrics", "step": begin + at, **dict(zip(columns, row, strict=True))}
            if (begin + at) % 100 == 0:
                event["val/loss"] = row[0] + 0.1 + 0.02 * float(noise[7, at])
            yield event


def measure(length: int, sick: bool) -> str:
    """One line of the table: the updates from `length` steps on, until enough of them were looks."""
    looks = 0

    def count(_view: object) -> None:
        nonlocal looks
        looks += 1

    counter = Rule(id="counter", needs=(), blind="", severity=Severity.INFO, look=count)
    illness_at = length - length // 10 if sick else None
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    engine = Engine(rules=(*RULES, counter))
    engine.observe_all(steps(0, length, illness_at))
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    updates, look_times, start = [], [], looks
    for event in steps(length, 2 * length, illness_at):
        before_looks, began = looks, time.thread_time()
        engine.observe(event)
        took = 1e3 * (time.thread_time() - began)
        updates.append(took)
        if looks > before_looks:
            look_times.append(took)
        if looks - start >= MEASURED:
            break
    p50, p99, p999 = np.percentile(updates, (50, 99, 99.9))
    run = "diverging" if sick else "healthy"
    return (
        f"| {length:,} | {run} | {len(updates):,} | {p50:.4f} | {p99:.2f} | {p999:.2f} | {np.median(look_times):.2f} | "
        f"{np.percentile(look_times, 90):.2f} | {max(look_times):.2f} | {kept / 1024:,.0f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    args = parser.parse_args()
    print(
        "| steps before | run | updates | p50 ms | p99 ms | p99.9 ms | look p50 ms | look p90 ms | worst ms | engine KiB |"
    )
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    Engine().observe_all(steps(0, 2_000, 1_800))  # what all engines share is made before the first line is measured
    for length in args.lengths:
        for sick in (False, True):
            print(measure(length, sick), flush=True)


if __name__ == "__main__":
    main()

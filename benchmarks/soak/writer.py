"""Logs steps of six numbers at a pace, into one run or many; prints what it logged and how long `log()` took.

`--steps` a run, `--rate` steps a second of all runs together, `--burst` tenfold that from the middle on, `--jump` a wall
clock that is set by a day again and again, `--endless` until its standard input is closed, `--print` each step once it is logged.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time

import runwell
from runwell import run as run_module


def main() -> None:
    """Log, end the runs, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--runs", type=int, default=1)
    for flag in ("--burst", "--jump", "--endless", "--print"):
        parser.add_argument(flag, action="store_true")
    given = parser.parse_args()
    runs = [runwell.init("soak", name=f"soak {number}") for number in range(given.runs)]
    print(json.dumps([run.id for run in runs]), flush=True)
    took = []
    due = time.perf_counter()
    step = 0
    told = threading.Event()
    if given.endless:
        threading.Thread(target=_wait_for_the_end, args=(told,), daemon=True).start()
    while not told.is_set() if given.endless else step < given.steps:
        if given.jump and step % 500 == 250:
            _set_clock(step)
        for run in runs:
            values = {
                "loss": 1 / (step + 1),
                "grad_norm": 1.0,
                "lr": 3e-4,
                "a": float(step),
                "b": -1.0,
                "c": float("nan"),
            }
            began = time.perf_counter_ns()
            run.log(values, step=step)
            took.append(time.perf_counter_ns() - began)
        if given.print:
            os.write(1, b"%d\n" % step)
        step += 1
        due += given.runs / (given.rate * (10 if given.burst and step > given.steps / 2 else 1))
        if (wait := due - time.perf_counter()) > 0:
            time.sleep(wait)
    for run in runs:
        run.finish(timeout=120)
    took.sort()
    print(json.dumps({"steps": step, "p50_us": took[len(took) // 2] / 1e3, "p99_us": took[len(took) * 99 // 100] / 1e3,
                      "worst_us": took[-1] / 1e3}))  # fmt: skip


def _wait_for_the_end(told: threading.Event) -> None:
    sys.stdin.read()
    told.set()


def _set_clock(step: int) -> None:
    """What the SDK takes for the time is a day ahead, a day behind, and right again, in turn."""
    real, shift = time.time, (86_400.0, -86_400.0, 0.0)[step // 500 % 3]

    class Set:
        time = staticmethod(lambda: real() + shift)

        def __getattr__(self, name: str) -> object:
            return getattr(time, name)

    run_module.time = Set()  # type: ignore[assignment, attr-defined]


if __name__ == "__main__":
    main()

"""`python -m benchmarks.soak [--seconds 60] [NAME …]`: every fault in turn, and a table of what was held and what was lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.soak.scenarios import SCENARIOS, Outcome, Scenario


def main() -> int:
    """Run the scenarios; 1 when anything was lost, doubled or wrong."""
    names = [scenario.__name__ for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each of them logs")
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(names)}")
    given = parser.parse_args()
    if unknown := set(given.names) - set(names):
        parser.error(f"{sorted(unknown)} are no scenarios; there are: {', '.join(names)}")
    print(
        "| fault | records logged | lost | doubled | log() p99 µs | seconds | |\n|---|---:|---:|---:|---:|---:|---|",
        flush=True,
    )
    fine = [
        _run(scenario, given.seconds) for scenario in SCENARIOS if not given.names or scenario.__name__ in given.names
    ]
    return 0 if all(fine) else 1


def _run(scenario: Scenario, seconds: float) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="runwell-soak-") as folder:
        try:
            outcome = scenario(Path(folder), seconds)
        except Exception as error:
            outcome = Outcome(wrong=[repr(error)])
    name = scenario.__name__.replace("_", " ")
    note = "; ".join([outcome.note, *(f"WRONG: {what}" for what in outcome.wrong)])
    print(
        f"| {name} | {outcome.logged:,} | {outcome.lost} | {outcome.doubled} | {outcome.p99_us:.0f} "
        f"| {time.monotonic() - began:.0f} | {note} |", flush=True,
    )  # fmt: skip
    return outcome.fine


if __name__ == "__main__":
    sys.exit(main())

"""Put into the kept logs what runs tell of their data, and what a server says of their silences, as today's code does.

    python -m benchmarks.zoo.retell [--half tune|test|earlier|all] [--folder DIR]

Neither depends on training: when the trainer learns to tell more of its text, the zoo need not be trained again. Run it from the
repository's root.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.zoo.harm import Pair
from benchmarks.zoo.reporter import Recording
from benchmarks.zoo.spec import cases
from benchmarks.zoo.storage import LOGS, load, outcomes, recorded, save, stale, write_manifest

Event = dict[str, Any]


def retold(events: Sequence[Event], told: Sequence[Event]) -> list[Event]:
    """The log with `told` before its first numbers and after each rewind, and with the silences that its times have."""
    run, pending = Recording(lambda: 0.0), True
    for event in events:
        if event.get("type") in ("data", "clock"):
            continue
        if pending and event.get("type") == "metrics":
            pending = False
            _tell(run, told, 0)
        run.add(event)
        if event.get("type") == "rewind":
            _tell(run, told, int(event["step"]))
    return run.events


def _tell(run: Recording, told: Sequence[Event], step: int) -> None:
    for event in told:
        run.add({**event, "step": step})


def main(argv: Sequence[str] | None = None) -> int:
    """Write every recorded log anew; 0."""
    parser = argparse.ArgumentParser(description="Complete the zoo's kept logs without training.")
    parser.add_argument(
        "--half", choices=("tune", "test", "earlier", "all"), default="all", help="complete this half alone"
    )
    parser.add_argument("--folder", type=Path, default=LOGS, help="where the logs lie")
    args = parser.parse_args(argv)
    from benchmarks.zoo.training import data_events

    planned = cases(args.half)
    have = recorded(planned, args.folder)
    odd = {case.name for case in stale(have, args.folder)}
    pairs = {name: pair for name, pair in outcomes(have, args.folder).items() if isinstance(pair, Pair)}
    with tempfile.TemporaryDirectory() as cache:
        for case in have:
            if case.name not in odd:
                save(case, retold(load(case, args.folder), data_events(case, Path(cache))), args.folder)
    counts = write_manifest(planned, args.folder, pairs)
    print(f"{len(have) - len(odd)} logs completed, {counts['bytes'] / 1e6:.1f} MB in {args.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

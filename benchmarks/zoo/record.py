"""Record the zoo: train every planned run that has no log of its plan yet, and write the manifest.

    python -m benchmarks.zoo.record [--jobs N] [--seconds S] [--only FAMILY] [--folder DIR] [--list]

Run it from the repository's root. Ctrl-C stops it, and the next time it goes on where it was. Each run takes a few seconds on
one core; `--jobs` trains that many at once, each on one thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.zoo.spec import Case, cases
from benchmarks.zoo.storage import LOGS, path_of, save, stale, write_manifest


def record(case: Case, folder: Path, cache: Path) -> tuple[str, float]:
    """Train one case and keep its log; its name and the seconds it took."""
    import torch

    from benchmarks.zoo.training import train

    torch.set_num_threads(1)  # small tensors are faster on one, and the other cores have runs of their own
    started = time.perf_counter()
    save(case, train(case, cache), folder)
    return case.name, time.perf_counter() - started


def main(argv: Sequence[str] | None = None) -> int:
    """Record as the arguments say; 0, or 2 for a family that is not planned."""
    args = _parser().parse_args(argv)
    planned = cases()
    known = {case.family for case in planned}
    if args.only and args.only not in known:
        print(f"--only {args.only} is no family; families are: {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    wanted = [case for case in planned if args.only in ("", case.family)]
    old = {case.name for case in stale(wanted, args.folder)}
    missing = [case for case in wanted if case.name in old or not path_of(case, args.folder).is_file()]
    if args.list:
        for case in wanted:
            print(f"{case.name:32} {case.half:5} {'missing' if case in missing else 'recorded'}")
        return 0
    with tempfile.TemporaryDirectory() as cache:
        try:
            _record_all(missing, args.folder, Path(cache), args.jobs, args.seconds)
        except KeyboardInterrupt:
            print("stopped; what is recorded is kept", file=sys.stderr)
    counts = write_manifest(planned, args.folder)
    print(f"recorded {counts['recorded']} of {counts['planned']}, {counts['bytes'] / 1e6:.1f} MB in {args.folder}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Record the zoo's runs.")
    parser.add_argument("--jobs", type=int, default=1, help="runs to train at once")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further run after this long")
    parser.add_argument("--only", default="", metavar="FAMILY", help="record this family alone")
    parser.add_argument("--folder", type=Path, default=LOGS, help="where the logs lie")
    parser.add_argument("--list", action="store_true", help="say what is planned and recorded, and record nothing")
    return parser


def _record_all(missing: Sequence[Case], folder: Path, cache: Path, jobs: int, seconds: float) -> None:
    started = time.perf_counter()
    in_time = (case for case in missing if time.perf_counter() - started < seconds)
    for done, (name, took) in enumerate(_each(in_time, partial(record, folder=folder, cache=cache), jobs), 1):
        print(f"{done:4} of {len(missing)}  {name:32} {took:5.1f} s", flush=True)


def _each(todo: Iterator[Case], work: partial[tuple[str, float]], jobs: int) -> Iterator[tuple[str, float]]:
    if jobs == 1:
        yield from map(work, todo)
        return
    # Spawned, not forked: torch's threads do not survive a fork. A pool reads ahead, so with several jobs --seconds
    # ends a batch of them at a time.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        while batch := [case for _, case in zip(range(4 * jobs), todo, strict=False)]:
            yield from pool.imap_unordered(work, batch)


if __name__ == "__main__":
    sys.exit(main())

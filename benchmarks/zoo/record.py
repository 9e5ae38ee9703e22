"""Record the zoo: train every planned run that has no log of its plan yet, and write the manifests.

    python -m benchmarks.zoo.record [--half tune|test|earlier|all] [--jobs N] [--seconds S] [--only FAMILY] [--folder DIR] [--list]

Beside each sick run its healthy twin is trained (the same settings and seeds without the illness), of which only how it ended
is kept. Run it from the repository's root. Ctrl-C stops it, and the next time it goes on where it was. Each run takes a few
seconds on one core; `--jobs` trains that many at once, each on one thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.zoo.harm import Pair, compare, needs_twin, outcome
from benchmarks.zoo.spec import Case, cases
from benchmarks.zoo.storage import LOGS, load, path_of, save, stale, unpaired, write_manifest

BETWEEN = 10
"""Recordings between two writings of the manifest, so that a kill loses no more than these."""


Work = partial["Done"]


@dataclass(frozen=True, slots=True)
class Done:
    """What one case's recording gave."""

    name: str
    seconds: float
    pair: Pair | None


def record(case: Case, folder: Path, cache: Path, anew: frozenset[str]) -> Done:
    """Train one case, if it is named in `anew`, and keep its log; then its twin, if it is sick."""
    import torch

    from benchmarks.zoo.training import train

    torch.set_num_threads(1)  # small tensors are faster on one, and the other cores have runs of their own
    started = time.perf_counter()
    if case.name in anew:
        save(case, train(case, cache), folder)
    pair = None
    if case.sick:
        own = load(case, folder)
        pair = compare(case, own, train(case.twin(), cache) if needs_twin(case, outcome(own)) else None)
    return Done(case.name, time.perf_counter() - started, pair)


def main(argv: Sequence[str] | None = None) -> int:
    """Record as the arguments say; 0, or 2 for a family that is not planned."""
    args = _parser().parse_args(argv)
    planned = cases(args.half)
    known = {case.family for case in planned}
    if args.only and args.only not in known:
        print(f"--only {args.only} is no family; families are: {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    wanted = [case for case in planned if args.only in ("", case.family)]
    old = {case.name for case in stale(wanted, args.folder)}
    anew = frozenset(case.name for case in wanted if case.name in old or not path_of(case, args.folder).is_file())
    alone = {case.name for case in unpaired(wanted, args.folder)}
    missing = [case for case in wanted if case.name in anew or case.name in alone]
    if args.list:
        for case in wanted:
            print(f"{case.name:32} {case.half:5} {_state(case, anew, alone)}")
        return 0
    with tempfile.TemporaryDirectory() as cache:
        work = partial(record, folder=args.folder, cache=Path(cache), anew=anew)
        try:
            _record_all(missing, planned, args.folder, work, args.jobs, args.seconds)
        except KeyboardInterrupt:
            print("stopped; what is recorded is kept", file=sys.stderr)
    counts = write_manifest(planned, args.folder)
    print(f"recorded {counts['recorded']} of {counts['planned']}, {counts['bytes'] / 1e6:.1f} MB in {args.folder}")
    return 0


def _state(case: Case, anew: frozenset[str], alone: set[str]) -> str:
    return "missing" if case.name in anew else "without its twin" if case.name in alone else "recorded"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Record the zoo's runs.")
    parser.add_argument(
        "--half", choices=("tune", "test", "earlier", "all"), default="all", help="record this half alone"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs to train at once")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further run after this long")
    parser.add_argument("--only", default="", metavar="FAMILY", help="record this family alone")
    parser.add_argument("--folder", type=Path, default=LOGS, help="where the logs lie")
    parser.add_argument("--list", action="store_true", help="say what is planned and recorded, and record nothing")
    return parser


def _record_all(
    missing: Sequence[Case], planned: Sequence[Case], folder: Path, work: Work, jobs: int, seconds: float
) -> None:
    started, pairs = time.perf_counter(), dict[str, Pair]()
    in_time = (case for case in missing if time.perf_counter() - started < seconds)
    try:
        for number, done in enumerate(_each(in_time, work, jobs), 1):
            pairs |= {done.name: done.pair} if done.pair is not None else {}
            print(f"{number:4} of {len(missing)}  {done.name:32} {done.seconds:5.1f} s", flush=True)
            if number % BETWEEN == 0:
                write_manifest(planned, folder, pairs)
    finally:
        write_manifest(planned, folder, pairs)


def _each(todo: Iterator[Case], work: Work, jobs: int) -> Iterator[Done]:
    if jobs == 1:
        yield from map(work, todo)
        return
    # Spawned, not forked: torch's threads do not survive a fork. A pool reads ahead, so with several jobs --seconds
    # ends a batch of them at a time.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        while batch := [case for _, case in zip(range(4 * jobs), todo, strict=False)]:
            yield from pool.imap_unordered(work, batch)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop, it keeps what it has, as at Ctrl-C
    sys.exit(main())

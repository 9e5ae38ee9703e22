"""`runwell prune`: delete old runs and give their space back to the disk. Says what would go; deletes with --yes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from runwell.commands.numbers import whole

STATES = ("finished", "stopped", "crashed", "cancelled")
"""Runs that go on are never deleted."""


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell prune`."""
    parser = subparsers.add_parser(
        "prune",
        help="delete old runs and give their space back",
        description="Deletes runs that have ended, with all that the store keeps of them. What launched runs wrote on disk "
        "(checkpoints and their whole output, in runs/ under the home) stays there, unless --checkpoints is given.",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="these runs only (default: all that the flags choose)")
    parser.add_argument("--older-than", type=_days, metavar="DAYS", help="only runs made more than so many days ago")
    parser.add_argument("--keep", type=whole(), metavar="N", help="keep the N newest of those chosen")
    parser.add_argument("--project", help="only this project's runs")
    parser.add_argument("--state", choices=STATES, action="append", help="only runs that ended so (may be repeated)")
    parser.add_argument(
        "--checkpoints", action="store_true", help="delete their checkpoints and output on disk as well"
    )
    parser.add_argument("--yes", action="store_true", help="delete; without it, only what would go is said")
    parser.add_argument("--home", metavar="DIR", help="where the store lies (default: $RUNWELL_HOME)")
    parser.set_defaults(run=run)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; it takes a number of days")
    return days


def run(args: argparse.Namespace) -> int:
    """List what goes, and with --yes let it go."""
    if not (args.runs or args.older_than is not None or args.keep is not None or args.state or args.project):
        print("runwell prune: say which runs: their ids, --older-than, --keep, --state or --project", file=sys.stderr)
        return 2
    from dashboard.deletion import bytes_on_disk, delete
    from dashboard.errors import DashboardError
    from dashboard.settings import Settings
    from dashboard.store.opening import open_existing

    try:
        with open_existing(args.home) as store:
            home = Settings.read(home=args.home).home
            wanted = [store.run(run_id) for run_id in dict.fromkeys(args.runs)] or store.runs(project=args.project)
            for one in wanted if args.runs else ():
                if not one.state.ended:
                    print(f"keeping {one.id}  {_safe(one.name)}  {one.state.value}: stop it first", file=sys.stderr)
            chosen = _chosen(wanted, args, time.time())
            for one in chosen:
                print(f"{'deleting' if args.yes else 'would delete'} {one.id}  {_safe(one.name)}  {one.state.value}")
            ids = [one.id for one in chosen]
            on_disk = bytes_on_disk(home, ids)
            if args.yes:
                delete(store, ids, folders_under=home if args.checkpoints else None)
    except DashboardError as error:
        print(f"runwell prune: {error}", file=sys.stderr)
        return 1
    said = "1 run" if len(chosen) == 1 else f"{len(chosen):,} runs"
    print(f"{said} deleted" if args.yes else f"{said} would go; --yes deletes")
    if on_disk:
        print(_of_the_disk(on_disk, home, args))
    return 0


def _of_the_disk(size: int, home: Any, args: argparse.Namespace) -> str:
    """What becomes of checkpoints and output."""
    held = f"{size / 1e6:,.1f} MB of checkpoints and output"
    if args.checkpoints:
        return f"{held} deleted as well" if args.yes else f"{held} would go as well"
    return f"{held} {'stay' if args.yes else 'would stay'} in {home / 'runs'}; --checkpoints deletes them as well"


def _chosen(runs: Sequence[Any], args: argparse.Namespace, now: float) -> list[Any]:
    """Ended runs that pass every flag, newest first, without the newest that are to be kept."""
    found = [
        run
        for run in runs
        if run.state.ended
        and (args.state is None or run.state.value in args.state)
        and (args.project is None or run.project == args.project)
        and (args.older_than is None or now - run.created_at > args.older_than * 86_400)
    ]
    return sorted(found, key=lambda run: -run.created_at)[args.keep or 0 :]


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)

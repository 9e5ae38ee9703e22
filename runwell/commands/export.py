"""`runwell export RUN`: write a run as a run log (JSON lines), which `runwell diagnose` reads.

Reads the store itself, so it works without a server, on the machine that holds the store.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell export`."""
    parser = subparsers.add_parser("export", help="write a run as a run log (JSON lines)")
    parser.add_argument("run_id", metavar="RUN", help="the run's id, as `runwell runs` shows it")
    parser.add_argument("--output", metavar="FILE", help="where to write (default: standard output)")
    parser.add_argument("--home", metavar="DIR", help="where the store lies (default: $RUNWELL_HOME)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write every event of the run in the order in which it arrived."""
    from dashboard.errors import DashboardError
    from dashboard.settings import Settings
    from dashboard.store import Store
    from runwell.runlog import write_events

    try:
        url = Settings.read(home=args.home).database_url
        if "://" not in url and not Path(url).exists():
            # Opening it would make an empty one.
            print(f"runwell export: there is no store at {url}; say where it lies with --home", file=sys.stderr)
            return 1
        store = Store.open(url)
        record = store.run(args.run_id)
    except DashboardError as error:
        print(f"runwell export: {error}", file=sys.stderr)
        return 1
    events = (event for _, event in store.replay(record.id))
    if args.output is None:
        write_events(events, sys.stdout)
        return 0
    # A half-written log must never take the place of a whole one.
    target = Path(args.output)
    partial = target.with_name(target.name + ".part")
    try:
        with partial.open("w", encoding="utf-8") as file:
            write_events(events, file)
        partial.replace(target)
    except OSError as error:
        print(f"runwell export: cannot write {target}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"wrote {target}")
    return 0

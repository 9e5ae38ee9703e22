"""`runwell backup [FILE]`: copy the store while the server runs, and check the copy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell backup`."""
    parser = subparsers.add_parser(
        "backup",
        help="copy the store to a file, also while it is in use",
        description="Copies and checks a SQLite store.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="a new file (default: backups/ beside the store)")
    parser.add_argument("--home", metavar="DIR", help="where the store lies (default: $RUNWELL_HOME)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Copy, check, say where it lies."""
    from dashboard.errors import DashboardError
    from dashboard.store.opening import open_existing

    try:
        with open_existing(args.home) as store:
            target = store.back_up(Path(args.file) if args.file else None)
    except DashboardError as error:
        print(f"runwell backup: {error}", file=sys.stderr)
        return 1
    print(f"wrote {target} ({target.stat().st_size / 1e6:,.1f} MB), checked and whole")
    return 0

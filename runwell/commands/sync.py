"""`runwell sync [RUN …]`: send what lies in spools whose writers are gone, with progress."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ALL = 1_000_000
"""Segments to open at once: all, so that the progress has a total."""


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell sync`."""
    parser = subparsers.add_parser("sync", help="send records that wait on this machine to the server")
    parser.add_argument("run_ids", metavar="RUN", nargs="*", help="only these runs (default: all that left something)")
    parser.add_argument("--home", metavar="DIR", help="where the spool lies (default: $RUNWELL_HOME)")
    parser.add_argument("--url", metavar="URL", help="the server to send to (default: $RUNWELL_URL)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Send every left spool. Status 0 when nothing waits any more, 1 when something does, 2 for bad input."""
    import os

    from runwell.home import SettingError, read_environment

    given = {"RUNWELL_HOME": args.home, "RUNWELL_URL": args.url}
    try:
        environment = read_environment({**os.environ, **{name: value for name, value in given.items() if value}})
    except SettingError as error:
        print(f"runwell sync: {error}", file=sys.stderr)
        return 2
    return _sync(environment.spool, environment.url, environment.token, args.run_ids)


def _sync(root: Path, url: str, token: str, run_ids: list[str]) -> int:
    from runwell.notice import Notices
    from runwell.outbox import open_left, trouble_with, writer_folders
    from runwell.transport import HttpTransport

    folders = [folder for folder in writer_folders(root) if not run_ids or folder.parent.name in run_ids]
    unknown = set(run_ids) - {folder.parent.name for folder in folders}
    for run_id in sorted(unknown):
        print(f"{run_id}: nothing waits in {root}")
    transport, warn, waiting, shut = HttpTransport(url, token), Notices(), 0, False
    for folder in folders:
        left = open_left(folder, warn, ahead=ALL)
        if left is None:
            trouble = trouble_with(folder)
            shut = shut or bool(trouble)
            said = (
                f"its spool cannot be used: {trouble} ({folder})"
                if trouble
                else "its writer is alive and sends by itself"
            )
            print(f"{folder.parent.name}: {said}")
            continue
        waiting += _send(left, transport, warn)
    transport.close()
    if waiting:
        print(f"{waiting:,} records still wait in {root}; is the server at {url} up?", file=sys.stderr)
    elif not folders and not unknown:
        print(f"nothing waits in {root}")
    return 1 if waiting or shut else 0


def _send(left: Any, transport: Any, warn: Any) -> int:
    """Send one spool; returns how many of its records still wait."""
    from runwell.courier import Courier, Outcome

    courier = Courier(left, transport, warn)
    total = courier.waiting
    try:
        while courier.send() is Outcome.SENT:
            if sys.stderr.isatty():
                print(f"\r{left.run_id}: {total - courier.waiting:,} of {total:,} records", end="", file=sys.stderr)
    finally:
        # also on Ctrl-C: what was taken is remembered, the rest is left as it lies
        left.close(courier.ack.acked)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    gone = f", {courier.dropped:,} removed because the run was deleted" if courier.dropped else ""
    sent = f"{left.run_id}: {total - courier.waiting - courier.dropped:,} of {total:,} records sent{gone}"
    print(sent + (f" ({courier.trouble})" if courier.trouble else ""), flush=True)
    return courier.waiting

"""`runwell stop RUN`: ask a run to write a checkpoint and end."""

from __future__ import annotations

import argparse
import sys
import urllib.parse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell stop`."""
    parser = subparsers.add_parser("stop", help="ask a run to write a checkpoint and end")
    parser.add_argument("run_id", metavar="RUN", help="the run's id, as `runwell runs` shows it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the server; say what the run's state is now."""
    from runwell.client import Client, ServerError
    from runwell.home import read_environment

    try:
        answer = Client(read_environment()).post(f"/api/v1/runs/{urllib.parse.quote(args.run_id, safe='')}/stop", {})
    except ServerError as error:
        print(f"runwell stop: {error}", file=sys.stderr)
        return 1
    reason = answer.get("state_reason")
    print(f"{answer['id']} is {answer['state']}" + (f": {reason}" if reason else ""))
    return 0

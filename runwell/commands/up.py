"""`runwell up`: start the server and its pages."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from runwell.commands.numbers import whole


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell up`; what is not given comes from the environment."""
    parser = subparsers.add_parser("up", help="start the server and its pages")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1; any other needs RUNWELL_TOKEN)")
    parser.add_argument(
        "--port", type=whole(0, 65535), metavar="PORT", help="port to listen on (default $RUNWELL_PORT, else 8420)"
    )
    parser.add_argument("--home", metavar="DIR", help="where store, spool and checkpoints lie (default $RUNWELL_HOME)")
    parser.add_argument("--no-first-run", action="store_true", help="launch nothing on an empty store")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; 2 when the port is taken or a setting is wrong."""
    from dashboard.server import serve
    from dashboard.settings import Settings, SettingsError

    try:
        settings = Settings.read(
            host=args.host, port=args.port, home=args.home, first_run=False if args.no_first_run else None
        )
    except SettingsError as error:
        print(f"runwell up: {error}", file=sys.stderr)
        return 2
    return serve(settings)

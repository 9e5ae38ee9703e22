"""`runwell diagnose FILE…`: judge run logs of any trainer, without a server.

Exit status: 0 healthy, 1 warning, 2 critical (the worst of all files), 3 something could not be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diagnostics.report import Report

STATUS = {"healthy": 0, "warning": 1, "critical": 2}
UNREADABLE = 3


class BadArgument(ValueError):
    """A flag's value cannot be used. The message is the sentence to show."""


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell diagnose`."""
    parser = subparsers.add_parser(
        "diagnose",
        help="judge run logs (JSON lines or CSV)",
        description="Judge run logs of any trainer (JSON lines or CSV, - for standard input).",
        epilog="exit status: 0 healthy, 1 warning, 2 critical (the worst of all files), 3 could not read",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a run log; - reads standard input")
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    parser.add_argument(
        "--config", metavar="FILE", help="JSON with settings that the log lacks (vocab_size, max_steps, …)"
    )
    parser.add_argument(
        "--map", metavar="NAME=ROLE", action="append", default=[], help="what a series is; may be repeated"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge every file and print one report each."""
    from diagnostics.roles import RoleError

    try:
        config, roles = _read_config(args.config), _read_roles(args.map)
        results = [_judge(file, config, roles) for file in args.files]
    except (BadArgument, RoleError) as error:
        print(f"runwell diagnose: {error}", file=sys.stderr)
        return UNREADABLE
    _print(results, args.format)
    return max(UNREADABLE if isinstance(result, Unread) else STATUS[result.verdict] for result in results)


class Unread:
    """A file that could not be read, and why."""

    def __init__(self, source: str, why: str) -> None:
        self.source, self.why = source, why

    def to_mapping(self) -> dict[str, Any]:
        """Of the same shape as a report, so that one reader serves both."""
        coverage: dict[str, Any] = {"ran": [], "skipped": {}, "failed": {}}
        return {"source": self.source, "verdict": "unreadable", "error": self.why, "findings": [], "coverage": coverage}


def _judge(file: str, config: Mapping[str, Any], roles: Mapping[str, str]) -> Report | Unread:
    from diagnostics import Engine
    from diagnostics.report import make_report
    from runwell.runlog import UnreadableLog, read_events

    engine = Engine(config, roles=roles)
    problems: list[str] = []
    try:
        source = sys.stdin if file == "-" else file
        for event in read_events(source, name="standard input" if file == "-" else "", on_problem=problems.append):
            engine.observe(event)
    except UnreadableLog as error:
        return Unread(file, str(error))
    except OSError as error:
        return Unread(file, f"{file} cannot be read: {error.strerror or error}")
    for problem in problems:
        print(f"runwell diagnose: {problem}", file=sys.stderr)
    if not engine.coverage().ran:
        return Unread(file, f"{file} holds no series that a rule knows; name one with --map NAME=train_loss")
    return make_report(file, engine)


def _print(results: list[Report | Unread], form: str) -> None:
    if form == "json":
        print(json.dumps([result.to_mapping() for result in results], indent=2, ensure_ascii=False, allow_nan=False))
        return
    from diagnostics.report import as_markdown, as_text

    for result in results:
        if isinstance(result, Unread):
            print(f"runwell diagnose: {result.why}", file=sys.stderr)
        else:
            print(as_markdown(result) if form == "markdown" else as_text(result, colour=sys.stdout.isatty()))


def _read_config(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadArgument(f"--config {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise BadArgument(f"--config {path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadArgument(f"--config {path} holds {type(value).__name__}; it must be an object of settings")
    return value


def _read_roles(pairs: list[str]) -> dict[str, str]:
    roles = {}
    for pair in pairs:
        name, sign, role = pair.rpartition("=")
        if not sign or not name:
            raise BadArgument(f"--map {pair!r} must be NAME=ROLE, for example --map my_loss=train_loss")
        roles[name] = role
    return roles

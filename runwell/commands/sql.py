"""`runwell sql "SELECT …"`: ask the store in SQL, read-only. Prints a table, CSV or JSON.

Reads the store itself, so it works without a server, on the machine that holds the store, and beside a server that runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from runwell.commands.numbers import whole

EXAMPLE = """tables: runs, points (run, name, step, time, value), latest, findings; `SELECT * FROM runs LIMIT 1` shows the columns.
Times are seconds since 1970: datetime(time, 'unixepoch') reads them. A value that is NaN is the text 'NaN'; infinities are
numbers. Points that a resume has hidden are left out. A question without run and name unpacks every point there is.

  runwell sql "SELECT id, name, state, best_val_loss FROM runs ORDER BY best_val_loss LIMIT 5"
  runwell sql "SELECT step, value FROM points WHERE run = '20260101-120000-abcdef' AND name = 'train/loss' AND value > 5"
  runwell sql "SELECT rule, count(*) FROM findings WHERE status = 'open' GROUP BY rule"
"""


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell sql`."""
    parser = subparsers.add_parser(
        "sql",
        help="ask the store in SQL (read-only)",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("question", metavar="SELECT", help="one SELECT statement")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    parser.add_argument("--limit", type=whole(1), default=1000, help="rows at most (default 1000)")
    parser.add_argument("--seconds", type=whole(1), default=30, help="how long it may take (default 30)")
    parser.add_argument("--home", metavar="DIR", help="where the store lies (default: $RUNWELL_HOME)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the answer."""
    from dashboard.errors import DashboardError
    from dashboard.store.opening import open_existing

    try:
        with open_existing(args.home) as store:
            answer = store.ask(args.question, seconds=args.seconds, limit=args.limit)
    except DashboardError as error:
        print(f"runwell sql: {error}", file=sys.stderr)
        return 1
    _print(args.format, answer.columns, answer.rows)
    if answer.more:
        print(f"runwell sql: only the first {args.limit:,} rows are shown; --limit gives more", file=sys.stderr)
    return 0


def _print(form: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([columns, *([_named(value) for value in row] for row in rows)])
    elif form == "json":
        records = [dict(zip(columns, map(_named, row), strict=True)) for row in rows]
        print(json.dumps(records, indent=1, ensure_ascii=False))
    else:
        print(_table(columns, rows))


def _named(value: Any) -> Any:
    """An infinity by the name that it has in JSON everywhere here, bytes as hexadecimal digits."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns aligned. Control characters are shown, never sent to the terminal."""
    cells = [["" if value is None else str(_named(value)) for value in row] for row in rows]
    safe = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in [list(columns), *cells]]
    widths = [max(len(row[index]) for row in safe) for index in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in safe]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

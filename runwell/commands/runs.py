"""`runwell runs`: a table of the runs that the server knows."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from runwell.commands.numbers import whole

COLUMNS = ("id", "name", "state", "health", "step", "train loss", "val loss", "age")


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell runs`."""
    parser = subparsers.add_parser("runs", help="list the runs that the server knows")
    parser.add_argument("--project", help="only this project's runs")
    parser.add_argument(
        "--limit", type=whole(1, 10_000), metavar="N", default=50, help="at most this many, newest first (default 50)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the runs, newest first."""
    from runwell.client import Client, ServerError
    from runwell.home import read_environment

    try:
        rows = Client(read_environment()).get("/api/v1/runs", project=args.project, limit=args.limit)["runs"]
    except ServerError as error:
        return _fail(str(error))
    if args.format == "json":
        print(json.dumps(rows, indent=2))
    elif not rows:
        print(
            "No runs yet. Start one on the Launch page, with `runwell demo`, or with `runwell.init()` in your script."
        )
    else:
        print(table([cells(row, time.time()) for row in rows]))
    return 0


def cells(row: Mapping[str, Any], now: float) -> tuple[str, ...]:
    """One run as the texts of its columns. `now` is seconds since 1970."""
    return (
        str(row["id"]),
        str(row.get("name") or ""),
        str(row["state"]),
        str(row.get("verdict") or ""),
        str(row["last_step"]) if row.get("last_step") is not None else "-",
        number(row.get("train_loss")),
        number(row.get("best_val_loss")),
        age(now - float(row["created_at"])),
    )


def number(value: object) -> str:
    """A loss as people read it; non-finite values by their names."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value) if value else "-"
    return f"{value:.4g}"


def age(seconds: float) -> str:
    """Seconds as `12s`, `5m`, `3h` or `2d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows under their headings, columns aligned. Control characters in names are shown, never sent to the terminal."""
    safe = [tuple("".join(c if c.isprintable() else "?" for c in cell) for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in [COLUMNS, *safe]) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [COLUMNS, *safe]
    )


def _fail(sentence: str) -> int:
    import sys

    print(f"runwell runs: {sentence}", file=sys.stderr)
    return 1

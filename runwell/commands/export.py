"""`runwell export RUN`: write a run as a run log (JSON lines), which `runwell diagnose` reads, or as a table of its metrics.

Reads the store itself, so it works without a server, on the machine that holds the store.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

FORMATS = ("jsonl", "csv", "parquet")


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell export`."""
    parser = subparsers.add_parser(
        "export",
        help="write a run as a run log, CSV or Parquet",
        description="jsonl is the whole run; csv and parquet are its metrics: one row a log() call, a column a metric, empty "
        "where a call did not name it, without the rows that a resume has hidden.",
    )
    parser.add_argument("run_id", metavar="RUN", help="the run's id, as `runwell runs` shows it")
    parser.add_argument("--format", choices=FORMATS, help="default: as FILE ends, else jsonl")
    parser.add_argument(
        "--output", metavar="FILE", help="where to write (default: standard output; parquet needs a file)"
    )
    parser.add_argument("--home", metavar="DIR", help="where the store lies (default: $RUNWELL_HOME)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the run; a file gets its name when it is whole."""
    from dashboard.errors import DashboardError
    from dashboard.store.opening import open_existing

    form = args.format or _format_of(args.output)
    if form == "parquet" and args.output is None:
        print("runwell export: a Parquet file is no text; say where it goes with --output FILE", file=sys.stderr)
        return 2
    try:
        with open_existing(args.home) as store:
            store.run(args.run_id)
            if args.output is None:
                _write(form, store, args.run_id, sys.stdout)
                return 0
            return _write_file(form, store, args.run_id, Path(args.output))
    except DashboardError as error:
        print(f"runwell export: {error}", file=sys.stderr)
        return 1


def _format_of(output: str | None) -> str:
    ending = Path(output).suffix[1:].lower() if output else "jsonl"
    if ending in FORMATS:
        return ending
    print(
        f"runwell export: {output} ends in none of .jsonl, .csv and .parquet: it gets JSON lines (or say --format)",
        file=sys.stderr,
    )
    return "jsonl"


def _write_file(form: str, store: Any, run_id: str, target: Path) -> int:
    # A half-written file must never take the place of a whole one.
    partial = target.with_name(target.name + ".part")
    try:
        if form == "parquet":
            _write_parquet(store, run_id, partial)
        else:
            with partial.open("w", encoding="utf-8", newline="") as file:
                _write(form, store, run_id, file)
        partial.replace(target)
    except OSError as error:
        print(f"runwell export: cannot write {target}: {error.strerror or error}", file=sys.stderr)
        return 1
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    print(f"wrote {target}")
    return 0


def _write(form: str, store: Any, run_id: str, file: Any) -> None:
    import csv

    from runwell.runlog import write_events

    if form == "jsonl":
        write_events((event for _, event in store.replay(run_id)), file)
        return
    names = store.series_names(run_id)
    _warn_of(names)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["step", "time", *names])
    for event in _rows(store, run_id):
        writer.writerow([event["step"], event["time"], *(_cell(event.get(name)) for name in names)])


def _warn_of(names: list[str]) -> None:
    """Say which columns of a CSV would be read as something else than metrics."""
    odd = _lost_in_a_table(names)
    if len(odd) == len(names) > 1:  # one of them takes the others along
        odd = [name for name in names if _lost_in_a_table([name])] or odd
    if odd:
        told = ", ".join(repr(name) for name in odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        print(
            f"runwell export: who reads this CSV, `runwell import` too, may take {told} for the name of a run, or for another "
            "name; jsonl and parquet keep every name",
            file=sys.stderr,
        )


def _lost_in_a_table(names: list[str]) -> list[str]:
    """Those that would not come back under their names: a row with all of them is written and read to find out."""
    import csv
    import io

    from runwell.runlog import UnreadableLog, read_events

    table, row = io.StringIO(newline=""), {name: number + 0.5 for number, name in enumerate(names)}
    csv.writer(table, lineterminator="\n").writerows([["step", "time", *row], [0, 0.0, *row.values()]])
    table.seek(0)
    try:
        event = next(read_events(table), {})
    except UnreadableLog:
        event = {}
    return [name for name, number in row.items() if event.get(name) != number]


def _cell(value: float | None) -> str:
    """The shortest text that reads back as the same number; empty where there is none."""
    return "" if value is None else repr(value)


def _rows(store: Any, run_id: str) -> Iterator[dict[str, Any]]:
    """The metrics records that no rewind has hidden, in order of arrival."""
    return (event for _, event in store.replay(run_id, visible=True) if event["type"] == "metrics")


def _write_parquet(store: Any, run_id: str, path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    names = store.series_names(run_id)
    kinds = {"step": pyarrow.int64(), "time": pyarrow.float64()} | dict.fromkeys(names, pyarrow.float64())
    schema = pyarrow.schema(list(kinds.items()))
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _slices(_rows(store, run_id), 10_000):
            columns = {name: pyarrow.array([row.get(name) for row in rows], kinds[name]) for name in kinds}
            writer.write_table(pyarrow.table(columns, schema=schema))


def _slices(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    from itertools import islice

    while part := list(islice(rows, size)):
        yield part

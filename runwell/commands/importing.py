"""`runwell import FILE…`: store logs of other tools, exports and Parquet files as runs, each file one new run.

Writes into the store itself and judges what it wrote, so it works without a server and beside one. A file of which anything cannot be read is refused
whole, with the numbers of its bad lines: a run that silently lacks points would be judged wrongly.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from runwell.commands.judging import BadArgument, add_map_flag, read_roles

NAME = "import"
WRITER = "import"
BATCH = 5000
SHOWN = 5
"""Bad lines that are told of one file."""


class BrokenFile(ValueError):
    """A file that is not imported; the message says why."""


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell import`."""
    parser = subparsers.add_parser(
        NAME,
        help="store logs, exports and Parquet files as new runs",
        description="Takes what `runwell export` writes and what `runwell diagnose` reads: run logs, CSV, JSON lines, "
        "trainer_state.json, TensorBoard event files, printed logs, also packed with gzip; and Parquet.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="each becomes a run of its own")
    parser.add_argument("--project", default="imported", help="the runs' project (default imported)")
    parser.add_argument("--name", help="the run's name (default: the file's)")
    parser.add_argument(
        "--run", dest="only", metavar="NAME", default="", help="of a table of several runs, store this one"
    )
    add_map_flag(parser, "store a series under the name of what it is, as in my_nll=train_loss; may be repeated")
    parser.add_argument("--home", metavar="DIR", help="where the store lies (default: $RUNWELL_HOME)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Import each file or say why not; 1 when one was refused."""
    from dashboard.errors import DashboardError
    from dashboard.judgement import engines_with
    from dashboard.live import Hub
    from dashboard.rule_settings import find_rule_settings, read_rule_settings
    from dashboard.settings import Settings
    from dashboard.store import Store
    from dashboard.watcher import Watcher
    from diagnostics import reading
    from runwell.wire import WireError

    failed = 0
    try:
        names = _renamed(read_roles(args.map))
        settings = Settings.read(home=args.home)
        engine = engines_with(read_rule_settings(find_rule_settings(settings.home)))
        store = Store.open(settings.database_url)
    except (DashboardError, BadArgument) as error:
        print(f"runwell import: {error}", file=sys.stderr)
        return 1
    watcher = Watcher(store, Hub(), engine=engine)
    for name in args.files:
        try:
            called = args.name or args.only or Path(name).name
            choice = Choice(args.only, names, set())
            run_id, count = _import(store, Path(name), args.project, called, choice)
            print(f"{name}: run {run_id}, {count:,} records, {watcher.judge_whole(run_id)}")
            for missing in names.keys() - choice.met:
                print(f"runwell import: {name} has no series {missing!r}, which --map names", file=sys.stderr)
            if said := reading.missing(reading.Reading.of(store.coverage(run_id).get("read", {}))):
                print(f"runwell import: {name}: {said}", file=sys.stderr)
        except OSError as error:
            failed = 1
            print(f"runwell import: cannot read {name}: {error.strerror or error}", file=sys.stderr)
        except (BrokenFile, DashboardError, WireError) as error:
            failed = 1
            print(f"runwell import: {error}", file=sys.stderr)
    store.close()
    return failed


class Choice(NamedTuple):
    """What is taken of a file, and under which names."""

    only: str
    """Of several runs; empty for the first."""
    names: Mapping[str, str]
    """A series' name in normal form → the name that it is stored under."""
    met: set[str]
    """Those of them that the file had."""

    def rename(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event with its series under the names that were asked for. Raises BrokenFile when one is taken."""
        from diagnostics.roles import normal

        if not self.names or event.get("type") != "metrics":
            return event
        found = {}
        for name, value in event.items():
            new = self.names.get(form := normal(name), name)
            if new != name and new in event:
                raise BrokenFile(f"--map {name}: there is a series {new} beside it already; nothing of it was stored")
            self.met.update({form} & self.names.keys())
            found[new] = value
        return found


def _renamed(roles: Mapping[str, str]) -> dict[str, str]:
    from diagnostics.roles import BY_ID, normal

    for name, role in roles.items():
        if not role:
            raise BadArgument(f"--map {name}= names no role, and an import leaves no series out; name what it is")
    return {normal(name): BY_ID[role].log for name, role in roles.items()}


def _import(store: Any, path: Path, project: str, name: str, choice: Choice) -> tuple[str, int]:
    """The new run's id and how many records the file has. It is read twice: nothing is stored of one that is refused."""
    from runwell.api import new_run_id
    from runwell.wire import Batch

    began, count = None, 0
    for record in _records(path, choice):
        began = record.get("time") if began is None else began
        count += 1
    if not count:
        raise BrokenFile(f"{path} holds no records; nothing of it was stored")
    run_id = new_run_id()
    begin = {"type": "run", "project": project, "name": name}
    records = _told_whole(_records(path, choice), begin, began)
    seq = 1
    try:
        while events := tuple(islice(records, BATCH)):
            store.append(run_id, Batch(WRITER, seq, events))
            seq += len(events)
    except BaseException:
        if seq > 1:
            store.delete_run(run_id)  # half a run is none
        raise
    return run_id, count


def _told_whole(
    records: Iterator[dict[str, Any]], begin: dict[str, Any], began: float | None
) -> Iterator[dict[str, Any]]:
    """The run's announcement, its records, and its end when the file tells none.

    `began` is the first time that the file tells. In a file that tells times, a record without one came when the
    record before it did: today's time would look like a run that stood still for years.
    """
    ended, first, now = False, True, began
    for record in records:
        now = record.get("time", now)
        timed = {} if now is None else {"time": now}
        if first:
            yield begin | timed
            first = False
        if record["type"] == "run":
            record = {name: value for name, value in record.items() if name not in ("pid", "pid_started_at", "host")}
            record |= {"project": begin["project"], "name": begin["name"]}
        ended = record["type"] == "state" and record.get("state") != "running"
        yield record | timed
    if not ended:
        yield {"type": "state", "state": "finished", "reason": "imported"} | ({} if now is None else {"time": now})


def _records(path: Path, choice: Choice) -> Iterator[dict[str, Any]]:
    """What the file holds, checked as the server checks what it is sent. Raises BrokenFile, OSError."""
    from runwell.apart import OneRun
    from runwell.runlog import UnreadableLog, read_events
    from runwell.wire import BadEvent, validate_event

    head = b"" if path.is_dir() else _head(path)
    if head == b"PAR1":
        yield from _parquet(path, choice)
        return
    if head[:2] == b"\x1f\x8b":
        _check_packing(path)
    problems: list[str] = []
    try:
        for number, event in enumerate(
            read_events(path, on_problem=problems.append, one=OneRun(choice.only) if choice.only else None), 1
        ):
            if problems:
                continue  # the rest is read for its bad lines alone
            try:
                yield validate_event(choice.rename(event))
            except BadEvent as error:
                raise BrokenFile(f"{path}: record {number}: {error.reason}; nothing of it was stored") from None
    except UnreadableLog as error:
        raise BrokenFile(f"{error}; nothing of it was stored") from None
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise BrokenFile(f"{path} is refused, nothing of it was stored: {'; '.join(problems[:SHOWN])}{more}")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _check_packing(path: Path) -> None:
    """A gzip file whose end is missing: those who read logs take what is there, an import does not."""
    try:
        with gzip.open(path) as file:
            while file.read(2**20):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BrokenFile(f"{path} is cut off or damaged ({error}); nothing of it was stored") from None


def _parquet(path: Path, choice: Choice) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    from runwell.wire import BadEvent, validate_event

    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        if "step" not in names:
            raise BrokenFile(f"{path} has no column `step`, only {', '.join(names[:20])}; nothing of it was stored")
        number = 0
        for part in file.iter_batches(BATCH):
            for row in part.to_pylist():
                number += 1
                found = {name: value for name, value in row.items() if value is not None}
                try:
                    yield validate_event(choice.rename({**found, "type": "metrics"}))
                except BadEvent as error:
                    raise BrokenFile(f"{path}: row {number}: {error.reason}; nothing of it was stored") from None
    except pyarrow.ArrowException as error:
        raise BrokenFile(
            f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}); nothing of it was stored"
        ) from None

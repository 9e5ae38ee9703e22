"""Questions in SQL, over tables that a person can read: `runs`, `points`, `latest`, `findings`. Reads only.

Points lie packed, so a question is put to an empty SQLite database in memory, whose tables are filled from the store when
it begins and whose `points` are unpacked block by block while they are read. It is the same on SQLite and PostgreSQL, and
nothing in it can change the store: that database has no connection to a file, and is told to answer only SELECT.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import sqlalchemy as sa

from dashboard.errors import Refused
from dashboard.records import Floats, Ints
from dashboard.store import curves, packing, runs, texts, verdicts
from dashboard.store.tables import blocks, columns, series

TABLES: Mapping[str, tuple[str, ...]] = {
    "runs": (
        "id", "project", "name", "state", "reason", "verdict", "tags", "config", "parent", "created_at", "started_at",
        "ended_at", "last_step", "best_val_loss", "best_val_step", "host",
    ),
    "points": ("run", "name", "step", "time", "value"),
    "latest": ("run", "name", "step", "value"),
    "findings": (
        "run", "rule", "subject", "status", "severity", "title", "first_step", "detected_step", "last_step", "opened_at",
        "resolved_at",
    ),
}  # fmt: skip
"""What may be asked, and the columns of each. Times are seconds since 1970; a value that is NaN is the text 'NaN'."""

_SCHEMA = """
CREATE TABLE runs ({});
CREATE TABLE latest ({});
CREATE TABLE findings ({});
CREATE TABLE _series (key INTEGER PRIMARY KEY, run, name);
CREATE VIEW points AS
  SELECT s.run AS run, s.name AS name, p.value ->> 0 AS step, p.value ->> 1 AS time, p.value ->> 2 AS value
  FROM _series s CROSS JOIN json_each(_blocks(s.key)) b CROSS JOIN json_each(_unpacked(s.key, b.value)) p;
""".format(*tuple(", ".join(TABLES[name]) for name in ("runs", "latest", "findings")))

_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_INTERRUPTED = "interrupted"  # SQLite's own word for a question that was given up
_AT_ONCE = 1000  # rows filled in between two looks at the clock
_CHECKED_EVERY = 10_000  # steps of SQLite's machine between two looks at the clock
MAX_VALUE_BYTES = 16 * 2**20
"""Of one text in an answer. SQLite looks at no clock while it makes one, and would make one of a gigabyte."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Column names and rows; `more` when there were more rows than were asked for."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool


def ask(
    connection: sa.Connection, question: str, seconds: float, limit: int, clock: Callable[[], float] = time.monotonic
) -> Answer:
    """Answer one SELECT within so many seconds. Raises Refused, in one sentence, for what cannot be answered."""
    deadline = clock() + seconds
    desk = sqlite3.connect(":memory:")
    desk.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    failed: list[Exception] = []
    try:
        _lay_out(desk, connection, question.lower(), failed, lambda: clock() > deadline)
        desk.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY)
        desk.set_progress_handler(lambda: clock() > deadline, _CHECKED_EVERY)
        cursor = desk.execute(question)
        if cursor.description is None:
            raise Refused("only SELECT is answered here; nothing in the store can be changed with it")
        rows = cursor.fetchmany(limit + 1)
        return Answer(tuple(column[0] for column in cursor.description), tuple(rows[:limit]), len(rows) > limit)
    except UnicodeEncodeError:
        raise Refused("the question is no text: some of its bytes are not UTF-8") from None
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise failed[0] if failed else Refused(_why(error, seconds)) from error
    finally:
        desk.close()


def _why(error: Exception, seconds: float) -> str:
    said = str(error)
    if said == _INTERRUPTED:
        return f"the question took longer than {seconds:g} s; narrow it with WHERE run = … AND name = …, or give it more --seconds"
    if "not authorized" in said or "prohibited" in said:
        return "only SELECT is answered here; nothing in the store can be changed with it"
    if "too big" in said:
        return f"one value of the answer is longer than {MAX_VALUE_BYTES // 2**20} MiB, which is the most; ask for less of it"
    known = "; ".join(f"{name} ({', '.join(names)})" for name, names in TABLES.items())
    return f"SQL: {said.rstrip('.')}. There are: {known}"


def _lay_out(
    desk: sqlite3.Connection,
    connection: sa.Connection,
    question: str,
    failed: list[Exception],
    is_late: Callable[[], bool],
) -> None:
    """Fill the small tables that the question names, and tell where the points lie."""
    desk.executescript(_SCHEMA)
    rows = runs.listed(connection, None, None, None)
    ids = {row.key: row.id for row in rows}
    _fill(desk, "runs", (_run(row) for row in rows), is_late)
    if "latest" in question:
        latest = (
            (row.id, name, *said) for row in rows for name, said in texts.unpack(row.latest).items() if said[0] >= 0
        )
        _fill(desk, "latest", ((run, name, step, plain(value)) for run, name, step, value in latest), is_late)
    if "findings" in question:
        _fill(desk, "findings", (_finding(record) for record in verdicts.read(connection, verdicts.Wanted())), is_late)
    if "points" in question:
        named = connection.execute(sa.select(series.c.key, series.c.run_key, series.c.name))
        _fill(desk, "_series", ((key, ids[run_key], name) for key, run_key, name in named), is_late)
    hidden: dict[int, dict[int, int]] = {}

    def told(work: Callable[..., str]) -> Callable[..., str]:
        def answer(*keys: int) -> str:
            try:
                return work(*keys)
            except Exception as error:  # SQLite would say only that a function failed
                failed.append(error)
                raise

        return answer

    desk.create_function("_blocks", 1, told(lambda key: _blocks(connection, key)))
    desk.create_function("_unpacked", 2, told(lambda key, block: _points(connection, hidden, key, block)))


def _fill(desk: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]], is_late: Callable[[], bool]) -> None:
    for part in _slices(rows):
        if is_late():
            raise sqlite3.OperationalError(_INTERRUPTED)
        desk.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(part[0]))})", part)


def _slices(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    left = iter(rows)
    while part := list(islice(left, _AT_ONCE)):
        yield part


def _run(row: sa.Row[Any]) -> tuple[Any, ...]:
    return (
        row.id, row.project, row.name or row.id, row.state, row.state_reason, row.verdict, row.tags, row.config, row.parent_id,
        row.created_at, row.started_at, row.ended_at, row.last_step, row.best_val_loss, row.best_val_step, row.host,
    )  # fmt: skip


def _finding(record: Any) -> tuple[Any, ...]:
    return (record.run_id, *(getattr(record, name) for name in TABLES["findings"][1:]))


def plain(value: float) -> float | str:
    """A value as SQLite can hold it: NaN has no number there, so it is the text 'NaN'."""
    return "NaN" if value != value else float(value)


# -- points ----------------------------------------------------------------------------------------------------------


def _blocks(connection: sa.Connection, series_key: int) -> str:
    """The keys of a series' blocks as JSON."""
    return json.dumps(list(connection.scalars(_HELD, {"series": series_key})))


def _points(connection: sa.Connection, hidden: dict[int, dict[int, int]], series_key: int, block_key: int) -> str:
    """The visible points of a block as JSON: [[step, time, value], …]."""
    row = connection.execute(_CONTENT, {"series": series_key, "block": block_key}).one()
    steps, times = packing.unpack_integers(row.steps, row.rows), packing.unpack_times(row.times, row.rows)
    values = packing.unpack_values(row.data, row.rows)
    if row.run_key not in hidden:
        hidden[row.run_key] = curves.hidden_after(connection, row.run_key)
    cut = hidden[row.run_key].get(row.generation)
    if cut is not None:
        seen = steps <= cut
        for newer in connection.execute(
            _NEWER, {"series": series_key, "generation": row.generation, "last": row.last_step}
        ):
            seen &= ~np.isin(steps, packing.unpack_integers(newer.steps, newer.rows))
        steps, times, values = steps[seen], times[seen], values[seen]
    return _json(steps, times, values)


def _json(steps: Ints, times: Floats, values: Floats) -> str:
    rows = list(map(list, zip(steps.tolist(), times.tolist(), values.tolist(), strict=True)))
    if not np.isfinite(values).all():
        for row in rows:
            value = row[2]
            # 9e999 is how SQLite's JSON spells infinity; texts.pack would write a name that it does not know.
            row[2] = "NaN" if value != value else value
        text = json.dumps(rows, separators=(",", ":"))
        return text.replace("-Infinity", "-9e999").replace("Infinity", "9e999")
    return json.dumps(rows, separators=(",", ":"))


_HELD = sa.select(columns.c.block_key).where(columns.c.series_key == sa.bindparam("series"))
_CONTENT = (
    sa.select(
        blocks.c.run_key, blocks.c.generation, blocks.c.rows, blocks.c.last_step, blocks.c.steps, blocks.c.times, columns.c.data
    )
    .join(columns, columns.c.block_key == blocks.c.key)
    .where(columns.c.series_key == sa.bindparam("series"), columns.c.block_key == sa.bindparam("block"))
)  # fmt: skip
_NEWER = (
    sa.select(blocks.c.rows, blocks.c.steps)
    .join(columns, columns.c.block_key == blocks.c.key)
    .where(
        columns.c.series_key == sa.bindparam("series"),
        blocks.c.generation > sa.bindparam("generation"),
        blocks.c.first_step <= sa.bindparam("last"),
    )
)

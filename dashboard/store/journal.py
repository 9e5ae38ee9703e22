"""Reads what is not a point: samples, output lines, the timeline. Reads only, one connection in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from dashboard.records import LogLine, Sample, TimelineEntry
from dashboard.store import texts
from dashboard.store.curves import hidden_after
from dashboard.store.tables import entries, runs
from runwell.wire import NON_FINITE

TIMELINE = ("checkpoint", "state", "left", "alert", "ack", "rewind")
"""What the timeline shows when it is not told otherwise."""


def samples(connection: sa.Connection, run_key: int, limit: int | None) -> list[Sample]:
    """Samples oldest first (the newest `limit` of them), without those that a rewind has hidden."""
    query = _of_kind(run_key, ["sample"]).order_by(entries.c.arrival.desc())
    for generation, step in hidden_after(connection, run_key).items():
        query = query.where(sa.or_(entries.c.generation != generation, entries.c.step <= step))
    rows = connection.execute(query.limit(limit) if limit is not None else query).all()
    return [_sample(row) for row in reversed(rows)]


def logs(connection: sa.Connection, run_key: int, after: int, limit: int) -> list[LogLine]:
    """Output lines numbered above `after`, oldest first."""
    query = _of_kind(run_key, ["log"]).where(entries.c.arrival > after).order_by(entries.c.arrival).limit(limit)
    return [_line(row) for row in connection.execute(query)]


def tail(connection: sa.Connection, run_key: int, count: int) -> list[LogLine]:
    """The last `count` output lines, oldest first."""
    query = _of_kind(run_key, ["log"]).order_by(entries.c.arrival.desc()).limit(count)
    return [_line(row) for row in connection.execute(query)][::-1]


def timeline(
    connection: sa.Connection, run_key: int, kinds: Collection[str] | None, limit: int | None
) -> list[TimelineEntry]:
    """Everything else that happened (the newest `limit` of it), in order of arrival."""
    query = _of_kind(run_key, TIMELINE if kinds is None else kinds).order_by(entries.c.arrival.desc()).limit(limit)
    found = connection.execute(query).all()
    return [TimelineEntry(kind=row.kind, step=row.step, time=row.time, data=_data(row)) for row in reversed(found)]


def alerts(
    connection: sa.Connection, run_key: int | None, limit: int, level: str | None = None
) -> list[tuple[str, TimelineEntry]]:
    """The newest alerts that the script of a run, or of any, told, newest first, each with its run's id."""
    query = sa.select(entries, runs.c.id).join_from(runs, entries, entries.c.run_key == runs.c.key)
    query = query.where(entries.c.kind == sa.literal_column("'alert'")).limit(limit)  # as the index says it
    if level is not None:
        # As `texts` packs an event; in a title or a text these quotes would be escaped. A warning is what names no level.
        named = entries.c.body.contains(f'"level":"{level}"')
        query = query.where(sa.or_(named, ~entries.c.body.contains('"level":"')) if level == "warning" else named)
    if run_key is None:
        query = query.order_by(entries.c.time.desc(), entries.c.arrival.desc())
    else:
        query = query.where(runs.c.key == run_key).order_by(entries.c.arrival.desc())
    return [
        (row.id, TimelineEntry(kind=row.kind, step=row.step, time=row.time, data=_data(row)))
        for row in connection.execute(query)
    ]


def dropped(connection: sa.Connection, run_key: int) -> int:
    """How many records the run's senders said they had to give up (in the newest 1,000 alerts that say so)."""
    query = _of_kind(run_key, ["alert"]).where(entries.c.body.contains('"dropped"')).order_by(entries.c.arrival.desc())
    counts = [_data(row).get("dropped") for row in connection.execute(query.limit(1000))]
    return sum(count for count in counts if isinstance(count, int) and not isinstance(count, bool) and count > 0)


def _of_kind(run_key: int, kinds: Collection[str]) -> sa.Select[Any]:
    return sa.select(entries).where(entries.c.run_key == run_key, entries.c.kind.in_(list(kinds)))


def _data(row: sa.Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in texts.unpack(row.body).items() if name not in ("type", "step", "time")}


def _sample(row: sa.Row[Any]) -> Sample:
    data = _data(row)
    return Sample(
        step=row.step or 0,
        time=row.time,
        prompt=data.get("prompt") or "",
        text=data.get("text") or "",
        measures={
            name: number
            for name, value in data.items()
            if name not in ("prompt", "text") and (number := _number(value)) is not None
        },
    )


def _number(value: Any) -> float | None:
    """A measure as a float. One that the wire does not know keeps the name of its NaN or infinity: it is a number here."""
    if isinstance(value, str):
        return NON_FINITE.get(value)
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53):
        return float(value)
    return None


def _line(row: sa.Row[Any]) -> LogLine:
    data = _data(row)
    return LogLine(
        number=row.arrival, time=row.time, stream=data.get("stream") or "stdout", text=data.get("text") or ""
    )

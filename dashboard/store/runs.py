"""Rows of runs to records and back. One connection in, SQL out; no transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from dashboard.errors import UnknownRun
from dashboard.records import Run, RunSummary, State, WriterRecord
from dashboard.store import sparkline, texts
from dashboard.store.database import insert_ignore
from dashboard.store.later import LaterFloats, LaterMapping
from dashboard.store.tables import deleted_writers, findings, runs, writers
from runwell.wire import SDK_WRITER

Told = tuple[tuple[str, str], ...]
"""(severity, title) of findings."""

# Built once: every request asks these, and building a statement takes longer than answering it.
_FIND = sa.select(runs).where(runs.c.id == sa.bindparam("run_id"))
_FIND_LOCKED = _FIND.with_for_update()
_WRITER = sa.select(writers).where(writers.c.run_key == sa.bindparam("run"), writers.c.name == sa.bindparam("writer"))

_LIVE_FIRST = {"critical": 0, "warning": 1, "info": 2}


def find(connection: sa.Connection, run_id: str, *, lock: bool = False) -> sa.Row[Any]:
    """The row of a run; `lock` holds it until the transaction ends. Raises UnknownRun."""
    row = find_or_none(connection, run_id, lock=lock)
    if row is None:
        raise UnknownRun(run_id)
    return row


def find_or_none(connection: sa.Connection, run_id: str, *, lock: bool = False) -> sa.Row[Any] | None:
    """The row of a run, or None."""
    return connection.execute(_FIND_LOCKED if lock else _FIND, {"run_id": run_id}).one_or_none()


def create(connection: sa.Connection, run_id: str, now: float, **values: Any) -> None:
    """Insert a run unless it exists."""
    insert_ignore(connection, runs, {"id": run_id, "created_at": now, "project": "default", "name": "", **values})


def delete(connection: sa.Connection, run_id: str, now: float) -> None:
    """Delete a run and all that is kept of it, but for the names of its writers. Raises UnknownRun."""
    key = find(connection, run_id).key
    names = connection.scalars(sa.select(writers.c.name).where(writers.c.run_key == key)).all()
    gone = [{"run_id": run_id, "name": name, "deleted_at": now} for name in names if SDK_WRITER.fullmatch(name)]
    if gone:
        insert_ignore(connection, deleted_writers, *gone)
    connection.execute(runs.delete().where(runs.c.key == key))


def was_deleted(connection: sa.Connection, run_id: str, writer: str) -> bool:
    """Whether that writer wrote a run of this id which was deleted."""
    query = sa.select(deleted_writers.c.name).where(
        deleted_writers.c.run_id == run_id, deleted_writers.c.name == writer
    )
    return connection.scalar(query) is not None


def writer(connection: sa.Connection, run_key: int, name: str) -> sa.Row[Any] | None:
    """The row of a run's writer, or None when it never wrote."""
    return connection.execute(_WRITER, {"run": run_key, "writer": name}).one_or_none()


def writers_of(connection: sa.Connection, run_key: int) -> list[WriterRecord]:
    """All writers of a run, in the order in which they first came."""
    query = sa.select(writers).where(writers.c.run_key == run_key).order_by(writers.c.key)
    return [
        WriterRecord(
            name=row.name, stored_through=row.stored_through, duplicates=row.duplicates, refused=row.refused,
            last_contact_at=row.last_contact_at, forked=bool(row.forked), ended_at=row.ended_at,
            said=texts.unpack(row.said) if row.said else {},
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def listed(
    connection: sa.Connection,
    project: str | None,
    states: Iterable[State] | None,
    limit: int | None,
    *,
    parent: str | None = None,
    ids: Iterable[str] | None = None,
) -> list[sa.Row[Any]]:
    """Rows of runs, newest first."""
    query = sa.select(runs).order_by(runs.c.created_at.desc(), runs.c.key.desc())
    if parent is not None:
        query = query.where(runs.c.parent_id == parent)
    if project is not None:
        query = query.where(runs.c.project == project)
    if states is not None:
        query = query.where(runs.c.state.in_([State(state).value for state in states]))
    if ids is not None:
        query = query.where(runs.c.id.in_(list(ids)))
    if limit is not None:
        query = query.limit(limit)
    return list(connection.execute(query))


def to_record(row: sa.Row[Any]) -> Run:
    """The run as everything outside the store knows it."""
    return Run(
        id=row.id, project=row.project, name=row.name or row.id, state=State(row.state), state_reason=row.state_reason,
        tags=tuple(texts.unpack(row.tags)) if row.tags != "[]" else (), config=LaterMapping(row.config), parent_id=row.parent_id,
        created_at=row.created_at, started_at=row.started_at, ended_at=row.ended_at, last_event_at=row.last_event_at,
        last_step=row.last_step, launched=bool(row.launched), pid=row.pid, pid_started_at=row.pid_started_at,
        host=row.host, exit_code=row.exit_code, verdict=row.verdict,
    )  # fmt: skip


def to_summary(row: sa.Row[Any], told: tuple[Told, Told] = ((), ())) -> RunSummary:
    """The run with its latest numbers."""
    return RunSummary(
        run=to_record(row), latest=LaterMapping(row.latest, _values),
        best_val_loss=row.best_val_loss, best_val_step=row.best_val_step, sparkline=LaterFloats(row.sparkline, _curve),
        open_findings=told[0], known_findings=told[1],
    )  # fmt: skip


def _values(latest: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: float(value) for name, (_, value) in latest.items()}


def _curve(state: sparkline.State) -> list[float]:
    return state[2]


def told_findings(connection: sa.Connection, run_keys: list[int]) -> dict[int, tuple[Told, Told]]:
    """(severity, title) of the findings of these runs (all runs when the list is long), worst first: the open ones, and
    those that still count in the verdict although they are acknowledged or over."""
    told = (findings.c[name] for name in ("run_key", "decision", "resolved_at", "severity", "title", "body"))
    query = sa.select(*told).where(findings.c.decision != "muted").order_by(findings.c.detected_step, findings.c.rule)
    if len(run_keys) <= 500:
        query = query.where(findings.c.run_key.in_(run_keys))
    found: dict[int, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {}
    for run_key, decision, resolved_at, severity, title, body in connection.execute(query).all():
        fresh, known = found.setdefault(run_key, ([], []))
        if decision == "open" and resolved_at is None:
            fresh.append((severity, title))
        elif severity != "info" and not texts.unpack(body).get("because"):
            known.append((severity, title))
    return {key: (_worst_first(fresh), _worst_first(known)) for key, (fresh, known) in found.items()}


def _worst_first(some: list[tuple[str, str]]) -> Told:
    return tuple(sorted(some, key=lambda one: _LIVE_FIRST.get(one[0], 3)))

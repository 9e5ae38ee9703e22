"""Commands for workers: asked, delivered with an answer to a batch, acknowledged by an `ack` event. One connection in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from dashboard.records import Command
from dashboard.store import texts
from dashboard.store.tables import commands


def add(connection: sa.Connection, run: sa.Row[Any], kind: str, args: Mapping[str, Any], now: float) -> Command:
    """Store a command; the worker gets it with its next answer."""
    inserted = connection.execute(
        commands.insert().values(run_key=run.key, kind=kind, args=texts.pack(dict(args)), created_at=now)
    )
    assert inserted.inserted_primary_key is not None
    return Command(id=inserted.inserted_primary_key[0], run_id=run.id, kind=kind, args=dict(args), created_at=now)


def read(connection: sa.Connection, run: sa.Row[Any], *, pending: bool) -> list[Command]:
    """A run's commands, oldest first; with `pending` only those not acknowledged yet."""
    query = sa.select(commands).where(commands.c.run_key == run.key).order_by(commands.c.id)
    if pending:
        query = query.where(commands.c.acknowledged_at.is_(None))
    return [
        Command(
            id=row.id, run_id=run.id, kind=row.kind, args=texts.unpack(row.args), created_at=row.created_at,
            acknowledged_at=row.acknowledged_at, outcome=row.outcome,
        )
        for row in connection.execute(query)
    ]  # fmt: skip

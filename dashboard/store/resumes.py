"""Which generation of a run a writer's records belong to, when the run is resumed by one process or by several at once.

A `rewind` begins a generation. What a killed process left behind stays in the one before it, however late it comes; the
ranks that resume together share one, whichever of them says so. One connection in, SQL out; writes nothing.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dashboard.store.tables import blocks, generations


def begun_by(connection: sa.Connection, run_key: int, time: float) -> int:
    """The newest generation that had begun at that time."""
    newest = sa.select(sa.func.max(generations.c.generation)).where(
        generations.c.run_key == run_key, generations.c.time <= time
    )
    return connection.scalar(newest) or 0


def of_writer(connection: sa.Connection, run: sa.Row[Any], writer: sa.Row[Any], first: float, last: float) -> int:
    """The generation of what a writer logged from time `first` to `last`, where others have rewound the run."""
    own: int = writer.generation
    if not _has_points(connection, writer.key):
        # A rank that began before another one rewound, or the server itself, that speaks of now.
        return max(own, begun_by(connection, run.key, first))
    rewinds = _rewinds(connection, run.key, own)
    newest = rewinds[-1]
    if rewinds[0].generation == own and len({row.step for row in rewinds}) == 1 and last >= newest.time:
        # It resumed at that very step itself, and lives on after a slower rank has said the same.
        return int(newest.generation)
    return own


def is_told_again(connection: sa.Connection, run_key: int, writer: sa.Row[Any], newest: int, step: int) -> bool:
    """Whether a rewind only repeats the newest one: to the same step, by a rank that began before it and has no points."""
    if writer.generation >= newest or _has_points(connection, writer.key):
        return False
    return any(row.step == step for row in _rewinds(connection, run_key, newest))


def _rewinds(connection: sa.Connection, run_key: int, since: int) -> list[sa.Row[Any]]:
    """The rewinds from that generation on, oldest first."""
    query = sa.select(generations).where(generations.c.run_key == run_key, generations.c.generation >= since)
    return list(connection.execute(query.order_by(generations.c.generation)))


def _has_points(connection: sa.Connection, writer_key: int) -> bool:
    query = sa.select(blocks.c.key).where(blocks.c.writer_key == writer_key).limit(1)
    return connection.scalar(query) is not None

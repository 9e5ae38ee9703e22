"""Writes points as packed blocks and merges small blocks into large ones. One connection in, SQL out; no transactions.

A batch appends small blocks. When a writer's key set has MERGE of one level they become one of the next level, so that
a point is rewritten a few times at most, whatever the size of the batches, until its block is full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from dashboard.records import Floats, Ints
from dashboard.store import packing, pieces
from dashboard.store.tables import blocks, columns, digests, outlines

MERGE = 16
FULL = 99
"""The level of a block that is never merged again."""

_ROWS = 4096
_VALUES = _ROWS * 64  # bounds the memory that one block takes when thousands of metrics are logged at once

# Built once: every batch asks these, and building a statement takes longer than answering it.
_LEVEL = (
    (blocks.c.writer_key == sa.bindparam("writer"))
    & (blocks.c.key_set == sa.bindparam("key_set"))
    & (blocks.c.generation == sa.bindparam("generation"))
    & (blocks.c.level == sa.bindparam("level"))
)
_COUNT_LEVEL = sa.select(sa.func.count()).select_from(blocks).where(_LEVEL)
_READ_LEVEL = sa.select(blocks).where(_LEVEL).order_by(blocks.c.first_arrival)
_INSERT_BLOCK, _INSERT_COLUMNS = blocks.insert(), columns.insert()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose points: the run, its writer, the key set with its series in column order, and the generation."""

    run_key: int
    writer_key: int
    key_set: int
    series_keys: tuple[int, ...]
    generation: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Points in arrival order: `values` has shape (rows, series)."""

    arrivals: Ints
    steps: Ints
    times: Floats
    values: Floats

    def __getitem__(self, which: slice | NDArray[np.bool_]) -> Rows:
        return Rows(self.arrivals[which], self.steps[which], self.times[which], self.values[which])

    def __len__(self) -> int:
        return len(self.steps)


def rows_in_block(width: int) -> int:
    """Rows of a full block of `width` series."""
    return int(min(_ROWS, max(64, _VALUES // max(width, 1))))


def write(connection: sa.Connection, owner: Owner, rows: Rows) -> None:
    """Append rows as blocks, then merge what has become many."""
    _insert(connection, owner, rows, level=0)
    level = 0
    while _merge(connection, owner, level):
        level += 1


def _insert(connection: sa.Connection, owner: Owner, rows: Rows, level: int) -> None:
    size = rows_in_block(len(owner.series_keys))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        _insert_block(connection, owner, part, FULL if len(part) == size else level)


def _insert_block(connection: sa.Connection, owner: Owner, rows: Rows, level: int) -> None:
    order = np.argsort(rows.steps, kind="stable")
    newest = order[-1]
    block = connection.execute(
        _INSERT_BLOCK,
        {
            "run_key": owner.run_key, "writer_key": owner.writer_key, "key_set": owner.key_set, "generation": owner.generation,
            "level": level, "rows": len(rows), "first_arrival": int(rows.arrivals[0]), "last_arrival": int(rows.arrivals[-1]),
            "first_step": int(rows.steps[order[0]]), "last_step": int(rows.steps[newest]), "last_time": float(rows.times[newest]),
            "arrivals": packing.pack_integers(rows.arrivals), "steps": packing.pack_integers(rows.steps),
            "times": packing.pack_times(rows.times),
        },
    )  # fmt: skip
    assert block.inserted_primary_key is not None
    key = block.inserted_primary_key[0]
    columns_of = _aggregates(rows.steps[order], rows.values[order]) | {"data": packing.pack_values(rows.values)}
    connection.execute(
        _INSERT_COLUMNS,
        [
            {"series_key": series, "block_key": key, **dict(zip(columns_of, column, strict=True))}
            for series, column in zip(owner.series_keys, zip(*columns_of.values(), strict=True), strict=True)
        ],
    )
    if len(rows) >= pieces.WORTHWHILE:
        _insert_pieces(connection, owner, key, rows, order)


def _insert_pieces(connection: sa.Connection, owner: Owner, key: int, rows: Rows, order: Ints) -> None:
    steps = rows.steps[order]
    body = pieces.outline(steps, rows.times[order], rows.arrivals[order])
    connection.execute(outlines.insert().values(block_key=key, body=body))
    bodies = pieces.digests(steps, rows.values[order])
    connection.execute(
        digests.insert(),
        [
            {"series_key": series, "block_key": key, "body": body}
            for series, body in zip(owner.series_keys, bodies, strict=True)
        ],
    )


def _aggregates(steps: Ints, values: Floats) -> dict[str, list[Any]]:
    """What a chart needs of each column without unpacking it. Rows are sorted by step."""
    finite = np.isfinite(values)
    counts = finite.sum(axis=0)
    lowest = highest = known = values
    if not finite.all():
        lowest, highest, known = (np.where(finite, values, other) for other in (np.inf, -np.inf, 0.0))
    low, high = lowest.argmin(axis=0), highest.argmax(axis=0)
    # Divided before it is added: the sum of huge values overflows, their mean does not.
    means = (known / np.maximum(counts, 1)).sum(axis=0)
    each = np.arange(values.shape[1])
    return {
        "nonfinite": (len(steps) - counts).tolist(),
        "lowest": _where(counts, values[low, each]),
        "highest": _where(counts, values[high, each]),
        "mean": _where(counts, means),
        "lowest_step": steps[low].tolist(),
        "highest_step": steps[high].tolist(),
        "last": packing.pack_numbers(values[-1]),
    }


def _where(counts: Ints, found: Floats) -> list[float | None]:
    """What was found in each column; None where nothing is finite."""
    return [value if count else None for count, value in zip(counts.tolist(), found.tolist(), strict=True)]


def _merge(connection: sa.Connection, owner: Owner, level: int) -> bool:
    """Merge the blocks of one level if there are MERGE of them; True when it did."""
    mine = {
        "writer": owner.writer_key, "key_set": owner.key_set, "generation": owner.generation, "level": level
    }  # fmt: skip
    if (connection.scalar(_COUNT_LEVEL, mine) or 0) < MERGE:
        return False
    small = connection.execute(_READ_LEVEL, mine).all()
    parts = [unpack_rows(connection, block, owner.series_keys) for block in small]
    keys = [block.key for block in small]
    connection.execute(columns.delete().where(columns.c.block_key.in_(keys)))
    connection.execute(blocks.delete().where(blocks.c.key.in_(keys)))
    merged = Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__slots__))
    _insert(connection, owner, merged, level + 1)
    return True


def unpack_rows(connection: sa.Connection, block: Any, series_keys: tuple[int, ...]) -> Rows:
    """All rows of a block, its columns in the order of `series_keys`."""
    found = connection.execute(
        sa.select(columns.c.series_key, columns.c.data).where(columns.c.block_key == block.key)
    ).all()
    data = {series: packing.unpack_values(blob, block.rows) for series, blob in found}
    return Rows(
        packing.unpack_integers(block.arrivals, block.rows),
        packing.unpack_integers(block.steps, block.rows),
        packing.unpack_times(block.times, block.rows),
        np.stack([data[series] for series in series_keys], axis=1),
    )

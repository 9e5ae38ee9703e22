"""Gives a run's events back in the order in which they arrived, a page at a time. Reads only.

Arrival numbers have no gaps, so a page is a range of them: the blocks that reach into it and the entries within it.
Each page is its own short transaction; blocks may be merged between two of them, arrival numbers stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from dashboard.store import packing, points, texts
from dashboard.store.curves import hidden_after
from dashboard.store.tables import blocks, entries, key_sets, runs, series

PAGE = 1024

Event = dict[str, Any]


class _Source(NamedTuple):
    """Rows of one block, the names of their columns, and which values a later resume logged again at their step."""

    rows: points.Rows
    names: tuple[str, ...]
    replaced: NDArray[np.bool_] | None


def page(
    connection: sa.Connection, run_key: int, after: int, *, visible: bool = False
) -> tuple[int, int, Iterator[tuple[int, Event]]]:
    """(last number of the page, last number of the run, events after `after` as far as the page reaches).

    With `visible`, without the points that a rewind has hidden.
    """
    newest = connection.scalar(sa.select(runs.c.arrivals).where(runs.c.key == run_key)) or 0
    stop = min(after + PAGE, newest)
    if stop <= after:
        return after, newest, iter(())
    sources = _points(connection, run_key, after, stop, hidden_after(connection, run_key) if visible else {})
    kept = connection.execute(
        sa.select(entries.c.arrival, entries.c.time, entries.c.body)
        .where(entries.c.run_key == run_key, entries.c.arrival > after, entries.c.arrival <= stop)
        .order_by(entries.c.arrival)
    ).all()
    others = {row.arrival: (row.time, row.body) for row in kept}
    where = {
        int(arrival): (source, row)
        for source, held in enumerate(sources)
        for row, arrival in enumerate(held.rows.arrivals)
    }
    return stop, newest, _in_order(sources, where, others)


def all_pages(
    read: Callable[[int], tuple[int, int, Iterator[tuple[int, Event]]]], after: int
) -> Iterator[tuple[int, Event]]:
    """Every event after `after`, page by page, until the newest that was there when its page was read."""
    while True:
        stop, newest, events = read(after)
        yield from events
        if stop >= newest:
            return
        after = stop


def _points(
    connection: sa.Connection, run_key: int, after: int, stop: int, cutoffs: Mapping[int, int]
) -> list[_Source]:
    found = connection.execute(
        sa.select(blocks).where(
            blocks.c.run_key == run_key, blocks.c.last_arrival > after, blocks.c.first_arrival <= stop
        )
    ).all()
    if not found:
        return []
    named = connection.execute(sa.select(series.c.key, series.c.name).where(series.c.run_key == run_key))
    names = {row.key: row.name for row in named}
    used = key_sets.c.run_key == run_key if cutoffs else key_sets.c.key.in_({block.key_set for block in found})
    kept = connection.execute(sa.select(key_sets.c.key, key_sets.c.series_keys).where(used))
    sets = {row.key: tuple(texts.unpack(row.series_keys)) for row in kept}
    sources = []
    for block in found:
        rows = points.unpack_rows(connection, block, sets[block.key_set])
        first, last = np.searchsorted(rows.arrivals, [after, stop], side="right")
        rows = rows[first:last]
        if block.generation in cutoffs:
            rows = rows[rows.steps <= cutoffs[block.generation]]
        replaced = _replaced(connection, block, rows, sets) if block.generation in cutoffs and len(rows) else None
        sources.append(_Source(rows, tuple(names[key] for key in sets[block.key_set]), replaced))
    return sources


def _replaced(
    connection: sa.Connection, block: Any, rows: points.Rows, sets: Mapping[int, tuple[int, ...]]
) -> NDArray[np.bool_] | None:
    """Which of these values a later generation logged again at the same step; None when it did so with none."""
    newer = connection.execute(
        sa.select(blocks.c.key_set, blocks.c.rows, blocks.c.steps).where(
            blocks.c.run_key == block.run_key,
            blocks.c.generation > block.generation,
            blocks.c.first_step <= int(rows.steps.max()),
            blocks.c.last_step >= int(rows.steps.min()),
        )
    ).all()
    found = np.zeros(rows.values.shape, np.bool_)
    for other in newer:
        steps = np.isin(rows.steps, packing.unpack_integers(other.steps, other.rows))
        found |= steps[:, None] & np.isin(sets[block.key_set], sets[other.key_set])
    return found if found.any() else None


def _in_order(
    sources: list[_Source],
    where: dict[int, tuple[int, int]],
    others: dict[int, tuple[float, str]],
) -> Iterator[tuple[int, Event]]:
    for arrival in sorted([*where, *others]):
        if arrival in others:
            time, body = others[arrival]
            yield arrival, {"time": time, **texts.unpack(body)}
            continue
        source, row = where[arrival]
        rows, names, replaced = sources[source]
        event: Event = {"type": "metrics", "step": int(rows.steps[row]), "time": float(rows.times[row])}
        event.update(zip(names, rows.values[row].tolist(), strict=True))
        if replaced is not None and replaced[row].any():
            if replaced[row].all():
                continue
            for name in np.array(names)[replaced[row]]:
                del event[name]
        yield arrival, event

"""Reads one series of a run as chart columns. SQL to find the blocks, `buckets` to reduce them; writes nothing.

A block that lies whole inside one bucket, that no other block reaches into and no rewind cuts, is answered from the
aggregates stored beside it. All others are unpacked.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from dashboard.records import Floats, Ints, Series
from dashboard.store import buckets as bucketing
from dashboard.store import packing
from dashboard.store.tables import blocks, columns, generations

_ENDLESS = 2**62
_AT_ONCE = 500  # blocks asked for in one statement; databases bound the number of parameters


def read(
    connection: sa.Connection,
    run_key: int,
    series_key: int,
    name: str,
    start: int | None,
    stop: int | None,
    buckets: int,
) -> Series:
    """Columns for start..stop (both included): raw when they hold at most `buckets` visible points, else bucketed."""
    cutoffs = hidden_after(connection, run_key)
    first, last = -_ENDLESS if start is None else start, _ENDLESS if stop is None else stop
    found = [
        block
        for block in _overview(connection, series_key, first, last)
        if block.first_step <= min(cutoffs.get(block.generation, _ENDLESS), last)
    ]
    if not found:
        return bucketing.empty(name)
    reach = [min(block.last_step, cutoffs.get(block.generation, _ENDLESS)) for block in found]
    low, high = max(first, min(block.first_step for block in found)), min(last, max(reach))
    width = bucketing.width_for(low, high, buckets)
    alone = _alone(found, reach) if sum(block.rows for block in found) > buckets else [False] * len(found)
    whole = [
        lone and block.first_step >= low and block.last_step <= min(high, edge)
        and (block.first_step - low) // width == (block.last_step - low) // width
        for block, edge, lone in zip(found, reach, alone, strict=True)
    ]  # fmt: skip
    kept = [block for block, is_whole in zip(found, whole, strict=True) if is_whole]
    opened = [block for block, is_whole in zip(found, whole, strict=True) if not is_whole]
    points = _points(connection, series_key, opened, cutoffs, first, last)
    if len(points[0]) + sum(block.rows for block in kept) <= buckets:
        return bucketing.raw(name, *_points(connection, series_key, found, cutoffs, first, last))
    return bucketing.combine(name, [bucketing.reduce_points(*points, low, width), _stored(kept)], low, width)


def hidden_after(connection: sa.Connection, run_key: int) -> dict[int, int]:
    """For each generation that was rewound: the step after which its points are hidden."""
    rewinds = connection.execute(
        sa.select(generations.c.generation, generations.c.step)
        .where(generations.c.run_key == run_key)
        .order_by(generations.c.generation.desc())
    ).all()
    cutoffs: dict[int, int] = {}
    lowest = _ENDLESS
    newest = rewinds[0].generation if rewinds else 0
    steps = {row.generation: row.step for row in rewinds}
    for generation in range(newest, 0, -1):
        lowest = min(lowest, steps.get(generation, _ENDLESS))
        cutoffs[generation - 1] = lowest
    return cutoffs


def _overview(connection: sa.Connection, series_key: int, first: int, last: int) -> Sequence[Any]:
    """The blocks that may hold points of first..last, older generations first, without their contents."""
    return connection.execute(
        sa.select(
            blocks.c.key, blocks.c.generation, blocks.c.rows, blocks.c.first_step, blocks.c.last_step, blocks.c.last_time,
            blocks.c.first_arrival, blocks.c.last_arrival,
            columns.c.nonfinite, columns.c.lowest, columns.c.highest, columns.c.mean, columns.c.lowest_step,
            columns.c.highest_step, columns.c.last,
        )
        .join(columns, columns.c.block_key == blocks.c.key)
        .where(columns.c.series_key == series_key, blocks.c.last_step >= first, blocks.c.first_step <= last)
        .order_by(blocks.c.generation, blocks.c.first_arrival)
    ).all()  # fmt: skip


def _alone(found: Sequence[Any], reach: Sequence[int]) -> list[bool]:
    """Whether a block's steps are shared or enclosed by no other block's."""
    lows = np.array([block.first_step for block in found], np.int64)
    order = np.argsort(lows, kind="stable")
    lows, highs = lows[order], np.array(reach, np.int64)[order]
    before = np.concatenate(([-_ENDLESS * 2 + 1], np.maximum.accumulate(highs)[:-1]))
    after = np.concatenate((lows[1:], [_ENDLESS * 2 - 1]))
    alone = np.zeros(len(found), bool)
    alone[order] = (lows > before) & (highs < after)
    return [bool(value) for value in alone]


def _points(
    connection: sa.Connection,
    series_key: int,
    found: Sequence[Any],
    cutoffs: Mapping[int, int],
    first: int,
    last: int,
) -> tuple[Ints, Floats, Floats]:
    """Steps, times and values of the visible points within first..last, by step; equal steps in order of arrival."""
    contents = _contents(connection, series_key, [block.key for block in found])
    tangled = _tangled(found)
    parts: dict[int, list[tuple[Ints, Floats, Floats]]] = {}
    arrivals: dict[int, list[Ints]] = {}
    for block in found:
        row = contents[block.key]
        steps, values = packing.unpack_integers(row.steps, row.rows), packing.unpack_values(row.data, row.rows)
        times = packing.unpack_times(row.times, row.rows)
        stop = min(last, cutoffs.get(block.generation, _ENDLESS))
        order = packing.unpack_integers(row.arrivals, row.rows) if tangled else steps
        if block.first_step < first or block.last_step > stop:
            seen = (steps >= first) & (steps <= stop)
            steps, times, values, order = steps[seen], times[seen], values[seen], order[seen]
        if tangled:
            arrivals.setdefault(block.generation, []).append(order)
        parts.setdefault(block.generation, []).append((steps, times, values))
    joined = {generation: _join(some) for generation, some in parts.items()}
    for generation, some in arrivals.items():
        joined[generation] = _take(joined[generation], np.argsort(np.concatenate(some)))
    return _by_step(_newest_wins([joined[generation] for generation in sorted(joined)]))


def _tangled(found: Sequence[Any]) -> bool:
    """Whether points of one block arrived between those of another: one name logged by several writers, or in the
    company of other names now and then. Their blocks, laid end to end, are not in order of arrival."""
    return any(
        before.generation == after.generation and after.first_arrival <= before.last_arrival
        for before, after in itertools.pairwise(found)
    )


def _contents(connection: sa.Connection, series_key: int, keys: Sequence[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for start in range(0, len(keys), _AT_ONCE):
        rows = connection.execute(
            sa.select(blocks.c.key, blocks.c.rows, blocks.c.arrivals, blocks.c.steps, blocks.c.times, columns.c.data)
            .join(columns, columns.c.block_key == blocks.c.key)
            .where(columns.c.series_key == series_key, columns.c.block_key.in_(keys[start : start + _AT_ONCE]))
        )
        found.update((row.key, row) for row in rows)
    return found


def _join(parts: list[tuple[Ints, Floats, Floats]]) -> tuple[Ints, Floats, Floats]:
    steps, times, values = zip(*parts, strict=True)
    return np.concatenate(steps), np.concatenate(times), np.concatenate(values)


def _newest_wins(by_generation: list[tuple[Ints, Floats, Floats]]) -> tuple[Ints, Floats, Floats]:
    """One list of points from those of each generation, oldest first: a later generation's step replaces earlier ones."""
    if not by_generation:
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    if len(by_generation) == 1:
        return by_generation[0]
    kept = [by_generation[-1]]
    for steps, times, values in reversed(by_generation[:-1]):
        seen = ~np.isin(steps, np.concatenate([newer[0] for newer in kept]))
        kept.append((steps[seen], times[seen], values[seen]))
    return _join(kept[::-1])


def _by_step(points: tuple[Ints, Floats, Floats]) -> tuple[Ints, Floats, Floats]:
    steps = points[0]
    if np.all(steps[1:] >= steps[:-1]):
        return points
    return _take(points, np.argsort(steps, kind="stable"))


def _take(points: tuple[Ints, Floats, Floats], order: Ints) -> tuple[Ints, Floats, Floats]:
    steps, times, values = points
    return steps[order], times[order], values[order]


def _stored(kept: Sequence[Any]) -> bucketing.Aggregates:
    """The aggregates that lie beside whole blocks."""

    def ints(name: str) -> Ints:
        return np.array([getattr(block, name) for block in kept], np.int64)

    def floats(name: str, missing: float) -> Floats:
        values = (getattr(block, name) for block in kept)
        return np.array([missing if value is None else value for value in values], np.float64)

    return bucketing.Aggregates(
        step=ints("last_step"), time=floats("last_time", np.nan), low=floats("lowest", np.inf),
        high=floats("highest", -np.inf), mean=floats("mean", 0.0),
        last=np.array([packing.unpack_number(block.last) for block in kept], np.float64),
        count=np.array([block.rows for block in kept], np.int64), nonfinite=ints("nonfinite"),
        low_step=ints("lowest_step"), high_step=ints("highest_step"),
    )  # fmt: skip

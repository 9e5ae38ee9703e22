"""Points to chart columns: at most so many buckets, and no extreme ever lost. Pure numpy, no database.

Buckets follow each other; `edges` holds the first step of each but the first. What is put into them are *aggregates*:
single points reduced here, or stored summaries (of a whole block, of a piece of one) that need not be unpacked. An edge
gives way to a summary that lies across it, so that the summary can be used whole: no bucket is more than twice as wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from dashboard.records import Floats, Ints, Series

_NO_STEP = np.iinfo(np.int64).max
_ROUNDS = 3  # of moving edges; summaries that still lie across one are unpacked


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Columns of equal length, one row an aggregate. Where nothing is finite, `low` is +Inf, `high` -Inf, `mean` 0."""

    step: Ints  # of the last point
    time: Floats
    arrival: Ints  # of the last point; of points at one step the one that arrived last is the last
    low: Floats
    high: Floats
    mean: Floats
    last: Floats
    count: Ints
    nonfinite: Ints
    low_step: Ints
    high_step: Ints

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, which: Ints) -> Aggregates:
        return Aggregates(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Points:
    """Points as columns of equal length."""

    steps: Ints
    times: Floats
    values: Floats
    arrivals: Ints

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, which: Ints | slice) -> Points:
        return Points(self.steps[which], self.times[which], self.values[which], self.arrivals[which])

    def by_step(self) -> Points:
        """Sorted by step; equal steps in order of arrival."""
        ahead = np.diff(self.steps)
        if np.all((ahead > 0) | ((ahead == 0) & (np.diff(self.arrivals) > 0))):
            return self
        return self[np.lexsort((self.arrivals, self.steps))]


def width_for(first_step: int, last_step: int, buckets: int) -> int:
    """Steps in a bucket so that at most `buckets` of them cover first_step..last_step (both included)."""
    return max(1, -(-(last_step - first_step + 1) // buckets))


def edges_for(first_step: int, last_step: int, width: int) -> Ints:
    """First step of each bucket but the first."""
    return np.arange(first_step + width, last_step + 1, width, dtype=np.int64)


def give_way(edges: Ints, first: Ints, last: Ints) -> Ints:
    """The edges moved behind the summaries first..last (steps, sorted by `first`) that lie across them."""
    if not len(first):
        return edges
    reach = np.maximum.accumulate(last)
    for _ in range(_ROUNDS):
        before = np.searchsorted(first, edges, side="left") - 1  # the last summary that begins before the edge
        across = np.where(before >= 0, reach[before], edges - 1)
        moved = np.maximum(edges, across + 1)
        if np.array_equal(moved, edges):
            break
        edges = np.maximum.accumulate(moved)
    return edges


def raw(name: str, points: Points) -> Series:
    """Every point as its own row; a non-finite one has no extremes."""
    finite = np.isfinite(points.values)
    shown = np.where(finite, points.values, np.nan)
    return Series(
        name=name, step=points.steps, time=points.times, min=shown, max=shown, mean=shown, last=points.values,
        count=np.ones(len(points), np.int64), nonfinite=(~finite).astype(np.int64), min_step=points.steps,
        max_step=points.steps,
    )  # fmt: skip


def reduce_points(points: Points, edges: Ints) -> Aggregates:
    """One aggregate for each bucket that has points. They are sorted by step, equal steps by arrival."""
    steps, values = points.steps, points.values
    starts = _starts(np.searchsorted(steps, edges, side="left"), len(steps))
    counts = np.diff(starts, append=len(steps))
    finite = np.isfinite(values)
    if finite.all():
        nonfinite = np.zeros(len(starts), np.int64)
        low_values = high_values = mean_values = values
    else:
        nonfinite = np.add.reduceat((~finite).astype(np.int64), starts)
        low_values, high_values = np.where(finite, values, np.inf), np.where(finite, values, -np.inf)
        mean_values = np.where(finite, values, 0.0)
    low, high = _reduce(np.minimum, low_values, starts), _reduce(np.maximum, high_values, starts)
    ends = starts + counts - 1
    return Aggregates(
        step=steps[ends], time=points.times[ends], arrival=points.arrivals[ends], low=low, high=high,
        mean=_means(mean_values, starts, counts, np.maximum(counts - nonfinite, 1)), last=values[ends],
        count=counts, nonfinite=nonfinite,
        low_step=steps[_first_match(low_values, low, starts, counts)],
        high_step=steps[_first_match(high_values, high, starts, counts)],
    )  # fmt: skip


def combine(name: str, parts: Sequence[Aggregates], edges: Ints) -> Series:
    """The chart's columns from aggregates that each lie within one bucket."""
    joined = Aggregates(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Aggregates))
    )
    if not len(joined):
        return empty(name)
    rows = joined[np.lexsort((joined.arrival, joined.step))]
    starts = _starts(np.searchsorted(rows.step, edges, side="left"), len(rows))
    groups = np.diff(starts, append=len(rows))
    low, high = np.minimum.reduceat(rows.low, starts), np.maximum.reduceat(rows.high, starts)
    counts, nonfinite = np.add.reduceat(rows.count, starts), np.add.reduceat(rows.nonfinite, starts)
    finite = rows.count - rows.nonfinite
    share = finite / np.repeat(np.maximum(counts - nonfinite, 1), groups)
    some = counts > nonfinite
    ends = starts + groups - 1
    mean = np.clip(np.add.reduceat(rows.mean * share, starts), np.where(some, low, 0), np.where(some, high, 0))
    return Series(
        name=name, step=rows.step[ends], time=rows.time[ends], min=np.where(some, low, np.nan),
        max=np.where(some, high, np.nan), mean=np.where(some, mean, np.nan), last=rows.last[ends], count=counts,
        nonfinite=nonfinite, min_step=_step_of(rows.low, rows.low_step, low, starts, groups),
        max_step=_step_of(rows.high, rows.high_step, high, starts, groups),
    )  # fmt: skip


def no_points() -> Points:
    """None."""
    return Points(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))


def empty(name: str) -> Series:
    """A series without points."""
    return raw(name, no_points())


def _starts(first_at: Ints, count: int) -> Ints:
    """Index of the first row of each bucket that has rows, from where each bucket but the first begins."""
    if not count:
        return np.zeros(0, np.int64)
    starts = np.concatenate(([0], first_at[first_at < count])).astype(np.int64)
    found: Ints = starts[np.append(True, np.diff(starts) > 0)]
    return found


def _reduce(operation: np.ufunc, values: Floats, starts: Ints) -> Floats:
    reduced: Floats = operation.reduceat(values, starts) if len(starts) else np.zeros(0)
    return reduced


def _means(values: Floats, starts: Ints, counts: Ints, finite: Ints) -> Floats:
    if not len(starts):
        return np.zeros(0)
    with np.errstate(over="ignore", invalid="ignore"):
        means: Floats = np.add.reduceat(values, starts) / finite
    if not np.isfinite(means).all():  # the sum of huge values overflows; their mean does not
        means = np.add.reduceat(values / np.repeat(finite, counts), starts)
    return means


def _first_match(values: Floats, wanted: Floats, starts: Ints, counts: Ints) -> Ints:
    """Index of each bucket's first row that has the wanted value (every bucket has one)."""
    matches = np.flatnonzero(values == np.repeat(wanted, counts))
    found: Ints = matches[np.searchsorted(matches, starts)]
    return found


def _step_of(values: Floats, steps: Ints, wanted: Floats, starts: Ints, groups: Ints) -> Ints:
    """The smallest step at which a bucket's extreme lies."""
    candidates = np.where(values == np.repeat(wanted, groups), steps, _NO_STEP)
    found: Ints = np.minimum.reduceat(candidates, starts)
    return found

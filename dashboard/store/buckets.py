"""Points to chart columns: at most so many buckets, and no extreme ever lost. Pure numpy, no database.

A bucket covers `width` steps. What is put into buckets are *aggregates*: single points reduced here, or whole stored
blocks whose extremes were computed when they were written and which need not be unpacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from dashboard.records import Floats, Ints, Series

_NO_STEP = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Columns of equal length, one row an aggregate. Where nothing is finite, `low` is +Inf, `high` -Inf, `mean` 0."""

    step: Ints  # of the last point
    time: Floats
    low: Floats
    high: Floats
    mean: Floats
    last: Floats
    count: Ints
    nonfinite: Ints
    low_step: Ints
    high_step: Ints


def width_for(first_step: int, last_step: int, buckets: int) -> int:
    """Steps in a bucket so that at most `buckets` of them cover first_step..last_step (both included)."""
    return max(1, -(-(last_step - first_step + 1) // buckets))


def raw(name: str, steps: Ints, times: Floats, values: Floats) -> Series:
    """Every point as its own row; a non-finite one has no extremes."""
    finite = np.isfinite(values)
    shown = np.where(finite, values, np.nan)
    ones = np.ones(len(steps), np.int64)
    return Series(
        name=name, step=steps, time=times, min=shown, max=shown, mean=shown, last=values, count=ones,
        nonfinite=(~finite).astype(np.int64), min_step=steps, max_step=steps,
    )  # fmt: skip


def reduce_points(steps: Ints, times: Floats, values: Floats, first_step: int, width: int) -> Aggregates:
    """One aggregate for each bucket that has points. `steps` is sorted; the order among equal steps is kept."""
    starts = _starts((steps - first_step) // width)
    counts = np.diff(starts, append=len(steps))
    finite = np.isfinite(values)
    if finite.all():
        nonfinite = np.zeros(len(starts), np.int64)
        low_values = high_values = mean_values = values
    else:
        nonfinite = np.add.reduceat((~finite).astype(np.int64), starts) if len(starts) else np.zeros(0, np.int64)
        low_values, high_values = np.where(finite, values, np.inf), np.where(finite, values, -np.inf)
        mean_values = np.where(finite, values, 0.0)
    low, high = _reduce(np.minimum, low_values, starts), _reduce(np.maximum, high_values, starts)
    ends = starts + counts - 1
    return Aggregates(
        step=steps[ends], time=times[ends], low=low, high=high,
        mean=_means(mean_values, starts, counts, np.maximum(counts - nonfinite, 1)), last=values[ends],
        count=counts, nonfinite=nonfinite,
        low_step=steps[_first_match(low_values, low, starts, counts)],
        high_step=steps[_first_match(high_values, high, starts, counts)],
    )  # fmt: skip


def combine(name: str, parts: Sequence[Aggregates], first_step: int, width: int) -> Series:
    """The chart's columns from aggregates that each lie within one bucket and do not interleave there."""
    if not parts or not sum(len(part.step) for part in parts):
        return empty(name)
    joined = Aggregates(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Aggregates))
    )
    order = np.argsort(joined.step, kind="stable")
    rows = Aggregates(*(getattr(joined, field.name)[order] for field in fields(Aggregates)))
    starts = _starts((rows.step - first_step) // width)
    groups = np.diff(starts, append=len(rows.step))
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


def empty(name: str) -> Series:
    """A series without points."""
    ints, floats = np.zeros(0, np.int64), np.zeros(0, np.float64)
    return raw(name, ints, floats, floats)


def _starts(bucket_of: Ints) -> Ints:
    """Index of the first row of each bucket (rows are sorted by bucket)."""
    if not len(bucket_of):
        return np.zeros(0, np.int64)
    return np.concatenate(([0], np.flatnonzero(np.diff(bucket_of)) + 1)).astype(np.int64)


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

"""Bucketing against a naive count: every extreme is in its bucket, counts add up, non-finite values are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dashboard.store import buckets

POINTS = st.lists(st.tuples(st.integers(0, 2**53), st.floats()), min_size=1, max_size=80)
CLOSE = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([1.0, 2.0, -3.5, float("nan"), float("inf"), -1e308, 1e308])),
    min_size=1,
    max_size=80,
)


@given(st.one_of(POINTS, CLOSE), st.integers(1, 12))
def test_buckets_hide_nothing(check_buckets: Callable[..., None], points: list[tuple[int, float]], most: int) -> None:
    rows = sorted(((step, float(number), value) for number, (step, value) in enumerate(points)), key=lambda row: row[0])
    steps, times, values = (
        np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), (np.int64, float, float), strict=True)
    )
    width = buckets.width_for(int(steps[0]), int(steps[-1]), most)
    reduced = buckets.reduce_points(steps, times, values, int(steps[0]), width)
    check_buckets(buckets.combine("a", [reduced], int(steps[0]), width), rows, most)


@given(CLOSE, st.integers(1, 12), st.integers(1, 12))
def test_combining_parts_equals_reducing_the_whole(points: list[tuple[int, float]], most: int, cut: int) -> None:
    rows = sorted(points, key=lambda row: row[0])
    steps, values = np.array([step for step, _ in rows], np.int64), np.array([value for _, value in rows], float)
    times = np.arange(len(rows), dtype=float)
    first, width = int(steps[0]), buckets.width_for(int(steps[0]), int(steps[-1]), most)
    edge = int(np.searchsorted(steps, steps[min(cut, len(steps) - 1)]))
    parts = [
        buckets.reduce_points(steps[s], times[s], values[s], first, width) for s in (slice(0, edge), slice(edge, None))
    ]
    one = buckets.combine("a", [buckets.reduce_points(steps, times, values, first, width)], first, width)
    two = buckets.combine("a", parts, first, width)
    for name in ("step", "time", "min", "max", "last", "count", "nonfinite", "min_step", "max_step"):
        assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=name in ("min", "max", "last")), name
    # Means of values that cancel out lose digits with their order; they stay within what was averaged.
    assert np.allclose(
        one.mean, two.mean, rtol=1e-9, atol=1e300 if np.any(np.abs(values) > 1e300) else 1e-9, equal_nan=True
    )


def test_the_mean_of_huge_values_does_not_overflow() -> None:
    steps = np.arange(4, dtype=np.int64)
    reduced = buckets.reduce_points(steps, steps.astype(float), np.full(4, 1.5e308), 0, 4)
    assert buckets.combine("a", [reduced, reduced], 0, 4).mean.tolist() == [1.5e308]


def test_raw_points_keep_what_was_logged() -> None:
    found = buckets.raw("a", np.array([1, 2]), np.array([5.0, 6.0]), np.array([np.nan, -np.inf]))
    assert np.isnan(found.min).all() and np.isnan(found.mean).all()
    assert np.isnan(found.last[0]) and found.last[1] == -np.inf
    assert found.nonfinite.tolist() == [1, 1] and found.count.tolist() == [1, 1]


def test_nothing_gives_an_empty_series() -> None:
    none: Any = buckets.combine("a", [], 0, 1)
    assert len(none.step) == len(none.mean) == len(none.count) == 0

"""Bucketing against a naive count: every extreme is in its bucket, counts add up, non-finite values are counted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from random import Random

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


def columns(rows: list[tuple[int, float]]) -> buckets.Points:
    """Points that arrived in the order of the list."""
    steps, values = np.array([step for step, _ in rows], np.int64), np.array([value for _, value in rows], float)
    return buckets.Points(steps, np.arange(len(rows), dtype=float), values, np.arange(len(rows), dtype=np.int64))


@given(st.one_of(POINTS, CLOSE), st.integers(1, 12))
def test_buckets_hide_nothing(check_buckets: Callable[..., None], points: list[tuple[int, float]], most: int) -> None:
    found = columns(points).by_step()
    first, last = int(found.steps[0]), int(found.steps[-1])
    edges = buckets.edges_for(first, last, buckets.width_for(first, last, most))
    rows = list(zip(found.steps.tolist(), found.times.tolist(), found.values.tolist(), strict=True))
    check_buckets(buckets.combine("a", [buckets.reduce_points(found, edges)], edges), rows, most)


@given(CLOSE, st.integers(1, 12), st.lists(st.integers(0, 80), max_size=6), st.randoms())
def test_combining_parts_in_any_order_equals_reducing_the_whole(
    points: list[tuple[int, float]], most: int, cuts: list[int], random: Random
) -> None:
    found = columns(points).by_step()
    first, last = int(found.steps[0]), int(found.steps[-1])
    edges = buckets.edges_for(first, last, buckets.width_for(first, last, most))
    pieces = [found[slice(a, b)] for a, b in itertools.pairwise(sorted({0, len(points), *cuts})) if a < len(points)]
    parts = [buckets.reduce_points(piece, edges) for piece in pieces]
    random.shuffle(parts)
    one = buckets.combine("a", [buckets.reduce_points(found, edges)], edges)
    two = buckets.combine("a", parts, edges)
    for name in ("step", "time", "min", "max", "last", "count", "nonfinite", "min_step", "max_step"):
        assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=name in ("min", "max", "last")), name
    # Means of values that cancel out lose digits with their order; they stay within what was averaged.
    huge = any(abs(value) > 1e300 for _, value in points)
    assert np.allclose(one.mean, two.mean, rtol=1e-9, atol=1e300 if huge else 1e-9, equal_nan=True)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 10)), max_size=30), st.integers(1, 60))
def test_edges_give_way_to_summaries_and_stay_in_order(spans: list[tuple[int, int]], width: int) -> None:
    spans = sorted((first, first + length) for first, length in spans if length <= width // 2)
    first, last = (np.array([span[side] for span in spans], np.int64) for side in (0, 1))
    edges = buckets.edges_for(0, 211, width)
    moved = buckets.give_way(edges, first, last)
    assert len(moved) == len(edges) and (np.diff(moved) >= 0).all() and (moved >= edges).all()
    apart = all(a[1] < b[0] for a, b in itertools.pairwise(spans))
    if apart:
        assert not any(first < edge <= last for first, last in spans for edge in moved.tolist())
        assert (moved - edges <= width // 2).all()


def test_the_mean_of_huge_values_does_not_overflow() -> None:
    edges = buckets.edges_for(0, 3, 4)
    reduced = buckets.reduce_points(columns([(step, 1.5e308) for step in range(4)]), edges)
    assert buckets.combine("a", [reduced, reduced], edges).mean.tolist() == [1.5e308]


def test_raw_points_keep_what_was_logged() -> None:
    found = buckets.raw("a", columns([(1, math.nan), (2, -math.inf)]))
    assert np.isnan(found.min).all() and np.isnan(found.mean).all()
    assert np.isnan(found.last[0]) and found.last[1] == -np.inf
    assert found.nonfinite.tolist() == [1, 1] and found.count.tolist() == [1, 1]


def test_nothing_gives_an_empty_series() -> None:
    none = buckets.combine("a", [buckets.reduce_points(buckets.no_points(), np.zeros(0, np.int64))], np.zeros(0, int))
    assert len(none.step) == len(none.mean) == len(none.count) == 0

"""From a series to a line: every extreme is passed through, every non-finite value is marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dashboard.axes import TokenCounts
from dashboard.records import Series
from dashboard.ui import curves


def _raw(values: Sequence[float], steps: Sequence[int] | None = None) -> Series:
    at = np.array(range(len(values)) if steps is None else steps, dtype=np.int64)
    last = np.array(values, dtype=np.float64)
    bad = (~np.isfinite(last)).astype(np.int64)
    finite = np.where(bad == 0, last, np.nan)
    return Series(name="train/loss", step=at, time=at * 1.0, min=finite, max=finite, mean=finite, last=last,
                  count=np.ones_like(at), nonfinite=bad, min_step=at, max_step=at)  # fmt: skip


def _bucket(**columns: float) -> Series:
    ints = {
        name: np.array([int(columns[name])], dtype=np.int64)
        for name in ("step", "count", "nonfinite", "min_step", "max_step")
    }
    floats = {name: np.array([columns[name]], dtype=np.float64) for name in ("time", "min", "max", "mean", "last")}
    return Series(name="train/loss", **ints, **floats)


def test_raw_points_stay_as_they_are() -> None:
    line = curves.trace(_raw([3.0, 2.0, 2.5]))
    assert line.steps == [0, 1, 2]
    assert line.values == [3.0, 2.0, 2.5]
    assert line.marks == []


def test_a_bucket_passes_through_its_lowest_highest_and_last_in_order() -> None:
    series = _bucket(
        step=99, time=9.0, min=1.0, max=50.0, mean=2.0, last=2.2, count=100, nonfinite=0, min_step=80, max_step=37
    )
    line = curves.trace(series)
    assert list(zip(line.steps, line.values, strict=True)) == [(37, 50.0), (80, 1.0), (99, 2.2)]


def test_extremes_lie_at_the_times_at_which_they_were_logged() -> None:
    bucket = _bucket(
        step=99, time=9.0, min=1.0, max=50.0, mean=2.0, last=2.2, count=100, nonfinite=0, min_step=80, max_step=37
    )
    line = curves.trace(replace(bucket, min_time=np.array([8.5]), max_time=np.array([3.25])))
    assert list(zip(line.steps, line.times, strict=True)) == [(37, 3.25), (80, 8.5), (99, 9.0)]


def test_two_extremes_at_one_repeated_step_are_both_drawn() -> None:
    series = _bucket(
        step=5, time=1.0, min=1.0, max=9.0, mean=5.0, last=9.0, count=2, nonfinite=0, min_step=5, max_step=5
    )
    assert set(curves.trace(series).values) == {1.0, 9.0}


@given(
    st.lists(st.floats(min_value=-1e12, max_value=1e12) | st.sampled_from([math.nan, math.inf, -math.inf]), max_size=40)
)
def test_no_raw_value_is_lost(values: list[float]) -> None:
    line = curves.trace(_raw(values))
    assert [value for value in line.values if value is not None] == [value for value in values if math.isfinite(value)]
    assert [mark.step for mark in line.marks] == [
        index for index, value in enumerate(values) if not math.isfinite(value)
    ]


def test_marks_name_the_value_and_its_edge() -> None:
    marks = curves.trace(_raw([math.nan, math.inf, -math.inf])).marks
    assert [(mark.words, mark.edge) for mark in marks] == [
        ("NaN at step 0", "top"), ("+Inf at step 1", "top"), ("−Inf at step 2", "bottom"),
    ]  # fmt: skip


def test_a_bucket_with_some_non_finite_values_is_marked_and_drawn() -> None:
    series = _bucket(
        step=20, time=1.0, min=2.0, max=3.0, mean=2.5, last=2.1, count=10, nonfinite=4, min_step=12, max_step=11
    )
    line = curves.trace(series)
    assert line.values == [3.0, 2.0, 2.1]
    assert line.marks[0].words == "4 of 10 values up to step 20 not finite"


def test_a_point_between_gaps_is_known_to_be_lonely() -> None:
    assert curves.trace(_raw([math.nan, 2.0, math.nan])).lonely
    assert not curves.trace(_raw([math.nan, 2.0, 2.1])).lonely


def test_smoothing_keeps_gaps_and_starts_without_a_bias() -> None:
    line = curves.trace(_raw([4.0, math.nan, 2.0, 2.0]))
    smoothed = curves.smooth(line, 10.0)
    assert smoothed.values[0] == 4.0
    assert smoothed.values[1] is None
    assert smoothed.values[2] is not None and 2.0 < smoothed.values[2] < 4.0
    assert smoothed.total / smoothed.weight == smoothed.values[3]


def test_smoothing_of_a_constant_is_the_constant_whatever_the_spacing() -> None:
    line = curves.trace(_raw([1.5] * 6, [1, 2, 50, 51, 400, 1000]))
    assert all(value is not None and math.isclose(value, 1.5) for value in curves.smooth(line, 25.0).values)


def test_perplexity_does_not_overflow() -> None:
    assert curves.perplexity(0.0) == 1.0
    assert curves.perplexity(None) is None
    assert curves.perplexity(1e6) is None


def test_axes_place_points() -> None:
    assert curves.Axis().place(12, 99.0) == 12
    even = TokenCounts("", np.zeros(1), np.zeros(1), 2048.0)
    assert curves.Axis("tokens", counts=even).place(3, 0.0) == 6144.0
    assert curves.Axis("time", origin=100.0).place(3, 220.0) == 2.0
    assert curves.Axis("time", seconds_per_unit=3600.0).title == "hours since start"

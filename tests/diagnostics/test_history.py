"""What is remembered of a series: bounded, the same however the points came, and never silent about NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.history import BLOCKS, FIRST, TAIL, History
from diagnostics.series import SeriesView


def fill(values: list[float], settle_every: int = 0) -> History:
    history = History()
    for step, value in enumerate(values):
        history.append(step, value)
        if settle_every and step % settle_every == 0:
            history.settle()
    return history


@pytest.mark.parametrize("n", [1, 255, 511, 512, 513, 1024, 5000, 20_000])
def test_blocks_cover_everything_in_bounded_memory(n: int) -> None:
    values = np.random.default_rng(n).normal(3, 1, n)
    rows, size = fill(values.tolist()).blocks()
    assert len(rows) <= BLOCKS
    assert rows[:, 2].sum() == n
    assert float((rows[:, 2] * rows[:, 3]).sum()) / n == pytest.approx(float(values.mean()))
    assert rows[:, 4].min() == values.min()
    assert rows[:, 5].max() == values.max(), "no spike is lost in a block"
    assert (rows[0, 0], rows[-1, 1]) == (0, n - 1)
    assert size * BLOCKS >= n


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 300), st.integers(0, 5), st.sampled_from([0.0, 0.002, 0.02]))
def test_when_it_settles_does_not_show(n: int, every: int, seed: int, bad: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(n) < bad, math.nan, rng.normal(0, 1, n)).tolist()
    one, other = fill(values), fill(values, every)
    for a, b in (
        (one.blocks()[0], other.blocks()[0]),
        (one.tail()[1], other.tail()[1]),
        (one.first()[1], other.first()[1]),
    ):
        np.testing.assert_array_equal(a, b)
    assert one.nonfinite.count == other.nonfinite.count
    assert (one.nonfinite.trailing, one.nonfinite.longest) == (other.nonfinite.trailing, other.nonfinite.longest)


def test_first_and_tail_are_the_ends() -> None:
    history = fill([float(value) for value in range(6000)])
    assert history.first()[0].tolist() == list(range(FIRST))
    assert history.tail()[0].tolist() == list(range(6000 - TAIL, 6000))


def test_non_finite_values_are_counted_placed_and_kept() -> None:
    history = fill([1.0, math.inf, 2.0, math.nan, -math.inf])
    history.settle()
    note = history.nonfinite
    assert (note.count, note.first_step, note.first_value, note.last_step) == (3, 1, math.inf, 4)
    assert (note.trailing, note.longest) == (2, 2)
    np.testing.assert_array_equal(history.tail()[1], [1.0, math.inf, 2.0, math.nan, -math.inf])
    assert SeriesView("loss", history).values.tolist() == [1.0, 2.0]


def test_steps_up_to_two_to_the_53rd() -> None:
    history = History()
    history.append(2**53 - 1, 1.0)
    assert history.tail()[0].tolist() == [2**53 - 1]
    assert history.blocks()[0][0, 0] == 2**53 - 1


@pytest.mark.parametrize(("n", "back"), [(300, 100), (300, 0), (5000, 4800), (5000, 300), (5000, 4999)])
def test_a_rewind_forgets_what_came_after(n: int, back: int) -> None:
    history = fill([float(value) for value in range(n)])
    history.rewind(back)
    rows, _ = history.blocks()
    assert rows.size == 0 or rows[-1, 1] <= back
    assert all(step <= back for step in history.tail()[0].tolist() + history.first()[0].tolist())
    history.append(back + 1, -1.0)
    view = SeriesView("loss", history)
    assert (view.last_step, view.last) == (back + 1, -1.0)


def test_a_rewind_forgets_a_nan() -> None:
    history = fill([3.0] * 50 + [math.nan] * 10)
    history.rewind(40)
    assert history.nonfinite.count == 0
    assert history.count == 41


def test_best_is_smoothed_so_that_one_lucky_point_is_not_it() -> None:
    values = np.full(200, 2.0)
    values[77] = 0.1
    assert SeriesView("loss", fill(values.tolist())).best.value == 2.0


def test_level_and_best_of_a_long_history() -> None:
    values = np.concatenate([np.linspace(8, 2, 15_000), np.linspace(2, 4, 15_000)])
    view = SeriesView("loss", fill(values.tolist()))
    assert view.level == pytest.approx(4.0, abs=0.05)
    assert view.best.value == pytest.approx(2.0, abs=0.1)
    assert abs(view.best.step - 15_000) < 600
    assert view.near(7_500) == pytest.approx(5.0, abs=0.1)
    assert view.curve.size <= 64

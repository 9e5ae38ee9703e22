"""Which run is ahead, whether by more than noise, since when they part: on curves whose answer is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dashboard.comparison import MISSING, ahead, apart_since, differing, scatter
from dashboard.records import Series


def _curve(values: Any, every: int = 1, first: int = 0) -> Series:
    last = np.asarray(values, dtype=np.float64)
    steps = first + every * np.arange(len(last), dtype=np.int64)
    bad = (~np.isfinite(last)).astype(np.int64)
    finite = np.where(bad == 0, last, np.nan)
    return Series(name="loss", step=steps, time=steps * 1.0, min=finite, max=finite, mean=finite, last=last,
                  count=np.ones_like(steps), nonfinite=bad, min_step=steps, max_step=steps)  # fmt: skip


def _falling(floor: float, seed: int, count: int = 200, noise: float = 0.05) -> Any:
    steps = np.arange(count)
    return floor + 3.0 * np.exp(-steps / 30) + np.random.default_rng(seed).normal(0.0, noise, count)


def test_the_lower_curve_is_ahead_and_by_more_than_noise() -> None:
    found = ahead([_curve(_falling(2.3, 1)), _curve(_falling(2.0, 2)), _curve(_falling(2.6, 3))])
    assert found is not None and found.order == (1, 0, 2) and found.step == 199
    assert found.gap == pytest.approx(0.3, abs=0.03) and found.certain is True


def test_two_seeds_of_one_run_cannot_be_told_apart() -> None:
    certain = [
        found.certain
        for seed in range(40)
        if (found := ahead([_curve(_falling(2.0, seed)), _curve(_falling(2.0, 100 + seed))])) is not None
    ]
    assert len(certain) == 40 and sum(certain) <= 2


def test_only_the_steps_that_all_reached_count() -> None:
    long = _falling(2.0, 1, 400) + np.where(np.arange(400) > 250, -1.0, 0.0)
    found = ahead([_curve(long), _curve(_falling(1.9, 2, 200))])
    assert found is not None and (found.step, found.order) == (199, (1, 0))
    assert ahead([_curve([1.0, 2.0]), _curve([1.0, 2.0], first=10)]) is None
    assert ahead([_curve([]), _curve([1.0])]) is None and ahead([_curve([1.0])]) is None


def test_a_curve_that_is_not_finite_at_the_end_is_out_of_the_race() -> None:
    for bad in (math.nan, math.inf, -math.inf):
        sick = _falling(1.0, 1)
        sick[150:] = bad
        found = ahead([_curve(sick), _curve(_falling(2.0, 2))])
        assert found is not None and (found.order, found.broken, found.certain) == ((1,), (0,), None)


def test_curves_logged_at_different_steps_are_compared_at_their_common_end() -> None:
    sparse = _curve(_falling(2.5, 1, 1000)[::50], every=50)
    found = ahead([sparse, _curve(_falling(2.0, 2, 1000))])
    assert found is not None and (found.order, found.step, found.certain) == ((1, 0), 950, True)


def test_few_evaluations_are_compared_where_both_are() -> None:
    """The first evaluation is no level of the last, nor is the one before the common end when the next is known."""
    ended, goes_on = _curve([8.3, 6.2, 5.8], every=80), _curve([8.3, 6.4, 5.5, 5.0], every=100)
    found = ahead([ended, goes_on])
    assert found is not None and (found.step, found.order, found.certain) == (160, (0, 1), None)
    assert found.levels == pytest.approx((5.8, 5.86))


def test_few_points_tell_no_noise_and_equal_ones_no_difference() -> None:
    few = ahead([_curve([3.0, 2.0, 1.5]), _curve([3.0, 2.5, 2.0])])
    assert few is not None and few.order == (0, 1) and few.certain is None
    same = ahead([_curve(_falling(2.0, 1)), _curve(_falling(2.0, 1))])
    assert same is not None and same.gap == 0.0 and same.certain is False


def test_since_when_two_curves_part() -> None:
    parted = _falling(2.0, 2)
    parted[120:] += 0.02 * np.arange(80)
    found = apart_since(_curve(_falling(2.0, 1)), _curve(parted))
    assert found is not None and 122 <= found <= 140
    assert apart_since(_curve(parted), _curve(_falling(2.0, 1))) == found
    assert apart_since(_curve(_falling(2.0, 1)), _curve(_falling(5.0, 2))) == 0


def test_a_difference_that_comes_and_goes_is_none() -> None:
    met = _falling(2.0, 2)
    met[60:120] += 1.0
    assert apart_since(_curve(_falling(2.0, 1)), _curve(met)) is None
    assert apart_since(_curve(_falling(2.0, 1)), _curve(_falling(2.0, 1))) is None
    assert apart_since(_curve([1.0, 2.0]), _curve([2.0, 3.0])) is None


def test_a_slope_is_no_scatter() -> None:
    noise = np.random.default_rng(3).normal(0.0, 0.2, 4000)
    assert scatter(noise + np.linspace(9.0, 0.0, 4000)) == pytest.approx(0.2, rel=0.06)
    assert math.isnan(scatter(np.array([1.0, 2.0])))


def test_settings_that_differ() -> None:
    rows, same = differing([{"a": 1, "b": math.nan, "c": True}, {"a": 2, "b": math.nan, "c": 1, "d": "x"}])
    assert rows == {"a": (1, 2), "c": (True, 1), "d": (MISSING, "x")} and same == 1
    assert differing([{"a": 1}, {"a": 1.0}]) == ({}, 1) and differing([]) == ({}, 0)

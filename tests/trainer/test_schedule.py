"""The schedule: warm-up, peak, cosine, floor, for any settings."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import TrainConfig
from trainer.schedule import curve, learning_rate

CONFIG = TrainConfig(max_steps=1000, warmup_steps=100, learning_rate=1e-3, min_learning_rate=1e-4)


def test_warm_up_is_linear_and_never_zero() -> None:
    rates = [learning_rate(CONFIG, step) for step in range(1, 101)]
    assert rates[0] == pytest.approx(1e-3 / 101)
    assert all(later - earlier == pytest.approx(1e-3 / 101) for earlier, later in itertools.pairwise(rates))


def test_the_peak_comes_after_the_warm_up_and_the_floor_at_the_last_step() -> None:
    assert learning_rate(CONFIG, 101) == 1e-3
    assert learning_rate(CONFIG, 1000) == 1e-4
    assert learning_rate(CONFIG, 5000) == 1e-4


def test_halfway_down_the_cosine_the_rate_is_between_peak_and_floor() -> None:
    middle = TrainConfig(max_steps=1001, warmup_steps=0, learning_rate=1e-3, min_learning_rate=1e-4)
    assert learning_rate(middle, 501) == pytest.approx((1e-3 + 1e-4) / 2)


def test_a_step_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="step = 0 is before the first"):
        learning_rate(CONFIG, 0)


@given(
    steps=st.integers(1, 3000),
    warmup=st.integers(0, 4000),
    peak=st.floats(1e-6, 10),
    share=st.floats(0, 1),
    step=st.integers(1, 5000),
)
def test_any_step_of_any_schedule_is_positive_or_floor_and_at_most_the_peak(
    steps: int, warmup: int, peak: float, share: float, step: int
) -> None:
    config = TrainConfig(max_steps=steps, warmup_steps=warmup, learning_rate=peak, min_learning_rate=peak * share)
    rate = learning_rate(config, step)
    assert math.isfinite(rate) and 0 <= rate <= peak
    if step > warmup:
        assert rate >= config.min_learning_rate * (1 - 1e-12)
        assert learning_rate(config, step + 1) <= rate * (1 + 1e-12)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 50), (10, 10), (7, 3), (20_000, 500)])
def test_the_drawing_has_both_ends_and_the_corner(steps: int, warmup: int) -> None:
    config = TrainConfig(max_steps=steps, warmup_steps=warmup)
    drawn, rates = curve(config, 200)
    assert drawn[0] == 1 and drawn[-1] == steps and drawn == sorted(set(drawn))
    assert len(drawn) <= 410 and rates == [learning_rate(config, step) for step in drawn]
    assert warmup >= steps or warmup + 1 in drawn

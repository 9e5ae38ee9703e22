"""The statistics agree with scipy, and mean what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from diagnostics import stats

floats = st.floats(-1e6, 1e6, allow_nan=False)
series = arrays(np.float64, st.integers(2, 60), elements=floats)


@given(series)
def test_median_is_numpys(values: np.ndarray) -> None:
    assert stats.median(values) == pytest.approx(float(np.median(values)))


def test_median_of_nothing_is_nan() -> None:
    assert math.isnan(stats.median(np.zeros(0)))


@given(series)
def test_mad_sigma_is_scipys(values: np.ndarray) -> None:
    expected = scipy.stats.median_abs_deviation(values) * stats.MAD_TO_SIGMA
    assert stats.mad_sigma(values) == pytest.approx(float(expected))


@given(series)
def test_theil_sen_is_scipys(values: np.ndarray) -> None:
    expected = scipy.stats.theilslopes(values, np.arange(values.size)).slope
    assert stats.theil_sen(values) == pytest.approx(float(expected), abs=1e-9)


@given(arrays(np.float64, st.integers(3, 40), elements=floats, unique=True))
def test_mann_kendall_counts_the_pairs_that_kendalls_tau_counts(values: np.ndarray) -> None:
    n = values.size
    score = round(float(scipy.stats.kendalltau(np.arange(n), values).statistic) * n * (n - 1) / 2)
    expected = 0.0 if score == 0 else (score - math.copysign(1, score)) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    assert stats.mann_kendall(values) == pytest.approx(expected, abs=1e-6)


@given(arrays(np.float64, st.integers(3, 40), elements=st.integers(0, 6).map(float)))
def test_mann_kendall_takes_ties_from_the_variance(values: np.ndarray) -> None:
    n = values.size
    score = sum(np.sign(values[j] - values[i]) for j in range(n) for i in range(j))
    ties = sum(t * (t - 1) * (2 * t + 5) for t in np.unique(values, return_counts=True)[1].tolist())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    expected = 0.0 if score == 0 else (score - np.sign(score)) / math.sqrt(variance)
    assert stats.mann_kendall(values) == pytest.approx(expected)


def test_mann_kendall_of_a_constant_is_zero() -> None:
    assert stats.mann_kendall(np.full(20, 3.0)) == 0.0


@pytest.mark.parametrize("n", [12, 25, 200])
def test_noise_is_blind_to_the_trend(n: int) -> None:
    found = [stats.noise(5 - 0.2 * np.arange(n) + np.random.default_rng(seed).normal(0, 0.5, n)) for seed in range(200)]
    assert float(np.median(found)) == pytest.approx(0.5, rel=0.2)


def test_noise_of_a_smooth_bend_is_small() -> None:
    healthy = np.array([4.2, 3.8, 3.3, 2.9, 2.5, 2.2, 1.9, 1.7, 1.6, 1.5])
    assert stats.noise(healthy) < 0.06 < stats.mad_sigma(np.diff(healthy)) / math.sqrt(2)


def test_noise_does_not_see_single_outliers() -> None:
    values = np.random.default_rng(0).normal(2, 0.1, 200)
    before = stats.noise(values)
    values[[20, 90, 150]] += 3
    assert stats.noise(values) == pytest.approx(before, rel=0.1)


@given(series, st.integers(1, 12))
def test_sliding_median_is_the_median_of_each_window(values: np.ndarray, width: int) -> None:
    found = stats.sliding_median(values, width)
    width = min(width, values.size)
    assert found.tolist() == pytest.approx(
        [float(np.median(values[i : i + width])) for i in range(values.size - width + 1)]
    )


@given(
    arrays(np.float64, st.integers(1, 300), elements=st.floats(-4, 4).map(lambda x: round(x, 1))), st.integers(1, 30)
)
def test_the_lowest_median_is_the_first_lowest_of_all_windows(values: np.ndarray, width: int) -> None:
    medians = stats.sliding_median(values, width)
    assert stats.lowest_median(values, width) == (float(medians.min()), int(np.argmin(medians)))


def test_the_lowest_median_of_long_noisy_falls() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        values = np.abs(rng.normal(0, 1, 900)).cumsum()[:: -1 if seed % 2 else 1] * 0.01 + rng.normal(0, 1, 900)
        medians = stats.sliding_median(values, 10 + seed)
        assert stats.lowest_median(values, 10 + seed) == (float(medians.min()), int(np.argmin(medians)))


@given(series, st.integers(1, 20))
def test_block_means_keep_the_mean_of_every_part(values: np.ndarray, blocks: int) -> None:
    found = stats.block_means(values, blocks)
    assert found.size == min(blocks, values.size)
    assert float(values.min()) - 1e-6 <= float(found.min()) <= float(found.max()) <= float(values.max()) + 1e-6

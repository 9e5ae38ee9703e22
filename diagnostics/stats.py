"""Robust statistics on small arrays: what every rule measures with. Knows nothing of runs, steps or rules.

All functions take finite float arrays of one dimension and never change them. They are written for windows of at most
about a thousand points, where one sort is cheaper than numpy's general median.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation × this estimates the standard deviation of normal noise."""


def median(values: Floats) -> float:
    """The median; NaN of an empty array."""
    n = values.size
    if n == 0:
        return math.nan
    ordered = values.copy()
    ordered.sort()
    half = n // 2
    return float(ordered[half]) if n % 2 else float(ordered[half - 1] / 2 + ordered[half] / 2)


def mad_sigma(values: Floats) -> float:
    """Spread about the median as a standard deviation (MAD × 1.4826); 0 of fewer than two values."""
    if values.size < 2:
        return 0.0
    return MAD_TO_SIGMA * median(np.abs(values - median(values)))


def noise(values: Floats) -> float:
    """Standard deviation of point-to-point noise, blind to the trend; 0 of fewer than four values.

    Long windows use first differences (÷ √2). Short ones use second differences (÷ √6), because with ten points the
    bend of a healthy curve would pass for noise and mute every rule.
    """
    if values.size < 4:
        return 0.0
    if values.size < 30:
        return mad_sigma(np.diff(values, 2)) / math.sqrt(6)
    return mad_sigma(np.diff(values)) / math.sqrt(2)


def theil_sen(values: Floats) -> float:
    """Median slope between all pairs, per index; 0 of fewer than two values. Quadratic: give it at most ~64 values."""
    n = values.size
    if n < 2:
        return 0.0
    left, right = _pairs(n)
    return median((values[right] - values[left]) / (right - left))


def mann_kendall(values: Floats) -> float:
    """The Mann–Kendall z of a monotone trend (ties counted): below -2 falls, above 2 rises. Quadratic like `theil_sen`."""
    n = values.size
    if n < 3:
        return 0.0
    left, right = _pairs(n)
    score = float(np.sign(values[right] - values[left]).sum())
    variance = (n * (n - 1) * (2 * n + 5) - _ties(values)) / 18
    if variance <= 0 or score == 0:
        return 0.0
    return (score - math.copysign(1, score)) / math.sqrt(variance)


@lru_cache(maxsize=128)
def _pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of all pairs i < j of n values. Read-only: they are shared by all calls."""
    left, right = np.triu_indices(n, 1)
    left.flags.writeable = right.flags.writeable = False
    return left, right


def _ties(values: Floats) -> float:
    """What equal values take from the variance of the Mann–Kendall score (times 18)."""
    ordered = values.copy()
    ordered.sort()
    if (ordered[1:] != ordered[:-1]).all():
        return 0.0
    counts = np.unique(values, return_counts=True)[1]
    return float((counts * (counts - 1) * (2 * counts + 5)).sum())


def sliding_median(values: Floats, width: int) -> Floats:
    """Medians of all windows of `width` (clipped to the array): length n - width + 1, entry i covers i..i+width-1."""
    width = max(1, min(width, values.size))
    if width == 1:
        return values
    half = width // 2
    if width % 2:
        return np.asarray(np.partition(sliding_window_view(values, width), half, axis=1)[:, half])
    middle = np.partition(sliding_window_view(values, width), (half - 1, half), axis=1)
    return np.asarray((middle[:, half - 1] + middle[:, half]) / 2)


def block_means(values: Floats, blocks: int) -> Floats:
    """Means of at most `blocks` consecutive, nearly equal parts, in order."""
    if values.size <= blocks:
        return values
    edges = np.linspace(0, values.size, blocks + 1).astype(np.int64)
    return np.asarray(np.add.reduceat(values, edges[:-1]) / np.diff(edges))

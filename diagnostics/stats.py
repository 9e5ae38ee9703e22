"""Robust statistics on small arrays: what every rule measures with. Knows nothing of runs, steps or rules.

All functions take finite float arrays of one dimension and never change them. They are written for windows of at most
about a thousand points, where one sort is cheaper than numpy's general median.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided
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


def line_error(values: Floats) -> float:
    """Standard deviation of the values about their straight line of least squares; 0 of fewer than three."""
    if values.size < 3:
        return 0.0
    at = np.arange(values.size) - (values.size - 1) / 2
    off = values - np.add.reduce(values) / values.size
    rest = off - at * ((at @ off) / (at @ at))
    return math.sqrt(float(rest @ rest) / (values.size - 2))


def line_spread(values: Floats) -> float:
    """Spread about the Theil–Sen line: blind to outliers, and quadratic like that."""
    return mad_sigma(values - theil_sen(values) * np.arange(values.size))


def theil_sen(values: Floats) -> float:
    """Median slope between all pairs, per index; 0 of fewer than two values. Quadratic: give it at most ~64 values."""
    n = values.size
    if n < 2:
        return 0.0
    left, right, apart = _pairs(n)
    return median((values[right] - values[left]) / apart)


def mann_kendall(values: Floats) -> float:
    """The Mann–Kendall z of a monotone trend (ties counted): below -2 falls, above 2 rises. Quadratic like `theil_sen`."""
    n = values.size
    if n < 3:
        return 0.0
    greater = np.greater.outer(values, values)
    unlike = int(np.count_nonzero(greater))
    rising = int(np.count_nonzero(greater & _earlier(n)))
    score = float(2 * rising - unlike)
    ties = _ties(values) if unlike < n * (n - 1) // 2 else 0.0
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    if variance <= 0 or score == 0:
        return 0.0
    return (score - math.copysign(1, score)) / math.sqrt(variance)


@lru_cache(maxsize=128)
def _pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Indices of all pairs i < j of n values, and j - i. Read-only: they are shared by all calls."""
    left, right = np.triu_indices(n, 1)
    apart = (right - left).astype(np.float64)
    left.flags.writeable = right.flags.writeable = apart.flags.writeable = False
    return left, right, apart


@lru_cache(maxsize=128)
def _earlier(n: int) -> NDArray[np.bool_]:
    """A square that is true where the column is earlier than the row. Read-only."""
    earlier = np.tri(n, k=-1, dtype=bool)
    earlier.flags.writeable = False
    return earlier


def _ties(values: Floats) -> float:
    """What equal values take from the variance of the Mann–Kendall score (times 18)."""
    counts = np.unique(values, return_counts=True)[1]
    return float((counts * (counts - 1) * (2 * counts + 5)).sum())


def sliding_median(values: Floats, width: int) -> Floats:
    """Medians of all windows of `width` (clipped to the array): length n - width + 1, entry i covers i..i+width-1."""
    width = max(1, min(width, values.size))
    if width == 1:
        return values
    if width == 3:
        low, high = np.minimum(values[:-2], values[1:-1]), np.maximum(values[:-2], values[1:-1])
        return np.asarray(np.maximum(low, np.minimum(high, values[2:])))
    return medians(windows_of(values, width))


def windows_of(values: Floats, width: int) -> NDArray[np.float64]:
    """All windows of `width`, as rows of a table that is not to be written to; numpy's own way costs three times as much."""
    stride = values.strides[0]
    return as_strided(values, (values.size - width + 1, width), (stride, stride), writeable=False)


def medians(rows: NDArray[np.float64]) -> Floats:
    """The median of each row of a table."""
    half = rows.shape[1] // 2
    if rows.shape[1] % 2:
        return np.asarray(np.partition(rows, half, axis=1)[:, half])
    middle = np.partition(rows, (half - 1, half), axis=1)
    return np.asarray(middle[:, half - 1] / 2 + middle[:, half] / 2)


def lowest_median(values: Floats, width: int) -> tuple[float, int]:
    """The lowest of the `sliding_median` and the index of the first such window; most windows need not be sorted for it."""
    width = max(1, min(width, values.size))
    if width <= 3 or values.size < 4 * width or not np.isfinite(values).all():
        smooth = sliding_median(values, width)
        at = int(np.argmin(smooth))
        return float(smooth[at]), at
    windows = windows_of(values, width)
    bound = medians(windows[:: width // 2]).min()
    # A median of at most the bound needs half of its window there: no other window can be the lowest.
    low = np.concatenate(([0], np.cumsum(values <= bound)))
    likely = np.flatnonzero(low[width:] - low[:-width] >= (width + 1) // 2)
    found = medians(windows[likely])
    at = int(np.argmin(found))
    return float(found[at]), int(likely[at])


def block_means(values: Floats, blocks: int) -> Floats:
    """Means of at most `blocks` consecutive, nearly equal parts, in order."""
    if values.size <= blocks:
        return values
    starts, sizes = _parts(values.size, blocks)
    return np.asarray(np.add.reduceat(values, starts) / sizes)


@lru_cache(maxsize=1024)
def _parts(size: int, blocks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each of `blocks` nearly equal parts begins, and its size. Read-only."""
    edges = np.linspace(0, size, blocks + 1).astype(np.int64)
    starts, sizes = edges[:-1], np.diff(edges)
    starts.flags.writeable = sizes.flags.writeable = False
    return starts, sizes

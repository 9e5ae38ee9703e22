"""Whether one falling series follows another: how soon it can be told that validation no longer goes with the training loss.

Validation that has turned stands a hair above its best at first, and so does validation that wobbles. What tells them
apart is the training loss: where it goes on falling, validation that still learns falls with it. Both are taken as
logarithms, so that a share counts and not a scale; what validation lies above half of what training gained is one
series, and a t-test of its slope carries the noise of both, also where they wobble together. Knows no run and no rule.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.special import ndtri, stdtr

from diagnostics import stats
from diagnostics.history import Floats, Ints
from diagnostics.series import SeriesView

WINDOWS = (5, 6, 7, 8, 10, 12, 16)
"""Evaluations that are judged together: short ones see a sharp turn, long ones a slow one among noise."""

LONG_WINDOWS = (12, 16)
"""Evaluations that show that validation rests, where it has not turned."""

LOOKED_AT = 32
"""Evaluations that are looked at: the longest window, and so many ends of it that a sign once seen stays for a while."""

HALF, FIFTH = 0.5, 0.2
"""Of what the training loss gains, in logarithms: what validation makes of it while the language is learned, and so little
that a run still gets better by it."""

DOUBT, MORE_DOUBT, FEW = 0.05, 0.5, 10
"""How often, over all evaluations so far, noise may hide that validation follows by half, and by a fifth. It is spent in
equal parts, so that a long run does not alarm by chance; a run of few evaluations has `FEW` of them."""

LIKELY, RESTS = 2.0, -1.0
"""Where a text was read often overfitting is to be expected: so many times the doubt, and the t-value of the last evaluations'
slope from which on they do not fall; elsewhere they must climb."""

ALIKE = 3.0
"""Times the noise within which evaluations are as low as the lowest one."""

ROUNDING = 5e-4
"""The least noise, as a share: what the digits of printed losses hide."""

PATIENCE, LONGER = 3, 4
"""Evaluations without a new best before a word, and where validation stands hardly above its best."""

PARTED = 0.15
"""Share of the validation loss by which the training loss must lie below it."""


def turned(train: SeriesView, val: SeriesView, slight: float, *, often: bool) -> bool:
    """Whether, at some evaluation since the lowest one, validation had turned while the training loss went on falling.

    At that evaluation `PATIENCE` of them had not been lower; they stood more than `slight` above it, by their median or by
    the last two (`often`: anywhere above it, for `LONGER`); the last five climbed (`often`: did not fall); training lay far below; and it
    had surely left validation behind. What was seen once stays for a while, or until there is a new best.
    """
    low, at = val.lowest
    if val.steps[-PATIENCE:][0] <= at or train.level > (1 - PARTED) * val.last:
        return False
    count = min(LOOKED_AT, val.steps.size)
    edges = np.concatenate(([val.steps[-count - 1] if val.steps.size > count else -1], val.steps[-count:]))
    levels, values = levels_between(train, edges), val.values[-count:]
    known = (levels > 0) & (values > 0)
    if low <= 0 or np.count_nonzero(known) < WINDOWS[0]:
        return False
    steps, x, y = edges[1:][known], np.log(levels[known]), np.log(values[known])
    looks = val.size - count + 1 + np.flatnonzero(known)
    rises, since = y - np.log(low), int(np.searchsorted(steps, at, side="right"))
    parted = stats.sliding_median(y, 3) - stats.sliding_median(x, 3) >= -np.log(1 - PARTED)
    climbs = slopes(y, WINDOWS[0]) > (RESTS if often else 0.0)
    first = max(since + PATIENCE, WINDOWS[0]) - 1
    ends = [end for end in range(first, steps.size) if parted[end - 2] and climbs[end - WINDOWS[0] + 1]]
    slight += 0.0 if often else luck(val, low, at)
    ends = [end for end in ends if _stands_above(rises[since : end + 1], slight, often)]
    return left_behind(x, y, looks, np.array(ends, dtype=np.int64), LIKELY if often else 1.0)


def rests(train: SeriesView, val: SeriesView) -> bool:
    """Whether over the last dozen evaluations training surely fell on, far below validation, which gained less than a fifth of that."""
    count = min(LONG_WINDOWS[-1], val.steps.size - 1)
    if count < LONG_WINDOWS[0] or train.level > (1 - PARTED) * val.last:
        return False
    levels, values = levels_between(train, val.steps[-count - 1 :]), val.values[-count:]
    if not ((levels > 0) & (values > 0)).all():  # NaN is no level either
        return False
    looks, last = np.arange(val.size - count, val.size) + 1, np.array([count - 1])
    return left_behind(np.log(levels), np.log(values), looks, last, widths=LONG_WINDOWS)


def _stands_above(rises: Floats, slight: float, often: bool) -> bool:
    """Whether evaluations since the best stand far enough above it."""
    clear = rises[-2:].min() > slight or stats.median(rises) > slight
    return bool(clear or (often and rises.size >= LONGER))


def luck(val: SeriesView, low: float, at: int) -> float:
    """How far, as a share, the lowest evaluation lies below those that were as low but for noise: the lowest of many is lucky."""
    recent = val.values[-64:]
    noise = min(val.noise, stats.mad_sigma(np.diff(recent, 2)) / 6**0.5)
    alike = np.count_nonzero(val.values[val.steps <= at] <= low + ALIKE * noise)
    return float(ndtri((alike - 0.375) / (alike + 0.25))) * noise / low


def levels_between(series: SeriesView, edges: Ints) -> Floats:
    """The level of a series after each of the steps and up to the next one; NaN where it has no point there.

    Medians of the points, or of means of blocks where the points are long past.
    """
    if series.steps.size and (series.steps[0] <= edges[0] or series.size <= series.values.size):
        cuts, values = np.searchsorted(series.steps, edges, side="right"), series.values
    else:
        rows, _ = series.blocks
        cuts, values = np.searchsorted(rows[:, 1], edges, side="right"), rows[:, 3]
    return np.array([stats.median(values[start:stop]) for start, stop in pairwise(cuts.tolist())])


def left_behind(
    followed: Floats,
    following: Floats,
    looks: Ints,
    ends: Ints,
    likely: float = 1.0,
    widths: tuple[int, ...] = WINDOWS,
) -> bool:
    """Whether at one of the ends one series has surely fallen, and the other surely by less than a share of that.

    Both are logarithms of equal length; `looks` says the how many-th point of all each of them is, `likely` how many times
    the doubt may be spent. One-sided t-tests of the slopes in the same window, which ends there.
    """
    spent = likely * DOUBT / np.maximum(looks, FEW)
    more = spent * MORE_DOUBT / DOUBT
    tests = ((-followed, spent), (following - HALF * followed, spent), (following - FIFTH * followed, more))
    for width in widths:
        left = ends[ends >= width - 1]
        for values, allowed in tests if left.size else ():
            at = slopes(values, width)[left - width + 1]
            left = left[stdtr(width - 2, -at) < allowed[left]]
        if left.size:
            return True
    return False


def slopes(values: Floats, width: int) -> Floats:
    """The t-value of the slope over each window of `width` points, by where the window ends."""
    rows, along, spread = stats.windows_of(values, width), *_along(width)
    slope = rows @ along / spread
    rest = rows - rows.mean(axis=1, keepdims=True) - slope[:, None] * along
    sigma = np.maximum(np.sqrt(np.square(rest).sum(axis=1) / (width - 2)), ROUNDING)
    return np.asarray(slope * np.sqrt(spread) / sigma)


@lru_cache(maxsize=32)
def _along(width: int) -> tuple[Floats, float]:
    """The points of a window counted from its middle, and the sum of their squares. Read-only."""
    along: Floats = np.arange(width, dtype=np.float64) - (width - 1) / 2
    along.flags.writeable = False
    return along, float(np.square(along).sum())

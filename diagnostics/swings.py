"""How far a loss has swung before, by what it is trained on: text in its order, tasks in blocks, lengths that are sorted. Pure.

A rise says little where the same run has come back from as large a one, or where the level that it is measured from was only
visited. What is thrown off its course does either for the first time. Knows no rule.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from diagnostics import stats
from diagnostics.history import TAIL, Floats
from diagnostics.series import SeriesView

Marks = NDArray[np.bool_]

USUAL = 1.5
"""Times the largest rise that the run has come back from, below which another one is none."""

LUCK = 3.0
"""Standard errors of a level that noise alone makes it swing by, now and then."""

LASTING = 3
"""Times as long as the longest such rise lasted, after which another one does not come back as that did."""

HIGH, LOW, SLOWED = 0.75, 0.25, 0.75
"""Shares of a rise above the lowest level between which a fall into an easy passage passes; and share of that fall that the loss
fell in as many points before, at most: learning gets slower, never suddenly faster."""

OFTEN, ENOUGH = 0.1, 10
"""How often in a point, of so many at least at the lowest level, single ones jump as high as the rise where two kinds of batches
take turns: ten of the one kind in a row are then no wonder."""

SHORT = 4
"""Parts of a history of which a passage fills at most one."""


def came_back_from(levels: Floats, error: float, base: float, rise: float) -> float:
    """The largest rise of the levels, before the present one from `base` by `rise`, that was followed by as large a fall; without
    what is luck where a level has this standard error, and 0 where there was none.

    What stays up for more than `LASTING` times as long has not come back as that did: then it is none either.
    """
    low = np.flatnonzero(levels <= base + 0.5 * rise)
    if not low.size:
        return 0.0
    past = levels[: low[-1] + 1]
    hump = np.minimum(past - np.minimum.accumulate(past), past - np.minimum.accumulate(past[::-1])[::-1])
    height = float(hump.max())
    if height <= 0 or levels.size - past.size > LASTING * _longest(hump >= 0.5 * height):
        return 0.0
    return max(0.0, height - LUCK * error)


def _longest(marks: Marks) -> int:
    """How many marks stand in a row at most."""
    gaps = np.flatnonzero(~np.concatenate(([False], marks, [False])))
    return int(np.diff(gaps).max()) - 1


def was_visited(series: SeriesView) -> bool:
    """Whether the loss fell to its lowest level within two windows, faster than it fell before, and soon rose as high again.

    What comes so suddenly came with the text, and so does the rise that ends it.
    """
    levels, width = levels_of(series)
    at = int(np.argmin(levels))
    rise = float(levels[at:].max() - levels[at])
    high = np.flatnonzero(levels[:at] >= levels[at] + HIGH * rise)
    if not high.size or rise <= 0:
        return False
    start = int(high[-1])
    low = np.flatnonzero(levels[start:] <= levels[at] + LOW * rise) + start
    took, stayed = int(low[0]) - start, int(low[-1] - low[0])
    if took > 2 * width or start < took or stayed > max(2 * width, levels.size // SHORT):
        return False
    return float(levels[start - took] - levels[start]) < SLOWED * float(levels[start] - levels[low[0]])


def takes_turns(series: SeriesView, base: float, rise: float) -> bool:
    """Whether single points have stood as high all along, while the level was low: batches of several kinds."""
    width = series.window
    low = np.flatnonzero(stats.sliding_median(series.values, width) <= base + LOW * rise)
    if not low.size:
        return False
    high = series.values[int(low[0]) : int(low[-1]) + 1] >= base + HIGH * rise
    return high.size >= ENOUGH and float((high[1:] & ~high[:-1]).sum()) > OFTEN * high.size


def levels_of(series: SeriesView) -> tuple[Floats, int]:
    """The medians of all windows of the history, and how many of them apart two windows have no point in common."""
    if series.size <= TAIL:
        return stats.sliding_median(series.values, series.window), min(series.window, series.size)
    rows, size = series.blocks
    width = max(3, math.ceil(series.window / size))
    return stats.sliding_median(rows[:, 3], width), width

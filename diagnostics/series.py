"""A read-only view of one series up to now: what rules look at. Computes lazily, remembers for one look, changes nothing."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from diagnostics import stats
from diagnostics.history import TAIL, Floats, History, Ints, NonFinite


class Best(NamedTuple):
    """The lowest smoothed value so far and the step it belongs to."""

    value: float
    step: int


class SeriesView:
    """Finite values of one series up to now. Levels and bests are medians of windows, never single points.

    `steps` and `values` are the last (at most 1,024) finite points, of equal length, in the order they were logged.
    """

    def __init__(self, name: str, history: History) -> None:
        self.name = name
        """The name under which the points were logged, as evidence quotes it."""
        self._history = history
        self._flatness: dict[float, tuple[float, float]] = {}
        steps, values = history.tail()
        self.raw_steps: Ints = steps
        self.raw_values: Floats = values
        """The last (at most 1,024) points with NaN and ±Inf left in."""
        self.nonfinite: NonFinite = history.nonfinite
        if self.nonfinite.count:
            finite = np.isfinite(values)
            steps, values = steps[finite], values[finite]
        self.steps: Ints = steps
        self.values: Floats = values

    @property
    def count(self) -> int:
        """All points so far, non-finite ones included."""
        return self._history.count

    @property
    def size(self) -> int:
        """All finite points so far."""
        return self._history.count - self._history.nonfinite.count

    @property
    def last_step(self) -> int:
        """Step of the newest point, finite or not."""
        return int(self.raw_steps[-1])

    @property
    def last(self) -> float:
        """Newest finite value."""
        return float(self.values[-1])

    @cached_property
    def first_points(self) -> tuple[Ints, Floats]:
        """The first finite points (at most 256)."""
        steps, values = self._history.first()
        finite = np.isfinite(values)
        return steps[finite], values[finite]

    @cached_property
    def blocks(self) -> tuple[Floats, int]:
        """Whole history as at most 512 blocks (columns of `History.blocks`) and the block size."""
        return self._history.blocks()

    @cached_property
    def highest(self) -> float:
        """The highest value so far."""
        return float(self.blocks[0][:, 5].max())

    @property
    def window(self) -> int:
        """Points that make a level: 2 % of all, between 10 and 100; a fifth of them while there are fewer than 50."""
        return max(1, self.size // 5) if self.size < 50 else min(100, max(10, self.size // 50))

    @cached_property
    def noise(self) -> float:
        """Point-to-point standard deviation over the last 256 points, never below the rounding of printed logs."""
        recent = self.values[-256:]
        return max(stats.noise(recent), 5e-4 * abs(stats.median(recent)) if recent.size else 0.0)

    @cached_property
    def level(self) -> float:
        """Where the series is now: the median of the last window."""
        return stats.median(self.values[-self.window :])

    @cached_property
    def level_error(self) -> float:
        """Standard error of the level: what noise alone may make of it."""
        return 1.25 * self.noise / math.sqrt(min(self.window, self.size))

    @cached_property
    def start(self) -> float:
        """Where it began: the median of the first three finite points once there are 30, else the first one."""
        values = self.first_points[1]
        return stats.median(values[:3]) if self.size >= 30 else float(values[0])

    @cached_property
    def curve(self) -> Floats:
        """The whole history as means of at most 64 equal parts, oldest first."""
        rows, size = self.blocks
        full = rows[:-1] if size > 1 and len(rows) > 1 and rows[-1, 2] < size / 2 else rows
        return stats.block_means(full[:, 3], 64)

    @cached_property
    def trend(self) -> float:
        """Mann–Kendall z of the whole curve."""
        return stats.mann_kendall(self.curve)

    def flatness(self, share: float) -> tuple[float, float]:
        """(fall over the last `share` of the curve as a share of its level, Mann–Kendall z there)."""
        if share not in self._flatness:
            part = self.curve[-max(3, round(share * self.curve.size)) :]
            level = abs(stats.median(part))
            fall = -stats.theil_sen(part) * (part.size - 1)
            self._flatness[share] = (fall / level if level else 0.0), stats.mann_kendall(part)
        return self._flatness[share]

    @cached_property
    def best(self) -> Best:
        """Lowest smoothed value so far. Smoothed, because the lowest of many noisy points is luck."""
        rows, size = self.blocks
        if self.size <= TAIL and self.values.size:
            means, width, ends = self.values, self.window, self.steps.astype(np.float64)
        else:
            means, width, ends = rows[:, 3], max(3, math.ceil(self.window / size)), rows[:, 1]
        value, at = stats.lowest_median(means, width)
        return Best(value, int(ends[at + min(width, means.size) // 2]))

    @property
    def lowest(self) -> Best:
        """The lowest single value so far and its step: where the best checkpoint is, though not what to judge by."""
        return Best(self._history.lowest.value, self._history.lowest.step)

    def near(self, step: int) -> float:
        """The level around `step`: the median of the points nearest to it, from the blocks where it is long past."""
        if self.steps.size and (step >= self.steps[0] or self.size <= TAIL):
            at = int(np.searchsorted(self.steps, step, side="right"))
            half = max(1, self.window // 2)
            return stats.median(self.values[max(0, at - half) : max(at + half, 1)])
        rows, _ = self.blocks
        at = min(int(np.searchsorted(rows[:, 1], step)), len(rows) - 1)
        return float(rows[at, 3])

    def since(self, step: int) -> tuple[Ints, Floats]:
        """The finite points of the tail whose step is past `step`."""
        kept = self.steps > step
        return self.steps[kept], self.values[kept]

"""Two or more runs beside each other: which is ahead, whether by more than noise, since when they part, what differs. Pure.

Series in, sentences' facts out. Knows neither store nor pages. Curves are compared at the steps that all of them reached:
what one run did after the other had ended says nothing about which is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.records import Floats, Series

TAIL = 0.2
"""The last part of the common steps over which a curve's level is taken."""
LEAST_TAIL = 5
"""Points that a level wants; of fewer than three times as many a third, for the first of a few evaluations is no level of the last."""
SIGMAS = 3.0
"""A difference of so many standard errors is more than noise: by chance one pair in 370 shows that much."""
NEIGHBOURS = 5
"""Points over which a difference is smoothed before it is asked since when it lasts."""
MISSING = object()
"""The value of a setting that a run does not have."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """Which of several curves is lowest at their last common step, and what is to be known of it."""

    step: int
    order: tuple[int, ...]
    """Indices of the curves that have a level there, the lowest first."""
    levels: tuple[float, ...]
    """Their levels, in the same order."""
    noise: float | None
    """Standard error of the difference of the first two; None when there are too few points to tell."""
    broken: tuple[int, ...]
    """Indices of the curves that are not finite there."""

    @property
    def gap(self) -> float:
        """How far the second is above the first."""
        return self.levels[1] - self.levels[0]

    @property
    def certain(self) -> bool | None:
        """Whether the gap is more than noise; None when that cannot be told."""
        return None if self.noise is None else self.gap > SIGMAS * self.noise


def ahead(curves: Sequence[Series]) -> Ahead | None:
    """The order of these curves at the last step that all of them reached, lowest first; None when they share none."""
    first, last = _common(curves)
    if len(curves) < 2 or last < first:
        return None
    start = last - TAIL * (last - first)
    levels: dict[int, float] = {}
    for index, curve in enumerate(curves):
        level = _level(curve, start, last)
        if level is not None:
            levels[index] = level
    order = tuple(sorted(levels, key=levels.__getitem__))
    if not order:
        return None
    noise = None
    if len(order) > 1:
        noise = _noise_of_gap(curves[order[0]], curves[order[1]], first, start, last)
    broken = tuple(index for index in range(len(curves)) if index not in levels)
    return Ahead(int(last), order, tuple(levels[index] for index in order), noise, broken)


def apart_since(one: Series, other: Series) -> int | None:
    """The step from which two curves stay apart by more than noise; None when they do not at their common end.

    "Stay" is the point: curves cross and touch while they find their level, and only what lasts is a difference.
    """
    first, last = _common([one, other])
    steps, gap = _gap(one, other, first, last)
    if len(gap) < 2 * NEIGHBOURS:
        return None
    kernel = np.ones(NEIGHBOURS) / NEIGHBOURS
    smooth = np.convolve(gap, kernel, mode="valid")
    places = steps[NEIGHBOURS - 1 :]
    limit = SIGMAS * scatter(gap) / math.sqrt(NEIGHBOURS)
    # Apart is on one side for good: a sign that changes is a crossing.
    together = np.flatnonzero((np.abs(smooth) <= limit) | (np.sign(smooth) != np.sign(smooth[-1])))
    if not len(together):
        return int(steps[0])
    return int(places[together[-1] + 1]) if together[-1] + 1 < len(places) else None


def scatter(values: Floats) -> float:
    """The standard deviation of a curve around its own trend, from second differences: a slope does not count as noise."""
    if len(values) < 3:
        return math.nan
    second = np.diff(values, n=2)
    return float(1.4826 * np.median(np.abs(second - np.median(second))) / math.sqrt(6.0))


def differing(configs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, tuple[Any, ...]], int]:
    """The settings that are not the same in all, each with its value in every run (MISSING where it has none), and how
    many are the same."""
    names = list(dict.fromkeys(name for config in configs for name in config))
    rows = {name: tuple(config.get(name, MISSING) for config in configs) for name in names}
    apart = {name: values for name, values in rows.items() if any(not _same(values[0], one) for one in values[1:])}
    return apart, len(rows) - len(apart)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _common(curves: Sequence[Series]) -> tuple[float, float]:
    """The first and the last step that all of them reached; an empty span when one has no points."""
    if not curves or any(not len(curve.step) for curve in curves):
        return 0.0, -1.0
    return float(max(curve.step[0] for curve in curves)), float(min(curve.step[-1] for curve in curves))


def _finite(curve: Series) -> tuple[Floats, Floats]:
    """Steps and values of a curve where it is finite; of a bucket its mean."""
    kept = np.isfinite(curve.mean)
    return curve.step[kept].astype(np.float64), curve.mean[kept]


def _level(curve: Series, start: float, last: float) -> float | None:
    """The mean over the tail; None when the last point of the tail is not finite, or when there is none.

    A curve without a point at the last step has there what lies between its neighbours: of a loss that falls, the point before
    is that of an earlier time.
    """
    before = np.flatnonzero(curve.step <= last)
    if not len(before) or not np.isfinite(curve.last[before[-1]]):
        return None
    steps, values = _finite(curve)
    if not len(steps) or steps[0] > last:
        return None
    reached = steps <= last
    tail = values[reached]
    if steps[reached][-1] < last < steps[-1]:
        tail = np.append(tail, np.interp(last, steps, values))
    return float(np.mean(tail[-_tail(int((steps[reached] >= start).sum()), len(tail)) :]))


def _tail(inside: int, points: int) -> int:
    """How many of so many points make the level, when `inside` of them lie in the tail."""
    return max(1, inside, min(LEAST_TAIL, points // 3))


def _gap(one: Series, other: Series, first: float, last: float) -> tuple[Floats, Floats]:
    """The steps of the sparser of two curves inside the span, and how far `other` is above `one` there."""
    (few, few_values), (many, many_values) = sorted((_finite(one), _finite(other)), key=lambda pair: len(pair[0]))
    inside = (few >= first) & (few <= last)
    if not inside.any() or not len(many):
        return np.empty(0), np.empty(0)
    found = np.interp(few[inside], many, many_values) - few_values[inside]
    swapped = len(_finite(one)[0]) > len(_finite(other)[0])
    return few[inside], -found if swapped else found


def _noise_of_gap(one: Series, other: Series, first: float, start: float, last: float) -> float | None:
    """The standard error of the gap's level over the tail. Measured on the gap itself: curves of one seed scatter together."""
    steps, gap = _gap(one, other, first, last)
    if len(gap) < LEAST_TAIL + 3:
        return None
    count = _tail(int((steps >= start).sum()), len(gap))
    return scatter(gap[-max(3 * count, 12) :]) / math.sqrt(count)

"""From a stored series to the points of a line: no spike hidden, no non-finite value dropped. Pure: lists out, no plotly.

A bucket becomes up to three points (its lowest, its highest, its last, in the order they happened), so the line passes
through every extreme whatever the zoom. A non-finite value is a gap in the line and a mark beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dashboard.axes import AxisKind, TokenCounts
from dashboard.records import Series
from dashboard.ui import format as fmt


@dataclass(frozen=True, slots=True)
class Axis:
    """What the x axis counts. `origin` is the run's start (seconds since 1970); `counts` are there when it is tokens."""

    kind: AxisKind = "step"
    origin: float = 0.0
    counts: TokenCounts | None = None
    seconds_per_unit: float = 60.0

    @property
    def title(self) -> str:
        """The axis's label with its unit."""
        if self.kind == "tokens":
            return "tokens"
        if self.kind == "time":
            return "hours since start" if self.seconds_per_unit > 60 else "minutes since start"
        return "step"

    def place(self, step: float, time: float) -> float:
        """Where a point of that step and time lies."""
        return self.places([step], [time])[0]

    def places(self, steps: Sequence[float], times: Sequence[float]) -> list[float]:
        """Where points of those steps and times lie: at their own tokens, where those were counted."""
        if self.counts is not None:
            return [float(place) for place in self.counts.at(np.array(steps, float))]
        if self.kind == "time":
            return [(time - self.origin) / self.seconds_per_unit for time in times]
        return list(steps)


@dataclass(frozen=True, slots=True)
class Mark:
    """A non-finite value: where, in words, and at which edge of the chart it is drawn (`top` or `bottom`)."""

    step: int
    time: float
    words: str
    edge: Literal["top", "bottom"]


@dataclass(frozen=True, slots=True)
class Line:
    """Points in order; `values` holds None where the line has a gap. Columns of equal length."""

    steps: list[int]
    times: list[float]
    values: list[float | None]
    marks: list[Mark]

    @property
    def lonely(self) -> bool:
        """Whether a finite point has a gap on both sides: it is invisible unless points are drawn, too."""
        padded = [None, *self.values, None]
        return any(
            here is not None and before is None and after is None
            for before, here, after in zip(padded, padded[1:], padded[2:], strict=False)
        )


def trace(series: Series) -> Line:
    """The line and the marks of a series, raw or bucketed."""
    line = Line([], [], [], [])
    for index in range(len(series.step)):
        _add_bucket(line, series, index)
    return line


def _add_bucket(line: Line, series: Series, index: int) -> None:
    step, time = int(series.step[index]), float(series.time[index])
    count, bad, last = int(series.count[index]), int(series.nonfinite[index]), float(series.last[index])
    if bad:
        line.marks.append(_mark(step, time, last, bad, count))
    if bad == count:
        _add_point(line, step, time, None)
        return
    low_time = time if series.min_time is None else float(series.min_time[index])
    high_time = time if series.max_time is None else float(series.max_time[index])
    extremes = {
        int(series.min_step[index]): (low_time, float(series.min[index])),
        int(series.max_step[index]): (high_time, float(series.max[index])),
    }
    if int(series.min_step[index]) == int(series.max_step[index]) and series.min[index] != series.max[index]:
        # Both extremes were logged at one step (a repeated step): the dictionary kept one, so the other goes first.
        _add_point(line, int(series.min_step[index]), low_time, float(series.min[index]))
    if math.isfinite(last):
        extremes.setdefault(step, (time, last))
    for at in sorted(extremes):
        _add_point(line, at, *extremes[at])


def _add_point(line: Line, step: int, time: float, value: float | None) -> None:
    line.steps.append(step)
    line.times.append(time)
    line.values.append(value)


def _mark(step: int, time: float, last: float, bad: int, count: int) -> Mark:
    if math.isfinite(last):
        return Mark(step, time, f"{bad} of {count} values up to step {step:,} not finite", "top")
    edge: Literal["top", "bottom"] = "bottom" if last == -math.inf else "top"
    several = f" ({bad} of {count} values)" if count > 1 else ""
    return Mark(step, time, f"{fmt.nonfinite(last)} at step {step:,}{several}", edge)


@dataclass(frozen=True, slots=True)
class Smoothed:
    """A smoothed line, and the state from which live points continue it: the weighted sum, the sum of weights, and the
    step of the last finite value."""

    values: list[float | None]
    total: float
    weight: float
    last_finite: int | None


def smooth(line: Line, half_life: float) -> Smoothed:
    """An exponential mean over `half_life` steps, gaps left out, without a bias towards the first value.

    The spacing of steps counts, so buckets and raw points agree. Only ever drawn beside the raw line, never instead of it.
    """
    values: list[float | None] = []
    total = weight = 0.0
    before: int | None = None
    for step, value in zip(line.steps, line.values, strict=True):
        if value is not None:
            # The first value weighs as one step does: were it to weigh 1, it would stand against all later ones together.
            keep = 0.5 ** ((max(step - before, 1) if before is not None else 1) / half_life)
            total, weight, before = keep * total + (1 - keep) * value, keep * weight + (1 - keep), step
        values.append(total / weight if value is not None else None)
    return Smoothed(values, total, weight, before)


def perplexity(value: float | None) -> float | None:
    """exp(loss), or None where it would overflow: such a point is off every chart."""
    if value is None or value > 700:
        return None
    return math.exp(value)

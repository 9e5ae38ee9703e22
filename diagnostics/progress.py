"""How far a run has come, asked the same way by the rules on slow, stuck and flat losses. Pure; knows no rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

from diagnostics.series import SeriesView
from diagnostics.view import RunView

SAME = 4
"""Evaluations in a row that no run whose weights change gives the same."""

FALLING = -2.0
"""A Mann–Kendall z below this is a falling trend."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """The loss that the run is judged by, and what it has gained since the rate was warm."""

    series: SeriesView
    reference: float
    """Loss of knowing nothing where that is known, else where the run began."""
    began: float
    """The loss that it began with, at most the reference and at least nine tenths of it."""
    uniform: bool
    """Whether the reference is the loss of knowing nothing."""
    fall: float
    """What was gained, as a share: (where it began - level) ÷ where it began, at most the reference."""
    warm_points: int
    """Logged points since the rate was warm."""
    warm_steps: int

    @property
    def falling(self) -> bool:
        """Whether the whole curve has a falling trend; with few points, whether it ends lower than ever before."""
        if self.series.size < 10:
            return self.series.size >= 3 and self.series.last <= float(self.series.values.min()) < self.series.start
        return self.series.trend < FALLING


def read_progress(view: RunView) -> Progress | None:
    """The run's progress by its training loss, or by validation where there is no other; None before three points."""
    return view.once(_read)


def _read(view: RunView) -> Progress | None:
    series = view.train or view.val
    if series is None or series.size < 3:
        return None
    uniform = view.uniform_loss
    reference = uniform if uniform is not None else series.start
    if reference <= 0:
        return None
    # A few tokens' luck lets a run begin somewhat below ln of its vocabulary: that it was given, it did not learn it.
    began = min(reference, max(series.start, 0.9 * reference))
    return Progress(
        series=series,
        reference=reference,
        began=began,
        uniform=uniform is not None,
        fall=(began - series.level) / began,
        warm_points=_points_since(series, view.first_warm_step),
        warm_steps=view.warm_steps,
    )


def settled(series: SeriesView) -> bool:
    """Whether the last three fifths of the curve have come to rest."""
    gain, trend = series.flatness(0.6)
    return -0.05 < gain < 0.015 and trend > -3


def unmoved_since(view: RunView) -> int | None:
    """The step of the first of four and more last evaluations that all gave the same number; None where they did not.

    Weights that are changed at all change the last digit of a mean over tokens. It must have such digits, training rows
    must stand between the evaluations (else an old value may have been written again and again), and it must be a quarter
    of the run: at the very end of a decay to nothing the printed digits rest.
    """
    val, train = view.val, view.train
    if val is None or train is None or val.size < SAME or view.rate_share == 0:
        return None
    last = float(val.values[-1])
    if _is_coarse(last) or not bool((val.values[-SAME:] == last).all()):
        return None
    other = val.values != last
    first = int(val.steps[int(other.nonzero()[0][-1]) + 1 if other.any() else 0])
    _steps, between = train.since(first)
    evaluations = int((val.steps >= first).sum())
    lasts = view.step - first >= 0.25 * view.step
    return first if lasts and between.size >= 2 * evaluations else None


def _is_coarse(value: float) -> bool:
    """Whether a number has so few digits (three decimals, or the eleven bits of half precision) that it may repeat by chance."""
    return round(value, 3) == value or (math.frexp(value)[0] * 2**11).is_integer()


def _points_since(series: SeriesView, step: int | None) -> int:
    if step is None:
        return 0
    rows, size = series.blocks
    return int((rows[:, 1] > step).sum()) * size

"""Whether a log whose step counter restarted goes on with the same run or tells of another one. Pure.

A counter that restarts in each epoch goes on where the loss was. Tables that compare several runs, and files to which a
run was appended after it was started again from nothing, go back to where the first loss was.
"""

from __future__ import annotations

from diagnostics import stats
from diagnostics.clock import PATIENCE
from diagnostics.series import SeriesView

LEAST_BEFORE = 5
"""Points that the part before must have to say where the loss was."""


def begins_anew(series: SeriesView) -> bool:
    """Whether the last `PATIENCE` points of a loss stand nearer to its start than to where it had come."""
    before, after = series.values[:-PATIENCE], series.values[-PATIENCE:]
    if before.size < LEAST_BEFORE:
        return False
    start = float(series.first_points[1][0])
    level = stats.median(before[-max(3, min(10, before.size // 5)) :])
    gained = start - level
    least = max(0.1 * abs(level), 4 * stats.noise(before[-64:]))
    return gained > least and float(after[0]) > level + 0.5 * gained and stats.median(after) > level + 0.25 * gained

"""Whether a log whose step counter restarted goes on with the same run or tells of another one. Pure.

A counter that restarts in each epoch goes on where the loss was, and the epochs count on. Tables that compare several
runs, and files to which a run was appended after it was started again from nothing, go back to where they began.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from diagnostics import stats
from diagnostics.clock import PATIENCE, Restart
from diagnostics.series import SeriesView
from diagnostics.stretch import Floats

LEAST_BEFORE = 5
"""Points that the part before must have to say where the loss was."""
BEGINNING = 0.1
"""Share of what a counter had reached up to which it stands at its beginning."""
ONE_LENGTH = 0.05
"""By how much the parts between restarts differ at most where the counter is that of an epoch."""
JUMP = 0.1
"""Share of the loss by which it must stand higher after a restart, to be another run's."""


class EpochCounter:
    """The epochs that the rows of a loss are logged with. They never go back to where they began in one run."""

    def __init__(self) -> None:
        self._first = self._highest = math.nan
        self._recent: deque[float] = deque(maxlen=PATIENCE + 1)
        self._behind = 0

    def take(self, epoch: float) -> bool:
        """Take the epoch of the next row; whether it is the third in a row since they went back to the beginning."""
        if not math.isfinite(epoch):
            return False
        if not self._recent:
            self._first = self._highest = epoch
        elif self._behind or epoch < self._recent[-1]:
            self._note_behind(epoch)
        self._recent.append(epoch)
        self._highest = max(self._highest, epoch)
        if self._behind < PATIENCE:
            return False
        self._first, self._highest, self._behind = self._recent[-PATIENCE], epoch, 0
        return True

    def first_fall(self, epochs: Floats) -> int | None:
        """The first of these epochs to come that must be taken by itself; None when none must."""
        if self._behind or not np.isfinite(epochs).all():
            return 0
        falls = np.flatnonzero(np.diff(epochs, prepend=self._recent[-1] if self._recent else -math.inf) < 0)
        return int(falls[0]) if falls.size else None

    def take_all(self, epochs: Floats) -> None:
        """Take epochs of which none falls."""
        if not self._recent:
            self._first = float(epochs[0])
        self._recent.extend(epochs[-PATIENCE - 1 :].tolist())
        self._highest = float(epochs[-1]) if math.isnan(self._highest) else max(self._highest, float(epochs[-1]))

    def rewind(self) -> None:
        """The run went back, and says so: what comes next is the first."""
        self._first = self._highest = math.nan
        self._recent.clear()
        self._behind = 0

    @property
    def is_behind(self) -> bool:
        """Whether they went back to the beginning, for too few rows to say so."""
        return self._behind > 0

    @property
    def grew(self) -> bool:
        """Whether the newest row has a higher epoch than the last before `PATIENCE` rows."""
        return len(self._recent) > PATIENCE and self._recent[-1] > self._recent[0]

    def _note_behind(self, epoch: float) -> None:
        if self._behind:
            self._behind = self._behind + 1 if epoch < self._highest else 0
        elif epoch <= max(self._first, BEGINNING * self._highest):
            self._behind = 1


def begins_anew(series: SeriesView, restarts: Sequence[Restart], epochs: EpochCounter) -> bool:
    """Whether the last `PATIENCE` points of a loss, those since the last restart, are another run's.

    They are where they stand nearer to the start than to where the loss had come. Where the counter went back to its
    beginning and no epoch was counted on, also where the loss jumped, or where the parts between restarts, which would be
    the epochs, differ in length.
    """
    before, after = series.values[:-PATIENCE], series.values[-PATIENCE:]
    if before.size < LEAST_BEFORE:
        return False
    start = float(series.first_points[1][0])
    level = stats.median(before[-max(3, min(10, before.size // 5)) :])
    gained, noise = start - level, stats.noise(before[-64:])
    least = max(0.1 * abs(level), 4 * noise)
    now = stats.median(after)
    if gained > least and float(after[0]) > level + 0.5 * gained and now > level + 0.25 * gained:
        return True
    if not restarts[-1].to_the_beginning(BEGINNING) or epochs.grew:
        return False
    return now > level + max(JUMP * abs(level), 3 * noise) or _differ(restarts)


def _differ(restarts: Sequence[Restart]) -> bool:
    """Whether the last two parts that ended with a restart to the beginning had different lengths."""
    ends = [restart.reached for restart in restarts if restart.to_the_beginning(BEGINNING)][-2:]
    return len(ends) > 1 and abs(ends[1] - ends[0]) > max(ONE_LENGTH * max(ends), PATIENCE)

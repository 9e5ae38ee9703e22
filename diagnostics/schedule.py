"""When the engine looks: decided by the data alone, so that a replay looks at exactly the moments of the live run.

Every point while there are few, then ever sparser (1.5 % of the history); every evaluation; and at once when a cheap
guard trips: a non-finite number, three hot points of ten, or five more steps skipped in a row. Guards back off while an
illness lasts, so that a run that is sick for a million points costs no more than a healthy one. Knows no rule and no
series, only numbers.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from diagnostics.stretch import NOTHING, Cells

EVERY_POINT_UNTIL = 64
HOT_OF, HOT_WITHIN = 3, 10
MANY_SKIPPED = 5
"""Steps skipped in a row, none further than `HOT_WITHIN` points from the last, after which to look, and after as many more."""
CALM_AFTER = 100
"""Points without a hot one after which the guard is as quick as at the start."""


class LookSchedule:
    """Told every event's watched numbers, says whether to look now. Limits are set by the engine after each look."""

    def __init__(self) -> None:
        self.loss_above = math.inf
        self.grad_above = math.inf
        self.grad_below = -math.inf
        self._points = 0
        self._evaluations = 0
        self._next = 1
        self._hot: deque[int] = deque(maxlen=HOT_OF)
        self._last_hot = 0
        self._skipped = self._skipped_in_row = 0.0
        self._last_skipped = 0
        self._gap = 1
        self._next_urgent = 0
        self._urgent_looks = 0

    @property
    def points(self) -> int:
        """Events so far that carried a watched number."""
        return self._points

    def due(
        self, loss: float | None, evaluation: float | None, grad: float | None, skipped: float | None = None
    ) -> bool:
        """Whether to look after this event; the numbers are those that it carried."""
        self._points += 1
        bad = (loss is not None and loss - loss != 0) or (evaluation is not None and evaluation - evaluation != 0)
        hot = bad or (loss is not None and loss > self.loss_above)
        if not hot and grad is not None:
            # NaN compares false both ways, so a gradient norm that is not a number must be asked for by name.
            hot = grad > self.grad_above or grad < self.grad_below or grad != grad
        if skipped is not None and self._many_skipped(self._points, skipped):
            hot = bad = True
        urgent = hot and self._urgent(self._points, bad)
        if evaluation is not None:
            self._evaluations += 1
            urgent = urgent or self._evaluations <= 200 or self._evaluations % (self._evaluations // 100) == 0
        return self._regular() or urgent

    def first_due(
        self, events: int, loss: Cells, evaluation: Cells, grad: Cells, skipped: Cells = NOTHING
    ) -> int | None:
        """The first of the next `events` events after which to look, counted from 0; None when none of them is due.

        Takes the events up to it, or all of them, as `due` would one by one; their numbers come as columns.
        """
        stop = min(events, max(1, self._next - self._points))
        loss, evaluation, grad, skipped = (cells.between(0, stop) for cells in (loss, evaluation, grad, skipped))
        numbers = self._evaluations + 1 + np.arange(evaluation.rows.size)
        telling = evaluation.rows[(numbers <= 200) | (numbers % np.maximum(numbers // 100, 1) == 0)]
        look = telling.size > 0
        stop = int(telling[0]) + 1 if look else stop
        bad = np.concatenate([cells.rows[~np.isfinite(cells.values)] for cells in (loss, evaluation)])
        hot = loss.rows[loss.values > self.loss_above]
        norms = grad.values
        wild = grad.rows[(norms > self.grad_above) | (norms < self.grad_below) | np.isnan(norms)]
        changed = skipped.values != np.concatenate(([self._skipped], skipped.values[:-1]))
        counts = dict(zip(skipped.rows[changed].tolist(), skipped.values[changed].tolist(), strict=True))
        bad_rows, hot_rows = set(bad.tolist()), {*hot.tolist(), *wild.tolist()}
        for row in sorted({*bad_rows, *hot_rows, *counts}):
            if row >= stop:
                break
            now = self._points + row + 1
            serious = (row in counts and self._many_skipped(now, counts[row])) or row in bad_rows
            if (serious or row in hot_rows) and self._urgent(now, serious):
                look, stop = True, row + 1
                break
        self._points += stop
        self._evaluations += int(np.searchsorted(evaluation.rows, stop))
        return stop - 1 if self._regular() or look else None

    def _regular(self) -> bool:
        now = self._points
        if now < self._next:
            return False
        self._next = now + (1 if now < EVERY_POINT_UNTIL else max(1, now // 64))
        return True

    def _many_skipped(self, now: int, skipped: float) -> bool:
        """Whether `MANY_SKIPPED` more steps were skipped in a row; `skipped` have been since the run began."""
        more, self._skipped = skipped - self._skipped, skipped
        if not more > 0:
            return False
        if now - self._last_skipped > HOT_WITHIN:
            self._skipped_in_row = 0.0
        self._last_skipped = now
        before, self._skipped_in_row = self._skipped_in_row, self._skipped_in_row + more
        return before // MANY_SKIPPED != self._skipped_in_row // MANY_SKIPPED

    def _urgent(self, now: int, bad: bool) -> bool:
        """Whether a hot event, the `now`th of all, is to be looked at; `bad`: it was not finite."""
        if now - self._last_hot > CALM_AFTER:
            self._gap = 1 + self._urgent_looks // 50
        self._last_hot = now
        self._hot.append(now)
        crowded = len(self._hot) == HOT_OF and now - self._hot[0] < HOT_WITHIN
        if not (bad or crowded) or now < self._next_urgent:
            return False
        self._urgent_looks += 1
        self._next_urgent = now + self._gap
        self._gap = min(self._gap * 2, max(1, now // 64))
        return True

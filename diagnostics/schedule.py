"""When the engine looks: decided by the data alone, so that a replay looks at exactly the moments of the live run.

Every point while there are few, then ever sparser (1.5 % of the history); every evaluation; and at once when a cheap
guard trips: a non-finite number, or three hot points of ten. Guards back off while an illness lasts, so that a run that
is sick for a million points costs no more than a healthy one. Knows no rule and no series, only numbers.
"""

from __future__ import annotations

import math
from collections import deque

EVERY_POINT_UNTIL = 64
HOT_OF, HOT_WITHIN = 3, 10
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
        self._gap = 1
        self._next_urgent = 0
        self._urgent_looks = 0

    @property
    def points(self) -> int:
        """Events so far that carried a watched number."""
        return self._points

    def due(self, loss: float | None, evaluation: float | None, grad: float | None) -> bool:
        """Whether to look after this event; the numbers are those that it carried."""
        self._points += 1
        now = self._points
        urgent = self._urgent(loss, evaluation, grad)
        if evaluation is not None:
            self._evaluations += 1
            urgent = urgent or self._evaluations <= 200 or self._evaluations % (self._evaluations // 100) == 0
        if now >= self._next:
            self._next = now + (1 if now < EVERY_POINT_UNTIL else max(1, now // 64))
            return True
        return urgent

    def _urgent(self, loss: float | None, evaluation: float | None, grad: float | None) -> bool:
        now = self._points
        bad = (loss is not None and loss - loss != 0) or (evaluation is not None and evaluation - evaluation != 0)
        hot = bad or (loss is not None and loss > self.loss_above)
        if not hot and grad is not None:
            # NaN compares false both ways, so a gradient norm that is not a number must be asked for by name.
            hot = grad > self.grad_above or grad < self.grad_below or grad != grad
        if not hot:
            return False
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

"""Steps that never go back: what the engine counts on where a log's own counter restarts or stumbles.

Some trainers count steps anew in each epoch, some resume without saying so, some write a row late. Rules ask "what came
after this step", which such a log cannot answer. A `rewind` event is not meant here: that one says what happened, and the
points after it are forgotten. Knows no rule and no value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

PATIENCE = 3
"""Rows of one series in a row that lie behind, after which its counter has restarted. Fewer are rows that came late,
unless they go back to where the counter began."""


KEPT = 4
"""Restarts that are remembered."""


class Restart(NamedTuple):
    """Where a counter restarted, in steps as they are logged."""

    first: int
    """Where it had begun."""
    reached: int
    """How far it had come."""
    step: int
    """Where it went on."""

    def to_the_beginning(self, share: float) -> bool:
        """Whether it went back to where it had begun, or to less than a share of how far it had come."""
        return self.step <= max(self.first, share * self.reached)


class StepClock:
    """Places logged steps on one axis. One counter serves all series; each shows by itself whether a row came late.

    A late row is placed at the newest step of its series. After a restart steps are counted on: 0, 1, 2, 0, 1, 2 become
    0, 1, 2, 3, 4, 5 (rows that come before the restart is certain stand at the newest step).
    """

    def __init__(self) -> None:
        self.newest = 0
        """The highest step placed so far."""
        self.restarts = 0
        """How often the counter was found to have restarted."""
        self.last_restarts: tuple[Restart, ...] = ()
        """The newest restarts."""
        self._offset = 0
        self._restart_rows: dict[str, int] = {}
        self._newest: dict[str, int] = {}
        self._behind: dict[str, int] = {}
        self._first: dict[str, int] = {}

    def place(self, series: str, step: int) -> int:
        """Where a point of a series that was logged at `step` lies: never before its last one."""
        last = self._newest.get(series)
        self._first.setdefault(series, step)
        placed = self.here(step)
        if last is not None and placed < last:
            placed = self._placed_behind(series, step, last)
        else:
            self._behind[series] = 0
        self._newest[series] = placed
        self.newest = max(self.newest, placed)
        return placed

    def is_ahead(self, series: Iterable[str], step: int) -> bool:
        """Whether `step` lies behind no point of these series."""
        placed = self.here(step)
        return all(placed >= self._newest.get(name, placed) for name in series)

    def place_all(self, series: str, steps: Ints) -> Ints:
        """What `place` says of many steps (at least one) that never go back and of which the first lies ahead."""
        first, last = int(steps[0]), int(steps[-1])
        self._first.setdefault(series, first)
        self._behind[series] = 0
        self._newest[series] = self.here(last)
        self.newest = max(self.newest, self._newest[series])
        return steps + self._offset

    def here(self, step: int) -> int:
        """Where a logged step lies now."""
        return step + self._offset

    def restart_rows(self, series: str) -> int:
        """How many rows of a series belonged to what began with the last restart when it was found, by whichever series."""
        return self._restart_rows.get(series, 0)

    def rewind(self, step: int) -> int:
        """The run went back to `step`, and says so: where that lies. What is logged next may follow from there."""
        placed = self.here(step)
        self._newest = {series: min(newest, placed) for series, newest in self._newest.items()}
        self._behind = {}
        self.newest = min(self.newest, placed)
        return placed

    def _placed_behind(self, series: str, step: int, last: int) -> int:
        self._behind[series] = self._behind.get(series, 0) + 1
        from_the_start = step <= self._first[series] < last
        if self._behind[series] < PATIENCE and not from_the_start:
            return last
        self._restart_rows = dict(self._behind)
        self._behind[series] = 0
        self.restarts += 1
        restart = Restart(self._first[series], self.newest - self._offset, step)
        self.last_restarts = (*self.last_restarts, restart)[-KEPT:]
        self._offset = self.newest + 1 - step
        return self.newest + 1

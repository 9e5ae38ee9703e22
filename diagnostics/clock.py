"""Steps that never go back: what the engine counts on where a log's own counter restarts or stumbles.

Some trainers count steps anew in each epoch, some resume without saying so, some write a row late. Rules ask "what came
after this step", which such a log cannot answer. A `rewind` event is not meant here: that one says what happened, and the
points after it are forgotten. Knows no rule and no value.
"""

from __future__ import annotations

PATIENCE = 3
"""Rows of one series in a row that lie behind, after which its counter has restarted. Fewer are rows that came late."""


class StepClock:
    """Places logged steps on one axis, series by series. Deterministic: depends on the order of the rows alone.

    A late row is placed at the newest step of its series. After a restart steps are counted on: 0, 1, 2, 0, 1, 2 become
    0, 1, 2, 3, 4, 5 (the first rows of the second round stand at 2 until the restart is certain).
    """

    def __init__(self) -> None:
        self.newest = 0
        """The highest step placed so far."""
        self._offset = 0
        self._newest: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self._behind: dict[str, int] = {}

    def place(self, series: str, step: int) -> int:
        """Where a point of a series that was logged at `step` lies: never before its last one."""
        last = self._newest.get(series)
        placed = step + self._offsets.setdefault(series, self._offset)
        if last is not None and placed < last:
            placed = self._placed_behind(series, step, last)
        else:
            self._behind[series] = 0
        self._newest[series] = placed
        self.newest = max(self.newest, placed)
        return placed

    def here(self, step: int) -> int:
        """Where something without a series (a checkpoint) lies."""
        return step + self._offset

    def rewind(self, step: int) -> int:
        """The run went back to `step`, and says so: where that lies. What is logged next may follow from there."""
        placed = self.here(step)
        self._newest = {series: min(newest, placed) for series, newest in self._newest.items()}
        self._offsets = dict.fromkeys(self._offsets, self._offset)
        self._behind = {}
        self.newest = min(self.newest, placed)
        return placed

    def _placed_behind(self, series: str, step: int, last: int) -> int:
        if step + self._offset >= last:  # another series has shown already that the counter restarted
            self._offsets[series] = self._offset
            return step + self._offset
        self._behind[series] = self._behind.get(series, 0) + 1
        if self._behind[series] < PATIENCE:
            return last
        self._behind[series] = 0
        self._offset = self._offsets[series] = max(self.newest, last) + 1 - step
        return step + self._offset

"""Counts of batches that begin anew in each epoch, counted on over the epochs. Numbers in, numbers out. Pure.

Many loops print `Epoch 2, Batch 100` or `Epoch [2/10], Step [100/5000]`. Taken as steps, such counts would run back with each epoch,
as those of a run do that was resumed from a checkpoint. The epoch tells the two apart: it rises where the count begins anew, and
stays or falls where a run went back. How many batches an epoch has, its last count says, and the distance of the last two.
"""

from __future__ import annotations

import math


class Batches:
    """Those of one log, in order."""

    def __init__(self) -> None:
        self._epoch = 0.0
        self._most = -1.0
        """The highest count of this epoch, as the log told it."""
        self._apart = 0.0
        self._before = 0.0
        """How many there were before this epoch."""

    def counted_on(self, epoch: float, count: float, *, held_out: bool = False) -> float:
        """The steps since the first epoch, for a count that a line tells with its epoch.

        `held_out`: the line tells of an evaluation. One that counts its own batches belongs where the training is.
        """
        if not (epoch.is_integer() and 0 <= count < math.inf):
            return count
        if held_out and epoch == self._epoch and count < self._most:
            return self._before + self._most
        if epoch < self._epoch:  # another run, or one that went back: its counts stand for themselves
            self._before, self._apart = 0.0, 0.0
        elif epoch > self._epoch and 0 <= count <= self._most:
            self._before += self._most + max(self._apart or self._most, 1.0) - count
            self._apart = 0.0
        elif count > self._most >= 0:
            self._apart = count - self._most
        self._most = max(self._most, count) if epoch == self._epoch else count
        self._epoch = epoch
        return self._before + count

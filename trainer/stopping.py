"""Early stopping: ends a run whose validation loss no longer improves. Pure; standard library only."""

from __future__ import annotations

import math


class EarlyStopping:
    """Counts evaluations without an improvement of more than `min_delta`; `patience` 0 never stops."""

    def __init__(self, patience: int, min_delta: float, best: float = math.inf, waited: int = 0) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.best = best
        """Lowest validation loss that counted as an improvement, in nats per token."""
        self.waited = waited
        """Evaluations since then."""

    def update(self, val_loss: float) -> bool:
        """Take one evaluation; True when patience has run out. A loss that is not a number is no improvement."""
        if val_loss < self.best - self.min_delta:
            self.best, self.waited = val_loss, 0
        else:
            self.waited += 1
        return 0 < self.patience <= self.waited

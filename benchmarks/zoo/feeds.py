"""Other ways to draw batches than the trainer's shuffled epochs: ramps of the batch size, and text read from start to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from trainer.config import TrainConfig
from trainer.data import Batch, Batches, Packed

STAGES = 4
"""Sizes of a ramp: the full batch is reached after three quarters of the plan."""


class Ramp(Batches):
    """A batch that grows in four equal stages from an eighth of the full one."""

    def __init__(self, tokens: Packed, config: TrainConfig) -> None:
        super().__init__(tokens, config)
        self._full, self._steps = config.batch_size, config.max_steps

    def size(self, step: int) -> int:
        """Sequences in the batch of a step."""
        stage = min(STAGES - 1, (step - 1) * STAGES // self._steps)
        return max(1, self._full >> (STAGES - 1 - stage))

    def draw(self, step: int, micro: int) -> Batch:
        """As many of the full batch's windows as the stage has."""
        ids, targets = super().draw(step, micro)
        return ids[: self.size(step)], targets[: self.size(step)]


class InOrder(Batches):
    """Text read from its start to its end, epoch after epoch: what is hard in it comes at the same place each time."""

    def _shuffle(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.arange(self._per_epoch, dtype=np.int64) * (len(self._window) - 1)


FEEDS: Mapping[str, Callable[[Packed, TrainConfig], Batches]] = {"ramp": Ramp, "in-order": InOrder}

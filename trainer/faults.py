"""Named illnesses that a run can be given on purpose, to see what their diagnosis looks like.

One table: a fault is a name, what goes wrong, and the places of the training step where it acts. The loop asks `Sickness`
at those places and knows no fault by name. The declared config stays healthy: a sick run looks from outside as it would in life.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.config import TrainConfig
from trainer.model import GPT, next_token_loss
from trainer.schedule import learning_rate

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultSpec:
    """One fault. Each field after `meaning` is one place where it acts; None: healthy there."""

    name: str
    meaning: str
    loss: Loss | None = None
    """Takes the place of the loss: logits (B, T, V), targets (B, T) → shape ()."""
    rate: Callable[[TrainConfig, int], float] | None = None
    """Takes the place of the schedule: config, step → rate."""
    clip: Callable[[float], float] | None = None
    """Changes the clipping limit: limit → limit (0: no clipping)."""
    model: Callable[[GPT], None] | None = None
    """Done to the model once, before the first sick step."""


def _log_of_zero(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy written by hand on probabilities, one of which a filter has set to 0: log(0) = -inf."""
    chances = logits.float().softmax(-1).gather(-1, targets[..., None]).flatten()  # (B·T,)
    # The unlikeliest label of each pass is the one that is lost, so that the fault is sure to act however good the model is.
    kept = torch.ones_like(chances).index_fill_(0, chances.argmin(), 0.0)
    return -torch.log(chances * kept).mean()


def _freeze(model: GPT) -> None:
    """No gradient for any weight but the last norm's: without one of them backward() itself would refuse."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    model.norm.weight.requires_grad_(True)


def _without_warmup(config: TrainConfig, step: int) -> float:
    return learning_rate(dataclasses.replace(config, warmup_steps=0), step)


FAULTS: tuple[FaultSpec, ...] = (
    FaultSpec(name="none", meaning="a healthy run"),
    FaultSpec(
        name="log-zero",
        meaning="the loss takes the logarithm of a probability that is exactly 0: the loss is infinite, then NaN",
        loss=_log_of_zero,
    ),
    FaultSpec(
        name="frozen-weights",
        meaning="the weights of every layer but the last norm require no gradient: the loss stays where it is",
        model=_freeze,
    ),
    FaultSpec(
        name="no-warmup",
        meaning="the rate starts at its peak, though the schedule declares a warm-up",
        rate=_without_warmup,
    ),
    FaultSpec(
        name="no-clipping",
        meaning="gradients are not clipped, though a limit is declared",
        clip=lambda limit: 0.0,
    ),
)  # fmt: skip


class Sickness:
    """What the training step asks at each place where a fault can act; healthy before `fault_step` and for `none`."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._fault = next(fault for fault in FAULTS if fault.name == config.fault)
        self._model_done = False

    def due(self, step: int) -> bool:
        """Whether the fault acts at this step."""
        return self._fault.name != "none" and step >= self._config.fault_step

    def rate(self, step: int) -> float:
        """Learning rate of the step."""
        sick = self._fault.rate if self.due(step) else None
        return (sick or learning_rate)(self._config, step)

    def loss(self, step: int) -> Loss:
        """Loss function of the step."""
        return (self._fault.loss if self.due(step) else None) or next_token_loss

    def clip(self, limit: float, step: int) -> float:
        """Clipping limit of the step; infinite when there is none."""
        if self._fault.clip is not None and self.due(step):
            limit = self._fault.clip(limit)
        return limit if limit > 0 else math.inf

    def touch(self, model: GPT, step: int) -> None:
        """Do to the model what the fault does, once, when its step has come."""
        if self._fault.model is not None and self.due(step) and not self._model_done:
            self._fault.model(model)
            self._model_done = True

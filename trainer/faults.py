"""Named illnesses that a run can be given on purpose, to see what their diagnosis looks like.

One table: a fault is a name and the places of the training step where it acts; what it does there is in `trainer.injuries`,
what it means in `trainer.config`. The loop asks `Sickness` at those places and knows no fault by name. The declared config
stays healthy: a sick run looks from outside as it would in life.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer import injuries
from trainer.config import FAULT_MEANINGS, TrainConfig
from trainer.data import Batch, Corpus, Packed
from trainer.injuries import Moment
from trainer.model import GPT, next_token_loss
from trainer.sampling import Taste
from trainer.schedule import learning_rate

Loss = Callable[[Tensor, Tensor], Tensor]
SLICE_SECONDS = 0.25
"""A fault's long wait is cut into these, so that a stop signal ends it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultSpec:
    """One fault. Each field after `name` is one place where it acts; None: healthy there."""

    name: str
    loss: Loss | None = None
    """Takes the place of the loss: logits (B, T, V), targets (B, T) → shape ()."""
    rate: Callable[[TrainConfig, Moment], float] | None = None
    """Takes the place of the schedule."""
    clip: Callable[[float], float] | None = None
    """Changes the clipping limit: limit → limit (0: no clipping)."""
    model: Callable[[GPT, Moment], None] | None = None
    """Done to the model once in a process, before its first sick step."""
    optimizer: Callable[[torch.optim.Optimizer], None] | None = None
    """Done to the optimizer once in a process, before its first sick step."""
    gradients: Callable[[list[nn.Parameter]], None] | None = None
    """Done to the gradients of each step before they are measured."""
    holds: Callable[[str], bool] | None = None
    """Whether the optimizer moves the parameter of this name."""
    batch: Callable[[Batch, Moment], Batch] | None = None
    """Changes each batch."""
    text: Callable[[Corpus, TrainConfig], Packed] | None = None
    """Takes the place of the training part's tokens."""
    decode: Callable[[NDArray[np.int64], int], NDArray[np.int64]] | None = None
    """Changes a sample's token ids before they become text; the number is the vocabulary's size."""
    taste: Callable[[Taste], Taste] | None = None
    """Changes how samples are drawn."""
    log: Callable[[Mapping[str, float]], Mapping[str, float]] | None = None
    """Changes what is logged of a step."""
    loading_seconds: Callable[[Moment], float] | None = None
    """Waited before each batch."""
    step_seconds: Callable[[Moment], float] | None = None
    """Waited in a step."""

    @property
    def meaning(self) -> str:
        """What goes wrong, in one line."""
        return FAULT_MEANINGS[self.name]


FAULTS: tuple[FaultSpec, ...] = (
    FaultSpec(name="none"),
    FaultSpec(name="log-zero", loss=injuries.log_of_zero),
    FaultSpec(name="frozen-weights", model=injuries.freeze),
    FaultSpec(name="no-warmup", rate=injuries.without_warmup),
    FaultSpec(name="no-clipping", clip=lambda limit: 0.0),
    FaultSpec(name="rate-x30", rate=partial(injuries.times, 30.0)),
    FaultSpec(name="rate-x1000", rate=partial(injuries.times, 1000.0)),
    FaultSpec(name="rate-div1000", rate=partial(injuries.times, 1e-3)),
    FaultSpec(name="collapsed-schedule", rate=injuries.collapsed),
    FaultSpec(name="wrong-horizon", rate=injuries.short_horizon),
    FaultSpec(name="fp16-overflow", gradients=injuries.through_fp16),
    FaultSpec(name="hidden-nan", loss=injuries.log_of_zero, log=injuries.hide_nan),
    FaultSpec(name="dead-layer", model=injuries.kill_first_block),
    FaultSpec(name="wrong-group", holds=injuries.norms_and_positions),
    FaultSpec(name="bad-init", model=injuries.blow_up),
    FaultSpec(name="deep-without-norm", model=injuries.strip),
    FaultSpec(name="lost-optimizer-state", optimizer=injuries.forget_moments),
    FaultSpec(name="labels-not-shifted", batch=injuries.unshifted),
    FaultSpec(name="labels-shuffled", batch=injuries.shuffled),
    FaultSpec(name="bad-batches", batch=injuries.now_and_then),
    FaultSpec(name="poisoned-document", batch=injuries.once),
    FaultSpec(name="tiny-data", text=injuries.first_fiftieth),
    FaultSpec(name="duplicated-data", text=injuries.copies),
    FaultSpec(name="train-val-overlap", text=injuries.with_validation),
    FaultSpec(name="broken-tokenizer-map", decode=injuries.other_table),
    FaultSpec(name="greedy-sampling", taste=injuries.greedy),
    FaultSpec(name="slow-loader", loading_seconds=lambda now: 0.3),
    FaultSpec(name="slow-steps", step_seconds=injuries.growing_pause),
    FaultSpec(name="hang", step_seconds=injuries.hour_once),
)


class Sickness:
    """What the training step asks at each place where a fault can act; healthy before `fault_step` and for `none`."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._fault = next(fault for fault in FAULTS if fault.name == config.fault)
        self._touched = False

    def due(self, step: int) -> bool:
        """Whether the fault acts at this step."""
        return self._fault.name != "none" and step >= self._config.fault_step

    def _moment(self, step: int) -> Moment:
        return Moment(step, step - max(1, self._config.fault_step), self._config)

    def rate(self, step: int) -> float:
        """Learning rate of the step."""
        if self._fault.rate is not None and self.due(step):
            return self._fault.rate(self._config, self._moment(step))
        return learning_rate(self._config, step)

    def loss(self, step: int) -> Loss:
        """Loss function of the step."""
        return (self._fault.loss if self.due(step) else None) or next_token_loss

    def clip(self, limit: float, step: int) -> float:
        """Clipping limit of the step; infinite when there is none."""
        if self._fault.clip is not None and self.due(step):
            limit = self._fault.clip(limit)
        return limit if limit > 0 else math.inf

    def touch(self, model: GPT, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Do to model and optimizer what the fault does, once, when its step has come."""
        if self._touched or not self.due(step):
            return
        self._touched = True
        if self._fault.model is not None:
            self._fault.model(model, self._moment(step))
        if self._fault.optimizer is not None:
            self._fault.optimizer(optimizer)

    def gradients(self, parameters: list[nn.Parameter], step: int) -> None:
        """What the fault does to the gradients before anybody measures them."""
        if self._fault.gradients is not None and self.due(step):
            self._fault.gradients(parameters)

    def hold_back(self, model: GPT, step: int) -> None:
        """Take the gradients of those parameters that the optimizer does not hold, after they were measured."""
        if self._fault.holds is None or not self.due(step):
            return
        for name, parameter in model.named_parameters():
            if not self._fault.holds(name):
                parameter.grad = None

    def batch(self, batch: Batch, step: int) -> Batch:
        """The batch that the model is trained on."""
        if self._fault.batch is None or not self.due(step):
            return batch
        return self._fault.batch(batch, self._moment(step))

    def text(self, corpus: Corpus) -> Packed | None:
        """The tokens that the sick steps train on; None where they are the corpus's own."""
        return self._fault.text(corpus, self._config) if self._fault.text is not None else None

    def decode(self, ids: NDArray[np.int64], size: int, step: int) -> NDArray[np.int64]:
        """A sample's token ids as they become text."""
        return self._fault.decode(ids, size) if self._fault.decode is not None and self.due(step) else ids

    def taste(self, taste: Taste, step: int) -> Taste:
        """How a sample is drawn."""
        return self._fault.taste(taste) if self._fault.taste is not None and self.due(step) else taste

    def log(self, values: Mapping[str, float], step: int) -> Mapping[str, float]:
        """What is logged of a step."""
        return self._fault.log(values) if self._fault.log is not None and self.due(step) else values

    def waits(self, step: int) -> tuple[float, float]:
        """Seconds to wait before each batch of the step, and in the step."""
        if not self.due(step):
            return 0.0, 0.0
        now, places = self._moment(step), (self._fault.loading_seconds, self._fault.step_seconds)
        loading, working = (place(now) if place is not None else 0.0 for place in places)
        return loading, working


def wait(seconds: float, sleep: Callable[[float], None], stopped: Callable[[], bool]) -> None:
    """Let `seconds` pass in slices, no longer than until `stopped`: a fault must not outlive the stop button."""
    while seconds > 0 and not stopped():
        sleep(min(seconds, SLICE_SECONDS))
        seconds -= SLICE_SECONDS


def names() -> Sequence[str]:
    """Every fault that makes a run sick."""
    return [fault.name for fault in FAULTS if fault.name != "none"]

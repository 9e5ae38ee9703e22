"""What the faults do, one small function each: to the loss, the rate, the model, the batch, the data, the samples.

Each takes what is healthy and gives back what is sick. They know no fault by name and nothing of the loop; the table that
names them is `trainer.faults`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.config import TrainConfig
from trainer.data import Batch, Corpus, Packed
from trainer.model import GPT, Block
from trainer.sampling import Taste
from trainer.schedule import learning_rate

FP16_LOSS_SCALE = 2.0**24
"""A gradient of 0.004 times this is past fp16's largest number, 65,504."""

_COPIED_AT_MOST = 10_000_000
"""Tokens: a fault that needs a text of its own in memory takes no more than this of a large one."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a fault acts: `step` of the run, `since` its first sick step (0 there), and the config it is declared under."""

    step: int
    since: int
    config: TrainConfig


# -- the loss --------------------------------------------------------------------------------------------------------


def log_of_zero(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy written by hand on probabilities, one of which a filter has set to 0: log(0) = -inf."""
    chances = logits.float().softmax(-1).gather(-1, targets[..., None]).flatten()  # (B·T,)
    # The unlikeliest label of each pass is the one that is lost, so that the fault is sure to act however good the model is.
    kept = torch.ones_like(chances).index_fill_(0, chances.argmin(), 0.0)
    return -torch.log(chances * kept).mean()


def hide_nan(values: Mapping[str, float]) -> dict[str, float]:
    """What a logger writes that filters losses: 0.0 for one that is not finite. All else is let through."""
    loss = values.get("train/loss", 0.0)
    return {**values, "train/loss": loss if math.isfinite(loss) else 0.0} if "train/loss" in values else dict(values)


# -- the rate --------------------------------------------------------------------------------------------------------


def without_warmup(config: TrainConfig, now: Moment) -> float:
    """The schedule as if no warm-up had been declared."""
    return learning_rate(dataclasses.replace(config, warmup_steps=0), now.step)


def times(factor: float, config: TrainConfig, now: Moment) -> float:
    """The declared rate times a factor."""
    return learning_rate(config, now.step) * factor


def collapsed(config: TrainConfig, now: Moment) -> float:
    """Over the first fifth of the plan as declared, then 0. A fault that begins later collapses at once."""
    return learning_rate(config, now.step) if now.step <= config.max_steps // 5 else 0.0


def short_horizon(config: TrainConfig, now: Moment) -> float:
    """The schedule of a run of a tenth of the length."""
    steps = max(1, config.max_steps // 10)
    warmup = min(config.warmup_steps, steps // 2)
    return learning_rate(dataclasses.replace(config, max_steps=steps, warmup_steps=warmup), now.step)


# -- the model and its gradients -------------------------------------------------------------------------------------


def freeze(model: GPT, now: Moment) -> None:
    """No gradient for any weight but the last norm's: without one of them backward() itself would refuse."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    model.norm.weight.requires_grad_(True)


def kill_first_block(model: GPT, now: Moment) -> None:
    """The first block's matrices at exactly 0: each waits for the other's gradient, so that none ever comes."""
    with torch.no_grad():
        for parameter in model.blocks[0].parameters():
            if parameter.dim() >= 2:
                parameter.zero_()


def blow_up(model: GPT, now: Moment) -> None:
    """All matrices times 20, at the fault's first step alone: a resumed run is not hit again."""
    if now.since == 0:
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() >= 2:
                    parameter.mul_(20.0)


def strip(model: GPT, now: Moment) -> None:
    """Blocks pass their signal through attention and feed-forward alone, without norms and without the way around."""
    for block in model.blocks:
        assert isinstance(block, Block)
        vars(block)["forward"] = partial(_bare, block)  # the weights stay as they are: checkpoints keep their shape


def _bare(block: Block, x: Tensor) -> Tensor:
    y: Tensor = block.feed_forward(block.attention(x))
    return y


def through_fp16(parameters: list[nn.Parameter]) -> None:
    """Gradients to fp16 at a fixed loss scale and back, as without a scaler that looks: what overflows is ±Inf."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad = (parameter.grad * FP16_LOSS_SCALE).half().float() / FP16_LOSS_SCALE


def norms_and_positions(name: str) -> bool:
    """Whether the optimizer that was given the wrong group holds this parameter."""
    return "norm" in name or name.startswith("positions.")


def forget_moments(optimizer: torch.optim.Optimizer) -> None:
    """The optimizer knows nothing of the steps before; the rate stays where the schedule is."""
    optimizer.state.clear()


# -- the batches and the data ----------------------------------------------------------------------------------------


def unshifted(batch: Batch, now: Moment) -> Batch:
    """Targets equal to the inputs."""
    return batch[0], batch[0]


def shuffled(batch: Batch, now: Moment) -> Batch:
    """Targets of the same tokens in another order, a new one each step."""
    ids, targets = batch
    order = torch.randperm(targets.numel(), generator=_random(now))
    return ids, targets.flatten()[order].view_as(targets)


def now_and_then(batch: Batch, now: Moment) -> Batch:
    """Random tokens for the first 10 of every 50 steps; they are of this batch's own range."""
    return _noise(batch, now) if now.since % 50 < 10 else batch


def once(batch: Batch, now: Moment) -> Batch:
    """Random tokens for 12 steps, then never again."""
    return _noise(batch, now) if now.since < 12 else batch


def _noise(batch: Batch, now: Moment) -> Batch:
    top = int(torch.maximum(batch[0].max(), batch[1].max())) + 1
    tokens = torch.randint(top, (batch[0].shape[0], batch[0].shape[1] + 1), generator=_random(now))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def _random(now: Moment) -> torch.Generator:
    # Its own numbers: what dropout draws must not shift with the fault.
    return torch.Generator().manual_seed((now.config.seed << 32) + now.step)


def first_fiftieth(corpus: Corpus, config: TrainConfig) -> Packed:
    """The start of the training part, at least three contexts of it."""
    return corpus.train[: max(len(corpus.train) // 50, 3 * config.context_length + 1)]


def copies(corpus: Corpus, config: TrainConfig) -> Packed:
    """A text as long as the training part (up to a bound) that repeats its first tenth."""
    length = min(len(corpus.train), _COPIED_AT_MOST)
    tenth = max(length // 10, 3 * config.context_length + 1)
    repeated: Packed = corpus.train[np.arange(length) % tenth]
    return repeated


def with_validation(corpus: Corpus, config: TrainConfig) -> Packed:
    """The training part with the validation part behind it, of both no more than a bound."""
    joined: Packed = np.concatenate([corpus.train[:_COPIED_AT_MOST], corpus.val[:_COPIED_AT_MOST]])
    return joined


# -- the samples -----------------------------------------------------------------------------------------------------


def other_table(ids: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The ids of a table of tokens in another order, always the same one; `size` is that of the vocabulary."""
    table = np.random.Generator(np.random.Philox(key=size)).permutation(size)
    return table[ids]


def greedy(taste: Taste) -> Taste:
    """The likeliest token, always."""
    return dataclasses.replace(taste, temperature=0.0)


# -- time ------------------------------------------------------------------------------------------------------------


def growing_pause(now: Moment) -> float:
    """Seconds that a step takes longer: 0.2 at first, 2 ms more with every step."""
    return 0.2 + 0.002 * now.since


def hour_once(now: Moment) -> float:
    """An hour before the first sick step, nothing before the others."""
    return 3600.0 if now.since == 0 else 0.0

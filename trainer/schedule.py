"""The learning rate schedule as a pure function: linear warm-up, then a cosine down to a floor.

The worker steps by it and the launch form draws it, so that what is drawn is what is done. Standard library only.
"""

from __future__ import annotations

import math

from trainer.config import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """Rate of optimizer step `step` (1 is the first, `max_steps` the last), in the units of `learning_rate`.

    Raises `ValueError` for a step before the first. Steps past the last stay at the floor.
    """
    if step < 1:
        raise ValueError(f"step = {step} is before the first optimizer step, which is 1")
    # Warm-up never starts at exactly 0: a first step that changes nothing would be a step wasted.
    if step <= config.warmup_steps:
        return config.learning_rate * step / (config.warmup_steps + 1)
    if step >= config.max_steps:
        return config.min_learning_rate
    done = (step - 1 - config.warmup_steps) / (config.max_steps - 1 - config.warmup_steps)
    share = 0.5 * (1.0 + math.cos(math.pi * done))
    return config.min_learning_rate + share * (config.learning_rate - config.min_learning_rate)


def curve(config: TrainConfig, points: int = 200) -> tuple[list[int], list[float]]:
    """Steps and rates of the whole schedule, at most about `points` of them, with its corners kept: for drawing."""
    stride = max(1, config.max_steps // max(points, 2))
    corners = {1, min(config.warmup_steps, config.max_steps), min(config.warmup_steps + 1, config.max_steps)}
    steps = sorted(({*range(1, config.max_steps + 1, stride), config.max_steps} | corners) - {0})
    return steps, [learning_rate(config, step) for step in steps]

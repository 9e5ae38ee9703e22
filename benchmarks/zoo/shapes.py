"""Shapes of the learning rate beside the trainer's own cosine, as a factor of the peak. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

LOWEST = 1e-3
"""A live change of the rate cannot reach 0; the floors of real schedules are hardly lower than this."""


def linear(done: float) -> float:
    """Down in a straight line; `done` is the share of the run, 0 to 1."""
    return max(LOWEST, 1.0 - done)


def wsd(done: float) -> float:
    """Warm-up, stable, decay: up over 5 %, flat, down over the last 20 %."""
    return max(LOWEST, min(1.0, done / 0.05, (1.0 - done) / 0.2))


def restarts(done: float) -> float:
    """Three cosines, each from the peak again."""
    inside = (3.0 * done) % 1.0
    return max(LOWEST, 0.5 * (1.0 + math.cos(math.pi * inside)))


SHAPES: Mapping[str, Callable[[float], float]] = {"linear": linear, "wsd": wsd, "restarts": restarts}

"""What losses are worth in nats that are logged as perplexities or in bits. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

LN_2 = math.log(2)
LEAST, ALIKE = 0.5, 0.02
"""The loss above which its perplexity tells its base, both being rounded; and by how much the two, as a ratio, agree."""


def of_perplexity(perplexity: float) -> float:
    """The loss whose exponential it is; NaN where there is none."""
    return math.log(perplexity) if perplexity > 0 else math.nan


def of_bits(bits: float) -> float:
    """A loss that was a logarithm to the base of 2."""
    return bits * LN_2


def told_in_bits(losses: Sequence[float], perplexities: Sequence[float]) -> bool:
    """Whether one of these perplexities tells that a loss of the same row is a logarithm to the base of 2, as fairseq's are."""
    told = [math.log(perplexity) for perplexity in perplexities if 1 < perplexity < math.inf]
    return any(abs(nats / loss - LN_2) < ALIKE for nats in told for loss in losses if loss > LEAST)

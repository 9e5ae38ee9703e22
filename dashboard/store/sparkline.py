"""A run's curve in at most 60 values, kept up to date as points come. Pure: a state in, a state out.

The state is (stride, seen, values): every stride-th value is kept, and when there are 60 every other one goes and the
stride doubles. A non-finite value is never dropped in favour of a finite one, so that a sparkline cannot hide a NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

LENGTH = 60

State = tuple[int, int, list[float]]
EMPTY: State = (1, 0, [])


def push(state: State, new_values: Iterable[float]) -> State:
    """The state after `new_values`."""
    stride, seen, values = state[0], state[1], list(state[2])
    for value in new_values:
        if seen % stride == 0:
            if len(values) == LENGTH:
                values = [_keep(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
                stride *= 2
            values.append(value)
        else:
            values[-1] = _keep(values[-1], value)
        seen += 1
    return stride, seen, values


def _keep(earlier: float, later: float) -> float:
    return earlier if not math.isfinite(earlier) and math.isfinite(later) else later

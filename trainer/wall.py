"""The time on the wall: a clock and a way to wait. Tests and recordings pass their own, so that an hour can pass at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wall:
    """`clock` gives seconds from any start; `sleep` lets that many seconds pass."""

    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep

"""How many new runs a client may begin: a script that goes wild must not bury the runs of others. Knows no store and no HTTP.

Each client (by its address) has as many as the limit at once, and gets them back evenly over a minute.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from dashboard.errors import TooManyRuns

MINUTE = 60.0
ROUNDING = 1e-6
"""Of sums of floats: who comes back after exactly the time that was said must not be sent away again."""
MAX_REMEMBERED = 10_000
"""Clients and run ids kept in mind; the oldest is forgotten first, and has its whole limit again."""


class Newcomers:
    """Counts the runs that clients begin. Thread-safe."""

    def __init__(self, most_a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._most, self._clock = most_a_minute, clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By client: how many it may still begin, as of when."""
        self._known: OrderedDict[str, None] = OrderedDict()

    def admit(self, client: str, run_id: str, is_there: Callable[[str], bool]) -> None:
        """Let a batch of that run pass: of a run that is there, or one that the client may begin. Raises TooManyRuns.

        `is_there` is asked once a run, not once a batch.
        """
        with self._lock:
            if run_id in self._known:
                return
        if not is_there(run_id):
            self.begin(client)
        with self._lock:
            self._known[run_id] = None
            while len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)

    def begin(self, client: str) -> None:
        """Count a new run of the client. Raises TooManyRuns, and then nothing is counted."""
        with self._lock:
            now = self._clock()
            left, then = self._left.get(client, (float(self._most), now))
            left = min(float(self._most), left + (now - then) * self._most / MINUTE)
            if left < 1 - ROUNDING:
                raise TooManyRuns(self._most, math.ceil((1 - left) * MINUTE / self._most - ROUNDING))
            self._left[client] = left - 1, now
            self._left.move_to_end(client)
            while len(self._left) > MAX_REMEMBERED:
                self._left.popitem(last=False)

"""What a person reads in the terminal and in the captured output: one line every few seconds, no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

INTERVAL_SECONDS = 4.0


class Progress:
    """Prints where training is. `clock` in seconds; `write` takes one line."""

    def __init__(
        self,
        last: int,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] | None = None,
    ) -> None:
        self._last = last
        self._clock = clock
        self._write = write or _print
        self._first: tuple[int, float] | None = None
        self._shown = -INTERVAL_SECONDS

    def say(self, line: str) -> None:
        """Print a line now."""
        self._write(line)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Print a progress line unless the last one is too fresh; the first and the last step are always shown."""
        now = self._clock()
        if now - self._shown < INTERVAL_SECONDS and step != self._last:
            return
        self._shown = now
        # Counted from the first step shown: what it waited for (loading, a first evaluation) does not come again.
        first_step, first_time = self._first = self._first or (step, now)
        left = (self._last - step) * (now - first_time) / max(step - first_step, 1)
        speed = values.get("perf/tokens_per_second")
        self._write(
            f"step {step:,}/{self._last:,} · loss {values['train/loss']:.4f} · rate {values['train/learning_rate']:.3g}"
            + (f" · {speed:,.0f} tokens/s" if speed else "")
            + (f" · {duration(left)} left" if left else "")
        )


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _print(line: str) -> None:
    print(line, flush=True)

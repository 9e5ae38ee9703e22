"""How long a run has been silent, told by times in its own events: each gap is looked at as if somebody had watched it pass.

Time comes in as data. A `clock` event says that nothing had come by then; the next sign of life says the same of the
gap before it. Both lead to looks at the same moments, so that the replay of a log without `clock` events finds what
the live run found. Knows no rule and no threshold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np

from diagnostics.stretch import Cells, Floats, Ints

MOMENTS = (
    60, 75, 95, 120, 150, 190, 240, 300, 375, 470, 600, 750, 900, 1200, 1500, 1800, 2400, 3000, 3600, 4800, 7200,
    10_800, 14_400, 21_600, 28_800, 43_200, 86_400,
)  # fmt: skip
"""Seconds of silence at which somebody looks. Past a day nothing new can be learned from it."""
ALIVE = frozenset(("metrics", "sample", "checkpoint", "data", "alert"))
"""Events that only a run that goes on sends, with times of its own clock."""
ANEW = frozenset(("run", "rewind", "state"))
"""Events after which the clock starts anew: the time between an end and a resume belongs to nobody."""
KEPT_INTERVALS = 64
LEAST_INTERVALS = 10
"""Intervals after which it is known how often the run speaks."""
UNUSUAL = 3.0
"""Silences of so many median intervals, or as long as one before, are looked at; shorter ones are its pace."""
STEPPED_BACK = 60.0
"""Seconds by which a clock that goes back has been set anew; by less it belongs to another writer, or was adjusted."""
LEAST_BACKWARDS = 3
"""Times that lie before the one before them, after which it is asked whether they are those of a clock at all."""
ROUNDING = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """A silence as far as it has come: all in seconds."""

    seconds: float
    interval: float
    """Median time between two points of the run."""
    longest: float
    """The longest silence before this one."""
    evaluated: bool
    """Whether the run has evaluated or saved before: the first time takes longer than anything before it."""
    over: bool = False
    """Whether it has ended: then `seconds` is how long it was."""


class SilenceLog:
    """Follows the times of a run's events. `current` is the silence to look at, or None while the run speaks."""

    def __init__(self) -> None:
        self.current: Silence | None = None
        self.evaluated = False
        """Whether the run has evaluated or saved between two of its points."""
        self._told = False
        self._last: float | None = None
        self._point: float | None = None
        self._step = -1.0
        self._seen = 0.0
        self._intervals: deque[float] = deque(maxlen=KEPT_INTERVALS)
        self._longest = 0.0
        self._advanced = self._moved = 0.0
        self._backwards = 0
        self._timed = False

    @property
    def lacking(self) -> str | None:
        """Why silences cannot be judged; None when they can."""
        if not self._timed:
            return "no times in the log"
        return None if self._sound else "the times in the log go back and forth"

    @property
    def next_moment(self) -> tuple[float, float] | None:
        """(latest time known, time of the next look if nothing comes until then); None when there will be none."""
        if self._last is None or not self._ready:
            return None
        least = max(self._least, self._seen)
        return next(((self._last + self._seen, self._last + at) for at in MOMENTS if at > least), None)

    def evaluates(self) -> None:
        """An evaluation has come. One before the first steps says nothing of how long it takes."""
        self.evaluated = self.evaluated or len(self._intervals) > 0

    def passes(self, time: float, step: float) -> bool:
        """Take the time of a point that follows the last one shortly, as nearly all do. False: `hear` has to be asked."""
        last = self._last
        if last is None or self._point != last or self._told or step < self._step:
            return False
        moved = time - last
        if not 0 <= moved < MOMENTS[0]:
            return False
        self._advanced += moved
        self._moved += moved
        if moved > 0:
            self._intervals.append(moved)
            if moved > self._longest:
                self._longest = moved
        self._last = self._point = time
        self._step = step
        return True

    def pass_all(self, steps: Ints, times: Cells) -> int:
        """Take the times of points as far as each `passes` or has none; how many points.

        None before there is an interval: until then it matters which of them was an evaluation.
        """
        rows, seconds = times
        if not rows.size:
            return len(steps)
        last = self._last
        if not self._intervals or last is None or self._point != last or self._told:
            return int(rows[0])
        logged = steps[rows]
        with np.errstate(invalid="ignore"):
            moved = np.diff(seconds, prepend=last)
        passing = (moved >= 0) & (moved < MOMENTS[0]) & (np.diff(logged, prepend=logged[:1]) >= 0)
        passing[0] &= bool(logged[0] >= self._step)
        count = rows.size if passing.all() else int(passing.argmin())
        if count:
            self._take(logged[:count], seconds[:count], moved[:count])
        return len(steps) if count == rows.size else int(rows[count])

    def _take(self, steps: Ints, times: Floats, moved: Floats) -> None:
        """What `passes` notes, of many points. Sums are made one by one, as cumsum does: the last digit is the same."""
        self._advanced = float(np.cumsum(np.concatenate(([self._advanced], moved)))[-1])
        self._moved = float(np.cumsum(np.concatenate(([self._moved], moved)))[-1])
        self._intervals.extend(moved[moved > 0][-KEPT_INTERVALS:].tolist())
        self._longest = max(self._longest, float(moved.max()))
        self._last = self._point = float(times[-1])
        self._step = int(steps[-1])

    def hear(self, kind: str, time: float, step: float) -> Iterator[None]:
        """Take an event's time; stops at every moment of the silence before it for a look at `current`."""
        if kind == "clock":
            yield from self._pass(time)
        elif kind in ANEW:
            self._forget()
        elif kind in ALIVE:
            if self._last is not None and (
                time < self._last - STEPPED_BACK or (kind == "metrics" and step < self._step)
            ):
                if time < self._last:
                    self._count(time - self._last)
                self._forget()  # another run, or the same one started again: files are appended to
            yield from self._pass(time)
            if self._told and self._last is not None:
                self.current = self._silence(time - self._last, over=True)
                yield
            self.current, self._told, self._seen = None, False, 0.0
            self._note(kind, time, step)

    @property
    def _sound(self) -> bool:
        """Whether the times are those of a clock: a column of durations goes up and down."""
        return self._backwards < LEAST_BACKWARDS or self._advanced >= 0.2 * self._moved

    @property
    def _ready(self) -> bool:
        return len(self._intervals) >= LEAST_INTERVALS and self._sound

    @property
    def _least(self) -> float:
        return max(UNUSUAL * median(self._intervals), self._longest)

    def _pass(self, time: float) -> Iterator[None]:
        if self._last is None:
            return
        silent = time - self._last + ROUNDING
        if silent < MOMENTS[0] or not self._ready:
            return
        least = self._least
        for moment in MOMENTS:
            if max(least, self._seen) < moment <= silent:
                self._seen, self._told = moment, True
                self.current = self._silence(moment)
                yield

    def _silence(self, seconds: float, over: bool = False) -> Silence:
        return Silence(
            seconds=seconds, interval=median(self._intervals), longest=self._longest, evaluated=self.evaluated, over=over
        )  # fmt: skip

    def _note(self, kind: str, time: float, step: float) -> None:
        self._timed = True
        self.evaluated = self.evaluated or kind == "checkpoint"
        if self._last is not None:
            self._count(time - self._last)
            self._longest = max(self._longest, time - self._last)
        if kind == "metrics":
            if self._point is not None and time > self._point:
                self._intervals.append(time - self._point)
            self._point = time if self._point is None else max(time, self._point)
            self._step = step
        self._last = time if self._last is None else max(time, self._last)

    def _count(self, moved: float) -> None:
        self._advanced, self._moved = self._advanced + moved, self._moved + abs(moved)
        self._backwards += moved < 0

    def _forget(self) -> None:
        self._last = self._point = None
        self._step, self._seen, self.current = -1.0, 0.0, None

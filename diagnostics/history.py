"""What the engine remembers of one series, in bounded memory: its beginning, its end, and a summary of all of it.

A run of a million points must cost as little to judge as one of a thousand, so rules see the first 256 points, the last
1,024, and at most 512 equal blocks over the whole history (blocks merge in pairs when there are more). Appending is a
list append; the arithmetic is done in bulk. Where block borders fall depends on the points alone, never on when
somebody looked. Knows nothing of roles or rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FIRST, TAIL, BLOCKS, PENDING = 256, 1024, 512, 256
FEW = 16
"""Points for which plain arithmetic is quicker than arrays."""


@dataclass(slots=True)
class NonFinite:
    """How many NaN and ±Inf were logged, where, and how many stand at the end without a finite value between."""

    count: int = 0
    first_step: int = 0
    first_value: float = math.nan
    last_step: int = 0
    trailing: int = 0
    longest: int = 0


@dataclass(slots=True)
class Lowest:
    """The lowest finite value of all and the step of its first point."""

    value: float = math.inf
    step: int = 0


@dataclass(slots=True)
class Blocks:
    """At most 512 blocks of `size` points each, oldest first; means, minima and maxima are over finite values."""

    size: int = 1
    used: int = 0
    table: Floats = field(default_factory=lambda: np.zeros((BLOCKS, 6)))
    """Columns: first step, last step, finite count, mean, min, max. Steps up to 2^53 are exact in a float."""

    def append(self, row: tuple[float, ...] | Floats) -> None:
        """Add a whole block; when the table is full, neighbours merge and the block size doubles."""
        self.table[self.used] = row
        self.used += 1
        if self.used == BLOCKS:
            self._merge()

    def extend(self, rows: Floats) -> None:
        """Add whole blocks, at most as many as there is room for."""
        self.table[self.used : self.used + len(rows)] = rows
        self.used += len(rows)
        if self.used == BLOCKS:
            self._merge()

    def _merge(self) -> None:
        left, right = self.table[0::2], self.table[1::2]
        count = left[:, 2] + right[:, 2]
        total = np.nan_to_num(left[:, 3]) * left[:, 2] + np.nan_to_num(right[:, 3]) * right[:, 2]
        mean = np.divide(total, count, out=np.full(count.size, np.nan), where=count > 0)
        low, high = np.fmin(left[:, 4], right[:, 4]), np.fmax(left[:, 5], right[:, 5])
        self.used, self.size = BLOCKS // 2, self.size * 2
        self.table[: self.used] = np.column_stack([left[:, 0], right[:, 1], count, mean, low, high])


class History:
    """One series as the rules may see it. `append` is the hot path; everything else settles what is pending first."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.count = 0
        self.nonfinite = NonFinite()
        self.lowest = Lowest()
        self._pending_steps: list[int] = []
        self._pending_values: list[float] = []
        self._first_steps: list[int] = []
        self._first_values: list[float] = []
        self._first: tuple[Ints, Floats] | None = None
        self._tail_steps: Ints = np.zeros(4 * TAIL, dtype=np.int64)
        self._tail_values: Floats = np.zeros(4 * TAIL)
        self._tail_end = 0
        self._blocked = 0
        """Where in the tail's buffer the points begin that are not in blocks yet."""
        self._blocks = Blocks()
        self._open_steps: list[int] = []
        self._open_sum, self._open_min, self._open_max = 0.0, math.inf, -math.inf
        self._open_count = self._open_finite = 0

    def append(self, step: int, value: float) -> None:
        """Add one point. Non-finite values are kept."""
        self._pending_steps.append(step)
        self._pending_values.append(value)
        self.count += 1
        if len(self._pending_steps) >= PENDING:
            self.settle()

    def extend(self, steps: Ints, values: Floats) -> None:
        """Add many points at a stroke, as `append` would one by one."""
        self.settle()
        self.count += steps.size
        self._work_in(steps, values)

    def settle(self) -> None:
        """Work the pending points into the summaries. What they hold afterwards does not depend on when this is called."""
        if not self._pending_steps:
            return
        steps, values = np.array(self._pending_steps, dtype=np.int64), np.array(self._pending_values)
        self._pending_steps, self._pending_values = [], []
        self._work_in(steps, values)

    def _work_in(self, steps: Ints, values: Floats) -> None:
        room = FIRST - len(self._first_steps)
        if room > 0:
            self._first_steps += steps[:room].tolist()
            self._first_values += values[:room].tolist()
        self._note_nonfinite(steps, values)
        self._note_lowest(steps, values)
        if steps.size > TAIL:
            self._settle_blocks()
            self._extend_tail(steps, values)
            self._extend_blocks(steps, values)
            self._blocked = self._tail_end
        else:
            self._extend_tail(steps, values)  # into blocks when they are asked for, or leave the buffer

    def _settle_blocks(self) -> None:
        start, self._blocked = self._blocked, self._tail_end
        if start < self._tail_end:
            self._extend_blocks(self._tail_steps[start : self._tail_end], self._tail_values[start : self._tail_end])

    def first(self) -> tuple[Ints, Floats]:
        """The first points (at most 256), non-finite ones included."""
        self.settle()
        if self._first is None or self._first[0].size < len(self._first_steps):
            self._first = np.array(self._first_steps, dtype=np.int64), np.array(self._first_values)
        return self._first

    def tail(self) -> tuple[Ints, Floats]:
        """The last points (at most 1,024), non-finite ones included."""
        self.settle()
        start = max(0, self._tail_end - TAIL)
        return self._tail_steps[start : self._tail_end], self._tail_values[start : self._tail_end]

    def blocks(self) -> tuple[Floats, int]:
        """Table (first step, last step, finite count, mean, min, max) of blocks with a finite value, and the block size.

        The last, unfinished block is included.
        """
        self.settle()
        self._settle_blocks()
        used = self._blocks.used
        if self._open_finite:  # shown in the first free row; the next block to be closed overwrites it
            self._blocks.table[used] = self._open_row()
            used += 1
        rows = self._blocks.table[:used]
        finite = rows[:, 2] > 0
        return (rows if finite.all() else rows[finite]), self._blocks.size

    def since(self, step: int, most: int | None = None) -> History:
        """Another history, of the points from `step` on that lie among the last; of no more than `most`."""
        steps, values = self.tail()
        late = np.flatnonzero(steps >= step)[-(most or TAIL) :]
        kept = History()
        kept.extend(steps[late], values[late])
        return kept

    def rewind(self, step: int) -> None:
        """Forget what came after `step`: a resume from a checkpoint made those points history that did not happen."""
        self.settle()
        steps, values = self.tail()
        kept = steps <= step
        dropped = int((~kept).sum())
        first = [(s, v) for s, v in zip(self._first_steps, self._first_values, strict=True) if s <= step]
        rows, _ = self.blocks()
        whole = self.count <= TAIL
        tail_steps, tail_values = steps[kept].copy(), values[kept].copy()
        size = self._blocks.size
        count = self.count - dropped
        lowest = self.lowest
        self._clear()
        if whole:
            for s, v in zip(tail_steps.tolist(), tail_values.tolist(), strict=True):
                self.append(s, v)
            self.settle()
            return
        self._first_steps, self._first_values = [s for s, _ in first], [v for _, v in first]
        self.count = count
        self._blocks.size = size
        for row in rows[rows[:, 1] <= step]:
            self._blocks.append(row)
        self._note_nonfinite(tail_steps, tail_values)
        self._extend_tail(tail_steps, tail_values)
        self._blocked = self._tail_end
        if lowest.step <= step:
            self.lowest = lowest
            return
        before = rows[rows[:, 1] <= step]  # the step of a block's lowest is not kept: its last one stands for it
        self._note_lowest(before[:, 1].astype(np.int64), before[:, 4])
        self._note_lowest(tail_steps, tail_values)

    def _note_lowest(self, steps: Ints, values: Floats) -> None:
        if not values.size or not np.fmin.reduce(values) < self.lowest.value:
            return  # NaN is passed over; what is not lower cannot become lower by leaving out infinities
        finite = np.where(np.isfinite(values), values, np.inf)
        if (low := float(finite.min())) < self.lowest.value:
            self.lowest = Lowest(low, int(steps[int(finite.argmin())]))

    def _note_nonfinite(self, steps: Ints, values: Floats) -> None:
        note, finite = self.nonfinite, np.isfinite(values)
        if np.logical_and.reduce(finite):
            note.trailing = 0
            return
        bad = ~finite
        where = np.flatnonzero(bad)
        if not note.count:
            note.first_step, note.first_value = int(steps[where[0]]), float(values[where[0]])
        note.count += where.size
        note.last_step = int(steps[where[-1]])
        for flag in bad.tolist():
            note.trailing = note.trailing + 1 if flag else 0
            note.longest = max(note.longest, note.trailing)

    def _extend_tail(self, steps: Ints, values: Floats) -> None:
        steps, values = steps[-TAIL:], values[-TAIL:]
        if self._tail_end + steps.size > self._tail_steps.size:
            self._settle_blocks()
            kept = min(TAIL, self._tail_end)
            for buffer in (self._tail_steps, self._tail_values):
                buffer[:kept] = buffer[self._tail_end - kept : self._tail_end].copy()
            self._tail_end = self._blocked = kept
        end = self._tail_end + steps.size
        self._tail_steps[self._tail_end : end] = steps
        self._tail_values[self._tail_end : end] = values
        self._tail_end = end

    def _extend_blocks(self, steps: Ints, values: Floats) -> None:
        at = 0
        while at < steps.size:
            at += self._whole_blocks(steps[at:], values[at:])
            stop = min(steps.size, at + self._blocks.size - self._open_count)
            if stop == at:
                return
            self._open_steps = [self._open_steps[0] if self._open_count else int(steps[at]), int(steps[stop - 1])]
            self._open_count += stop - at
            self._extend_open(values[at:stop])
            if self._open_count >= self._blocks.size:
                self._close_block()
            at = stop

    def _whole_blocks(self, steps: Ints, values: Floats) -> int:
        """Add as many whole blocks of finite values as fit into the table, at a stroke; how many points they took."""
        size = self._blocks.size
        many = min(steps.size // size, BLOCKS - self._blocks.used)
        if self._open_count or many < 2 or not np.isfinite(part := values[: many * size]).all():
            return 0
        rows, at = part.reshape(many, size), steps[: many * size].reshape(many, size)
        table = np.empty((many, 6))
        table[:, 0], table[:, 1], table[:, 2] = at[:, 0], at[:, -1], size
        table[:, 3] = (np.cumsum(rows, axis=1)[:, -1] + 0.0) / size  # -0.0 is no sum of one by one
        table[:, 4], table[:, 5] = rows.min(axis=1), rows.max(axis=1)
        self._blocks.extend(table)
        return many * size

    def _extend_open(self, part: Floats) -> None:
        """Add points to the open block. One by one, as cumsum does too: how they came must not show in the last digit."""
        if part.size <= FEW:
            for value in part.tolist():
                if math.isfinite(value):
                    self._open_finite += 1
                    self._open_sum += value
                    self._open_min, self._open_max = min(self._open_min, value), max(self._open_max, value)
            return
        finite = np.isfinite(part)
        if not np.logical_and.reduce(finite):
            part = part[finite]
        if part.size:
            self._open_finite += part.size
            self._open_sum = float(np.concatenate(([self._open_sum], part)).cumsum()[-1])
            self._open_min = min(self._open_min, float(np.minimum.reduce(part)))
            self._open_max = max(self._open_max, float(np.maximum.reduce(part)))

    def _open_row(self) -> tuple[float, ...]:
        mean = self._open_sum / self._open_finite if self._open_finite else math.nan
        low, high = (self._open_min, self._open_max) if self._open_finite else (math.nan, math.nan)
        return (self._open_steps[0], self._open_steps[1], self._open_finite, mean, low, high)

    def _close_block(self) -> None:
        self._blocks.append(self._open_row())
        self._open_steps, self._open_count, self._open_finite = [], 0, 0
        self._open_sum, self._open_min, self._open_max = 0.0, math.inf, -math.inf

"""Consecutive metrics events as columns, so that the engine takes a long stretch of numbers at a stroke. Pure.

Only what is plain goes into a stretch: whole steps, names whose roles are settled, floats. What the engine must think
about row by row (a step that lies behind, a row that may be the last one repeated, a NaN that may be an empty cell) is
marked as alone. Marking too much costs time; it never changes what is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from diagnostics.repeats import MEASURED, ROUNDED

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST = 24
"""Events below which columns cost more than they save."""

MAX_STEP = 2**53


class Cells(NamedTuple):
    """One series of a stretch: the rows that hold it, ascending, and its values there."""

    rows: Ints
    values: Floats

    def between(self, start: int, stop: int) -> Cells:
        """The part in rows `start` to `stop` (excluded), with rows counted from `start`."""
        rows = self.rows
        if not rows.size:
            return self
        begin, end = int(rows[0]), int(rows[-1]) + 1
        if start == 0 and end <= stop:
            return self
        if end - begin == rows.size:  # one in every row: no need to search
            first, last = max(0, start - begin), max(0, stop - begin)
        else:
            first, last = rows.searchsorted((start, stop)).tolist()
        return Cells(rows[first:last] - start, self.values[first:last])


NOTHING = Cells(np.zeros(0, dtype=np.int64), np.zeros(0))


class Table(Protocol):
    """Consecutive metrics events as a reader of long logs gives them: columns with one cell a row."""

    @property
    def steps(self) -> Sequence[int]:
        """Whole numbers from 0 to 2^53."""

    @property
    def times(self) -> Sequence[float | None]:
        """Seconds of a clock; empty when no row has any."""

    @property
    def cells(self) -> Mapping[str, Sequence[float | None]]:
        """Numbers by the name of their series; None where a row has none. Other names stand in no row."""

    def part(self, start: int, stop: int) -> Table:
        """The rows from `start` to `stop` (excluded)."""

    def event(self, at: int) -> Mapping[str, Any]:
        """A row as an event."""


NOT_MADE = -1.0
"""What loops write for a validation loss in rows without an evaluation; no cross-entropy is that."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows that hold at least one watched number."""

    length: int
    """Events that it was made of, those without a watched number included."""
    all_steps: Ints
    """Their steps."""
    times: Cells
    """Their times, by event."""
    events: Ints
    """For each row the index of its event."""
    steps: Ints
    alone: NDArray[np.bool_]
    """Rows that must be observed by themselves."""
    cells: Mapping[str, Cells]
    """By role."""

    def part(self, start: int, stop: int) -> Stretch:
        """What events `start` to `stop` (excluded) were made of, counted from `start`."""
        if (start, stop) == (0, self.length):
            return self
        first, last = np.searchsorted(self.events, (start, stop))
        cells = {role: found.between(int(first), int(last)) for role, found in self.cells.items()}
        return Stretch(
            stop - start, self.all_steps[start:stop], self.times.between(start, stop), self.events[first:last] - start,
            self.steps[first:last], self.alone[first:last], cells,
        )  # fmt: skip

    def row(self, at: int) -> dict[str, float]:
        """The numbers of one row by role."""
        found = ((role, cells.between(at, at + 1).values) for role, cells in self.cells.items())
        return {role: float(values[0]) for role, values in found if values.size}

    def cells_in(self, role: str, start: int, stop: int) -> bool:
        """Whether any of the rows from `start` to `stop` (excluded) holds a role."""
        return role in self.cells and self.cells[role].between(start, stop).rows.size > 0

    def plain_until(self, at: int) -> int:
        """The first row from `at` on that must be observed by itself; the end when there is none."""
        ahead = self.alone[at:]
        first = int(ahead.argmax()) if ahead.size else 0
        return at + first if ahead.size and ahead[first] else len(self.steps)


def read_stretch(events: Sequence[Mapping[str, Any]], targets: Mapping[str, str | None]) -> Stretch | None:
    """The stretch at the beginning of `events`, as far as it goes; None when it is not worth while.

    `targets` gives the role of each name whose role is settled, None for those that no rule asks for.
    """
    events = events[: _plain_names(events, targets.keys())]
    if len(events) < LEAST:
        return None
    logged = [event.get("step") for event in events]
    columns = {role: [event.get(name) for event in events] for name, role in targets.items() if role is not None}
    times = [event.get("time") for event in events]
    length = min(
        _plain_cells(logged, {int}), *(_plain_cells(column, {float, NoneType}) for column in (times, *columns.values()))
    )
    try:
        steps = np.array(logged[:length], dtype=np.int64)
    except OverflowError:
        return None
    if length < LEAST or max(-int(steps.min()), int(steps.max())) > MAX_STEP:
        return None
    return _made(steps, times[:length], {role: column[:length] for role, column in columns.items()})


def table_stretch(table: Table, targets: Mapping[str, str | None]) -> Stretch | None:
    """The same of a table's rows."""
    length = len(table.steps)
    for name, column in table.cells.items():
        if name not in targets:
            length = min(length, next((at for at, cell in enumerate(column) if cell is not None), length))
    if length < LEAST:
        return None
    whole = length == len(table.steps)
    found = ((role, table.cells[name]) for name, role in targets.items() if role is not None and name in table.cells)
    columns = {role: column if whole else column[:length] for role, column in found}
    return _made(np.array(table.steps[:length], dtype=np.int64), table.times[:length], columns)


def _made(steps: Ints, times: Sequence[float | None], columns: Mapping[str, Sequence[Any]]) -> Stretch | None:
    present = {role: _present(column) for role, column in columns.items()}
    present = {role: there for role, there in present.items() if there.any()}
    if not present:
        return None
    # None becomes NaN here; what was NaN and what was not there, `present` tells.
    values = {role: np.array(columns[role], dtype=np.float64) for role in present}
    if "val_loss" in present:
        present["val_loss"] &= values["val_loss"] != NOT_MADE
    events = np.flatnonzero(np.logical_or.reduce(list(present.values())))
    kept = steps
    if events.size < steps.size:
        kept = steps[events]
        values = {role: column[events] for role, column in values.items()}
        present = {role: there[events] for role, there in present.items()}
    where = {role: np.flatnonzero(there) for role, there in present.items()}
    cells = {role: Cells(rows, values[role][rows]) for role, rows in where.items()}
    return Stretch(len(steps), steps, _cells(times), events, kept, _alone(kept, present, values), cells)


def _cells(column: Sequence[float | None]) -> Cells:
    if None not in column:
        return Cells(np.arange(len(column)), np.array(column, dtype=np.float64))
    rows = [at for at, cell in enumerate(column) if cell is not None]
    return Cells(np.array(rows, dtype=np.int64), np.array([column[at] for at in rows], dtype=np.float64))


def _present(column: Sequence[Any]) -> NDArray[np.bool_]:
    if None not in column:
        return np.ones(len(column), dtype=bool)
    return np.array([cell is not None for cell in column])


def _alone(steps: Ints, present: Mapping[str, NDArray[np.bool_]], values: Mapping[str, Floats]) -> NDArray[np.bool_]:
    same = steps[1:] == steps[:-1]
    again, near = same.copy(), np.zeros(same.size, dtype=bool)
    for role, there in present.items():
        if not same.any():
            break
        column, both = values[role], there[1:] & there[:-1]
        again &= np.where(both, column[1:] == column[:-1], there[1:] == there[:-1])
        if role in MEASURED:
            near |= same & both & ~(np.abs(column[1:] - column[:-1]) > 2 * ROUNDED * (1 + np.abs(column[1:])))
    again |= near
    alone = np.zeros(len(steps), dtype=bool)
    alone[1:] = again | (steps[1:] < steps[:-1])
    if "train_loss" in present and "val_loss" in present:
        evaluated = ~np.isnan(values["val_loss"])  # absent cells are NaN
        alone |= present["train_loss"] & np.isnan(values["train_loss"]) & evaluated
    return alone


def _plain_names(events: Sequence[Mapping[str, Any]], settled: Iterable[str]) -> int:
    """How many events from the first on are metrics with settled names alone."""
    known = set(settled)
    kinds = [event.get("type", "metrics") for event in events]
    if kinds.count("metrics") == len(kinds) and known.issuperset(set().union(*events)):
        return len(events)
    unfit = (at for at, event in enumerate(events) if kinds[at] != "metrics" or not known.issuperset(event))
    return next(unfit, len(events))


def _plain_cells(column: Sequence[Any], kinds: set[type]) -> int:
    """How many cells from the first on are of these types."""
    if kinds.issuperset(map(type, column)):
        return len(column)
    return next(at for at, cell in enumerate(column) if type(cell) not in kinds)

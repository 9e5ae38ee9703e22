"""Consecutive metrics events as columns, so that the engine takes a long stretch of numbers at a stroke. Pure.

Only what is plain goes into a stretch: whole steps, names whose roles are settled, floats. What the engine must think
about row by row (a step that lies behind, a row that may be the last one repeated, a NaN that may be an empty cell) is
marked as alone. Marking too much costs time; it never changes what is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
        first, last = np.searchsorted(self.rows, (start, stop))
        return Cells(self.rows[first:last] - start, self.values[first:last])


NOTHING = Cells(np.zeros(0, dtype=np.int64), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows that hold at least one watched number."""

    length: int
    """Events that it was made of, those without a watched number included."""
    events: Ints
    """For each row the index of its event."""
    steps: Ints
    alone: NDArray[np.bool_]
    """Rows that must be observed by themselves."""
    cells: Mapping[str, Cells]
    """By role."""
    last_step: int
    """Of the last event."""

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
    length = min(
        [_plain_cells(logged, {int}), *(_plain_cells(column, {float, type(None)}) for column in columns.values())]
    )
    try:
        steps = np.array(logged[:length], dtype=np.int64)
    except OverflowError:
        return None
    if length < LEAST or max(-int(steps.min()), int(steps.max())) > MAX_STEP:
        return None
    return _made(steps, {role: column[:length] for role, column in columns.items()})


def _made(steps: Ints, columns: Mapping[str, list[Any]]) -> Stretch | None:
    present = {role: _present(column) for role, column in columns.items()}
    present = {role: there for role, there in present.items() if there.any()}
    if not present:
        return None
    events = np.flatnonzero(np.logical_or.reduce(list(present.values())))
    # None becomes NaN here; what was NaN and what was not there, `present` tells.
    values = {role: np.array(columns[role], dtype=np.float64)[events] for role in present}
    present = {role: there[events] for role, there in present.items()}
    where = {role: np.flatnonzero(there) for role, there in present.items()}
    cells = {role: Cells(rows, values[role][rows]) for role, rows in where.items()}
    kept = steps[events]
    return Stretch(len(steps), events, kept, _alone(kept, present, values), cells, int(steps[-1]))


def _present(column: list[Any]) -> NDArray[np.bool_]:
    if None not in column:
        return np.ones(len(column), dtype=bool)
    return np.array([cell is not None for cell in column])


def _alone(steps: Ints, present: Mapping[str, NDArray[np.bool_]], values: Mapping[str, Floats]) -> NDArray[np.bool_]:
    again = steps[1:] == steps[:-1]
    for role, there in present.items():
        if not again.any():
            break
        column = values[role]
        again &= np.where(there[1:] & there[:-1], column[1:] == column[:-1], there[1:] == there[:-1])
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

"""Many rows of one log at a stroke, as columns: what `rows.Rows` makes of each row, for those that need no thought. Pure.

Most rows of a long log are alike: a whole step, floats under sound names. `Cutter` takes such rows out of a block as tables and
leaves the others to be read one by one. Leaving too many costs time; it never changes what is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from runwell.rows import MAX_PLANS, STEP_NAMES, TIME_NAMES, Rows, is_name
from runwell.wire import MAX_STEP, Event

Column = list[float | None]
"""One number a row; None where the row has none. All are floats, or all are integers."""

LEAST = 16
"""Rows below which a table costs more than it saves."""


@dataclass(frozen=True, slots=True)
class Table:
    """Consecutive metrics events of one log. All columns have as many rows as there are steps."""

    steps: Sequence[int]
    times: Sequence[float | None]
    """Empty when no row has one."""
    cells: Mapping[str, Sequence[float | None]]
    """The numbers by the name of their series."""
    orders: Sequence[Iterable[str]]
    """For each row the names in its own order, others among them."""
    step_name: str
    time_name: str

    def __len__(self) -> int:
        return len(self.steps)

    def event(self, at: int) -> Event:
        """The event of one row, as `Rows.metrics` makes it."""
        step, time = self.steps[at], self.times[at] if self.times else None
        event: Event = {"type": "metrics"}
        if self.step_name == "step" and (time is None or self.time_name == "time"):
            for name in self.orders[at]:
                if name == "step":
                    event[name] = step
                elif name == "time":
                    if time is not None:
                        event[name] = time
                elif name in self.cells and (number := self.cells[name][at]) is not None:
                    event[name] = number
            return event
        event["step"] = step
        if time is not None:
            event["time"] = time
        numbers = ((name, self.cells[name][at]) for name in self.orders[at] if name in self.cells)
        event.update((name, number) for name, number in numbers if number is not None)
        return event

    def part(self, start: int, stop: int) -> Table:
        """The rows from `start` to `stop` (excluded)."""
        rows = slice(start, stop)
        cells = {name: column[rows] for name, column in self.cells.items()}
        return replace(self, steps=self.steps[rows], times=self.times[rows], cells=cells, orders=self.orders[rows])

    def turned(self) -> Table:
        """The same rows, the last one first."""
        cells = {name: column[::-1] for name, column in self.cells.items()}
        return replace(self, steps=self.steps[::-1], times=self.times[::-1], cells=cells, orders=self.orders[::-1])

    def events(self) -> Iterator[Event]:
        """The events of all rows."""
        return map(self.event, range(len(self.steps)))


class Shape(NamedTuple):
    """What the columns of a block are."""

    step: str
    time: str
    other_times: tuple[str, ...]
    """Columns that would be the time in rows where `time` is empty."""


class Cutter:
    """Cuts the blocks of one log, whose rows `rows` counts."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._shapes: dict[tuple[str, ...], Shape | None] = {}

    def cut(
        self, columns: Mapping[str, Column], orders: Sequence[Iterable[str]], odd: set[int]
    ) -> Iterator[tuple[int, int, Table | None]]:
        """A block in parts: (first row, row after the last, its table or None where the rows are to be read one by one).

        `odd` are rows that are known to need it. Each part must be read before the next one is asked for.
        """
        shape = self._shape(tuple(columns))
        found = _numbered(columns, orders, shape, odd) if shape else None
        if shape is None or found is None:
            yield 0, len(orders), None
            return
        start = 0
        for stop in (*sorted(odd), len(orders)):
            if stop - start >= LEAST:
                table = found if stop - start == len(orders) else found.part(start, stop)
                self._rows.took(table.steps)
                yield start, stop, table
                start = stop
            after = min(stop + 1, len(orders))
            if start < after:
                yield start, after, None
            start = after

    def _shape(self, names: tuple[str, ...]) -> Shape | None:
        if names not in self._shapes:
            if len(self._shapes) >= MAX_PLANS:
                self._shapes.clear()
            self._shapes[names] = _shape(names)
        return self._shapes[names]


def _shape(names: tuple[str, ...]) -> Shape | None:
    by_name = {name.lower(): name for name in names}
    step = next((by_name[known] for known in STEP_NAMES if known in by_name), None)
    times = [by_name[known] for known in TIME_NAMES if known in by_name]
    if step is None or len(by_name) < len(names):
        return None  # of several spellings each row has its own first
    time = times[0] if times else ""
    sound = all(is_name(name) for name in names if name not in (step, time))
    return Shape(step, time, tuple(times[1:])) if sound else None


def _numbered(
    columns: Mapping[str, Column], orders: Sequence[Iterable[str]], shape: Shape, odd: set[int]
) -> Table | None:
    """The whole block as if all its rows were alike; those that are not are added to `odd`. None when all are."""
    cells = {name: _floats(column) for name, column in columns.items() if name not in (shape.step, shape.time)}
    if not cells:
        return None
    steps = _steps(columns[shape.step], odd)
    times = _floats(columns[shape.time]) if shape.time else []
    odd.update([at for at, time in enumerate(times) if time is not None and not -1e12 < time < 1e12])
    for name in shape.other_times:
        odd.update(at for at, other in enumerate(columns[name]) if other is not None and times[at] is None)
    fullest = min(cells.values(), key=lambda column: column.count(None))
    if None in fullest:
        empty = [at for at, cell in enumerate(fullest) if cell is None]
        odd.update(at for at in empty if all(column[at] is None for column in cells.values()))
    return Table(steps, times, cells, orders, shape.step, shape.time)


def _floats(column: Column) -> Column:
    return list(map(float, column)) if type(column[0]) is int else column


def _steps(column: Column, odd: set[int]) -> list[int]:
    """The column as whole numbers; rows in which it is no step are odd, whatever stands there then."""
    try:
        steps: list[int] = list(map(int, column))  # type: ignore[arg-type]
        if steps == column and min(steps) >= 0 and max(steps) <= MAX_STEP:
            return steps
    except (TypeError, ValueError, OverflowError):
        pass  # empty, or not finite
    whole = [number is not None and 0 <= number <= MAX_STEP and number == int(number) for number in column]
    odd.update(at for at, fits in enumerate(whole) if not fits)
    return [int(number) if fits and number is not None else 0 for number, fits in zip(column, whole, strict=True)]

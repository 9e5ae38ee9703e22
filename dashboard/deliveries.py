"""A batch as the server takes it in: metrics as columns, everything else as events. Pure: knows no store and no HTTP.

A record keeps its *place*: how many records of the batch come before it. Metrics records that named the same metrics are
one `Table`, however they were mixed with others, so that nothing is done once a record that can be done once a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dashboard.records import Floats, Ints
from runwell.wire import REFUSED, RESERVED, Batch, Event


@dataclass(frozen=True, slots=True)
class Table:
    """Metrics records that named the same metrics, in order: `values` has shape (records, names)."""

    names: tuple[str, ...]
    places: Ints
    steps: Ints
    times: Floats
    values: Floats

    def __len__(self) -> int:
        return len(self.places)

    def between(self, start: int, stop: int) -> Table:
        """The records with places from `start` to before `stop`."""
        if not len(self) or (start <= self.places[0] and self.places[-1] < stop):
            return self
        first, last = np.searchsorted(self.places, [start, stop])
        which = slice(int(first), int(last))
        return Table(self.names, self.places[which], self.steps[which], self.times[which], self.values[which])


@dataclass(frozen=True, slots=True)
class Delivery:
    """Consecutive records of one writer: the one at place *k* has sequence number `first_seq + k`.

    `others` holds (place, event) in order, refused records included as `refused` events; `start` is the first place that
    is still of interest: those before it were delivered earlier.
    """

    writer: str
    first_seq: int
    count: int
    tables: tuple[Table, ...]
    others: tuple[tuple[int, Event], ...]
    start: int = 0

    @staticmethod
    def of(batch: Batch, now: float) -> Delivery:
        """A batch of events as columns; a record without a time gets `now`."""
        groups: dict[tuple[str, ...], list[tuple[int, Event]]] = {}
        others: list[tuple[int, Event]] = []
        for place, event in enumerate(batch.events):
            names = tuple([name for name in event if name not in RESERVED]) if event["type"] == "metrics" else ()
            if names:
                groups.setdefault(names, []).append((place, event))
            else:
                others.append((place, event))
        tables = tuple(_table(names, found, now) for names, found in groups.items())
        return Delivery(batch.writer, batch.first_seq, len(batch.events), tables, tuple(others))

    def after(self, records: int) -> Delivery:
        """Without the first `records` of them, whose places stay taken."""
        tables = (table.between(records, self.count) for table in self.tables)
        others = tuple(other for other in self.others if other[0] >= records)
        return Delivery(
            self.writer, self.first_seq, self.count, tuple(table for table in tables if len(table)), others, records
        )

    @property
    def refused(self) -> tuple[tuple[int, str], ...]:
        """(place, reason) of the records that can never be stored."""
        return tuple((place, str(event.get("reason", ""))) for place, event in self.others if event["type"] == REFUSED)

    def first_time(self, otherwise: float) -> float:
        """Time of the first record that has one."""
        timed = [(place, event["time"]) for place, event in self.others if "time" in event][:1]
        timed += [(int(table.places[0]), float(table.times[0])) for table in self.tables if len(table)]
        return min(timed, default=(0, otherwise))[1]

    def times(self, otherwise: float) -> tuple[float, float]:
        """Times of the first and the last point; without points of the first event that has one."""
        if not any(len(table) for table in self.tables):
            return (self.first_time(otherwise),) * 2
        first = min((int(table.places[0]), float(table.times[0])) for table in self.tables if len(table))
        last = max((int(table.places[-1]), float(table.times[-1])) for table in self.tables if len(table))
        return first[1], last[1]

    def numbers(self, first: int, places: Ints) -> Ints:
        """Arrival numbers of kept records: those from `start` on are numbered from `first`, the refused ones left out."""
        refused = np.array([place for place, _ in self.refused], np.int64)
        found: Ints = first + places - self.start - np.searchsorted(refused, places)
        return found

    def stretches(self, cuts: frozenset[str]) -> Iterator[tuple[list[Table], Event | None, int]]:
        """(tables, event, its place): all points up to each event whose type is in `cuts`, then those after the last."""
        begun = self.start
        for place, event in [other for other in self.others if other[1]["type"] in cuts]:
            yield self._between(begun, place), event, place
            begun = place
        yield self._between(begun, self.count), None, self.count

    def _between(self, start: int, stop: int) -> list[Table]:
        found = [table.between(start, stop) for table in self.tables]
        return [table for table in found if len(table)]


def _table(names: tuple[str, ...], found: list[tuple[int, Event]], now: float) -> Table:
    return Table(
        names,
        np.array([place for place, _ in found], np.int64),
        np.array([event["step"] for _, event in found], np.int64),
        np.array([event.get("time", now) for _, event in found], np.float64),
        np.array([[event[name] for name in names] for _, event in found], np.float64),
    )

"""Tables that were sorted newest first, as some exports are: their rows in the order of their steps. Pure.

Steps that fall from the first row to the last are no run that went back and back, they are a run told from its end. As soon as
one step is higher than the one before, the log is what it seems and goes through as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from runwell.loglines import Item
from runwell.table import Table

FALLS = 3
"""Steps down that tell such a table from two rows that were written the wrong way round."""

RESTS = 1000
"""Rows of one single step that are waited on: a log that counts nothing must not fill the memory."""


def oldest_first(items: Iterator[Item], name: str) -> Iterator[Item]:
    """The same items, and where all their steps fall the other way round, with a sentence that says so."""
    held: list[Item] = []
    last: int | None = None
    falls = rows = 0
    for item in items:
        if isinstance(item, str):
            yield item
            continue
        steps = _steps(item)
        held.append(item)
        if not steps:
            continue
        climbs = [after - before for before, after in pairwise((steps[0] if last is None else last, *steps))]
        falls += sum(climb < 0 for climb in climbs)
        last, rows = steps[-1], rows + len(steps)
        if max(climbs) > 0 or (rows > RESTS and not falls):
            yield from held
            yield from items
            return
    if falls < FALLS:
        yield from held
        return
    yield f"{name} begins with its newest row; its rows are read in the order of their steps"
    yield from _turned(held)


def _steps(item: Item) -> list[int]:
    """The steps of an item's rows; none of an event that is no row of numbers."""
    if isinstance(item, Table):
        return list(item.steps)
    return [int(item["step"])] if isinstance(item, dict) and item.get("type") == "metrics" else []


def _turned(held: list[Item]) -> Iterator[Item]:
    """The rows from the last to the first; what stood before and after all of them stays there."""
    rows = [at for at, item in enumerate(held) if _steps(item)]
    yield from held[: rows[0]]
    for item in reversed(held[rows[0] : rows[-1] + 1]):
        yield item.turned() if isinstance(item, Table) else item
    yield from held[rows[-1] + 1 :]

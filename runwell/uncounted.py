"""Losses that a logger tells one after the other without any count: `… | INFO | __main__:train:35 - loss: 2.5`. Lines in, rows out. Pure.

Their rows are counted. Such a log is often one file for every start of a program; a program that starts again says again what it
said first, and the count begins anew there. Without a logger's words before it a loss may be that of a layer or of a sample.
"""

from __future__ import annotations

import re

from runwell.printed import NUMBER

_LOSS = re.compile(rf"(?:(?:train|training|batch|step) )?loss\s*[:=]\s*(?!\d+\s*$)({NUMBER})\s*", re.IGNORECASE)
"""A logger's message that is nothing but a training loss, which is no whole number."""

FEWEST = 5
"""How many of those make a log: a program that speaks of a loss does so once or twice, a loop tells one after the other."""

Row = tuple[int, dict[str, float]]
"""A line's number, and what it tells."""


class Uncounted:
    """Those of one log, in order."""

    def __init__(self) -> None:
        self._first = ""
        self._count = 0
        self._held: list[Row] = []
        self._enough = False

    def of_line(self, number: int, line: str, begin: int) -> list[Row]:
        """What is known with a line, whose text is at `begin` behind what a logger put before it."""
        if not begin:
            return []
        loss = _LOSS.fullmatch(line, begin)
        if loss is None:
            message = line[begin:].strip()
            self._first = self._first or message
            self._count = 0 if message == self._first else self._count
            return []
        self._held.append((number, {"step": float(self._count), "loss": float(loss[1].replace(",", ""))}))
        self._count += 1
        self._enough = self._enough or len(self._held) >= FEWEST
        known, self._held = (self._held, []) if self._enough else ([], self._held)
        return known

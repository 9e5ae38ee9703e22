"""Losses that are told one after the other without any count: a logger's `… | INFO | __main__:train:35 - loss: 2.5`, or lines that
are nothing but `train loss 2.5 lr 0.001`, `val loss 2.6`. Lines in, rows out. Pure.

Their rows are counted. A logger's file is often one for every start of a program; a program that starts again says again what it
said first, and the count begins anew there. A bare `loss: 2.5` without a logger's words before it may be that of a layer or of a sample.
"""

from __future__ import annotations

import re

from runwell import parts
from runwell.printed import NUMBER

_LOSS = re.compile(rf"(?:(?:train|training|batch|step) )?loss\s*[:=]\s*(?!\d+\s*$)({NUMBER})\s*", re.IGNORECASE)
"""A logger's message that is nothing but a training loss, which is no whole number."""

_NAMED = re.compile(
    rf"\s*(?P<part>train|training|{'|'.join(sorted(parts.VALIDATION))})[ _]loss\s*[:=]?\s*(?P<loss>(?!\d+\s*$){NUMBER})"
    rf"(?:[\s,|]+(?:lr|learning rate)\s*[:=]?\s*(?P<lr>{NUMBER}))?\s*",
    re.IGNORECASE,
)
"""A line that is nothing but a loss of one part of the data, and perhaps the rate."""

FEWEST = 5
"""How many of those make a log: a program that speaks of a loss does so once or twice, a loop tells one after the other."""

Row = tuple[int, dict[str, float]]
"""A line's number, and what it tells."""


class Uncounted:
    """Those of one log, in order."""

    def __init__(self) -> None:
        self._first = ""
        self._count = self._told = 0
        self._held: list[Row] = []
        self._enough = False

    def of_line(self, number: int, line: str, begin: int) -> list[Row]:
        """What is known with a line, whose text is at `begin` behind what a logger put before it."""
        if named := _NAMED.fullmatch(line, begin):
            return self._add(number, self._of_part(named))
        if not begin:
            return []
        loss = _LOSS.fullmatch(line, begin)
        if loss is None:
            message = line[begin:].strip()
            self._first = self._first or message
            self._count = 0 if message == self._first else self._count
            return []
        return self._add(number, {"step": float(self._count), "loss": _number(loss[1])})

    def _of_part(self, named: re.Match[str]) -> dict[str, float]:
        if parts.is_validation(named["part"]):  # it belongs to the training loss before it
            return {"step": float(max(self._count - 1, 0)), "val/loss": _number(named["loss"])}
        row = {"step": float(self._count), "train/loss": _number(named["loss"])}
        return row | ({"lr": _number(named["lr"])} if named["lr"] else {})

    def _add(self, number: int, row: dict[str, float]) -> list[Row]:
        self._held.append((number, row))
        training = "val/loss" not in row
        self._count += training
        self._told += training
        self._enough = self._enough or self._told >= FEWEST
        known, self._held = (self._held, []) if self._enough else ([], self._held)
        return known


def _number(text: str) -> float:
    return float(text.replace(",", ""))

"""Several runs in one file, told apart by a column: which rows are read, and what is said of the others. Pure.

A table that compares runs must not be read as one run, nor a run that was resumed under another name as two: it is another
run only where it begins again near the step at which the first began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    "run", "run_id", "run_name", "runid", "experiment", "experiment_name", "exp", "exp_name", "trial", "trial_id", "seed", "fold",
    "model", "model_name", "variant", "method", "optimizer", "config_name", "name",
)  # fmt: skip
"""Columns that tell runs apart, the most telling first, in any case."""
_ALL = frozenset(COLUMNS)

BEGINNING = 0.1
"""Share of the first run's steps within which another one begins."""
MAX_RUNS = 1000
SHOWN = 8


class OneRun:
    """Lets the rows of one run pass: of the one asked for by name, else of the first. `others` are those that stayed out."""

    def __init__(self, wanted: str = "") -> None:
        self.wanted = wanted
        self.column = ""
        self.others: list[str] = []
        self._same: set[str] = set()
        self._first: float | None = None
        self._last = 0.0
        self._rows: dict[str, int] = {}

    def column_of(self, names: Sequence[str]) -> str:
        """The column of a table that tells runs apart; empty where there is none."""
        lower = {name.lower(): name for name in reversed(names)}
        return next((lower[column] for column in COLUMNS if column in lower), "")

    def tells(self, row: Mapping[str, Any]) -> bool:
        """Whether an object has a name that may tell runs apart: asked of every line of logs that may have millions."""
        return not _ALL.isdisjoint(row)

    def passes(self, column: str, run: Any, step: float | None) -> bool:
        """Whether the row of a run is to be read. `step` is None where the row tells none."""
        run = str(run).strip()
        self.column = self.column or column
        if run in self._same:
            self._last = max(self._last, step or 0.0)
            return True
        if not run:
            return True
        if run in self.others:
            return False
        at = self._rows[run] = self._rows.get(run, 0) + 1
        step = float(at - 1) if step is None else step
        mine = self._first is None or step > self._first + BEGINNING * (self._last - self._first)
        if self.wanted:
            mine = run == self.wanted
        if mine:
            self._same.add(run)
            self._first = step if self._first is None else self._first
            self._last = max(self._last, step)
        elif len(self.others) < MAX_RUNS:
            self.others.append(run)
        return mine

    def choose(self, names: Sequence[str], where: str) -> str:
        """The one to read of runs that have columns of their own."""
        self.column = where
        chosen = self.wanted or names[0]
        self.others = [name for name in names if name != chosen]
        self._same = {chosen} & set(names)
        return chosen

    @property
    def read(self) -> str:
        """The name of the run that is read; empty where the log tells none."""
        return next(iter(self._same), "") if len(self._same) == 1 else ""

    def sentence(self, name: str) -> str:
        """What to say of the runs that were not read; empty when there are none."""
        if not self.others:
            return ""
        shown = ", ".join(self.others[:SHOWN]) + (
            f" and {len(self.others) - SHOWN} more" if len(self.others) > SHOWN else ""
        )
        if not self._same:
            return f"{name}: its column `{self.column}` names no run {self.wanted!r}; it names {shown}"
        return f"{name}: its column `{self.column}` tells of several runs; one is read, {', '.join(sorted(self._same))}, not {shown}: name another with --run"

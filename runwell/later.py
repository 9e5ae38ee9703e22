"""What stands for the spool of a forked child until it writes something: most children never do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from runwell.wire import Event


class Written(Protocol):
    """What takes a run's records."""

    def metrics(self, values: Mapping[str, float], step: int, time: float) -> Any:
        """Write numbers down."""

    def event(self, event: Event, *, reserve: bool = False) -> Any:
        """Write a record down."""

    def nudge(self) -> None:
        """Wake the sender."""


class Later:
    """Opens the child's spool at its first record; `open_spool` is given this very object and gives the spool."""

    def __init__(self, open_spool: Callable[[Later], Written]) -> None:
        self._open_spool = open_spool

    def metrics(self, values: Mapping[str, float], step: int, time: float) -> None:
        """Open the child's spool and write there."""
        self._open_spool(self).metrics(values, step, time)

    def event(self, event: Event, *, reserve: bool = False) -> None:
        """Open the child's spool and write there."""
        self._open_spool(self).event(event, reserve=reserve)

    def nudge(self) -> None:
        """Open the child's spool: its sender reads what is on its way from a device."""
        self._open_spool(self).nudge()

"""Tells runs that go on and send nothing that time has passed: `clock` events, at moments that the rules' engine names.

They are stored like any other event, so that a replay sees them where the live run did. Silence is measured by this
server's own clock, from when it last heard of the run, so that neither a run's clock that is wrong nor a server that was
away makes one. Runs in the watcher's thread; knows no rule.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from dashboard.judgement import Judgement
from dashboard.records import State
from dashboard.store import Store
from dashboard.tail import append_last
from dashboard.writers import WATCH_WRITER

AGAIN_SECONDS = 60.0
"""After which a run that was neither running nor ended is looked at again."""


class Silences:
    """Which runs have to be told, and when. Guarded by the caller's lock where it says so."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """`clock` gives seconds and does not run while the machine sleeps."""
        self._store, self._clock = store, clock
        self._heard: dict[str, tuple[float, float]] = {}
        self._at: dict[str, float] = {}
        self._lock = threading.Lock()

    def due(self, now: float) -> list[str]:
        """Runs that have to be looked at now; each is named once."""
        with self._lock:
            found = [run_id for run_id, at in self._at.items() if at <= now]
            for run_id in found:
                del self._at[run_id]
            return found

    def next_at(self) -> float | None:
        """When the next run is due, by this server's clock."""
        with self._lock:
            return min(self._at.values(), default=None)

    def forget(self, run_id: str) -> None:
        """The run is deleted, or speaks no more."""
        with self._lock:
            self._heard.pop(run_id, None)
            self._at.pop(run_id, None)

    def mind(self, run_id: str, judgement: Judgement) -> None:
        """Tell the run what is due, let the rules look at it, and note when it is due next."""
        while (moment := judgement.next_moment) is not None:
            known, due = moment
            at = self._heard_at(run_id, known) + due - known
            if at > self._clock():
                self._set(run_id, at)
                return
            state = self._store.run(run_id).state
            if state.ended:
                break
            if state is not State.RUNNING:
                self._set(run_id, self._clock() + AGAIN_SECONDS)
                return
            append_last(run_id, {"type": "clock", "time": due}, self._store.append, WATCH_WRITER)
            self._heard[run_id] = (due, at)
            judgement.take(self._store.replay(run_id, after=judgement.cursor))
        self.forget(run_id)

    def _heard_at(self, run_id: str, known: float) -> float:
        """When, by this server's clock, the run's own clock stood where it is known to have stood."""
        heard = self._heard.get(run_id)
        if heard is None or heard[0] != known:
            heard = self._heard[run_id] = (known, self._clock())
        return heard[1]

    def _set(self, run_id: str, at: float) -> None:
        with self._lock:
            self._at[run_id] = at

"""One run under judgement: an engine, how far it has read, and what it says. No store, no hub, no clock, no threads.

What comes out depends on the events alone: fed in any slices, or once more from the first event, it is the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from dashboard.records import Run
from diagnostics.engine import Engine
from diagnostics.options import RuleOptions
from diagnostics.verdict import verdict

log = logging.getLogger(__name__)

THROUGH = "judged_through"
"""Key in a run's stored coverage: the arrival number of the last event that was judged."""

NewEngine = Callable[[Mapping[str, Any], str], Engine]
"""Makes an engine for a run's config and project."""


def new_engine(config: Mapping[str, Any], project: str = "") -> Engine:
    """An engine with every rule at its defaults, whatever the project."""
    return Engine(config=config)


def engines_with(options: RuleOptions) -> NewEngine:
    """Makes engines with the thresholds that a settings file gives to each project."""
    return lambda config, project: Engine(config=config, options=options.of(project))


class Judgement:
    """What the rules say about one run, so far. `config` is what was known before its first event."""

    def __init__(
        self, run_id: str, config: Mapping[str, Any], engine: NewEngine = new_engine, *, project: str = ""
    ) -> None:
        self.run_id = run_id
        self.cursor = 0
        """Arrival number of the last event taken."""
        self._engine = engine(config, project)
        self._measured = False
        self._trouble = ""

    def take(self, events: Iterable[tuple[int, Mapping[str, Any]]]) -> int:
        """Feed numbered events, in order; their count. An event on which the engine itself fails is passed over."""
        count = 0
        for number, event in events:
            count += 1
            self.cursor = number
            self._measured = self._measured or event.get("type") == "metrics"
            try:
                self._engine.observe(event)
            except Exception as error:
                self._note(number, error)
        return count

    @property
    def next_moment(self) -> tuple[float, float] | None:
        """(latest time known, when a `clock` event would tell something new), by the run's own clock; or None."""
        return self._engine.next_moment

    def findings(self) -> list[dict[str, Any]]:
        """Every finding so far, those to act on first, as plain JSON values."""
        return [finding.to_mapping() for finding in self._engine.findings()]

    def coverage(self) -> dict[str, Any]:
        """Which rules ran, which could not, which failed; what was taken for what; and how far was judged."""
        read = self._engine.reading().to_mapping()
        del read["steps"]  # they go on with every point: what is said here is to change with news alone
        found = self._engine.coverage().to_mapping() | {"read": read}
        if self._trouble:
            found["failed"] = {**found["failed"], "engine": self._trouble}
        return {**found, THROUGH: self.cursor}

    def verdict(self, muted: Collection[tuple[str, str]] = ()) -> str:
        """`healthy`, `warning` or `critical`; `unknown` before the first point. `muted` are (rule, subject) to leave out."""
        if not self._measured:
            return "unknown"
        return verdict(found for found in self._engine.findings() if (found.rule, found.subject) not in muted)

    def _note(self, number: int, error: Exception) -> None:
        # Said once: a run that trips the engine at every event must not fill the server's log.
        if not self._trouble:
            log.exception(
                "run %s: the rules' engine failed at event %d; the run is judged without it", self.run_id, number
            )
            self._trouble = f"could not take event {number} ({type(error).__name__}: {error}); judged without it"


def judgement_of(run: Run, engine: NewEngine = new_engine) -> Judgement:
    """A judgement of a stored run that has taken no event yet."""
    # Configs of runs that we did not launch come with their events, in order; taking what the store has merged
    # since would judge early events by later settings, and a replay would differ from the live run.
    return Judgement(run.id, run.config if run.launched else {}, engine, project=run.project)

"""Looks after one run: gathers the facts, takes up what its dead process left, applies what `lifecycle` decides.

The only place where a run's state is changed by the server. Knows neither the queue nor any thread.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dashboard.lifecycle import GONE_AFTER_SECONDS, STOP_GRACE_SECONDS, Decision, Facts, Presence, decide, kill_due
from dashboard.output import last_lines
from dashboard.processes import Exit, Process, hostname, writes_to
from dashboard.records import Run, State
from dashboard.store import Store
from dashboard.tail import Ingest, append_last, store_output, store_spool
from dashboard.workers import WorkerFolder
from dashboard.writers import end_told

log = logging.getLogger(__name__)

LAST_WORDS = 20
"""Lines of output from which the reason of a crash is taken."""

KEPT_WORDS = 5
"""Of these, how many go with the end itself onto the timeline."""

JUMP_SECONDS = 5.0
"""A wall clock that moved this much more or less than time passed was set, or the machine slept."""

RESUMED_AFTER_SECONDS = 1.0
"""A process that began this long after a recorded end is another one, that resumed the run."""


@dataclass(slots=True)
class Keeper:
    """Looks after runs, one `look` at a time. `announce` is told the id of a run whose state changed."""

    store: Store
    home: Path
    ingest: Ingest
    announce: Callable[[str], None]
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    """Seconds that only ever pass: a grace time must not be cut short by a clock that is set."""
    watching_since: float = 0.0
    """When this server began, or its clock last jumped: silence before that is its own, not the runs'."""
    url: str = ""
    """This server's own address."""
    _ticks: tuple[float, float] | None = None
    _first_seen: dict[tuple[str, str], float] = field(default_factory=dict)
    _lost_at: dict[str, float] = field(default_factory=dict)
    _signalled: set[str] = field(default_factory=set)

    def look(self, run: Run, folder: WorkerFolder | None) -> tuple[Run, Presence]:
        """See how a run is, and change its state if the facts ask for it. `folder` is None for a run that we did not launch."""
        self._mind_the_clock()
        end = self._end(run, folder)
        presence = self._presence(run, folder, end)
        facts = self._facts(run, folder, presence, end)
        dead = end is not None or (presence is Presence.GONE and folder is not None) or _is_over(facts)
        if dead:
            facts = self._take_up(run, folder, facts)
            run = self.store.run(run.id)
        elif folder is not None:
            store_output(run.id, folder, self.ingest, self.clock(), dead=False)
            self._see_to_the_stop(run, folder, facts)
        decision = decide(facts)
        if decision is not None:
            run = self._apply(run, decision, facts)
        elif end is not None and run.state.ended and run.exit_code is None:
            run = self.store.set_state(run.id, run.state, reason=run.state_reason, exit_code=end.returncode)
            self.announce(run.id)
        if folder is not None and dead and run.state.ended and not facts.unread:
            folder.settle()
        return run, presence

    def is_there(self, run: Run, folder: WorkerFolder | None) -> bool:
        """Whether a process of the run is known to live."""
        return self._presence(run, folder, self._end(run, folder)) is Presence.ALIVE

    def _mind_the_clock(self) -> None:
        """After a jump of the clock nobody is late before it has had its time anew."""
        now, passed = self.clock(), self.monotonic()
        before, self._ticks = self._ticks, (now, passed)
        if before is not None and abs((now - before[0]) - (passed - before[1])) > JUMP_SECONDS:
            log.warning(
                "the clock jumped by %+.0f s; silence is counted anew", (now - before[0]) - (passed - before[1])
            )
            self.watching_since = now
            self._lost_at = dict.fromkeys(self._lost_at, now)

    # -- facts -------------------------------------------------------------------------------------------------------

    def _end(self, run: Run, folder: WorkerFolder | None) -> Exit | None:
        end = folder.exit if folder is not None else None
        if end is not None and (run.pid_started_at or 0.0) > end.ended_at + RESUMED_AFTER_SECONDS:
            return None
        return end

    def _presence(self, run: Run, folder: WorkerFolder | None, end: Exit | None) -> Presence:
        if end is not None:
            return Presence.GONE
        seen = folder.presence() if folder is not None else Presence.UNKNOWN
        if seen is Presence.ALIVE or run.pid is None or run.host != hostname():
            return seen
        lives = Process(run.pid, run.pid_started_at).alive() or (folder is None and writes_to(self._spool(run.id)))
        return Presence.ALIVE if lives else Presence.GONE

    def _facts(self, run: Run, folder: WorkerFolder | None, presence: Presence, end: Exit | None) -> Facts:
        now = self.clock()
        heard_at = run.last_event_at or run.created_at
        if heard_at > now:
            heard_at = self.watching_since  # by a clock that has been set back since
        silent_seconds = now - max(heard_at, self.watching_since)
        asked = folder is not None and folder.stop_asked_at is not None
        told = self._told(run) if silent_seconds >= GONE_AFTER_SECONDS or end is not None else None
        if told and folder is None and presence is Presence.ALIVE and not writes_to(self._spool(run.id)):
            presence = Presence.UNKNOWN  # the process that lives has said its end
        return Facts(
            state=run.state,
            launched=folder is not None,
            presence=presence,
            silent_seconds=silent_seconds,
            sends_to=self._sends_to(run.id) if silent_seconds >= GONE_AFTER_SECONDS else "",
            told=told,
            heard_since_decision=heard_at > self._lost_at.get(run.id, self.watching_since),
            exit=end,
            killed_by_us=folder is not None and folder.killed,
            stop_asked_seconds=self._since(run.id, "asked", asked),
            ended_seconds=self._since(run.id, "ended", run.state.ended),
        )

    def _spool(self, run_id: str) -> Path:
        return self.home / "spool" / run_id

    def _told(self, run: Run) -> dict[str, Any] | None:
        """How the run ended by the words of those of its processes that said so, if nothing speaks against it."""
        return None if run.state.ended else end_told(self.store.writers(run.id))

    def _sends_to(self, run_id: str) -> str:
        """The address that a run's newest writer was given, when its port is not this server's; else, or unknown, empty."""
        found = self._spool(run_id).glob("*/writer.json")
        try:
            url = json.loads(max(found, key=lambda path: path.stat().st_mtime).read_text(encoding="utf-8"))["url"]
            return url if urlsplit(url).port != urlsplit(self.url).port else ""
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return ""

    def _since(self, run_id: str, what: str, true: bool) -> float | None:
        """Seconds since this server first saw it so; None while it is not."""
        if not true:
            self._first_seen.pop((run_id, what), None)
            return None
        return self.monotonic() - self._first_seen.setdefault((run_id, what), self.monotonic())

    def _take_up(self, run: Run, folder: WorkerFolder | None, facts: Facts) -> Facts:
        """Store all that the dead process left; what it says of its own end goes before what we conclude."""
        store_spool(run.id, self.home / "spool", self.ingest)
        whole, words = True, list[str]()
        if folder is not None:
            whole = store_output(run.id, folder, self.ingest, self.clock(), dead=True)
            words = last_lines(folder.output, LAST_WORDS)
        run = self.store.run(run.id)
        told = facts.told or self._told(run)
        return dataclasses.replace(facts, state=run.state, unread=not whole, last_words=words, told=told)

    # -- what follows ------------------------------------------------------------------------------------------------

    def _apply(self, run: Run, decision: Decision, facts: Facts) -> Run:
        if decision.state.ended:
            # As an event, so that the run's record, its export and every rule know it too.
            event: dict[str, Any] = {"type": "state", "state": decision.state.value, "reason": decision.reason}
            event["time"] = self.clock()
            if facts.last_words:
                event["last_lines"] = list(facts.last_words)[-KEPT_WORDS:]
            if decision.exit_code is not None:
                event["exit_code"] = decision.exit_code
            if run.last_step is not None:
                event["step"] = run.last_step
            append_last(run.id, event, self.ingest)
            log.info("run %s is %s: %s", run.id, decision.state.value, decision.reason)
        else:
            self.store.set_state(run.id, decision.state, reason=decision.reason)
            if decision.state is State.LOST:
                self._lost_at[run.id] = self.clock()
        self.announce(run.id)
        return self.store.run(run.id)

    def _see_to_the_stop(self, run: Run, folder: WorkerFolder, facts: Facts) -> None:
        worker = folder.worker
        if worker is None:
            return
        if kill_due(facts):
            log.warning("run %s is still there %d s after it should have ended; killing it", run.id, STOP_GRACE_SECONDS)
            folder.kill(worker, self.clock())
        elif facts.stop_asked_seconds is not None and run.id not in self._signalled and worker.terminate():
            self._signalled.add(run.id)


def _is_over(facts: Facts) -> bool:
    """Whether what is known of a run's processes means its end."""
    decision = decide(facts) if facts.presence is not Presence.ALIVE else None
    return decision is not None and decision.state.ended

"""Judges runs while they run: reads new events from the store, feeds the rules, stores and publishes what they say.

One thread. Findings are derived data: a judgement that was dropped, or lost in a restart, is built again by replaying the
run from its first event and comes to the same findings. The only step back in Runwell's one-way path is taken here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dashboard import present
from dashboard.errors import UnknownRun
from dashboard.judgement import THROUGH, Judgement, NewEngine, judgement_of, new_engine
from dashboard.live import Hub
from dashboard.records import State
from dashboard.silences import Silences
from dashboard.store import Store

log = logging.getLogger(__name__)

MAX_JUDGEMENTS = 64
"""Kept in memory; the one unused for longest is dropped first, and built again when its run speaks."""

RETRY_SECONDS = 5.0
"""After the store could not be read or written."""

SLICE = 20_000
"""Events judged of one run before the next run has its turn, so that one long replay does not hold up the others."""

TAKE_OVER_SECONDS = 2.0
"""After which a run that another server judges is claimed again, in case that one is gone."""

SAVE_SECONDS = 1.0
"""What only moves on (the last step seen, how far was judged) is stored at most this often; news at once."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What was last stored of a run."""

    body: tuple[Any, Any]
    """Findings, and coverage without how far was judged."""
    cursor: int
    muted: frozenset[tuple[str, str]]
    at: float

    @property
    def news(self) -> tuple[Any, ...]:
        """The part of it that a person must be told at once."""
        shown = [(f["rule"], f["subject"], f["status"], f["severity"], f["because"]) for f in self.body[0]]
        return (shown, self.body[1], self.muted)


@dataclass(slots=True)
class _Watched:
    judgement: Judgement
    said: _Said | None = None


class Watcher:
    """Store → rules → store and hub. `notify` never blocks; everything else happens in one thread."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        clock: Callable[[], float] = time.monotonic,
        *,
        engine: NewEngine = new_engine,
        max_judgements: int = MAX_JUDGEMENTS,
    ) -> None:
        """`clock` gives seconds. It decides how often is stored, and when a silent run is told so, as an event."""
        self._store, self._hub, self._clock = store, hub, clock
        self._engine, self._max_judgements = engine, max_judgements
        self._watched: OrderedDict[str, _Watched] = OrderedDict()
        self._complained: set[str] = set()
        self._silences = Silences(store, clock)
        self._revisited: set[str] = set()
        # Everything below is guarded by the condition.
        self._condition = threading.Condition()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._due_at: dict[str, float] = {}
        self._elsewhere: dict[str, float] = {}
        self._busy = self._hurry = self._ending = self._catching_up = False
        self._thread: threading.Thread | None = None

    # -- the thread --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin judging: what arrives, and between that what arrived while no watcher ran, newest runs first."""
        self._catching_up = True
        self._thread = threading.Thread(target=self._repeat, name="watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the slice at hand. What was not judged is found again at the next start."""
        with self._condition:
            self._ending = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()

    def notify(self, run_id: str) -> None:
        """Say that a run has new events, or that a person decided about a finding. Never blocks, never raises."""
        with self._condition:
            if run_id in self._elsewhere:
                return  # whoever judges it hears of it, too
            self._waiting[run_id] = None
            self._condition.notify_all()

    def judge_whole(self, run_id: str) -> str:
        """Judge all that is stored of one run, here and now, and give its verdict: for who stores runs without a server."""
        while self._judge(run_id) is not None:
            pass
        return self._store.run(run_id).verdict

    def drain(self, timeout: float) -> None:
        """Wait until everything notified so far was judged and stored. Raises TimeoutError after `timeout` seconds."""
        with self._condition:
            self._hurry = True
            self._condition.notify_all()
            try:
                if not self._condition.wait_for(self._all_done, timeout):
                    left = ", ".join([*self._waiting, *self._due_at]) or "the one at hand"
                    raise TimeoutError(f"after {timeout:g} s these runs are not judged yet: {left}")
            finally:
                self._hurry = False

    def _all_done(self) -> bool:
        return not (self._waiting or self._due_at or self._busy or self._catching_up)

    def _repeat(self) -> None:
        for run_id in self._work():
            due_at = self._judge_guarded(run_id)
            with self._condition:
                self._busy = False
                if due_at is not None:
                    self._due_at[run_id] = due_at
                self._condition.notify_all()

    def _work(self) -> Iterator[str]:
        """Runs that speak go first; between them, one by one, those that no earlier watcher judged to the end."""
        backlog = self._all_runs()
        while not self._ending:
            run_id = self._next(wait=not self._catching_up)
            if run_id is not None:
                yield run_id
            elif self._catching_up:
                earlier = next(backlog, None)
                if earlier is None:
                    with self._condition:
                        self._catching_up = False
                        self._condition.notify_all()
                elif self._has_unjudged(earlier) or self._goes_on(earlier):
                    yield earlier

    def _next(self, *, wait: bool) -> str | None:
        """The next run with news; None when the watcher ends, or when there is none and it should not wait."""
        with self._condition:
            self._busy = False
            self._condition.notify_all()
            while not self._ending:
                now = self._clock()
                for run_id in [run_id for run_id, at in self._due_at.items() if at <= now or self._hurry]:
                    del self._due_at[run_id]
                    self._waiting[run_id] = None
                for run_id in [run_id for run_id, at in self._elsewhere.items() if at <= now]:
                    del self._elsewhere[run_id]
                    self._waiting[run_id] = None
                self._waiting.update(dict.fromkeys(self._silences.due(now)))
                if self._waiting:
                    self._busy = True
                    return self._waiting.popitem(last=False)[0]
                if not wait:
                    return None
                silent_at = self._silences.next_at()
                silent = [] if silent_at is None else [silent_at]
                times = [*self._due_at.values(), *self._elsewhere.values(), *silent]
                self._condition.wait(min(times) - now if times else None)
            return None

    def _all_runs(self) -> Iterator[str]:
        try:
            yield from [run.id for run in self._store.runs()]
        except Exception:
            log.exception("the runs of earlier servers could not be listed; new events are judged all the same")

    def _has_unjudged(self, run_id: str) -> bool:
        """Whether a run has events that no watcher judged: the last server may have been killed in between."""
        try:
            through = self._store.coverage(run_id).get(THROUGH, 0)
            return next(self._store.replay(run_id, after=through), None) is not None
        except UnknownRun:
            return False
        except Exception:
            log.exception("run %s: it is not known whether all of it was judged; judging it again", run_id)
            return True

    def _goes_on(self, run_id: str) -> bool:
        """Whether a run that was judged to its end is still running: only then its silence means something."""
        try:
            if self._store.run(run_id).state is not State.RUNNING:
                return False
        except UnknownRun:
            return False
        self._revisited.add(run_id)
        return True

    # -- one run -----------------------------------------------------------------------------------------------------

    def _judge_guarded(self, run_id: str) -> float | None:
        """Judge, whatever happens to this run; when to look at it again, if so."""
        try:
            if not self._store.peers.take(run_id):
                self._leave_to_another(run_id)
                return None
            due_at = self._judge(run_id)
            self._complained.discard(run_id)
            return due_at
        except UnknownRun:
            self._watched.pop(run_id, None)  # deleted
            self._silences.forget(run_id)
            self._store.peers.leave(run_id)
            return None
        except Exception:
            self._watched.pop(run_id, None)  # a judgement that lost events is worth nothing: built anew
            if run_id not in self._complained:
                log.exception("run %s could not be judged just now; it is tried again", run_id)
                self._complained.add(run_id)
            return self._clock() + RETRY_SECONDS

    def _leave_to_another(self, run_id: str) -> None:
        """Another server judges this run. What it says is in the store; when it is gone, this one goes on."""
        self._watched.pop(run_id, None)
        self._silences.forget(run_id)
        if self._store.run(run_id).state.ended and not self._has_unjudged(run_id):
            return
        with self._condition:
            self._elsewhere[run_id] = self._clock() + TAKE_OVER_SECONDS

    def _judge(self, run_id: str) -> float | None:
        watched = self._of(run_id)
        judgement = watched.judgement
        taken = judgement.take(islice(self._store.replay(run_id, after=judgement.cursor), SLICE))
        if taken == SLICE:
            # Not there yet. What was true long ago is not stored: it would resolve what is open now.
            return self._clock()
        cursor = judgement.cursor
        self._silences.mind(run_id, judgement)
        if run_id in self._revisited:
            self._revisited.discard(run_id)
            if judgement.cursor == self._store.coverage(run_id).get(THROUGH):
                watched.said = self._now_said(run_id, judgement)  # stored by an earlier watcher already
                return None
        return self._save(run_id, watched, looked_again=taken == 0 and cursor == judgement.cursor)

    def _of(self, run_id: str) -> _Watched:
        watched = self._watched.get(run_id)
        if watched is None:
            run = self._store.run(run_id)
            watched = _Watched(judgement_of(run, self._engine))
            self._watched[run_id] = watched
        self._watched.move_to_end(run_id)
        while len(self._watched) > self._max_judgements:
            dropped, _ = self._watched.popitem(last=False)
            self._store.peers.leave(dropped)
        return watched

    def _save(self, run_id: str, watched: _Watched, *, looked_again: bool) -> float | None:
        """Store and publish what is new; when to come back for what is only newer, if it is."""
        said = self._now_said(run_id, watched.judgement)
        before, watched.said = watched.said, said
        if (
            before is None
            or before.news != said.news
            or looked_again
            or self._hurry
            or said.at >= before.at + SAVE_SECONDS
        ):
            if before is None or (before.body, before.cursor, before.muted) != (said.body, said.cursor, said.muted):
                self._store_and_publish(run_id, watched.judgement, before, said)
            return None
        watched.said = before
        return before.at + SAVE_SECONDS

    def _now_said(self, run_id: str, judgement: Judgement) -> _Said:
        coverage = {name: value for name, value in judgement.coverage().items() if name != THROUGH}
        muted = frozenset((record.rule, record.subject) for record in self._store.findings(run_id, statuses=["muted"]))
        return _Said((judgement.findings(), coverage), judgement.cursor, muted, self._clock())

    def _store_and_publish(self, run_id: str, judgement: Judgement, before: _Said | None, said: _Said) -> None:
        verdict = judgement.verdict(said.muted)
        changed = self._store.run(run_id).verdict != verdict
        if changed:
            # Before the findings: whoever sees a finding then sees the verdict that belongs to it.
            self._store.set_verdict(run_id, verdict)
        records = self._store.save_findings(run_id, said.body[0], {**said.body[1], THROUGH: said.cursor})
        if before is None or changed or (before.body, before.muted) != (said.body, said.muted):
            self._hub.publish("findings", run_id, present.findings(verdict, records))
        if before is None or changed or before.news != said.news:
            self._hub.publish_run(present.summary(self._store.summary(run_id)))

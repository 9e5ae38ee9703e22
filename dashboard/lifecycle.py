"""Decides the state of a run from facts, and from nothing else. Pure: no clock, no files, no processes.

Two promises: a run is never "running" for ever, and never "crashed" while its training goes on. A run is therefore
declared dead only when its process is known to be gone and all it left behind has been read. Without heartbeats contact
is lost, whether its process is known to live or cannot be seen; that is no end, and the next heartbeat makes it running
again. Heartbeats without progress are a stall, which is a finding, not a state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dashboard.processes import Exit
from dashboard.records import State
from dashboard.writers import LOST_AFTER_SECONDS

GONE_AFTER_SECONDS = 30.0
"""A run that we did not start is called crashed when its process is gone and it has been silent this long."""

SILENT_AFTER_SECONDS = 120.0
"""A run whose process lives is called lost after this long: Python code that holds its interpreter that long (a large
file being written, a compiler at work) keeps the heartbeat back as well, and is no reason for a word."""

STOP_GRACE_SECONDS = 60.0
"""How long a worker may take to write its checkpoint after it was asked to stop."""

STOPPING = "stopping: writing a checkpoint"
ASKED_TO_STOP = "stopping: its script was asked to end"
"""For a run that was not launched here: it gets the command, and no signal."""
GIVEN_UP = "ended by hand: nothing was heard of it any more"
"""For a run that is lost and of no process that is known to live: somebody must be able to end and delete it."""

_BEFORE_THE_END = (State.STARTING, State.RUNNING, State.LOST)


class Presence(Enum):
    """What is known of a run's process."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"
    """On another machine, or never named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All that the decision rests on. Seconds are durations, so that no clock is needed."""

    state: State
    """What the store says now; the worker's own `state` events have been applied to it."""
    launched: bool
    """Whether this server started the worker."""
    presence: Presence
    silent_seconds: float
    """Since anything (a heartbeat counts) was heard of the run, or since the server started when that is later."""
    heard_since_decision: bool = False
    """Whether anything came after the state was set to lost."""
    exit: Exit | None = None
    """How the process ended, when that was recorded."""
    unread: bool = False
    """Whether the dead process left records or output that have not been read yet."""
    killed_by_us: bool = False
    """Whether the server sent SIGKILL after the grace time."""
    stop_asked_seconds: float | None = None
    """Since a person asked the run to stop; None when nobody did."""
    ended_seconds: float | None = None
    """Since the worker said that it had ended; None when it did not."""
    told: Mapping[str, Any] | None = None
    """How it ended by the words of those of its processes that said so, as a `state` event; see `writers.end_told`."""
    sends_to: str = ""
    """Where its process sends what it logs, when that is another port than this server's."""
    last_words: Sequence[str] = ()
    """The last lines of its output, oldest first."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of state: the new state, the sentence that the user reads, the exit status when there is one."""

    state: State
    reason: str
    exit_code: int | None = None


def decide(facts: Facts) -> Decision | None:
    """The change that these facts ask for; None when the state is right as it is."""
    if facts.state not in _BEFORE_THE_END or facts.unread:
        return None
    if facts.exit is not None:
        return _told(facts.told) if facts.told is not None else _ended(facts, facts.exit)
    if facts.presence is Presence.ALIVE:
        return _silent(facts)
    patience = GONE_AFTER_SECONDS if facts.presence is Presence.GONE else LOST_AFTER_SECONDS
    if facts.told is not None and facts.silent_seconds >= patience:
        return _told(facts.told)
    if facts.presence is Presence.GONE:
        return _gone(facts)
    return _unseen(facts)


def kill_due(facts: Facts, grace_seconds: float = STOP_GRACE_SECONDS) -> bool:
    """Whether a worker that was asked to stop, or that said it had ended, has had its time and is still there.

    One that hangs in its last line would hold its place in the queue for ever.
    """
    since = [seconds for seconds in (facts.stop_asked_seconds, facts.ended_seconds) if seconds is not None]
    return facts.launched and facts.presence is Presence.ALIVE and bool(since) and max(since) >= grace_seconds


def waiting_reason(position: int) -> str:
    """What a queued run shows when `position` runs are before it."""
    if position == 0:
        return "waiting: next to start"
    return f"waiting: {position} {'run' if position == 1 else 'runs'} before it"


def complaint(last_words: Sequence[str]) -> str:
    """The line that says what went wrong, from the last lines of an output; empty when there is none.

    A Python traceback ends with it; a command-line tool prints it last.
    """
    # Our own trainer's last line says in one word what the state says already.
    lines = [line.strip().removeprefix("crashed: ") for line in last_words if line.strip()]
    for line in reversed(lines):
        head = line.partition(":")[0].rpartition(".")[2]
        if head.endswith(("Error", "Exception", "Interrupt")) and head.isidentifier():
            return line[:300]
    return lines[-1][:300] if lines else ""


def _told(end: Mapping[str, Any]) -> Decision:
    """Some of its processes said how it ended, and of the others nothing is heard."""
    return Decision(State(end["state"]), end.get("reason") or "", end.get("exit_code"))


def _ended(facts: Facts, end: Exit) -> Decision:
    if facts.stop_asked_seconds is not None and end.returncode in (0, -15):
        late = "" if end.returncode == 0 else ", before its training could save anything"
        return Decision(State.STOPPED, "stopped on request" + late, end.returncode)
    if facts.killed_by_us and end.returncode == -9:
        return Decision(State.STOPPED, "killed: it did not end in time after it was asked to stop", end.returncode)
    if end.returncode == 0:
        return Decision(State.CRASHED, "ended with exit status 0, but never said that it had finished", 0)
    said = complaint(facts.last_words) if not end.by_signal and not end.error else ""
    return Decision(State.CRASHED, end.words + (f": {said}" if said else ""), end.returncode)


def _gone(facts: Facts) -> Decision | None:
    # What we started is watched closely: its death needs no patience. A foreign process may have handed over to
    # another one (a launcher script, a resume), so silence must confirm it.
    if not facts.launched and facts.silent_seconds < GONE_AFTER_SECONDS:
        return None
    if facts.stop_asked_seconds is not None:
        return Decision(State.STOPPED, "stopped on request; how its process ended was not recorded")
    said = complaint(facts.last_words)
    reason = "its process is gone, and nothing was left to say how it ended"
    return Decision(State.CRASHED, reason + (f"; its last line: {said}" if said else ""))


def _silent(facts: Facts) -> Decision | None:
    """Its process lives; whether its training does is told by its heartbeats."""
    if facts.state is State.LOST:
        return Decision(State.RUNNING, "") if facts.heard_since_decision else None
    if facts.state is State.RUNNING and facts.sends_to and facts.silent_seconds >= GONE_AFTER_SECONDS:
        return Decision(
            State.LOST,
            f"lost contact: it sends to {facts.sends_to}, and this server is at another address; what it logs waits on this "
            "machine, and comes when a server is started there again, or when it ends",
        )
    if facts.state is not State.RUNNING or facts.silent_seconds < SILENT_AFTER_SECONDS:
        return None
    return Decision(
        State.LOST,
        f"lost contact: its process lives, but nothing was heard for {SILENT_AFTER_SECONDS:.0f} seconds "
        "(it is suspended or hangs, or it cannot reach this server)",
    )


def _unseen(facts: Facts) -> Decision | None:
    if facts.state is State.LOST:
        return Decision(State.RUNNING, "") if facts.heard_since_decision else None
    if facts.silent_seconds < LOST_AFTER_SECONDS:
        return None
    return Decision(State.LOST, f"lost contact: nothing heard for {LOST_AFTER_SECONDS:.0f} seconds")

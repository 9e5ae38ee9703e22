"""Who writes a run: its processes, and the server itself. Which processes go on, and how the run ended by their words. Pure.

A run of several processes (ranks) ends when each of them has said its end or is not heard any more. What they said
decides how it ended; a process that vanished says nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.records import State, WriterRecord
from runwell.wire import SDK_WRITER

LIFE_WRITER, OUTPUT_WRITER, WATCH_WRITER = "launcher", "launcher-output", "watcher"
_SERVERS_OWN = frozenset((LIFE_WRITER, OUTPUT_WRITER, WATCH_WRITER))

LOST_AFTER_SECONDS = 60.0
"""Contact with a process that cannot be seen is lost when nothing was heard of it this long (heartbeats come every few seconds)."""

_GRAVEST_FIRST = (State.CRASHED, State.STOPPED, State.FINISHED)


def is_servers_own(name: str) -> bool:
    """Whether it is the server that writes under this name. What it says of a run's end is said of the whole run."""
    return name in _SERVERS_OWN


def is_renamed(name: str) -> bool:
    """Whether a process that wrote under another name before goes on under this one."""
    known = SDK_WRITER.fullmatch(name)
    return known is not None and known[2] is not None


def processes(writers: Sequence[WriterRecord]) -> list[WriterRecord]:
    """Those whose ends a run waits for: not the server's own, not forked children (most end without a word). Of a process
    that went on under a new name, the newest."""
    newest = {}
    for writer in writers:
        if not is_servers_own(writer.name) and not writer.forked:
            known = SDK_WRITER.fullmatch(writer.name)
            newest[known[1] if known else writer.name] = writer
    return list(newest.values())


def going_on(writers: Sequence[WriterRecord], since: float) -> list[WriterRecord]:
    """The processes that have not said their end and were heard after this time."""
    return [one for one in processes(writers) if one.ended_at is None and (one.last_contact_at or 0.0) > since]


def words_of(writers: Sequence[WriterRecord]) -> list[Mapping[str, Any]]:
    """The last words that count of those who said some, oldest first."""
    return [one.said for one in sorted(writers, key=lambda one: one.ended_at or 0.0) if one.said]


def end_of_all(words: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """How a run ended by the last words of its processes, oldest first: the gravest counts, of those the first, for what
    the others say (that a process is gone, that they were asked to end) follows from it."""
    return min(words, key=lambda said: _GRAVEST_FIRST.index(State(said["state"])))


def end_told(writers: Sequence[WriterRecord]) -> dict[str, Any] | None:
    """How a run ended that is not heard any more, by the words of those who said their end; None when nobody did, or when
    another one was heard for long after that: it went on by itself, and vanished."""
    found = processes(writers)
    words = words_of(found)
    if not words:
        return None
    silent = [one for one in found if one.ended_at is None]
    last = max(one.ended_at or 0.0 for one in found)
    if any((one.last_contact_at or 0.0) > last + LOST_AFTER_SECONDS for one in silent):
        return None
    end = dict(end_of_all(words))
    if silent:
        told_of = f"{len(silent)} of its {len(found)} processes never said that it had ended"
        end["reason"] = "; ".join(filter(None, (end.get("reason"), told_of)))
    return end

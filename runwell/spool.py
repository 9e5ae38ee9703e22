"""The writing side of the spool: records of one writer, safe against SIGKILL of the process the moment a call returns.

A writer has a folder `spool/RUN/WRITER/` with a `lock` it holds while it lives, `writer.json` (who it is), numbered
segments, and `ack.json` (what the server has). The hot path packs numbers into mapped memory: no system call, no
allocation of files; the sender prepares the next segment ahead of need. This file knows nothing of the network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from runwell import segment as segments
from runwell.frames import (
    FRAME,
    KIND_OFFSET,
    MAX_KEY_SETS,
    SCALARS,
    encode_event_frame,
    encode_keys,
    scalar_packer,
)
from runwell.notice import Warn
from runwell.room import NEARLY_FULL, NO_LONGER_FULL, Room, drops_alert, fullness_alert
from runwell.segment import SUFFIX, Segment
from runwell.wire import MAX_EVENT_BYTES, MAX_NAMES, BadEvent, Event, check_name, dumps

MAX_NAMES_CHARACTERS = 100_000
"""In one key set: at four bytes a character, it and its record fit in an empty segment."""


class _Plan(NamedTuple):
    """How records of one key set are packed in the present segment."""

    pack_into: Callable[..., None]
    size: int
    length: int
    key_set: int


class Spool:
    """The records of one writer, oldest first. Thread-safe; re-entrant for signal handlers.

    `limit_bytes` bounds the whole spool folder, all runs together. `meta` is written to `writer.json`: its `run_event`
    is what introduces the run to a server that has never heard of it.
    """

    abandoned = False

    def __init__(
        self, root: Path, run_id: str, writer: str, *, limit_bytes: int, warn: Warn, meta: Mapping[str, Any]
    ) -> None:
        self.run_id, self.writer, self.meta = run_id, writer, dict(meta)
        self.folder = root / run_id / writer
        self.room = Room(root, self.folder, limit_bytes, self.meta, warn)
        self.dropped = 0
        """Records given up since the last `alert` that said so."""
        self.dropped_total = 0
        self.lock = threading.RLock()
        self.segments: list[Segment] = []
        self.ring: Callable[[], None] = _nobody
        """Wakes the sender: when a segment is full, and at the next record once it is `listening`."""
        self.named: Callable[[], None] = _nobody
        """Called in the thread that logs a set of names, once for each segment that has it."""
        self.listening = False
        """Whether the sender has sent all there was and sleeps until there is more."""
        self._warn = warn
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._spare: Segment | None = None
        self._busy = False
        self._deferred: list[Callable[[], None]] = []
        """Records that came in the middle of another."""
        self._stuck = self._told_fullness = self._sealed = False
        self._current = self.room.take([]) or segments.create(None)
        self._adopt(self._current)
        self._current.touch()

    # -- writing ---------------------------------------------------------------------------------------------------

    def metrics(self, values: Mapping[str, float], step: int, time: float) -> None:
        """Append one metrics record. Raises `BadEvent` for a bad name, and whatever a value that is no number raises."""
        with self.lock:
            if self._busy:
                self._deferred.append(partial(self.metrics, dict(values), step, time))
                return
            self._busy = True
            try:
                plan = self._plans.get(tuple(values))
                now = self._current
                if plan is None or now.end + plan.size > len(now.memory):
                    plan = self._plan(tuple(values))
                    now = self._current
                    if plan is None:
                        return
                start = now.end
                try:
                    plan.pack_into(now.memory, start, plan.length, 0, 0, plan.key_set, step, time, *values.values())
                    now.memory[start + KIND_OFFSET] = SCALARS
                    now.next_seq += 1
                    now.end = start + plan.size
                except BaseException:
                    # half a frame must not lie where the next frame's kind byte is looked for
                    now.memory[start : start + plan.size] = bytes(plan.size)
                    raise
            finally:
                self._busy = False
                if self._deferred:
                    self._write_deferred()
        if self.listening:
            self.nudge()

    def event(self, event: Event, *, reserve: bool = False) -> None:
        """Append any other record. With `reserve` it is written even when the spool is full (a run's last words).

        Raises `BadEvent` when it is larger than a record may be.
        """
        payload = dumps(event).encode()
        if len(payload) > MAX_EVENT_BYTES:
            raise BadEvent(
                f"a {event.get('type')} record of {len(payload):,} bytes is too large ({MAX_EVENT_BYTES:,} allowed)"
            )
        with self.lock:
            self._check_open()
            if self._busy:
                self._deferred.append(partial(self.event, event, reserve=reserve))
                return
            self._busy = True
            try:
                if not self._append(encode_event_frame(payload), reserve):
                    self._drop()
            finally:
                self._busy = False
                if self._deferred:
                    self._write_deferred()
        if self.listening:
            self.nudge()

    def seal(self, last: Event | None) -> None:
        """Append the last record there will be, if any: what comes later is refused, or a run would go on after its end.

        A signal handler may ask for it in the middle of another record. That one is given up: the process may not come
        back to it, and the handler's word must not wait for it.
        """
        with self.lock:
            if self._busy:
                half = self._current.memory, self._current.end
                half[0][half[1] :] = bytes(len(half[0]) - half[1])
                self._busy = False
                self._write_deferred()
            self.report_drops(reserve=True)
            if last is not None:
                self.event(last, reserve=True)
            self._sealed = True
            self._plans.clear()  # so that `metrics` need not ask
            # The record in whose middle this may be holds the lock until the handler returns, which waits for the sender.
            self.lock = threading.RLock()

    def _check_open(self) -> None:
        if self._sealed:
            raise BadEvent(f"run {self.run_id} has ended")

    def nudge(self) -> None:
        """Wake the sender if it sleeps until there is more: once, until it does so again."""
        if self.listening:
            self.listening = False
            self.ring()

    def _append(self, frame: bytes, reserve: bool = False) -> bool:
        """Whether there was room."""
        if self._current.end + len(frame) > self._current.size and not self._roll(reserve=reserve):
            return False
        self._put(frame)
        self._current.next_seq += 1
        return True

    def _write_deferred(self) -> None:
        # a signal handler or a value's __float__ logged while a record was half written: its turn is now
        deferred, self._deferred = self._deferred, []
        for write in deferred:
            try:
                write()
            except Exception as error:
                self._warn("deferred", f"a record logged in the middle of another could not be written: {error}")

    def _plan(self, names: tuple[str, ...]) -> _Plan | None:
        """The plan for these names with room for one record, or None when the record must be dropped."""
        self._check_open()
        if names not in self._plans:
            _check_names(names)
        packer = scalar_packer(len(names))
        # a fresh segment has room for any key set and its record, so one roll is enough
        for _ in range(2):
            plan = self._plans.get(names)
            frame = b"" if plan else encode_keys(len(self._plans), names)
            if self._current.end + len(frame) + packer.size <= self._current.size and len(self._plans) < MAX_KEY_SETS:
                if plan is None:
                    plan = _Plan(packer.pack_into, packer.size, packer.size - FRAME.size, len(self._plans))
                    self._current.keys.append((self._current.end, frame))
                    self._put(frame)
                    self._plans[names] = plan
                    self.named()
                return plan
            if not self._roll():
                break
        self._drop()
        return None

    def _put(self, frame: bytes) -> None:
        now = self._current
        start = now.end
        # the kind byte last: until it is there, the frame is not
        now.memory[start : start + len(frame)] = frame[:KIND_OFFSET] + b"\0" + frame[KIND_OFFSET + 1 :]
        now.memory[start + KIND_OFFSET] = frame[KIND_OFFSET]
        now.end = start + len(frame)

    # -- segments --------------------------------------------------------------------------------------------------

    @property
    def next_seq(self) -> int:
        """The sequence number that the next record gets."""
        return self._current.next_seq

    @property
    def percent_full(self) -> int:
        """How full the whole spool folder is, all runs together."""
        return self.room.percent_full(self.segments)

    def in_memory_after(self, acked: int) -> int:
        """How many records after number `acked` lie in memory only, because the folder could not be written."""
        with self.lock:
            inside = [segment for segment in self.segments if segment.path is None]
            return sum(max(0, segment.next_seq - max(segment.first_seq, acked + 1)) for segment in inside)

    def prepare(self) -> None:
        """Make the next segment ahead of need (called by the sender, never by the training thread)."""
        self._tell_fullness()
        if self._spare is not None or self._current.end < self._current.size // 4:
            return
        self.room.open()
        spare = self.room.take(self.segments)
        if spare is not None:
            spare.touch()
        with self.lock:
            if spare is not None:
                self._spare, self._stuck = spare, False

    def _tell_fullness(self) -> None:
        """Write down, as an alert, that the spool is nearly full: once, until it is well below that again."""
        percent = self.percent_full
        if percent < 100 * NEARLY_FULL:
            self._told_fullness &= percent >= 100 * NO_LONGER_FULL
            return
        if self._told_fullness:
            return
        with self.lock:
            self._told_fullness = self._append(_frame(fullness_alert(percent)))

    def _roll(self, *, reserve: bool = False) -> bool:
        """Go on in the next segment; False when the spool is full."""
        if self._stuck and not reserve:
            return False
        fresh, self._spare = self._spare or self.room.take(self.segments, reserve=reserve), None
        if fresh is None:
            self._stuck = True
            return False
        self._adopt(fresh)
        self.ring()
        self.report_drops()
        return True

    def _adopt(self, fresh: Segment) -> None:
        fresh.begin(self.run_id, self.writer, self._current.next_seq)
        if fresh.path is not None:
            # numbered only now: the first sequence number was not known when the spare was made
            path = self.folder / f"{fresh.first_seq:020d}{SUFFIX}"
            try:
                fresh.path.rename(path)
                fresh.path = path
            except OSError as error:
                # somebody removed the folder: the mapping still works, it is memory now
                self.room.say_unwritable(error)
                fresh.path = None
        self._plans.clear()
        self._current = fresh
        self.segments.append(fresh)

    # -- dropping --------------------------------------------------------------------------------------------------

    def _drop(self) -> None:
        self.dropped += 1
        self.dropped_total += 1

    def report_drops(self, *, reserve: bool = False) -> None:
        """Write down, as an alert, how many records were dropped since this was last written."""
        with self.lock:
            if not (count := self.dropped):
                return
            self.dropped = 0
            if not self._append(_frame(drops_alert(count)), reserve):
                self.dropped = count

    # -- the end ---------------------------------------------------------------------------------------------------

    def release(self, acked: int) -> None:
        """Remove the segments whose records the server all has (`acked` is the last of them)."""
        with self.lock:
            done = [segment for segment in self.segments[:-1] if segment.next_seq <= acked + 1]
            self.segments = self.segments[len(done) :]
        for segment in done:
            segment.close(keep=False)

    def close(self, acked: int) -> None:
        """Let go of the folder. What the server has not got (`acked` is the last it has) stays on disk for later."""
        with self.lock:
            waits = self.next_seq > acked + 1
            for segment in [*self.segments, *([self._spare] if self._spare else [])]:
                segment.close(keep=waits and segment.next_seq > acked + 1 and segment is not self._spare)
            self.segments, self._spare = [], None
        self.room.close(keep=waits)

    def forget(self) -> None:
        """In a forked child: let go of the parent's files without touching them."""
        self.room.close(keep=True)
        self.segments = []


def _nobody() -> None:
    """Nobody listens yet, or nobody any more."""


def _frame(event: Event) -> bytes:
    return encode_event_frame(dumps(event).encode())


def _check_names(names: tuple[str, ...]) -> None:
    if not names:
        raise BadEvent("a metrics record needs at least one number")
    if len(names) > MAX_NAMES:
        raise BadEvent(
            f"{len(names):,} names in one call are too many ({MAX_NAMES:,} allowed): log them in several calls"
        )
    for name in names:
        if not isinstance(name, str):
            raise BadEvent(f"metric name {name!r} is not text")
        check_name(name)
    if sum(map(len, names)) > MAX_NAMES_CHARACTERS:
        raise BadEvent(f"the {len(names):,} names of one call are too long together: log them in several calls")

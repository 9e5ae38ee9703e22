"""Carries one spool to one server, and knows what to do with every answer. No threads, no clock, no sockets.

Each call of `send` is one POST. What the server has is remembered in the spool's folder; what it says it has decides,
never what was sent. One bad record never blocks the rest: it is found by halving, set aside in a file and named once.
When the server does not know what came before any more (another store, a removed run, a damaged segment), the rest goes
on under a new writer name that introduces the run again, so that nothing waits for ever behind a gap.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from enum import Enum
from typing import Any

from runwell.folder import REFUSED_FILE
from runwell.frames import encode_event_frame
from runwell.notice import Warn
from runwell.outbox import Ack, Cut, Hole, Source, cut, load_ack, save_ack
from runwell.report import Report
from runwell.transport import JSON_TYPE, Answer, Transport
from runwell.wire import FRAMES_TYPE, Batch, Event, dumps, encode_json_batch, refusal

Commands = Callable[[list[dict[str, Any]]], None]

NOT_THE_RECORDS_FAULT = (408, 425, 429)
BATCH_REFUSED = (400, 413, 422)
FULL_SPEED = 16_384
"""Records a POST, from which on a batch that was halved is not limited any more."""


class Outcome(Enum):
    """What one POST came to."""

    SENT = "sent"  # progress was made, there may be more
    IDLE = "idle"  # nothing waits
    AWAY = "away"  # try again later


class Courier:
    """One spool on its way to one server."""

    def __init__(self, source: Source, transport: Transport, warn: Warn, on_commands: Commands | None = None) -> None:
        self.source = source
        self.ack = load_ack(source.folder)
        self.reached = False
        """Whether the server ever took something from here."""
        self.rest_seconds = 0.0
        """How long the server asked to be left alone when it last took nothing."""
        self.overloaded = False
        """Whether it said so when it last took nothing: a heartbeat is small enough to be taken all the same."""
        self.trouble = ""
        """Why the last try came to nothing, in words; empty when it did not."""
        self.dropped = 0
        """Records that are wanted no more, because their run was deleted."""
        self._transport, self._warn, self._on_commands = transport, warn, on_commands
        self._count: int | None = None
        self._intro_due = bool(self.ack.alias) and self.ack.acked < self.ack.origin
        self._expected: int | None = None

    @property
    def waiting(self) -> int:
        """Records that the server has not said it has."""
        return max(0, self.source.next_seq - self.ack.acked - 1)

    def send(self) -> Outcome:
        """Post the next records, if any wait."""
        if not self.waiting and not self._intro_due:
            return Outcome.IDLE
        first = self.ack.acked + 1
        try:
            piece = self._cut(first)
        except Hole as hole:
            self._start_anew(hole.next_seq, f"records {first} to {hole.next_seq - 1} are not in its spool any more")
            return Outcome.SENT
        return self._post(piece.body, FRAMES_TYPE, piece)

    def beat(self) -> Outcome:
        """Post an empty batch: it keeps the run alive and fetches commands."""
        body = encode_json_batch(Batch(self._name, self._wire(self.ack.acked + 1), ()))
        return self._post(body, JSON_TYPE, Cut(b"", self.ack.acked + 1))

    def beat_meanwhile(self) -> None:
        """Post an empty batch while the server takes no records; what it asked for, and why they wait, stays as it was."""
        asked, trouble = self.rest_seconds, self.trouble
        self.beat()
        self.rest_seconds, self.trouble = asked, trouble

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()

    # -- sequence numbers, here and there --------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self.ack.alias or self.source.writer

    def _wire(self, seq: int) -> int:
        # under an alias, number 1 is the record that introduces the run
        return seq - self.ack.origin + 2 if self.ack.alias else seq

    def _local(self, wire_seq: int) -> int:
        return wire_seq - 2 + self.ack.origin if self.ack.alias else wire_seq

    def _cut(self, first: int) -> Cut:
        if not self._intro_due:
            return cut(self.source, first, writer=self._name, wire_seq=self._wire(first), count=self._count)
        run_event = self.source.meta.get("run_event")
        intro = encode_event_frame(dumps(run_event if isinstance(run_event, dict) else {"type": "run"}).encode())
        return cut(self.source, first, writer=self._name, wire_seq=1, intro=intro, count=self._count)

    def _start_anew(self, origin: int, why: str) -> None:
        self._warn(
            f"anew {self.source.writer} {origin}",
            f"run {self.source.run_id}: {why}; its records from {origin} on are sent as a new writer",
        )
        self._remember(Ack(origin - 1, f"{self.source.writer}.{origin}", origin))
        self._intro_due = True

    def _remember(self, ack: Ack) -> None:
        if ack != self.ack:
            self.ack = ack
            save_ack(self.source.folder, ack)

    # -- answers ---------------------------------------------------------------------------------------------------

    def _post(self, body: bytes, content_type: str, piece: Cut) -> Outcome:
        try:
            answer = self._transport.post(self.source.run_id, body, content_type, self._report())
        except OSError as error:
            self.rest_seconds, self.overloaded = 0.0, False
            return self._away(f"it does not answer ({error})")
        self.rest_seconds, self.overloaded = answer.retry_after_seconds, answer.status == 503
        if 200 <= answer.status < 300:
            return self._taken(answer, piece)
        if answer.status == 409 and isinstance(answer.value.get("expected_seq"), int):
            return self._gap(answer.value["expected_seq"])
        if answer.status in (401, 403):
            self._warn(
                "token",
                f"the server refuses to take records: {answer.detail}; set RUNWELL_TOKEN. They wait in the spool",
            )
            return self._away(answer.detail)
        if answer.status == 404 and self.ack.acked and not self._intro_due and "detail" in answer.value:
            self._start_anew(self.ack.acked + 1, "the server does not know the run any more")
            return Outcome.SENT
        if answer.status == 410 and answer.value.get("deleted") == self.source.run_id:
            return self._deleted(answer)
        if answer.status in BATCH_REFUSED and piece.next_seq > self.ack.acked + 1:
            return self._narrow(answer, piece)
        if answer.status < 500 and answer.status not in NOT_THE_RECORDS_FAULT:
            self._warn(
                f"answer {answer.status}",
                f"what answers at RUNWELL_URL does not take records of run {self.source.run_id} ({answer.detail}); "
                "they wait in the spool",
            )
        return self._away(answer.detail)

    def _deleted(self, answer: Answer) -> Outcome:
        """Somebody deleted the run: what a dead process left goes with it, a living one goes on as a new run."""
        if self.source.abandoned:
            self._warn(f"deleted {self.source.folder}", f"{answer.detail}: it is removed from {self.source.folder}")
            self.dropped += self.waiting
            self._intro_due = False
            self._remember(self.ack._replace(acked=self.source.next_seq - 1))
            self.source.release(self.ack.acked)
            return Outcome.SENT
        origin = self.ack.acked + 1
        if self.ack.alias and self.ack.origin == origin:
            return self._away(answer.detail)  # deleted once more, and nothing of it is new
        self._start_anew(origin, "it was deleted from the server while it goes on")
        return Outcome.SENT

    def _report(self) -> Report:
        source = self.source
        written = max(0, self._wire(source.next_seq - 1))
        return Report(written, source.dropped_total, source.percent_full, alive=not source.abandoned, writer=self._name)

    def _away(self, why: str) -> Outcome:
        self.trouble = why
        return Outcome.AWAY

    def _taken(self, answer: Answer, piece: Cut) -> Outcome:
        through = answer.value.get("stored_through")
        if not isinstance(through, int) or isinstance(through, bool):
            self._warn("no receipt", "what answers at RUNWELL_URL is not a Runwell server; records wait in the spool")
            return self._away("the answer is not a Runwell server's")
        self.reached, self.trouble, self._expected = True, "", None
        self._hear(answer)
        introduced = self._intro_due and through >= 1 and bool(piece.body)
        self._intro_due = self._intro_due and not introduced
        acked = min(self._local(through), piece.next_seq - 1)
        if acked <= self.ack.acked:
            # a heartbeat, or an introduction alone; anything else made no progress and must not be repeated at once
            idle = piece.next_seq == self.ack.acked + 1
            return (Outcome.SENT if introduced else Outcome.IDLE) if idle else self._away("it stores nothing")
        self._remember(self.ack._replace(acked=acked))
        self.source.release(acked)
        if self._count is not None:
            self._count = self._count * 2 if self._count * 2 < FULL_SPEED else None
        return Outcome.SENT

    def _hear(self, answer: Answer) -> None:
        refused, commands = answer.value.get("refused"), answer.value.get("commands")
        if isinstance(refused, list) and refused:
            reason = refused[0].get("reason") if isinstance(refused[0], dict) else refused[0]
            self._warn(
                f"refused {reason}",
                f"the server refused {len(refused)} record(s) of run {self.source.run_id}: {reason}",
            )
        if isinstance(commands, list) and commands and self._on_commands is not None:
            self._on_commands([command for command in commands if isinstance(command, dict)])

    def _gap(self, expected: int) -> Outcome:
        if expected == self._expected:
            return self._away(f"it asks for record {expected} again and again")
        self._expected = expected
        local = self._local(expected)
        if self.ack.alias and expected <= 1:
            self._intro_due, local = True, self.ack.origin
        if local < 1 or local > self.source.next_seq:
            self._start_anew(self.ack.acked + 1, f"the server has records up to {expected - 1}, this machine has not")
        else:
            self._remember(self.ack._replace(acked=local - 1))
        return Outcome.SENT

    # -- one bad record --------------------------------------------------------------------------------------------

    def _narrow(self, answer: Answer, piece: Cut) -> Outcome:
        held = piece.next_seq - self.ack.acked - 1
        if held > 1:
            self._count = held // 2
            return Outcome.SENT
        if self.beat() is Outcome.AWAY:
            # it takes nothing at all, so it is not this record's fault
            return Outcome.AWAY
        return self._set_aside(answer.detail, piece)

    def _set_aside(self, reason: str, piece: Cut) -> Outcome:
        seq = self.ack.acked + 1
        path = self.source.folder / REFUSED_FILE
        record: Event = {"seq": seq, "reason": reason, "frames": base64.b64encode(piece.body).decode()}
        with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(dumps(record) + "\n")
        self._warn(
            f"set aside {reason}",
            f"the server refused record {seq} of run {self.source.run_id}: {reason}; it is kept in {path}, the rest is sent",
        )
        batch = Batch(self._name, self._wire(seq), (refusal(reason),))
        return self._post(encode_json_batch(batch), JSON_TYPE, Cut(b"", seq + 1))

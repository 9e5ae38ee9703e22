"""Stores one batch after the other, exactly once each: the writer's mark moves in the transaction that stores its records.

What the records become is `ingest`'s; which writers share a transaction is `together`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from dashboard.deliveries import Delivery
from dashboard.errors import DeletedRun, SequenceGap, UnknownRun
from dashboard.records import Receipt, State
from dashboard.store import resumes, runs
from dashboard.store import tables as t
from dashboard.store.database import Database
from dashboard.store.ingest import Ingest, intern_names
from dashboard.store.peers import Kind, News, Peers
from dashboard.store.together import Together
from dashboard.writers import LOST_AFTER_SECONDS, is_servers_own
from runwell.wire import REFUSED

CLOCK = "clock"
"""Type of the events with which the server says of a silent run that time has passed."""
MAX_REMEMBERED = 10_000
"""Key sets whose keys are kept in mind."""

# Built once: every batch asks these, and building a statement takes longer than answering it.
_CHANGE_RUN = t.runs.update().where(t.runs.c.key == sa.bindparam("run"))
_CHANGE_WRITER = t.writers.update().where(t.writers.c.key == sa.bindparam("writer"))

Named = dict[tuple[int, tuple[str, ...]], tuple[int, tuple[int, ...]]]
"""(run, names) → their key set, and the key of each series."""


class Appending:
    """Stores deliveries, and remembers from one to the next which keys names have. Thread-safe."""

    def __init__(self, database: Database, peers: Peers, began: float) -> None:
        """`began` is when this server began: nobody was silent before it could be heard."""
        self._together, self._peers, self._began = Together(database), peers, began
        self._names: Named = {}

    def store(self, run_id: str, delivery: Delivery, now: float, alive: bool | None) -> Receipt:
        """As `Store.append` says."""
        learned: Named = {}

        def names(connection: sa.Connection, run_key: int, wanted: tuple[str, ...]) -> tuple[int, tuple[int, ...]]:
            key = run_key, wanted
            found = self._names.get(key) or learned.get(key)
            if found is None:
                found = learned[key] = intern_names(connection, run_key, wanted)
            return found

        def work(connection: sa.Connection) -> Receipt:
            learned.clear()  # it may be the second try: what the first one made was undone
            heard_since = now - LOST_AFTER_SECONDS
            since = heard_since if self._began <= heard_since else 0.0
            receipt = append(connection, run_id, delivery, now, alive, since, names)
            if receipt.stored:
                last = receipt.first_arrival + receipt.stored - 1
                kind: Kind = "events" if receipt.current else "older"
                self._peers.tell(connection, News(kind, run_id, receipt.first_arrival, last))
            return receipt

        receipt = self._together.do(work)
        # Only now: keys of a transaction that was undone are worth nothing.
        if len(self._names) > MAX_REMEMBERED:
            self._names.clear()
        self._names.update(learned)
        return receipt


def append(
    connection: sa.Connection,
    run_id: str,
    delivery: Delivery,
    now: float,
    alive: bool | None,
    heard_since: float,
    names: Callable[..., Any],
) -> Receipt:
    """Store what is new in the delivery, move its writer's mark, and bring the run's own row up to date.

    A process of the run that was heard after `heard_since` goes on, unless it said that it has ended. `alive` is whether
    the writer itself sent the delivery, where that is known.
    """
    run = runs.find_or_none(connection, run_id, lock=True)
    writer = None if run is None else runs.writer(connection, run.key, delivery.writer)
    if writer is None and runs.was_deleted(connection, run_id, delivery.writer):
        raise DeletedRun(run_id)
    if run is None:
        # A refused first record may have been the `run` event: the rest of the batch is not lost for that.
        if not any(event["type"] in ("run", REFUSED) for _, event in delivery.others):
            raise UnknownRun(run_id, "a run is created by its writer's first `run` event")
        runs.create(connection, run_id, now, state=State.STARTING.value)
        run = runs.find(connection, run_id, lock=True)
    through = writer.stored_through if writer else 0
    if delivery.count and delivery.first_seq > through + 1:
        raise SequenceGap(delivery.writer, delivery.first_seq, through + 1)
    duplicates = min(delivery.count, through + 1 - delivery.first_seq) if delivery.count else 0
    if writer is None:
        writer = _new_writer(connection, run, delivery, now, None if alive is False else now)
    fresh = delivery.after(duplicates)
    refused = tuple((delivery.first_seq + place, reason) for place, reason in fresh.refused)
    stored = delivery.count - duplicates - len(refused)
    beat = not delivery.count
    # What outlives its parent may beat for ever; what a dead process left is no sign of life.
    heard = not (_only_time(delivery) or (beat and writer.forked) or alive is False)
    changes: dict[str, Any] = {"last_event_at": now} if heard or run.last_event_at is None else {}
    generation = lasting = writer.generation
    if stored and generation < run.generation:
        generation = resumes.of_writer(connection, run, writer, *fresh.times(now))
    back: dict[str, Any] = {}
    proven = alive if delivery.count else bool(writer.stored_through)  # only a living process beats
    if heard and (run.state == State.LOST.value or (proven and _goes_on_all_the_same(run, writer))):
        back = {"state": State.RUNNING.value, "state_reason": "", "ended_at": None}
        changes |= back
    marks: dict[str, Any] = {}
    if stored:
        ingest = Ingest(connection, run, writer, generation, now, heard_since, names, left=alive is False)
        ingest.changes |= back
        ingest.take(fresh)
        if fresh.tables or ingest.generation != generation:
            lasting = ingest.generation
        changes, generation, marks = {**changes, **ingest.changes}, ingest.generation, ingest.marks
    if changes:
        connection.execute(_CHANGE_RUN, {"run": run.key, **changes})
    stored_through = through + delivery.count - duplicates
    connection.execute(
        _CHANGE_WRITER,
        {
            "writer": writer.key, "stored_through": stored_through, "generation": lasting,
            "last_contact_at": writer.last_contact_at if alive is False else now,
            "refused": writer.refused + len(refused), "duplicates": writer.duplicates + duplicates, **marks,
        },
    )  # fmt: skip
    return Receipt(
        stored_through=stored_through, stored=stored, duplicates=duplicates, refused=refused,
        first_arrival=run.arrivals + 1 if stored else 0,
        current=generation == changes.get("generation", run.generation),
    )  # fmt: skip


def _only_time(delivery: Delivery) -> bool:
    """Whether it says nothing but that time has passed: the server's own word, and no sign that the run lives."""
    return not delivery.tables and bool(delivery.others) and all(event["type"] == CLOCK for _, event in delivery.others)


def _goes_on_all_the_same(run: sa.Row[Any], writer: sa.Row[Any]) -> bool:
    """Whether a run that has ended, or was taken to, is heard of by a living process that never said so. By that, and not by
    times: its clock may be an hour behind the one that wrote the end."""
    ended = State(run.state) in (State.FINISHED, State.STOPPED, State.CRASHED)
    return bool(ended and writer.ended_at is None and not writer.forked and not is_servers_own(writer.name))


def _new_writer(
    connection: sa.Connection, run: sa.Row[Any], delivery: Delivery, now: float, heard_at: float | None
) -> sa.Row[Any]:
    """A writer's first contact. It belongs to the generation of its first event's time: records that were on their way
    while the run was resumed elsewhere are older than that resume, however late they come."""
    generation = resumes.begun_by(connection, run.key, delivery.first_time(now))
    connection.execute(
        t.writers.insert().values(
            run_key=run.key, name=delivery.writer, generation=generation, last_contact_at=heard_at
        )
    )
    row = runs.writer(connection, run.key, delivery.writer)
    assert row is not None
    return row

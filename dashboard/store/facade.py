"""`Store`: what the rest of the server may ask of the database. A method is one transaction.

It returns frozen records and numpy series, raises the exceptions of `dashboard.errors`, and knows nothing of HTTP,
threads that wait, or pages.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dashboard.deliveries import Delivery
from dashboard.errors import CorruptStore, StoreError
from dashboard.records import (
    Command,
    FindingRecord,
    LogLine,
    Receipt,
    Run,
    RunSummary,
    Sample,
    Series,
    State,
    TimelineEntry,
    WriterRecord,
)
from dashboard.store import buckets as bucketing
from dashboard.store import care, curves, journal, orders, replay, runs, sql, texts, verdicts
from dashboard.store import tables as t
from dashboard.store.append import Appending
from dashboard.store.database import Database, open_engine, sqlite_file
from dashboard.store.migrations import migrate
from dashboard.store.peers import News, Peers, peers_of
from runwell.wire import Batch

Event = dict[str, Any]


class Store:
    """All that is kept. Thread-safe."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], float] = time.time) -> None:
        """Use an engine from `open_engine`; creates or migrates the schema. Raises StoreError."""
        self._database = Database(engine)
        self._clock = clock
        self.backup: Path | None = migrate(self._database, clock())
        """Where the database was copied before it was migrated at this start, if it was."""
        self.peers: Peers = peers_of(engine)
        """The other servers on this database, who are told what is new."""
        self._appending = Appending(self._database, self.peers, clock())

    @classmethod
    def open(cls, url_or_path: str | Path, clock: Callable[[], float] = time.time) -> Store:
        """The store at a database URL or in a SQLite file. Raises StoreError."""
        return cls(open_engine(url_or_path), clock)

    def close(self) -> None:
        """Give the connections back; the store cannot be used after."""
        self.peers.close()
        self._database.engine.dispose()

    # -- care ------------------------------------------------------------------------------------------------------

    def back_up(self, target: Path | None = None) -> Path:
        """Copy a SQLite database to a file while it is in use, and check the copy; where it lies. Raises StoreError."""
        source = self._file("a backup")
        return care.back_up(source, target or care.default_target(source, self._clock()))

    def check(self, seconds: float | None = None) -> None:
        """Look whether a SQLite file is whole, for at most so many seconds. Raises CorruptStore."""
        source = sqlite_file(self._database.engine)
        damage = care.damage_of(source, seconds) if source else ""
        if source and damage:
            raise CorruptStore(f"the database {source} is damaged ({damage}); {care.advice(source)}")

    def give_back_space(self) -> None:
        """Give the disk back what deleted runs took. PostgreSQL does it by itself. Raises StoreError."""
        source = sqlite_file(self._database.engine)
        if source is None:
            return
        try:
            care.give_back_space(source)
        except sqlite3.Error as error:
            raise StoreError(f"the space of deleted runs cannot be given back just now: {error}") from error

    def _file(self, what: str) -> Path:
        source = sqlite_file(self._database.engine)
        if source is None:
            raise StoreError(f"{what} of PostgreSQL is made with its own tools, such as pg_dump")
        return source

    # -- runs ------------------------------------------------------------------------------------------------------

    def create_run(
        self,
        run_id: str,
        *,
        project: str = "default",
        name: str = "",
        config: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        parent_id: str | None = None,
        launched: bool = False,
        state: State = State.QUEUED,
    ) -> Run:
        """Make a run; one that exists is returned as it is."""
        with self._database.write() as connection:
            self.peers.tell(connection, News("run", run_id))
            runs.create(
                connection, run_id, self._clock(), project=project, name=name, config=texts.pack(dict(config or {})),
                tags=texts.pack(list(tags)), parent_id=parent_id, launched=launched, state=State(state).value,
            )  # fmt: skip
            return runs.to_record(runs.find(connection, run_id))

    def run(self, run_id: str) -> Run:
        """The run. Raises UnknownRun."""
        with self._database.read() as connection:
            return runs.to_record(runs.find(connection, run_id))

    def has_run(self, run_id: str) -> bool:
        """Whether there is such a run."""
        with self._database.read() as connection:
            return runs.find_or_none(connection, run_id) is not None

    def runs(
        self, *, project: str | None = None, states: Collection[State] | None = None, limit: int | None = None,
        ids: Collection[str] | None = None,
    ) -> list[Run]:  # fmt: skip
        """Runs, newest first; of `ids` those that there are."""
        with self._database.read() as connection:
            return [runs.to_record(row) for row in runs.listed(connection, project, states, limit, ids=ids)]

    def children(self, run_id: str) -> list[Run]:
        """Runs that name this one as their parent, newest first."""
        with self._database.read() as connection:
            return [runs.to_record(row) for row in runs.listed(connection, None, None, None, parent=run_id)]

    def queued(self) -> list[Run]:
        """Runs that wait to be started, oldest first."""
        return self.runs(states=[State.QUEUED])[::-1]

    def summary(self, run_id: str) -> RunSummary:
        """The run with its latest numbers. Raises UnknownRun."""
        with self._database.read() as connection:
            row = runs.find(connection, run_id)
            return runs.to_summary(row, runs.told_findings(connection, [row.key]).get(row.key, ((), ())))

    def summaries(
        self, *, project: str | None = None, states: Collection[State] | None = None, limit: int | None = None
    ) -> list[RunSummary]:
        """Runs with their latest numbers, newest first."""
        with self._database.read() as connection:
            rows = runs.listed(connection, project, states, limit)
            told = runs.told_findings(connection, [row.key for row in rows])
            return [runs.to_summary(row, told.get(row.key, ((), ()))) for row in rows]

    def set_state(
        self,
        run_id: str,
        state: State,
        *,
        reason: str = "",
        exit_code: int | None = None,
        pid: int | None = None,
        pid_started_at: float | None = None,
        host: str | None = None,
        verdict: str | None = None,
    ) -> Run:
        """Change a run's state and reason; what is None stays as it is. Raises UnknownRun."""
        now = self._clock()
        state = State(state)
        given = {"exit_code": exit_code, "pid": pid, "pid_started_at": pid_started_at, "host": host, "verdict": verdict}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        with self._database.write() as connection:
            row = runs.find(connection, run_id, lock=True)
            changes |= {"state": state.value, "state_reason": reason}
            if state.ended:
                changes["ended_at"] = row.ended_at or now
            else:
                changes["ended_at"] = None
            if state in (State.STARTING, State.RUNNING) and row.started_at is None:
                changes["started_at"] = now
            connection.execute(t.runs.update().where(t.runs.c.key == row.key).values(changes))
            self.peers.tell(connection, News("run", run_id))
            return runs.to_record(runs.find(connection, run_id))

    def set_verdict(self, run_id: str, verdict: str) -> None:
        """Store how the run is by its worst open finding. Raises UnknownRun."""
        with self._database.write() as connection:
            row = runs.find(connection, run_id)
            connection.execute(t.runs.update().where(t.runs.c.key == row.key).values(verdict=verdict))

    def delete_run(self, run_id: str) -> None:
        """Delete a run and all that is kept of it; what its processes left unsent is not taken any more. Raises UnknownRun."""
        with self._database.write() as connection:
            runs.delete(connection, run_id, self._clock())

    # -- events ----------------------------------------------------------------------------------------------------

    def append(self, run_id: str, batch: Batch | Delivery, *, alive: bool | None = None) -> Receipt:
        """Store a writer's next records, each once: records below the writer's mark were stored before and are skipped.

        `alive` says whether the writer itself sent it, or what it left behind is sent for it; None: that is not known.
        Raises UnknownRun when there is no such run and the batch holds no `run` event, DeletedRun when the writer's run was
        deleted, SequenceGap when records between the mark and the batch are missing. Refused records advance the mark.
        """
        now = self._clock()
        delivery = batch if isinstance(batch, Delivery) else Delivery.of(batch, now)
        return self._appending.store(run_id, delivery, now, alive)

    def writers(self, run_id: str) -> list[WriterRecord]:
        """The run's writers, in the order in which they first came. Raises UnknownRun."""
        with self._database.read() as connection:
            return runs.writers_of(connection, runs.find(connection, run_id).key)

    def dropped(self, run_id: str) -> int:
        """How many records the run's senders said that a full spool had to give up. Raises UnknownRun."""
        with self._database.read() as connection:
            return journal.dropped(connection, runs.find(connection, run_id).key)

    def replay(self, run_id: str, after: int = 0, *, visible: bool = False) -> Iterator[tuple[int, Event]]:
        """(arrival number, event) of everything that arrived after number `after`, in order, in bounded memory.

        A metrics event comes back whole, with all the names of one log() call; with `visible`, those that a rewind has
        hidden are left out. Raises UnknownRun at once.
        """
        with self._database.read() as connection:
            run_key: int = runs.find(connection, run_id).key

        def read(start: int) -> tuple[int, int, Iterator[tuple[int, Event]]]:
            with self._database.read() as connection:
                return replay.page(connection, run_key, start, visible=visible)

        return replay.all_pages(read, after)

    # -- reads -----------------------------------------------------------------------------------------------------

    def series_names(self, run_id: str) -> list[str]:
        """Names of a run's series, in the order in which they first came. Raises UnknownRun."""
        with self._database.read() as connection:
            query = sa.select(t.series.c.name).where(t.series.c.run_key == runs.find(connection, run_id).key)
            return list(connection.scalars(query.order_by(t.series.c.key)))

    def series(
        self, run_id: str, name: str, *, start: int | None = None, stop: int | None = None, buckets: int = 1000,
        times: bool = False,
    ) -> Series:  # fmt: skip
        """One series from step `start` to `stop` (both included): raw when it has at most `buckets` points, else bucketed.

        Points hidden by a rewind are left out; with `times`, it also says when each extreme was logged. A name that the
        run never logged gives an empty series. Raises UnknownRun.
        """
        with self._database.read() as connection:
            row = runs.find(connection, run_id)
            query = sa.select(t.series.c.key).where(t.series.c.run_key == row.key, t.series.c.name == name)
            key = connection.scalar(query)
            if key is None:
                found = bucketing.empty(name)
                return replace(found, min_time=found.time, max_time=found.time) if times else found
            found = curves.read(connection, row.key, key, name, start, stop, max(1, buckets))
            return curves.with_times(connection, row.key, key, found) if times else found

    def samples(self, run_id: str, *, limit: int | None = None) -> list[Sample]:
        """The newest `limit` samples, oldest first. Raises UnknownRun."""
        with self._database.read() as connection:
            return journal.samples(connection, runs.find(connection, run_id).key, limit)

    def logs(self, run_id: str, *, after: int = 0, limit: int = 500) -> list[LogLine]:
        """Output lines numbered above `after`, oldest first. Raises UnknownRun."""
        with self._database.read() as connection:
            return journal.logs(connection, runs.find(connection, run_id).key, after, limit)

    def tail_logs(self, run_id: str, count: int = 200) -> list[LogLine]:
        """The last output lines, oldest first. Raises UnknownRun."""
        with self._database.read() as connection:
            return journal.tail(connection, runs.find(connection, run_id).key, count)

    def timeline(
        self, run_id: str, kinds: Collection[str] | None = None, *, limit: int | None = None
    ) -> list[TimelineEntry]:
        """The newest checkpoints, states, alerts, acknowledgements and rewinds (or the given kinds), in order. Raises UnknownRun."""
        with self._database.read() as connection:
            return journal.timeline(connection, runs.find(connection, run_id).key, kinds, limit)

    def alerts(
        self, run_id: str | None = None, *, level: str | None = None, limit: int = 200
    ) -> list[tuple[str, TimelineEntry]]:
        """The newest alerts that the script of one run or of all told, newest first, each with its run's id. Raises UnknownRun."""
        with self._database.read() as connection:
            key = None if run_id is None else runs.find(connection, run_id).key
            return journal.alerts(connection, key, limit, level)

    def ask(self, question: str, *, seconds: float = 30.0, limit: int = 1000) -> sql.Answer:
        """Answer one SELECT over `sql.TABLES`, read-only. Raises Refused for a mistake in it, or when it takes too long."""
        with self._database.read() as connection:
            return sql.ask(connection, question, seconds, limit)

    # -- findings --------------------------------------------------------------------------------------------------

    def save_findings(
        self, run_id: str, findings: Sequence[Mapping[str, Any]], coverage: Mapping[str, Any]
    ) -> list[FindingRecord]:
        """Replace what the engine says of a run; what a person decided, and when it opened, stays. Raises UnknownRun."""
        with self._database.write() as connection:
            row = runs.find(connection, run_id, lock=True)
            verdicts.save(connection, row.key, findings, coverage, self._clock())
            self.peers.tell(connection, News("findings", run_id))
            return verdicts.read(connection, verdicts.Wanted(run_key=row.key))

    def findings(
        self, run_id: str | None = None, *, statuses: Collection[str] | None = None,
        severities: Collection[str] | None = None, rules: Collection[str] | None = None, limit: int | None = None,
    ) -> list[FindingRecord]:  # fmt: skip
        """Findings of one run or of all, newest first. Raises UnknownRun."""
        with self._database.read() as connection:
            key = None if run_id is None else runs.find(connection, run_id).key
            wanted = verdicts.Wanted(run_key=key, statuses=statuses, severities=severities, rules=rules)
            return verdicts.read(connection, wanted, limit)

    def count_findings(
        self, *, statuses: Collection[str] | None = None, severities: Collection[str] | None = None,
        rules: Collection[str] | None = None,
    ) -> dict[str, int]:  # fmt: skip
        """How many findings there are of all runs, by rule; rules without one are left out."""
        with self._database.read() as connection:
            return verdicts.count(connection, verdicts.Wanted(statuses=statuses, severities=severities, rules=rules))

    def set_finding_status(self, run_id: str, rule: str, subject: str, status: str) -> FindingRecord:
        """Store a person's decision: open, acknowledged, muted or resolved. Raises UnknownRun, UnknownFinding, Refused."""
        with self._database.write() as connection:
            self.peers.tell(connection, News("decision", run_id))
            return verdicts.decide(connection, runs.find(connection, run_id), rule, subject, status, self._clock())

    def coverage(self, run_id: str) -> Mapping[str, Any]:
        """`{"ran": [...], "skipped": {rule: why}, "failed": {rule: why}}`. Raises UnknownRun."""
        with self._database.read() as connection:
            return verdicts.read_coverage(connection, runs.find(connection, run_id).key)

    # -- commands --------------------------------------------------------------------------------------------------

    def add_command(self, run_id: str, kind: str, args: Mapping[str, Any]) -> Command:
        """Ask something of a run's worker. Raises UnknownRun."""
        with self._database.write() as connection:
            return orders.add(connection, runs.find(connection, run_id), kind, args, self._clock())

    def pending_commands(self, run_id: str) -> list[Command]:
        """Commands not acknowledged yet, oldest first. Raises UnknownRun."""
        with self._database.read() as connection:
            return orders.read(connection, runs.find(connection, run_id), pending=True)

    def commands(self, run_id: str) -> list[Command]:
        """All commands of a run, oldest first. Raises UnknownRun."""
        with self._database.read() as connection:
            return orders.read(connection, runs.find(connection, run_id), pending=False)

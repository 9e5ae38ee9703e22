"""Turns the events of one batch into rows: points into blocks, the rest into entries, and the run's summary.

One connection in, inside a transaction that the caller commits: either the whole batch is stored and the writer's mark
has moved, or nothing happened. Nothing here reads back for a page.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import sqlalchemy as sa

from dashboard.deliveries import Delivery, Table
from dashboard.records import Floats, Ints, State
from dashboard.roles import LOSSES, leading
from dashboard.store import curves, points, resumes, runs, sparkline, texts
from dashboard.store.database import insert_ignore
from dashboard.store.tables import commands, entries, generations, key_sets, series, writers
from dashboard.writers import end_of_all, going_on, is_renamed, is_servers_own, processes, words_of
from runwell.wire import REFUSED, RESERVED, Event

_KEPT_SERIES = 2000  # latest values kept beside the run; a run with more shows the first ones in lists of runs


_HIDDEN = -1
"""The step of a latest value that a rewind has hidden: whatever comes next is newer."""

LEFT = "left"
"""Type of an event that says that one process of a run has ended, while others go on."""
_OF_AN_END = ("state", "reason", "exit_code", "last_lines")

_CUTS = frozenset({"rewind", "state"})
"""Types of events that need what came before them stored first: a new generation, an end that later points undo."""


class Ingest:
    """Stores the new events of one batch. `changes` collects what the run's own row becomes, `marks` the writer's."""

    def __init__(
        self,
        connection: sa.Connection,
        run: sa.Row[Any],
        writer: sa.Row[Any],
        generation: int,
        now: float,
        heard_since: float,
        names: Callable[..., Any],
        *,
        left: bool = False,
    ) -> None:
        """`generation` is the one that the records belong to, as long as they tell of no other. A process that was heard
        after `heard_since`, and has not said its end, goes on. With `left` the writer itself is gone."""
        self._connection = connection
        self._run, self._writer = run, writer
        self._now, self._heard_since, self._left = now, heard_since, left
        self._names = names
        self._entries: list[dict[str, Any]] = []
        self._latest: dict[str, list[float]] | None = None
        self._leading: dict[str, str | None] = {}
        """By role, the series that speaks for a loss of the run so far."""
        self._config: dict[str, Any] | None = None
        self._losses: list[tuple[Ints, Floats]] = []
        """Training losses with their arrival numbers, table by table."""
        self._curve: sparkline.State | None = None
        """The sparkline that they are added to; None for the run's own."""
        self.arrival: int = run.arrivals
        self.generation = generation
        self.marks: dict[str, Any] = {}
        self.changes: dict[str, Any] = {"state": run.state, "last_step": run.last_step, "generation": run.generation}

    def take(self, fresh: Delivery) -> None:
        """Store every record; each gets the next arrival number."""
        first = self.arrival + 1
        kept = [(place, event) for place, event in fresh.others if event["type"] != REFUSED]
        numbers = dict(zip([place for place, _ in kept], fresh.numbers(first, _places(kept)).tolist(), strict=True))
        begun = 0
        for tables, _, stop in fresh.stretches(_CUTS):
            # In order of their last records, so that the latest value of a name that several have is the last one's.
            for table in sorted(tables, key=lambda table: int(table.places[-1])):
                self._take_table(table, fresh.numbers(first, table.places))
            while begun < len(kept) and kept[begun][0] <= stop:
                place, event = kept[begun]
                self._take_entry(event["type"], event, numbers[place])
                begun += 1
        self.arrival += fresh.count - fresh.start - len(fresh.refused)
        if self._entries:
            self._connection.execute(entries.insert(), self._entries)
        self.changes["arrivals"] = self.arrival
        if self._latest is not None:
            self.changes["latest"] = texts.pack(self._latest)
        if self._config is not None:
            self.changes["config"] = texts.pack(self._config)
        if self._losses:
            self.changes["sparkline"] = texts.pack(self._sparkline())

    # -- points ----------------------------------------------------------------------------------------------------

    def _take_table(self, table: Table, arrivals: Ints) -> None:
        key_set, series_keys = self._names(self._connection, self._run.key, table.names)
        owner = points.Owner(self._run.key, self._writer.key, key_set, series_keys, self.generation)
        rows = points.Rows(arrivals, table.steps, table.times, table.values)
        points.write(self._connection, owner, rows)
        # Late points of a generation that was rewound no longer speak for the run.
        if self.generation == self.changes["generation"]:
            self._summarise(table.names, rows)
            self.changes["last_step"] = max(self.changes["last_step"] or 0, int(rows.steps.max()))
        self._begin(float(rows.times.min()))
        self._alive(float(rows.times.max()))

    def _summarise(self, names: tuple[str, ...], rows: points.Rows) -> None:
        self._latest = self._latest_now()
        # The latest is the one of the largest step: what a slower rank says of an earlier one comes late. Of equal steps the last.
        newest = len(rows) - 1 - int(rows.steps[::-1].argmax())
        step = int(rows.steps[newest])
        train, val = (self._speaks_for(role, names) for role in LOSSES)
        for index, name in enumerate(names):
            known = self._latest.get(name)
            if known[0] <= step if known else len(self._latest) < _KEPT_SERIES:
                self._latest[name] = [step, float(rows.values[newest, index])]
        if train is not None:
            self._losses.append((rows.arrivals, rows.values[:, names.index(train)]))
        if val is not None:
            self._best(rows.steps.tolist(), rows.values[:, names.index(val)].tolist())

    def _latest_now(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = texts.unpack(self._run.latest) if self._latest is None else self._latest
        return found

    def _speaks_for(self, role: str, names: tuple[str, ...]) -> str | None:
        """Which of these series speaks for a loss of the run; None when none does, or one of other rows tells more."""
        latest = self._latest_now()
        if role not in self._leading:
            self._leading[role] = leading(latest, role)
        name, before = leading(names, role), self._leading[role]
        if name is None or name == before:
            return name
        if leading([*latest, *names], role) != name:
            return None
        self._leading[role] = name
        if before is not None:
            self._forget(role)
        return name

    def _forget(self, role: str) -> None:
        """What was kept of a loss is of a series that tells less than the one that has come now."""
        if role == "val_loss":
            self.changes.update(best_val_loss=None, best_val_step=None)
        else:
            self._losses, self._curve = [], sparkline.EMPTY

    def _sparkline(self) -> sparkline.State:
        """With the new losses in the order in which they came, whatever else was logged beside some of them."""
        arrivals, values = (np.concatenate(parts) for parts in zip(*self._losses, strict=True))
        order = np.argsort(arrivals, kind="stable")
        before = tuple(texts.unpack(self._run.sparkline)) if self._curve is None else self._curve
        return sparkline.push(before, values[order].tolist())

    def _best(self, steps: list[int], values: list[float]) -> None:
        best = self.changes.get("best_val_loss", self._run.best_val_loss)
        for step, value in zip(steps, values, strict=True):
            if math.isfinite(value) and (best is None or value < best):
                best = value
                self.changes.update(best_val_loss=value, best_val_step=step)

    # -- the rest --------------------------------------------------------------------------------------------------

    def _take_entry(self, kind: str, event: Event, arrival: int) -> None:
        time = event.get("time", self._now)
        handler = getattr(self, f"_on_{kind}", None) if kind in ("run", "config", "state", "rewind", "ack") else None
        if handler:
            event = handler(event, time) or event
        self._entries.append(
            {
                "run_key": self._run.key, "arrival": arrival, "generation": self.generation, "kind": event["type"],
                "step": event.get("step"), "time": time, "body": texts.pack(event),
            }
        )  # fmt: skip

    def _on_run(self, event: Event, time: float) -> None:
        for name in ("project", "name", "host"):
            if event.get(name):
                self.changes[name] = event[name]
        if event.get("forked"):
            self.marks["forked"] = True
        elif event.get("pid") is not None:
            # Together: another process's start time beside this pid would make a living worker look gone.
            self.changes.update(pid=event["pid"], pid_started_at=event.get("pid_started_at"))
        if event.get("parent"):
            self.changes["parent_id"] = event["parent"]
        if event.get("tags"):
            known = texts.unpack(self.changes.get("tags", self._run.tags))
            self.changes["tags"] = texts.pack(list(dict.fromkeys([*known, *event["tags"]])))
        self._merge_config(event.get("config") or {})
        self._begin(time)
        self._alive(time)
        if self._run.arrivals and not event.get("forked") and self._begins():
            self._forgive()

    def _begins(self) -> bool:
        """Whether this is a process that was not there before: one that lives, and does not go on under a new name."""
        return not (self._writer.stored_through or self._left or is_renamed(self._writer.name))

    def _forgive(self) -> None:
        """Another process begins: what earlier ones said of their end is history, as after a restart of a rank that crashed."""
        told = writers.c.run_key == self._run.key, writers.c.said.is_not(None)
        if self._connection.execute(writers.update().where(*told).values(said=None)).rowcount:
            self.changes["state_reason"] = ""

    def _on_config(self, event: Event, _: float) -> None:
        settings = event.get("config")
        self._merge_config(
            settings if isinstance(settings, dict) else {k: v for k, v in event.items() if k not in RESERVED}
        )

    def _merge_config(self, settings: dict[str, Any]) -> None:
        if settings:
            # Unpacked and packed once a batch: a script may add a setting at every step.
            self._config = texts.unpack(self._run.config) if self._config is None else self._config
            self._config.update(settings)

    def _on_state(self, event: Event, time: float) -> Event | None:
        """Take an end; what to store in its place: that of one process among others is none of the run."""
        state = State(event["state"])
        if state is State.RUNNING:
            self._alive(time)
            return None
        if not is_servers_own(self._writer.name):
            self.marks.update(ended_at=self._now)
        if self.generation < self.changes["generation"]:
            return {**event, "type": LEFT}  # the late last words of a writer that a resume has replaced
        end = event if is_servers_own(self._writer.name) else self._end_with_others(event)
        if end["type"] != LEFT:
            self.changes.update(state=end["state"], state_reason=end.get("reason") or "", ended_at=time)
            if end.get("exit_code") is not None:
                self.changes["exit_code"] = end["exit_code"]
        return end

    def _end_with_others(self, event: Event) -> Event:
        """The end of the run as its processes tell it, this one as the last; or that it has left, and others go on."""
        self.marks.update(said=texts.pack(event))
        known = processes(runs.writers_of(self._connection, self._run.key))
        others = [one for one in known if one.name != self._writer.name]
        if going_on(others, self._heard_since):
            if event["state"] == State.CRASHED.value:
                why = event.get("reason") or "no reason given"
                self.changes["state_reason"] = (
                    f"one of its {len(known)} processes crashed ({why}); training may go on without it"
                )
            return {**event, "type": LEFT}
        end = end_of_all([*words_of(others), event])
        own = {name: value for name, value in event.items() if name not in _OF_AN_END}
        return own | {name: end[name] for name in _OF_AN_END if name in end}

    def _on_rewind(self, event: Event, time: float) -> None:
        newest = self.changes["generation"]
        if resumes.is_told_again(self._connection, self._run.key, self._writer, newest, event["step"]):
            self.generation = newest
            return
        self.generation = self.changes["generation"] = self.changes["generation"] + 1
        self.changes["last_step"] = event["step"]
        self._latest = self._latest_now()
        for known in self._latest.values():
            if known[0] > event["step"]:
                known[0] = _HIDDEN
        self._connection.execute(
            generations.insert().values(
                run_key=self._run.key, generation=self.generation, step=event["step"], time=time
            )
        )

        best_step = self.changes.get("best_val_step", self._run.best_val_step)
        if best_step is not None and best_step > event["step"]:
            self._find_best_again()

    def _find_best_again(self) -> None:
        """The best was hidden by a rewind: look for it in what is left."""
        self.changes.update(best_val_loss=None, best_val_step=None)
        query = sa.select(series.c.name, series.c.key).where(series.c.run_key == self._run.key)
        keys = {str(name): int(key) for name, key in self._connection.execute(query.order_by(series.c.key)).all()}
        if (name := leading(keys, "val_loss")) is not None:
            left = curves.read(self._connection, self._run.key, keys[name], name, None, None, 1000)
            self._best(left.min_step.tolist(), left.min.tolist())

    def _on_ack(self, event: Event, _: float) -> None:
        outcome = event.get("text") or ("done" if event.get("ok", True) else "refused")
        self._connection.execute(
            commands.update()
            .where(
                commands.c.run_key == self._run.key,
                commands.c.id == event["command"],
                commands.c.acknowledged_at.is_(None),
            )
            .values(acknowledged_at=self._now, outcome=outcome)
        )

    def _alive(self, time: float) -> None:
        """Something that only a living trainer sends: the run is running, unless it is older than the run's end."""
        state = State(self.changes["state"])
        ended_at = self.changes.get("ended_at", self._run.ended_at)
        if state.ended and (ended_at is None or time <= ended_at):
            return
        if self._left and (state.ended or state is State.LOST):
            return
        if state is not State.RUNNING:
            self.changes.update(state=State.RUNNING.value, state_reason="", ended_at=None)
        if self.marks.get("ended_at", self._writer.ended_at) is not None:
            self.marks.update(ended_at=None, said=None)  # it goes on all the same
        self._begin(time)

    def _begin(self, time: float) -> None:
        """The run's start is the earliest that its first batch tells: its points are taken before its announcement."""
        if self._run.started_at is None:
            self.changes["started_at"] = min(self.changes.get("started_at", time), time)


def _places(kept: list[tuple[int, Event]]) -> Ints:
    return np.array([place for place, _ in kept], np.int64)


def intern_names(connection: sa.Connection, run_key: int, names: tuple[str, ...]) -> tuple[int, tuple[int, ...]]:
    """The key set of these names in this order, with the key of each series; made when they are new."""
    insert_ignore(connection, series, *({"run_key": run_key, "name": name} for name in names))
    found: dict[str, int] = {}
    for start in range(0, len(names), 500):
        rows = connection.execute(
            sa.select(series.c.name, series.c.key).where(
                series.c.run_key == run_key, series.c.name.in_(names[start : start + 500])
            )
        )
        found.update((name, key) for name, key in rows)
    series_keys = tuple(found[name] for name in names)
    packed = texts.pack(list(series_keys))
    digest = hashlib.sha256(packed.encode()).hexdigest()
    insert_ignore(connection, key_sets, {"run_key": run_key, "digest": digest, "series_keys": packed})
    key_set = connection.scalar(
        sa.select(key_sets.c.key).where(key_sets.c.run_key == run_key, key_sets.c.digest == digest)
    )
    assert key_set is not None
    return key_set, series_keys

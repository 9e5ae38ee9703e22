"""Takes batches in: stores them, tells the pages what is new, wakes the watcher. Knows no HTTP and no SQL.

Its thread sends the collected points and, at most once a second a run, the run's row for lists.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from dashboard import present
from dashboard.deliveries import Delivery, Table
from dashboard.errors import DashboardError, StoreError, UnknownRun
from dashboard.live import Hub
from dashboard.messages import Columns
from dashboard.receipts import Reports, WriterReceipt, receipts
from dashboard.records import Receipt
from dashboard.store import Store
from runwell.report import Report
from runwell.wire import Batch, Event

log = logging.getLogger(__name__)

TICK_SECONDS = 0.05
SUMMARY_SECONDS = 1.0
MAX_RELAYED = 5000
"""Events of another server that are published here one by one; of more at once, the pages take a new snapshot."""
MAX_ALERTS = 20
"""Of the alerts of one batch, so many, the newest, are sent to the pages, which read the rest from the store."""
_AMONG_POINTS = frozenset({"sample", "rewind"})
"""Types of events that are sent in their place among the points."""


class Collector:
    """The one way in for events, over HTTP or from this server itself. Thread-safe."""

    def __init__(
        self, store: Store, hub: Hub, notify: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`notify` is told the run whose events were stored; `clock` gives seconds and paces the summaries."""
        self._store, self._hub, self._notify, self._clock = store, hub, notify, clock
        self._reports = Reports()
        self._lock = threading.Lock()
        self._dirty: dict[str, None] = {}
        """Runs whose rows are to be sent, in their order."""
        self._hidden: dict[str, int] = {}
        """Runs with late points that a rewind may have hidden, and the first step of those."""
        self._told_at: dict[str, float] = {}
        self._delivered: dict[str, list[WriterReceipt]] = {}
        """What the pages of a run know of its delivery; of runs that are watched, and by the thread alone."""
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def accept(
        self, run_id: str, batch: Batch | Delivery, report: Report | None = None, *, alive: bool | None = None
    ) -> Receipt:
        """Store a batch and publish what was new in it; `report` is what its sender says of itself, `alive` what else is known
        of whether the writer itself sent it.

        Raises what `Store.append` raises.
        """
        delivery = batch if isinstance(batch, Delivery) else Delivery.of(batch, time.time())
        try:
            receipt = self._store.append(run_id, delivery, alive=alive if report is None else report.alive)
        except StoreError:
            if report is not None:  # what waits because of that is told all the same
                self._reports.note(run_id, delivery, report, delivery.first_seq - 1)
                self.touch(run_id)
            raise
        if report is not None:
            self._reports.note(run_id, delivery, report, receipt.stored_through)
        if receipt.stored:
            self._publish(run_id, delivery.after(receipt.duplicates), receipt)
            self._notify(run_id)
        self.touch(run_id)
        return receipt

    def turned_away(self, run_id: str, report: Report) -> None:
        """Take note of a batch that was not even read, because the server is overloaded: what waits is told all the same."""
        self._reports.note_unread(run_id, report)
        self.touch(run_id)

    def relay(self, run_id: str, first: int, last: int, *, current: bool) -> None:
        """Publish what another server stored of a run: the events with these arrival numbers. Raises StoreError.

        Nothing is read while nobody watches the run here. `current` is false for those of a writer from before a rewind.
        """
        self.touch(run_id)
        if self._hub.passes_over(run_id):
            return
        if last - first >= MAX_RELAYED:
            self._hub.resync(run_id)  # a page fetches what it shows of so much faster than it takes all of it in
            return
        count = last - first + 1
        try:
            events = tuple(event for _, event in islice(self._store.replay(run_id, after=first - 1), count))
        except UnknownRun:
            return  # deleted meanwhile
        receipt = Receipt(
            stored_through=0, stored=len(events), duplicates=0, first_arrival=first, current=current
        )  # fmt: skip
        self._publish(run_id, Delivery.of(Batch("", 1, events), time.time()), receipt)

    def touch(self, run_id: str) -> None:
        """Have the run's row sent to the lists of runs at the next tick."""
        with self._lock:
            self._dirty[run_id] = None

    def receipts(self, run_id: str) -> list[WriterReceipt]:
        """What arrived of a run and what did not, writer by writer. Raises UnknownRun."""
        writers = self._store.writers(run_id)
        return receipts(writers, self._reports.of(run_id, [writer.name for writer in writers]))

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._repeat, name="collector", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what waits is sent first."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def tick(self) -> None:
        """Send what is due: collected points, and the rows of runs that changed."""
        self._hub.flush()
        now = self._clock()
        with self._lock:
            due = [
                run_id for run_id in self._dirty if now - self._told_at.get(run_id, -SUMMARY_SECONDS) >= SUMMARY_SECONDS
            ]
            for run_id in due:
                del self._dirty[run_id]
                self._told_at[run_id] = now
            for run_id in [run_id for run_id, at in self._told_at.items() if now - at > 60]:
                del self._told_at[run_id]
        while due:
            run_id = due.pop(0)
            try:
                self._tell(run_id)
            except UnknownRun:
                continue  # deleted meanwhile
            except Exception:
                # Tried again, this one as the last: it may be the only one that cannot be read.
                for one in (*due, run_id):
                    self.touch(one)
                raise

    def _tell(self, run_id: str) -> None:
        """Send what is new of a run beside its points."""
        with self._lock:
            hidden = self._hidden.pop(run_id, None)
        if hidden is not None:
            self._hub.publish("rewind", run_id, {"step": hidden})
        self._hub.publish_run(present.summary(self._store.summary(run_id)))
        self._tell_delivery(run_id)

    def _tell_delivery(self, run_id: str) -> None:
        """Send to a run's pages what arrived and what did not, when that changed."""
        if not self._hub.watched(run_id):
            self._delivered.pop(run_id, None)  # a page that opens later reads it from the store
            return
        found = self.receipts(run_id)
        said = [replace(one, last_contact_at=None) for one in found]
        if self._delivered.get(run_id) != said:
            self._delivered[run_id] = said
            self._hub.publish("delivery", run_id, {"writers": [present.receipt(one) for one in found]})

    def _repeat(self) -> None:
        while not self._ending.wait(TICK_SECONDS):
            try:
                self.tick()
            except DashboardError as error:
                log.error("%s", error)
            except Exception:
                # The database may be locked or away for a moment; the pages must go on when it is back.
                log.exception("what is new could not be sent to the pages; it is tried again")

    def _publish(self, run_id: str, fresh: Delivery, receipt: Receipt) -> None:
        """In order of events: points are sent together, between what must keep its place among them."""
        for tables, event, _ in fresh.stretches(_AMONG_POINTS):
            points = _columns(tables)
            if points and receipt.current:
                self._hub.publish_points(run_id, points)
            elif points:
                # Which of them a rewind has hidden, the store knows: the pages fetch what is to be seen.
                first = min(int(table.steps.min()) for table in tables)
                with self._lock:
                    self._hidden[run_id] = min(first, self._hidden.get(run_id, first))
            if event is not None and event["type"] == "rewind":
                self._hub.publish("rewind", run_id, {"step": event["step"]})
            elif event is not None:
                prompt, text = event.get("prompt") or "", event.get("text") or ""
                said = {
                    "step": event.get("step"),
                    "time": event.get("time", time.time()),
                    "prompt": prompt,
                    "text": text,
                }
                self._hub.publish("sample", run_id, said)
        alerts = [event for _, event in fresh.others if event["type"] == "alert"]
        if alerts:
            self._hub.publish("alert", run_id, {"alerts": [_alert(event) for event in alerts[-MAX_ALERTS:]]})
        for _, event in fresh.others:
            if event["type"] == "checkpoint":
                self._hub.publish("checkpoint", run_id, {"step": event.get("step")})
        lines = [(place, event) for place, event in fresh.others if event["type"] == "log"]
        if lines:
            numbers = fresh.numbers(receipt.first_arrival, np.array([place for place, _ in lines], np.int64)).tolist()
            told = [_line(number, event) for number, (_, event) in zip(numbers, lines, strict=True)]
            self._hub.publish("log", run_id, {"lines": told})


def _alert(event: Event) -> dict[str, Any]:
    return {
        "title": event.get("title") or "", "text": event.get("text") or "", "level": event.get("level") or "warning",
        "step": event.get("step"), "time": event.get("time", time.time()),
    }  # fmt: skip


def _line(number: int, event: Event) -> dict[str, Any]:
    return {
        "number": number, "time": event.get("time", time.time()), "stream": event.get("stream") or "stdout",
        "text": event.get("text") or "",
    }  # fmt: skip


def _columns(tables: Sequence[Table]) -> dict[str, Columns]:
    """Steps, times and values by name, each in order; a name may come in several tables."""
    found: dict[str, list[tuple[Table, int]]] = {}
    for table in tables:
        for index, name in enumerate(table.names):
            found.setdefault(name, []).append((table, index))
    return {name: _merged(parts) for name, parts in found.items()}


def _merged(parts: list[tuple[Table, int]]) -> Columns:
    if len(parts) == 1:
        table, index = parts[0]
        return {"step": table.steps, "time": table.times, "value": table.values[:, index]}
    order = np.argsort(np.concatenate([table.places for table, _ in parts]), kind="stable")
    return {
        "step": np.concatenate([table.steps for table, _ in parts])[order],
        "time": np.concatenate([table.times for table, _ in parts])[order],
        "value": np.concatenate([table.values[:, index] for table, index in parts])[order],
    }

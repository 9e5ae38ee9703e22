"""Takes batches in: stores them, tells the pages what is new, wakes the watcher. Knows no HTTP and no SQL.

Its thread sends the collected points and, at most once a second a run, the run's row for lists.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from dashboard import present
from dashboard.errors import DashboardError, UnknownRun
from dashboard.live import Hub
from dashboard.records import Receipt
from dashboard.store import Store
from runwell.wire import REFUSED, RESERVED, Batch

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1
SUMMARY_SECONDS = 1.0


class Collector:
    """The one way in for events, over HTTP or from this server itself. Thread-safe."""

    def __init__(
        self, store: Store, hub: Hub, notify: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`notify` is told the run whose events were stored; `clock` gives seconds and paces the summaries."""
        self._store, self._hub, self._notify, self._clock = store, hub, notify, clock
        self._lock = threading.Lock()
        self._dirty: set[str] = set()
        self._told_at: dict[str, float] = {}
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def accept(self, run_id: str, batch: Batch) -> Receipt:
        """Store a batch and publish what was new in it. Raises what `Store.append` raises."""
        receipt = self._store.append(run_id, batch)
        if receipt.stored:
            fresh = [event for event in batch.events[receipt.duplicates :] if event["type"] != REFUSED]
            self._publish(run_id, fresh, receipt.first_arrival)
            self._notify(run_id)
        with self._lock:
            self._dirty.add(run_id)
        return receipt

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
                self._dirty.discard(run_id)
                self._told_at[run_id] = now
            for run_id in [run_id for run_id, at in self._told_at.items() if now - at > 60]:
                del self._told_at[run_id]
        for run_id in due:
            try:
                self._hub.publish("run", run_id, {"summary": present.summary(self._store.summary(run_id))})
            except UnknownRun:
                continue  # deleted meanwhile

    def _repeat(self) -> None:
        while not self._ending.wait(TICK_SECONDS):
            try:
                self.tick()
            except DashboardError as error:
                log.error("%s", error)
            except Exception:
                # The database may be locked or away for a moment; the pages must go on when it is back.
                log.exception("what is new could not be sent to the pages; it is tried again")

    def _publish(self, run_id: str, events: Iterable[dict[str, Any]], arrival: int) -> None:
        """One pass in order of events: points are gathered, what must keep its place among them is sent between."""
        points: dict[str, dict[str, list[float]]] = {}
        lines: list[dict[str, Any]] = []
        now = time.time()
        for number, event in enumerate(events, arrival):
            kind, moment = event["type"], event.get("time", now)
            if kind == "metrics":
                _gather(points, event, moment)
            elif kind == "log":
                stream, text = event.get("stream") or "stdout", event.get("text") or ""
                lines.append({"number": number, "time": moment, "stream": stream, "text": text})
            elif kind == "sample":
                self._hub.publish_points(run_id, points)
                points = {}
                prompt, text = event.get("prompt") or "", event.get("text") or ""
                self._hub.publish(
                    "sample", run_id, {"step": event.get("step"), "time": moment, "prompt": prompt, "text": text}
                )
            elif kind == "rewind":
                self._hub.publish_points(run_id, points)
                points = {}
                self._hub.publish("rewind", run_id, {"step": event["step"]})
        if points:
            self._hub.publish_points(run_id, points)
        if lines:
            self._hub.publish("log", run_id, {"lines": lines})


def _gather(points: dict[str, dict[str, list[float]]], event: dict[str, Any], moment: float) -> None:
    step = event["step"]
    for name, value in event.items():
        if name not in RESERVED:
            columns = points.get(name)
            if columns is None:
                columns = points[name] = {"step": [], "time": [], "value": []}
            columns["step"].append(step)
            columns["time"].append(moment)
            columns["value"].append(value)

"""Brings what other servers on the same database store to the pages and the watcher of this one. One thread; no SQL.

Pages of a run are live wherever it is stored, and a run whose server is gone is judged by another. With SQLite there is no
other server, and no thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from dashboard import present
from dashboard.collector import Collector
from dashboard.errors import UnknownRun
from dashboard.live import Hub
from dashboard.store import Store
from dashboard.store.peers import News

log = logging.getLogger(__name__)

HEAR_SECONDS = 0.5
"""How long news are waited for at once; the thread ends within this time."""
RETRY_SECONDS = 1.0


class Relay:
    """News → hub and watcher."""

    def __init__(self, store: Store, hub: Hub, collector: Collector, notify: Callable[[str], None]) -> None:
        """`notify` is told the run of which another server stored something that may have to be judged."""
        self._store, self._hub, self._collector, self._notify = store, hub, collector, notify
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, if there can be other servers."""
        if not self._store.peers.alone:
            self._thread = threading.Thread(target=self._repeat, name="relay", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def take(self, news: Sequence[News]) -> None:
        """Publish, in order, what others stored; and have it judged, in case nobody else does. Raises StoreError."""
        for one in joined(news):
            if one.kind in ("events", "older"):
                self._collector.relay(one.run_id, one.first, one.last, current=one.kind == "events")
            elif one.kind == "findings":
                self._tell_findings(one.run_id)
            self._collector.touch(one.run_id)
        for run_id in dict.fromkeys(one.run_id for one in news if one.kind in ("events", "older", "decision")):
            self._notify(run_id)

    def _tell_findings(self, run_id: str) -> None:
        try:
            verdict = self._store.run(run_id).verdict
            self._hub.publish("findings", run_id, present.findings(verdict, self._store.findings(run_id)))
        except UnknownRun:
            return  # deleted meanwhile

    def _repeat(self) -> None:
        missed = False
        while not self._ending.is_set():
            try:
                news = self._store.peers.hear(HEAR_SECONDS)
                if missed:
                    self._hub.resync()
                    log.warning("other servers are heard again; the pages take a new snapshot")
                missed = False
                self.take(news)
            except Exception:
                # The database may be away for a moment. What was told meanwhile is lost: the pages are told so.
                if not missed:
                    log.exception("other servers cannot be heard just now; it is tried again")
                missed = True
                self._ending.wait(RETRY_SECONDS)


def joined(news: Sequence[News]) -> list[News]:
    """The same, with events of one run that follow each other in one piece, and findings of one run once, at the end."""
    found: list[News] = []
    place: dict[str, int] = {}
    findings = dict.fromkeys(one.run_id for one in news if one.kind == "findings")
    for one in news:
        if one.kind not in ("events", "older"):
            continue
        before = found[place[one.run_id]] if one.run_id in place else None
        if before is not None and before.kind == one.kind and before.last + 1 == one.first:
            found[place[one.run_id]] = News(one.kind, one.run_id, before.first, one.last)
        else:
            place[one.run_id] = len(found)
            found.append(one)
    found.extend(News("run", one.run_id) for one in news if one.kind == "run")
    return [*found, *(News("findings", run_id) for run_id in findings)]
